//! What the judge says now, taken once for all receivers.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use affiant_judge::Finding;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{kept::KEPT_MS, shape::newest_ms};
use crate::live::Live;

/// How often the judge is looked at, at most.
const EVERY: Duration = Duration::from_secs(1);

/// How many times as long as a look took the judge is left alone: intake needs that time more.
const REST: u32 = 50;

/// All findings that a receiver may have to be told of: those that are open, and of the last 30 days
/// those that ended. None in shadow.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    findings: BTreeMap<String, Finding>,
    now_ms: u64,
    size: u64,
}

impl Snapshot {
    /// Takes what the judge says at the log's time `now_ms`, after `size` entries.
    pub(super) fn new(findings: Vec<Finding>, now_ms: u64, size: u64) -> Self {
        let oldest = now_ms.saturating_sub(KEPT_MS);
        let told = findings
            .into_iter()
            .filter(|it| !it.shadow && (it.open || newest_ms(it) > oldest));
        Self {
            findings: told.map(|finding| (finding.id.clone(), finding)).collect(),
            now_ms,
            size,
        }
    }

    /// The findings.
    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.values()
    }

    /// The finding of this id.
    pub(super) fn finding(&self, id: &str) -> Option<&Finding> {
        self.findings.get(id)
    }

    /// The log's time, milliseconds since 1970.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// How many entries of the log were judged.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

/// Looks at the judge now.
pub(super) fn look(live: &Live) -> Snapshot {
    let size = live.heard();
    let (findings, now_ms) = {
        let judge = live.judge();
        (judge.findings(), judge.now_unix_ms())
    };
    Snapshot::new(findings, now_ms, size)
}

/// Shows what the judge says to all who deliver it, until stopped.
pub(super) async fn follow(
    live: Live,
    show: watch::Sender<Arc<Snapshot>>,
    stop: CancellationToken,
) {
    loop {
        let begun = Instant::now();
        if live.heard() != show.borrow().size() {
            let live = live.clone();
            if let Ok(new) = tokio::task::spawn_blocking(move || look(&live)).await {
                show.send_replace(Arc::new(new));
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY.max(begun.elapsed() * REST)) => {}
        }
    }
}
