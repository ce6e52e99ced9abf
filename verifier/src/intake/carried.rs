//! One host on a stream: its statements are admitted here and handed to the writer.

use std::sync::Arc;

use affiant_judge::admission::{Refusal, Sources};
use affiant_proto::{Envelope, Statement, v1};
use tonic::Status;

use crate::{
    gate::Gate,
    hosts::{Head, Host, Watermark},
    ledger::Entry,
    presence::Here,
    window::Flight,
    writer::{Logged, Room, Submit},
};

/// Longest statement that a `fork` carries whole: half of what a statement may have.
const MAX_FORK_BYTES: usize = affiant_proto::statement::MAX_STATEMENT_BYTES / 2;

/// What admission needs beside the chain.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) gate: Gate,
    pub(super) sources: Sources,
    pub(super) submit: Submit,
}

/// A host that a stream carries.
pub(super) struct Carried {
    host: Arc<Host>,
    session: u64,
    flight: Flight,
    told: Option<Watermark>,
    /// Ends its presence when the stream lets it go.
    here: Here,
}

/// What became of a statement.
pub(super) enum Taken {
    /// It is on its way into the log; so many more are.
    Admitted(u64),
    /// It was sent before, and has its receipt or will have it.
    Known,
    /// It is not admitted.
    Refused(u64, Refusal),
    /// It forked its chain, which the log will say.
    Forked(u64, Logged),
    /// Somebody else carries the host now, or it may not send.
    NotHeld,
}

impl Carried {
    /// Begins to carry a host by a session that began.
    pub(super) fn begin(host: Arc<Host>, session: u64, here: Here) -> Self {
        let told = host.included();
        let head = host.admission().chain.state().sequence();
        Self {
            flight: Flight::behind(head),
            host,
            session,
            told,
            here,
        }
    }

    pub(super) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The watermark that the peer knows of.
    pub(super) fn told(&self) -> Option<Watermark> {
        self.told
    }

    /// Its presence, as it tells of itself.
    pub(super) fn here(&self) -> &Here {
        &self.here
    }

    /// How many statements are on their way.
    pub(super) fn in_flight(&self) -> u64 {
        self.flight.len()
    }

    /// Tells whether this stream still carries the host, and it may send.
    pub(super) fn holds(&self) -> bool {
        self.host.holds(self.session)
    }

    /// Why the host is not carried any more, or that it is; `passed` says who may be connected.
    pub(super) fn may_go_on(&self, passed: Result<(), Status>) -> Result<(), Status> {
        passed?;
        if self.holds() {
            Ok(())
        } else {
            Err(Status::aborted("a newer session of this host began"))
        }
    }

    /// The stream's bell had this host noted. Gives the watermark, if it moved since it was told,
    /// and by how many fewer statements are on their way.
    pub(super) fn heed(&mut self) -> Option<(Watermark, u64)> {
        self.host.heed(self.session);
        let included = self.host.included();
        if included == self.told {
            return None;
        }
        self.told = included;
        included.map(|watermark| (watermark, self.flight.include(watermark.sequence)))
    }

    /// Admits the next statement and hands it to the writer, for which there is room already.
    pub(super) fn take(&mut self, message: v1::Envelope, room: Room, desk: &Desk) -> Taken {
        let envelope = match Envelope::open(message) {
            Ok(envelope) => envelope,
            Err(bad) => return Taken::Refused(0, bad.into()),
        };
        let (sequence, digest) = (
            envelope.statement().header().sequence(),
            envelope.statement().digest(),
        );
        self.host.presence.tell(sequence, self.flight.len() + 1);
        let entry = Entry::of(&envelope);
        let mut head = self.host.admission();
        if !self.holds() {
            return Taken::NotHeld;
        }
        if sequence <= head.chain.state().sequence() {
            return match again(&mut head, envelope.statement()) {
                Again::Known => Taken::Known,
                Again::Refused(refusal) => Taken::Refused(sequence, refusal),
                Again::Fork(fork) => {
                    let host = self.host.name();
                    tracing::error!(host, sequence, "two statements were signed at one sequence");
                    Taken::Forked(sequence, room.operator(fork))
                }
            };
        }
        let newest = desk.gate.authorities.borrow().clone();
        let admitted = head
            .chain
            .admit(envelope, desk.sources, newest.revocations());
        match admitted {
            Ok(admitted) => {
                head.remember(sequence, digest);
                // The chain is held until the writer has it: the log keeps its order.
                room.record(self.host.clone(), admitted, entry);
                Taken::Admitted(self.flight.send(sequence))
            }
            Err(refusal) => Taken::Refused(sequence, refusal),
        }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.host.end_session(self.session);
    }
}

/// What a statement from the past of its chain is.
enum Again {
    /// The same one, sent again: it gets the old receipt.
    Known,
    /// A different one that the host's key signed; the chain is frozen by it.
    Fork(v1::Fork),
    /// Neither.
    Refused(Refusal),
}

fn again(head: &mut Head, statement: &Statement) -> Again {
    let sequence = statement.header().sequence();
    match head.trail.recall(sequence) {
        Some(known) if known == statement.digest() => Again::Known,
        Some(known) if head.trail.signed(statement) => {
            if let Some(frozen) = head.chain.frozen() {
                return Again::Refused(Refusal::Frozen(frozen));
            }
            head.chain.freeze(sequence);
            Again::Fork(v1::Fork {
                header: None,
                chain: head.chain.state().chain().as_bytes().to_vec(),
                sequence,
                first: known.as_bytes().to_vec(),
                second: kept(statement),
            })
        }
        // Changed on its way, or so old that it is no longer remembered: an honest agent sends
        // nothing before the head that the welcome named.
        _ => {
            let due = head.chain.state().sequence().saturating_add(1);
            let past = affiant_proto::Broken::Past { due, got: sequence };
            Again::Refused(past.into())
        }
    }
}

/// What a `fork` keeps of its second statement: the whole of it, or the digest of one so long
/// that it would not fit into another statement.
fn kept(second: &Statement) -> Vec<u8> {
    if second.as_bytes().len() <= MAX_FORK_BYTES {
        second.as_bytes().to_vec()
    } else {
        second.digest().as_bytes().to_vec()
    }
}
