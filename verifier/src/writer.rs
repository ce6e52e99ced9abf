//! The one writer: orders what was admitted, makes it durable, publishes it, says so.
//!
//! One thread owns the ledger and the operator's chain. What reaches it through the bounded
//! channel is admitted already; from here on it is only written, in the order of the channel.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use affiant_judge::{
    admission::{Admitted, Content, HostChain, Refusal},
    roll_call::Book,
};
use affiant_proto::{
    Body, Digest, Ed25519Signer, Envelope, KeyId, PublicKey, Signer as _, Statement,
    authority::Authorities,
    chain::key_change_bytes,
    predecessor::Reenrolment,
    statement::{MAX_STATEMENT_BYTES, SealError},
    tlog::Hash,
    v1,
};
use tokio::{
    sync::{Notify, mpsc, mpsc::error::TrySendError, oneshot, watch},
    time::Instant,
};

use crate::{
    behind::Behind,
    clock::Clock,
    growth::Growth,
    hosts::{Head, Host, Hosts, Watermark},
    ledger::{AppendError, Entry, Ledger, MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES},
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

/// Something to log.
pub enum Submission {
    /// A statement of a host's chain that was admitted.
    Record {
        /// The host.
        host: Arc<Host>,
        /// The proof of that.
        admitted: Arc<Admitted>,
        /// What is stored.
        entry: Entry,
    },
    /// Another statement that was admitted.
    Admitted {
        /// The proof of that.
        admitted: Arc<Admitted>,
        /// What is stored.
        entry: Entry,
        /// The chain that an enrolment opens.
        opens: Option<Box<HostChain>>,
        /// Told the index once it is in a published tree.
        logged: Option<Tell>,
    },
    /// A statement of the operator, to be signed here.
    Operator {
        /// What it says.
        body: Box<Body>,
        /// Told the index once it is in a published tree.
        logged: Option<Tell>,
    },
    /// A change of the operator's key: signed by the old one, and from then on by this one.
    Handover {
        /// The new key.
        signer: Box<Ed25519Signer>,
        /// Told the index once it is in a published tree.
        logged: Tell,
    },
    /// Statements of officers, admitted here, all or none.
    Officers {
        /// The statements, in their order.
        statements: Vec<Statement>,
        /// Told who waits for which index, or the number of the one that was refused.
        admitted: oneshot::Sender<Result<Vec<Logged>, (usize, Refusal)>>,
    },
}

/// Who waits for a statement's index.
pub type Logged = oneshot::Receiver<Result<u64, Refusal>>;

/// The other end: told once the statement is published, or that it was refused after all.
pub type Tell = oneshot::Sender<Result<u64, Refusal>>;

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

    /// Admits statements of officers, all or none; gives them as what is only to be written.
    fn officers(
        &mut self,
        statements: Vec<Statement>,
        admitted: oneshot::Sender<Result<Vec<Logged>, (usize, Refusal)>>,
    ) -> Vec<Submission> {
        let mut next = self.parts.authorities.clone();
        let mut holds = self.parts.retention.lock().holds().clone();
        let index = Some(self.next_index());
        let mut found = Vec::with_capacity(statements.len());
        let mut waiting = Vec::with_capacity(statements.len());
        for (number, statement) in (1..).zip(statements) {
            let entry = Entry::bare(&statement);
            let act = next.admit(index, statement, false);
            let act = act.map_err(Refusal::from).and_then(|act| {
                let admitted = Admitted::from(act);
                let verified = admitted.verified();
                if let Body::Hold(hold) = verified.body() {
                    holds.take(*verified.chain().as_bytes(), hold)?;
                }
                Ok(admitted)
            });
            match act {
                Ok(act) => {
                    let (logged, index) = oneshot::channel();
                    waiting.push(index);
                    found.push(Submission::Admitted {
                        admitted: Arc::new(act),
                        entry,
                        opens: None,
                        logged: Some(logged),
                    });
                }
                Err(refused) => {
                    // Nobody is left to tell when the asker has gone.
                    let _ = admitted.send(Err((number, refused)));
                    return Vec::new();
                }
            }
        }
        self.parts.authorities = next;
        self.show();
        let _ = admitted.send(Ok(waiting));
        found
    }

    /// Shows who speaks for the deployment now, and has every stream look whether it may go on.
    fn show(&self) {
        let newest = Arc::new(self.parts.authorities.clone());
        self.parts.newest.send_replace(newest);
        self.parts.hosts.wake_all();
    }

    /// The index that the next entry gets.
    fn next_index(&self) -> u64 {
        let open = self.open.last().map(|waiting| waiting.index + 1);
        open.unwrap_or_else(|| self.parts.published.borrow().size)
    }

    /// Refuses what was admitted before a revocation that the log now has first: admitted again
    /// from the log, it would be refused.
    fn still_stands(
        &self,
        admitted: &Admitted,
        host: Option<&Host>,
        opens: Option<&HostChain>,
    ) -> Result<(), Refusal> {
        let trusts = |key: &KeyId| {
            let revocations = self.parts.authorities.revocations();
            revocations.trusts(v1::KeyUse::Record, key)
        };
        let verified = admitted.verified();
        let opens_relay = matches!(verified.body(), Body::RelayEnrolment(_));
        if host.is_none() && opens.is_none() && !opens_relay {
            return Ok(());
        }
        let spoilt = host.and_then(|host| host.spoilt().cloned());
        let mut stands = spoilt.map_or(Ok(()), Err);
        stands = stands.and_then(|()| trusts(&verified.statement().key()));
        match verified.body() {
            Body::Key(change) => {
                if let Ok(key) = PublicKey::ed25519(&change.new_key) {
                    stands = stands.and_then(|()| trusts(&key.id()));
                }
            }
            Body::Enrolment(body)
                if *admitted.content() == Content::Enrolled(Reenrolment::Proved) =>
            {
                let old = body.predecessor.as_ref();
                let old = old.and_then(|old| Digest::try_from(old.chain.as_slice()).ok());
                let old = old.and_then(|chain| self.parts.hosts.get(&chain)?.key());
                if let Some(key) = old {
                    stands = stands.and_then(|()| trusts(&key.id()));
                }
            }
            _ => {}
        }
        if let (Err(why), Some(host)) = (&stands, host) {
            host.spoil(why.clone());
        }
        stands?;
        match verified.body() {
            // The old key may have changed since: who reads the log would not find it proved.
            Body::Enrolment(body)
                if *admitted.content() != Content::Enrolled(self.parts.book.before(body)) =>
            {
                Err(Refusal::Predecessor)
            }
            _ => Ok(()),
        }
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

    /// Signs a statement of the operator at the head of his chain, `ahead` entries behind what is
    /// durable; gives the refusal of what cannot be said.
    #[allow(
        clippy::type_complexity,
        reason = "a failure that ends all, and one that does not"
    )]
    fn operators(
        &mut self,
        body: Body,
        ahead: usize,
    ) -> Result<Result<(Arc<Admitted>, Entry), Refusal>, Fatal> {
        let index = self.next_index().saturating_add(ahead as u64);
        // Before it is signed: what is signed and not logged leaves a hole in the chain.
        let untrue = match &body {
            Body::Erasure(erasure) => self.parts.retention.lock().check(index, erasure),
            _ => Ok(()),
        };
        if let Err(untrue) = untrue {
            return Ok(Err(untrue.into()));
        }
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
        let place = self.parts.authorities.operator().next_place();
        let made = match Statement::seal(body, place, time, checkpoint, &self.parts.signer) {
            Ok(made) => made,
            Err(SealError::Unreadable(fault)) => {
                tracing::error!(%fault, "a statement of the operator cannot be read back");
                return Ok(Err(Refusal::Kind("unreadable".into())));
            }
            Err(error) => return Err(error.into()),
        };
        let entry = Entry::bare(&made);
        let admitted: Admitted = match self.parts.authorities.admit(Some(index), made, false) {
            Ok(act) => act.into(),
            Err(refused) => return Ok(Err(refused.into())),
        };
        let lasting = matches!(
            admitted.verified().body(),
            Body::Key(_) | Body::Revocation(_) | Body::Succession(_)
        );
        if lasting {
            self.show();
        }
        Ok(Ok((Arc::new(admitted), entry)))
    }

    /// Hands the operator's chain over to a new key.
    #[allow(
        clippy::type_complexity,
        reason = "as for any statement of the operator"
    )]
    fn handover(
        &mut self,
        signer: Ed25519Signer,
        ahead: usize,
    ) -> Result<Result<(Arc<Admitted>, Entry), Refusal>, Fatal> {
        let state = self.parts.authorities.operator();
        let key = signer.public_key();
        let (sequence, previous) = (state.sequence().saturating_add(1), state.head());
        let bytes = key_change_bytes(state.chain(), sequence, previous, key);
        let change = v1::Key {
            header: None,
            new_key: key.as_bytes().to_vec(),
            proof: signer.sign(&bytes).map_err(SealError::from)?.to_vec(),
            ca: Vec::new(),
        };
        let made = self.operators(change.into(), ahead)?;
        if made.is_ok() {
            self.parts.signer = signer;
        }
        Ok(made)
    }
}

/// Hands statements to the writer.
#[derive(Clone)]
pub struct Submit(pub mpsc::Sender<Submission>);

/// The writer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is closed: the verifier is stopping")]
pub struct Closed;

/// Why a statement is not in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLogged {
    /// The writer has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// It may not be.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Submit {
    /// Waits while the queue is full, then keeps one place in it. Before a statement is admitted:
    /// what the chain in memory has taken must reach the log, and then nothing is left to wait for.
    pub async fn room(&self) -> Result<Room, Closed> {
        let place = self.0.clone().reserve_owned().await;
        place.map(Room).map_err(|_| Closed)
    }

    /// Keeps a place in the queue, if there is one now.
    pub fn room_now(&self) -> Result<Option<Room>, Closed> {
        match self.0.clone().try_reserve_owned() {
            Ok(place) => Ok(Some(Room(place))),
            Err(TrySendError::Full(_)) => Ok(None),
            Err(TrySendError::Closed(_)) => Err(Closed),
        }
    }

    /// Queues an admitted envelope and waits until it is in a published tree; gives its index.
    pub async fn logged(
        &self,
        admitted: Admitted,
        envelope: &Envelope,
        opens: Option<HostChain>,
    ) -> Result<u64, NotLogged> {
        let (logged, index) = oneshot::channel();
        let (admitted, entry) = (Arc::new(admitted), Entry::of(envelope));
        let opens = opens.map(Box::new);
        let it = Submission::Admitted {
            admitted,
            entry,
            opens,
            logged: Some(logged),
        };
        self.0.send(it).await.map_err(|_| Closed)?;
        wait(index).await
    }

    /// Has the operator say something; gives its index once it is in a published tree.
    pub async fn operator(&self, body: impl Into<Body>) -> Result<u64, NotLogged> {
        let (logged, index) = oneshot::channel();
        let it = Submission::Operator {
            body: Box::new(body.into()),
            logged: Some(logged),
        };
        self.0.send(it).await.map_err(|_| Closed)?;
        wait(index).await
    }

    /// Hands the operator's chain over to a new key; gives the index of that statement.
    pub async fn handover(&self, signer: Ed25519Signer) -> Result<u64, NotLogged> {
        let (logged, index) = oneshot::channel();
        let it = Submission::Handover {
            signer: Box::new(signer),
            logged,
        };
        self.0.send(it).await.map_err(|_| Closed)?;
        wait(index).await
    }

    /// Logs statements of officers, all or none; gives their indices, or the number of the one that
    /// is refused.
    pub async fn officers(
        &self,
        statements: Vec<Statement>,
    ) -> Result<Result<Vec<u64>, (usize, Refusal)>, NotLogged> {
        let (told, admitted) = oneshot::channel();
        let it = Submission::Officers {
            statements,
            admitted: told,
        };
        self.0.send(it).await.map_err(|_| Closed)?;
        let waiting = match admitted.await.map_err(|_| Closed)? {
            Ok(waiting) => waiting,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut indices = Vec::with_capacity(waiting.len());
        for logged in waiting {
            indices.push(wait(logged).await?);
        }
        Ok(Ok(indices))
    }

    /// How many submissions wait for the writer.
    pub fn waiting(&self) -> usize {
        self.0.max_capacity().saturating_sub(self.0.capacity())
    }
}

/// One place in the writer's queue.
pub struct Room(mpsc::OwnedPermit<Submission>);

impl Room {
    /// Queues an admitted statement of a host's chain.
    pub fn record(self, host: Arc<Host>, admitted: Admitted, entry: Entry) {
        self.0.send(Submission::Record {
            host,
            admitted: Arc::new(admitted),
            entry,
        });
    }

    /// Has the operator say something, whether or not anybody waits for its index.
    pub fn operator(self, body: impl Into<Body>) -> Logged {
        let (logged, index) = oneshot::channel();
        self.0.send(Submission::Operator {
            body: Box::new(body.into()),
            logged: Some(logged),
        });
        index
    }
}

async fn wait(logged: Logged) -> Result<u64, NotLogged> {
    Ok(logged.await.map_err(|_| Closed)??)
}
