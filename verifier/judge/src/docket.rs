//! The docket: statements in the order of the log, admitted and then judged.
//!
//! The auditor reads evidence through it, the verifier its own log when it starts.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::{Authorities, Body, Broken, Digest, Disclosure, Opened, Statement, v1};
use serde::Serialize;

use crate::{
    Judge,
    admission::{Admitted, Content, HostChain, Refusal, Sources, open_objection, open_relay},
    retention::Retention,
    roll_call::{Book, Tally},
};

/// Everything that was admitted so far, and what the judge makes of it.
pub struct Docket {
    authorities: Authorities,
    hosts: BTreeMap<Digest, HostChain>,
    /// Chains in which nothing follows: of relays, and objections.
    alone: BTreeSet<Digest>,
    seen: BTreeMap<Digest, Seen>,
    sources: Sources,
    book: Book,
    retention: Retention,
    judge: Judge,
}

/// A docket, taken apart.
pub struct Parts {
    /// The operator and the officers.
    pub authorities: Authorities,
    /// The hosts' chains.
    pub hosts: BTreeMap<Digest, HostChain>,
    /// What the next roll call has to say.
    pub book: Book,
    /// What was erased, and what is held.
    pub retention: Retention,
    /// What the judge holds.
    pub judge: Judge,
}

/// What was seen of one chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Sequence of the first statement.
    pub first: u64,
    /// Sequence of the last.
    pub last: u64,
    /// How many there were.
    pub count: u64,
    /// Spans of sequences that were not shown, as (first, last); at most [`MAX_HOLES`] are kept.
    pub holes: Vec<(u64, u64)>,
}

/// Most holes of one chain that are listed: evidence of a month has two or three.
pub const MAX_HOLES: usize = 1_000;

impl Docket {
    /// Begins with the genesis, entry `index` of the log, and a judge who has heard nothing yet.
    pub fn open(
        index: u64,
        genesis: Statement,
        sources: Sources,
        judge: Judge,
    ) -> Result<(Self, Admitted), Refusal> {
        let (authorities, act) = Authorities::open(genesis)?;
        let admitted = Admitted::from(act);
        let mut docket = Self {
            authorities,
            hosts: BTreeMap::new(),
            alone: BTreeSet::new(),
            seen: BTreeMap::new(),
            sources,
            book: Book::default(),
            retention: Retention::default(),
            judge,
        };
        docket.book.take(index, &admitted)?;
        docket.retention.take(index, &admitted, true)?;
        docket.note(&admitted);
        hear(&mut docket.judge, index, &admitted);
        Ok((docket, admitted))
    }

    /// Admits entry `index` with all that stands under its root.
    pub fn take_whole(
        &mut self,
        index: u64,
        entry: impl Into<Opened>,
    ) -> Result<Admitted, Refusal> {
        let entry = entry.into();
        let chain = entry.statement().header().chain();
        let admitted = match chain.and_then(|chain| self.hosts.get_mut(&chain)) {
            Some(host) => host.admit(entry, self.sources, self.authorities.revocations())?,
            None => self.admit_other(index, entry.into_parts().0, false)?,
        };
        self.book.take(index, &admitted)?;
        self.retention.take(index, &admitted, true)?;
        self.note(&admitted);
        hear(&mut self.judge, index, &admitted);
        Ok(admitted)
    }

    /// Admits entry `index` of which some leaves, and statements before it, may not be shown.
    pub fn take(
        &mut self,
        index: u64,
        statement: Statement,
        disclosure: Disclosure,
    ) -> Result<Admitted, Refusal> {
        let chain = statement.header().chain();
        let admitted = match chain.and_then(|chain| self.hosts.get_mut(&chain)) {
            Some(host) => {
                let revocations = self.authorities.revocations();
                host.admit_shown(statement, disclosure, self.sources, revocations)?
            }
            None => self.admit_other(index, statement, true)?,
        };
        self.book.take(index, &admitted)?;
        self.retention.take(index, &admitted, false)?;
        self.note(&admitted);
        hear(&mut self.judge, index, &admitted);
        Ok(admitted)
    }

    /// Takes an exhibit, before the statement that names it.
    pub fn exhibit(&mut self, bytes: Vec<u8>) {
        self.judge.exhibit(bytes);
    }

    /// What the judge holds.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The operator and the officers.
    pub fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// What was seen of each chain, by chain.
    pub fn chains(&self) -> &BTreeMap<Digest, Seen> {
        &self.seen
    }

    /// The hosts' chains.
    pub fn hosts(&self) -> &BTreeMap<Digest, HostChain> {
        &self.hosts
    }

    /// The roll call that is due as the next entry.
    pub fn roll_call(&self) -> Option<v1::RollCall> {
        self.book.due()
    }

    /// The roll calls so far, and how many of them were held against the log before them.
    pub fn roll_calls(&self) -> Tally {
        self.book.tally()
    }

    /// What was erased, what is held, and what is gone without a word.
    pub fn retention(&self) -> &Retention {
        &self.retention
    }

    /// Gives up the parts, for a server that goes on from here.
    pub fn into_parts(self) -> Parts {
        Parts {
            authorities: self.authorities,
            hosts: self.hosts,
            book: self.book,
            retention: self.retention,
            judge: self.judge,
        }
    }

    fn admit_other(
        &mut self,
        index: u64,
        statement: Statement,
        shown: bool,
    ) -> Result<Admitted, Refusal> {
        if let Body::Enrolment(body) = statement.body() {
            let named = body.predecessor.as_ref();
            let named = named.and_then(|old| Digest::try_from(old.chain.as_slice()).ok());
            let old = named.and_then(|old| self.hosts.get(&old));
            let genesis = self.authorities.genesis();
            let revocations = self.authorities.revocations();
            let (host, admitted) =
                HostChain::open(statement, genesis, revocations, old.map(HostChain::state))?;
            if self.hosts.contains_key(&host.state().chain()) {
                return Err(Broken::Past { due: 1, got: 0 }.into());
            }
            self.hosts.insert(host.state().chain(), host);
            return Ok(admitted);
        }
        if matches!(statement.body(), Body::RelayEnrolment(_)) {
            let (genesis, revocations) =
                (self.authorities.genesis(), self.authorities.revocations());
            let (relay, admitted) = open_relay(statement, genesis, revocations)?;
            if !self.alone.insert(relay.chain()) {
                return Err(Broken::Past { due: 1, got: 0 }.into());
            }
            return Ok(admitted);
        }
        if matches!(statement.body(), Body::Objection(_)) {
            let (objection, admitted) = open_objection(statement, self.authorities.genesis())?;
            if !self.alone.insert(objection.chain()) {
                return Err(Broken::Past { due: 1, got: 0 }.into());
            }
            return Ok(admitted);
        }
        if let Some(chain) = statement.header().chain()
            && self.alone.contains(&chain)
        {
            return Err(Refusal::Kind(statement.kind().name()));
        }
        let admitted: Admitted = self
            .authorities
            .admit(Some(index), statement, shown)?
            .into();
        if let Body::Fork(fork) = admitted.verified().body() {
            let chain = Digest::try_from(fork.chain.as_slice()).ok();
            if let Some(host) = chain.and_then(|chain| self.hosts.get_mut(&chain)) {
                host.freeze(fork.sequence);
            }
        }
        Ok(admitted)
    }

    fn note(&mut self, admitted: &Admitted) {
        let verified = admitted.verified();
        let sequence = verified.statement().header().sequence();
        let new = Seen {
            first: sequence,
            last: sequence,
            count: 0,
            holes: Vec::new(),
        };
        let seen = self.seen.entry(verified.chain()).or_insert(new);
        let due = seen.last.saturating_add(1);
        if seen.count > 0 && sequence > due && seen.holes.len() < MAX_HOLES {
            seen.holes.push((due, sequence - 1));
        }
        seen.last = sequence;
        seen.count += 1;
    }
}

/// Tells the judge of one admitted statement; the one way from evidence to facts.
pub fn hear(judge: &mut Judge, index: u64, admitted: &Admitted) {
    let verified = admitted.verified();
    let chain = *verified.chain().as_bytes();
    let header = verified.statement().header();
    judge.signed(index, chain, verified.statement().key());
    judge.sealed(index, chain, verified.statement());
    match (verified.body(), admitted.content()) {
        (Body::Genesis(body), _) => judge.genesis(index, chain, body),
        (Body::Clock(_), _) => judge.clock(index, header.time().unix_ms),
        (Body::Enrolment(body), Content::Enrolled(before)) => {
            judge.enrolment(index, chain, body, *before);
        }
        (Body::HostEvent(body), _) => judge.host_event(index, body),
        (Body::TenantEvent(body), _) => judge.tenant_event(index, chain, body),
        (Body::Decision(body), _) => judge.decision(index, chain, body),
        (Body::PolicyPack(body), _) => judge.policy_pack(index, chain, body),
        (Body::ListImport(body), _) => judge.list_import(index, chain, body),
        (Body::BindingEvent(body), _) => judge.binding_event(index, chain, body),
        (Body::InventoryDeclaration(body), _) => judge.inventory_declaration(index, chain, body),
        (Body::Inventory(_), Content::Devices(devices)) => {
            judge.inventory(index, chain, header.sequence(), devices.clone());
        }
        (Body::Workloads(_), Content::Workloads(workloads)) => {
            judge.workloads(index, chain, header.sequence(), workloads.clone());
        }
        (Body::Usage(body), Content::Usage(totals, lines)) => {
            judge.usage(index, chain, header.sequence(), body, totals, lines);
        }
        (Body::Gap(body), _) => judge.gap(index, chain, body),
        (Body::ChainRestart(body), _) => judge.chain_restart(index, chain, body),
        (Body::Fork(body), _) => judge.fork(index, body),
        (Body::Succession(body), _) => judge.succession(index, body),
        (Body::Revocation(body), _) => judge.revocation(index, body),
        (Body::Officer(body), _) => judge.officer(index, chain, body),
        (Body::RelayEnrolment(_), _) => judge.relay(chain),
        (Body::Objection(body), _) => judge.object(index, chain, body),
        // An observation whose rule these rules do not know is counted, not skipped.
        (Body::Observation(body), _) if judge.observation(index, chain, body) => {}
        // These carry proof, not facts to judge.
        (Body::Key(_) | Body::Cosigned(_) | Body::ReportIssued(_) | Body::RollCall(_), _) => {}
        // Held against the log before them when they were taken.
        (Body::Hold(_) | Body::Erasure(_), _) => {}
        _ => judge.not_judged(index, &verified.statement().kind().name()),
    }
}
