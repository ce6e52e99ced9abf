//! `status`: one screen for people, JSON for machines, one exit code for both.

use std::process::ExitCode;

use serde_json::Value;

use super::{Context, Failure, text};
use crate::{rpc::admin as rpc, wording};

/// Hosts of one list that the screen shows; `--json` has more.
const SHOWN: usize = 8;

pub(super) async fn status(context: &Context, json: bool) -> Result<ExitCode, Failure> {
    let answer = context
        .client()
        .await?
        .calls()
        .status(rpc::StatusRequest {})
        .await?
        .into_inner();
    let summary: Value = serde_json::from_str(&answer.json).map_err(Failure::io)?;
    if json {
        println!("{}", answer.json);
    } else {
        print!("{}", screen(&summary, &answer.genesis));
    }
    let code = summary.get("exit_code").and_then(Value::as_u64);
    // A server that does not say is not understood.
    Ok(ExitCode::from(
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(3),
    ))
}

fn screen(summary: &Value, genesis: &[u8]) -> String {
    let mut lines = Vec::new();
    let mut say = |label: &str, what: String| lines.push(format!("{label:<13}{what}"));
    say("state", text(summary, "state").replace('_', " "));
    for why in list(summary, &["reasons"]) {
        say("", why.as_str().unwrap_or_default().to_owned());
    }
    say(
        "log",
        format!(
            "{}, epoch {}, {} entries, newest {} ago",
            string(summary, &["log", "origin"]),
            count(summary, &["log", "epoch"]),
            count(summary, &["log_size"]),
            span(number(summary, &["log", "checkpoint_age_ms"])),
        ),
    );
    say("genesis", affiant_proto::digest(genesis).to_string());
    say(
        "written",
        format!(
            "{} MB a day, {} statements wait for the writer, the judge is {} entries behind",
            number(summary, &["log", "bytes_per_day"])
                .map_or_else(|| "?".into(), |bytes| (bytes / 1_000_000).to_string()),
            count(summary, &["queue"]),
            count(summary, &["log_size"]).saturating_sub(count(summary, &["judged"])),
        ),
    );
    say(
        "disk",
        format!(
            "{} free, {} at the present rate",
            number(summary, &["disk", "free_bytes"]).map_or_else(
                || "unknown".into(),
                |bytes| format!("{} GB", bytes / 1_000_000_000)
            ),
            number(summary, &["disk", "days_left"])
                .map_or_else(|| "days left unknown".into(), |days| format!("{days} days")),
        ),
    );
    for (url, answer) in object(summary, "witnesses") {
        say("witness", witness(url, answer));
    }
    let standing = at(summary, &["fleet", "standing"]).and_then(Value::as_object);
    let standing = standing.into_iter().flatten();
    let standing: Vec<String> = standing.map(|(name, n)| format!("{n} {name}")).collect();
    say(
        "hosts",
        format!(
            "{}; {} connected, {} silent, {} of them planned",
            or(standing.join(", "), "none"),
            count(summary, &["fleet", "connected"]),
            count(summary, &["fleet", "silent_count"]),
            count(summary, &["fleet", "planned_count"]),
        ),
    );
    for host in list(summary, &["fleet", "silent"]).iter().take(SHOWN) {
        let since = number(host, &["since_unix_ms"]).map_or_else(|| "ever".into(), wording::time);
        let (name, why) = (text(host, "host"), text(host, "why"));
        say("  silent", format!("{name} since {since}: {why}"));
    }
    for host in list(summary, &["fleet", "behind"]).iter().take(SHOWN) {
        let to =
            number(host, &["included_to_unix_ms"]).map_or_else(|| "never".into(), wording::time);
        let (name, n) = (text(host, "host"), count(host, &["statements"]));
        say(
            "  behind",
            format!("{name} has {n} statements that are not INCLUDED; included up to {to}"),
        );
    }
    let open: Vec<String> = object(summary, "open_findings")
        .map(|(severity, n)| format!("{n} {severity}"))
        .collect();
    say(
        "findings",
        format!(
            "open: {}; {} in all",
            or(open.join(", "), "none"),
            count(summary, &["findings"])
        ),
    );
    say(
        "certificates",
        format!(
            "authority {} days, server {} days",
            number(summary, &["certificates", "ca_days_left"])
                .map_or_else(|| "?".into(), |days| days.to_string()),
            count(summary, &["certificates", "server_days_left"]),
        ),
    );
    for class in list(summary, &["device_time"]) {
        let share = |key: &str| count(class, &[key]) / 1_000;
        say(
            text(class, "class"),
            format!(
                "{} s of device time: {} s tenants, {} s idle, {} s unattributed, {} s not observed ({} s by plan)",
                share("total_ms"),
                share("tenants_ms"),
                share("idle_ms"),
                share("unattributed_ms"),
                share("not_observed_ms"),
                share("planned_ms"),
            ),
        );
    }
    lines.push(String::new());
    lines.join("\n")
}

fn witness(url: &str, answer: &Value) -> String {
    if answer.is_null() {
        return format!("{url}: not asked yet");
    }
    let cosigned = match number(answer, &["cosigned_size"]) {
        Some(size) => {
            let at = number(answer, &["cosigned_unix_ms"]).unwrap_or_default();
            format!("cosigned {size} entries at {}", wording::time(at))
        }
        None => "cosigned nothing since this verifier started".into(),
    };
    match text(answer, "error") {
        "" => format!("{url}: {cosigned}"),
        error => format!("{url}: {cosigned}; {error}"),
    }
}

fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

fn number(value: &Value, path: &[&str]) -> Option<u64> {
    at(value, path).and_then(Value::as_u64)
}

/// A number that is always there.
fn count(value: &Value, path: &[&str]) -> u64 {
    number(value, path).unwrap_or_default()
}

fn string<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    let found = at(value, path).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

fn object<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value
        .get(key)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn or(text: String, none: &str) -> String {
    if text.is_empty() { none.into() } else { text }
}

/// A span as people say it.
fn span(ms: Option<u64>) -> String {
    match ms.map(|ms| ms / 1_000) {
        None => "?".into(),
        Some(s) if s < 120 => format!("{s} s"),
        Some(s) if s < 7_200 => format!("{} min", s / 60),
        Some(s) if s < 172_800 => format!("{} h", s / 3_600),
        Some(s) => format!("{} days", s / 86_400),
    }
}
