//! Which entries of the log go into a bundle, and what is shown of each.
//!
//! ```text
//! log    0 ........................ A ==================== B ------------------ basis
//! shown  what the rest rests on       every single entry     what still concerns the period
//! ```
//!
//! *A* is the last `clock` at or before the period, *B* the first one after it: nothing that was
//! logged in the period is left out, so no host and no event of it can be. Before A stand the
//! genesis, everything that officers signed, the operator's acts (host events, forks, …), and of
//! each host its enrolment and keys, its last record with the inventory and workloads that were
//! in force, and all of its chain since. After B come officers' and operator's acts, which may
//! reach back, and of each host all up to its first record after the period, since what was sent
//! late may belong to it. Objections of the report's tenants come from wherever they stand. Each entry comes with the `clock` before it, which tells its logged time.

use std::collections::{BTreeMap, BTreeSet};

use affiant_judge::{Judge, matching::Match};
use affiant_proto::{Body, Digest, Envelope, Statement, envelope::BadEnvelope, v1};
use prost::Message as _;

use crate::{
    evidence::{Entry, MAX_ENTRIES},
    scope::{Period, Scope},
};

/// Most earlier checkpoints that witnesses cosigned, or hosts embed, whose sizes are remembered.
const MAX_SIZES: usize = 100;

/// Most successions whose sizes are remembered: one a year for fifty years.
const MAX_SUCCESSIONS: usize = 50;

/// Why a log cannot be selected from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadLog {
    /// An entry that is no envelope: the log on disk was changed.
    #[error("log entry {index}: {source}; restore the log from a copy")]
    Entry {
        /// Its index.
        index: u64,
        /// Why.
        source: BadEnvelope,
    },
    /// More than [`MAX_ENTRIES`].
    #[error("the period needs more than {MAX_ENTRIES} entries; shorten it")]
    TooMany,
}

/// What goes into a bundle.
#[derive(Debug)]
pub struct Selection {
    /// The entries, by index.
    pub entries: Vec<Entry>,
    /// Sizes of earlier checkpoints to which the bundle shall be tied, too.
    pub earlier: BTreeSet<u64>,
    /// Exhibits at hand of those that the entries name.
    pub exhibits: BTreeMap<Digest, Vec<u8>>,
}

/// Takes a log entry by entry, from its first on, and keeps what a report needs.
pub struct Selector {
    period: Period,
    scope: Scope,
    /// Knows the bindings, to tell whose a line is. It judges nothing.
    known: Judge,
    held: BTreeMap<u64, Held>,
    hosts: BTreeMap<Digest, Host>,
    /// Chains of the operator and the officers.
    authorities: BTreeSet<Digest>,
    phase: Phase,
    /// B, once it is reached.
    whole_to: u64,
    cosigned: Vec<u64>,
    embedded: Vec<u64>,
    /// Sizes that successions went on from.
    went_on: Vec<u64>,
    issued: bool,
    reports: Vec<u64>,
}

enum Phase {
    /// Before A: the entries since the newest clock, which may yet turn out to be A.
    Before(Vec<(u64, Envelope)>),
    Within,
    After,
}

struct Held {
    envelope: Envelope,
    shown: BTreeSet<u32>,
}

#[derive(Default)]
struct Host {
    name: String,
    inventory: Option<u64>,
    workloads: Option<u64>,
    /// The last record and everything of the chain since.
    tail: Vec<u64>,
    /// Workloads in force for the next record: log index.
    in_force: Option<u64>,
    /// Its first record after the period is there.
    done: bool,
}

impl Selector {
    /// Begins a selection.
    pub fn new(period: Period, scope: Scope) -> Self {
        Self {
            period,
            scope,
            known: Judge::new(affiant_judge::Parameters::default()),
            held: BTreeMap::new(),
            hosts: BTreeMap::new(),
            authorities: BTreeSet::new(),
            phase: Phase::Before(Vec::new()),
            whole_to: 0,
            cosigned: Vec::new(),
            embedded: Vec::new(),
            went_on: Vec::new(),
            issued: false,
            reports: Vec::new(),
        }
    }

    /// Takes the next entry of the log.
    pub fn take(&mut self, index: u64, envelope: &[u8]) -> Result<(), BadLog> {
        let envelope =
            Envelope::parse(envelope).map_err(|source| BadLog::Entry { index, source })?;
        self.note(index, envelope.statement());
        let time = envelope.statement().header().time().unix_ms;
        let clock = matches!(envelope.statement().body(), Body::Clock(_));
        match &mut self.phase {
            Phase::Before(segment) if clock && time <= self.period.from() => {
                let past = std::mem::replace(segment, vec![(index, envelope)]);
                past.into_iter()
                    .for_each(|(index, envelope)| self.before(index, envelope));
            }
            Phase::Before(segment) if clock => {
                let past = std::mem::take(segment);
                self.phase = Phase::Within;
                past.into_iter()
                    .for_each(|(index, envelope)| self.within(index, envelope));
                self.within(index, envelope);
                self.close(index, time);
            }
            Phase::Before(segment) => segment.push((index, envelope)),
            Phase::Within => {
                self.within(index, envelope);
                if clock {
                    self.close(index, time);
                }
            }
            Phase::After => self.after(index, envelope),
        }
        if self.held.len() as u64 > MAX_ENTRIES {
            Err(BadLog::TooMany)
        } else {
            Ok(())
        }
    }

    /// Ends the log here.
    pub fn finish(mut self) -> Selection {
        if let Phase::Before(segment) = std::mem::replace(&mut self.phase, Phase::Within) {
            segment
                .into_iter()
                .for_each(|(index, envelope)| self.within(index, envelope));
        }
        let entry = |(index, held): (u64, Held)| {
            let (statement, leaves) = held.envelope.into_parts();
            Entry {
                index,
                statement,
                disclosure: leaves.disclose(&held.shown),
            }
        };
        let mut earlier: BTreeSet<u64> = self
            .cosigned
            .iter()
            .rev()
            .take(MAX_SIZES)
            .copied()
            .collect();
        earlier.extend(self.embedded.iter().rev().take(MAX_SIZES));
        earlier.extend(self.went_on.iter().rev().take(MAX_SUCCESSIONS));
        earlier.extend(self.reports.iter().rev().take(1));
        Selection {
            entries: self.held.into_iter().map(entry).collect(),
            earlier,
            exhibits: BTreeMap::new(),
        }
    }

    /// Learns what the later choice needs of every entry, held or not.
    fn note(&mut self, index: u64, statement: &Statement) {
        let header = statement.header();
        match statement.body() {
            Body::Clock(_) => {
                self.known.clock(index, header.time().unix_ms);
                // A segment begins with a clock: the checkpoint before it has this size, and is
                // the first that covers the report issued in the segment before.
                if std::mem::take(&mut self.issued) {
                    self.reports.push(index);
                }
            }
            Body::ReportIssued(_) => self.issued = true,
            Body::Succession(body) => self
                .went_on
                .extend(body.kept.as_ref().map(|kept| kept.size)),
            Body::Cosigned(body) => {
                let note = affiant_proto::tlog::Note::parse(&body.note).ok();
                let seen = note.and_then(|note| note.text().parse().ok());
                self.cosigned
                    .extend(seen.map(|seen: affiant_proto::tlog::Checkpoint| seen.size()));
            }
            Body::BindingEvent(body) => {
                let chain = header.chain().map_or([0; 32], |chain| *chain.as_bytes());
                self.known.signed(index, chain, statement.key());
                self.known.binding_event(index, chain, body);
            }
            // It ends bindings of an officer's key.
            Body::Revocation(body) => self.known.revocation(index, body),
            Body::Usage(_) => {
                let seen = header.checkpoint().map(|seen| seen.size);
                if seen != self.embedded.last().copied() {
                    self.embedded.extend(seen);
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, index: u64, time: u64) {
        if time > self.period.to() {
            self.whole_to = index;
            self.phase = Phase::After;
        }
    }

    /// An entry before A.
    fn before(&mut self, index: u64, envelope: Envelope) {
        let statement = envelope.statement();
        match statement.body() {
            Body::Clock(_) => self.hold_clock(index, envelope),
            Body::Cosigned(_) | Body::RollCall(_) | Body::ReportIssued(_) => {}
            Body::Objection(body) if !self.wants(&body.tenant) => {}
            Body::Usage(_) => {
                let chain = statement.header().chain();
                let past = chain.and_then(|chain| self.hosts.get_mut(&chain));
                let past = past
                    .map(|host| std::mem::take(&mut host.tail))
                    .unwrap_or_default();
                past.into_iter().for_each(|old| self.supersede(old));
                self.hold(index, envelope);
                self.tail(chain, index);
            }
            _ => {
                let chain = statement.header().chain();
                self.hold(index, envelope);
                self.tail(chain, index);
            }
        }
    }

    /// An entry from A to B.
    fn within(&mut self, index: u64, envelope: Envelope) {
        self.hold(index, envelope);
    }

    /// An entry after B.
    fn after(&mut self, index: u64, envelope: Envelope) {
        let statement = envelope.statement();
        let chain = statement.header().chain();
        let host = chain.and_then(|chain| self.hosts.get(&chain));
        let acts = chain.is_some_and(|chain| self.authorities.contains(&chain));
        match statement.body() {
            Body::Clock(_) => self.hold_clock(index, envelope),
            Body::Cosigned(_) | Body::RollCall(_) | Body::ReportIssued(_) => {}
            Body::Officer(_) => self.hold(index, envelope),
            Body::Objection(body) if self.wants(&body.tenant) => self.hold(index, envelope),
            // A host that was enrolled after the period, or whose record after it is there.
            _ if !acts && host.is_none_or(|host| host.done) => {}
            _ => self.hold(index, envelope),
        }
    }

    /// Whether what a tenant says against its figures belongs here. All of it does, whatever period it is
    /// about: how many of a day count follows from those before them.
    fn wants(&self, tenant: &str) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::Tenant(wanted) => wanted == tenant,
        }
    }

    fn tail(&mut self, chain: Option<Digest>, index: u64) {
        if let Some(host) = chain.and_then(|chain| self.hosts.get_mut(&chain)) {
            host.tail.push(index);
        }
    }

    /// Holds a clock; the one before goes when nothing stands between.
    fn hold_clock(&mut self, index: u64, envelope: Envelope) {
        if let Some((&last, held)) = self.held.last_key_value()
            && is_clock(held)
            && (matches!(self.phase, Phase::Before(_)) || last > self.whole_to)
        {
            self.held.remove(&last);
        }
        self.hold(index, envelope);
    }

    /// Drops what a newer record of the chain makes needless, and the clock that told its time.
    fn supersede(&mut self, index: u64) {
        let Some(held) = self.held.get(&index) else {
            return;
        };
        let statement = held.envelope.statement();
        let host = statement
            .header()
            .chain()
            .and_then(|chain| self.hosts.get_mut(&chain));
        let Some(host) = host else { return };
        let needless = match statement.body() {
            Body::Key(_) => None,
            Body::Inventory(_) => host.inventory.replace(index),
            Body::Workloads(_) => host.workloads.replace(index),
            _ => Some(index),
        };
        let Some(needless) = needless else { return };
        self.held.remove(&needless);
        let clock = self
            .held
            .range(..needless)
            .next_back()
            .filter(|(_, held)| is_clock(held));
        let idle = self
            .held
            .range(needless..)
            .next()
            .is_some_and(|(_, held)| is_clock(held));
        if let Some((&clock, _)) = clock
            && idle
        {
            self.held.remove(&clock);
        }
    }

    fn hold(&mut self, index: u64, envelope: Envelope) {
        let statement = envelope.statement();
        match statement.body() {
            Body::Enrolment(body) => {
                let host = Host {
                    name: body.host.clone(),
                    ..Host::default()
                };
                self.hosts.insert(statement.digest(), host);
            }
            Body::Genesis(_) | Body::Officer(_) => {
                self.authorities.insert(statement.digest());
            }
            _ => {}
        }
        let chain = statement.header().chain();
        let shown = match (
            statement.body(),
            chain.and_then(|chain| self.hosts.get_mut(&chain)),
        ) {
            (Body::Inventory(body), _) => (0..body.count).collect(),
            (Body::Workloads(body), Some(host)) => {
                host.in_force = Some(index);
                match self.scope {
                    Scope::All => (0..body.count).collect(),
                    Scope::Tenant(_) => BTreeSet::new(),
                }
            }
            (Body::Usage(body), Some(host)) => {
                host.done |= body.wall_end_ms > self.period.to();
                self.lines(index, chain, body, &envelope)
            }
            _ => BTreeSet::new(),
        };
        self.held.insert(index, Held { envelope, shown });
    }

    /// The leaves of a record that are shown; marks the workloads that they point to.
    fn lines(
        &mut self,
        index: u64,
        chain: Option<Digest>,
        body: &v1::Usage,
        envelope: &Envelope,
    ) -> BTreeSet<u32> {
        let mut shown = BTreeSet::from([0]);
        if !self.period.counts(body.wall_end_ms) {
            return shown;
        }
        let Scope::Tenant(tenant) = &self.scope else {
            return (0..body.usage_count).collect();
        };
        let Some(host) = chain.and_then(|chain| self.hosts.get(&chain)) else {
            return shown;
        };
        let mut table = host.in_force.and_then(|index| self.held.get_mut(&index));
        let lines = envelope
            .tree()
            .map(|tree| tree.leaves())
            .unwrap_or_default();
        for (place, leaf) in (0..).zip(lines).skip(1) {
            let line = v1::UsageLine::decode(leaf.as_slice()).unwrap_or_default();
            // Why time was not observed is nobody's secret, and unsaid it counts as unplanned.
            if line.kind() == v1::LineKind::NotObserved {
                shown.insert(place);
                continue;
            }
            let (Some(pointer), Some(table)) = (line.workload, &mut table) else {
                continue;
            };
            let entry = table
                .envelope
                .tree()
                .and_then(|tree| tree.leaves().get(pointer as usize));
            let Some(workload) =
                entry.and_then(|entry| v1::Workload::decode(entry.as_slice()).ok())
            else {
                continue;
            };
            let whose = self
                .known
                .bindings()
                .find(&workload, &host.name, index, body.wall_end_ms);
            if matches!(whose, Match::Tenant(found) if found == *tenant) {
                shown.insert(place);
                table.shown.insert(pointer);
            }
        }
        shown
    }
}

fn is_clock(held: &Held) -> bool {
    matches!(held.envelope.statement().body(), Body::Clock(_))
}
