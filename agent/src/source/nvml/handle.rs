//! The source as the agent holds it: a queue of events and a word to end it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use affiant_proto::v1;
use tokio::sync::{mpsc, watch};

use super::{
    child::{Note, Said},
    library::LibraryError,
    options::{Options, StartError},
    orders::{Grip, Orders},
    supervisor::Supervisor,
};
use crate::{
    meter::Ending,
    sample::Event,
    source::{GpuSource, StillHeld},
};

/// Events that wait for a consumer that is late: half a minute of samples at 1 Hz. When it is
/// full no reading is taken, so that none is thrown away.
const EVENT_QUEUE: usize = 32;

/// Notes of a child that wait for the supervisor; one answer is expected per tick.
const NOTE_QUEUE: usize = 8;

/// Most that `close` waits for the supervisor.
const CLOSING: Duration = Duration::from_millis(1900);

/// Most that `pause` waits for the child's end; the supervisor kills it after 1 s.
const LETTING_GO: Duration = Duration::from_millis(1800);

/// The devices of this host, read through NVML in a child process.
#[derive(Debug)]
pub struct NvmlSource {
    events: mpsc::Receiver<Event>,
    word: Word,
    grip: watch::Receiver<Grip>,
    fault: Arc<Mutex<Option<String>>>,
}

/// Tells the supervisor what it is to do; ends it when it is dropped.
#[derive(Debug)]
struct Word {
    orders: Arc<Orders>,
    notes: SyncSender<Note>,
}

impl Word {
    fn end(&self) {
        self.orders.end();
        self.wake();
    }

    fn pause(&self, reason: Option<v1::Reason>) {
        self.orders.pause(reason);
        self.wake();
    }

    fn wake(&self) {
        // Where the queue is full the supervisor is awake.
        let _ = self.notes.try_send(Note {
            generation: 0,
            said: Said::Ended(String::new()),
        });
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        self.end();
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
        let reason = options.paused.as_ref().map(|paused| paused.reason);
        let word = Word {
            orders: Arc::new(Orders::new(reason)),
            notes: notes.clone(),
        };
        let (told, grip) = watch::channel(Grip::default());
        let fault = Arc::new(Mutex::new(None));
        let supervisor = Supervisor::new(
            options,
            events,
            (Arc::clone(&word.orders), told),
            (notes, inbox),
            Arc::clone(&fault),
        );
        thread::Builder::new()
            .name("nvml-supervisor".into())
            .spawn(move || supervisor.run())
            .map_err(StartError::Thread)?;
        Ok(Self {
            events: receiver,
            word,
            grip,
            fault,
        })
    }

    /// Reads the counters of energy, which are dear, only where records end. Before this they are
    /// read at each tick.
    pub fn follow(&self, ending: Ending) {
        self.word.orders.follow(ending);
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

    async fn pause(&mut self, reason: v1::Reason) -> Result<(), StillHeld> {
        self.word.pause(Some(reason));
        let let_go = self.grip.wait_for(|grip| grip.is_free(reason));
        // A supervisor that has ended took its child along.
        let let_go = async { drop(let_go.await) };
        if tokio::time::timeout(LETTING_GO, let_go).await.is_ok() {
            return Ok(());
        }
        Err(StillHeld(self.grip.borrow().held.clone()))
    }

    fn resume(&mut self) {
        self.word.pause(None);
    }

    async fn close(&mut self) {
        self.word.end();
        let drained = async { while self.events.recv().await.is_some() {} };
        // A supervisor that is still at it is left behind; it holds nothing but the dying child.
        let _ = tokio::time::timeout(CLOSING, drained).await;
        self.events.close();
    }
}
