//! What officers did about a finding, beside it. It takes none away and hides none.

use std::fmt::{self, Write};

use affiant_judge::{Finding, handling::Signed};

use super::Text;
use crate::{calendar::utc, document::Document, words};

/// The mark of how a finding stands, beside that of its severity.
pub(super) fn mark(finding: &Finding) -> String {
    let class = match words::is_settled(finding) {
        true => "settled",
        false => "stands",
    };
    let standing = words::standing(finding);
    format!("<span class=\"mark {class}\">{standing}</span>")
}

/// Says above all findings what the marks mean, where officers did something about one.
pub(super) fn preface(out: &mut String, document: &Document) -> fmt::Result {
    if document.findings.iter().all(|one| one.handling.is_none()) {
        return Ok(());
    }
    writeln!(out, "<p class=\"soft\">{}</p>", Text(words::HANDLED))
}

/// Who signed what about one finding, when and why.
pub(super) fn of(out: &mut String, finding: &Finding) -> fmt::Result {
    let Some(handling) = &finding.handling else {
        return writeln!(out, "<p class=\"soft\">{}</p>", Text(words::NOT_HANDLED));
    };
    write!(
        out,
        "<div class=\"handling\"><p><b>{}</b></p>\n<ul>",
        Text(words::means(handling))
    )?;
    handling.signed.iter().try_for_each(|it| one(out, it))?;
    writeln!(out, "</ul>")?;
    if handling.overtaken {
        writeln!(out, "<p>{}</p>", Text(words::OVERTAKEN))?;
    }
    writeln!(out, "</div>")
}

fn one(out: &mut String, signed: &Signed) -> fmt::Result {
    writeln!(
        out,
        "<li>{}<br><small>Officer {}, {}, log index {} &middot; chain <code>{}</code></small></li>",
        Text(&signed.reason),
        Text(signed.called()),
        utc(signed.logged_unix_ms),
        signed.index,
        Text(signed.officer.get(..16).unwrap_or_default()),
    )
}
