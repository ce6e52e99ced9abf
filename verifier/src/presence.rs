//! Whether a host is connected, and what it says of itself. Kept in memory alone: what follows for
//! the record is for the judge to say, from the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use affiant_proto::v1;
use serde::Serialize;

use crate::{clock::Clock, hosts::Host};

/// What is known of a host's connections since this verifier started.
#[derive(Default)]
pub struct Presence(Mutex<Known>);

/// A copy of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Known {
    /// Sessions that are open; more than one while a newer takes over.
    pub sessions: u32,
    /// When the last session began, milliseconds since 1970 by this machine's clock.
    pub began_unix_ms: Option<u64>,
    /// When the last session ended.
    pub ended_unix_ms: Option<u64>,
    /// Sequence of the newest statement that the host said it has on its disk.
    pub told_sequence: Option<u64>,
    /// Most statements of one session that were on their way into the log at one time.
    pub most_in_flight: u64,
    /// When the certificate of the last session ends.
    pub certificate_ends_unix_ms: Option<u64>,
    /// How the host's spool stands, by its own word.
    pub spool: Option<ToldSpool>,
}

/// How a spool stands by its host's own word, which nobody signed: to be shown, and for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ToldSpool {
    /// When the host told it, by this machine's clock.
    pub told_unix_ms: u64,
    /// When the oldest record that was not INCLUDED then was sealed, by the host's clock.
    pub oldest_waiting_unix_ms: Option<u64>,
    /// Bytes of all that it keeps.
    pub bytes: u64,
    /// Most bytes that it may have.
    pub max_bytes: u64,
    /// Days for which records still fit that nobody takes.
    pub days_left: Option<u64>,
}

impl Presence {
    /// What is known now.
    pub fn known(&self) -> Known {
        *self.lock()
    }

    /// A session began, under a certificate that ends then, whose hello gave the head of the host's
    /// disk; a relay gives none.
    fn begin(&self, now_ms: u64, sequence: Option<u64>, certificate_ends_unix_ms: Option<u64>) {
        let mut known = self.lock();
        known.sessions = known.sessions.saturating_add(1);
        known.began_unix_ms = Some(now_ms);
        known.told_sequence = sequence.or(known.told_sequence);
        known.certificate_ends_unix_ms = certificate_ends_unix_ms;
    }

    /// The host told how its spool stands; numbers alone, so that it takes no more room than this.
    pub fn tell_spool(&self, now_ms: u64, spool: v1::SpoolState) {
        self.lock().spool = Some(ToldSpool {
            told_unix_ms: now_ms,
            oldest_waiting_unix_ms: spool.oldest_waiting_unix_ms,
            bytes: spool.bytes,
            max_bytes: spool.max_bytes,
            days_left: spool.days_left,
        });
    }

    /// The host showed a statement of its own, with which so many are on their way.
    pub fn tell(&self, sequence: u64, in_flight: u64) {
        let mut known = self.lock();
        known.told_sequence = known.told_sequence.max(Some(sequence));
        known.most_in_flight = known.most_in_flight.max(in_flight);
    }

    /// A session ended.
    fn end(&self, now_ms: u64) {
        let mut known = self.lock();
        known.sessions = known.sessions.saturating_sub(1);
        known.ended_unix_ms = Some(now_ms);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session of a host; over when dropped.
pub struct Here {
    host: Arc<Host>,
    clock: Clock,
}

impl Here {
    /// A session began, under a certificate that ends then, whose hello gave the head of the host's
    /// disk; neither where a relay carries it.
    pub fn begin(
        host: Arc<Host>,
        clock: Clock,
        sequence: Option<u64>,
        certificate_ends_unix_ms: Option<u64>,
    ) -> Self {
        host.presence
            .begin(clock.now_ms(), sequence, certificate_ends_unix_ms);
        Self { host, clock }
    }

    /// The host told how its spool stands.
    pub fn tell_spool(&self, spool: v1::SpoolState) {
        self.host.presence.tell_spool(self.clock.now_ms(), spool);
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.host.presence.end(self.clock.now_ms());
    }
}
