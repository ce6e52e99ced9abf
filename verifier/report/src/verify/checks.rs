//! The checks so far, and what follows from them.

use std::collections::BTreeMap;

use affiant_judge::Amount;

use super::{
    NoVerdict,
    anchor::{self, Found},
    verdict::{
        Anchor, Check, Completeness, CompletenessState, Conclusion, Findings, Integrity,
        IntegrityState, Verdict,
    },
};
use crate::document::Document;

/// Why the checks end early.
pub(super) enum Stop {
    Broken,
    Io(NoVerdict),
}

/// The checks so far and what they found.
#[derive(Default)]
pub(super) struct Checks {
    list: Vec<Check>,
    broken: Vec<String>,
    incomplete: Vec<&'static str>,
    pub(super) anchor: Anchor,
    pub(super) document: Option<Document>,
}

impl Checks {
    pub(super) fn fine(&mut self, name: &'static str, detail: impl Into<String>) {
        self.list.push(Check {
            name,
            ok: true,
            detail: detail.into(),
            unknown: false,
        });
    }

    pub(super) fn unknown(&mut self, name: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        self.incomplete.push(name);
        self.list.push(Check {
            name,
            ok: false,
            detail,
            unknown: true,
        });
    }

    pub(super) fn broken(&mut self, name: &'static str, detail: impl Into<String>) -> Stop {
        let detail = detail.into();
        self.broken.push(detail.clone());
        self.list.push(Check {
            name,
            ok: false,
            detail,
            unknown: false,
        });
        Stop::Broken
    }

    pub(super) fn found(&mut self, name: &'static str, found: Found) {
        match found {
            Found::Fine(detail) | Found::Lost(detail) => self.fine(name, detail),
            Found::Unknown(detail) => self.unknown(name, detail),
            Found::Broken(detail) => {
                self.broken(name, detail);
            }
        }
    }

    pub(super) fn conclude(mut self, trusted: bool) -> Verdict {
        let integrity = match self.broken.first() {
            Some(first) => Integrity { state: IntegrityState::Broken, text: format!("broken: {first}") },
            None if trusted => Integrity {
                state: IntegrityState::Holds,
                text: "every signature, chain, line and proof holds, and every figure was computed again".to_owned(),
            },
            None => Integrity {
                state: IntegrityState::Unproven,
                text: "everything agrees with the keys in the bundle itself; nobody but the bundle vouches for them".to_owned(),
            },
        };
        self.anchor.text = anchor::words(&self.anchor);
        let (findings, completeness) = match &self.document {
            Some(document) => (
                Findings::of(document.findings.clone()),
                self.completeness(document),
            ),
            None => (Findings::unknown(), nothing_shown()),
        };
        let verdict = if !self.broken.is_empty() {
            Conclusion::Broken
        } else if !self.incomplete.is_empty() {
            Conclusion::Incomplete
        } else if findings.count > 0 || self.anchor.lost_size.is_some() {
            Conclusion::Findings
        } else {
            Conclusion::Clean
        };
        Verdict {
            verdict,
            anchor: self.anchor,
            integrity,
            completeness,
            findings,
            checks: self.list,
        }
    }

    fn completeness(&self, document: &Document) -> Completeness {
        let shown = &document.completeness;
        let withheld = match shown.lines_withheld {
            0 => "every line of every record is shown".to_owned(),
            lines => format!(
                "{lines} lines are withheld; their {} of device time stand in the totals",
                crate::calendar::length(shown.withheld_ms.0)
            ),
        };
        // Trust and anchor have statements of their own.
        let own = ["trust", "witnesses", "kept"];
        let open: Vec<&str> = self
            .incomplete
            .iter()
            .copied()
            .filter(|name| !own.contains(name))
            .collect();
        let (state, text) = if !open.is_empty() {
            let text = format!("incomplete, see above: {}; {withheld}", open.join(", "));
            (CompletenessState::Incomplete, text)
        } else if shown.lines_withheld > 0 {
            (CompletenessState::Totals, withheld)
        } else {
            (CompletenessState::Full, withheld)
        };
        Completeness {
            state,
            lines_withheld: shown.lines_withheld,
            withheld_ms: shown.withheld_ms,
            not_judged: document.not_judged.clone(),
            text,
        }
    }
}

fn nothing_shown() -> Completeness {
    Completeness {
        state: CompletenessState::Incomplete,
        lines_withheld: 0,
        withheld_ms: Amount(0),
        not_judged: BTreeMap::new(),
        text: "not known: the evidence could not be judged".to_owned(),
    }
}
