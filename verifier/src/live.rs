//! The live judge: hears what was published, in the order of the log, and answers questions.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use affiant_judge::{Judge, admission::Admitted, docket};

/// Segments that wait to be judged: a minute's worth, then the writer waits.
pub const BACKLOG: usize = 60;

/// The judge of the running server.
#[derive(Clone)]
pub struct Live {
    judge: Arc<Mutex<Judge>>,
    heard: Arc<AtomicU64>,
}

impl Live {
    /// Goes on from what the log said at the start, `size` entries.
    pub fn new(judge: Judge, size: u64) -> Self {
        Self {
            judge: Arc::new(Mutex::new(judge)),
            heard: Arc::new(AtomicU64::new(size)),
        }
    }

    /// Starts to listen; ends when the writer does.
    pub fn listen(
        &self,
        segments: mpsc::Receiver<Vec<(u64, Arc<Admitted>)>>,
    ) -> std::io::Result<thread::JoinHandle<()>> {
        let live = self.clone();
        thread::Builder::new().name("judge".into()).spawn(move || {
            for segment in segments {
                let last = segment.last().map(|(index, _)| index + 1);
                let mut judge = live.judge();
                for (index, admitted) in segment {
                    docket::hear(&mut judge, index, &admitted);
                }
                drop(judge);
                if let Some(size) = last {
                    live.heard.store(size, Ordering::SeqCst);
                }
            }
        })
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
