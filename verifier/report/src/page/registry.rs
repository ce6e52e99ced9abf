//! Tenants with their parties and vetting, and the officers who signed.

use std::fmt::{self, Write};

use super::{MAX_ROWS, Text, more};
use crate::{
    calendar::utc,
    document::{Document, PartySaid, TenantSaid},
};

pub(super) fn write(out: &mut String, document: &Document) -> fmt::Result {
    writeln!(out, "<h2>Tenants and their vetting</h2>")?;
    if document.tenants.is_empty() {
        writeln!(out, "<p>No tenant was stated in the log.</p>")?;
    }
    for tenant in document.tenants.iter().take(MAX_ROWS) {
        one(out, document, tenant)?;
    }
    more(out, document.tenants.len())?;
    writeln!(
        out,
        "<h2>Officers</h2>\n<table><tr><th>Name</th><th>Key</th><th>Admitted by</th><th class=\"n\">Statements</th><th>Key is trusted</th></tr>"
    )?;
    for officer in document.officers.iter().take(MAX_ROWS) {
        writeln!(
            out,
            "<tr><td>{}</td><td class=\"mono\">{}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            Text(&officer.name),
            Text(&officer.key),
            if officer.by_genesis {
                "the genesis"
            } else {
                "two other officers"
            },
            officer.statements,
            match officer.revoked_from_index {
                None => "yes".to_owned(),
                Some(from) => format!("not from log index {from} on"),
            },
        )?;
    }
    writeln!(out, "</table>")
}

fn one(out: &mut String, document: &Document, tenant: &TenantSaid) -> fmt::Result {
    writeln!(
        out,
        "<h3>{} <span class=\"mark\">{}</span></h3>\n<dl>",
        Text(&tenant.id),
        Text(&tenant.state.replace('_', " ")),
    )?;
    row(out, "Customer", &party(&tenant.customer))?;
    let between: Vec<String> = tenant.intermediaries.iter().map(party).collect();
    let between = if between.is_empty() {
        "none declared".to_owned()
    } else {
        between.join("<br>")
    };
    row(out, "Intermediaries", &between)?;
    let end = tenant
        .end_customer
        .as_ref()
        .map_or("<b>undeclared</b>".to_owned(), party);
    row(out, "End customer", &end)?;
    let parent = tenant
        .ultimate_parent
        .as_ref()
        .map_or("<b>unresolved</b>".to_owned(), party);
    row(out, "Ultimate parent", &parent)?;
    if !tenant.edges.is_empty() {
        let share = |edge: &crate::document::EdgeSaid| match (edge.share_min_bp, edge.share_max_bp)
        {
            (Some(min), Some(max)) if min == max => format!(" ({})", basis_points(min)),
            (Some(min), Some(max)) => format!(" ({} to {})", basis_points(min), basis_points(max)),
            (Some(min), None) => format!(" (at least {})", basis_points(min)),
            (None, Some(max)) => format!(" (at most {})", basis_points(max)),
            (None, None) => String::new(),
        };
        let edges: Vec<String> = tenant
            .edges
            .iter()
            .map(|edge| {
                format!(
                    "{} {} {}{}",
                    Text(&edge.from),
                    edge.kind,
                    Text(&edge.to),
                    share(edge)
                )
            })
            .collect();
        row(out, "Relations", &edges.join("<br>"))?;
    }
    if !tenant.declared_use.is_empty() {
        row(out, "Declared use", &Text(&tenant.declared_use).to_string())?;
    }
    let training = match tenant.training_declared {
        Some(true) => "declared",
        Some(false) => "declared not to take place",
        None => "nobody said",
    };
    row(out, "Model training", training)?;
    writeln!(out, "</dl>")?;
    if tenant.history.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<table><tr><th>Logged</th><th>State</th><th>By</th><th>Reason</th></tr>"
    )?;
    for change in tenant.history.iter().take(MAX_ROWS) {
        let by: Vec<String> = change
            .officers
            .iter()
            .map(|chain| officer(document, chain))
            .collect();
        let back = if change.reaches_back || change.from_unix_ms != change.logged_unix_ms {
            format!("<br><small>works from {}</small>", utc(change.from_unix_ms))
        } else {
            String::new()
        };
        writeln!(
            out,
            "<tr><td>{}{back}<br><small>log index {}</small></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            utc(change.logged_unix_ms),
            change.index,
            Text(&change.state.replace('_', " ")),
            by.join(", "),
            Text(&change.reason),
        )?;
    }
    writeln!(out, "</table>")
}

fn row(out: &mut String, what: &str, value: &str) -> fmt::Result {
    writeln!(out, "<dt>{what}</dt><dd>{value}</dd>")
}

/// A party in one line, names in every script that was given.
fn party(party: &PartySaid) -> String {
    let names = if party.names.is_empty() {
        party.called().to_owned()
    } else {
        party.names.join(" / ")
    };
    format!(
        "{} <small>({}; headquarters {}, incorporated {})</small>",
        Text(&names),
        Text(&party.id),
        Text(&party.headquarters),
        Text(&party.incorporation),
    )
}

/// An officer's name, by the digest that opened the chain.
fn officer(document: &Document, chain: &str) -> String {
    let named = document
        .officers
        .iter()
        .find(|officer| officer.chain == chain);
    named.map_or_else(
        || Text(chain).to_string(),
        |officer| Text(&officer.name).to_string(),
    )
}

/// Spells hundredths of a percent.
fn basis_points(points: u32) -> String {
    format!("{}.{:02} %", points / 100, points % 100)
}
