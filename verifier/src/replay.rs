//! Reads the log from its beginning: everything the server knows, it knows from there.

use std::collections::BTreeMap;

use affiant_judge::{
    Judge, Parameters,
    admission::{Admitted, Refusal, Sources},
    docket::Docket,
    docket::Parts,
    retention::Retention,
    roll_call::Book,
};
use affiant_proto::{
    Body, ChainState, Digest, Envelope, authority::Authorities, envelope::BadEnvelope,
};

use crate::{
    hosts::{Head, Hosts, Watermark},
    ledger::{Entry, Exhibits, ReadError},
    lineage::Lineage,
    trail::Trail,
};

/// Why the log could not be read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadLog {
    /// Its files.
    #[error("log: {0}")]
    Read(#[from] ReadError),
    /// An entry that is no envelope.
    #[error("log entry {index}: {bad}")]
    Envelope {
        /// Which entry.
        index: u64,
        /// What is wrong.
        bad: BadEnvelope,
    },
    /// An entry that would not be admitted today. With `--accept-recorded` once given and now
    /// missing, this is the first record of such a source.
    #[error("log entry {index}: {refusal}")]
    Refused {
        /// Which entry.
        index: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Nothing in it.
    #[error("log is empty: run `affiant-verifier init` on a new directory")]
    Empty,
}

/// What the log says, all of it admitted again.
pub struct Replayed {
    /// Operator and officers.
    pub authorities: Authorities,
    /// The hosts, each at the head of its chain.
    pub hosts: Hosts,
    /// The judge, who has heard everything.
    pub judge: Judge,
    /// The chains, for the next roll call.
    pub book: Book,
    /// What was erased, and what is held.
    pub retention: Retention,
    /// The genesis statement.
    pub genesis: Vec<u8>,
    /// The newest `cosigned` note with the index that it was logged at.
    pub cosigned: Option<Vec<u8>>,
    /// By which statements trust passed on since the genesis.
    pub lineage: Lineage,
    /// How many entries there are.
    pub size: u64,
}

/// Reads entries in order from the first, with the exhibits that they name.
pub fn replay(
    entries: impl Iterator<Item = Result<(u64, Entry), ReadError>>,
    shown: &Exhibits,
    sources: Sources,
    parameters: &Parameters,
) -> Result<Replayed, BadLog> {
    let mut docket: Option<Docket> = None;
    let mut genesis = Vec::new();
    let mut events: Vec<(u64, Admitted)> = Vec::new();
    let mut watermarks: BTreeMap<Digest, Watermark> = BTreeMap::new();
    let mut trails: BTreeMap<Digest, Trail> = BTreeMap::new();
    let mut lineage = Lineage::default();
    let (mut cosigned, mut size, mut logged_unix_ms) = (None, 0, 0);
    for entry in entries {
        let (index, entry) = entry?;
        let envelope =
            Envelope::parse(entry.envelope()).map_err(|bad| BadLog::Envelope { index, bad })?;
        let refused = |refusal| BadLog::Refused { index, refusal };
        if let Some(docket) = &mut docket
            && let Some(bytes) = shown.shown(index, envelope.statement().body())
        {
            docket.exhibit(bytes);
        }
        let admitted = match &mut docket {
            None => {
                let statement = envelope.into_parts().0;
                genesis = statement.as_bytes().to_vec();
                let (opened, admitted) =
                    Docket::open(index, statement, sources, Judge::new(parameters.clone()))
                        .map_err(refused)?;
                docket = Some(opened);
                admitted
            }
            Some(docket) => docket.take_whole(index, envelope).map_err(refused)?,
        };
        let verified = admitted.verified();
        if let Some(host) = docket
            .as_ref()
            .and_then(|d| d.hosts().get(&verified.chain()))
        {
            follow(&mut trails, host.state());
        }
        let sequence = verified.statement().header().sequence();
        let watermark = Watermark {
            sequence,
            index,
            logged_unix_ms,
        };
        watermarks.insert(verified.chain(), watermark);
        if let Some(docket) = &docket {
            lineage.hear(docket.authorities(), &admitted);
        }
        match verified.body() {
            Body::Clock(_) => logged_unix_ms = verified.statement().header().time().unix_ms,
            Body::Enrolment(_) | Body::RelayEnrolment(_) | Body::HostEvent(_) | Body::Key(_) => {
                events.push((index, admitted));
            }
            Body::Cosigned(body) => cosigned = Some(body.note.clone()),
            _ => {}
        }
        size = index + 1;
    }
    let Parts {
        authorities,
        hosts: mut chains,
        book,
        retention,
        judge,
    } = docket.ok_or(BadLog::Empty)?.into_parts();
    let hosts = Hosts::default();
    for (index, event) in &events {
        let named = event.verified().chain();
        let head = match (chains.remove(&named), trails.remove(&named)) {
            (Some(chain), Some(trail)) => Some(Head { chain, trail }),
            _ => None,
        };
        if let Some(host) = hosts.hear(*index, event, head)
            && let Some(watermark) = watermarks.get(&host.chain())
        {
            // Nobody is connected yet.
            let _ = host.include(*watermark);
        }
    }
    Ok(Replayed {
        authorities,
        hosts,
        judge,
        book,
        retention,
        genesis,
        cosigned,
        lineage,
        size,
    })
}

/// Goes on with the trail of a chain that has just come to `state`.
fn follow(trails: &mut BTreeMap<Digest, Trail>, state: &ChainState) {
    match trails.get_mut(&state.chain()) {
        Some(trail) => trail.add(state.sequence(), state.head(), state.key()),
        None => {
            let trail = Trail::open(state.chain(), state.key().clone());
            trails.insert(state.chain(), trail);
        }
    }
}
