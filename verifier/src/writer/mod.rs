//! The one writer: orders what was admitted, makes it durable, publishes it, says so.
//!
//! One thread owns the ledger and the operator's chain. What reaches it through the bounded
//! channel is admitted already; from here on it is only written, in the order of the channel.

mod say;
mod stand;
mod submit;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use affiant_judge::{
    admission::{Admitted, HostChain, Refusal},
    roll_call::Book,
};
use affiant_proto::{
    Body, Ed25519Signer,
    authority::Authorities,
    statement::{MAX_STATEMENT_BYTES, SealError},
    tlog::Hash,
    v1,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

pub use submit::{Closed, Logged, NotLogged, Room, Submission, Submit, Tell};

use crate::{
    behind::Behind,
    clock::Clock,
    growth::Growth,
    hosts::{Head, Host, Hosts, Watermark},
    ledger::{AppendError, Ledger, MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES},
    lineage::Lineage,
    retention::Shared,
};

/// What waits in the channel: a second of a million-GPU fleet is 12,500 records of some 600
/// bytes, 8 MB. A full channel holds the streams back, and the agents spool.
pub const QUEUE: usize = 12_500;

/// Entries of one group: one write and one fdatasync.
const GROUP: usize = 4_096;

/// Bytes of one append: a quarter of what a segment holds, so that no group bursts one.
const PIECE_BYTES: usize = MAX_SEGMENT_BYTES / 4;

/// How long the first of a group waits for others. Until then the writer sleeps: woken for each of
/// them, it would take a task switch for every record.
const GROUP_WAIT: Duration = Duration::from_millis(50);

/// How long a segment stays open.
const SEGMENT: Duration = Duration::from_secs(1);

/// Without anything to log, a clock is logged this often while hosts are enrolled, so that a
/// silent fleet is told from a short log.
pub const IDLE_CLOCK: Duration = Duration::from_secs(10);

/// How long a full disk is waited for before the next try.
const FULL_WAIT: Duration = Duration::from_secs(1);

/// What one segment holds, each with its index.
pub type Segment = Vec<(u64, Arc<Admitted>)>;

/// The newest published checkpoint.
#[derive(Clone, Debug)]
pub struct Published {
    /// Size of the tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The signed note.
    pub note: Arc<[u8]>,
    /// The log's time when its last segment began, milliseconds since 1970.
    pub logged_unix_ms: u64,
}

/// Why the writer stopped: the process must end, and the next start recovers from the disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fatal {
    /// The ledger's disk or lock.
    #[error("log: {0}")]
    Ledger(String),
    /// The operator's key.
    #[error("operator's statement: {0}")]
    Seal(#[from] SealError),
    /// Somebody outside has seen more of this log.
    #[error(transparent)]
    Behind(#[from] Behind),
    /// The operator's own chain did not hold.
    #[error("operator's chain: {0}")]
    Chain(#[from] Refusal),
}

/// What the writer needs.
pub struct Parts {
    /// The log.
    pub ledger: Ledger,
    /// The operator's and the officers' chains; they change here alone.
    pub authorities: Authorities,
    /// The chains as the log has them, for the next roll call.
    pub book: Book,
    /// What was erased, and what is held.
    pub retention: Shared,
    /// Shown the newest of them, but for the head of the operator's chain, which moves each second.
    pub newest: watch::Sender<Arc<Authorities>>,
    /// Told of the statements by which trust passes on.
    pub lineage: watch::Sender<Arc<Lineage>>,
    /// The operator's key.
    pub signer: Ed25519Signer,
    /// Origin of the log.
    pub origin: String,
    /// Told of watermarks and events.
    pub hosts: Arc<Hosts>,
    /// Takes what was published, in order.
    pub judge: mpsc::Sender<Segment>,
    /// Told of each checkpoint.
    pub published: watch::Sender<Published>,
    /// Told how much is written.
    pub growth: Growth,
    /// The wall clock.
    pub clock: Clock,
}

/// Why the log cannot be written any more, once that is so.
#[derive(Clone)]
pub struct Ended {
    reason: Arc<Mutex<Option<Fatal>>>,
    dead: Arc<Notify>,
}

impl Ended {
    /// Nothing has ended; `dead` will be told when something does.
    pub fn new(dead: Arc<Notify>) -> Self {
        Self {
            reason: Arc::default(),
            dead,
        }
    }

    /// Ends the process, in order: the first reason counts.
    pub fn end(&self, fatal: Fatal) {
        tracing::error!(error = %fatal, "the log cannot be written; stopping");
        let mut reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.get_or_insert(fatal);
        self.dead.notify_one();
    }

    /// Takes the reason; none when it ended in order.
    pub fn reason(&self) -> Option<Fatal> {
        let mut reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.take()
    }
}

/// Starts the writer's thread; it ends when every sender is gone, or on a fatal error, of which
/// `ended` is told.
pub fn start(
    parts: Parts,
    queue: mpsc::Receiver<Submission>,
    ended: Ended,
) -> std::io::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let thread = thread::Builder::new()
        .name("writer".into())
        .spawn(move || {
            if let Err(fatal) = runtime.block_on(write(parts, queue)) {
                ended.end(fatal);
            }
        })?;
    Ok(thread)
}

/// Writes until every sender is gone; waits for the disk on the thread that it runs on.
pub async fn write(parts: Parts, queue: mpsc::Receiver<Submission>) -> Result<(), Fatal> {
    let writer = Writer {
        open: Vec::new(),
        open_bytes: 0,
        opened: None,
        clock_ms: parts.ledger.clock(),
        touched: Instant::now(),
        parts,
    };
    writer.run(queue).await
}

struct Waiting {
    index: u64,
    statement: Ready,
}

/// What is ready to be written, or is durable already.
struct Ready {
    admitted: Arc<Admitted>,
    /// Whose chain it continues.
    host: Option<Arc<Host>>,
    opens: Option<HostChain>,
    logged: Option<Tell>,
}

impl From<Arc<Admitted>> for Ready {
    fn from(admitted: Arc<Admitted>) -> Self {
        Self {
            admitted,
            host: None,
            opens: None,
            logged: None,
        }
    }
}

struct Writer {
    parts: Parts,
    /// Entries that are durable but not yet in a segment.
    open: Vec<Waiting>,
    open_bytes: usize,
    opened: Option<Instant>,
    /// Time of the newest clock statement.
    clock_ms: u64,
    touched: Instant,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Submission>) -> Result<(), Fatal> {
        loop {
            let mut group = Vec::new();
            let due = self
                .opened
                .map_or(self.touched + IDLE_CLOCK, |opened| opened + SEGMENT);
            let first = tokio::time::timeout_at(due, queue.recv_many(&mut group, GROUP)).await;
            if first == Ok(0) {
                self.close().await?;
                return Ok(());
            }
            if !group.is_empty() && group.len() < GROUP {
                tokio::time::sleep(GROUP_WAIT).await;
                while group.len() < GROUP
                    && let Ok(more) = queue.try_recv()
                {
                    group.push(more);
                }
            }
            let idle = group.is_empty() && self.opened.is_none();
            if !group.is_empty() || (idle && self.parts.hosts.count() > 0) {
                self.append(group).await?;
            } else if idle {
                self.touched = Instant::now();
            }
            if self
                .opened
                .is_some_and(|opened| opened.elapsed() >= SEGMENT)
            {
                self.close().await?;
            }
        }
    }

    /// Makes a group durable, in pieces that a segment can hold; a clock leads each segment, and a
    /// roll call follows it where one is due.
    async fn append(&mut self, group: Vec<Submission>) -> Result<(), Fatal> {
        let mut piece = Vec::new();
        let mut bytes = 0;
        let mut group = VecDeque::from(group);
        while let Some(submission) = group.pop_front() {
            let size = match &submission {
                Submission::Record { entry, .. } | Submission::Admitted { entry, .. } => {
                    entry.envelope().len()
                }
                Submission::Operator { .. } | Submission::Handover { .. } => MAX_STATEMENT_BYTES,
                Submission::Officers { .. } => 0,
            };
            if bytes + size > PIECE_BYTES {
                self.append_piece(std::mem::take(&mut piece), bytes).await?;
                bytes = 0;
            }
            bytes += size;
            match submission {
                Submission::Officers {
                    statements,
                    admitted,
                } => {
                    // What comes before may change who is trusted: it is admitted first.
                    self.append_piece(std::mem::take(&mut piece), bytes).await?;
                    bytes = 0;
                    for submission in self.officers(statements, admitted).into_iter().rev() {
                        group.push_front(submission);
                    }
                }
                other => piece.push(other),
            }
        }
        self.append_piece(piece, bytes).await
    }

    /// The index that the next entry gets.
    fn next_index(&self) -> u64 {
        let open = self.open.last().map(|waiting| waiting.index + 1);
        open.unwrap_or_else(|| self.parts.published.borrow().size)
    }

    async fn append_piece(&mut self, piece: Vec<Submission>, bytes: usize) -> Result<(), Fatal> {
        let full = self.open_bytes + bytes > MAX_SEGMENT_BYTES / 2
            || self.open.len() + piece.len() + 2 > MAX_SEGMENT_ENTRIES;
        if self.opened.is_some() && full {
            self.close().await?;
        }
        let mut entries = Vec::with_capacity(piece.len() + 2);
        let mut waiting = Vec::with_capacity(piece.len() + 2);
        if self.opened.is_none() {
            self.clock_ms = self.parts.clock.now_ms().max(self.clock_ms + 1);
            let clock = self.operators(v1::Clock::default().into(), entries.len())?;
            let (admitted, entry) = clock.map_err(Fatal::Chain)?;
            self.enter(entries.len(), &admitted)?;
            entries.push(entry);
            waiting.push(Ready::from(admitted));
            if let Some(call) = self.parts.book.due() {
                let call = self.operators(call.into(), entries.len())?;
                let (admitted, entry) = call.map_err(Fatal::Chain)?;
                self.enter(entries.len(), &admitted)?;
                entries.push(entry);
                waiting.push(Ready::from(admitted));
            }
        }
        for submission in piece {
            let (made, host, opens, logged) = match submission {
                Submission::Record {
                    host,
                    admitted,
                    entry,
                } => {
                    let stands = self.still_stands(&admitted, Some(&host), None);
                    (stands.map(|()| (admitted, entry)), Some(host), None, None)
                }
                Submission::Admitted {
                    admitted,
                    entry,
                    opens,
                    logged,
                } => {
                    let stands = self.still_stands(&admitted, None, opens.as_deref());
                    let made = stands.map(|()| (admitted, entry));
                    (made, None, opens.map(|chain| *chain), logged)
                }
                Submission::Operator { body, logged } => {
                    let made = self.operators(*body, entries.len())?;
                    (made, None, None, logged)
                }
                Submission::Handover { signer, logged } => {
                    let made = self.handover(*signer, entries.len())?;
                    (made, None, None, Some(logged))
                }
                // Taken apart before it comes here.
                Submission::Officers { .. } => continue,
            };
            match (made, logged) {
                (Ok((admitted, entry)), logged) => {
                    self.enter(entries.len(), &admitted)?;
                    entries.push(entry);
                    waiting.push(Ready {
                        admitted,
                        host,
                        opens,
                        logged,
                    });
                }
                // Nobody may stop the log by asking for what cannot be said.
                (Err(refusal), logged) => {
                    tracing::warn!(%refusal, "a statement was not logged");
                    if let Some(logged) = logged {
                        let _ = logged.send(Err(refusal));
                    }
                }
            }
        }
        if entries.is_empty() {
            return Ok(());
        }
        let range = loop {
            match self.parts.ledger.append(&entries, self.clock_ms) {
                Ok(range) => break range,
                // Nothing was written and no index given: the streams wait, the agents spool.
                Err(error @ AppendError::Full { .. }) => {
                    tracing::error!(%error, "free space on the log's disk; nothing is lost meanwhile");
                    tokio::time::sleep(FULL_WAIT).await;
                }
                Err(error) => return Err(Fatal::Ledger(error.to_string())),
            }
        };
        self.opened.get_or_insert_with(Instant::now);
        self.open_bytes += bytes;
        let written = entries.iter().map(|entry| entry.envelope().len() as u64);
        self.parts.growth.appended(written.sum());
        let waiting = range.zip(waiting);
        let waiting = waiting.map(|(index, statement)| Waiting { index, statement });
        self.open.extend(waiting);
        Ok(())
    }

    /// Enters into the book what is about to be written, `ahead` entries behind what is durable.
    fn enter(&mut self, ahead: usize, admitted: &Admitted) -> Result<(), Fatal> {
        let index = self.next_index().saturating_add(ahead as u64);
        let entered = self.parts.book.take(index, admitted);
        entered.map_err(|untrue| Fatal::Chain(untrue.into()))?;
        // Of usage records only the totals count, and these a record has with its lines and without.
        let entered = self.parts.retention.lock().take(index, admitted, true);
        entered.map_err(|untrue| Fatal::Chain(untrue.into()))
    }

    /// Publishes the open segment, then tells everybody who waits.
    async fn close(&mut self) -> Result<(), Fatal> {
        self.opened = None;
        self.open_bytes = 0;
        self.touched = Instant::now();
        if self.open.is_empty() {
            return Ok(());
        }
        let signed = self
            .parts
            .ledger
            .close_segment()
            .map_err(|e| Fatal::Ledger(e.to_string()))?;
        let checkpoint = signed.checkpoint();
        self.parts.published.send_replace(Published {
            size: checkpoint.size(),
            root: *checkpoint.root(),
            note: signed.note().to_string().into_bytes().into(),
            logged_unix_ms: self.clock_ms,
        });
        self.parts.growth.segment(&self.parts.clock);
        let mut judged = Vec::with_capacity(self.open.len());
        // In the log's order: the same run tells the same hosts first.
        let mut bells = Vec::new();
        for Waiting { index, statement } in self.open.drain(..) {
            let Ready {
                admitted,
                host,
                opens,
                logged,
            } = statement;
            let watermark = Watermark {
                sequence: admitted.verified().statement().header().sequence(),
                index,
                logged_unix_ms: self.clock_ms,
            };
            let hosts = &self.parts.hosts;
            let host = match host {
                Some(host) => {
                    if matches!(admitted.verified().body(), Body::Key(_)) {
                        hosts.hear(index, &admitted, None);
                    }
                    Some(host)
                }
                None => {
                    self.parts.lineage.send_if_modified(|lineage| {
                        Arc::make_mut(lineage).hear(&self.parts.authorities, &admitted)
                    });
                    hosts.hear(index, &admitted, opens.map(Head::new))
                }
            };
            bells.extend(host.and_then(|host| host.include(watermark)));
            judged.push((index, admitted));
            if let Some(logged) = logged {
                // Whoever asked may be gone; the statement is logged all the same.
                let _ = logged.send(Ok(index));
            }
        }
        // Now that each host has its watermark, each stream is woken once.
        bells.iter().for_each(|bell| bell.ring());
        // The judge's end is the process's: nobody is left to tell.
        let _ = self.parts.judge.send(judged).await;
        Ok(())
    }
}
