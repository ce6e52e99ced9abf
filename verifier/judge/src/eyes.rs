//! What the judge says of approvals that were no second pair of eyes.

use affiant_proto::{Digest, KeyId, PublicKey, v1};

use crate::{
    Judge,
    approval::NoEffect,
    episodes::{Episode, Key},
    findings::{Known, Rule, Subject},
    registry::four_eyes,
    timeline::Stamp,
};

impl Judge {
    /// Tells the registry what an officer is known as by now: every key of his chain, the name that
    /// he opened it with, and the one that the genesis gives the key.
    pub(crate) fn introduce(&mut self, chain: [u8; 32]) {
        let keys = self.signers.keys_of(&chain);
        let keys: Vec<String> = keys.map(|id| KeyId::new(*id).to_string()).collect();
        let names = self.names_of(&chain);
        self.registry
            .officer(chain, keys.into_iter(), names.into_iter());
    }

    /// The name of an officer, by the digest that opened his chain in hexadecimal: the one that the
    /// genesis gives his key, else the one that he opened the chain with.
    pub fn officer_name(&self, chain: &str) -> Option<String> {
        let is_his = |of: &&[u8; 32]| Digest::new(**of).to_string() == chain;
        let chain = self.officers.keys().find(is_his)?;
        self.names_of(chain).pop()
    }

    /// The name that an officer opened his chain with, then the one that the genesis gives his key.
    fn names_of(&self, chain: &[u8; 32]) -> Vec<String> {
        let keys = self.signers.keys_of(chain);
        let keys: Vec<KeyId> = keys.map(|id| KeyId::new(*id)).collect();
        let opened = self.officers.get(chain).map(|opened| opened.name.clone());
        let named = self.genesis.iter().flat_map(|genesis| &genesis.officers);
        let his = |named: &&v1::OfficerKey| {
            let key = PublicKey::ed25519(&named.key);
            key.is_ok_and(|key| keys.contains(&key.id()))
        };
        let named = named.filter(his).map(|named| named.name.clone());
        opened.into_iter().chain(named).collect()
    }

    /// Looks again at what was decided before, now that a tenant event is known.
    pub(crate) fn look_again(&mut self, stamp: Stamp, event: &v1::TenantEvent) {
        if let Some(v1::tenant_event::Body::Party(party)) = &event.body {
            let identifiers: Vec<String> = four_eyes::identifiers(party).collect();
            if !identifiers.is_empty() {
                let officers: Vec<[u8; 32]> = self.officers.keys().copied().collect();
                officers.into_iter().for_each(|chain| self.introduce(chain));
            }
            for identifier in identifiers {
                if !self.registry.knows_officer(&identifier) {
                    self.note(format!(
                        "index {}: party {} is said to be officer {identifier}, who is not known by now",
                        stamp.index, party.id
                    ));
                }
            }
        }
        let broken = self.registry.look_again(stamp, event);
        for said in self.registry.look_again_at_clears(stamp, event) {
            self.note(format!("index {}: {said}", stamp.index));
        }
        for broken in broken {
            let (index, decided_ms) = broken.decided;
            let span = (decided_ms, self.clock_ms);
            if span.1 <= self.period.0 || span.0 > self.period.1 {
                continue;
            }
            let episode = Episode::new((index, stamp.index), span, self.clock_ms, 1);
            let key = Key {
                cause: Rule::SelfApproval.into(),
                subject: Subject::Tenant(broken.tenant),
                known: Known::Later,
            };
            self.episodes.add(key, episode.with(&broken.why, "", None));
        }
    }

    /// Takes a decision that had no effect: where it was to pass for a second pair of eyes, that is
    /// a finding.
    pub(crate) fn without_effect(&mut self, index: u64, why: NoEffect) {
        let (NoEffect::OwnTenant(tenant, why) | NoEffect::OnePerson(tenant, why)) = why else {
            return;
        };
        if self.in_period() {
            let episode = self.told(index).with(&why, "", None);
            self.observe(Rule::SelfApproval, Subject::Tenant(tenant), episode);
        }
    }
}
