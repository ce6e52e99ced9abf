//! `report.html`: the report for people. One file, no script, nothing loaded from anywhere.
//!
//! It is made from the document and the checkpoint alone, so a reader makes it again and compares
//! the bytes: the page cannot say something else than the report.

mod escape;
mod figures;
mod findings;
mod handling;
mod objections;
mod registry;

use std::fmt::{self, Write};

use affiant_proto::{
    Digest,
    tlog::{Checkpoint, Note},
};

use crate::{calendar::utc, document::Document, words};
use escape::Text;

/// Most rows of one table; what is beyond stands in `report.json`.
const MAX_ROWS: usize = 1_000;

/// The checkpoint as the page and the guide show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// Name of the log.
    pub origin: String,
    /// Size of its tree.
    pub size: u64,
    /// Root of the tree.
    pub root: String,
    /// Names under which the note is signed, as they stand there.
    pub signers: Vec<String>,
}

impl Anchored {
    /// Takes what a note says; whether its signatures hold is not said here.
    pub fn of(note: &Note, checkpoint: &Checkpoint) -> Self {
        Self {
            origin: checkpoint.origin().to_string(),
            size: checkpoint.size(),
            root: checkpoint.root().to_string(),
            signers: note
                .signatures()
                .iter()
                .map(|line| line.name().to_string())
                .collect(),
        }
    }
}

/// Writes the page.
pub fn render(document: &Document, report: Digest, anchored: &Anchored) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write_page(&mut out, document, report, anchored);
    out
}

fn write_page(
    out: &mut String,
    document: &Document,
    report: Digest,
    anchored: &Anchored,
) -> fmt::Result {
    let operator = Text(&document.operator.name);
    let (from, to) = (utc(document.period.from()), utc(document.period.to()));
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Usage report of {operator}</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         <header>\n<p class=\"kind\">Affiant usage report</p>\n<h1>{operator}</h1>\n\
         <p>{from} &ndash; {to}</p>\n",
        style = include_str!("style.css"),
    )?;
    match &document.scope.tenant {
        None => writeln!(out, "<p class=\"soft\">All tenants</p>")?,
        Some(tenant) => writeln!(
            out,
            "<p class=\"soft\">Lines of tenant <b>{}</b> only; all others are withheld and counted</p>",
            Text(tenant)
        )?,
    }
    writeln!(out, "</header>")?;
    unfinished(out, document)?;
    recorded(out, document)?;
    figures::tiles(out, document)?;
    statements(out, document)?;
    anchor(out, anchored)?;
    figures::tenants(out, document)?;
    objections::to_figures(out, document)?;
    figures::classes(out, document)?;
    findings::write(out, document)?;
    figures::hosts(out, document)?;
    registry::write(out, document)?;
    figures::devices(out, document)?;
    remarks(out, document)?;
    verifying(out, document, report)?;
    writeln!(out, "</body>\n</html>")
}

/// Says in the open where the log does not reach the period's end.
fn unfinished(out: &mut String, document: &Document) -> fmt::Result {
    match document.completeness.shown_until_unix_ms {
        Some(until) if until >= document.period.to() => Ok(()),
        Some(until) => writeln!(
            out,
            "<p class=\"warn\"><b>The period was not over.</b> The log's time was {}: nothing later is in this \
             report, and it says nothing of it.</p>",
            utc(until)
        ),
        None => writeln!(
            out,
            "<p class=\"warn\"><b>The period had not begun.</b> The log's time had not come to it: this report says \
             nothing of it.</p>"
        ),
    }
}

/// Says in the open when figures were not measured on devices.
fn recorded(out: &mut String, document: &Document) -> fmt::Result {
    let sources = document
        .hosts
        .iter()
        .filter(|host| host.sources.keys().any(|kind| *kind != "nvml"));
    let names: Vec<&str> = sources.map(|host| host.host.as_str()).take(20).collect();
    if names.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<p class=\"warn\"><b>Not all of this was measured.</b> Records of {} come from recorded traces \
         or a simulated library, and say so in what they sign.</p>",
        Text(&names.join(", "))
    )
}

fn statements(out: &mut String, document: &Document) -> fmt::Result {
    let list = |out: &mut String, lines: &[&str]| {
        lines
            .iter()
            .try_for_each(|line| writeln!(out, "<li>{}</li>", Text(line)))
    };
    writeln!(
        out,
        "<div class=\"two\">\n<div class=\"box\"><h3>What this report proves</h3>\n<ul>"
    )?;
    list(out, &document.proves)?;
    writeln!(
        out,
        "</ul>\n<p><small>{}</small></p></div>",
        Text(document.provided)
    )?;
    writeln!(
        out,
        "<div class=\"box not\"><h3>What it cannot prove</h3>\n<ul>"
    )?;
    list(out, &document.cannot_prove)?;
    writeln!(out, "</ul></div>\n</div>")
}

fn anchor(out: &mut String, anchored: &Anchored) -> fmt::Result {
    let signers: Vec<String> = anchored
        .signers
        .iter()
        .map(|name| Text(name).to_string())
        .collect();
    write!(
        out,
        "<h2>Anchor</h2>\n<p>Everything below is tied to one state of the log.</p>\n\
         <dl><dt>Log</dt><dd><code>{}</code></dd><dt>Size</dt><dd>{} entries</dd>\
         <dt>Root</dt><dd><code>{}</code></dd><dt>Signed as</dt><dd>{}</dd></dl>\n\
         <p class=\"soft\">The first name is the log&#39;s own, any others are witnesses. A name proves \
         nothing: whether the signatures hold, and whether you trust their makers, is what \
         verification answers.</p>\n",
        Text(&anchored.origin),
        anchored.size,
        Text(&anchored.root),
        signers.join(", "),
    )
}

fn remarks(out: &mut String, document: &Document) -> fmt::Result {
    if !document.not_judged.is_empty() {
        writeln!(
            out,
            "<h2>Not judged</h2>\n<p>Statements of these kinds are in the evidence and these rules do not judge them:</p>\n<ul>"
        )?;
        for (kind, count) in &document.not_judged {
            writeln!(out, "<li>{}: {count}</li>", Text(kind))?;
        }
        writeln!(out, "</ul>")?;
    }
    if !document.notes.is_empty() {
        writeln!(out, "<h2>Notes</h2>\n<ul>")?;
        for note in document.notes.iter().take(MAX_ROWS) {
            writeln!(out, "<li>{}</li>", Text(note))?;
        }
        writeln!(out, "</ul>")?;
        more(out, document.notes.len())?;
    }
    writeln!(
        out,
        "<h2>Not collected</h2>\n<p class=\"soft\">Regulators have asked for these fields; this report has no data for them.</p>\n<table><tr><th>Field</th><th>Why</th></tr>"
    )?;
    for field in &document.not_collected {
        writeln!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td></tr>",
            Text(field.field),
            Text(field.why)
        )?;
    }
    writeln!(out, "</table>")
}

fn verifying(out: &mut String, document: &Document, report: Digest) -> fmt::Result {
    let shipped = if document.rules.shipped_parameters {
        "as shipped"
    } else {
        "<b>set by the operator</b>; see report.json"
    };
    write!(
        out,
        "<h2>How to verify</h2>\n<p>Take <code>affiant-audit</code> from somewhere else than from the \
         operator. It needs no network:</p>\n<p><code>affiant-audit verify DIR --trust trust.toml \
         --since checkpoint-you-kept</code></p>\n<p><code>trust.toml</code> holds what you trust; get \
         it, or compare the fingerprints below, by another channel than this bundle. \
         <code>VERIFY.md</code> says more.</p>\n<dl><dt>Genesis</dt><dd><code>{}</code></dd>\
         <dt>Certificate authority</dt><dd><code>{}</code></dd>",
        Text(&document.operator.genesis),
        Text(&document.operator.ca),
    )?;
    for officer in &document.officers {
        write!(
            out,
            "<dt>Officer {}</dt><dd><code>{}</code></dd>",
            Text(&officer.name),
            Text(&officer.key)
        )?;
    }
    write!(
        out,
        "</dl>\n<footer>SHA-256 of report.json: <code>{report}</code><br>Rules version {}, parameters \
         {shipped}. Policy pack {} {}, SHA-256 <code>{}</code>. Basis: {} entries of the log, root <code>{}</code>.</footer>\n",
        Text(document.rules.version),
        Text(&document.rules.pack.name),
        Text(&document.rules.pack.version),
        Text(&document.rules.pack.digest),
        document.basis.size,
        Text(&document.basis.root),
    )
}

/// Says how many rows of a table are not shown.
fn more(out: &mut String, rows: usize) -> fmt::Result {
    match rows.checked_sub(MAX_ROWS) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "<p class=\"soft\">{more} more in report.json.</p>"),
    }
}

/// Names a severity as the page and its style do.
fn severity(severity: affiant_judge::Severity) -> &'static str {
    match severity {
        affiant_judge::Severity::Critical => "critical",
        affiant_judge::Severity::High => "high",
        affiant_judge::Severity::Medium => "medium",
        affiant_judge::Severity::Low => "low",
    }
}

/// Says what a rule means.
fn meaning(rule: affiant_judge::Rule) -> &'static str {
    words::meaning(rule)
}
