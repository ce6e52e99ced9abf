//! All cores: workers read segments, unpack frames, open entries and verify signatures; the caller
//! gets the frames in the order of the log.
//!
//! ```text
//! segments ─ open, hash ─▶ frames ─ unpack, spelling, lines, signature ─▶ in order ─▶ one judge
//!            └──────── any worker, several at once ──────────────────┘
//! ```

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    panic,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use affiant_proto::{Opened, envelope::BadEnvelope};
use affiant_report::segment::{
    BadSegment, MAX_FILE_BYTES, MAX_SEGMENT_ENTRIES, Segment, SegmentName, fields::split,
};

use super::{
    keyring::Keyring,
    resume::Resume,
    store::{Store, Unread},
};

/// Frames that each worker may be ahead of the judge. A frame is at most 4 MiB of content, and in
/// memory some four times that: 64 MiB a worker at the worst, and 1 MiB as a fleet has it. Those of a
/// filed segment are 256 entries, which may be more at a time, and in all are the segment's 64 MiB.
const AHEAD: usize = 4;

/// Entries of segments that are opened ahead of the judge: one more segment where they are as large as
/// may be, and as many as there are workers where they are those of a second. A filed one is in memory
/// as its file and unpacked, twice 64 MiB.
const ENTRIES_AHEAD: u64 = MAX_SEGMENT_ENTRIES as u64;

/// Why a segment or a frame of it cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file is missing, or longer than a segment may be, or the disk failed.
    #[error(transparent)]
    Unread(#[from] Unread),
    /// The file is not there.
    #[error("{source}; log indices {first} to {last} are in it")]
    Segment {
        /// What is wrong.
        source: BadSegment,
        /// The first entry that is not to be had.
        first: u64,
        /// The last.
        last: u64,
    },
    /// An entry in it is no envelope.
    #[error("{path}: log index {index}: {source}")]
    Envelope {
        /// The segment.
        path: String,
        /// The entry.
        index: u64,
        /// Why.
        source: BadEnvelope,
    },
}

/// The entries of one frame, as far as they could be read.
pub struct Frame {
    /// Entries from the first on.
    pub entries: Vec<Opened>,
    /// The sizes of the log, within the frame, at which it was closed.
    pub closes: Vec<u64>,
    /// What is wrong with the one after them.
    pub fault: Option<Fault>,
}

/// What the judge gets, in the order of the log.
pub enum Step<'a> {
    /// A segment begins, whose digests are those of its bytes.
    Segment(&'a Segment),
    /// Its next frame.
    Frame(Frame),
    /// It ends.
    End,
    /// Here the log cannot be read on.
    Fault(Fault),
}

/// Which segments there are and where.
pub struct Work<'a> {
    /// Their files.
    pub store: &'a dyn Store,
    /// Their names in order, each with its path.
    pub segments: Vec<(SegmentName, String)>,
    /// Threads beside the judge's.
    pub threads: NonZeroUsize,
    /// Segments of which an earlier run verified the signatures.
    pub resume: Option<&'a Resume>,
}

/// Where each thread is.
#[derive(Default)]
struct State {
    /// The next segment to be opened.
    next: usize,
    /// Opened, and not yet passed by the judge: each with the next of its frames.
    open: BTreeMap<usize, (Arc<Segment>, usize)>,
    refused: BTreeMap<usize, Fault>,
    done: BTreeMap<(usize, usize), Frame>,
    /// Frames taken by workers and not yet by the judge.
    ahead: usize,
    /// What the judge waits for.
    due: (usize, usize),
    over: bool,
}

struct Line<'a> {
    work: &'a Work<'a>,
    keys: &'a Keyring,
    state: Mutex<State>,
    changed: Condvar,
}

enum Task {
    Open(usize),
    Unpack(usize, usize, Arc<Segment>),
}

/// Reads everything, and gives it to `judge` in order until that says stop or something is wrong.
pub fn run(work: &Work<'_>, keys: &Keyring, mut judge: impl FnMut(Step<'_>) -> bool) {
    let line = Line {
        work,
        keys,
        state: Mutex::default(),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        let _over = Over(&line);
        for _ in 0..work.threads.get() {
            scope.spawn(|| line.labour());
        }
        for segment in 0..work.segments.len() {
            if !line.pass(segment, &mut judge) {
                return;
            }
        }
    });
}

/// Ends the workers however the judge ends, and the judge if a worker dies.
struct Over<'a, 'b>(&'a Line<'b>);

impl Drop for Over<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_all();
    }
}

impl Line<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives one segment to the judge; false where he or it ends.
    fn pass(&self, number: usize, judge: &mut impl FnMut(Step<'_>) -> bool) -> bool {
        let mut state = self.lock();
        state.due = (number, 0);
        self.changed.notify_all();
        let segment = loop {
            if let Some(fault) = state.refused.remove(&number) {
                drop(state);
                judge(Step::Fault(fault));
                return false;
            }
            if let Some((segment, _)) = state.open.get(&number) {
                break Arc::clone(segment);
            }
            let Some(waited) = self.wait(state) else {
                return false;
            };
            state = waited;
        };
        drop(state);
        if !judge(Step::Segment(&segment)) {
            return false;
        }
        for frame in 0..segment.frames() {
            let mut state = self.lock();
            state.due = (number, frame);
            self.changed.notify_all();
            let due = state.due;
            let frame = loop {
                if let Some(frame) = state.done.remove(&due) {
                    state.ahead -= 1;
                    break frame;
                }
                let Some(waited) = self.wait(state) else {
                    return false;
                };
                state = waited;
            };
            drop(state);
            if !judge(Step::Frame(frame)) {
                return false;
            }
        }
        self.lock().open.remove(&number);
        judge(Step::End)
    }

    /// Waits for a change; none once all is over.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> Option<MutexGuard<'a, State>> {
        let state = self.changed.wait(state);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        (!state.over).then_some(state)
    }

    fn labour(&self) {
        // A worker that dies must not leave the judge waiting.
        let worked = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            while let Some(task) = self.task() {
                self.perform(task);
            }
        }));
        if let Err(cause) = worked {
            drop(Over(self));
            panic::resume_unwind(cause);
        }
    }

    /// Takes what is to be done next: frames before segments, the earliest first.
    fn task(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.over {
                return None;
            }
            let (due, ahead) = (state.due, state.ahead);
            let most = self.work.threads.get() * AHEAD;
            let open = state.open.iter_mut();
            let mut left = open.filter(|(_, (segment, next))| *next < segment.frames());
            if let Some((&number, (segment, next))) = left.next() {
                // The one that the judge waits for is taken however many are ahead.
                if ahead < most || due == (number, *next) {
                    let task = Task::Unpack(number, *next, Arc::clone(segment));
                    *next += 1;
                    state.ahead += 1;
                    return Some(task);
                }
            } else if state.next < self.work.segments.len() && self.may_open(state.next, due.0) {
                state.next += 1;
                return Some(Task::Open(state.next - 1));
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Bounds what is in memory: segments that are open before the judge has come to them.
    fn may_open(&self, next: usize, due: usize) -> bool {
        let start = |number: usize| {
            let segment = self.work.segments.get(number);
            segment.map_or(u64::MAX, |(name, _)| name.start())
        };
        // The one after that of the judge is always opened, or the workers would idle at its end.
        next <= due + 1
            || (next <= due + self.work.threads.get()
                && start(next).saturating_sub(start(due)) <= ENTRIES_AHEAD)
    }

    fn perform(&self, task: Task) {
        match task {
            Task::Open(number) => {
                let opened = self.open(number);
                let mut state = self.lock();
                match opened {
                    Ok(segment) => {
                        state.open.insert(number, (Arc::new(segment), 0));
                    }
                    Err(fault) => {
                        state.refused.insert(number, fault);
                    }
                }
            }
            Task::Unpack(number, frame, segment) => {
                let read = self.unpack(number, frame, &segment);
                self.lock().done.insert((number, frame), read);
            }
        }
        self.changed.notify_all();
    }

    fn open(&self, number: usize) -> Result<Segment, Fault> {
        let Some((name, path)) = self.work.segments.get(number) else {
            // Numbers are given out below the count.
            return Err(Fault::all(BadSegment::Missing(PathBuf::new()), 0, 1));
        };
        let all = |source| Fault::all(source, name.start(), name.end());
        let bytes = self.work.store.read(path, MAX_FILE_BYTES)?;
        let bytes = bytes.ok_or_else(|| all(BadSegment::Missing(path.into())))?;
        let segment = Segment::read(path.into(), name, bytes).map_err(all)?;
        match segment.verify().and_then(|()| segment.prepare()) {
            Ok(()) => Ok(segment),
            Err(source) => Err(damaged(&segment, source)),
        }
    }

    fn unpack(&self, number: usize, frame: usize, segment: &Segment) -> Frame {
        let nothing = |fault| Frame {
            entries: Vec::new(),
            closes: Vec::new(),
            fault: Some(fault),
        };
        let content = segment.content(frame);
        let (closes, (first, count, content)) =
            match content.and_then(|content| Ok((segment.closes(frame)?, content))) {
                Ok(read) => read,
                Err(bad) => return nothing(damaged(segment, bad)),
            };
        let Some(parts) = split(&content, count) else {
            let end = first.saturating_add(count.into());
            return nothing(Fault::all(segment.miscounted(), first, end));
        };
        let known = self.work.resume.is_some_and(|it| it.knows(segment.name()));
        let mut entries = Vec::with_capacity(parts.len());
        let mut fault = None;
        for (part, index) in parts.into_iter().zip(first..) {
            match Opened::parse(part) {
                Ok(mut entry) => {
                    self.keys.learn(entry.statement());
                    if let Some(key) = self.keys.get(&entry.statement().key()) {
                        if known {
                            entry.attested_before(key);
                        } else {
                            // What does not verify is refused, with its reason, when it is admitted.
                            let _ = entry.attest(&key);
                        }
                    }
                    entries.push(entry);
                }
                Err(source) => {
                    let path = self.work.segments.get(number);
                    let path = path.map_or_else(String::new, |(_, path)| path.clone());
                    fault = Some(Fault::Envelope {
                        path,
                        index,
                        source,
                    });
                    break;
                }
            }
        }
        Frame {
            entries,
            closes,
            fault,
        }
    }
}

impl Fault {
    fn all(source: BadSegment, start: u64, end: u64) -> Self {
        let (first, last) = (start, end.saturating_sub(1));
        Self::Segment {
            source,
            first,
            last,
        }
    }
}

/// Says which entries of a changed segment are hit: those of the frames that do not unpack, by the
/// checksum of each, or all where header, table or footer were changed.
fn damaged(segment: &Segment, source: BadSegment) -> Fault {
    let name = segment.name();
    let hit = segment.damage().unwrap_or(name.start()..name.end());
    Fault::all(source, hit.start, hit.end)
}
