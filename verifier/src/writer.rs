//! The one writer: orders what was admitted, makes it durable, publishes it, says so.
//!
//! One thread owns the ledger and the operator's chain. What reaches it through the bounded
//! channel is admitted already; from here on it is only written, in the order of the channel.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use affiant_judge::admission::{Admitted, HostChain};
use affiant_proto::{
    Body, Digest, Ed25519Signer, Envelope, Statement,
    authority::{Refused, Revocations},
    statement::{MAX_STATEMENT_BYTES, SealError},
    tlog::Hash,
    v1,
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::Instant,
};

use crate::{
    authority::Authority,
    behind::Behind,
    clock::Clock,
    hosts::{Head, Hosts, Watermark},
    ledger::{AppendError, Entry, Ledger, MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES},
};

/// What waits in the channel: a second of a million-GPU fleet is 12,500 records of some 600
/// bytes, 8 MB. A full channel holds the streams back, and the agents spool.
pub const QUEUE: usize = 12_500;

/// Entries of one group: one write and one fdatasync.
const GROUP: usize = 4_096;

/// Bytes of one append: a quarter of what a segment holds, so that no group bursts one.
const PIECE_BYTES: usize = MAX_SEGMENT_BYTES / 4;

/// How long the first of a group waits for others.
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

/// Something to log.
pub enum Submission {
    /// A statement that was admitted.
    Admitted {
        /// The proof of that.
        admitted: Arc<Admitted>,
        /// The envelope's bytes.
        envelope: Vec<u8>,
        /// The chain that an enrolment opens.
        opens: Option<Box<HostChain>>,
        /// Told the index once it is in a published tree.
        logged: Option<oneshot::Sender<u64>>,
    },
    /// A statement of the operator, to be signed here.
    Operator {
        /// What it says.
        body: Box<Body>,
        /// Told the index once it is in a published tree.
        logged: Option<oneshot::Sender<u64>>,
    },
}

/// The newest published checkpoint.
#[derive(Clone, Debug)]
pub struct Published {
    /// Size of the tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The signed note.
    pub note: Arc<[u8]>,
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
    Chain(#[from] Refused),
}

/// What the writer needs.
pub struct Parts {
    /// The log.
    pub ledger: Ledger,
    /// The operator's chain, and what everybody knows of keys.
    pub authorities: Authority,
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
    let revocations = parts.authorities.read().revocations().clone();
    let writer = Writer {
        open: Vec::new(),
        open_bytes: 0,
        opened: None,
        clock_ms: parts.ledger.clock(),
        touched: Instant::now(),
        revocations,
        cut: BTreeSet::new(),
        parts,
    };
    writer.run(queue).await
}

struct Waiting {
    index: u64,
    admitted: Arc<Admitted>,
    opens: Option<HostChain>,
    logged: Option<oneshot::Sender<u64>>,
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
    /// What was revoked by the log as far as it is written.
    revocations: Revocations,
    /// Chains of which a statement was refused here: what follows it has nothing to follow.
    cut: BTreeSet<Digest>,
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
                let until = Instant::now() + GROUP_WAIT;
                while group.len() < GROUP {
                    let room = GROUP - group.len();
                    match tokio::time::timeout_at(until, queue.recv_many(&mut group, room)).await {
                        Ok(more) if more > 0 => {}
                        _ => break,
                    }
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

    /// Makes a group durable, in pieces that a segment can hold; a clock leads each segment.
    async fn append(&mut self, group: Vec<Submission>) -> Result<(), Fatal> {
        let mut piece = Vec::new();
        let mut bytes = 0;
        for submission in group {
            let size = match &submission {
                Submission::Admitted { envelope, .. } => envelope.len(),
                Submission::Operator { .. } => MAX_STATEMENT_BYTES,
            };
            if bytes + size > PIECE_BYTES {
                self.append_piece(std::mem::take(&mut piece), bytes).await?;
                bytes = 0;
            }
            bytes += size;
            piece.push(submission);
        }
        self.append_piece(piece, bytes).await
    }

    async fn append_piece(&mut self, piece: Vec<Submission>, bytes: usize) -> Result<(), Fatal> {
        let full = self.open_bytes + bytes > MAX_SEGMENT_BYTES / 2
            || self.open.len() + piece.len() + 1 > MAX_SEGMENT_ENTRIES;
        if self.opened.is_some() && full {
            self.close().await?;
        }
        let mut entries = Vec::with_capacity(piece.len() + 1);
        let mut waiting = Vec::with_capacity(piece.len() + 1);
        if self.opened.is_none() {
            self.clock_ms = self.parts.clock.now_ms().max(self.clock_ms + 1);
            let (admitted, entry) = self.operators(v1::Clock::default().into())?;
            entries.push(entry);
            waiting.push((admitted, None, None));
        }
        for submission in piece {
            match submission {
                Submission::Admitted {
                    admitted,
                    envelope,
                    opens,
                    logged,
                } => {
                    if !self.stands(&admitted) {
                        continue;
                    }
                    entries.push(entry(envelope)?);
                    waiting.push((admitted, opens.map(|chain| *chain), logged));
                }
                Submission::Operator { body, logged } => match self.operators(*body) {
                    Ok((admitted, entry)) => {
                        entries.push(entry);
                        waiting.push((admitted, None, logged));
                    }
                    // Nobody may stop the log by asking for what cannot be said.
                    Err(Fatal::Seal(SealError::Unreadable(fault))) => {
                        tracing::error!(%fault, "a statement of the operator was not made");
                    }
                    Err(Fatal::Chain(fault)) if !matches!(fault, Refused::Chain(_)) => {
                        tracing::error!(%fault, "a statement of the operator was not made");
                    }
                    Err(fatal) => return Err(fatal),
                },
            }
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
        self.open.extend(
            range
                .zip(waiting)
                .map(|(index, (admitted, opens, logged))| Waiting {
                    index,
                    admitted,
                    opens,
                    logged,
                }),
        );
        Ok(())
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
        });
        let mut judged = Vec::with_capacity(self.open.len());
        let mut last: std::collections::BTreeMap<Digest, Watermark> = Default::default();
        for Waiting {
            index,
            admitted,
            opens,
            logged,
        } in self.open.drain(..)
        {
            self.parts.hosts.hear(&admitted, opens.map(Head::new));
            let sequence = admitted.verified().statement().header().sequence();
            last.insert(admitted.verified().chain(), Watermark { sequence, index });
            judged.push((index, admitted));
            if let Some(logged) = logged {
                // Whoever asked may be gone; the statement is logged all the same.
                let _ = logged.send(index);
            }
        }
        for (chain, watermark) in last {
            if let Some(host) = self.parts.hosts.get(&chain) {
                host.include(watermark);
            }
        }
        // The judge's end is the process's: nobody is left to tell.
        let _ = self.parts.judge.send(judged).await;
        Ok(())
    }

    /// Tells whether a statement is still admitted in its place: its key may have been revoked
    /// while it waited, and the log would not be read back with it.
    fn stands(&mut self, admitted: &Admitted) -> bool {
        let verified = admitted.verified();
        let (chain, key) = (verified.chain(), verified.statement().key());
        let of_host =
            matches!(verified.body(), Body::Enrolment(_)) || self.parts.hosts.get(&chain).is_some();
        let used = match of_host {
            true => v1::KeyUse::Record,
            false => v1::KeyUse::Officer,
        };
        let mut fault = self
            .revocations
            .trusts(used, &key)
            .map_err(|why| why.to_string());
        if let (Ok(()), Body::Revocation(body)) = (&fault, verified.body()) {
            let taken = self.revocations.take(None, (chain, false), body);
            fault = taken.map_err(|why| why.to_string());
        }
        if self.cut.contains(&chain) {
            fault = Err("it follows a statement that was not logged".to_owned());
        }
        if let Err(why) = &fault {
            tracing::error!(%chain, %why, "an admitted statement is not logged");
            self.cut.insert(chain);
        }
        fault.is_ok()
    }

    /// Signs a statement of the operator at the head of his chain.
    fn operators(&mut self, body: Body) -> Result<(Arc<Admitted>, Entry), Fatal> {
        // The operator speaks with the log's time, which advances even when the wall clock does not.
        let unix_ms = match body {
            Body::Clock(_) => self.clock_ms,
            _ => self.parts.clock.now_ms().max(self.clock_ms),
        };
        let time = v1::Time {
            unix_ms,
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        };
        let seen = self.parts.published.borrow().clone();
        let checkpoint = (seen.size > 0).then(|| v1::CheckpointRef {
            origin: self.parts.origin.clone(),
            size: seen.size,
            root: seen.root.as_bytes().to_vec(),
        });
        let mut authorities = self.parts.authorities.write();
        let place = authorities.operator().next_place();
        let made = Statement::seal(body, place, time, checkpoint, &self.parts.signer)?;
        let envelope = v1::Envelope {
            statement: made.as_bytes().to_vec(),
            ..Default::default()
        };
        // Whatever is published has its index, so this one gets none below.
        let act = authorities.admit(Some(seen.size), made, false)?;
        let admitted = Admitted::from(act);
        if let Body::Revocation(body) = admitted.verified().body() {
            let by = (authorities.genesis(), true);
            // The same was just admitted; here it joins the order in which the log is written.
            let _ = self.revocations.take(None, by, body);
        }
        Ok((
            Arc::new(admitted),
            entry(prost::Message::encode_to_vec(&envelope))?,
        ))
    }
}

fn entry(envelope: Vec<u8>) -> Result<Entry, Fatal> {
    Entry::parse(envelope).map_err(|error| Fatal::Ledger(error.to_string()))
}

/// Hands statements to the writer.
#[derive(Clone)]
pub struct Submit(pub mpsc::Sender<Submission>);

/// The writer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is closed: the verifier is stopping")]
pub struct Closed;

impl Submit {
    /// Queues an admitted envelope; waits while the queue is full.
    pub async fn admitted(&self, admitted: Admitted, envelope: Vec<u8>) -> Result<(), Closed> {
        let admitted = Arc::new(admitted);
        let it = Submission::Admitted {
            admitted,
            envelope,
            opens: None,
            logged: None,
        };
        self.0.send(it).await.map_err(|_| Closed)
    }

    /// Queues an admitted envelope and waits until it is in a published tree; gives its index.
    pub async fn logged(
        &self,
        admitted: Admitted,
        envelope: &Envelope,
        opens: Option<HostChain>,
    ) -> Result<u64, Closed> {
        self.queue(admitted, envelope, opens)
            .await?
            .await
            .map_err(|_| Closed)
    }

    /// Queues an admitted envelope; the receiver is told its index once it is published.
    pub async fn queue(
        &self,
        admitted: Admitted,
        envelope: &Envelope,
        opens: Option<HostChain>,
    ) -> Result<oneshot::Receiver<u64>, Closed> {
        let (logged, index) = oneshot::channel();
        let (admitted, envelope) = (Arc::new(admitted), envelope.to_bytes());
        let opens = opens.map(Box::new);
        let it = Submission::Admitted {
            admitted,
            envelope,
            opens,
            logged: Some(logged),
        };
        self.0.send(it).await.map_err(|_| Closed)?;
        Ok(index)
    }

    /// Has the operator say something; gives its index once it is in a published tree.
    pub async fn operator(&self, body: impl Into<Body>) -> Result<u64, Closed> {
        let (logged, index) = oneshot::channel();
        let it = Submission::Operator {
            body: Box::new(body.into()),
            logged: Some(logged),
        };
        self.0.send(it).await.map_err(|_| Closed)?;
        index.await.map_err(|_| Closed)
    }
}
