//! What the server holds, as a table for people or as JSON.

use std::process::ExitCode;

use serde_json::Value;

use super::{Context, Failure, text};
use crate::{
    rpc::admin::{self as rpc, list_request::What},
    wording,
};

pub(super) async fn list(context: &Context, what: What, json: bool) -> Result<ExitCode, Failure> {
    let value = context.client().await?.list(what).await?;
    if json {
        println!("{value}");
    } else {
        table(&value);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn findings(context: &Context, json: bool) -> Result<ExitCode, Failure> {
    let value = context.client().await?.list(What::Findings).await?;
    let findings = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if json {
        println!("{value}");
    } else if findings.is_empty() {
        println!("no findings");
    } else {
        for finding in findings {
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
            println!(
                "{:<8} {:<24} {}",
                text(finding, "severity"),
                text(finding, "rule"),
                whose
            );
            println!("         {}", text(finding, "title"));
            println!(
                "         {} to {}   id {}\n",
                time("opened_unix_ms"),
                time("last_unix_ms"),
                text(finding, "id")
            );
        }
    }
    Ok(ExitCode::from(u8::from(!findings.is_empty())))
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
    println!(
        "read {} log entries\nbefore  {}\nafter   {}",
        rebuilt.entries,
        hex(&rebuilt.before),
        hex(&rebuilt.after)
    );
    println!(
        "{}",
        if rebuilt.before == rebuilt.after {
            "the same rows"
        } else {
            "the rows differ: the registry had departed from the log"
        }
    );
    Ok(ExitCode::SUCCESS)
}

/// Prints objects with the same keys as aligned columns; what is no text or number is left out.
fn table(value: &Value) {
    let rows = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(Value::Object(first)) = rows.first() else {
        println!("none");
        return;
    };
    let keys: Vec<&String> = first
        .iter()
        .filter(|(_, v)| !v.is_array() && !v.is_object())
        .map(|(k, _)| k)
        .collect();
    let cell = |row: &Value, key: &str| match row.get(key) {
        Some(Value::String(text)) => text.clone(),
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
        println!("{}", padded.join("  ").trim_end());
    };
    line(keys.iter().map(|k| k.replace('_', " ")).collect());
    for row in rows {
        line(keys.iter().map(|key| cell(row, key)).collect());
    }
}
