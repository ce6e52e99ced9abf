//! Delivery of findings to receivers: webhooks and Alertmanager.
//!
//! ```text
//! live judge ─ snapshot ─┬─ courier ─ what was told ─▶ receiver
//!                        └─ courier ─ what was told ─▶ receiver
//! ```
//!
//! There is no queue. A receiver lacks what differs between the findings as they are and what it was
//! told last, so an outage costs no memory, and what it has missed comes as the newest state of each.
//! Each event is brought at least once, those of one finding in their order. Findings of policies in
//! shadow are never delivered. Delivery is a convenience: the log is the evidence.

mod body;
mod courier;
mod kept;
mod pause;
mod receiver;
mod shape;
mod snapshot;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    body::LogName,
    receiver::{Kind, Receiver, bearer, secret},
    shape::severity,
};
use self::{
    courier::Courier,
    kept::{Found, Kept},
};
use crate::{
    clock::Clock,
    keyfile::{self, KeyFileError},
    live::Live,
};

/// How one receiver stands, for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// What it understands.
    pub kind: Kind,
    /// Where it is.
    pub url: String,
    /// Findings of which it lacks the newest state.
    pub waiting: usize,
    /// Since when there are any, milliseconds since 1970 by this machine's clock.
    pub waiting_since_unix_ms: Option<u64>,
    /// Events that it took since this verifier started.
    pub taken: u64,
    /// When it took the last of them.
    pub taken_unix_ms: Option<u64>,
    /// Why it took nothing the last time, if so.
    pub error: Option<String>,
}

/// How all receivers stand, by name.
#[derive(Clone, Debug, Default)]
pub struct Standings(Arc<Mutex<BTreeMap<String, Standing>>>);

impl Standings {
    /// How they stand now.
    pub fn all(&self) -> BTreeMap<String, Standing> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, receiver: &Receiver) {
        let standing = Standing {
            kind: receiver.kind,
            url: receiver.place.to_string(),
            waiting: 0,
            waiting_since_unix_ms: None,
            taken: 0,
            taken_unix_ms: None,
            error: None,
        };
        self.lock().insert(receiver.name.clone(), standing);
    }

    fn waiting(&self, name: &str, count: usize, now_ms: u64) {
        if let Some(standing) = self.lock().get_mut(name) {
            standing.waiting = count;
            standing.waiting_since_unix_ms = match count {
                0 => None,
                _ => standing.waiting_since_unix_ms.or(Some(now_ms)),
            };
            if count == 0 {
                standing.error = None;
            }
        }
    }

    fn took(&self, name: &str, count: usize, now_ms: u64) {
        if let Some(standing) = self.lock().get_mut(name) {
            standing.waiting = standing.waiting.saturating_sub(count);
            if standing.waiting == 0 {
                standing.waiting_since_unix_ms = None;
            }
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            standing.taken = standing.taken.saturating_add(count);
            standing.taken_unix_ms = Some(now_ms);
            standing.error = None;
        }
    }

    fn failed(&self, name: &str, error: String) {
        if let Some(standing) = self.lock().get_mut(name) {
            standing.error = Some(error);
        }
    }
}

/// What delivery needs.
pub struct Deliveries<'a> {
    /// Who is told.
    pub receivers: &'a [Receiver],
    /// Which log it is.
    pub log: LogName,
    /// The running judge.
    pub live: Live,
    /// Where what they were told is kept.
    pub folder: &'a Path,
    /// Told how they stand.
    pub standings: Standings,
    /// The wall clock.
    pub clock: Clock,
}

impl Deliveries<'_> {
    /// Starts to deliver, each receiver by a task of its own. Where what they were told cannot be
    /// kept, nothing is.
    pub fn start(self, tasks: &TaskTracker, stop: &CancellationToken) -> Result<(), KeyFileError> {
        // The directory is made by `init`, with receivers or without: one that is not there later was lost,
        // and not never needed.
        let lost = !self.folder.exists();
        keyfile::create_dir(self.folder)?;
        if self.receivers.is_empty() {
            return Ok(());
        }
        let first = Arc::new(snapshot::look(&self.live));
        let now_ms = first.now_ms();
        let (show, shown) = watch::channel(first);
        for receiver in self.receivers {
            let path = self.folder.join(format!("{}.told", receiver.name));
            let (kept, found) = Kept::open(&path, lost, now_ms)?;
            let name = &receiver.name;
            match found {
                Found::Whole => {}
                Found::New => tracing::info!(receiver = name, "told of what is open from now on"),
                Found::Lost => tracing::warn!(
                    receiver = name,
                    "what it was told last is lost: all of the last 30 days is sent again"
                ),
            }
            self.standings.add(receiver);
            let courier = Courier::new(
                receiver.clone(),
                self.log.clone(),
                kept,
                shown.clone(),
                self.standings.clone(),
                self.clock.clone(),
            );
            tasks.spawn(courier.run(stop.clone()));
        }
        tasks.spawn(snapshot::follow(self.live, show, stop.clone()));
        Ok(())
    }
}
