//! The source as the agent holds it: a queue of events and a word to end it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    child::{Note, Said},
    library::LibraryError,
    options::{Options, StartError},
    supervisor::Supervisor,
};
use crate::{sample::Event, source::GpuSource};

/// Events that wait for a consumer that is late: half a minute of samples at 1 Hz. When it is
/// full no reading is taken, so that none is thrown away.
const EVENT_QUEUE: usize = 32;

/// Notes of a child that wait for the supervisor; one answer is expected per tick.
const NOTE_QUEUE: usize = 8;

/// Most that `close` waits for the supervisor.
const CLOSING: Duration = Duration::from_millis(1900);

/// The devices of this host, read through NVML in a child process.
#[derive(Debug)]
pub struct NvmlSource {
    events: mpsc::Receiver<Event>,
    stop: Stop,
    fault: Arc<Mutex<Option<String>>>,
}

/// Ends the supervisor when it is dropped.
#[derive(Debug)]
struct Stop {
    told: Arc<AtomicBool>,
    notes: SyncSender<Note>,
}

impl Stop {
    fn tell(&self) {
        self.told.store(true, Ordering::Release);
        // Wakes the supervisor; where the queue is full it is awake.
        let _ = self.notes.try_send(Note {
            generation: 0,
            said: Said::Ended(String::new()),
        });
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.tell();
    }
}

impl NvmlSource {
    /// Starts the source.
    ///
    /// # Errors
    /// When the options make no sense or the system refuses a thread; not when the driver does.
    pub fn start(options: Options) -> Result<Self, StartError> {
        if !options.library.is_absolute() {
            return Err(LibraryError::Relative(options.library).into());
        }
        let range = Duration::from_millis(10)..=Duration::from_secs(60);
        if !range.contains(&options.period) {
            return Err(StartError::Period(options.period));
        }
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let (notes, inbox) = sync_channel(NOTE_QUEUE);
        let stop = Stop {
            told: Arc::new(AtomicBool::new(false)),
            notes: notes.clone(),
        };
        let fault = Arc::new(Mutex::new(None));
        let supervisor = Supervisor::new(
            options,
            events,
            Arc::clone(&stop.told),
            (notes, inbox),
            Arc::clone(&fault),
        );
        thread::Builder::new()
            .name("nvml-supervisor".into())
            .spawn(move || supervisor.run())
            .map_err(StartError::Thread)?;
        Ok(Self {
            events: receiver,
            stop,
            fault,
        })
    }

    /// Says what keeps the driver from being read; `None` while a child answers.
    pub fn fault(&self) -> Option<String> {
        self.fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl GpuSource for NvmlSource {
    async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            // Closed: nothing comes any more.
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self) {
        self.stop.tell();
        let drained = async { while self.events.recv().await.is_some() {} };
        // A supervisor that is still at it is left behind; it holds nothing but the dying child.
        let _ = tokio::time::timeout(CLOSING, drained).await;
        self.events.close();
    }
}
