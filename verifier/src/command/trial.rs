//! `policy diff`: what of a past period another pack would have found.

use std::{io::IsTerminal as _, process::ExitCode, time::Instant};

use serde_json::Value;

use super::{Context, Failure, policy, text};
use crate::{
    cli,
    rpc::admin::{self as rpc, list_request::What},
    wording,
};

/// Milliseconds before now from which findings are compared where none is said: thirty days.
const BACK_MS: u64 = 30 * 86_400_000;

/// Findings of one sort that are shown; `--json` has all.
const SHOWN: usize = 20;

pub(super) async fn run(context: &Context, options: &cli::DiffPack) -> Result<ExitCode, Failure> {
    let to = options.to.unwrap_or_else(|| context.clock.now_ms());
    let from = options.from.unwrap_or(to.saturating_sub(BACK_MS));
    if from >= to {
        return Err(Failure::usage("--from must come before --to"));
    }
    let files = policy::read(&options.dir)?;
    let pack = policy::parse(&options.dir, &files)?;
    let request = rpc::TryPackRequest {
        from_unix_ms: from,
        to_unix_ms: to,
        pack: files.to_bytes(),
    };
    let mut client = context.client().await?;
    let mut replies = client.calls().try_pack(request).await?.into_inner();
    let (begun, mut found) = (Instant::now(), String::new());
    while let Some(reply) = replies.message().await? {
        progress(begun, reply.done, reply.total, !reply.json.is_empty());
        found = reply.json;
    }
    let found: Value = serde_json::from_str(&found)
        .map_err(|_| Failure::io("the server ended before it had a result; see its log"))?;
    let changes = ["gone", "new", "changed"].map(|sort| all(&found, sort).len());
    if options.json {
        say!("{found}")?;
    } else {
        say!("pack      {}", pack.label())?;
        say!("digest    {}", pack.digest())?;
        say!("policies  {}", policy::modes(&pack))?;
        say!("instead   {}", in_force(&found))?;
        for line in judged(&found, &client.list(What::Packs).await?) {
            say!("          {line}")?;
        }
        say!("period    {} to {}", wording::time(from), wording::time(to))?;
        let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
        say!(
            "entries   {} of the log, from its beginning",
            number(found.get("entries"))
        )?;
        let same = found.get("difference").and_then(|it| it.get("same"));
        say!("the same  {}", number(same))?;
        show("gone", "would not have been found", all(&found, "gone"))?;
        show("new", "would have been found", all(&found, "new"))?;
        otherwise(all(&found, "changed"))?;
        say!("\nnothing was logged and nothing changed")?;
    }
    Ok(ExitCode::from(u8::from(
        changes.iter().any(|many| *many > 0),
    )))
}

/// Findings of one sort; a change counts as one.
fn all<'a>(found: &'a Value, sort: &str) -> &'a [Value] {
    let of = found.get("difference").and_then(|it| it.get(sort));
    of.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn in_force(found: &Value) -> String {
    let packs = found.get("in_force").and_then(Value::as_array);
    let packs = packs.map(Vec::as_slice).unwrap_or_default().iter();
    let packs: Vec<&str> = packs.filter_map(Value::as_str).collect();
    packs.join(", then ")
}

/// The packs that judged, each with its digest and how many of its policies count.
fn judged(found: &Value, known: &Value) -> Vec<String> {
    let judged = in_force(found);
    let is_one = |pack: &&Value| {
        let label = format!("{}@{}", text(pack, "pack"), text(pack, "version"));
        let mut judged = judged.split(", then ");
        text(pack, "stands") != "waiting" && judged.any(|it| it == label)
    };
    let known = known.as_array().into_iter().flatten().filter(is_one);
    let line = |pack: &Value| {
        let number = |key: &str| pack.get(key).and_then(Value::as_u64).unwrap_or_default();
        format!(
            "{}@{}: digest {}, {} enforced, {} in shadow",
            text(pack, "pack"),
            text(pack, "version"),
            text(pack, "digest"),
            number("enforced"),
            number("in_shadow"),
        )
    };
    known.map(line).collect()
}

fn show(sort: &str, what: &str, findings: &[Value]) -> Result<(), Failure> {
    say!("\n{sort}: {} {what}", findings.len())?;
    for finding in findings.iter().take(SHOWN) {
        say!("  {}", line(finding))?;
    }
    rest(findings.len())
}

fn otherwise(changes: &[Value]) -> Result<(), Failure> {
    say!(
        "\nchanged: {} would have been found otherwise",
        changes.len()
    )?;
    for change in changes.iter().take(SHOWN) {
        let of = |side: &str| change.get(side).unwrap_or(&Value::Null);
        let (was, would_be) = (of("was"), of("would_be"));
        say!("  {}", line(was))?;
        let mut told = Vec::new();
        for (what, side) in [("was", was), ("would be", would_be)] {
            let time = |key: &str| side.get(key).and_then(Value::as_u64).map(wording::time);
            told.push(format!(
                "{what} {}{}, {} to {}",
                text(side, "severity"),
                if is_shadow(side) { " in shadow" } else { "" },
                time("opened_unix_ms").unwrap_or_default(),
                time("last_unix_ms").unwrap_or_default(),
            ));
        }
        say!("    {}", told.join("; "))?;
    }
    rest(changes.len())
}

fn rest(many: usize) -> Result<(), Failure> {
    match many.checked_sub(SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => say!("  and {more} more; --json has all"),
    }
}

fn is_shadow(finding: &Value) -> bool {
    finding.get("shadow").and_then(Value::as_bool) == Some(true)
}

fn line(finding: &Value) -> String {
    let policy = text(finding, "policy");
    let policy = match policy {
        "" => String::new(),
        policy => format!(" by {policy}"),
    };
    let shadow = if is_shadow(finding) {
        ", in shadow"
    } else {
        ""
    };
    let line = format!(
        "{:<8} {:<24} {}{policy}{shadow}",
        text(finding, "severity"),
        text(finding, "rule"),
        text(finding, "title"),
    );
    wording::plain(&line)
}

/// Shows on a terminal how far it is, and how long it will take.
fn progress(begun: Instant, done: u64, total: u64, last: bool) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let passed = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "shown to a second")]
    let left = passed * (total.saturating_sub(done)) as f64 / (done.max(1)) as f64;
    let end = if last { "\n" } else { "" };
    super::say::beside(format_args!(
        "\r{done} of {total} entries, {left:.0} s left   {end}"
    ));
}
