//! Records and findings as text.

use std::fmt::Write as _;

use affiant_report::{
    Conclusion, Verdict,
    calendar::{length, utc},
    words,
};

use super::{explain::Explained, record::Record, usage::Usage};
use crate::print::{harmless, meaning, signed_by};

/// Writes a record.
pub fn record(record: &Record) -> String {
    let mut out = String::new();
    let rows = rows(record);
    for (name, value) in &rows {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{name:<16}{}", harmless(value));
    }
    for field in &record.body {
        let _ = writeln!(out, "  {:<28}{}", field.name, harmless(&field.value));
    }
    if let Some(usage) = &record.usage {
        out.push('\n');
        out.push_str(&table(usage));
    }
    out
}

fn rows(record: &Record) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("log index", record.index.to_string()),
        ("kind", record.kind.clone()),
        ("digest", record.digest.clone()),
    ];
    if let Some(chain) = &record.chain {
        let by = record
            .by
            .as_ref()
            .map_or_else(String::new, |by| format!(" ({by})"));
        rows.push(("chain", format!("{chain}{by}")));
    }
    rows.push(("statement", record.sequence.to_string()));
    if let Some(previous) = &record.previous {
        rows.push(("previous", previous.clone()));
    }
    rows.push(("signed by", record.key.clone()));
    for held in &record.held {
        let mark = if held.ok { "ok" } else { "FAIL" };
        rows.push((held.what, format!("{mark}: {}", held.detail)));
    }
    let error = record
        .max_error_ms
        .map_or_else(String::new, |ms| format!(", within {ms} ms"));
    rows.push((
        "signer's time",
        format!("{} (clock {}{error})", utc(record.unix_ms), record.clock),
    ));
    if let Some(seen) = &record.seen {
        rows.push((
            "had seen",
            format!("{} at size {}, root {}", seen.origin, seen.size, seen.root),
        ));
    }
    let after = record
        .after_unix_ms
        .map_or_else(|| "unknown".to_owned(), utc);
    let before = record
        .before_unix_ms
        .map_or_else(|| "the next clock".to_owned(), utc);
    rows.push((
        "made between",
        format!("{after} and {before}, by the log's clock"),
    ));
    rows
}

/// Writes lines as a table; what was not read is a dash, never zero.
fn table(usage: &Usage) -> String {
    let heads = [
        "leaf", "device", "class", "whose", "time", "busy", "energy J", "workload",
    ];
    let read = |value: Option<u64>, spell: &dyn Fn(u64) -> String| {
        value.map_or_else(|| "-".to_owned(), spell)
    };
    let mut rows: Vec<[String; 8]> = vec![heads.map(str::to_owned)];
    for line in &usage.lines {
        let class = line
            .class
            .map_or_else(|| "-".to_owned(), |class| class.as_str().to_owned());
        let whose = line.reason.as_ref().map_or_else(
            || line.kind.to_owned(),
            |reason| format!("{}: {reason}", line.kind),
        );
        rows.push([
            line.leaf.to_string(),
            line.device.clone(),
            class,
            whose,
            length(line.time_ms.into()),
            read(line.busy_ms, &|ms| length(ms.into())),
            read(line.energy_mj, &|mj| (mj / 1_000).to_string()),
            line.workload.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let rows: Vec<[String; 8]> = rows
        .into_iter()
        .map(|row| row.map(|cell| harmless(&cell)))
        .collect();
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    if usage.withheld > 0 {
        let _ = writeln!(
            out,
            "{} more lines are not shown; the totals count them",
            usage.withheld
        );
    }
    for total in &usage.totals {
        let parts = [
            ("attributed", total.attributed_ms),
            ("idle", total.idle_ms),
            ("unattributed", total.unattributed_ms),
            ("not observed", total.not_observed_ms),
        ];
        let parts = parts.into_iter().filter(|(_, ms)| *ms > 0);
        let parts: Vec<String> = parts
            .map(|(what, ms)| format!("{what} {}", length(ms.into())))
            .collect();
        let _ = writeln!(
            out,
            "total of {}: {}",
            harmless(&total.device),
            parts.join(", ")
        );
    }
    out
}

/// Writes a finding with its evidence.
pub fn explained(explained: &Explained) -> String {
    let finding = &explained.finding;
    let mut out = String::new();
    let severity = finding.severity.as_str();
    let ends = if finding.open { ", and may go on" } else { "" };
    let evidence = &finding.evidence;
    let rows = [
        ("finding", finding.id.clone()),
        (
            "rule",
            format!(
                "{}, {severity}, rules version {}",
                finding.rule.as_str(),
                finding.rules_version
            ),
        ),
        (
            "policy",
            match (&finding.policy, &finding.pack) {
                (Some(policy), Some(pack)) if finding.shadow => {
                    format!("{policy} of {pack}, in shadow: it counts for nothing")
                }
                (Some(policy), Some(pack)) => format!("{policy} of {pack}"),
                _ => String::new(),
            },
        ),
        ("what happened", finding.title.clone()),
        (
            "when",
            format!(
                "{} to {}{ends}",
                utc(finding.opened_unix_ms),
                utc(finding.last_unix_ms)
            ),
        ),
        ("details", finding.details.join("; ")),
        ("what it means", explained.meaning.to_owned()),
        (
            "evidence",
            format!(
                "{} pieces, log indices {} to {}; the first {} are shown",
                evidence.count,
                evidence.first_index,
                evidence.last_index,
                explained.records.len()
            ),
        ),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(out, "{name:<16}{}", harmless(value));
    }
    let standing = words::standing(finding);
    let _ = writeln!(out, "{:<16}{standing}", "stands");
    match &finding.handling {
        None => {
            let _ = writeln!(out, "{:<16}{}", "", words::NOT_HANDLED);
        }
        Some(handling) => {
            let _ = writeln!(out, "{:<16}{}", "", words::means(handling));
            for signed in &handling.signed {
                let _ = writeln!(out, "{:<16}{}", "signed by", harmless(&signed_by(signed)));
            }
            if handling.overtaken {
                let _ = writeln!(out, "{:<16}{}", "", words::OVERTAKEN);
            }
            let _ = writeln!(out, "{:<16}{}", "", words::HANDLED);
        }
    }
    for objection in &explained.objections {
        let (index, key) = (objection.index, &objection.key);
        let who = format!(
            "tenant {} at log index {index}, key {key}",
            objection.tenant
        );
        let _ = writeln!(out, "{:<16}{}", "disputed by", harmless(&who));
        let _ = writeln!(out, "{:<16}{}", "", harmless(&objection.text));
    }
    for one in &explained.records {
        out.push('\n');
        out.push_str(&record(one));
    }
    for index in &explained.not_shown {
        let _ = writeln!(out, "\nlog index {index} is not shown in this bundle");
    }
    out
}

/// Says what an explained finding rests on: the verdict over all from which it was derived.
pub fn rests_on(verdict: &Verdict) -> String {
    let mut out = String::from("\n");
    let unknown = verdict.checks.iter().filter(|check| check.unknown);
    let rows = [
        ("anchor", &verdict.anchor.text),
        ("integrity", &verdict.integrity.text),
    ];
    for (name, text) in rows {
        let _ = writeln!(out, "{name:<16}{}", harmless(text));
    }
    for check in unknown {
        let text = format!("{}: {}", check.name, check.detail);
        let _ = writeln!(out, "{:<16}{}", "not told", harmless(&text));
    }
    let conclusion = verdict.verdict;
    let _ = writeln!(
        out,
        "{:<16}{}: {}",
        "verdict",
        conclusion.as_str(),
        meaning(conclusion)
    );
    out
}

/// Says what may be concluded of one record.
pub fn holds(conclusion: Conclusion) -> String {
    let text = match conclusion {
        Conclusion::Broken => "what is marked FAIL does not hold; do not rely on this record",
        Conclusion::Incomplete => {
            "it holds by the log's own keys alone, and nothing that you trust was given: the operator \
             could have written all of it anew. Give --trust"
        }
        _ => {
            "it is signed by the key of its chain and stands in the log that you trust; whether others \
             saw the same log, `affiant-audit log` says"
        }
    };
    format!("\n{:<16}{}: {text}\n", "verdict", conclusion.as_str())
}
