//! The verdict over a bundle: four statements apart, and what they rest on.

use std::collections::BTreeMap;

use affiant_judge::{Amount, Finding, Severity};
use serde::Serialize;

use crate::words::{self, Stand};

/// What a reader may conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// The evidence holds, is complete, and breaks no rule.
    Clean,
    /// The evidence holds and is complete, and rules were broken.
    Findings,
    /// Something could not be judged, or nobody's trust was given.
    Incomplete,
    /// The evidence does not hold.
    Broken,
}

impl Conclusion {
    /// The exit code of every command that answers with a verdict.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Findings => 1,
            Self::Broken => 2,
            Self::Incomplete => 3,
        }
    }

    /// Spells it as JSON does.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Findings => "findings",
            Self::Broken => "broken",
            Self::Incomplete => "incomplete",
        }
    }
}

/// A verdict. Its JSON has exactly these six keys.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// What may be concluded; broken before incomplete before findings.
    pub verdict: Conclusion,
    /// What outside the operator the evidence is tied to.
    pub anchor: Anchor,
    /// Whether everything in the bundle is what was signed and logged.
    pub integrity: Integrity,
    /// What is not shown or not judged.
    pub completeness: Completeness,
    /// Which rules were broken.
    pub findings: Findings,
    /// Every check in its order.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name.
    pub name: &'static str,
    /// Whether it held.
    pub ok: bool,
    /// What was found, in words.
    pub detail: String,
    /// Whether it could not be told, rather than failed.
    #[serde(skip)]
    pub unknown: bool,
}

/// What outside the operator the evidence is tied to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Anchor {
    /// How.
    pub kind: AnchorKind,
    /// Size of the bundle's checkpoint; none when it could not be read.
    pub size: Option<u64>,
    /// Its root, in hexadecimal.
    pub root: Option<String>,
    /// The reader's witnesses whose cosignatures hold.
    pub witnesses: Vec<Witness>,
    /// When a quorum of them had cosigned, seconds since 1970 by their clocks.
    pub witnessed_unix_s: Option<u64>,
    /// Size of the kept checkpoint with which the log was shown to be consistent.
    pub kept_size: Option<u64>,
    /// Size of the kept checkpoint that lies in what a succession declared as lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_size: Option<u64>,
    /// The same in words.
    pub text: String,
}

/// How evidence is tied to something outside the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnchorKind {
    /// By nothing: the operator could have written the whole log anew.
    #[default]
    None,
    /// A checkpoint that the reader kept cannot be related to it.
    Unrelated,
    /// A checkpoint that the reader kept, and that lies in what a succession declared as lost.
    Lost,
    /// A checkpoint that the reader kept.
    Kept,
    /// A quorum of the reader's witnesses.
    Witnessed,
}

/// A witness whose cosignature holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// Name of its key.
    pub name: String,
    /// When, seconds since 1970 by its clock.
    pub unix_s: u64,
}

/// Whether everything in the bundle is what was signed and logged.
#[derive(Clone, Debug, Serialize)]
pub struct Integrity {
    /// What is to be said.
    pub state: IntegrityState,
    /// The same in words.
    pub text: String,
}

/// States of integrity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IntegrityState {
    /// Everything holds, under keys that the reader trusts.
    Holds,
    /// Everything holds, under keys for which only the bundle itself speaks.
    Unproven,
    /// Something does not hold.
    Broken,
}

/// What is not shown or not judged.
#[derive(Clone, Debug, Serialize)]
pub struct Completeness {
    /// "full", "totals" (lines are withheld, and counted) or "incomplete".
    pub state: CompletenessState,
    /// Lines that are not shown.
    pub lines_withheld: u64,
    /// Part of these that were erased, as the log announced.
    pub lines_erased: u64,
    /// Device time in them, milliseconds.
    pub withheld_ms: Amount,
    /// Statements that the rules do not judge, by kind.
    pub not_judged: BTreeMap<String, u64>,
    /// The same in words.
    pub text: String,
}

/// States of completeness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CompletenessState {
    /// Every line of every record is shown, and all was judged.
    Full,
    /// Lines are withheld, and counted in the totals; all else was judged.
    Totals,
    /// Something was not judged.
    Incomplete,
}

/// Which rules were broken, by what the evidence shows and not by what the report says.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings {
    /// How many.
    pub count: usize,
    /// By severity.
    pub critical: usize,
    /// By severity.
    pub high: usize,
    /// By severity.
    pub medium: usize,
    /// By severity.
    pub low: usize,
    /// With which officers have something left to do.
    pub open: usize,
    /// That an officer resolved; they count all the same.
    pub resolved: usize,
    /// That two officers withdrew; they count all the same.
    pub withdrawn: usize,
    /// All of them.
    pub items: Vec<Finding>,
    /// The same in words.
    pub text: String,
}

impl Findings {
    pub(super) fn of(items: Vec<Finding>) -> Self {
        let count = |severity| {
            items
                .iter()
                .filter(|finding| finding.severity == severity)
                .count()
        };
        let (critical, high) = (count(Severity::Critical), count(Severity::High));
        let (medium, low) = (count(Severity::Medium), count(Severity::Low));
        let stand = Stand::of(&items);
        let text = match items.len() {
            0 => "no rule was broken by what is shown".to_owned(),
            _ => {
                let settled = match stand.resolved + stand.withdrawn {
                    0 => "",
                    _ => " (by officers of the operator; these count all the same)",
                };
                format!(
                    "{critical} critical, {high} high, {medium} medium, {low} low; {}{settled}",
                    words::stand(&items)
                )
            }
        };
        Self {
            count: items.len(),
            critical,
            high,
            medium,
            low,
            open: stand.open,
            resolved: stand.resolved,
            withdrawn: stand.withdrawn,
            items,
            text,
        }
    }

    pub(super) fn unknown() -> Self {
        Self {
            text: "not known: the evidence could not be judged".to_owned(),
            ..Self::default()
        }
    }
}
