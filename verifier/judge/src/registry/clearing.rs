//! Clearing hits: who may, and what was cleared by whom it should not have been.
//!
//! A clear is an approval in small: nobody clears a hit on himself or on whom he acts for, and two keys of
//! one person are one. Both may be learned later; then the hit is open again as known from there on.

use std::collections::BTreeSet;

use affiant_proto::v1::{self, EdgeKind, tenant_event::Body};

use super::{Registry, four_eyes::MAX_TIES};
use crate::{
    approval::NoEffect,
    timeline::{Doubt, Moment, Stamp},
};

impl Registry {
    /// Takes one officer's decision on a hit.
    pub(crate) fn disposition(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        decision: &v1::Decision,
        hit: &v1::HitDecision,
    ) -> Result<(), NoEffect> {
        self.note(stamp);
        self.act(stamp, officer);
        if decision.verdict == i32::from(v1::Verdict::Clear) {
            let at = Moment::as_known_then(stamp.index, stamp.logged_ms);
            let tied = self.may_not_clear(&hit.party, officer, at);
            if let Some(why) = tied.or_else(|| self.is_another_of(stamp, officer, hit)) {
                return Err(NoEffect::OwnHit(hit.party.clone(), why));
            }
            let behind = self
                .parties
                .ever_behind(BTreeSet::from([hit.party.clone()]));
            self.rest_clear(&hit.party, &behind);
        }
        self.listings.dispose(stamp, officer, decision, hit)
    }

    /// Why an officer may not clear hits on a party: it is he, or he acts for it or a tenant of it.
    fn may_not_clear(&self, party: &str, officer: [u8; 32], at: Moment) -> Option<String> {
        let own = self.tied_to(BTreeSet::from([party.to_owned()]), officer, at);
        own.or_else(|| {
            self.tenants.keys().find_map(|tenant| {
                let is_its = self.members(tenant).contains(party);
                is_its.then(|| self.tied(tenant, officer, at)).flatten()
            })
        })
    }

    /// Why an officer is one person with another who cleared the hit.
    fn is_another_of(
        &self,
        stamp: Stamp,
        officer: [u8; 32],
        hit: &v1::HitDecision,
    ) -> Option<String> {
        let mut others = self.listings.cleared_by(hit).into_iter();
        others.find_map(|other| {
            let both = BTreeSet::from([other, officer]);
            (other != officer)
                .then(|| self.one_person(&both, stamp.index))
                .flatten()
        })
    }

    /// Looks again at what was cleared, now that the event at `stamp` is known; gives what does not count
    /// as known from here on, in words.
    pub(crate) fn look_again_at_clears(
        &mut self,
        stamp: Stamp,
        event: &v1::TenantEvent,
    ) -> Vec<String> {
        let parties = match &event.body {
            Some(Body::Party(party)) if self.is_borne_by(&party.id) => {
                self.listings.cleared_parties()
            }
            Some(Body::Edge(edge)) if edge.kind != i32::from(EdgeKind::ResellsTo) => {
                let touched = self.cleared_resting([edge.from.as_str(), edge.to.as_str()]);
                for party in &touched {
                    let behind = self.parties.ever_behind(BTreeSet::from([party.clone()]));
                    self.rest_clear(party, &behind);
                }
                let below = self.parties.ever_below(&edge.to, MAX_TIES);
                let below = self.cleared_resting(below.iter().map(String::as_str));
                touched.into_iter().chain(below).collect()
            }
            _ => return Vec::new(),
        };
        if !self.has_bearers() {
            return Vec::new();
        }
        let mut said = Vec::new();
        let mut doubt = Doubt {
            index: stamp.index,
            acts: BTreeSet::new(),
        };
        let known_before = stamp.index.saturating_add(1);
        for party in parties {
            for clears in self.listings.clears_of(&party) {
                let mut persons: BTreeSet<[u8; 32]> = BTreeSet::new();
                for (cleared, officer) in clears {
                    let at = Moment {
                        index: cleared.index,
                        instant_ms: cleared.logged_ms,
                        known_before,
                    };
                    let tied = self.may_not_clear(&party, officer, at);
                    let alike = || {
                        let mut before = persons.iter();
                        before.find_map(|other| {
                            self.one_person(&BTreeSet::from([*other, officer]), known_before)
                        })
                    };
                    let Some(why) = tied.or_else(alike) else {
                        persons.insert(officer);
                        continue;
                    };
                    doubt.acts.insert(cleared.index);
                    said.push(format!(
                        "a hit on party {party} was cleared at log index {} by whom it should not: {why}",
                        cleared.index
                    ));
                    self.note(Stamp {
                        effective_ms: cleared.logged_ms,
                        ..stamp
                    });
                }
            }
        }
        self.listings.doubt(&doubt);
        said
    }
}
