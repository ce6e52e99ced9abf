//! A verdict for people.

use std::fmt::{self, Write};

use affiant_report::{Conclusion, Verdict, calendar::utc};

/// Columns of a line; what is longer goes on below its beginning.
const WIDTH: usize = 100;

/// Column in which texts begin.
const INDENT: usize = 20;

/// Most findings that are listed; the report has all.
const MAX_FINDINGS: usize = 50;

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
    for finding in verdict.findings.items.iter().take(MAX_FINDINGS) {
        let (from, to) = (utc(finding.opened_unix_ms), utc(finding.last_unix_ms));
        let severity = format!("{:?}", finding.severity).to_lowercase();
        let text = format!(
            "{}: {} ({from} to {to})",
            finding.rule.as_str(),
            finding.title
        );
        writeln!(out, "  {severity:<18}{}", wrapped(&text))?;
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
    let (code, meaning) = match verdict.verdict {
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
    };
    let word = colour.paint(code, verdict.verdict.as_str());
    writeln!(
        out,
        "\n{}{word}: {meaning}",
        colour.paint(BOLD, &format!("{:<20}", "Verdict"))
    )
}

/// Takes out of a text, in which others chose names, what could move the cursor or turn the reading
/// direction.
pub(crate) fn harmless(text: &str) -> String {
    let harmless = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            '\u{fffd}'
        } else {
            c
        }
    };
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
            wrapped("a\u{1b}[2Jb\nc\u{202e}d"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d"
        );
    }
}
