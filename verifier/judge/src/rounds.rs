//! Rounds: what tenants used over a while is looked at once a minute of the log's time, not with every record.
//!
//! A span of ten minutes is looked at when it is over, and again when a record of it comes late. What is
//! not over yet is looked at whenever findings are asked for, and nothing of that is kept. Both are the same
//! look, so the log alone says what is found.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Judge,
    books::Number,
    caps::Ceilings,
    episodes::{Episode, Key},
    findings::{Known, Rule, Subject},
    policy::Pack,
    registry::links::Groups,
    timeline::Moment,
};

/// Milliseconds of the log's time between two rounds, at least. A round over 10,000 tenants takes some
/// 20 ms, and so a thousandth of one core.
const ROUND_MS: u64 = 60_000;

/// What was looked at before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds {
    last_ms: u64,
    groups: Arc<Groups>,
    /// Revision of the registry, and the span of instants, for which the groups hold.
    hold: Option<(u64, (u64, u64))>,
    /// Who stands for the group of a tenant, once something was found: it stays whoever joins.
    heads: BTreeMap<Number, Number>,
}

/// Something that was found.
pub(crate) struct Seen {
    pub(crate) key: Key,
    pub(crate) episode: Episode,
    /// Tenants that go together from now on.
    pub(crate) together: Vec<Number>,
}

impl Seen {
    /// A rule that one tenant broke.
    pub(crate) fn of(rule: Rule, tenant: &str, episode: Episode) -> Self {
        Self {
            key: key(rule, Subject::Tenant(tenant.to_owned())),
            episode,
            together: Vec::new(),
        }
    }
}

pub(crate) fn key(rule: Rule, subject: Subject) -> Key {
    Key {
        cause: rule.into(),
        subject,
        known: Known::Then,
    }
}

impl Judge {
    /// Makes a round where one is due.
    pub(crate) fn round(&mut self) {
        let due_ms = self.rounds.last_ms.saturating_add(ROUND_MS);
        if self.clock_ms < due_ms {
            return;
        }
        let last_ms = std::mem::replace(&mut self.rounds.last_ms, self.clock_ms);
        // Records of a span come an interval after its end, and some are on their way for another.
        let over = self
            .clock_ms
            .saturating_sub(2 * self.parameters.interval_ms);
        let due = self.books.take_fresh(over);
        let compares = self.compares(last_ms);
        if due.is_empty() && !compares {
            return;
        }
        let (revision, steady) = (
            self.registry.revision(),
            self.registry.steady(self.clock_ms),
        );
        if self.rounds.hold != Some((revision, steady)) {
            self.rounds.groups = Arc::new(self.registry.groups(self.now()));
            self.rounds.hold = Some((revision, steady));
        }
        let groups = Arc::clone(&self.rounds.groups);
        let mut seen = self.looked_at(&due, &groups);
        seen.extend(self.profile(&due));
        if compares {
            seen.extend(self.alike(&groups));
        }
        for one in seen {
            let head = match &one.key.subject {
                Subject::Linked(head) => self.books.known(head),
                _ => None,
            };
            for number in one.together {
                if let Some(head) = head {
                    self.rounds.heads.entry(number).or_insert(head);
                }
            }
            self.episodes.add(one.key, one.episode);
        }
    }

    /// What is found of all that no round has looked at yet.
    pub(crate) fn unrounded(&self) -> Vec<Seen> {
        let due = self.books.fresh();
        if due.is_empty() {
            return Vec::new();
        }
        let holds = (
            self.registry.revision(),
            self.registry.steady(self.clock_ms),
        );
        if self.rounds.hold == Some(holds) {
            return self.looked_at(due, &self.rounds.groups);
        }
        self.looked_at(due, &self.registry.groups(self.now()))
    }

    fn looked_at(&self, due: &[(u64, Number)], groups: &Groups) -> Vec<Seen> {
        let mut seen = self.ramps(due);
        seen.extend(self.structured(due, groups));
        seen.extend(self.operations(due, groups));
        seen
    }

    /// All that was heard, at the log's time.
    fn now(&self) -> Moment {
        Moment::as_known_now(u64::MAX, self.clock_ms)
    }

    /// A limit of the pack in force.
    pub(crate) fn limit(&self, name: &str) -> Option<u64> {
        let limits = self.packs.newest().parameters().limits();
        limits.get(name).copied().map(u64::from)
    }

    /// What bounds a tenant's use; one that is not approved, by the pack alone.
    pub(crate) fn ceilings(&self, tenant: &str, pack: &Pack) -> Ceilings {
        let known = self.answers.get(tenant);
        known.map_or_else(|| Ceilings::of(None, pack), |answer| answer.bounds.ceilings)
    }

    /// Who stands for tenants that are linked: the one that did before, else the one whose evidence
    /// stands first in the log. `members` has the first index of each.
    pub(crate) fn head(&self, members: impl IntoIterator<Item = (Number, u64)> + Clone) -> &str {
        let before = members.clone().into_iter();
        let before = before.filter_map(|(number, _)| self.rounds.heads.get(&number).copied());
        let first = members
            .into_iter()
            .min_by_key(|(number, index)| (*index, self.books.id(*number)));
        let head = before.min().or(first.map(|(number, _)| number));
        head.map_or("", |head| self.books.id(head))
    }
}
