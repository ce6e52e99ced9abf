//! What a record needs from before it to be understood: who signs its chain, what its lines point at,
//! and the log's clock around it.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::{Body, ChainState, Digest, Statement};

use super::{
    body::{fields, hex},
    record::{Held, Record, Seen},
    usage::Tables,
};

/// One chain so far.
#[derive(Default)]
struct Track {
    name: String,
    opened: Option<u64>,
    state: Option<ChainState>,
    tables: Tables,
}

/// What was passed so far of the log, as far as the records of some chains need it.
pub(super) struct Context {
    chains: BTreeMap<Digest, Track>,
    wanted: BTreeSet<u64>,
    clocks: Vec<(u64, u64)>,
    records: Vec<Record>,
}

impl Context {
    /// Looks for the records at `wanted`, which stand in `chains`.
    pub(super) fn new(chains: impl IntoIterator<Item = Digest>, wanted: BTreeSet<u64>) -> Self {
        let tracks = chains.into_iter().map(|chain| (chain, Track::default()));
        Self {
            chains: tracks.collect(),
            wanted,
            clocks: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Tells whether the leaves of a statement are needed.
    pub(super) fn needs(&self, index: u64, statement: &Statement) -> bool {
        let chain = statement.header().chain();
        let ours = chain.is_some_and(|chain| self.chains.contains_key(&chain));
        self.wanted.contains(&index)
            || ours && matches!(statement.body(), Body::Inventory(_) | Body::Workloads(_))
    }

    /// Tells whether every record was found, and the clock after the last.
    pub(super) fn is_done(&self) -> bool {
        let last = self.wanted.last().copied();
        let clock = self.clocks.last().map(|(index, _)| *index);
        self.records.len() == self.wanted.len() && clock > last
    }

    /// Passes the next entry, with its leaves where these are needed.
    pub(super) fn take(&mut self, index: u64, statement: &Statement, leaves: &[Option<Vec<u8>>]) {
        let header = statement.header();
        let chain = header.chain().unwrap_or_else(|| statement.digest());
        if let Some(track) = self.chains.get_mut(&chain) {
            track.follow(index, statement, leaves);
        }
        if self.wanted.contains(&index) {
            let record = self.record(index, statement, chain, leaves);
            self.records.push(record);
        }
        if matches!(statement.body(), Body::Clock(_)) {
            self.clocks.push((index, header.time().unix_ms));
        }
    }

    /// Gives up the records, each between the clocks that the log had before and after it.
    pub(super) fn finish(mut self) -> Vec<Record> {
        for record in &mut self.records {
            let seen = record.seen.as_ref().map_or(0, |seen| seen.size);
            let before = self.clocks.partition_point(|(index, _)| *index < seen);
            record.after_unix_ms = before
                .checked_sub(1)
                .and_then(|at| Some(self.clocks.get(at)?.1));
            let after = self
                .clocks
                .partition_point(|(index, _)| *index <= record.index);
            record.before_unix_ms = self.clocks.get(after).map(|(_, ms)| *ms);
        }
        self.records
    }

    fn record(
        &self,
        index: u64,
        statement: &Statement,
        chain: Digest,
        leaves: &[Option<Vec<u8>>],
    ) -> Record {
        let header = statement.header();
        let track = self.chains.get(&chain);
        let seen = header.checkpoint().map(|seen| Seen {
            origin: seen.origin.clone(),
            size: seen.size,
            root: hex(&seen.root),
        });
        let previous = match header.place() {
            affiant_proto::statement::Place::Link { previous, .. } => Some(previous.to_string()),
            affiant_proto::statement::Place::Opening => None,
        };
        let usage = match statement.body() {
            Body::Usage(_) => Some(track.map(|track| track.tables.usage(leaves))),
            _ => None,
        };
        Record {
            index,
            kind: statement.kind().name(),
            digest: statement.digest().to_string(),
            chain: header.chain().map(|chain| chain.to_string()),
            by: track
                .map(|track| track.name.clone())
                .filter(|name| !name.is_empty()),
            sequence: header.sequence(),
            previous,
            key: statement.key().to_string(),
            held: vec![signature(track, statement)],
            unix_ms: header.time().unix_ms,
            clock: format!("{:?}", header.time().clock()).to_lowercase(),
            max_error_ms: header.time().max_error_ms,
            seen,
            after_unix_ms: None,
            before_unix_ms: None,
            body: said(statement.body()),
            usage: usage.flatten(),
        }
    }
}

impl Track {
    fn follow(&mut self, index: u64, statement: &Statement, leaves: &[Option<Vec<u8>>]) {
        match statement.body() {
            Body::Genesis(_) => "the operator".clone_into(&mut self.name),
            Body::Enrolment(body) => self.name = format!("host {}", body.host),
            Body::Officer(body) => self.name = format!("officer {}", body.name),
            Body::RelayEnrolment(body) => self.name = format!("relay {}", body.relay),
            Body::Objection(body) => self.name = format!("tenant {}, as it says", body.tenant),
            Body::Inventory(_) => self.tables.take_devices(leaves),
            Body::Workloads(_) => self.tables.take_workloads(leaves),
            Body::Key(_) => {
                // One that does not verify hands over to nobody.
                self.state = self.state.take().map(|mut state| {
                    let _ = state.skip_to(statement.clone());
                    state
                });
            }
            // Two officers hand over, which takes all of the log to check.
            Body::Succession(_) => self.state = None,
            _ => {}
        }
        if statement.header().chain().is_none() {
            self.opened = Some(index);
            self.state = ChainState::open(statement.clone())
                .ok()
                .map(|(state, _)| state);
        }
    }
}

/// Verifies the signature by the key that the chain has there.
fn signature(track: Option<&Track>, statement: &Statement) -> Held {
    let held = |ok, detail: String| Held {
        what: "signature",
        ok,
        detail,
    };
    let state = track.and_then(|track| Some((track.state.as_ref()?, track.opened?)));
    let Some((state, opened)) = state else {
        let text = "the key of its chain is not known here; `affiant-audit log` verifies it";
        return held(false, text.to_owned());
    };
    match statement.verify(state.key()) {
        Ok(()) => held(
            true,
            format!("by the key of its chain, which log index {opened} opened"),
        ),
        Err(bad) => held(false, bad.to_string()),
    }
}

/// The fields of a statement.
fn said(body: &Body) -> Vec<super::Field> {
    match body {
        Body::Cosigned(body) => {
            let value = String::from_utf8_lossy(&body.note).replace('\n', " | ");
            let name = "note".to_owned();
            vec![super::Field { name, value }]
        }
        Body::Unknown(payload) => vec![super::Field {
            name: "not read".to_owned(),
            value: format!(
                "{} bytes of a kind that this tool does not know",
                payload.len()
            ),
        }],
        body => fields(body),
    }
}
