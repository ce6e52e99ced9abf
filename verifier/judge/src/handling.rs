//! Handling: what officers did about findings. No act of theirs takes a finding away.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use affiant_proto::v1::{self, Verdict};
use serde::{Deserialize, Serialize};

use crate::{
    approval::{APPROVERS, NoEffect, hex},
    findings::Finding,
    timeline::{Doubt, Stamp},
};

/// Most acts of one officer on one finding that are kept, the newest: a case of a few rounds.
const MAX_ACTS: usize = 16;

/// How a finding is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Somebody is at it.
    Acknowledged,
    /// What caused it was put right.
    Resolved,
    /// One officer says that it should not have been raised; a second one has still to say so.
    WithdrawalAsked,
    /// Two officers say that it should not have been raised.
    Withdrawn,
}

impl State {
    /// Spells it for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::WithdrawalAsked => "withdrawal asked for",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What one officer signed, on whose word a state rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The digest that opened his chain, in hexadecimal.
    pub officer: String,
    /// His name; none where nobody named him.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why.
    pub reason: String,
    /// Log index of what he said.
    pub index: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_unix_ms: u64,
}

impl Signed {
    /// His name, or the beginning of his chain where nobody named him.
    pub fn called(&self) -> &str {
        let chain = self.officer.get(..16).unwrap_or(&self.officer);
        self.name.as_deref().unwrap_or(chain)
    }
}

/// The last that officers did about a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handling {
    /// How it is dealt with.
    pub state: State,
    /// Who said so last, by the digest that opened his chain, in hexadecimal.
    pub officer: String,
    /// Why.
    pub reason: String,
    /// Log index of what he said.
    pub index: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_unix_ms: u64,
    /// Whether evidence was logged since: then it is to be dealt with again.
    pub overtaken: bool,
    /// All officers on whose word the state rests, each with the last that he said to it, in the order
    /// of the log.
    #[serde(default)]
    pub signed: Vec<Signed>,
}

impl Handling {
    /// Whether nothing is left to do: resolved or withdrawn, and no evidence since.
    pub fn is_settled(&self) -> bool {
        matches!(self.state, State::Resolved | State::Withdrawn) && !self.overtaken
    }
}

impl fmt::Display for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.signed.iter().map(Signed::called).collect();
        let by = match names.is_empty() {
            true => String::new(),
            false => format!(" by {}", names.join(" and ")),
        };
        let since = if self.overtaken {
            "; evidence was logged since"
        } else {
            ""
        };
        write!(
            f,
            "{}{by} at log index {}: {}{since}",
            self.state.as_str(),
            self.index,
            self.reason
        )
    }
}

/// All acts, by the id of the finding.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acts(BTreeMap<String, Vec<Act>>);

#[derive(Clone, Debug)]
struct Act {
    stamp: Stamp,
    officer: [u8; 32],
    verdict: Verdict,
    reason: String,
}

impl Acts {
    /// Takes one officer's act on a finding.
    pub(crate) fn take(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        decision: &v1::Decision,
    ) -> Result<(), NoEffect> {
        let id = &decision.finding;
        let verdict = match Verdict::try_from(decision.verdict).unwrap_or_default() {
            it @ (Verdict::Acknowledge | Verdict::Resolve | Verdict::Withdraw) => it,
            _ => return Err(NoEffect::NotOnAFinding(id.clone())),
        };
        if decision.reason.is_empty() {
            return Err(NoEffect::NoReason(id.clone()));
        }
        let acts = self.0.entry(id.clone()).or_default();
        // Nobody's words are in the way of another's.
        let own = acts.iter().filter(|act| act.officer == officer).count();
        if own >= MAX_ACTS
            && let Some(oldest) = acts.iter().position(|act| act.officer == officer)
        {
            acts.remove(oldest);
        }
        acts.push(Act {
            stamp,
            officer,
            verdict,
            reason: decision.reason.clone(),
        });
        Ok(())
    }

    /// Takes back what a key said that was revoked from before it.
    pub(crate) fn doubt(&mut self, doubt: &Doubt) {
        for acts in self.0.values_mut() {
            acts.retain(|act| !doubt.acts.contains(&act.stamp.index));
        }
    }

    /// Says how a finding is dealt with; `None` where nobody did anything: by the last that was said, but that
    /// what two persons withdrew stays withdrawn while no evidence is logged after it. `is_one` tells of officers
    /// that they are one person, `called` how one is named by the digest that opened his chain.
    pub(crate) fn of(
        &self,
        finding: &Finding,
        is_one: impl Fn(&BTreeSet<[u8; 32]>) -> bool,
        called: impl Fn(&str) -> Option<String>,
    ) -> Option<Handling> {
        let acts = self.0.get(&finding.id)?;
        let withdrawn = |run: &[&Act]| {
            let officers: BTreeSet<[u8; 32]> = run.iter().map(|act| act.officer).collect();
            run.last()
                .is_some_and(|act| act.verdict == Verdict::Withdraw)
                && officers.len() >= APPROVERS
                && !is_one(&officers)
        };
        // Those who said the same one after the other. What two persons withdrew stands until evidence is
        // logged after it: no single word that follows counts.
        let mut run: Vec<&Act> = Vec::new();
        for act in acts {
            let before = run.last().map(|last| (last.verdict, last.stamp.index));
            let stands = |index: u64| finding.evidence.last_index <= index && withdrawn(&run);
            match before {
                Some((verdict, _)) if verdict == act.verdict => run.push(act),
                Some((_, index)) if stands(index) => {}
                _ => run = vec![act],
            }
        }
        let last = *run.last()?;
        let mut officers = BTreeSet::new();
        let alike = run.iter().rev().copied();
        let mut words: Vec<&Act> = alike.filter(|act| officers.insert(act.officer)).collect();
        words.reverse();
        let state = match last.verdict {
            Verdict::Resolve => State::Resolved,
            Verdict::Withdraw if withdrawn(&run) => State::Withdrawn,
            Verdict::Withdraw => State::WithdrawalAsked,
            _ => State::Acknowledged,
        };
        let signed = words.into_iter().map(|act| {
            let officer = hex(&act.officer);
            Signed {
                name: called(&officer),
                officer,
                reason: act.reason.clone(),
                index: act.stamp.index,
                logged_unix_ms: act.stamp.logged_ms,
            }
        });
        Some(Handling {
            state,
            officer: hex(&last.officer),
            reason: last.reason.clone(),
            index: last.stamp.index,
            logged_unix_ms: last.stamp.logged_ms,
            overtaken: finding.evidence.last_index > last.stamp.index,
            signed: signed.collect(),
        })
    }
}
