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
    approval::{Approval, Change, Ground, NoEffect, Vetting},
    exhibits::Exhibits,
    listings::{Imported, Listed, Listings, Screened},
    parameters::Country,
    parties::Parties,
    policy::TenantFacts,
    screening,
    timeline::{Doubt, Moment, Stamp, Timeline, steady},
};

mod clearing;
pub(crate) mod four_eyes;
pub mod history;
pub(crate) mod links;
pub mod stands;
pub mod view;

use four_eyes::FourEyes;
use history::{Act, Said};

/// All that officers stated about who uses the fleet.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    parties: Parties,
    listings: Listings,
    tenants: BTreeMap<String, Record>,
    /// From a party to the approved tenants whose dossier rests on it.
    followers: BTreeMap<String, BTreeSet<String>>,
    /// Instants at which an answer about the same knowledge may change.
    instants: BTreeSet<u64>,
    /// (index, effective) of events, so that the effective instants rise: what a later event
    /// reaches back to is the first entry after a use's index.
    reaches: Vec<(u64, u64)>,
    /// Log index and time of all that changed what is known, in the order of the log.
    learned: Vec<(u64, u64)>,
    revision: u64,
    /// Counts statements of parties, edges and tenants, and doubt cast on them.
    stated: u64,
    /// Log index and time of each act of each officer.
    acts: BTreeMap<[u8; 32], BTreeMap<u64, u64>>,
    eyes: FourEyes,
}

#[derive(Clone, Debug, Default)]
struct Record {
    versions: Timeline<v1::Tenant>,
    approval: Approval,
    members: BTreeSet<String>,
    /// What officers said of its state, with effect or without.
    acts: Vec<Act>,
}

impl Record {
    /// The vetting at a moment, with the change that makes it so. What is approved and takes effect later is not
    /// approved yet: there is nothing that a policy could be asked about.
    fn governing(&self, at: Moment) -> (Vetting, Option<&Change>) {
        match self.approval.governing(at) {
            (Vetting::Approved(_), change) if self.versions.in_force(at).next().is_none() => {
                (Vetting::Not("stated for a later time"), change)
            }
            governing => governing,
        }
    }
}

/// What is known of a tenant at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its vetting.
    pub vetting: Vetting,
    /// Whether no decision about it worked by then, as known at the moment.
    pub undecided: bool,
    /// What policies are asked about; `None` when nobody stated the tenant.
    pub facts: Option<TenantFacts>,
    /// Headquarters of every party of the chain and of all who stand behind them.
    pub headquarters: BTreeMap<String, BTreeSet<Country>>,
    /// Parties whose headquarters nobody stated, and an ultimate parent that is unresolved.
    pub unknown: BTreeSet<String>,
    /// What screening lists say of all of them.
    pub screened: Screened,
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
        self.stated += u64::from(!matches!(event.body, Some(tenant_event::Body::State(_))));
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
                let made = record.approval.change(stamp, officer, change);
                let said = Said::state(change);
                record.acts.push(Act::new(stamp, officer, said, &made));
                made?;
                self.unfollow_ended(stamp, &change.tenant);
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
        self.rest(id, &members);
        let made = self.decide(stamp, officer, decision, dossier);
        let record = self.tenants.get_mut(id).ok_or_else(unknown)?;
        let said = Said::decision(decision);
        record.acts.push(Act::new(stamp, officer, said, &made));
        if record.approval.approved() == Some(dossier) {
            record.members = members.clone();
            for party in members {
                self.followers.entry(party).or_default().insert(id.clone());
            }
        } else {
            self.unfollow_ended(stamp, id);
        }
        made
    }

    /// Takes a version of a screening list; from its effective instant on it says what it says.
    pub(crate) fn list_import(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        import: &v1::ListImport,
        exhibits: &mut Exhibits,
    ) -> Result<(), NoEffect> {
        self.note(stamp);
        self.act(stamp, officer);
        self.listings.import(stamp, import, exhibits)
    }

    fn decide(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        decision: &v1::Decision,
        dossier: Digest,
    ) -> Result<(), NoEffect> {
        let id = &decision.tenant;
        let unknown = || NoEffect::NoTenant(id.clone());
        let at = Moment::as_known_then(stamp.index, stamp.logged_ms);
        if Approval::approves(decision)
            && let Some(why) = self.tied(id, officer, at)
        {
            return Err(NoEffect::OwnTenant(id.clone(), why));
        }
        // Who is one person is asked of all but this record, which changes meanwhile.
        let mut record = self.tenants.remove(id).ok_or_else(unknown)?;
        let alike = |officers: &BTreeSet<[u8; 32]>| self.one_person(officers, stamp.index);
        let made = match record.versions.newest() {
            Some(tenant) => {
                record
                    .approval
                    .decide(stamp, officer, decision, (tenant, dossier), &alike)
            }
            None => Err(unknown()),
        };
        self.tenants.insert(id.clone(), record);
        made
    }

    /// Casts doubt on what an officer said between two log indices, the revocation of his key
    /// being logged at `stamp`. Gives what it touches, in words, and which acts these are.
    pub(crate) fn doubt(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        (first, last): (u64, u64),
    ) -> (Vec<String>, Doubt) {
        let acts = self.acts.get(&officer).into_iter();
        let acts: BTreeMap<u64, u64> = acts
            .flat_map(|acts| acts.range(first..=last))
            .map(|(index, logged_ms)| (*index, *logged_ms))
            .collect();
        let Some(reach) = acts.values().min().copied() else {
            return (Vec::new(), Doubt::default());
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
        self.stated += 1;
        self.parties.doubt(&doubt);
        self.listings.doubt(&doubt);
        let mut said = vec![format!(
            "{} statements on tenants, parties, lists and findings, log indices {} to {}",
            doubt.acts.len(),
            doubt.acts.first().unwrap_or(&first),
            doubt.acts.last().unwrap_or(&last)
        )];
        let mut ended = Vec::new();
        for (tenant, record) in &mut self.tenants {
            record.versions.doubt(&doubt);
            for index in record.approval.doubt(stamp, &doubt, Ground::KeyRevoked) {
                said.push(format!("approval of tenant {tenant} at log index {index}"));
            }
            if record.approval.watched(stamp.logged_ms).is_none() {
                ended.push(tenant.clone());
            }
        }
        ended.iter().for_each(|tenant| self.unfollow(tenant));
        (said, doubt)
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

    /// A tenant as last stated.
    pub fn newest(&self, tenant: &str) -> Option<&v1::Tenant> {
        self.tenants.get(tenant)?.versions.newest()
    }

    /// All tenants as last stated, by id.
    pub fn tenants(&self) -> impl Iterator<Item = &v1::Tenant> {
        self.tenants
            .values()
            .filter_map(|record| record.versions.newest())
    }

    /// The log's time at which a tenant was first stated; `None` when nobody did.
    pub(crate) fn first_stated_ms(&self, tenant: &str) -> Option<u64> {
        let record = self.tenants.get(tenant)?;
        record.versions.first().map(|stamp| stamp.logged_ms)
    }

    /// Parties and edges.
    pub fn parties(&self) -> &Parties {
        &self.parties
    }

    /// The screening lists as they were last imported, by name.
    pub fn lists(&self) -> impl Iterator<Item = Imported> + '_ {
        self.listings.all()
    }

    /// What the lists in force at `at` say of every party that was ever stated.
    pub fn screened(&self, at: Moment) -> Screened {
        let ids: Vec<&str> = self.parties.all().map(|party| party.id.as_str()).collect();
        let in_force = ids.into_iter().flat_map(|id| self.parties.in_force(id, at));
        self.listings.screen(in_force, at, self.named_since(at))
    }

    fn named_since(&self, at: Moment) -> impl Fn(&str, &str) -> Option<u64> + '_ {
        move |party, name| self.parties.named_since(party, name, at.known_before)
    }

    /// What the lists in force at `at` say of the parties of a tenant's dossier.
    pub fn screened_dossier(&self, tenant: &str, at: Moment) -> Screened {
        let members = self.members(tenant);
        let in_force = members.iter().flat_map(|id| self.parties.in_force(id, at));
        self.listings.screen(in_force, at, self.named_since(at))
    }

    /// All changes of a tenant's state, in the order of the log.
    pub fn changes(&self, tenant: &str) -> &[Change] {
        self.tenants
            .get(tenant)
            .map_or(&[], |record| record.approval.changes())
    }

    /// The last state of a tenant in the log, as `under_review`, from whenever it works; `draft` before any.
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
                undecided: false,
                facts: None,
                headquarters: BTreeMap::new(),
                unknown: BTreeSet::new(),
                screened: Screened::default(),
            };
        };
        let versions: Vec<&v1::Tenant> = record
            .versions
            .in_force(at)
            .map(|(_, version)| version)
            .collect();
        let (vetting, _) = record.governing(at);
        let mut unknown = BTreeSet::new();
        let mut seeds = BTreeSet::new();
        for version in &versions {
            if version.ultimate_parent.is_empty() {
                unknown.insert("ultimate parent".to_owned());
            }
            seeds.extend(named(version));
        }
        let mut headquarters = BTreeMap::new();
        let behind = self.parties.behind_at(seeds, at);
        let in_force = behind.iter().flat_map(|id| self.parties.in_force(id, at));
        let mut screened = self.listings.screen(in_force, at, self.named_since(at));
        let is_unstated = |id: &&String| self.parties.in_force(id, at).next().is_none();
        screened.unstated = behind.iter().filter(is_unstated).cloned().collect();
        let mut incorporated = BTreeSet::new();
        for party in behind {
            incorporated.extend(self.parties.incorporated(&party, at));
            let countries = self.parties.headquarters(&party, at).countries;
            if countries.is_empty() {
                unknown.insert(party);
            } else {
                headquarters.insert(party, countries);
            }
        }
        let owned = self.listed_ownership(&screened, &versions, at);
        let open = screened.hits.iter().filter(|hit| hit.is_open());
        let facts = TenantFacts {
            screened: !screened.lists.is_empty(),
            screening_age_days: screened.age_days(at.instant_ms),
            listed: open.clone().map(Listed::weight).collect(),
            listed_on: open.map(|hit| hit.list.clone()).collect(),
            listed_ownership_min: owned.map(|(min, _)| min),
            listed_ownership_max: owned.map(|(_, max)| max),
            state: vetting.state().to_owned(),
            headquarters: headquarters.values().flatten().copied().collect(),
            headquarters_unknown: !unknown.is_empty(),
            incorporated,
            ..self.chain_facts(&versions, at)
        };
        Standing {
            vetting,
            undecided: record.approval.is_undecided(at),
            // A tenant of whom only a change of state is known is stated by nobody.
            facts: (!versions.is_empty()).then_some(facts),
            headquarters,
            unknown,
            screened,
        }
    }

    /// How much of any party that the tenant names listed owners hold, at least and at most, in hundredths of
    /// a percent, as a 50 % rule counts it; `None` where nobody was screened. What is itself listed is not
    /// counted again as owned.
    fn listed_ownership(
        &self,
        screened: &Screened,
        versions: &[&v1::Tenant],
        at: Moment,
    ) -> Option<(u32, u32)> {
        if screened.lists.is_empty() {
            return None;
        }
        let open = screened.hits.iter().filter(|hit| hit.is_open());
        let owners = open.filter(|hit| hit.weight() >= screening::Class::Strong);
        let owners: BTreeSet<String> = owners.map(|hit| hit.party.clone()).collect();
        let parties = versions.iter().flat_map(|version| named(version));
        let parties: BTreeSet<String> = parties.filter(|party| !owners.contains(party)).collect();
        let mut most = (0, 0);
        // Without a listed owner nothing is held, and there is nothing to work out.
        for party in parties.iter().filter(|_| !owners.is_empty()) {
            let cascade = self.parties.cascade_of(&owners, party, at);
            let share = self.parties.share_of(&owners, party, at);
            most.0 = most.0.max(cascade.min_bp).max(share.min_bp);
            most.1 = most.1.max(cascade.max_bp).max(share.max_bp);
        }
        Some(most)
    }

    /// What versions of a tenant say of its chain. Two are in force around a back-dated change; then
    /// the graver holds.
    fn chain_facts(&self, versions: &[&v1::Tenant], at: Moment) -> TenantFacts {
        let mut facts = TenantFacts {
            parent_known: true,
            end_customer_declared: true,
            training_declared: Some(false),
            ..TenantFacts::default()
        };
        let mut seats_unknown = false;
        for version in versions {
            let chain = std::iter::once(&version.customer).chain(&version.intermediaries);
            let between = !version.intermediaries.is_empty()
                || chain.clone().any(|party| self.parties.resells(party, at));
            facts.through_reseller |= between;
            // One that nobody stands before need not name anybody.
            facts.end_customer_declared &= !between || !version.end_customer.is_empty();
            let length = u32::try_from(version.intermediaries.len()).unwrap_or(u32::MAX);
            facts.intermediaries = facts.intermediaries.max(length);
            let seat = self.parties.headquarters(&version.ultimate_parent, at);
            facts.parent_known &= !version.ultimate_parent.is_empty();
            seats_unknown |= seat.countries.is_empty();
            facts.parent_headquarters.extend(seat.countries);
            facts.training_declared = match (facts.training_declared, version.training_declared) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (known, said) => known.and(said),
            };
        }
        facts.parent_known &= !seats_unknown || facts.parent_headquarters.is_empty();
        let silent = versions
            .iter()
            .any(|version| version.declared_use.is_empty());
        // The newest comes first.
        if let Some(newest) = versions.first().filter(|_| !silent) {
            facts.declared_use.clone_from(&newest.declared_use);
        }
        facts
    }

    /// Counts events: an answer holds while this does not change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Counts what is stated of parties, edges and tenants: links hold while this does not change.
    pub(crate) fn stated(&self) -> u64 {
        self.stated
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

    /// Takes note that what is asked of a standing changes from here on.
    pub(crate) fn turn(&mut self, stamp: Stamp) {
        self.note(stamp);
    }

    /// Takes note of an act of an officer, on which his key's revocation may cast doubt.
    pub(crate) fn act(&mut self, stamp: Stamp, officer: [u8; 32]) {
        let acts = self.acts.entry(officer).or_default();
        acts.insert(stamp.index, stamp.logged_ms);
    }

    fn note(&mut self, stamp: Stamp) {
        self.revision += 1;
        self.learned.push((stamp.index, stamp.logged_ms));
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
        let watched = record.approval.watched(stamp.logged_ms);
        if watched.is_some() && watched != stands {
            record.approval.lapse(stamp);
        }
        self.unfollow_ended(stamp, tenant);
    }

    /// Lets the parties of a tenant change where no approval rests on them any more. One that ends on a day to
    /// come still does.
    fn unfollow_ended(&mut self, stamp: Stamp, tenant: &str) {
        let record = self.tenants.get(tenant);
        let rests = record.and_then(|record| record.approval.watched(stamp.logged_ms));
        if rests.is_none() {
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
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::approval::Terms;

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
        assert_eq!(log.approve("t"), Vetting::Approved(Terms::default()));
        log.party("firm", "DE");
        assert_eq!(log.vetting("t"), Vetting::Not("under_review"));
        assert_eq!(log.approve("t"), Vetting::Approved(Terms::default()));
        log.say(owns("owner", "firm"));
        assert_eq!(log.vetting("t"), Vetting::Not("under_review"));
        assert_eq!(log.approve("t"), Vetting::Approved(Terms::default()));
        log.party("owner", "CH");
        assert_eq!(log.vetting("t"), Vetting::Not("under_review"));
        assert_eq!(log.0.state("t"), "under_review");
    }

    #[test]
    fn a_change_to_others_and_a_repeated_statement_leave_an_approval_alone() {
        let mut log = log();
        assert_eq!(log.approve("t"), Vetting::Approved(Terms::default()));
        log.party("owner", "CH");
        log.say(owns("owner", "stranger"));
        log.party("firm", "US");
        assert_eq!(log.vetting("t"), Vetting::Approved(Terms::default()));
    }

    #[test]
    fn use_before_the_lapse_stays_under_the_approval_that_stood() {
        let mut log = log();
        log.approve("t");
        let (index, instant) = (log.1 + 1, (log.1 + 1) * 10);
        log.1 += 5;
        log.party("firm", "DE");
        let now = log.0.standing("t", Moment::as_known_now(index, instant));
        assert_eq!(now.vetting, Vetting::Approved(Terms::default()));
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
    fn a_suspension_to_come_is_to_come_and_the_tenant_is_until_then_what_it_was() {
        let mut log = log();
        log.approve("t");
        let suspend = |log: &mut Log, state: v1::TenantState, effective_ms: u64| {
            log.1 += 1;
            let change = v1::TenantStateChange {
                tenant: "t".into(),
                state: state.into(),
                ..Default::default()
            };
            let event = v1::TenantEvent {
                body: Some(tenant_event::Body::State(change)),
                ..Default::default()
            };
            let stamp = Stamp {
                index: log.1,
                logged_ms: log.1 * 10,
                effective_ms,
            };
            log.0.tenant_event(stamp, ANN, &event).unwrap();
        };
        suspend(&mut log, v1::TenantState::Suspended, 5_000);
        let stands = |log: &Log, at: u64| {
            let stands = log.0.stands("t", at);
            let to_come = stands.to_come.iter();
            let to_come = to_come.map(|it| (it.from_unix_ms, it.state.clone()));
            (stands.state.clone(), to_come.collect::<Vec<_>>())
        };
        let suspended = (5_000, "suspended".to_owned());
        assert_eq!(stands(&log, 100), ("approved".into(), vec![suspended]));
        assert_eq!(stands(&log, 5_000), ("suspended".into(), vec![]));
        // It agrees with what is judged.
        let judged = |at| log.0.standing("t", Moment::as_known_now(99, at)).vetting;
        assert_eq!(judged(4_999), Vetting::Approved(Terms::default()));
        assert_eq!(judged(5_000), Vetting::Not("suspended"));
        suspend(&mut log, v1::TenantState::Closed, 4_000);
        let closed = (4_000, "closed".to_owned());
        assert_eq!(stands(&log, 100), ("approved".into(), vec![closed]));
        assert_eq!(log.0.stands("t", 100).barred.as_deref(), Some("closed"));
        assert_eq!(log.0.stands("nobody", 100).state, "draft");
    }

    #[test]
    fn an_approval_that_runs_out_is_told_before_it_does() {
        let mut log = log();
        let conditions = v1::Conditions {
            valid_to_unix_ms: Some(900),
            device_classes: vec!["3A090.a".into()],
            ..Default::default()
        };
        log.say(tenant_event::Body::Tenant(v1::Tenant {
            id: "t".into(),
            customer: "firm".into(),
            conditions: Some(conditions),
            ..Default::default()
        }));
        let first = log.0.stands("t", 60);
        assert_eq!((first.state.as_str(), first.signed), ("draft", vec![]));
        log.approve("t");
        let now = log.0.stands("t", 200);
        assert!(now.state.starts_with("approved") && now.rests_on_dossier);
        assert_eq!(now.to_come[0].from_unix_ms, 901);
        assert_eq!(now.to_come[0].state, "expired");
        let later = log.0.stands("t", 901);
        assert_eq!(
            (later.state.as_str(), later.since_unix_ms),
            ("expired", Some(900))
        );
    }

    #[test]
    fn one_signature_is_told_until_the_second_and_after_the_dossier_changed_no_more() {
        let mut log = log();
        let sign = |log: &mut Log| {
            log.1 += 1;
            let dossier = log.0.dossier_digest("t").unwrap();
            let decision = v1::Decision {
                tenant: "t".into(),
                dossier: dossier.as_bytes().to_vec(),
                verdict: v1::Verdict::Approve.into(),
                ..Default::default()
            };
            let stamp = Stamp {
                index: log.1,
                logged_ms: log.1 * 10,
                effective_ms: 0,
            };
            log.0.decision(stamp, ANN, &decision).unwrap();
        };
        sign(&mut log);
        let signed = log.0.stands("t", 500).signed;
        assert_eq!((signed.len(), signed[0].index), (1, log.1));
        assert_eq!(signed[0].officer, "01".repeat(32));
        log.party("firm", "DE");
        assert_eq!(log.0.stands("t", 500).signed, []);
        log.approve("t");
        assert_eq!(log.0.stands("t", 500).signed, []);
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

    fn facts(log: &Log) -> TenantFacts {
        let at = Moment::as_known_now(log.1 + 1, u64::MAX);
        log.0.standing("t", at).facts.unwrap()
    }

    #[test]
    fn policies_are_told_what_was_stated_of_a_chain_and_what_was_not() {
        let mut log = log();
        let first = facts(&log);
        assert_eq!(first.state, "draft");
        assert!(!first.parent_known && first.headquarters_unknown);
        assert!(!first.through_reseller && first.end_customer_declared);
        assert_eq!((first.screened, first.resellers_unvetted), (false, None));
        log.party("reseller", "unknown");
        log.say(tenant_event::Body::Tenant(v1::Tenant {
            id: "t".into(),
            customer: "reseller".into(),
            intermediaries: vec!["reseller".into(), "firm".into()],
            ultimate_parent: "owner".into(),
            declared_use: "weather".into(),
            training_declared: Some(true),
            ..Default::default()
        }));
        let then = facts(&log);
        assert!(then.parent_known && then.headquarters_unknown);
        assert_eq!(then.parent_headquarters, then.headquarters);
        assert_eq!(then.intermediaries, 2);
        assert!(then.through_reseller && !then.end_customer_declared);
        assert_eq!(then.declared_use, "weather");
        assert_eq!(then.training_declared, Some(true));
    }

    #[test]
    fn around_a_back_dated_change_policies_are_told_the_graver_of_both() {
        let mut log = log();
        let parent = |id: &str| v1::Tenant {
            id: "t".into(),
            customer: "firm".into(),
            ultimate_parent: id.into(),
            declared_use: if id == "owner" {
                "weather".into()
            } else {
                String::new()
            },
            training_declared: Some(id != "owner"),
            ..Default::default()
        };
        log.say(tenant_event::Body::Tenant(parent("owner")));
        log.1 += 1;
        let back = Stamp {
            index: log.1,
            logged_ms: log.1 * 10,
            effective_ms: 0,
        };
        let event = v1::TenantEvent {
            body: Some(tenant_event::Body::Tenant(parent(""))),
            ..Default::default()
        };
        log.0.tenant_event(back, ANN, &event).unwrap();
        // A use before the change was logged, as it is known now: both are in force.
        let at = Moment::as_known_now(log.1 - 1, log.1 * 10 - 5);
        let both = log.0.standing("t", at).facts.unwrap();
        assert!(!both.parent_known);
        assert_eq!(both.declared_use, "");
        assert_eq!(both.training_declared, Some(true));
    }
}
