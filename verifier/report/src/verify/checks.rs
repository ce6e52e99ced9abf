//! The checks so far, and what follows from them.

use std::collections::BTreeMap;

use affiant_judge::{Amount, Finding};

use super::{
    NoVerdict,
    anchor::{self, Found},
    verdict::{
        Anchor, Check, Completeness, CompletenessState, Conclusion, Findings, Integrity,
        IntegrityState, Verdict,
    },
};

/// Why the checks end early.
pub(super) enum Stop {
    Broken,
    Io(NoVerdict),
}

/// What was judged of the records, and how much of them is not shown.
pub(super) struct Judged {
    pub(super) findings: Vec<Finding>,
    pub(super) lines_withheld: u64,
    pub(super) lines_erased: u64,
    pub(super) withheld_ms: Amount,
    pub(super) not_judged: BTreeMap<String, u64>,
}

/// The checks so far and what they found.
#[derive(Default)]
pub struct Checks {
    list: Vec<Check>,
    broken: Vec<String>,
    incomplete: Vec<&'static str>,
    pub(super) anchor: Anchor,
    pub(super) judged: Option<Judged>,
}

impl Checks {
    /// Notes what holds.
    pub fn fine(&mut self, name: &'static str, detail: impl Into<String>) {
        self.list.push(Check {
            name,
            ok: true,
            detail: detail.into(),
            unknown: false,
        });
    }

    /// Notes what cannot be told: the verdict is incomplete at best.
    pub fn unknown(&mut self, name: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        self.incomplete.push(name);
        self.list.push(Check {
            name,
            ok: false,
            detail,
            unknown: true,
        });
    }

    /// Notes what does not hold: the verdict is broken.
    pub fn fail(&mut self, name: &'static str, detail: impl Into<String>) {
        self.broken(name, detail);
    }

    /// Tells whether nothing has failed so far.
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
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

    /// Ends the checks of a whole log; `trusted` where its reader said what he trusts.
    pub fn conclude_log(self, trusted: bool) -> Verdict {
        self.conclude(
            trusted,
            [
                "every signature, chain, line and sum holds, and all of it stands in the log's tree",
                "everything agrees with the keys in the log itself; nobody but the log vouches for them",
            ],
        )
    }

    /// Ends the checks of a bundle.
    pub(super) fn conclude_bundle(self, trusted: bool) -> Verdict {
        self.conclude(
            trusted,
            [
                "every signature, chain, line and proof holds, and every figure was computed again",
                "everything agrees with the keys in the bundle itself; nobody but the bundle vouches for them",
            ],
        )
    }

    fn conclude(mut self, trusted: bool, [holds, unproven]: [&str; 2]) -> Verdict {
        let integrity = match self.broken.first() {
            Some(first) => Integrity {
                state: IntegrityState::Broken,
                text: format!("broken: {first}"),
            },
            None if trusted => Integrity {
                state: IntegrityState::Holds,
                text: holds.to_owned(),
            },
            None => Integrity {
                state: IntegrityState::Unproven,
                text: unproven.to_owned(),
            },
        };
        self.anchor.text = anchor::words(&self.anchor);
        let (findings, completeness) = match &self.judged {
            Some(judged) => (
                Findings::of(judged.findings.clone()),
                self.completeness(judged),
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

    fn completeness(&self, shown: &Judged) -> Completeness {
        let withheld = match shown.lines_withheld {
            0 => "every line of every record is shown".to_owned(),
            lines => format!(
                "{lines} lines are withheld{}; their {} of device time stand in the totals",
                match shown.lines_erased {
                    0 => String::new(),
                    erased => format!(", {erased} of them erased as the log announced"),
                },
                crate::calendar::length(shown.withheld_ms.0)
            ),
        };
        // Trust and anchor have statements of their own.
        let own = ["trust", "witnesses", "clock", "kept"];
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
            lines_erased: shown.lines_erased,
            withheld_ms: shown.withheld_ms,
            not_judged: shown.not_judged.clone(),
            text,
        }
    }
}

fn nothing_shown() -> Completeness {
    Completeness {
        state: CompletenessState::Incomplete,
        lines_withheld: 0,
        lines_erased: 0,
        withheld_ms: Amount(0),
        not_judged: BTreeMap::new(),
        text: "not known: the evidence could not be judged".to_owned(),
    }
}
