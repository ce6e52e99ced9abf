//! The live judge: hears what was published, in the order of the log, and answers questions.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use affiant_judge::{Judge, docket, exhibits};
use tokio::sync::mpsc;

use crate::{ledger::Exhibits, writer::Segment};

/// Segments that wait to be judged, then the writer waits and the agents spool. A segment is what
/// came in a second, so findings are of at most some ten seconds ago however much is drained; and
/// a look at the judge may hold it for that long before intake feels it.
pub const BACKLOG: usize = 8;

/// The judge of the running server.
#[derive(Clone)]
pub struct Live {
    judge: Arc<Mutex<Judge>>,
    heard: Arc<AtomicU64>,
    exhibits: Exhibits,
}

impl Live {
    /// Goes on from what the log said at the start, `size` entries; files that statements name are among
    /// `exhibits`.
    pub fn new(judge: Judge, size: u64, exhibits: Exhibits) -> Self {
        Self {
            judge: Arc::new(Mutex::new(judge)),
            heard: Arc::new(AtomicU64::new(size)),
            exhibits,
        }
    }

    /// Starts to listen; ends when the writer does.
    pub fn listen(
        &self,
        mut segments: mpsc::Receiver<Segment>,
    ) -> std::io::Result<thread::JoinHandle<()>> {
        let live = self.clone();
        thread::Builder::new().name("judge".into()).spawn(move || {
            while let Some(segment) = segments.blocking_recv() {
                live.hear(segment);
            }
        })
    }

    /// Judges one segment, the next of the log.
    pub fn hear(&self, segment: Segment) {
        let last = segment.last().map(|(index, _)| index + 1);
        let mut judge = self.judge();
        for (index, admitted) in segment {
            let body = admitted.verified().body();
            if exhibits::named(body).is_some() {
                // 64 MiB from a disk: others ask meanwhile.
                drop(judge);
                let shown = self.exhibits.shown(index, body);
                judge = self.judge();
                if let Some(bytes) = shown {
                    judge.exhibit(bytes);
                }
            }
            docket::hear(&mut judge, index, &admitted);
        }
        drop(judge);
        if let Some(size) = last {
            self.heard.store(size, Ordering::SeqCst);
        }
    }

    /// The judge, held: nothing is judged meanwhile, so be brief.
    pub fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many entries of the log have been heard.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst)
    }
}
