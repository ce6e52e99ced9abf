//! `status`: one screen for people, JSON for machines, one exit code for both.

use std::{collections::BTreeMap, process::ExitCode};

use affiant_report::hidden::is_hidden;
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
        say!("{}", answer.json)?;
    } else {
        put!("{}", screen(&summary, &answer.genesis))?;
    }
    Ok(ExitCode::from(exit_code(&summary)))
}

fn exit_code(summary: &Value) -> u8 {
    let code = number(summary, &["exit_code"]);
    // A server that does not say is not understood.
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(3)
}

fn screen(summary: &Value, genesis: &[u8]) -> String {
    let mut lines = Vec::new();
    let mut say = |label: &str, what: String| {
        // Hosts, witnesses and receivers said some of it.
        let shown = |c| {
            if is_hidden(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        };
        let line = format!("{label:<13}{what}");
        lines.push(line.chars().map(shown).collect::<String>());
    };
    say("state", text(summary, "state").replace('_', " "));
    for why in list(summary, &["reasons"]) {
        say("", why.as_str().unwrap_or_default().to_owned());
    }
    say(
        "log",
        format!(
            "{}, {} entries, newest {} ago",
            string(summary, &["log", "origin"]),
            count(summary, &["log_size"]),
            span(number(summary, &["log", "checkpoint_age_ms"])),
        ),
    );
    let epoch = count(summary, &["log", "epoch"]);
    say("lock", format!("held by this verifier, epoch {epoch}"));
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
    for (name, standing) in object(summary, "receivers") {
        say("receiver", receiver(name, standing));
    }
    let standing = at(summary, &["fleet", "standing"]).and_then(Value::as_object);
    let standing: BTreeMap<&String, &Value> = standing.into_iter().flatten().collect();
    let standing: Vec<String> = standing
        .into_iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
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
    for (label, what) in worst(summary) {
        say(label, what);
    }
    say("policy", policy(summary));
    let open: Vec<String> = object(summary, "open_findings")
        .into_iter()
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
            "authority {} days, server {} days{}",
            number(summary, &["certificates", "ca_days_left"])
                .map_or_else(|| "?".into(), |days| days.to_string()),
            count(summary, &["certificates", "server_days_left"]),
            first_to_end(summary),
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

/// The hosts that are worst off by what they say themselves.
fn worst(summary: &Value) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let of = |which| at(summary, &["fleet", "worst", which]).filter(|host| !host.is_null());
    if let Some(host) = of("oldest_waiting") {
        let sealed = number(host, &["spool", "oldest_waiting_unix_ms"]);
        let sealed = sealed.map_or_else(|| "?".into(), wording::time);
        let (name, told) = (text(host, "host"), told(host));
        let what = format!("{name}: sealed {sealed} and not INCLUDED, as the host said at {told}");
        lines.push(("  oldest", what));
    }
    if let Some(host) = of("spool") {
        let (name, told) = (text(host, "host"), told(host));
        let megabytes = |key| count(host, &["spool", key]) / 1_000_000;
        let what = format!(
            "{name}: {} of {} MB, {} days left, as the host said at {told}",
            megabytes("bytes"),
            megabytes("max_bytes"),
            count(host, &["spool", "days_left"]),
        );
        lines.push(("  spool", what));
    }
    lines
}

fn told(host: &Value) -> String {
    number(host, &["spool", "told_unix_ms"]).map_or_else(|| "?".into(), wording::time)
}

/// The connected host whose certificate ends first.
fn first_to_end(summary: &Value) -> String {
    let host = at(summary, &["fleet", "worst", "certificate"]);
    let days = host.and_then(|host| number(host, &["certificate_days_left"]));
    host.zip(days).map_or_else(String::new, |(host, days)| {
        format!(
            ", of the connected hosts first {} {days} days",
            text(host, "host")
        )
    })
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

/// The pack in force.
fn policy(summary: &Value) -> String {
    let of = |key| string(summary, &["policy", key]);
    let digest: String = of("digest").chars().take(16).collect();
    let mut told = format!(
        "{} {} ({digest}…), judges from log index {} on",
        of("pack"),
        of("version"),
        count(summary, &["policy", "from_index"])
    );
    match count(summary, &["policy", "waiting"]) {
        0 => {}
        waiting => told += &format!("; {waiting} wait for a second officer: `policy show`"),
    }
    told
}

fn receiver(name: &str, standing: &Value) -> String {
    let mut told = format!("{name} ({})", text(standing, "kind"));
    told += &match number(standing, &["taken_unix_ms"]) {
        Some(at) => {
            format!(": took {} events", count(standing, &["taken"]))
                + ", the last at "
                + &wording::time(at)
        }
        None => ": took nothing since this verifier started".into(),
    };
    if let Some(since) = number(standing, &["waiting_since_unix_ms"]) {
        let (waiting, since) = (count(standing, &["waiting"]), wording::time(since));
        told += &format!("; {waiting} findings wait since {since}");
    }
    match text(standing, "error") {
        "" => told,
        error => format!("{told}; {error}"),
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

/// The entries of an object by their names, whatever order they are sent in.
fn object<'a>(value: &'a Value, key: &str) -> BTreeMap<&'a String, &'a Value> {
    value
        .get(key)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .collect()
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

#[cfg(test)]
mod tests {
    use affiant_judge::{
        Severity,
        accounting::{Amount, ClassUse},
    };

    use super::*;
    use crate::{
        deliver,
        hosts::Standing,
        presence::ToldSpool,
        status::{
            Behind, Certificates, Fleet, Log, PolicyLook, Seen, Silent, Space, State, Summary,
            Worst,
        },
        witness::Answer,
    };

    /// 2027-01-15T08:00:00Z.
    const NOW: u64 = 1_800_000_000_000;

    fn seen(host: &str) -> Seen {
        Seen {
            host: host.into(),
            chain: "5a".repeat(32),
            connected: true,
            certificate_ends_unix_ms: Some(NOW + 12 * 86_400_000),
            certificate_days_left: Some(12),
            spool: Some(ToldSpool {
                told_unix_ms: NOW - 20_000,
                oldest_waiting_unix_ms: Some(NOW - 3_600_000),
                bytes: 700_000_000,
                max_bytes: 1_000_000_000,
                days_left: Some(2),
            }),
        }
    }

    fn silent(host: &str, since_unix_ms: Option<u64>, why: &str) -> Silent {
        Silent {
            host: host.into(),
            chain: "5a".repeat(32),
            since_unix_ms,
            why: why.into(),
            planned: None,
        }
    }

    /// A verifier of which there is something to say on every line.
    fn summary() -> Summary {
        let cosigned = Answer {
            cosigned_size: Some(1_190),
            cosigned_unix_ms: Some(NOW - 60_000),
            ..Answer::default()
        };
        let refuses = Answer {
            error: Some("holds another root".into()),
            contradicts: true,
            ..Answer::default()
        };
        Summary {
            state: State::LogTrouble,
            exit_code: State::LogTrouble as u8,
            reasons: vec![
                "a witness refuses this log".into(),
                "2 hosts are silent".into(),
            ],
            log_size: 1_200,
            judged: 1_197,
            officers: 2,
            hosts: 5,
            findings: 7,
            log: Log {
                origin: "test.example/affiant/1".into(),
                generations_before: 0,
                epoch: 3,
                checkpoint_age_ms: 4_000,
                bytes_per_day: Some(50_000_000),
            },
            disk: Space {
                free_bytes: Some(90_000_000_000),
                days_left: Some(1_700),
            },
            witnesses: BTreeMap::from([
                ("http://a.example".into(), Some(cosigned)),
                ("http://b.example".into(), Some(refuses)),
                ("http://c.example".into(), None),
            ]),
            receivers: BTreeMap::from([(
                "ops".into(),
                deliver::Standing {
                    kind: deliver::Kind::Webhook,
                    url: "https://ops.example/hook".into(),
                    waiting: 2,
                    waiting_since_unix_ms: Some(NOW - 60_000),
                    taken: 40,
                    taken_unix_ms: Some(NOW - 120_000),
                    error: Some("did not answer within 10 s".into()),
                },
            )]),
            fleet: Fleet {
                standing: BTreeMap::from([(Standing::Pending, 1), (Standing::Active, 4)]),
                connected: 2,
                most_in_flight: 9,
                silent_count: 2,
                planned_count: 1,
                silent: vec![
                    silent("gpu-3", None, "never reported"),
                    silent(
                        "gpu-4",
                        Some(NOW - 900_000),
                        "planned maintenance without an end",
                    ),
                ],
                behind: vec![Behind {
                    host: "gpu-2".into(),
                    statements: 360,
                    included_to_unix_ms: Some(NOW - 3_610_000),
                }],
                seen: vec![seen("gpu-1"), seen("gpu-2")],
                worst: Worst {
                    certificate: Some(seen("gpu-1")),
                    oldest_waiting: Some(seen("gpu-2")),
                    spool: Some(seen("gpu-2")),
                },
            },
            policy: PolicyLook {
                pack: "ours".into(),
                version: "7".into(),
                digest: "ab".repeat(32),
                from_index: 12,
                waiting: 1,
            },
            open_findings: BTreeMap::from([(Severity::Low, 1), (Severity::Critical, 2)]),
            certificates: Certificates {
                ca_days_left: Some(3_000),
                server_days_left: 29,
            },
            queue: 5,
            clock_behind_ms: 0,
            device_time: vec![ClassUse {
                class: "H100".into(),
                total_ms: Amount(100_000),
                tenants_ms: Amount(60_000),
                idle_ms: Amount(20_000),
                unattributed_ms: Amount(10_000),
                not_observed_ms: Amount(10_000),
                planned_ms: Amount(4_000),
                ..ClassUse::default()
            }],
        }
    }

    fn shown(summary: &Summary) -> (u8, String) {
        let value = serde_json::to_value(summary).unwrap_or_default();
        (exit_code(&value), screen(&value, b"genesis"))
    }

    #[test]
    fn the_screen_has_a_line_for_everything_that_somebody_may_have_to_mend() {
        let genesis = affiant_proto::digest(b"genesis");
        let due = format!(
            "\
state        log trouble
             a witness refuses this log
             2 hosts are silent
log          test.example/affiant/1, 1200 entries, newest 4 s ago
lock         held by this verifier, epoch 3
genesis      {genesis}
written      50 MB a day, 5 statements wait for the writer, the judge is 3 entries behind
disk         90 GB free, 1700 days at the present rate
witness      http://a.example: cosigned 1190 entries at 2027-01-15T07:59:00Z
witness      http://b.example: cosigned nothing since this verifier started; holds another root
witness      http://c.example: not asked yet
receiver     ops (webhook): took 40 events, the last at 2027-01-15T07:58:00Z; 2 findings wait since 2027-01-15T07:59:00Z; did not answer within 10 s
hosts        4 active, 1 pending; 2 connected, 2 silent, 1 of them planned
  silent     gpu-3 since ever: never reported
  silent     gpu-4 since 2027-01-15T07:45:00Z: planned maintenance without an end
  behind     gpu-2 has 360 statements that are not INCLUDED; included up to 2027-01-15T06:59:50Z
  oldest     gpu-2: sealed 2027-01-15T07:00:00Z and not INCLUDED, as the host said at 2027-01-15T07:59:40Z
  spool      gpu-2: 700 of 1000 MB, 2 days left, as the host said at 2027-01-15T07:59:40Z
policy       ours 7 (abababababababab…), judges from log index 12 on; 1 wait for a second officer: `policy show`
findings     open: 2 critical, 1 low; 7 in all
certificates authority 3000 days, server 29 days, of the connected hosts first gpu-1 12 days
H100         100 s of device time: 60 s tenants, 20 s idle, 10 s unattributed, 10 s not observed (4 s by plan)
"
        );
        assert_eq!(shown(&summary()), (2, due));
    }

    #[test]
    fn what_others_said_moves_no_cursor_and_forges_no_line() {
        let mut summary = summary();
        let lines = shown(&summary).1.lines().count();
        let evil = "no\nfindings     open: none\u{1b}[2A\u{202e}x";
        if let Some(ops) = summary.receivers.get_mut("ops") {
            ops.error = Some(evil.into());
        }
        summary.fleet.silent = vec![silent(evil, None, evil); 2];
        let (_, screen) = shown(&summary);
        assert_eq!(screen.lines().count(), lines, "{screen}");
        let hidden = |c: &char| is_hidden(*c) && *c != '\n';
        assert_eq!(screen.chars().find(hidden), None, "{screen:?}");
    }

    #[test]
    fn what_nobody_told_has_no_line() {
        let mut summary = summary();
        summary.fleet.worst = Worst::default();
        let (_, screen) = shown(&summary);
        for absent in ["  oldest", "  spool", "of the connected hosts"] {
            assert!(!screen.contains(absent), "{absent}: {screen}");
        }
    }

    #[test]
    fn each_state_has_the_exit_code_that_monitors_know() {
        for (state, code) in [
            (State::Well, 0),
            (State::Attention, 1),
            (State::LogTrouble, 2),
            (State::Unknown, 3),
        ] {
            let mut summary = summary();
            summary.state = state;
            summary.exit_code = state as u8;
            assert_eq!(shown(&summary).0, code);
        }
        assert_eq!(exit_code(&serde_json::json!({})), 3, "not understood");
        assert_eq!(exit_code(&serde_json::json!({"exit_code": 256})), 3);
    }

    #[test]
    fn a_number_that_a_host_made_up_breaks_no_screen() {
        let mut host = seen("gpu-2");
        host.spool = Some(ToldSpool {
            told_unix_ms: NOW,
            oldest_waiting_unix_ms: Some(u64::MAX),
            bytes: u64::MAX,
            max_bytes: 0,
            days_left: Some(u64::MAX),
        });
        let mut summary = summary();
        summary.fleet.worst.oldest_waiting = Some(host.clone());
        summary.fleet.worst.spool = Some(host);
        let (_, screen) = shown(&summary);
        assert_eq!(screen.matches("as the host said").count(), 2, "{screen}");
    }
}
