//! Screening lists in the log: importing a version, and which versions are there.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use affiant_judge::{exhibits::MAX_EXHIBIT_BYTES, listings, screening::import::desk};
use affiant_proto::{Digest, digest, v1};
use serde_json::Value;

use super::{
    Context, Failure, given, indices, officer,
    screening::{hits, hits_of},
    text,
};
use crate::{
    cli::ImportList,
    client::Client,
    rpc::admin::{self as rpc, list_request::What},
    wording,
};

/// Imports a version of a list: reads it here, whole or not at all, gives the file to the server, signs
/// what was read of it, and says what changed.
pub(super) async fn import(context: &Context, asked: &ImportList) -> Result<ExitCode, Failure> {
    let (file, list) = (&asked.file, asked.list.as_str());
    id(list)?;
    if asked.version.is_empty() || asked.version.len() > 64 {
        return Err(Failure::usage("--version has 1 to 64 bytes"));
    }
    let (name, signer) = officer(&asked.key)?;
    let content = given(file, MAX_EXHIBIT_BYTES as u64)?;
    let bad =
        |why: String| Failure::usage(format!("{}: {why}; nothing was imported", file.display()));
    let kind = asked.format.parse().map_err(|_| {
        bad(format!(
            "format `{}` is none of consolidated, json, operator, aliases",
            asked.format
        ))
    })?;
    let slips = desk::slips(kind, &content);
    if !slips.is_empty() {
        let (file, count) = (file.display(), slips.count());
        return Err(Failure::usage(format!(
            "{file}: {count} {} wrong, and nothing was imported\n{slips}",
            if count == 1 { "thing is" } else { "things are" }
        )));
    }
    let rows = listings::read(list, kind, &content).map_err(bad)?.rows();
    let named = digest(&content);
    say!("{}: {rows} entries, SHA-256 {named}", file.display())?;
    let mut client = context.client().await?;
    let effective_unix_ms = asked.effective.unwrap_or_else(|| context.clock.now_ms());
    let lists = client.list(What::Lists).await?;
    if let Some(stands) = of_name(&lists, list)
        && !asked.replace
        && let Some(slip) = replaces(stands, asked, effective_unix_ms, &named)
    {
        return Err(bad(format!("{slip}; say --replace if that is meant")));
    }
    let before = hits_of(&client.list(What::Hits).await?);
    let put = rpc::PutExhibitRequest { content };
    let put = client.calls().put_exhibit(put).await?.into_inner();
    if put.digest != named.as_bytes() {
        return Err(Failure::io("the server kept another file than was given"));
    }
    let body = v1::ListImport {
        header: None,
        list: list.to_owned(),
        version: asked.version.clone(),
        rows,
        digest: named.as_bytes().to_vec(),
        format: asked.format.clone(),
        effective_unix_ms,
    };
    let logged = client
        .sign_and_submit(&name, &signer, vec![body.into()], &context.clock)
        .await?;
    say!(
        "{} imported {list}, version {}, logged at {}; screening all parties …",
        name.name,
        asked.version,
        indices(&logged)
    )?;
    let index = logged.last().copied().unwrap_or_default();
    if !judged(&mut client, list, index).await? {
        say!(
            "the file is still being read, and nobody is screened against it yet; once `affiant-verifier lists list` \
             shows version {}, `affiant-verifier lists hits` has what it hits",
            asked.version
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    if effective_unix_ms > context.clock.now_ms() {
        say!(
            "it takes effect at {}, in the future: nobody is screened against it until then",
            wording::time(effective_unix_ms)
        )?;
    }
    let after = client.list(What::Hits).await?;
    changed(&before, &hits_of(&after), &after)?;
    Ok(ExitCode::SUCCESS)
}

/// How long an import waits for the judge to have read the file: 25,000 entries take it a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it asks.
const LOOK: Duration = Duration::from_millis(200);

/// Whether the judge has the import of a log index; waits for it.
async fn judged(client: &mut Client, list: &str, index: u64) -> Result<bool, Failure> {
    let begun = Instant::now();
    loop {
        let lists = client.list(What::Lists).await?;
        let known = of_name(&lists, list).and_then(|it| number(it, "index"));
        if known.is_some_and(|known| known >= index) {
            return Ok(true);
        }
        if begun.elapsed() > PATIENCE {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn of_name<'a>(lists: &'a Value, list: &str) -> Option<&'a Value> {
    let mut all = lists.as_array()?.iter();
    all.find(|it| text(it, "list") == list)
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}

/// Says why an import would take the place of a version by a slip: it is read in another way, is older, or is
/// that version with another file.
fn replaces(
    stands: &Value,
    asked: &ImportList,
    effective_unix_ms: u64,
    named: &Digest,
) -> Option<String> {
    let (list, version, format) = (&asked.list, text(stands, "version"), text(stands, "format"));
    let is_there = format!("list {list} is there as version {version}, format {format}");
    if format != asked.format {
        return Some(format!(
            "{is_there}, and this is format {}; give it another --list name",
            asked.format
        ));
    }
    let held = text(stands, "digest");
    if asked.version == version && held != named.to_string() {
        return Some(format!(
            "list {list} is there as version {version} with another file, SHA-256 {held}; give this one a version \
             of its own"
        ));
    }
    if older(&asked.version, version) {
        return Some(format!(
            "{is_there}, and this is version {}, which is older",
            asked.version
        ));
    }
    let since = number(stands, "effective_unix_ms").unwrap_or_default();
    (effective_unix_ms < since).then(|| {
        format!(
            "{is_there}, of {}, and this is version {} of {}, which is before it",
            wording::time(since),
            asked.version,
            wording::time(effective_unix_ms)
        )
    })
}

/// Whether a version is surely older than another: both are dates or numbers, such as 2026-11-27 or 1.10.
fn older(version: &str, than: &str) -> bool {
    let parts = |text: &str| -> Option<Vec<u64>> {
        let parts = text.split(['-', '.', '_', ':', 'T', ' ']);
        parts
            .map(|part| part.trim_end_matches('Z').parse().ok())
            .collect()
    };
    match (parts(version), parts(than)) {
        (Some(version), Some(than)) => version.len() == than.len() && version < than,
        _ => false,
    }
}

/// Shows the lists as they were last imported.
pub(super) async fn list(context: &Context, json: bool) -> Result<ExitCode, Failure> {
    let value = context.client().await?.list(What::Lists).await?;
    if json {
        say!("{value}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = context.clock.now_ms();
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        say!("none")?;
    }
    for it in all {
        say!("{}", told(it, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A list in words.
fn told(list: &Value, now: u64) -> String {
    let since = number(list, "effective_unix_ms").unwrap_or_default();
    let (when, logged) = (
        wording::time(since),
        wording::time(number(list, "logged_unix_ms").unwrap_or_default()),
    );
    let holds = match since > now {
        true => {
            format!("takes effect at {when}, IN THE FUTURE: the version before holds until then")
        }
        false => format!("in force since {when}"),
    };
    let missing = match list.get("at_hand").and_then(Value::as_bool) {
        Some(true) => "",
        _ => "\n  its file is not at hand: nobody is screened against it",
    };
    let head = format!(
        "{} version {}, {}, {} entries: {holds}",
        text(list, "list"),
        text(list, "version"),
        text(list, "format"),
        number(list, "rows").unwrap_or_default(),
    );
    format!(
        "{}\n  logged at index {}, {logged}; SHA-256 {}{missing}",
        wording::plain(&head),
        number(list, "index").unwrap_or_default(),
        text(list, "digest")
    )
}

/// Says which hits came, which went, and which are of another class.
fn changed(
    before: &BTreeMap<String, (String, String)>,
    after: &BTreeMap<String, (String, String)>,
    all: &Value,
) -> Result<(), Failure> {
    let new = after.iter().filter(|(id, _)| !before.contains_key(*id));
    let gone = before.iter().filter(|(id, _)| !after.contains_key(*id));
    let other = after.iter().filter_map(|(id, (class, line))| {
        let (was, _) = before.get(id)?;
        (was != class).then(|| format!("{line}, was {was}"))
    });
    let other: Vec<String> = other.collect();
    for (_, (_, line)) in new.clone() {
        say!("+ {line}")?;
    }
    for (_, (_, line)) in gone.clone() {
        say!("- {line}")?;
    }
    for line in &other {
        say!("~ {line}")?;
    }
    let parties: std::collections::BTreeSet<&str> =
        hits(all).map(|hit| text(hit, "party")).collect();
    say!(
        "{} hits on {} parties: {} new, {} gone, {} of another class; {} to be decided (`affiant-verifier lists hits`)",
        after.len(),
        parties.len(),
        new.count(),
        gone.count(),
        other.len(),
        hits(all)
            .filter(|hit| text(hit, "disposition") == "undecided")
            .count()
    )
}

fn id(list: &str) -> Result<(), Failure> {
    let good = (1..=64).contains(&list.len())
        && list
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
    match good {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "--list `{list}` is not 1 to 64 of a-z, 0-9, `-`, `.`, `_`"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn asked(version: &str, format: &str) -> ImportList {
        ImportList {
            file: "x".into(),
            list: "csl".into(),
            version: version.into(),
            format: format.into(),
            effective: None,
            key: "k".into(),
            replace: false,
        }
    }

    #[test]
    fn a_version_that_is_older_or_of_another_format_is_a_slip_and_a_newer_one_is_none() {
        let stands = serde_json::json!({
            "list": "csl", "version": "2026-11-27", "format": "consolidated", "effective_unix_ms": 1_000,
            "digest": digest(b"the file").to_string(),
        });
        let file = digest(b"the file");
        let slip = |version, format, from| replaces(&stands, &asked(version, format), from, &file);
        assert_eq!(slip("2026-11-28", "consolidated", 1_000), None);
        assert_eq!(
            slip("2026-11-27", "consolidated", 1_000),
            None,
            "said twice"
        );
        assert_eq!(
            slip("autumn", "consolidated", 1_000),
            None,
            "nobody can tell"
        );
        for (version, format, from, due) in [
            (
                "2026-11-28",
                "aliases",
                1_000,
                "format consolidated, and this is format aliases",
            ),
            (
                "2026-11-3",
                "consolidated",
                1_000,
                "version 2026-11-27, format consolidated, and this is version 2026-11-3",
            ),
            ("2026-11-28", "consolidated", 999, "which is before it"),
        ] {
            let said = slip(version, format, from).unwrap();
            assert!(said.contains(due), "{said}");
        }
        let other = asked("2026-11-27", "consolidated");
        let said = replaces(&stands, &other, 1_000, &digest(b"another")).unwrap();
        assert!(said.contains("with another file"), "{said}");
        for (version, than, is) in [
            ("2", "10", true),
            ("10", "2", false),
            ("1.9", "1.10", true),
            ("1.9", "1.10.1", false),
            ("2026-11-27", "7", false),
        ] {
            assert_eq!(older(version, than), is, "{version} {than}");
        }
    }

    #[test]
    fn a_version_that_is_to_come_says_so() {
        let list = serde_json::json!({
            "list": "csl", "version": "2", "format": "operator", "rows": 3, "index": 7, "digest": "ab",
            "logged_unix_ms": 0, "effective_unix_ms": 86_400_000, "at_hand": true,
        });
        assert!(
            told(&list, 86_399_999).contains("takes effect at 1970-01-02T00:00:00Z, IN THE FUTURE")
        );
        assert!(told(&list, 86_400_000).contains("in force since 1970-01-02T00:00:00Z"));
    }
}
