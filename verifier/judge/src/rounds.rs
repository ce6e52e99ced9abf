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
    registry::links::{Group, Groups},
    timeline::Moment,
};

/// Milliseconds of the log's time between two rounds, at least. A round over 10,000 tenants takes some
/// 20 ms, and so a thousandth of one core.
const ROUND_MS: u64 = 60_000;

/// What was looked at before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds {
    last_ms: u64,
    linked: Arc<Linked>,
    /// For what the links hold: statements, the span of instants, and tenants in the books.
    hold: Option<(u64, (u64, u64), usize)>,
    /// Who stands for the group of a tenant, once something was found: it stays whoever joins.
    heads: BTreeMap<Number, Number>,
}

/// The groups of linked tenants, by place in the books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Linked {
    groups: Groups,
    of: Vec<Option<usize>>,
    members: Vec<Vec<Number>>,
}

impl Linked {
    /// The group of a tenant.
    pub(crate) fn of(&self, number: Number) -> Option<usize> {
        *self.of.get(usize::try_from(number).ok()?)?
    }

    /// A group, with those of its members that used anything.
    pub(crate) fn group(&self, place: usize) -> Option<(&Group, &[Number])> {
        Some((self.groups.all().get(place)?, self.members.get(place)?))
    }
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
        self.look_at(&due, compares);
    }

    /// Looks at all that no round has looked at yet, over or not: what comes is judged by another pack.
    pub(crate) fn look_at_all(&mut self) {
        let due = self.books.take_fresh(u64::MAX);
        self.look_at(&due, false);
    }

    fn look_at(&mut self, due: &[(u64, Number)], compares: bool) {
        if due.is_empty() && !compares {
            return;
        }
        let hold = Some(self.links_hold());
        if self.rounds.hold != hold {
            self.rounds.linked = Arc::new(self.linked());
            self.rounds.hold = hold;
        }
        let linked = Arc::clone(&self.rounds.linked);
        let mut seen = self.looked_at(due, &linked);
        seen.extend(self.profile(due));
        if compares {
            seen.extend(self.alike(&linked));
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
        if self.rounds.hold == Some(self.links_hold()) {
            return self.looked_at(due, &self.rounds.linked);
        }
        self.looked_at(due, &self.linked())
    }

    /// What says, while it is the same, that the links known before still are.
    fn links_hold(&self) -> (u64, (u64, u64), usize) {
        let steady = self.registry.steady(self.clock_ms);
        (self.registry.stated(), steady, self.books.len())
    }

    /// The links that are known by now.
    fn linked(&self) -> Linked {
        let groups = self
            .registry
            .groups(Moment::as_known_now(u64::MAX, self.clock_ms));
        let mut members = vec![Vec::new(); groups.all().len()];
        let of = self.books.all().map(|(number, id)| {
            let place = groups.of(id)?;
            members.get_mut(place)?.push(number);
            Some(place)
        });
        let of = of.collect();
        Linked {
            groups,
            of,
            members,
        }
    }

    fn looked_at(&self, due: &[(u64, Number)], linked: &Linked) -> Vec<Seen> {
        let mut seen = self.ramps(due);
        seen.extend(self.structured(due, linked));
        seen.extend(self.operations(due, linked));
        seen
    }

    /// A limit of the pack in force.
    pub(crate) fn limit(&self, name: &str) -> Option<u64> {
        let limits = self.packs.newest().parameters().limits();
        limits.get(name).copied().map(u64::from)
    }

    /// What bounds a tenant's use; one that is not approved, by the pack alone.
    pub(crate) fn ceilings(&self, number: Number, pack: &Pack) -> Ceilings {
        let known = self.books.ceilings(number);
        known.unwrap_or_else(|| Ceilings::of(None, pack))
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
