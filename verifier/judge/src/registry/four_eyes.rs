//! Four eyes: who an officer is, for whom he acts, and what he therefore cannot approve.
//!
//! An officer is a party of the registry where a party bears an identifier of the scheme `officer`
//! with his chain, a key of his or his name. He approves no tenant of whose dossier that party is
//! one, or one that it owns, controls, acts for or is a unit of, through however many others. Two
//! chains that one party bears, or that go by one name, are one person and count once.
//!
//! Who somebody is has no date: it counts for what he decided before it was said. For whom he acts
//! has one, and counts as all that restricts does, also where it is logged later. **No officer clears
//! himself:** a statement that he signed never ends what ties him; another has to say so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use affiant_proto::{
    authority::folded,
    v1::{self, EdgeKind, tenant_event::Body},
};

use super::Registry;
use crate::{
    approval::{APPROVERS, Ground, hex, short},
    timeline::{Doubt, Moment, Stamp},
};

/// Scheme of the identifier by which a party is an officer.
pub(super) const OFFICER: &str = "officer";

/// Most parties that are looked at for what ties an officer to a tenant: more than any group has.
pub(super) const MAX_TIES: usize = 100_000;

/// An officer, by the digest that opened his chain.
type Officer = [u8; 32];

/// What is known of officers as parties, and whose dossiers rest on whom.
#[derive(Clone, Debug, Default)]
pub(super) struct FourEyes {
    /// Chain and keys in hexadecimal, and names, in lower case.
    known_as: BTreeMap<Officer, BTreeSet<String>>,
    /// His names alone.
    names: BTreeMap<Officer, BTreeSet<String>>,
    /// Parties that ever bore an officer's identifier.
    bearers: BTreeSet<String>,
    /// From a party to the tenants that somebody decided on while their dossiers rested on it, or
    /// came to.
    rests: BTreeMap<String, BTreeSet<String>>,
    /// From a party to those on whom hits were cleared while they rested on it, or came to.
    clears: BTreeMap<String, BTreeSet<String>>,
}

/// An approval, or a decision towards one, that turned out to be no second pair of eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) tenant: String,
    pub(crate) why: String,
    /// Log index and time of the first decision.
    pub(crate) decided: (u64, u64),
}

/// The identifiers by which a party is an officer, as they are compared.
pub(crate) fn identifiers(party: &v1::Party) -> impl Iterator<Item = String> + '_ {
    let all = party.identifiers.iter();
    let officers = all.filter(|id| id.scheme.trim().eq_ignore_ascii_case(OFFICER));
    officers
        .map(|id| folded(&id.value))
        .filter(|id| !id.is_empty())
}

impl Registry {
    /// Takes what an officer is known as: his chain, his keys and his names.
    pub(crate) fn officer(
        &mut self,
        chain: Officer,
        keys: impl Iterator<Item = String>,
        names: impl Iterator<Item = String>,
    ) {
        // Those without a name are one person, as where officers are admitted.
        let names: BTreeSet<String> = names.map(|name| folded(&name)).collect();
        let known_as = keys.map(|key| folded(&key)).chain(names.iter().cloned());
        self.eyes.known_as.insert(chain, known_as.collect());
        self.eyes.names.insert(chain, names);
    }

    /// Tells whether an identifier names an officer who is known.
    pub(crate) fn knows_officer(&self, identifier: &str) -> bool {
        let mut all = self.eyes.known_as.values();
        all.any(|known_as| known_as.contains(identifier))
    }

    /// Why an officer cannot approve a tenant, as known at `at`, the moment of his decision.
    pub(super) fn tied(&self, tenant: &str, officer: Officer, at: Moment) -> Option<String> {
        if self.eyes.bearers.is_empty() {
            return None;
        }
        let record = self.tenants.get(tenant)?;
        let person = self.person(officer, at.known_before);
        let by = |index: u64| person.iter().any(|one| self.is_by(*one, index));
        // What was decided over, and whatever was said to be the tenant then.
        let decided = record.versions.said_before(at.index).next();
        let in_force = record.versions.in_force_despite(at, by);
        let versions = in_force.chain(decided).map(|(_, version)| version);
        let seeds = versions.flat_map(super::named).collect();
        self.tied_to(seeds, officer, at)
    }

    /// Why an officer has to do with parties or those behind them.
    pub(super) fn tied_to(
        &self,
        seeds: BTreeSet<String>,
        officer: Officer,
        at: Moment,
    ) -> Option<String> {
        if self.eyes.bearers.is_empty() {
            return None;
        }
        let person = self.person(officer, at.known_before);
        let by = |index: u64| person.iter().any(|one| self.is_by(*one, index));
        let members = self.parties.behind_despite(seeds, at, &by);
        let mut due: VecDeque<(String, String)> = VecDeque::new();
        let mut seen = BTreeSet::new();
        for party in &self.eyes.bearers {
            let is_he = |one: &Officer| self.is_borne(party, *one, at.known_before, &by);
            if person.iter().any(is_he) {
                due.push_back((party.clone(), format!("is party {party}")));
                seen.insert(party.clone());
            }
        }
        while let Some((party, words)) = due.pop_front() {
            if members.contains(&party) {
                return Some(format!("officer {} {words}", self.called(officer)));
            }
            for (kind, to) in self.parties.ties(&party, at, &by) {
                if seen.len() < MAX_TIES && seen.insert(to.clone()) {
                    let words = format!("{words}, which {} {to}", says(kind));
                    due.push_back((to, words));
                }
            }
        }
        None
    }

    /// Why these officers are fewer persons than an approval takes, by what is known before an
    /// index; none where they are enough.
    pub(crate) fn one_person(
        &self,
        officers: &BTreeSet<Officer>,
        known_before: u64,
    ) -> Option<String> {
        let mut persons: Vec<BTreeSet<Officer>> = Vec::new();
        let mut why = None;
        for officer in officers {
            let mut person = BTreeSet::from([*officer]);
            let mut others = Vec::new();
            for other in persons {
                let same = other
                    .iter()
                    .find_map(|one| self.one_through_others(*one, *officer, known_before));
                match same {
                    Some(same) => {
                        why.get_or_insert(same);
                        person.extend(other);
                    }
                    None => others.push(other),
                }
            }
            others.push(person);
            persons = others;
        }
        why.filter(|_| persons.len() < APPROVERS)
    }

    /// Why two officers are one person; none where they are two.
    fn one_through_others(
        &self,
        one: Officer,
        other: Officer,
        known_before: u64,
    ) -> Option<String> {
        let direct = self.same_person(one, other, known_before);
        direct.or_else(|| {
            let person = self.person(one, known_before);
            person.contains(&other).then(|| {
                let (one, other) = (self.called(one), self.called(other));
                format!(
                    "officers {one} and {other} are one person, by other names and keys of theirs"
                )
            })
        })
    }

    /// All officers who are one person with this one, by what is known before an index: those who have a
    /// name in common, or whom one party bears, through others too.
    fn person(&self, officer: Officer, known_before: u64) -> BTreeSet<Officer> {
        let mut person = BTreeSet::from([officer]);
        loop {
            let same = |other: &&Officer| {
                let is_same =
                    |one: &Officer| self.same_person(*one, **other, known_before).is_some();
                !person.contains(*other) && person.iter().any(is_same)
            };
            let more: Vec<Officer> = self.eyes.known_as.keys().filter(same).copied().collect();
            if more.is_empty() {
                return person;
            }
            person.extend(more);
        }
    }

    fn same_person(&self, one: Officer, other: Officer, known_before: u64) -> Option<String> {
        let both = format!("officers {} and {}", self.called(one), self.called(other));
        if let (Some(names), Some(others)) =
            (self.eyes.names.get(&one), self.eyes.names.get(&other))
            && let Some(name) = names.intersection(others).next()
        {
            return Some(format!("{both} go by one name, {name}"));
        }
        let by = |index: u64| self.is_by(one, index) || self.is_by(other, index);
        let bears = |party: &&String| {
            self.is_borne(party, one, known_before, &by)
                && self.is_borne(party, other, known_before, &by)
        };
        let party = self.eyes.bearers.iter().find(bears)?;
        Some(format!("{both} are one party, {party}"))
    }

    /// Whether a party is an officer, by its last statement that others than he made, or by one
    /// since.
    fn is_borne(
        &self,
        party: &str,
        officer: Officer,
        known_before: u64,
        by: &dyn Fn(u64) -> bool,
    ) -> bool {
        let own = [hex(&officer)];
        let known_as = self.eyes.known_as.get(&officer);
        let is_he = |id: String| own.contains(&id) || known_as.is_some_and(|all| all.contains(&id));
        let stated = self.parties.stated(party, known_before, by);
        stated.into_iter().flat_map(identifiers).any(is_he)
    }

    fn is_by(&self, officer: Officer, index: u64) -> bool {
        let acts = self.acts.get(&officer);
        acts.is_some_and(|acts| acts.contains_key(&index))
    }

    /// The first of his names, or the beginning of his chain.
    fn called(&self, officer: Officer) -> String {
        let names = self.eyes.names.get(&officer);
        let name = names.and_then(|names| names.first().cloned());
        name.unwrap_or_else(|| short(&officer))
    }

    /// Remembers that somebody decided on a tenant whose dossier rests on these.
    pub(super) fn rest(&mut self, tenant: &str, members: &BTreeSet<String>) {
        for party in members {
            let tenants = self.eyes.rests.entry(party.clone()).or_default();
            tenants.insert(tenant.to_owned());
        }
    }

    /// Remembers that somebody cleared hits on a party which rests on these.
    pub(super) fn rest_clear(&mut self, cleared: &str, behind: &BTreeSet<String>) {
        for party in behind {
            let clears = self.eyes.clears.entry(party.clone()).or_default();
            clears.insert(cleared.to_owned());
        }
    }

    /// The parties with cleared hits that rest on these.
    pub(super) fn cleared_resting<'a>(
        &self,
        parties: impl IntoIterator<Item = &'a str>,
    ) -> BTreeSet<String> {
        let parties = parties.into_iter();
        let cleared = parties.filter_map(|party| self.eyes.clears.get(party));
        cleared.flatten().cloned().collect()
    }

    /// Whether a party ever bore an officer's identifier.
    pub(super) fn is_borne_by(&self, party: &str) -> bool {
        self.eyes.bearers.contains(party)
    }

    /// Whether any did.
    pub(super) fn has_bearers(&self) -> bool {
        !self.eyes.bearers.is_empty()
    }

    /// Looks again at what was decided before, now that the event at `stamp` is known. Approvals
    /// that rest on a decision which should not have counted permit nothing as known from here on.
    pub(crate) fn look_again(&mut self, stamp: Stamp, event: &v1::TenantEvent) -> Vec<Broken> {
        let tenants: BTreeSet<String> = match &event.body {
            Some(Body::Party(party)) => {
                let names = identifiers(party).next().is_some();
                if !names && !self.eyes.bearers.contains(&party.id) {
                    return Vec::new();
                }
                self.eyes.bearers.insert(party.id.clone());
                self.tenants.keys().cloned().collect()
            }
            Some(Body::Edge(edge)) if edge.kind != i32::from(EdgeKind::ResellsTo) => {
                let touched = self.resting([edge.from.as_str(), edge.to.as_str()]);
                for tenant in &touched {
                    self.rest(tenant, &self.members(tenant));
                }
                if self.eyes.bearers.is_empty() {
                    return Vec::new();
                }
                let below = self.parties.ever_below(&edge.to, MAX_TIES);
                let below = self.resting(below.iter().map(String::as_str));
                touched.into_iter().chain(below).collect()
            }
            Some(Body::Tenant(tenant)) if !self.changes(&tenant.id).is_empty() => {
                self.rest(&tenant.id, &self.members(&tenant.id));
                BTreeSet::from([tenant.id.clone()])
            }
            _ => return Vec::new(),
        };
        if self.eyes.bearers.is_empty() {
            return Vec::new();
        }
        let mut broken = Vec::new();
        for tenant in tenants {
            broken.extend(self.look_again_at(stamp, &tenant));
        }
        broken
    }

    fn resting<'a>(&self, parties: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        let parties = parties.into_iter();
        let tenants = parties.filter_map(|party| self.eyes.rests.get(party));
        tenants.flatten().cloned().collect()
    }

    fn look_again_at(&mut self, stamp: Stamp, tenant: &str) -> Vec<Broken> {
        let Some(record) = self.tenants.get(tenant) else {
            return Vec::new();
        };
        let known_before = stamp.index.saturating_add(1);
        let mut doubt = Doubt {
            index: stamp.index,
            acts: BTreeSet::new(),
        };
        let mut broken: Vec<Broken> = Vec::new();
        for decisions in record.approval.undoubted() {
            let decided: Vec<(u64, u64, Officer)> = decisions
                .iter()
                .filter_map(|index| self.act_at(*index))
                .collect();
            let tied = decided.iter().filter_map(|(index, logged_ms, officer)| {
                let at = Moment {
                    index: *index,
                    instant_ms: *logged_ms,
                    known_before,
                };
                let why = self.tied(tenant, *officer, at)?;
                Some((BTreeSet::from([*index]), why, (*index, *logged_ms)))
            });
            let officers = decided.iter().map(|(_, _, officer)| *officer).collect();
            let first = decided
                .iter()
                .map(|(index, logged_ms, _)| (*index, *logged_ms));
            let alike = self
                .one_person(&officers, known_before)
                .filter(|_| decided.len() >= APPROVERS)
                .zip(first.min())
                .map(|(why, first)| (decisions.clone(), why, first));
            for (acts, why, decided) in tied.chain(alike) {
                doubt.acts.extend(acts);
                broken.push(Broken {
                    tenant: tenant.to_owned(),
                    why,
                    decided,
                });
            }
        }
        let Some(reach) = broken.iter().map(|broken| broken.decided.1).min() else {
            return broken;
        };
        self.note(Stamp {
            effective_ms: reach,
            ..stamp
        });
        if let Some(record) = self.tenants.get_mut(tenant) {
            record.approval.doubt(stamp, &doubt, Ground::FourEyes);
        }
        self.unfollow_ended(stamp, tenant);
        broken
    }

    /// The index and log time of an act, and whose it is.
    pub(super) fn act_at(&self, index: u64) -> Option<(u64, u64, Officer)> {
        let mut all = self.acts.iter();
        all.find_map(|(officer, acts)| Some((index, *acts.get(&index)?, *officer)))
    }
}

fn says(kind: EdgeKind) -> &'static str {
    match kind {
        EdgeKind::Owns => "owns of",
        EdgeKind::Controls => "controls",
        EdgeKind::ActsFor => "acts for",
        EdgeKind::AffiliatedUnitOf => "is a unit of",
        EdgeKind::ResellsTo | EdgeKind::Unspecified => "has to do with",
    }
}
