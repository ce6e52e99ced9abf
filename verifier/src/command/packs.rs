//! `policy show`: which pack judges, who signed it and when, and what is to come.

use std::process::ExitCode;

use serde_json::Value;

use super::{Context, Failure, text};
use crate::{client::Client, rpc::admin::list_request::What, wording};

/// Officers whom a pack takes.
const DUE: usize = affiant_judge::approval::APPROVERS;

pub(super) async fn show(context: &Context, json: bool) -> Result<ExitCode, Failure> {
    let packs = context.client().await?.list(What::Packs).await?;
    match json {
        true => say!("{packs}")?,
        false => put!("{}", screen(&packs))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// How the pack of a digest stands, for the officer who signed it just now.
pub(super) async fn stands(client: &mut Client, digest: &str) -> Result<String, Failure> {
    let packs = client.list(What::Packs).await?;
    let found = all(&packs).iter().find(|it| text(it, "digest") == digest);
    Ok(match found {
        Some(pack) if text(pack, "stands") == "in_force" => {
            format!("it judges what is logged from index {} on", from(pack))
        }
        Some(pack) if signed(pack).len() >= DUE => {
            "those who signed it are not two persons, and another officer has to say the same"
                .to_owned()
        }
        Some(_) => "it does once a second officer says the same".to_owned(),
        None => "it is not judged yet: `policy show` has it once it is".to_owned(),
    })
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
}
