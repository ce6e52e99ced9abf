//! Dispositions: what officers decided on hits of screening lists.
//!
//! A decision is remembered by what it is about: a party and its name, a list and the listed name. So
//! it stays decided when a new version of the list numbers its entries anew. A hit under another name,
//! or of a graver class than was seen, is another hit.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::{
    digest,
    v1::{self, Verdict},
};

use crate::{
    approval::{APPROVERS, NoEffect},
    screening,
    timeline::{Doubt, Moment, Stamp},
};

/// What a hit is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct About {
    pub(crate) party: String,
    pub(crate) name: String,
    pub(crate) list: String,
    pub(crate) listed: String,
}

impl About {
    fn of(hit: &v1::HitDecision) -> Self {
        Self {
            party: hit.party.clone(),
            name: hit.name.clone(),
            list: hit.list.clone(),
            listed: hit.listed.clone(),
        }
    }

    /// Names it: the first 16 hexadecimal digits of the SHA-256 of its parts, each after its length.
    pub(crate) fn id(&self) -> String {
        let mut bytes = b"affiant hit v1\0".to_vec();
        for part in [&self.party, &self.name, &self.list, &self.listed] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        digest(&bytes).to_string().chars().take(16).collect()
    }
}

/// How a hit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Nobody decided it, or not enough.
    Undecided,
    /// The party is not the one that is listed.
    Cleared,
    /// It is.
    Confirmed,
}

/// All decisions on hits, in the order of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dispositions(BTreeMap<About, Vec<Said>>);

#[derive(Clone, Debug)]
struct Said {
    stamp: Stamp,
    officer: [u8; 32],
    is_clear: bool,
    /// The gravest class that was seen.
    class: screening::Class,
    doubted_at: Option<u64>,
}

impl Dispositions {
    /// Takes one officer's decision.
    pub(crate) fn take(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        decision: &v1::Decision,
        hit: &v1::HitDecision,
    ) -> Result<(), NoEffect> {
        let is_clear = match Verdict::try_from(decision.verdict).unwrap_or_default() {
            Verdict::Clear => true,
            Verdict::Confirm => false,
            _ => return Err(NoEffect::NotOnAHit(hit.party.clone())),
        };
        let class = hit.class.parse();
        let class = class.map_err(|_| NoEffect::NotOnAHit(hit.party.clone()))?;
        let about = About::of(hit);
        self.0.entry(about).or_default().push(Said {
            stamp,
            officer,
            is_clear,
            class,
            doubted_at: None,
        });
        Ok(())
    }

    /// The officers who cleared a hit by now.
    pub(crate) fn cleared_by(&self, hit: &v1::HitDecision) -> BTreeSet<[u8; 32]> {
        let said = self.0.get(&About::of(hit)).into_iter().flatten();
        said.filter(|said| said.is_clear)
            .map(|said| said.officer)
            .collect()
    }

    /// The parties on whom a hit was cleared.
    pub(crate) fn cleared_parties(&self) -> BTreeSet<String> {
        let cleared = self.0.iter();
        let cleared = cleared.filter(|(_, said)| said.iter().any(|said| said.is_clear));
        cleared.map(|(about, _)| about.party.clone()).collect()
    }

    /// The clears of each hit on a party that nothing casts doubt on, in the order of the log.
    pub(crate) fn clears_of(&self, party: &str) -> Vec<Vec<(Stamp, [u8; 32])>> {
        let first = About {
            party: party.to_owned(),
            name: String::new(),
            list: String::new(),
            listed: String::new(),
        };
        let of = self.0.range(first..);
        let of = of.take_while(|(about, _)| about.party == party);
        let standing = |said: &&Said| said.is_clear && said.doubted_at.is_none();
        of.map(|(_, said)| {
            let said = said.iter().filter(standing);
            said.map(|said| (said.stamp, said.officer)).collect()
        })
        .collect()
    }

    /// What officers decided on hits of parties: what it is about, where it stands, by whom, and whether it
    /// clears.
    pub(crate) fn on<'a>(
        &'a self,
        parties: &'a BTreeSet<String>,
    ) -> impl Iterator<Item = (&'a About, Stamp, [u8; 32], bool)> {
        let of = self.0.iter();
        let of = of.filter(|(about, _)| parties.contains(&about.party));
        of.flat_map(|(about, all)| {
            all.iter()
                .map(move |said| (about, said.stamp, said.officer, said.is_clear))
        })
    }

    /// Casts doubt on decisions: what they cleared is not cleared once that is known.
    pub(crate) fn doubt(&mut self, doubt: &Doubt) {
        for said in self.0.values_mut().flatten() {
            if doubt.acts.contains(&said.stamp.index) {
                said.doubted_at.get_or_insert(doubt.index);
            }
        }
    }

    /// How a hit of a class stands at a moment.
    ///
    /// To clear it permits, so that works from its inclusion and, where the hit is exact or strong,
    /// takes two officers. To confirm it restricts, so that one officer is enough, it may reach back,
    /// and what was cleared before is not clear any more.
    pub(crate) fn of(&self, about: &About, class: screening::Class, at: Moment) -> Disposition {
        let due = match class {
            screening::Class::Exact | screening::Class::Strong => APPROVERS,
            screening::Class::Possible | screening::Class::Context => 1,
        };
        match self.clearing(about, class, at) {
            (clear, _) if clear.len() >= due => Disposition::Cleared,
            (_, true) => Disposition::Confirmed,
            (_, false) => Disposition::Undecided,
        }
    }

    /// The officers whose word clears a hit of a class at a moment, if there are enough of them, since it was
    /// confirmed last; and whether it was.
    pub(crate) fn clearing(
        &self,
        about: &About,
        class: screening::Class,
        at: Moment,
    ) -> (BTreeSet<[u8; 32]>, bool) {
        let mut clear = BTreeSet::new();
        for said in self.0.get(about).into_iter().flatten().rev() {
            let known = said.stamp.index < at.known_before;
            if !said.is_clear && known && said.stamp.effective_ms <= at.instant_ms {
                return (clear, true);
            }
            let doubted = said.doubted_at.is_some_and(|from| from < at.known_before);
            let works = said.stamp.index < at.index && said.stamp.permits_from() <= at.instant_ms;
            if said.is_clear && works && !doubted && class <= said.class {
                clear.insert(said.officer);
            }
        }
        (clear, false)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::screening::Class;

    const ANN: [u8; 32] = [1; 32];
    const BO: [u8; 32] = [2; 32];

    struct Log(Dispositions, u64);

    impl Log {
        fn say(&mut self, officer: [u8; 32], verdict: Verdict, class: &str, effective_ms: u64) {
            self.1 += 1;
            let stamp = Stamp {
                index: self.1,
                logged_ms: self.1 * 10,
                effective_ms,
            };
            let hit = v1::HitDecision {
                party: "p".into(),
                name: "ZJ Lab".into(),
                list: "el".into(),
                listed: "ZJLab".into(),
                class: class.into(),
            };
            let decision = v1::Decision {
                verdict: verdict.into(),
                ..Default::default()
            };
            self.0.take(stamp, officer, &decision, &hit).unwrap();
        }

        fn of(&self, class: Class, at: Moment) -> Disposition {
            self.0.of(&about(), class, at)
        }
    }

    fn about() -> About {
        About {
            party: "p".into(),
            name: "ZJ Lab".into(),
            list: "el".into(),
            listed: "ZJLab".into(),
        }
    }

    fn then(index: u64) -> Moment {
        Moment::as_known_then(index, index * 10)
    }

    #[test]
    fn a_possible_hit_is_cleared_by_one_officer_and_a_grave_one_by_two() {
        let mut log = Log(Dispositions::default(), 0);
        log.say(ANN, Verdict::Clear, "strong", 0);
        assert_eq!(log.of(Class::Possible, then(2)), Disposition::Cleared);
        assert_eq!(log.of(Class::Strong, then(2)), Disposition::Undecided);
        log.say(ANN, Verdict::Clear, "strong", 0);
        assert_eq!(
            log.of(Class::Strong, then(3)),
            Disposition::Undecided,
            "the same twice"
        );
        log.say(BO, Verdict::Clear, "strong", 0);
        assert_eq!(log.of(Class::Strong, then(4)), Disposition::Cleared);
        assert_eq!(
            log.of(Class::Exact, then(4)),
            Disposition::Undecided,
            "graver than was seen"
        );
    }

    #[test]
    fn what_clears_never_reaches_back_and_what_confirms_does() {
        let mut log = Log(Dispositions::default(), 0);
        log.say(ANN, Verdict::Clear, "possible", 0);
        assert_eq!(log.of(Class::Possible, then(1)), Disposition::Undecided);
        log.say(BO, Verdict::Confirm, "possible", 12);
        let now = |instant| Moment::as_known_now(2, instant);
        assert_eq!(
            log.of(Class::Possible, then(2)),
            Disposition::Cleared,
            "as known then"
        );
        assert_eq!(log.of(Class::Possible, now(15)), Disposition::Confirmed);
        assert_eq!(
            log.of(Class::Possible, now(11)),
            Disposition::Cleared,
            "before its effect"
        );
        log.say(ANN, Verdict::Clear, "possible", 0);
        assert_eq!(
            log.of(Class::Possible, then(4)),
            Disposition::Cleared,
            "decided again"
        );
    }

    #[test]
    fn a_decision_by_a_key_that_was_revoked_clears_nothing_once_that_is_known() {
        let mut log = Log(Dispositions::default(), 0);
        log.say(ANN, Verdict::Clear, "context", 0);
        let doubt = Doubt {
            index: 5,
            acts: BTreeSet::from([1]),
        };
        log.0.doubt(&doubt);
        assert_eq!(log.of(Class::Context, then(4)), Disposition::Cleared);
        assert_eq!(log.of(Class::Context, then(6)), Disposition::Undecided);
    }
}
