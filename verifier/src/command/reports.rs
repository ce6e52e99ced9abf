//! `report`: writes the files that the server sends into a new directory.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Component, Path},
    process::ExitCode,
};

use super::{Context, Failure};
use crate::{cli, rpc::admin as rpc};

pub(super) async fn write(context: &Context, options: &cli::Report) -> Result<ExitCode, Failure> {
    if options.from >= options.to {
        return Err(Failure::usage("--from must come before --to"));
    }
    let out = &options.out;
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| Failure::io(format!("{path}: {error}"))
    };
    if out.exists() && fs::read_dir(out).map_err(io(out))?.next().is_some() {
        return Err(Failure::usage(format!(
            "{}: is not empty; name a new directory",
            out.display()
        )));
    }
    let request = rpc::ReportRequest {
        from_unix_ms: options.from,
        to_unix_ms: options.to,
        tenant: options.tenant.clone().unwrap_or_default(),
    };
    let mut files = context
        .client()
        .await?
        .calls()
        .report(request)
        .await?
        .into_inner();
    fs::create_dir_all(out).map_err(io(out))?;
    let (mut names, mut bytes, mut report) = (Vec::new(), 0, Vec::new());
    while let Some(file) = files.message().await? {
        let name = Path::new(&file.name);
        // The server is trusted with the content, not with the place.
        let parts: Vec<_> = name.components().collect();
        let known = match parts.as_slice() {
            [Component::Normal(_)] => true,
            [Component::Normal(folder), Component::Normal(_)] => *folder == "exhibits",
            _ => false,
        };
        if !known {
            return Err(Failure::io(format!(
                "the server sent a file named `{}`",
                file.name
            )));
        }
        let path = out.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io(folder))?;
        }
        let mut target = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(io(&path))?;
        target
            .write_all(&file.content)
            .and_then(|()| target.sync_all())
            .map_err(io(&path))?;
        bytes += file.content.len();
        if file.name == affiant_report::files::REPORT {
            report.extend_from_slice(&file.content);
        }
        if names.last() != Some(&file.name) {
            names.push(file.name);
        }
    }
    use_by_tenant(&report)?;
    say!(
        "wrote   {} ({} files, {} KiB)",
        out.display(),
        names.len(),
        bytes.div_ceil(1_024)
    )?;
    say!("read    {}", out.join("report.html").display())?;
    say!(
        "verify  affiant-audit verify {} --trust FILE",
        out.display()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Prints GPU time by tenant and device class, the figures that are asked for first.
fn use_by_tenant(report: &[u8]) -> Result<(), Failure> {
    let report: serde_json::Value = serde_json::from_slice(report).unwrap_or_default();
    let rows = report
        .get("tenant_use")
        .and_then(|rows| rows.as_array())
        .map(Vec::as_slice)
        .unwrap_or_default();
    say!(
        "{:<16} {:<13} {:>10} {:>10} {:>10} {:>9}",
        "tenant",
        "device class",
        "GPU time",
        "held",
        "busy",
        "energy"
    )?;
    for row in rows {
        say!(
            "{:<16} {:<13} {:>10} {:>10} {:>10} {:>9}",
            super::text(row, "tenant"),
            super::text(row, "class"),
            hours(amount(row, "attributed_ms")),
            hours(amount(row, "allocated_ms")),
            hours(amount(row, "busy_ms")),
            format!("{} kJ", amount(row, "energy_mj") / 1_000_000),
        )?;
    }
    say!()
}

/// A figure that is a number, or a text where it exceeds what JSON numbers keep.
fn amount(row: &serde_json::Value, key: &str) -> u128 {
    let value = row.get(key);
    let number = value.and_then(serde_json::Value::as_u64).map(u128::from);
    number
        .or_else(|| value?.as_str()?.parse().ok())
        .unwrap_or_default()
}

fn hours(ms: u128) -> String {
    match ms / 1_000 {
        s @ 0..3_600 => format!("{} min {:02} s", s / 60, s % 60),
        s => format!("{} h {:02} min", s / 3_600, s / 60 % 60),
    }
}
