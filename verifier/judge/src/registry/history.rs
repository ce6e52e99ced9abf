//! The history of a tenant: all that was said of it and of the parties of its dossier, in the order of the log.

use affiant_proto::v1;

use super::Registry;
use crate::{
    Judge,
    approval::{NoEffect, hex},
    dispositions::About,
    timeline::Stamp,
};

/// Something that happened to a tenant or to a party of its dossier.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Log index.
    pub index: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_unix_ms: u64,
    /// The instant from which it is said to work.
    pub effective_unix_ms: u64,
    /// Who said so, by the digest that opened his chain, in hexadecimal; none where it follows from what others
    /// said.
    pub officer: Option<String>,
    /// What.
    pub what: What,
}

/// What happened, with what stood before.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A party was stated.
    Party(Option<v1::Party>, v1::Party),
    /// An edge was stated.
    Edge(Option<v1::Edge>, v1::Edge),
    /// The tenant was stated.
    Tenant(Option<v1::Tenant>, v1::Tenant),
    /// A binding was stated.
    Binding(Option<v1::Binding>, v1::Binding),
    /// A binding was withdrawn.
    Withdrawn(String),
    /// An officer changed its state, to this, for this reason; or why that had no effect.
    State(v1::TenantState, String, Option<String>),
    /// An officer decided on it, for this reason; the state that it came to by that, or why that had no effect.
    Decision(v1::Verdict, String, Result<Option<String>, String>),
    /// An officer cleared or confirmed a hit.
    Hit {
        /// The party.
        party: String,
        /// Its name.
        name: String,
        /// The list.
        list: String,
        /// The listed name.
        listed: String,
        /// Whether it is said not to be the one that is listed.
        cleared: bool,
    },
    /// An approval ended by what was said at this index: the state that it came to, and why.
    Ended(String, String),
}

/// What an officer said of a tenant's state.
#[derive(Clone, Debug)]
pub(super) struct Act {
    stamp: Stamp,
    officer: [u8; 32],
    said: Said,
    /// Why it had no effect.
    vain: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Said {
    State(v1::TenantState, String),
    Decision(v1::Verdict, String),
}

impl Said {
    pub(super) fn state(change: &v1::TenantStateChange) -> Self {
        let state = v1::TenantState::try_from(change.state).unwrap_or_default();
        Self::State(state, change.reason.clone())
    }

    pub(super) fn decision(decision: &v1::Decision) -> Self {
        let verdict = v1::Verdict::try_from(decision.verdict).unwrap_or_default();
        Self::Decision(verdict, decision.reason.clone())
    }
}

impl Act {
    pub(super) fn new(
        stamp: Stamp,
        officer: [u8; 32],
        said: Said,
        made: &Result<(), NoEffect>,
    ) -> Self {
        let vain = made.as_ref().err().map(ToString::to_string);
        Self {
            stamp,
            officer,
            said,
            vain,
        }
    }
}

impl Event {
    fn new(stamp: Stamp, officer: Option<[u8; 32]>, what: What) -> Self {
        Self {
            index: stamp.index,
            logged_unix_ms: stamp.logged_ms,
            effective_unix_ms: stamp.effective_ms,
            officer: officer.as_ref().map(hex),
            what,
        }
    }
}

impl Judge {
    /// All that was said of a tenant, of the parties of its dossier, of the edges among them and of its bindings,
    /// in the order of the log; `None` when no event states the tenant.
    pub fn history(&self, tenant: &str) -> Option<Vec<Event>> {
        let registry = self.registry();
        registry.newest(tenant)?;
        let mut events = registry.history(tenant);
        let mut before: Option<v1::Binding> = None;
        for (binding, withdrawn, stamp, officer) in self.bindings().said_of(tenant) {
            let known = before.take().filter(|it| it.id == binding.id);
            let what = match withdrawn {
                true => What::Withdrawn(binding.id.clone()),
                false => What::Binding(known, binding.clone()),
            };
            before = (!withdrawn).then(|| binding.clone());
            events.push(Event::new(stamp, officer, what));
        }
        // What follows from an event comes after it.
        events.sort_by_key(|event| (event.index, event.officer.is_none()));
        Some(events)
    }
}

impl Registry {
    fn history(&self, tenant: &str) -> Vec<Event> {
        let members = self.members(tenant);
        let mut events = Vec::new();
        for member in &members {
            self.versions(self.parties.said_of(member), What::Party, &mut events);
        }
        for edge in self.parties.said_among(&members) {
            self.versions(edge, What::Edge, &mut events);
        }
        let decided = self.listings.dispositions().on(&members);
        events.extend(decided.map(|(about, stamp, officer, cleared)| {
            Event::new(stamp, Some(officer), hit(about, cleared))
        }));
        if let Some(record) = self.tenants.get(tenant) {
            self.versions(record.versions.all(), What::Tenant, &mut events);
            events.extend(record.acts.iter().map(|act| self.event(tenant, act)));
        }
        // An approval lapses by what is said of its parties, or of an officer's key.
        let ended = self.changes(tenant).iter();
        let ended = ended.filter(|change| change.officers.is_empty());
        let ended = ended.map(|change| Event {
            index: change.index,
            logged_unix_ms: change.logged_unix_ms,
            effective_unix_ms: change.from_unix_ms,
            officer: None,
            what: What::Ended(change.state.to_owned(), change.reason.clone()),
        });
        events.extend(ended);
        events
    }

    /// All versions of a thing, each with the one before it.
    fn versions<T: Clone>(
        &self,
        versions: &[(Stamp, T)],
        what: fn(Option<T>, T) -> What,
        events: &mut Vec<Event>,
    ) {
        let mut before = None;
        for (stamp, version) in versions {
            let officer = self.act_at(stamp.index).map(|(_, _, officer)| officer);
            let what = what(before.replace(version.clone()), version.clone());
            events.push(Event::new(*stamp, officer, what));
        }
    }

    fn event(&self, tenant: &str, act: &Act) -> Event {
        let vain = act.vain.clone();
        let what = match &act.said {
            Said::State(state, reason) => What::State(*state, reason.clone(), vain),
            Said::Decision(verdict, reason) => {
                let changes = self.changes(tenant).iter();
                let mut made = changes.filter(|change| change.index == act.stamp.index);
                let made = made.find(|change| !change.officers.is_empty());
                let made = made.map(|change| change.state.to_owned());
                What::Decision(*verdict, reason.clone(), vain.map_or(Ok(made), Err))
            }
        };
        Event::new(act.stamp, Some(act.officer), what)
    }
}

fn hit(about: &About, cleared: bool) -> What {
    What::Hit {
        party: about.party.clone(),
        name: about.name.clone(),
        list: about.list.clone(),
        listed: about.listed.clone(),
        cleared,
    }
}
