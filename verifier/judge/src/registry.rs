//! The registry: parties, tenants and their vetting, as the log's events made them.
//!
//! It is as large as the officers' own signed events make it; nothing of hosts enters it.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::{
    Digest, digest,
    v1::{self, tenant_event},
};
use prost::Message;

use crate::{
    approval::{Approval, Change, NoEffect, Vetting},
    parameters::Country,
    parties::Parties,
    timeline::{Doubt, Moment, Stamp, Timeline, steady},
};

/// All that officers stated about who uses the fleet.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    parties: Parties,
    tenants: BTreeMap<String, Record>,
    /// From a party to the approved tenants whose dossier rests on it.
    followers: BTreeMap<String, BTreeSet<String>>,
    /// Instants at which an answer about the same knowledge may change.
    instants: BTreeSet<u64>,
    /// (index, effective) of events, so that the effective instants rise: what a later event
    /// reaches back to is the first entry after a use's index.
    reaches: Vec<(u64, u64)>,
    revision: u64,
    /// Log index and time of each act of each officer.
    acts: BTreeMap<[u8; 32], BTreeMap<u64, u64>>,
}

#[derive(Clone, Debug, Default)]
struct Record {
    versions: Timeline<v1::Tenant>,
    approval: Approval,
    members: BTreeSet<String>,
}

/// What is known of a tenant at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its vetting.
    pub vetting: Vetting,
    /// Whether somebody stands between it and an end customer whom nobody declared.
    pub undeclared: bool,
    /// Headquarters of every party of the chain and of all who stand behind them.
    pub headquarters: BTreeMap<String, BTreeSet<Country>>,
    /// Parties whose headquarters nobody stated, and an ultimate parent that is unresolved.
    pub unknown: BTreeSet<String>,
}

impl Registry {
    /// Takes a tenant event. An act without effect is said, never fatal: the log has it anyway.
    pub(crate) fn tenant_event(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        event: &v1::TenantEvent,
    ) -> Result<(), NoEffect> {
        self.note(stamp);
        self.act(stamp, officer);
        match &event.body {
            None => return Err(NoEffect::Empty(stamp.index)),
            Some(tenant_event::Body::Party(party)) => {
                self.parties.party(stamp, party.clone());
                self.recheck(stamp, [party.id.as_str()]);
            }
            Some(tenant_event::Body::Edge(edge)) => {
                self.parties.edge(stamp, edge.clone());
                self.instants.extend(edge.until_unix_ms);
                self.recheck(stamp, [edge.from.as_str(), edge.to.as_str()]);
            }
            Some(tenant_event::Body::Tenant(tenant)) => {
                let conditions = tenant.conditions.iter();
                for conditions in conditions {
                    self.instants.extend(conditions.valid_from_unix_ms);
                    // The last valid instant itself is still valid.
                    self.instants
                        .extend(conditions.valid_to_unix_ms.map(|to| to.saturating_add(1)));
                }
                let record = self.tenants.entry(tenant.id.clone()).or_default();
                record.versions.push(stamp, tenant.clone());
                self.recheck_tenant(stamp, &tenant.id);
            }
            Some(tenant_event::Body::State(change)) => {
                let record = self.tenants.entry(change.tenant.clone()).or_default();
                record.approval.change(stamp, officer, change)?;
                self.unfollow(&change.tenant);
            }
        }
        Ok(())
    }

    /// Takes one officer's decision.
    pub(crate) fn decision(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        decision: &v1::Decision,
    ) -> Result<(), NoEffect> {
        self.note(stamp);
        self.act(stamp, officer);
        let id = &decision.tenant;
        let unknown = || NoEffect::NoTenant(id.clone());
        let dossier = self.dossier_digest(id).ok_or_else(unknown)?;
        let members = self.members(id);
        let record = self.tenants.get_mut(id).ok_or_else(unknown)?;
        let tenant = record.versions.newest().ok_or_else(unknown)?;
        let made = record
            .approval
            .decide(stamp, officer, decision, (tenant, dossier));
        if record.approval.approved() == Some(dossier) {
            record.members = members.clone();
            for party in members {
                self.followers.entry(party).or_default().insert(id.clone());
            }
        } else {
            self.unfollow(id);
        }
        made
    }

    /// Casts doubt on what an officer said between two log indices, the revocation of his key
    /// being logged at `stamp`. Gives what it touches, in words.
    pub(crate) fn doubt(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        (first, last): (u64, u64),
    ) -> Vec<String> {
        let acts = self.acts.get(&officer).into_iter();
        let acts: BTreeMap<u64, u64> = acts
            .flat_map(|acts| acts.range(first..=last))
            .map(|(index, logged_ms)| (*index, *logged_ms))
            .collect();
        let Some(reach) = acts.values().min().copied() else {
            return Vec::new();
        };
        let doubt = Doubt {
            index: stamp.index,
            acts: acts.into_keys().collect(),
        };
        // What it permitted, it permitted from its inclusion at the earliest.
        self.note(Stamp {
            effective_ms: reach,
            ..stamp
        });
        self.parties.doubt(&doubt);
        let mut said = vec![format!(
            "{} statements on tenants and parties, log indices {} to {}",
            doubt.acts.len(),
            doubt.acts.first().unwrap_or(&first),
            doubt.acts.last().unwrap_or(&last)
        )];
        let mut ended = Vec::new();
        for (tenant, record) in &mut self.tenants {
            record.versions.doubt(&doubt);
            for index in record.approval.doubt(stamp, &doubt) {
                said.push(format!("approval of tenant {tenant} at log index {index}"));
            }
            if record.approval.approved().is_none() {
                ended.push(tenant.clone());
            }
        }
        ended.iter().for_each(|tenant| self.unfollow(tenant));
        said
    }

    /// Gives a tenant's dossier as it stands after the last event: the tenant, all parties that
    /// were stated among its chain and those behind it, and the edges among them, in order.
    ///
    /// `None` when no event states the tenant.
    pub fn dossier(&self, tenant: &str) -> Option<v1::Dossier> {
        let stated = self.tenants.get(tenant)?.versions.newest()?.clone();
        let members = self.members(tenant);
        Some(v1::Dossier {
            tenant: Some(stated),
            parties: members
                .iter()
                .filter_map(|id| self.parties.newest(id).cloned())
                .collect(),
            edges: self.parties.among(&members),
        })
    }

    /// SHA-256 of the dossier's bytes: what officers decide over.
    pub fn dossier_digest(&self, tenant: &str) -> Option<Digest> {
        Some(digest(&self.dossier(tenant)?.encode_to_vec()))
    }

    /// All tenants as last stated, by id.
    pub fn tenants(&self) -> impl Iterator<Item = &v1::Tenant> {
        self.tenants
            .values()
            .filter_map(|record| record.versions.newest())
    }

    /// Parties and edges.
    pub fn parties(&self) -> &Parties {
        &self.parties
    }

    /// All changes of a tenant's state, in the order of the log.
    pub fn changes(&self, tenant: &str) -> &[Change] {
        self.tenants
            .get(tenant)
            .map_or(&[], |record| record.approval.changes())
    }

    /// The last state of a tenant in the log, as `under_review`; `draft` before any.
    pub fn state(&self, tenant: &str) -> &'static str {
        self.changes(tenant)
            .last()
            .map_or("draft", |change| change.state)
    }

    /// What is known of a tenant at a moment.
    pub fn standing(&self, tenant: &str, at: Moment) -> Standing {
        let Some(record) = self.tenants.get(tenant) else {
            return Standing {
                vetting: Vetting::Not("unregistered"),
                undeclared: false,
                headquarters: BTreeMap::new(),
                unknown: BTreeSet::new(),
            };
        };
        let mut undeclared = false;
        let mut seeds = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        for (_, version) in record.versions.in_force(at) {
            let chain = std::iter::once(&version.customer).chain(&version.intermediaries);
            let between = !version.intermediaries.is_empty()
                || chain.clone().any(|party| self.parties.resells(party, at));
            undeclared |= version.end_customer.is_empty() && between;
            if version.ultimate_parent.is_empty() {
                unknown.insert("ultimate parent".to_owned());
            }
            seeds.extend(named(version));
        }
        let mut headquarters = BTreeMap::new();
        for party in self.parties.behind_at(seeds, at) {
            let countries = self.parties.headquarters(&party, at).countries;
            if countries.is_empty() {
                unknown.insert(party);
            } else {
                headquarters.insert(party, countries);
            }
        }
        Standing {
            vetting: record.approval.at(at),
            undeclared,
            headquarters,
            unknown,
        }
    }

    /// Counts events: an answer holds while this does not change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The span of instants around `instant`, end excluded, in which the same knowledge gives the
    /// same answer.
    pub(crate) fn steady(&self, instant: u64) -> (u64, u64) {
        steady(&self.instants, instant)
    }

    /// The earliest instant to which an event after `index` claims to reach back.
    pub(crate) fn reaches_back_to(&self, index: u64) -> Option<u64> {
        let place = self.reaches.partition_point(|(event, _)| *event <= index);
        self.reaches.get(place).map(|(_, effective)| *effective)
    }

    fn act(&mut self, stamp: Stamp, officer: [u8; 32]) {
        let acts = self.acts.entry(officer).or_default();
        acts.insert(stamp.index, stamp.logged_ms);
    }

    fn note(&mut self, stamp: Stamp) {
        self.revision += 1;
        self.instants.extend([stamp.effective_ms, stamp.logged_ms]);
        while self
            .reaches
            .last()
            .is_some_and(|(_, effective)| *effective >= stamp.effective_ms)
        {
            self.reaches.pop();
        }
        self.reaches.push((stamp.index, stamp.effective_ms));
    }

    fn members(&self, tenant: &str) -> BTreeSet<String> {
        let stated = self
            .tenants
            .get(tenant)
            .and_then(|record| record.versions.newest());
        let seeds = stated.into_iter().flat_map(named).collect();
        self.parties.ever_behind(seeds)
    }

    fn recheck<const N: usize>(&mut self, stamp: Stamp, touched: [&str; N]) {
        let tenants = touched
            .iter()
            .filter_map(|party| self.followers.get(*party))
            .flatten();
        let tenants: BTreeSet<String> = tenants.cloned().collect();
        for tenant in tenants {
            self.recheck_tenant(stamp, &tenant);
        }
    }

    fn recheck_tenant(&mut self, stamp: Stamp, tenant: &str) {
        let stands = self.dossier_digest(tenant);
        let Some(record) = self.tenants.get_mut(tenant) else {
            return;
        };
        if record.approval.approved().is_some() && record.approval.approved() != stands {
            record.approval.lapse(stamp);
            self.unfollow(tenant);
        }
    }

    fn unfollow(&mut self, tenant: &str) {
        let Some(record) = self.tenants.get_mut(tenant) else {
            return;
        };
        for party in std::mem::take(&mut record.members) {
            if let Some(followers) = self.followers.get_mut(&party) {
                followers.remove(tenant);
            }
        }
    }
}

/// The parties that a tenant names.
fn named(tenant: &v1::Tenant) -> impl Iterator<Item = String> + '_ {
    [
        &tenant.customer,
        &tenant.end_customer,
        &tenant.ultimate_parent,
    ]
    .into_iter()
    .chain(&tenant.intermediaries)
    .filter(|id| !id.is_empty())
    .cloned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ANN: [u8; 32] = [1; 32];
    const BO: [u8; 32] = [2; 32];

    struct Log(Registry, u64);

    impl Log {
        fn say(&mut self, body: tenant_event::Body) -> u64 {
            self.1 += 1;
            let event = v1::TenantEvent {
                body: Some(body),
                ..Default::default()
            };
            let stamp = Stamp {
                index: self.1,
                logged_ms: self.1 * 10,
                effective_ms: self.1 * 10,
            };
            self.0.tenant_event(stamp, ANN, &event).unwrap();
            self.1
        }

        fn party(&mut self, id: &str, hq: &str) {
            let party = v1::Party {
                id: id.into(),
                headquarters: hq.into(),
                ..Default::default()
            };
            self.say(tenant_event::Body::Party(party));
        }

        fn approve(&mut self, tenant: &str) -> Vetting {
            let dossier = self.0.dossier_digest(tenant).unwrap();
            for officer in [ANN, BO] {
                self.1 += 1;
                let decision = v1::Decision {
                    tenant: tenant.into(),
                    dossier: dossier.as_bytes().to_vec(),
                    verdict: v1::Verdict::Approve.into(),
                    ..Default::default()
                };
                let stamp = Stamp {
                    index: self.1,
                    logged_ms: self.1 * 10,
                    effective_ms: 0,
                };
                self.0.decision(stamp, officer, &decision).unwrap();
            }
            self.vetting(tenant)
        }

        fn vetting(&self, tenant: &str) -> Vetting {
            self.0
                .standing(tenant, Moment::as_known_now(self.1 + 1, u64::MAX))
                .vetting
        }
    }

    fn log() -> Log {
        let mut log = Log(Registry::default(), 0);
        log.party("firm", "US");
        log.party("owner", "US");
        let tenant = v1::Tenant {
            id: "t".into(),
            customer: "firm".into(),
            ..Default::default()
        };
        log.say(tenant_event::Body::Tenant(tenant));
        log
    }

    fn owns(from: &str, to: &str) -> tenant_event::Body {
        let kind = v1::EdgeKind::Owns.into();
        tenant_event::Body::Edge(v1::Edge {
            from: from.into(),
            to: to.into(),
            kind,
            ..Default::default()
        })
    }

    #[test]
    fn a_changed_dossier_lapses_the_approval_until_two_decide_again() {
        let mut log = log();
        assert_eq!(log.approve("t"), Vetting::Approved(None));
        log.party("firm", "DE");
        assert_eq!(log.vetting("t"), Vetting::Not("under_review"));
        assert_eq!(log.approve("t"), Vetting::Approved(None));
        log.say(owns("owner", "firm"));
        assert_eq!(log.vetting("t"), Vetting::Not("under_review"));
        assert_eq!(log.approve("t"), Vetting::Approved(None));
        log.party("owner", "CH");
        assert_eq!(log.vetting("t"), Vetting::Not("under_review"));
        assert_eq!(log.0.state("t"), "under_review");
    }

    #[test]
    fn a_change_to_others_and_a_repeated_statement_leave_an_approval_alone() {
        let mut log = log();
        assert_eq!(log.approve("t"), Vetting::Approved(None));
        log.party("owner", "CH");
        log.say(owns("owner", "stranger"));
        log.party("firm", "US");
        assert_eq!(log.vetting("t"), Vetting::Approved(None));
    }

    #[test]
    fn use_before_the_lapse_stays_under_the_approval_that_stood() {
        let mut log = log();
        log.approve("t");
        let (index, instant) = (log.1 + 1, (log.1 + 1) * 10);
        log.1 += 5;
        log.party("firm", "DE");
        let now = log.0.standing("t", Moment::as_known_now(index, instant));
        assert_eq!(now.vetting, Vetting::Approved(None));
    }

    #[test]
    fn the_dossier_holds_the_chain_and_all_behind_it_in_order() {
        let mut log = log();
        log.say(owns("owner", "firm"));
        log.say(owns("stranger", "other"));
        let dossier = log.0.dossier("t").unwrap();
        let ids: Vec<_> = dossier
            .parties
            .iter()
            .map(|party| party.id.as_str())
            .collect();
        assert_eq!(ids, ["firm", "owner"]);
        assert_eq!(dossier.edges.len(), 1);
        assert!(log.0.dossier("nobody").is_none());
    }

    #[test]
    fn the_reach_of_later_events_is_the_earliest_among_them() {
        let mut registry = Registry::default();
        for (index, effective_ms) in [(1, 10), (2, 50), (3, 30), (4, 40)] {
            registry.note(Stamp {
                index,
                logged_ms: 100,
                effective_ms,
            });
        }
        assert_eq!(registry.reaches_back_to(0), Some(10));
        assert_eq!(registry.reaches_back_to(1), Some(30));
        assert_eq!(registry.reaches_back_to(3), Some(40));
        assert_eq!(registry.reaches_back_to(4), None);
    }

    #[test]
    fn an_unregistered_tenant_is_not_approved_and_a_missing_headquarters_is_said() {
        let log = log();
        let at = Moment::as_known_now(99, 999);
        assert_eq!(
            log.0.standing("x", at).vetting,
            Vetting::Not("unregistered")
        );
        let unknown = log.0.standing("t", at).unknown;
        assert_eq!(unknown, BTreeSet::from(["ultimate parent".to_owned()]));
    }
}
