//! Retention: each hour, what the configuration lets go is announced in the log, and then erased. After
//! that, in the same round, the log is repacked, for only one at a time may rewrite segments.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use affiant_judge::retention::Retention;
use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    ledger::{Eraser, Repacker},
    live::Live,
    repacking,
    writer::Submit,
};

/// How long after the start, and then how often.
const FIRST: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(3_600);

const DAY_MS: u64 = 86_400_000;

/// What was erased of the running log, and what is held; the writer keeps it.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Mutex<Retention>>);

impl Shared {
    /// Goes on from what the log said at the start.
    pub fn new(retention: Retention) -> Self {
        Self(Arc::new(Mutex::new(retention)))
    }

    /// It, held: the writer waits meanwhile, so be brief.
    pub fn lock(&self) -> MutexGuard<'_, Retention> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Erases what may go, hour by hour.
pub struct Rounds {
    /// What was erased, and what is held.
    pub retention: Shared,
    /// The configuration.
    pub config: Arc<ArcSwap<Config>>,
    /// Knows what findings rest on, which is not erased.
    pub live: Live,
    /// The way into the log.
    pub submit: Submit,
    /// Erases.
    pub eraser: Eraser,
    /// Repacks.
    pub repacker: Arc<Repacker>,
}

impl Rounds {
    /// Runs until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut wait = FIRST;
        while stop
            .run_until_cancelled(tokio::time::sleep(wait))
            .await
            .is_some()
        {
            self.round().await;
            repacking::round(&self.repacker, &stop).await;
            wait = EVERY;
        }
    }

    /// Announces what is due, and erases all that was announced.
    pub async fn round(&self) {
        while self.announce().await {}
        let size = self.eraser.size();
        let ranges = self.retention.lock().erased(size);
        let eraser = self.eraser.clone();
        match tokio::task::spawn_blocking(move || eraser.erase(&ranges)).await {
            Ok(Ok(done)) if done.segments > 0 => tracing::info!(
                records = done.records,
                segments = done.segments,
                "lines were erased, as the log announced"
            ),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "lines were not erased"),
            Err(error) => tracing::error!(%error, "lines were not erased"),
        }
    }

    /// Announces one range; tells whether there was one.
    async fn announce(&self) -> bool {
        let Some(days) = self.config.load().lines_days else {
            return false;
        };
        let (now_ms, spared) = {
            let judge = self.live.judge();
            let findings = judge.findings();
            let rest_on = findings.iter().flat_map(|it| &it.evidence.indices);
            (
                judge.now_unix_ms(),
                rest_on.copied().collect::<BTreeSet<u64>>(),
            )
        };
        let before_ms = now_ms.saturating_sub(days.saturating_mul(DAY_MS));
        let due = self.retention.lock().due(before_ms, &spared);
        let Some(mut erasure) = due else {
            return false;
        };
        erasure.reason = format!("older than {days} days");
        let (first, last, records) = (erasure.first_index, erasure.last_index, erasure.count);
        match self.submit.operator(erasure).await {
            Ok(index) => {
                tracing::info!(index, first, last, records, "announced an erasure of lines");
                true
            }
            Err(error) => {
                tracing::warn!(%error, "an erasure was not announced");
                false
            }
        }
    }
}
