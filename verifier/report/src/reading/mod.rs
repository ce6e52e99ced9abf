//! Reading evidence: every statement is admitted and judged, and what is missing is noted.
//!
//! The one way from evidence to figures: the report is computed by it when it is made, and again
//! when it is verified.

mod fault;
mod lag;
mod seen;

pub use fault::{Fault, Unsound};
pub use lag::{Lag, Lags};
pub use seen::{HostSeen, InventorySeen, OfficerSeen, source};

use std::collections::{BTreeMap, BTreeSet};

use affiant_judge::{
    Docket, Judge, Parameters,
    admission::{Admitted, Content, Sources},
    retention::Retention,
    roll_call::Tally,
};
use affiant_proto::{
    Authorities, Body, Digest, Statement,
    statement::Place,
    tlog::{Checkpoint, Hash, Note},
    v1,
};

use crate::{evidence::Entry, scope::Period};
use fault::MAX_FAULTS;

/// A chain so far.
#[derive(Clone, Debug, Default)]
struct Track {
    last: u64,
    holes: Vec<Hole>,
}

#[derive(Clone, Copy, Debug)]
struct Hole {
    first: u64,
    last: u64,
    /// Log index of the statement after it.
    next_index: u64,
}

/// Evidence as far as it was read.
pub struct Reading {
    period: Period,
    docket: Docket,
    entries: u64,
    last_index: u64,
    clock: Option<u64>,
    /// A and B of the selection.
    span: (u64, Option<u64>),
    not_shown: Vec<(u64, u64)>,
    tracks: BTreeMap<Digest, Track>,
    hosts: BTreeMap<Digest, HostSeen>,
    officers: BTreeMap<Digest, OfficerSeen>,
    checkpoints: BTreeMap<(usize, u64), (Hash, u64)>,
    lags: Lags,
    faults: Vec<Fault>,
}

impl Reading {
    /// Begins with the genesis.
    pub fn open(first: Entry, period: Period, parameters: Parameters) -> Result<Self, Unsound> {
        if first.index != 0 || !matches!(first.statement.body(), Body::Genesis(_)) {
            return Err(Unsound::NoGenesis);
        }
        let judge = Judge::over(parameters, period.from(), period.to());
        // What is believed of a source is the reader's to say; here it is counted.
        let sources = Sources {
            accept_recorded: true,
        };
        let refused = |source| Unsound::Refused {
            index: 0,
            place: "genesis".into(),
            source,
        };
        let (docket, admitted) =
            Docket::open(0, first.statement, sources, judge).map_err(refused)?;
        let mut reading = Self {
            period,
            docket,
            entries: 1,
            last_index: 0,
            clock: None,
            span: (0, None),
            not_shown: Vec::new(),
            tracks: BTreeMap::new(),
            hosts: BTreeMap::new(),
            officers: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            lags: Lags::default(),
            faults: Vec::new(),
        };
        reading.follow(0, &admitted);
        Ok(reading)
    }

    /// Takes an exhibit, before the entry that names it.
    pub fn exhibit(&mut self, bytes: Vec<u8>) {
        self.docket.exhibit(bytes);
    }

    /// Reads the next entry.
    pub fn take(&mut self, entry: Entry) -> Result<(), Unsound> {
        let Entry {
            index,
            statement,
            disclosure,
        } = entry;
        self.place(index, &statement);
        let chain = statement.header().chain();
        let sequence = statement.header().sequence();
        let admitted = self
            .docket
            .take(index, statement, disclosure)
            .map_err(|source| {
                let place = self.spell(chain, sequence);
                Unsound::Refused {
                    index,
                    place,
                    source,
                }
            })?;
        self.entries += 1;
        self.follow(index, &admitted);
        self.see(index, &admitted);
        Ok(())
    }

    /// Admits the report's own statement, which is outside what it reports on.
    pub fn take_issued(&mut self, entry: Entry) -> Result<(), Unsound> {
        let (chain, sequence) = (
            entry.statement.header().chain(),
            entry.statement.header().sequence(),
        );
        let taken = self
            .docket
            .take(entry.index, entry.statement, entry.disclosure);
        match taken {
            Ok(_) => Ok(()),
            Err(source) => {
                let place = self.spell(chain, sequence);
                Err(Unsound::Refused {
                    index: entry.index,
                    place,
                    source,
                })
            }
        }
    }

    /// Ends the evidence of a log of `basis` entries and gives all that is wrong with it.
    pub fn finish(&mut self, basis: u64) -> Vec<Fault> {
        if self.span.1.is_none() && self.last_index.saturating_add(1) < basis {
            self.not_shown.push((self.last_index + 1, basis - 1));
        }
        let mut faults = std::mem::take(&mut self.faults);
        for &(first, last) in &self.not_shown {
            faults.push(Fault::NotShown { first, last });
        }
        for (chain, track) in &self.tracks {
            // Of the operator's chain the log's own order shows what is missing; what a host said
            // before the period need not be there.
            let due_from = match (
                self.hosts.contains_key(chain),
                self.officers.contains_key(chain),
            ) {
                (true, _) => self.span.0,
                (_, true) => 0,
                _ => continue,
            };
            for hole in track
                .holes
                .iter()
                .filter(|hole| hole.next_index >= due_from)
            {
                let chain = self.name(chain);
                faults.push(Fault::Missing {
                    chain,
                    first: hole.first,
                    last: hole.last,
                });
            }
        }
        faults.truncate(MAX_FAULTS);
        faults
    }

    /// What the judge makes of the period.
    pub fn judge(&self) -> &Judge {
        self.docket.judge()
    }

    /// What was erased, as far as it is shown.
    pub fn retention(&self) -> &Retention {
        self.docket.retention()
    }

    /// The roll calls that are shown, and how many of them were held against the chains.
    pub fn roll_calls(&self) -> Tally {
        self.docket.roll_calls()
    }

    /// What the genesis says, and its digest.
    pub fn genesis(&self) -> (&v1::Genesis, Digest) {
        (
            self.docket.authorities().body(),
            self.docket.authorities().genesis(),
        )
    }

    /// Entries read.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// First index of the span of which every entry is shown, and the last one; none when it
    /// goes on to the end.
    pub fn span(&self) -> (u64, Option<u64>) {
        self.span
    }

    /// Hosts by chain.
    pub fn hosts(&self) -> &BTreeMap<Digest, HostSeen> {
        &self.hosts
    }

    /// Officers in the order of the log.
    pub fn officers(&self) -> Vec<&OfficerSeen> {
        let mut officers: Vec<_> = self.officers.values().collect();
        officers.sort_by_key(|officer| officer.index);
        officers
    }

    /// Checkpoints that statements embed or that were cosigned: generation, counted from 0, and
    /// size to root and log index.
    pub fn checkpoints(&self) -> &BTreeMap<(usize, u64), (Hash, u64)> {
        &self.checkpoints
    }

    /// The log's newest clock that is shown, milliseconds since 1970.
    pub fn clock(&self) -> Option<u64> {
        self.clock
    }

    /// How far the log's clock is behind the cosignatures that are logged.
    pub fn lags(&self) -> &Lags {
        &self.lags
    }

    /// Whose keys speak, as far as the evidence shows it.
    pub fn authorities(&self) -> &Authorities {
        self.docket.authorities()
    }

    /// Keeps the clock, and the span in which every entry is due.
    fn place(&mut self, index: u64, statement: &Statement) {
        let clock = matches!(statement.body(), Body::Clock(_));
        let time = statement.header().time().unix_ms;
        if self.span.1.is_none() && self.last_index.saturating_add(1) < index {
            self.not_shown.push((self.last_index + 1, index - 1));
        }
        self.last_index = index;
        if !clock {
            return;
        }
        if self.clock.is_some_and(|last| time <= last) {
            self.fault(Fault::Clock(index));
        }
        self.clock = Some(time);
        if time <= self.period.from() {
            self.span.0 = index;
            self.not_shown.clear();
        } else if time > self.period.to() && self.span.1.is_none() {
            self.span.1 = Some(index);
        }
    }

    /// Notes what is missing before a statement in its chain.
    fn follow(&mut self, index: u64, admitted: &Admitted) {
        let verified = admitted.verified();
        let sequence = verified.statement().header().sequence();
        let chain = verified.chain();
        let lost = match verified.body() {
            Body::Gap(gap) => bridges(gap, verified.statement()),
            _ => None,
        };
        let track = self.tracks.entry(chain).or_default();
        let due = track.last.saturating_add(1);
        if sequence > due {
            match lost {
                Some(first) if first <= due => {
                    if let Some(host) = self.hosts.get_mut(&chain) {
                        host.lost = host.lost.saturating_add(sequence - due);
                    }
                }
                _ => track.holes.push(Hole {
                    first: due,
                    last: sequence - 1,
                    next_index: index,
                }),
            }
        }
        track.last = sequence;
    }

    /// Learns what the report says beside the judge's figures.
    fn see(&mut self, index: u64, admitted: &Admitted) {
        let verified = admitted.verified();
        let statement = verified.statement();
        let chain = verified.chain();
        if let Some(seen) = statement.header().checkpoint()
            && let Ok(root) = Hash::try_from(seen.root.as_slice())
        {
            self.checkpoint(index, &seen.origin, seen.size, root);
        }
        if let Some(officer) = self.officers.get_mut(&chain) {
            officer.statements += 1;
        }
        match (verified.body(), admitted.content()) {
            (Body::Officer(body), _) => {
                let named = &self.docket.authorities().body().officers;
                let officer = OfficerSeen {
                    name: body.name.clone(),
                    chain,
                    key: body.key.clone(),
                    index,
                    by_genesis: named.iter().any(|named| named.key == body.key),
                    statements: 1,
                };
                self.officers.insert(chain, officer);
            }
            (Body::Enrolment(body), _) => {
                let host = HostSeen {
                    name: body.host.clone(),
                    site: body.site.clone(),
                    agent_version: body.agent_version.clone(),
                    ..HostSeen::default()
                };
                self.hosts.insert(chain, host);
            }
            (Body::Cosigned(body), _) => {
                let note = Note::parse(&body.note).ok();
                if let (Some(note), Some(clock)) = (&note, self.clock) {
                    self.lags.take(index, clock, note);
                }
                if let Some(seen) = note.and_then(|note| note.text().parse::<Checkpoint>().ok()) {
                    let root = *seen.root();
                    self.checkpoint(index, seen.origin().as_str(), seen.size(), root);
                }
            }
            (Body::Inventory(body), Content::Devices(devices)) => {
                let seen = InventorySeen {
                    index,
                    sequence: statement.header().sequence(),
                    logged_ms: self.clock.unwrap_or(0),
                    body: body.clone(),
                    devices: devices.clone(),
                    used_ms: None,
                };
                if let Some(host) = self.hosts.get_mut(&chain) {
                    host.inventories.push(seen);
                }
            }
            (Body::Usage(body), _) => self.used(chain, body),
            _ => {}
        }
    }

    fn used(&mut self, chain: Digest, body: &v1::Usage) {
        let Some(host) = self.hosts.get_mut(&chain) else {
            return;
        };
        host.closed |= body.wall_end_ms > self.period.to();
        if !self.period.counts(body.wall_end_ms) {
            return;
        }
        *host.sources.entry(source(body.source)).or_default() += 1;
        let (start, end) = (body.wall_start_ms, body.wall_end_ms);
        if let Some(inventory) = host.inventories.last_mut() {
            let used = inventory.used_ms.get_or_insert((start, end));
            *used = (used.0.min(start), used.1.max(end));
        }
    }

    fn checkpoint(&mut self, index: u64, origin: &str, size: u64, root: Hash) {
        let lineage = self.docket.authorities().lineage();
        let generation = lineage
            .generations()
            .position(|it| it.origin().as_str() == origin);
        let Some(generation) = generation else {
            return;
        };
        let place = (generation, size);
        let known = *self.checkpoints.entry(place).or_insert((root, index));
        if known.0 != root {
            self.fault(Fault::SplitView { index, size });
        }
    }

    fn fault(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    fn spell(&self, chain: Option<Digest>, sequence: u64) -> String {
        match chain {
            Some(chain) => format!("{}, statement {sequence}", self.name(&chain)),
            None => "opening a chain".to_owned(),
        }
    }

    fn name(&self, chain: &Digest) -> String {
        if let Some(host) = self.hosts.get(chain) {
            return format!("host {}", host.name);
        }
        match self.officers.get(chain) {
            Some(officer) => format!("officer {}", officer.name),
            None if *chain == self.docket.authorities().genesis() => "operator".to_owned(),
            None => format!("chain {chain}"),
        }
    }

    /// Sites of the hosts, as the operator configured them.
    pub fn sites(&self) -> BTreeSet<&str> {
        self.hosts
            .values()
            .map(|host| host.site.as_str())
            .filter(|site| !site.is_empty())
            .collect()
    }
}

/// The first of the sequences that a gap statement announces as lost, when it continues right
/// after them.
fn bridges(gap: &v1::Gap, statement: &Statement) -> Option<u64> {
    let follows = gap.last.checked_add(1) == Some(statement.header().sequence());
    let cites = matches!(statement.header().place(), Place::Link { previous, .. }
        if previous.as_bytes().as_slice() == gap.last_digest);
    (follows && cites && gap.first <= gap.last).then_some(gap.first)
}
