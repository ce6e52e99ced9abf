//! A trial: what of a period would have been found under another policy pack.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::findings::{Finding, Known, Rule};

/// What would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// How many findings are the same under both.
    pub same: u64,
    /// Those that the other pack would not have raised.
    pub gone: Vec<Finding>,
    /// Those that only the other pack would have raised.
    pub new: Vec<Finding>,
    /// Those that it would have raised otherwise: graver, for longer, or not in shadow.
    pub changed: Vec<Change>,
}

/// One finding under both packs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// As it was found.
    pub was: Finding,
    /// As it would have been.
    pub would_be: Finding,
}

/// What findings of two packs are told apart by, beside time. The policy's id is left out in the second
/// round: two packs may name one rule of law differently.
type Of = (
    Rule,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Known,
);

impl Difference {
    /// Compares all findings of one period, those in shadow among them, as they were and as they would
    /// have been.
    pub fn between(was: Vec<Finding>, would_be: Vec<Finding>) -> Self {
        let mut difference = Self::default();
        let by_policy = |finding: &Finding| of(finding, finding.policy.clone());
        let (was, would_be) = difference.pair(was, would_be, by_policy);
        let by_rule = |finding: &Finding| of(finding, None);
        (difference.gone, difference.new) = difference.pair(was, would_be, by_rule);
        difference
            .changed
            .sort_by(|a, b| order(&a.was).cmp(&order(&b.was)));
        difference
    }

    /// Whether both packs find the same.
    pub fn is_none(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty() && self.changed.is_empty()
    }

    /// Puts findings together that are of one thing and overlap in time; gives those left alone, in their
    /// order.
    fn pair(
        &mut self,
        was: Vec<Finding>,
        would_be: Vec<Finding>,
        of: impl Fn(&Finding) -> Of,
    ) -> (Vec<Finding>, Vec<Finding>) {
        let mut others: BTreeMap<Of, Vec<Finding>> = BTreeMap::new();
        for finding in would_be {
            others.entry(of(&finding)).or_default().push(finding);
        }
        let mut gone = Vec::new();
        for finding in was {
            let alike = others.get_mut(&of(&finding));
            let place = alike.as_ref().and_then(|alike| {
                let mut alike = alike.iter();
                alike.position(|other| overlap(&finding, other))
            });
            match (alike, place) {
                (Some(alike), Some(place)) => self.put(finding, alike.remove(place)),
                _ => gone.push(finding),
            }
        }
        let mut new: Vec<Finding> = others.into_values().flatten().collect();
        new.sort_by(|a, b| order(a).cmp(&order(b)));
        (gone, new)
    }

    fn put(&mut self, was: Finding, would_be: Finding) {
        let told = |it: &Finding| (it.severity, it.shadow, it.opened_unix_ms, it.last_unix_ms);
        if told(&was) == told(&would_be) {
            self.same += 1;
        } else {
            self.changed.push(Change { was, would_be });
        }
    }
}

fn of(finding: &Finding, policy: Option<String>) -> Of {
    (
        finding.rule,
        policy,
        finding.tenant.clone(),
        finding.chain.clone(),
        finding.device.clone(),
        finding.known,
    )
}

fn order(finding: &Finding) -> (u64, Rule, &str) {
    (finding.opened_unix_ms, finding.rule, &finding.id)
}

fn overlap(one: &Finding, other: &Finding) -> bool {
    one.opened_unix_ms <= other.last_unix_ms && other.opened_unix_ms <= one.last_unix_ms
}
