//! `policy show`: which pack judges, who signed it and when, and what is to come.

use std::process::ExitCode;

use affiant_judge::policy::Pack;
use affiant_proto::PublicKey;
use serde_json::Value;

use super::{Context, Failure, persons::Officers, text};
use crate::{attached, client::Client, rpc::admin::list_request::What, wording};

pub(super) async fn show(context: &Context, json: bool) -> Result<ExitCode, Failure> {
    let packs = context.client().await?.list(What::Packs).await?;
    match json {
        true => say!("{packs}")?,
        false => put!("{}", screen(&packs))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What the log has of packs before an officer signs one.
pub(super) struct Before {
    packs: Value,
    label: (String, String),
    digest: String,
}

impl Before {
    pub(super) async fn of(client: &mut Client, pack: &Pack) -> Result<Self, Failure> {
        Ok(Self {
            packs: client.list(What::Packs).await?,
            label: (pack.name().to_owned(), pack.version().to_owned()),
            digest: pack.digest().to_string(),
        })
    }

    /// Why it must not be signed: its name and version are those of other files.
    pub(super) fn refusal(&self) -> Option<String> {
        let (pack, version) = (self.label.0.as_str(), self.label.1.as_str());
        let mut all = all(&self.packs).iter();
        let other = all.find(|it| {
            (text(it, "pack"), text(it, "version")) == (pack, version)
                && text(it, "digest") != self.digest
        })?;
        let digest = text(other, "digest");
        Some(attached::other_pack(pack, version, digest))
    }

    /// How it stands now, for the officer with a key who signed it just now.
    pub(super) async fn stands(
        &self,
        client: &mut Client,
        key: &PublicKey,
    ) -> Result<String, Failure> {
        let officers = Officers::of(client).await?;
        let packs = client.list(What::Packs).await?;
        Ok(self.stands_by(&packs, officers.chain_of(key)))
    }

    fn stands_by(&self, packs: &Value, own: Option<&str>) -> String {
        let of = |packs: &Value| {
            let mut all = all(packs).iter();
            all.find(|it| text(it, "digest") == self.digest).cloned()
        };
        let Some(pack) = of(packs) else {
            return "it is not judged yet: `policy show` has it once it is".to_owned();
        };
        if text(&pack, "stands") == "in_force" {
            let from = from(&pack);
            return format!("it judges what is logged from index {from} on");
        }
        let mine = |it: &&Value| Some(text(it, "officer")) == own;
        let said_before = of(&self.packs).is_some_and(|it| signed(&it).iter().any(|it| mine(&it)));
        let others = signed(&pack).iter().filter(|it| !mine(it));
        let others: Vec<String> = others.map(|it| wording::plain(text(it, "name"))).collect();
        match (others.is_empty(), said_before) {
            (false, _) => format!(
                "that changes nothing: {} signed it too, and is the same person; it takes an officer who is \
                 another",
                others.join(", ")
            ),
            (true, true) => {
                "that changes nothing: the same officer signed it before; it takes another one"
                    .to_owned()
            }
            (true, false) => "it does once a second officer says the same".to_owned(),
        }
    }
}

/// All packs in words, the one in force first.
fn screen(packs: &Value) -> String {
    let mut lines = Vec::new();
    for pack in all(packs) {
        let stands = match text(pack, "stands") {
            "in_force" => format!("IN FORCE, judges from log index {} on", from(pack)),
            "waiting" => "waits for a second officer".to_owned(),
            _ => format!(
                "judged from log index {} on, until the next one",
                from(pack)
            ),
        };
        let mut say = |label: &str, what: String| {
            lines.push(wording::plain(&format!("{label:<10} {what}")));
        };
        say(
            "pack",
            format!("{} {}: {stands}", text(pack, "pack"), text(pack, "version")),
        );
        say("digest", text(pack, "digest").to_owned());
        let undecided = match text(pack, "undecided") {
            "shadow" => "; tenants on whom nobody decided are tried in shadow",
            _ => "",
        };
        say(
            "mode",
            format!(
                "{} policies enforced, {} in shadow{undecided}",
                number(pack, "enforced"),
                number(pack, "in_shadow"),
            ),
        );
        if signed(pack).is_empty() {
            say(
                "signed",
                "by nobody: the log begins with the pack of the release".to_owned(),
            );
        }
        for line in signed(pack) {
            let who = match text(line, "name") {
                "" => "an officer",
                name => name,
            };
            let chain: String = text(line, "officer").chars().take(8).collect();
            let (index, at) = (number(line, "index"), number(line, "logged_unix_ms"));
            let at = wording::time(at);
            say(
                "signed",
                format!("by {who} ({chain}), log index {index}, {at}"),
            );
        }
        for (label, key) in [("begins", "begins"), ("ends", "ends")] {
            let scheduled = pack.get(key).and_then(Value::as_array);
            for what in scheduled.into_iter().flatten().filter_map(Value::as_str) {
                say(label, format!("policy {what}"));
            }
        }
        lines.push(String::new());
    }
    lines.join("\n")
}

fn all(packs: &Value) -> &[Value] {
    packs.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn signed(pack: &Value) -> &[Value] {
    let signed = pack.get("signed").and_then(Value::as_array);
    signed.map(Vec::as_slice).unwrap_or_default()
}

fn from(pack: &Value) -> u64 {
    number(pack, "from_index")
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_officer_reads_which_pack_judges_who_signed_it_and_what_waits() {
        let packs = json!([
            {
                "pack": "ours", "version": "7", "stands": "in_force", "digest": "ab", "from_index": 12,
                "undecided": "shadow", "enforced": 3, "in_shadow": 1,
                "begins": ["next-law from 2027-01-01"], "ends": [],
                "signed": [
                    { "officer": "0011223344", "name": "alice", "index": 9, "logged_unix_ms": 0 },
                    { "officer": "5566778899", "name": "bob", "index": 11, "logged_unix_ms": 1_000 },
                ],
            },
            {
                "pack": "ours", "version": "8", "stands": "waiting", "digest": "cd", "from_index": null,
                "undecided": "enforce", "enforced": 4, "in_shadow": 0, "begins": [], "ends": [],
                "signed": [{ "officer": "5566778899", "index": 20, "logged_unix_ms": 0 }],
            },
            {
                "pack": "default", "version": "1", "stands": "before", "digest": "ef", "from_index": 0,
                "undecided": "enforce", "enforced": 4, "in_shadow": 0, "begins": [], "ends": [], "signed": [],
            },
        ]);
        let shown = screen(&packs);
        for due in [
            "pack       ours 7: IN FORCE, judges from log index 12 on\n",
            "mode       3 policies enforced, 1 in shadow; tenants on whom nobody decided are tried in shadow\n",
            "signed     by alice (00112233), log index 9, 1970-01-01T00:00:00Z\n",
            "begins     policy next-law from 2027-01-01\n",
            "pack       ours 8: waits for a second officer\n",
            "signed     by an officer (55667788), log index 20",
            "pack       default 1: judged from log index 0 on, until the next one\n",
            "signed     by nobody: the log begins with the pack of the release\n",
        ] {
            assert!(shown.contains(due), "{due}: {shown}");
        }
    }

    fn ours(digest: &str, stands: &str, signed: &[(&str, &str)]) -> Value {
        let signed = signed.iter();
        let signed: Vec<Value> = signed
            .map(|(chain, name)| json!({"officer": chain, "name": name}))
            .collect();
        json!([{
            "pack": "ours", "version": "7", "digest": digest, "stands": stands, "from_index": 9,
            "signed": signed,
        }])
    }

    fn before(packs: Value) -> Before {
        Before {
            packs,
            label: ("ours".into(), "7".into()),
            digest: "d1".into(),
        }
    }

    #[test]
    fn a_name_and_version_that_the_log_has_with_other_files_is_refused_in_any_state() {
        for stands in ["in_force", "waiting", "before"] {
            let why = before(ours("d2", stands, &[])).refusal().unwrap();
            assert!(
                why.contains("ours@7 is there with other files, of digest d2"),
                "{why}"
            );
            assert_eq!(before(ours("d1", stands, &[])).refusal(), None);
        }
    }

    #[test]
    fn who_signs_a_pack_is_told_whose_word_is_due_and_when_his_own_changes_nothing() {
        let (a, b) = (("aa", "alice"), ("bb", "alice"));
        let waits = |by: &[(&str, &str)]| ours("d1", "waiting", by);
        let first = before(json!([])).stands_by(&waits(&[a]), Some("aa"));
        assert_eq!(first, "it does once a second officer says the same");
        let again = before(waits(&[a])).stands_by(&waits(&[a]), Some("aa"));
        assert!(
            again.contains("the same officer signed it before"),
            "{again}"
        );
        let other_key = before(waits(&[b])).stands_by(&waits(&[a, b]), Some("aa"));
        assert!(
            other_key.contains("alice signed it too, and is the same person"),
            "{other_key}"
        );
        let both = before(waits(&[b])).stands_by(&ours("d1", "in_force", &[a, b]), Some("aa"));
        assert!(both.contains("from index 9 on"), "{both}");
    }
}
