//! Two times: when a thing took effect in the world, and when the log learned of it.
//!
//! What permits works from its inclusion at the earliest; what restricts may reach back to the day
//! it took effect. For a value that has versions both follow from one rule: a version is in force
//! from its effective instant until a later version *of the log* has both been included and taken
//! effect. Around a back-dated change two versions are in force at once, and a rule that either
//! breaks is broken. A version by a key that was revoked from before it replaces none.

use std::collections::{BTreeMap, BTreeSet};

/// When a registry event was said to take effect, and where the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Log index.
    pub index: u64,
    /// The log's own time there, milliseconds since 1970.
    pub logged_ms: u64,
    /// The instant it claims to take effect.
    pub effective_ms: u64,
}

impl Stamp {
    /// The earliest instant from which it may permit anything.
    pub fn permits_from(&self) -> u64 {
        self.effective_ms.max(self.logged_ms)
    }
}

/// The span around `instant`, end excluded, in which none of `instants` lies but its beginning.
pub(crate) fn steady(instants: &BTreeSet<u64>, instant: u64) -> (u64, u64) {
    let from = instants.range(..=instant).next_back().copied().unwrap_or(0);
    let next = instant.checked_add(1);
    let next = next.and_then(|next| instants.range(next..).next().copied());
    (from, next.unwrap_or(u64::MAX))
}

/// A use to be judged: where it stands in the log, when it was, and what may be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Log index of the use.
    pub index: u64,
    /// Its instant within its record's interval, as claimed.
    pub instant_ms: u64,
    /// Only events before this index are known.
    pub known_before: u64,
}

impl Moment {
    /// As known when the use was logged.
    pub fn as_known_then(index: u64, instant_ms: u64) -> Self {
        Self {
            index,
            instant_ms,
            known_before: index,
        }
    }

    /// As known now, with all that the log came to say since.
    pub fn as_known_now(index: u64, instant_ms: u64) -> Self {
        Self {
            index,
            instant_ms,
            known_before: u64::MAX,
        }
    }
}

/// Acts of an officer on which a revocation casts doubt: their log indices, and that of the
/// revocation, from which on it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    /// Log index of the revocation.
    pub index: u64,
    /// Log indices of the acts.
    pub acts: BTreeSet<u64>,
}

/// The versions of one thing, in the order of the log.
#[derive(Clone, Debug)]
pub struct Timeline<T> {
    versions: Vec<(Stamp, T)>,
    /// Versions that are in doubt, and the log index from which that is known.
    doubted: BTreeMap<u64, u64>,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self {
            versions: Vec::new(),
            doubted: BTreeMap::new(),
        }
    }
}

impl<T> Timeline<T> {
    /// Adds the next version of the log.
    pub fn push(&mut self, stamp: Stamp, value: T) {
        self.versions.push((stamp, value));
    }

    /// Casts doubt on versions: they stay in force, and replace none that was before them.
    pub(crate) fn doubt(&mut self, doubt: &Doubt) {
        for (stamp, _) in &self.versions {
            if doubt.acts.contains(&stamp.index) {
                self.doubted.entry(stamp.index).or_insert(doubt.index);
            }
        }
    }

    fn is_doubted(&self, index: u64, at: Moment) -> bool {
        let known = self.doubted.get(&index);
        known.is_some_and(|known| *known < at.known_before)
    }

    /// The newest version, whenever it takes effect.
    pub fn newest(&self) -> Option<&T> {
        self.versions.last().map(|(_, value)| value)
    }

    /// All versions, in the order of the log.
    pub(crate) fn all(&self) -> &[(Stamp, T)] {
        &self.versions
    }

    /// Where the first version stands.
    pub(crate) fn first(&self) -> Option<&Stamp> {
        self.versions.first().map(|(stamp, _)| stamp)
    }

    /// The newest version, with where it stands.
    pub(crate) fn newest_stamped(&self) -> Option<&(Stamp, T)> {
        self.versions.last()
    }

    /// All versions, newest first, that are known at `at` and had taken effect.
    pub fn known(&self, at: Moment) -> impl Iterator<Item = &(Stamp, T)> {
        self.versions.iter().rev().filter(move |(stamp, _)| {
            stamp.index < at.known_before && stamp.effective_ms <= at.instant_ms
        })
    }

    /// The versions in force at `at`, newest first.
    pub fn in_force(&self, at: Moment) -> impl Iterator<Item = &(Stamp, T)> {
        self.in_force_despite(at, |_| false)
    }

    /// The same, where the versions at the log indices of which `replaces_none` holds stay in force
    /// and replace none that was before them.
    pub(crate) fn in_force_despite(
        &self,
        at: Moment,
        replaces_none: impl Fn(u64) -> bool,
    ) -> impl Iterator<Item = &(Stamp, T)> {
        let mut superseded = false;
        self.known(at).take_while(move |(stamp, _)| {
            let take = !superseded;
            superseded |= stamp.index < at.index
                && stamp.permits_from() <= at.instant_ms
                && !self.is_doubted(stamp.index, at)
                && !replaces_none(stamp.index);
            take
        })
    }

    /// All versions that the log had before an index, newest first, whenever they take effect.
    pub(crate) fn said_before(&self, index: u64) -> impl Iterator<Item = &(Stamp, T)> {
        let versions = self.versions.iter().rev();
        versions.filter(move |(stamp, _)| stamp.index < index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(events: &[(u64, u64, u64)]) -> Timeline<u64> {
        let mut line = Timeline::default();
        for (index, logged_ms, effective_ms) in events.iter().copied() {
            line.push(
                Stamp {
                    index,
                    logged_ms,
                    effective_ms,
                },
                index,
            );
        }
        line
    }

    fn then(line: &Timeline<u64>, index: u64, instant: u64) -> Vec<u64> {
        line.in_force(Moment::as_known_then(index, instant))
            .map(|(_, v)| *v)
            .collect()
    }

    fn now(line: &Timeline<u64>, index: u64, instant: u64) -> Vec<u64> {
        line.in_force(Moment::as_known_now(index, instant))
            .map(|(_, v)| *v)
            .collect()
    }

    #[test]
    fn a_later_version_replaces_the_earlier_from_its_inclusion_only() {
        let line = line(&[(1, 10, 10), (5, 50, 20)]);
        assert_eq!(then(&line, 6, 60), [5]);
        assert_eq!(
            then(&line, 6, 30),
            [5, 1],
            "claimed between effect and inclusion: both"
        );
        assert_eq!(then(&line, 4, 30), [1], "not yet known");
        assert_eq!(now(&line, 4, 30), [5, 1], "reaches back");
        assert_eq!(now(&line, 4, 15), [1], "but not before its effect");
    }

    #[test]
    fn a_version_in_doubt_replaces_nothing_once_the_doubt_is_known() {
        let mut line = line(&[(1, 10, 10), (5, 50, 50)]);
        let doubt = Doubt {
            index: 8,
            acts: BTreeSet::from([5]),
        };
        line.doubt(&doubt);
        assert_eq!(then(&line, 6, 60), [5], "as known then");
        assert_eq!(now(&line, 6, 60), [5, 1]);
        assert_eq!(then(&line, 9, 90), [5, 1]);
    }

    #[test]
    fn a_later_event_never_takes_a_version_away_from_an_earlier_use() {
        let mut line = line(&[(1, 10, 0), (5, 50, 20)]);
        let before = now(&line, 3, 30);
        line.push(
            Stamp {
                index: 9,
                logged_ms: 90,
                effective_ms: 0,
            },
            9,
        );
        let after = now(&line, 3, 30);
        assert!(
            before.iter().all(|version| after.contains(version)),
            "{before:?} {after:?}"
        );
    }
}
