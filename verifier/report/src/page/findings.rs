//! The findings, each with what it means.

use std::fmt::{self, Write};

use affiant_judge::{Finding, Known};

use super::{MAX_ROWS, Text, handling, meaning, more, objections, severity};
use crate::{calendar::utc, document::Document, words};

pub(super) fn write(out: &mut String, document: &Document) -> fmt::Result {
    writeln!(out, "<h2>Findings</h2>")?;
    if document.findings.is_empty() {
        writeln!(out, "<p>No rule was broken by what is shown.</p>")?;
    }
    handling::preface(out, document)?;
    let mut findings: Vec<&Finding> = document.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in findings.into_iter().take(MAX_ROWS) {
        one(out, document, finding)?;
    }
    more(out, document.findings.len())?;
    tried(out, document)
}

/// What policies in shadow found, a line each.
fn tried(out: &mut String, document: &Document) -> fmt::Result {
    if document.tried.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h3>Tried in shadow</h3>\n<p class=\"soft\">Policies that count for nothing yet found this.</p>\n<ul>"
    )?;
    for finding in document.tried.iter().take(MAX_ROWS) {
        let policy = finding.policy.as_deref().unwrap_or_default();
        writeln!(
            out,
            "<li>{}: {}, {} in evidence{}</li>",
            Text(policy),
            Text(&finding.title),
            finding.evidence.count,
            match &finding.handling {
                Some(_) => format!(", {}", words::standing(finding)),
                None => String::new(),
            }
        )?;
    }
    writeln!(out, "</ul>")?;
    more(out, document.tried.len())
}

fn one(out: &mut String, document: &Document, finding: &Finding) -> fmt::Result {
    let name = severity(finding.severity);
    write!(
        out,
        "<div class=\"finding {name}\"><h3><span class=\"mark {name}\">{name}</span>{}<span>{}</span></h3>\n\
         <p>{}</p>\n",
        handling::mark(finding),
        Text(&finding.title),
        Text(meaning(finding.rule)),
    )?;
    if !finding.details.is_empty() {
        writeln!(out, "<ul>")?;
        for detail in &finding.details {
            writeln!(out, "<li>{}</li>", Text(detail))?;
        }
        writeln!(out, "</ul>")?;
    }
    let known = match finding.known {
        Known::Then => "",
        Known::Later => " &middot; known only by what was logged later",
    };
    let open = if finding.open { "may go on" } else { "over" };
    let classes: Vec<&str> = finding.classes.iter().map(|class| class.as_str()).collect();
    let classes = if classes.is_empty() {
        String::new()
    } else {
        format!(" &middot; class {}", Text(&classes.join(", ")))
    };
    let hosts = if finding.hosts.is_empty() {
        String::new()
    } else {
        format!(" &middot; on {}", Text(&finding.hosts.join(", ")))
    };
    let policy = match (&finding.policy, &finding.pack) {
        (Some(policy), Some(pack)) => {
            format!(" &middot; policy {} of {}", Text(policy), Text(pack))
        }
        _ => String::new(),
    };
    let evidence = &finding.evidence;
    let places = if evidence.first_index == evidence.last_index {
        format!("log index {}", evidence.first_index)
    } else {
        format!(
            "log indices {}&ndash;{}",
            evidence.first_index, evidence.last_index
        )
    };
    writeln!(
        out,
        "<p class=\"soft\">{} &ndash; {} ({open}){hosts}{classes}{known}<br>{} &middot; {} in evidence, {places}{policy} \
         &middot; <code>{}</code></p>",
        utc(finding.opened_unix_ms),
        utc(finding.last_unix_ms),
        finding.rule.as_str(),
        evidence.count,
        Text(&finding.id),
    )?;
    handling::of(out, finding)?;
    objections::to_finding(out, document, finding)?;
    writeln!(out, "</div>")
}
