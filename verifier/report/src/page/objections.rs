//! What tenants say against figures and findings, beside these.

use std::fmt::{self, Write};

use affiant_judge::{Finding, objections::Objection};

use super::{MAX_ROWS, Text, more};
use crate::{calendar::utc, document::Document};

/// Objections to figures, below those of tenants; and those to findings that this report does not have.
pub(super) fn to_figures(out: &mut String, document: &Document) -> fmt::Result {
    let has = |it: &Objection| document.findings.iter().any(|finding| it.disputes(finding));
    let beside = document.objections.iter().filter(|it| !has(it));
    let beside: Vec<&Objection> = beside.collect();
    if beside.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h3>Disputed by tenants</h3>\n<p class=\"soft\">Signed by the tenants themselves. What they say is not judged, and \
         changes no figure.</p>"
    )?;
    for objection in beside.iter().take(MAX_ROWS) {
        one(out, objection)?;
    }
    more(out, beside.len())
}

/// Objections to one finding.
pub(super) fn to_finding(out: &mut String, document: &Document, finding: &Finding) -> fmt::Result {
    let its = document.objections.iter().filter(|it| it.disputes(finding));
    its.take(MAX_ROWS).try_for_each(|it| one(out, it))
}

fn one(out: &mut String, objection: &Objection) -> fmt::Result {
    let what = match (&objection.finding, &objection.device_class) {
        (Some(finding), _) => format!("finding <code>{}</code>", Text(finding)),
        (None, Some(class)) => format!("its figures of class {}", Text(class)),
        (None, None) => "its figures".to_owned(),
    };
    writeln!(
        out,
        "<blockquote><p>{}</p>\n<p class=\"soft\">Tenant {} disputes {what}, {} &ndash; {} &middot; logged {}, log index {} \
         &middot; key <code>{}</code></p></blockquote>",
        Text(&objection.text),
        Text(&objection.tenant),
        utc(objection.from_unix_ms),
        utc(objection.to_unix_ms),
        utc(objection.logged_unix_ms),
        objection.index,
        Text(&objection.key),
    )
}
