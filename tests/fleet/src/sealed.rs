//! Records that are sealed before they are due, so that sending them costs the generator little.

use std::collections::VecDeque;

use affiant_proto::{
    Body, Digest, Ed25519Signer, Envelope, SaltedTree, Statement,
    envelope::BadEnvelope,
    salted::BadLeaves,
    statement::{Place, SealError},
    v1,
};

use crate::{
    enrol::{INVENTORY, WORKLOADS},
    pace::Pace,
    usage::HostModel,
};

/// Bytes by which the message of a stream is longer than the envelope in it, at most: tag and
/// length.
const FRAME: usize = 6;

/// A host's chain and what it has to send.
pub struct Chain {
    signer: Ed25519Signer,
    model: HostModel,
    chain: Digest,
    sequence: u64,
    head: Digest,
    checkpoint: Option<v1::CheckpointRef>,
    sealed: VecDeque<Vec<u8>>,
    /// Bytes of the window's statements.
    pub statement_bytes: u64,
    /// Bytes of their envelopes.
    pub envelope_bytes: u64,
}

/// A record that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotSealed {
    /// Not signed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Lines that cannot stand under a root.
    #[error(transparent)]
    Leaves(#[from] BadLeaves),
    /// An envelope that cannot be.
    #[error(transparent)]
    Envelope(#[from] BadEnvelope),
}

impl Chain {
    /// Goes on where the verifier says that the chain stands, and names the checkpoint it gave.
    pub fn new(
        (chain, signer): (Digest, Ed25519Signer),
        model: HostModel,
        (sequence, head): (u64, Digest),
        checkpoint: Option<v1::CheckpointRef>,
    ) -> Self {
        Self {
            signer,
            model,
            chain,
            sequence,
            head,
            checkpoint,
            sealed: VecDeque::new(),
            statement_bytes: 0,
            envelope_bytes: 0,
        }
    }

    /// Seals the opening record of `pace` and a period after it those of its window, all of which
    /// begins at `begin_unix_ms`; `wrap` makes the stream's message of an envelope. The bytes of the
    /// window are counted.
    pub fn seal(
        &mut self,
        begin_unix_ms: u64,
        pace: &Pace,
        wrap: impl Fn(v1::Envelope) -> Vec<u8>,
    ) -> Result<(), NotSealed> {
        let window = (0..pace.count()).filter_map(|index| pace.due(index));
        let window = window.map(|due| due + pace.period());
        for (number, due) in pace.opening().due(0).into_iter().chain(window).enumerate() {
            let due = u64::try_from(due.as_millis()).unwrap_or(u64::MAX);
            if number == 0 {
                // The first record ends when it is sent. Where fewer hosts than the rate asks for
                // send faster than time passes, what they claim runs ahead of the log's clock.
                self.model.end_next(begin_unix_ms.saturating_add(due));
            }
            let time = v1::Time {
                unix_ms: begin_unix_ms.saturating_add(due),
                clock: v1::ClockState::Unknown.into(),
                max_error_ms: None,
            };
            let (body, tree) = self.model.usage(INVENTORY, WORKLOADS)?;
            let envelope = self.next(body.into(), tree, time)?;
            let statement = envelope.statement.len();
            let message = wrap(envelope);
            if number > 0 {
                self.statement_bytes += statement as u64;
                self.envelope_bytes += message.len().saturating_sub(FRAME) as u64;
            }
            self.sealed.push_back(message);
        }
        Ok(())
    }

    fn next(
        &mut self,
        body: Body,
        tree: SaltedTree,
        time: v1::Time,
    ) -> Result<v1::Envelope, NotSealed> {
        let sequence = self.sequence + 1;
        let place = Place::Link {
            chain: self.chain,
            sequence,
            previous: self.head,
        };
        let statement = Statement::seal(body, place, time, self.checkpoint.clone(), &self.signer)?;
        self.head = statement.digest();
        self.sequence = sequence;
        Ok(Envelope::join(statement, Some(tree))?.message())
    }

    /// Takes the next message.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        self.sealed.pop_front()
    }

    /// How many are left.
    pub fn left(&self) -> u64 {
        self.sealed.len() as u64
    }

    /// Digest and sequence of the last statement that was sealed.
    pub fn head(&self) -> (Digest, u64) {
        (self.head, self.sequence)
    }
}
