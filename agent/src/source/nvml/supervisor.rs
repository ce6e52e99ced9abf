//! The parent's side: one sample per tick, from a child where there is one and with a reason where
//! there is none.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use affiant_proto::v1;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, watch};

use super::{
    abandoned::Abandoned,
    backoff::Backoff,
    child::{Note, Reader, Said},
    frame::{Answer, Outcome, Request},
    health::{Health, Verdict},
    library::Library,
    options::Options,
    orders::{Grip, Orders},
    roster::{Places, Roster},
};
use crate::sample::{Event, Inventory, Reading, Sample};

/// Share of a tick that the parent waits for the child's answer, which is due after 60 %.
const PATIENCE_PERCENT: u32 = 85;

/// Wait for a child that was told to end, before it is killed.
const FAREWELL: Duration = Duration::from_millis(1000);

/// Wait for a killed child to go; with `FAREWELL` under the two seconds that `close` may take.
const BURIAL: Duration = Duration::from_millis(500);

/// Step in which a killed child is asked for: no event tells of its end once its pipe is closed.
const REAP_STEP: Duration = Duration::from_millis(10);

/// Minds the child; runs on a thread of its own that lives as long as the source.
pub(super) struct Supervisor {
    options: Options,
    events: mpsc::Sender<Event>,
    orders: Arc<Orders>,
    grip: watch::Sender<Grip>,
    notes: SyncSender<Note>,
    inbox: Receiver<Note>,
    fault: Arc<Mutex<Option<String>>>,
    random: SystemRandom,
    roster: Roster,
    backoff: Backoff,
    abandoned: Abandoned<std::process::Child>,
    library: Option<Library>,
    driver_version: String,
    announced: Option<Inventory>,
    state: State,
    /// Why devices are not observed while no child answers.
    reason: v1::Reason,
    generation: u64,
    /// The next sample must stand alone: one was made up since the last that was read.
    fresh: bool,
    /// The pause that is kept.
    paused: Option<v1::Reason>,
    /// Until when a killed child is looked for closely.
    burial: Instant,
    /// The devices are counted anew when the driver next says which there are.
    recount: bool,
}

enum State {
    Down {
        retry_at: Instant,
    },
    Opening {
        reader: Reader,
        until: Instant,
    },
    Up {
        reader: Reader,
        places: Places,
        since: Instant,
        health: Health,
    },
    /// Told to end, for a pause.
    Leaving {
        reader: Reader,
        until: Instant,
    },
}

impl Supervisor {
    /// Has no child yet. `fault` is where it says what keeps the driver from being read.
    pub(super) fn new(
        options: Options,
        events: mpsc::Sender<Event>,
        (orders, grip): (Arc<Orders>, watch::Sender<Grip>),
        (notes, inbox): (SyncSender<Note>, Receiver<Note>),
        fault: Arc<Mutex<Option<String>>>,
    ) -> Self {
        let remembered = options.paused.as_ref().map(|paused| paused.devices.clone());
        Self {
            backoff: Backoff::new(options.restart_first, options.restart_most),
            roster: Roster::remembered(remembered.unwrap_or_default()),
            options,
            events,
            orders,
            grip,
            notes,
            inbox,
            fault,
            random: SystemRandom::new(),
            abandoned: Abandoned::none(),
            library: None,
            driver_version: String::new(),
            announced: None,
            state: State::Down {
                retry_at: Instant::now(),
            },
            reason: v1::Reason::ReaderDied,
            generation: 0,
            fresh: true,
            paused: None,
            burial: Instant::now(),
            recount: false,
        }
    }

    /// Runs until it is told to stop or nobody listens any more.
    pub(super) fn run(mut self) {
        let mut due = Instant::now();
        self.obey();
        if self.paused.is_some() {
            // The file alone: which driver the pause began with, where it is still there.
            self.library = Library::read(&self.options.library).ok();
        } else {
            self.start_child(due);
        }
        let patience = due + self.options.first_inventory;
        // The first inventory waits a little for the devices, so that it is rarely an empty one.
        while matches!(self.state, State::Opening { .. })
            && Instant::now() < patience
            && !self.interrupted()
        {
            self.hear_one(patience);
        }
        due = due.max(Instant::now());
        let mut tick = 0;
        while !self.stopped() {
            self.obey();
            while Instant::now() < due && !self.stopped() {
                let look = self.next_look();
                self.hear_one(due.min(look));
                self.obey();
            }
            if self.stopped() {
                break;
            }
            self.look_after_child();
            // Room for an inventory and a sample, or no reading: see `handle::EVENT_QUEUE`.
            if self.events.capacity() >= 2 {
                tick += 1;
                self.tick(tick);
            }
            due += self.options.period;
            // Only a process that was stopped falls behind by whole ticks; they are gone.
            due = due.max(Instant::now());
        }
        self.part();
    }

    fn stopped(&self) -> bool {
        self.orders.ended() || self.events.is_closed()
    }

    /// Says whether there is an order that was not yet obeyed.
    fn interrupted(&self) -> bool {
        self.stopped() || self.orders.paused() != self.paused
    }

    /// Does what was ordered since the last look, and says what is in hand. Never waits.
    fn obey(&mut self) {
        let wish = self.orders.paused();
        if wish != self.paused {
            let begins = self.paused.is_none();
            self.paused = wish;
            match wish {
                Some(reason) => {
                    self.reason = reason;
                    self.set_fault(None);
                    if begins {
                        self.let_go();
                    }
                }
                None => self.take_up(),
            }
        }
        let late = matches!(&self.state, State::Leaving { until, .. } if Instant::now() >= *until);
        if late {
            self.bury();
        }
        let mut held = match &self.state {
            State::Down { .. } => Vec::new(),
            State::Opening { reader, .. }
            | State::Up { reader, .. }
            | State::Leaving { reader, .. } => vec![reader.id()],
        };
        held.extend(self.abandoned.left().iter().map(std::process::Child::id));
        let paused = self.paused;
        let grip = Grip { paused, held };
        self.grip.send_if_modified(|told| {
            let news = *told != grip;
            *told = grip;
            news
        });
    }

    /// Tells the child to end, so that it can leave the driver in order.
    fn let_go(&mut self) {
        let now = Instant::now();
        let state = std::mem::replace(&mut self.state, State::Down { retry_at: now });
        self.state = match state {
            State::Opening { mut reader, .. } | State::Up { mut reader, .. } => {
                reader.hang_up();
                let until = now + FAREWELL;
                State::Leaving { reader, until }
            }
            other => other,
        };
    }

    /// Kills a child that was told to end, or reaps it if it has.
    fn bury(&mut self) {
        let now = Instant::now();
        let state = std::mem::replace(&mut self.state, State::Down { retry_at: now });
        match state {
            State::Leaving { reader, .. } => {
                self.abandoned.add(reader.kill());
                self.burial = now + BURIAL;
            }
            other => self.state = other,
        }
    }

    /// Opens the driver again: another may be loaded, with other devices.
    fn take_up(&mut self) {
        self.bury();
        self.backoff.reset();
        self.recount = true;
        if self.abandoned.allows_another() {
            self.start_child(Instant::now());
        } else {
            self.reason = v1::Reason::DriverHung;
        }
    }

    /// When the child that is to go must be looked at again.
    fn next_look(&mut self) -> Instant {
        let now = Instant::now();
        match &self.state {
            State::Leaving { until, .. } => *until,
            _ if now < self.burial && !self.abandoned.left().is_empty() => now + REAP_STEP,
            _ => now + FAREWELL,
        }
    }

    fn tick(&mut self, tick: u64) {
        let at = (self.options.clock)();
        let request = Request {
            tick,
            fresh: self.fresh,
            energy: self.orders.energy_is_due(at.boot_ms),
        };
        let devices = match self.ask(request) {
            Some(devices) => devices,
            None => {
                self.fresh = true;
                self.roster.all(self.reason)
            }
        };
        self.announce();
        // Cannot be full: the room was there, and nobody else sends.
        let _ = self.events.try_send(Event::Sample(Sample { at, devices }));
    }

    /// Sends the inventory if it is another than the last.
    fn announce(&mut self) {
        let library = self.library.as_ref();
        let inventory = Inventory {
            source: library.map_or(v1::SourceKind::Nvml, Library::source),
            library: self.options.library.to_string_lossy().into_owned(),
            // No file, no digest: all zeros, which no file has.
            library_digest: library.map_or([0; 32], Library::digest),
            driver_version: self.driver_version.clone(),
            devices: self.roster.devices(),
        };
        if self.announced.as_ref() != Some(&inventory) {
            self.announced = Some(inventory.clone());
            let _ = self.events.try_send(Event::Inventory(inventory));
        }
    }

    /// Asks the child for a tick; `None` when there is none or it did not answer.
    fn ask(&mut self, request: Request) -> Option<Vec<Result<Reading, v1::Reason>>> {
        let State::Up { reader, .. } = &mut self.state else {
            return None;
        };
        let tick = request.tick;
        if let Err(error) = reader.ask(request) {
            self.fell(v1::Reason::ReaderDied, &error.to_string());
            return None;
        }
        let until = Instant::now() + self.options.period * PATIENCE_PERCENT / 100;
        let mut outcomes = None;
        while outcomes.is_none() && matches!(self.state, State::Up { .. }) && !self.interrupted() {
            let late = Instant::now() >= until;
            outcomes = self.hear_one(until).filter(|(answers, _)| *answers == tick);
            if late {
                break;
            }
        }
        if outcomes.is_none() && self.interrupted() {
            self.obey();
            return None;
        }
        let outcomes = outcomes.map(|(_, outcomes)| outcomes);
        self.judge(outcomes.as_deref());
        let State::Up { places, .. } = &self.state else {
            // Killed for its silence just now; what it said last still counts.
            return outcomes.map(|_| self.roster.all(self.reason));
        };
        let devices = self.roster.lay(places, outcomes?);
        self.fresh = false;
        self.reason = v1::Reason::DriverHung;
        Some(devices)
    }

    /// Ends a child that is of no use, and forgives one that has been well for long.
    fn judge(&mut self, outcomes: Option<&[Outcome]>) {
        let State::Up { health, since, .. } = &mut self.state else {
            return;
        };
        match health.after(outcomes) {
            Verdict::Well => {
                if since.elapsed() >= self.options.restart_most {
                    self.backoff.reset();
                }
                self.set_fault(None);
            }
            Verdict::Poorly => {}
            Verdict::Hung => {
                let text = "no device answers: the driver hangs; the reader is started anew";
                self.fell(v1::Reason::DriverHung, text);
            }
            Verdict::Failing(cause) => {
                let text = "every device fails; nvml is opened anew";
                self.fell(cause.reason(), text);
            }
        }
    }

    /// Waits for one note until `until`, and books it; gives the answer to a tick.
    fn hear_one(&mut self, until: Instant) -> Option<(u64, Vec<Outcome>)> {
        let left = until.saturating_duration_since(Instant::now());
        let note = match self.inbox.recv_timeout(left) {
            Ok(note) => note,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        };
        let current = match &self.state {
            State::Down { .. } => None,
            State::Opening { reader, .. }
            | State::Up { reader, .. }
            | State::Leaving { reader, .. } => Some(reader.generation()),
        };
        // What an older child said last is of no interest.
        if current != Some(note.generation) {
            return None;
        }
        if matches!(self.state, State::Leaving { .. }) {
            if matches!(note.said, Said::Ended(_)) {
                self.bury();
            }
            return None;
        }
        match note.said {
            Said::Ended(text) => self.fell(v1::Reason::ReaderDied, &text),
            Said::Answer(Answer::Failed { cause, text }) => self.fell(cause.reason(), &text),
            Said::Answer(Answer::Tick { tick, devices }) => return Some((tick, devices)),
            Said::Answer(Answer::Devices {
                driver_version,
                devices,
            }) => {
                if std::mem::take(&mut self.recount) {
                    self.roster = Roster::default();
                }
                let found = self.roster.merge(&devices);
                self.driver_version = driver_version;
                let down = State::Down {
                    retry_at: Instant::now(),
                };
                self.state = match std::mem::replace(&mut self.state, down) {
                    State::Opening { reader, .. } => {
                        self.reason = v1::Reason::DriverHung;
                        State::Up {
                            reader,
                            places: found,
                            since: Instant::now(),
                            health: Health::default(),
                        }
                    }
                    mut other => {
                        if let State::Up { places, .. } = &mut other {
                            *places = found;
                        }
                        other
                    }
                };
            }
        }
        None
    }

    fn look_after_child(&mut self) {
        let now = Instant::now();
        match &self.state {
            State::Opening { until, .. } if now >= *until => {
                let text = format!("nvml did not open within {:?}", self.options.start_deadline);
                self.fell(v1::Reason::DriverHung, &text);
            }
            State::Down { retry_at }
                if self.paused.is_none() && now >= *retry_at && self.abandoned.allows_another() =>
            {
                self.start_child(now);
            }
            _ => {}
        }
    }

    fn start_child(&mut self, now: Instant) {
        // Read before each child: an upgrade of the driver replaces the file.
        let library = match Library::read(&self.options.library) {
            Ok(library) => library,
            Err(error) => return self.fell(error.reason(), &error.to_string()),
        };
        self.generation += 1;
        let started = Reader::start(&self.options, self.generation, &self.notes);
        self.library = Some(library);
        match started {
            Ok(reader) => {
                self.state = State::Opening {
                    reader,
                    until: now + self.options.start_deadline,
                }
            }
            Err(error) => {
                let text = format!(
                    "cannot start the nvml reader {}: {error}",
                    self.options.program.display()
                );
                self.fell(v1::Reason::ReaderDied, &text);
            }
        }
    }

    /// Ends the child, if there is one, and sets when the next may come.
    fn fell(&mut self, reason: v1::Reason, text: &str) {
        let mut random = [0];
        // Without randomness the wait is the whole one.
        let _ = self.random.fill(&mut random);
        let [random] = random;
        let retry_at = Instant::now() + self.backoff.wait(random);
        match std::mem::replace(&mut self.state, State::Down { retry_at }) {
            State::Down { .. } => {}
            State::Opening { reader, .. }
            | State::Up { reader, .. }
            | State::Leaving { reader, .. } => self.abandoned.add(reader.kill()),
        }
        self.reason = reason;
        self.set_fault(Some(text));
    }

    fn set_fault(&self, text: Option<&str>) {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if fault.as_deref() != text {
            match text {
                Some(text) => tracing::warn!(library = %self.options.library.display(), "{text}"),
                None => tracing::info!("the nvml reader answers"),
            }
            *fault = text.map(str::to_owned);
        }
    }

    /// Lets the child go: a word first, so that it can leave the driver in order, then a signal.
    fn part(mut self) {
        let down = State::Down {
            retry_at: Instant::now(),
        };
        if let State::Opening { mut reader, .. }
        | State::Up { mut reader, .. }
        | State::Leaving { mut reader, .. } = std::mem::replace(&mut self.state, down)
        {
            reader.hang_up();
            let until = Instant::now() + FAREWELL;
            while Instant::now() < until {
                let left = until.saturating_duration_since(Instant::now());
                match self.inbox.recv_timeout(left) {
                    Ok(note) if note.generation != reader.generation() => {}
                    Ok(Note {
                        said: Said::Answer(_),
                        ..
                    }) => {}
                    Ok(Note {
                        said: Said::Ended(_),
                        ..
                    })
                    | Err(_) => break,
                }
            }
            self.abandoned.add(reader.kill());
        }
        let until = Instant::now() + BURIAL;
        while !self.abandoned.left().is_empty() && Instant::now() < until {
            thread::sleep(REAP_STEP);
        }
    }
}
