//! A verdict for people.

use std::{
    cmp::Reverse,
    fmt::{self, Write},
};

use affiant_judge::{Finding, handling::Signed};
use affiant_report::{Conclusion, Verdict, calendar::utc, hidden::is_hidden, words};

/// Columns of a line; what is longer goes on below its beginning.
const WIDTH: usize = 100;

/// Column in which texts begin.
const INDENT: usize = 20;

/// Most findings that are listed; the report has all.
const MAX_FINDINGS: usize = 50;

/// Most characters of an officer's reason; the report and `explain` have all.
const MAX_REASON: usize = 400;

/// Colours of a terminal, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// The output is a terminal and nobody asked for plain text.
    Yes,
    /// Plain text.
    No,
}

impl Colour {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Yes => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::No => text.to_owned(),
        }
    }
}

const GREEN: &str = "32";
const RED: &str = "1;31";
const YELLOW: &str = "33";
const BOLD: &str = "1";

/// Writes a verdict: each check, then the four statements apart, then what follows from them.
pub fn verdict(verdict: &Verdict, colour: Colour) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write_verdict(&mut out, verdict, colour);
    out
}

fn write_verdict(out: &mut String, verdict: &Verdict, colour: Colour) -> fmt::Result {
    for check in &verdict.checks {
        let mark = match (check.ok, check.unknown) {
            (true, _) => colour.paint(GREEN, "  ok"),
            (false, true) => colour.paint(YELLOW, "   ?"),
            (false, false) => colour.paint(RED, "FAIL"),
        };
        writeln!(out, "{mark}  {:<14}{}", check.name, wrapped(&check.detail))?;
    }
    writeln!(out)?;
    for (what, text) in [
        ("Anchor", &verdict.anchor.text),
        ("Integrity", &verdict.integrity.text),
        ("Completeness", &verdict.completeness.text),
        ("Findings", &verdict.findings.text),
    ] {
        writeln!(
            out,
            "{}{}",
            colour.paint(BOLD, &format!("{what:<20}")),
            wrapped(text)
        )?;
    }
    // The gravest first, so that no grave one is among those that are left out.
    let mut findings: Vec<&Finding> = verdict.findings.items.iter().collect();
    findings.sort_by_key(|finding| Reverse(finding.severity));
    for finding in findings.into_iter().take(MAX_FINDINGS) {
        write_finding(out, finding, colour)?;
    }
    if let Some(more) = verdict
        .findings
        .items
        .len()
        .checked_sub(MAX_FINDINGS)
        .filter(|more| *more > 0)
    {
        writeln!(
            out,
            "{:INDENT$}and {more} more; see report.json, or --json",
            ""
        )?;
    }
    let (code, meaning) = of(verdict.verdict);
    let word = colour.paint(code, verdict.verdict.as_str());
    writeln!(
        out,
        "\n{}{word}: {meaning}",
        colour.paint(BOLD, &format!("{:<20}", "Verdict"))
    )
}

/// Colour and meaning of what may be concluded.
fn of(conclusion: Conclusion) -> (&'static str, &'static str) {
    match conclusion {
        Conclusion::Clean => (
            GREEN,
            "the evidence holds, and no rule was broken by what it shows",
        ),
        Conclusion::Findings => (YELLOW, "the evidence holds, and rules were broken"),
        Conclusion::Incomplete => (YELLOW, "nothing is broken, and something could not be told"),
        Conclusion::Broken => (
            RED,
            "the evidence does not hold; do not rely on its figures",
        ),
    }
}

/// Says in words what may be concluded.
pub(crate) fn meaning(conclusion: Conclusion) -> &'static str {
    of(conclusion).1
}

/// One finding: what it is, how it stands, and who signed that.
fn write_finding(out: &mut String, finding: &Finding, colour: Colour) -> fmt::Result {
    let (from, to) = (utc(finding.opened_unix_ms), utc(finding.last_unix_ms));
    let ends = if finding.open { ", and may go on" } else { "" };
    let text = format!(
        "{}: {} ({from} to {to}{ends})",
        finding.rule.as_str(),
        finding.title
    );
    let severity = finding.severity.as_str();
    writeln!(out, "  {severity:<18}{}", wrapped(&text))?;
    let standing = colour.paint(BOLD, words::standing(finding));
    writeln!(out, "{:INDENT$}{standing}, finding {}", "", finding.id)?;
    let signed = finding.handling.iter().flat_map(|it| &it.signed);
    for one in signed {
        let mut text = signed_by(one);
        if one.reason.chars().count() > MAX_REASON {
            let cut: String = one.reason.chars().take(MAX_REASON).collect();
            text = signed_by(&Signed {
                reason: format!("{cut} ... (`explain` has all of it)"),
                ..one.clone()
            });
        }
        let text = format!("signed by {text}");
        writeln!(out, "{:INDENT$}{}", "", wrapped(&text))?;
    }
    Ok(())
}

/// What an officer signed about a finding, in one line that is not yet harmless.
pub(crate) fn signed_by(signed: &Signed) -> String {
    // In quotes, so that no reason can pass for the word of another officer.
    format!(
        "officer {} (chain {}), {}, log index {}: {:?}",
        signed.called(),
        signed.officer.get(..16).unwrap_or_default(),
        utc(signed.logged_unix_ms),
        signed.index,
        signed.reason
    )
}

/// Takes out of a text, in which others chose names, what no reader sees and what could move the cursor
/// or turn the reading direction.
pub(crate) fn harmless(text: &str) -> String {
    let harmless = |c: char| if is_hidden(c) { '\u{fffd}' } else { c };
    text.chars().map(harmless).collect()
}

/// Breaks a text at spaces, once it is harmless.
fn wrapped(text: &str) -> String {
    let text = harmless(text);
    let mut out = String::new();
    let mut column = INDENT;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > INDENT && column + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(&" ".repeat(INDENT));
            column = INDENT;
        } else if column > INDENT {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_go_on_below_their_beginning() {
        let text = wrapped(&"word ".repeat(40));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with(&" ".repeat(INDENT)))
        );
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(
            wrapped("a\u{1b}[2Jb\nc\u{202e}d\u{2028}\u{200b}"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}\u{fffd}"
        );
    }
}
