//! The findings, each with what it means.

use std::fmt::{self, Write};

use affiant_judge::{Finding, Known};

use super::{MAX_ROWS, Text, meaning, more, severity};
use crate::{calendar::utc, document::Document};

pub(super) fn write(out: &mut String, document: &Document) -> fmt::Result {
    writeln!(out, "<h2>Findings</h2>")?;
    if document.findings.is_empty() {
        return writeln!(out, "<p>No rule was broken by what is shown.</p>");
    }
    let mut findings: Vec<&Finding> = document.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in findings.into_iter().take(MAX_ROWS) {
        one(out, finding)?;
    }
    more(out, document.findings.len())
}

fn one(out: &mut String, finding: &Finding) -> fmt::Result {
    let name = severity(finding.severity);
    write!(
        out,
        "<div class=\"finding {name}\"><h3><span class=\"mark {name}\">{name}</span><span>{}</span></h3>\n\
         <p>{}</p>\n",
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
    let open = if finding.open { "still open" } else { "closed" };
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
        "<p class=\"soft\">{} &ndash; {} ({open}){hosts}{classes}{known}<br>{} &middot; {} in evidence, {places} \
         &middot; <code>{}</code></p></div>",
        utc(finding.opened_unix_ms),
        utc(finding.last_unix_ms),
        finding.rule.as_str(),
        evidence.count,
        Text(&finding.id),
    )
}
