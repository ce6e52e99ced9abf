//! What the server holds, as a table for people or as JSON.

use std::process::ExitCode;

use affiant_judge::handling::Handling;
use serde_json::Value;

use super::{Context, Failure, text};
use crate::{
    cli::Findings,
    rpc::admin::{self as rpc, list_request::What},
    wording,
};

pub(super) async fn list(context: &Context, what: What, json: bool) -> Result<ExitCode, Failure> {
    let value = context.client().await?.list(what).await?;
    if json {
        say!("{value}")?;
    } else {
        table(&value)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn findings(context: &Context, options: &Findings) -> Result<ExitCode, Failure> {
    let what = match options.shadow {
        true => What::Tried,
        false => What::Findings,
    };
    let all = options.all;
    let value = context.client().await?.list(what).await?;
    let findings = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let left = findings.iter().filter(|finding| !settled(finding)).count();
    if options.json {
        say!("{value}")?;
    } else if findings.is_empty() {
        say!("no findings")?;
    } else {
        let shown = findings.iter().filter(|finding| all || !settled(finding));
        for finding in shown {
            let time = |key: &str| {
                finding
                    .get(key)
                    .and_then(Value::as_u64)
                    .map(wording::time)
                    .unwrap_or_default()
            };
            let whose = [text(finding, "tenant"), text(finding, "host")]
                .iter()
                .filter(|t| !t.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join(" on ");
            say!(
                "{:<8} {:<24} {}",
                text(finding, "severity"),
                text(finding, "rule"),
                wording::plain(&whose)
            )?;
            say!("         {}", wording::plain(text(finding, "title")))?;
            if let Some(policy) = finding.get("policy").and_then(Value::as_str) {
                say!("         policy {policy} of {}", text(finding, "pack"))?;
            }
            say!(
                "         {} to {}   id {}",
                time("opened_unix_ms"),
                time("last_unix_ms"),
                text(finding, "id")
            )?;
            if let Some(handling) = handling(finding) {
                say!("         {}", wording::plain(&handling.to_string()))?;
            }
            say!()?;
        }
        let settled = findings.len() - left;
        say!(
            "{left} with which something is left to do, {settled} settled{}",
            if all || settled == 0 {
                ""
            } else {
                " (--all shows them)"
            }
        )?;
    }
    let counted = !options.shadow && left > 0;
    Ok(ExitCode::from(u8::from(counted)))
}

/// What officers did about a finding last.
pub(super) fn handling(finding: &Value) -> Option<Handling> {
    serde_json::from_value(finding.get("handling")?.clone()).ok()
}

fn settled(finding: &Value) -> bool {
    handling(finding).is_some_and(|handling| handling.is_settled())
}

pub(super) async fn rebuild(context: &Context) -> Result<ExitCode, Failure> {
    let rebuilt = context
        .client()
        .await?
        .calls()
        .rebuild(rpc::RebuildRequest {})
        .await?
        .into_inner();
    let hex = |bytes: &[u8]| {
        affiant_proto::Digest::try_from(bytes)
            .map(|d| d.to_string())
            .unwrap_or_default()
    };
    say!(
        "read {} log entries\nbefore  {}\nafter   {}",
        rebuilt.entries,
        hex(&rebuilt.before),
        hex(&rebuilt.after)
    )?;
    say!(
        "{}",
        if rebuilt.before == rebuilt.after {
            "the same rows"
        } else {
            "the rows differ: the registry had departed from the log"
        }
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Prints objects with the same keys as aligned columns; what is no text or number is left out.
fn table(value: &Value) -> Result<(), Failure> {
    let rows = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(Value::Object(first)) = rows.first() else {
        return say!("none");
    };
    let keys: Vec<&String> = first
        .iter()
        .filter(|(_, v)| !v.is_array() && !v.is_object())
        .map(|(k, _)| k)
        .collect();
    let cell = |row: &Value, key: &str| match row.get(key) {
        Some(Value::String(text)) => wording::plain(text),
        Some(Value::Null) | None => "-".into(),
        Some(other) => other.to_string(),
    };
    let width = |key: &&String| {
        let cells = rows.iter().map(|row| cell(row, key).chars().count());
        cells.chain([key.len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = keys.iter().map(width).collect();
    let line = |cells: Vec<String>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(c, w)| format!("{c:<w$}"))
            .collect();
        say!("{}", padded.join("  ").trim_end())
    };
    line(keys.iter().map(|k| k.replace('_', " ")).collect())?;
    for row in rows {
        line(keys.iter().map(|key| cell(row, key)).collect())?;
    }
    Ok(())
}
