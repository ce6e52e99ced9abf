//! Auditing a whole log from its files: all cores verify, one judge reads in order.
//!
//! ```text
//! store ─ places ─▶ segments ─ workers ─▶ entries in order ─ WholeLog ─▶ verdict
//!                                                  └─ tree ─ tiles
//! ```

mod keyring;
mod places;
mod progress;
mod resume;
mod site;
mod store;
mod tiles;
mod workers;

use std::{io, num::NonZeroUsize, thread};

use affiant_judge::exhibits;
use affiant_proto::{
    Digest, digest,
    tlog::{Checkpoint, Note},
};
use affiant_report::{
    Trust, Verdict,
    head::Head,
    segment::{BadSegment, Segment, SegmentName},
    verify::{Checks, WholeLog},
};

pub use keyring::Keyring;
pub use places::{Found, Places};
pub use progress::{Bar, Watch};
pub use resume::{NotResumed, Resume};
pub use site::{NotASite, Site};
pub use store::{Folder, Store, Unread};
pub use workers::{Fault, Frame, Step, Work, run};

use tiles::Tiles;

/// What an auditor brings.
#[derive(Clone, Debug, Default)]
pub struct Asked<'a> {
    /// What he trusts.
    pub trust: Option<&'a Trust>,
    /// Checkpoints that he kept.
    pub since: &'a [Note],
    /// Threads that verify; as many as there are cores where none is said.
    pub threads: Option<NonZeroUsize>,
    /// What an earlier run had verified; trusted.
    pub resume: Option<&'a Resume>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The storage failed: says nothing about the log.
    #[error(transparent)]
    Unread(#[from] Unread),
    /// The verifier took lines out of a segment between its being named and being read.
    #[error("{0} was rewritten while the log was read; audit again")]
    Rewritten(String),
    /// There is no log in the directory.
    #[error(
        "there is no log: a verifier's data directory, its log directory or an export has \
         segments/ and a checkpoint"
    )]
    NoLog,
    /// What was verified could not be noted.
    #[error("the file of --resume could not be written: {0}")]
    Resume(io::Error),
}

/// Audits a log. An error only where there is none or the storage fails; all else is in the verdict.
pub fn audit(
    store: &dyn Store,
    asked: &Asked<'_>,
    watch: &mut dyn Watch,
) -> Result<Verdict, Failure> {
    let mut checks = Checks::default();
    let found = Found::of(store, &mut checks)?;
    let read = read(store, &found, asked, watch, &mut checks)?;
    if let Some(read) = read {
        read.log
            .conclude(&mut checks, found.note.as_deref(), asked.since, read.whole);
    }
    Ok(checks.conclude_log(asked.trust.is_some()))
}

/// A log as far as it could be read.
pub struct Read<'a> {
    /// What was read.
    pub log: WholeLog<'a>,
    /// Whether that is all.
    pub whole: bool,
}

/// Reads all segments in order, with the checks of each file; nothing where there is no genesis.
pub fn read<'a>(
    store: &'a dyn Store,
    found: &'a Found,
    asked: &Asked<'a>,
    watch: &mut dyn Watch,
    checks: &mut Checks,
) -> Result<Option<Read<'a>>, Failure> {
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let places = &found.places;
    let path = |name: &SegmentName| (*name, places.segment(name));
    let work = Work {
        store,
        segments: found.segments.iter().map(path).collect(),
        threads: asked.threads.unwrap_or_else(cores),
        resume: asked.resume,
    };
    let published = found.note.as_ref().and_then(|note| Note::parse(note).ok());
    let published = published.and_then(|note| note.text().parse::<Checkpoint>().ok());
    let published = published.map_or(0, |checkpoint| checkpoint.size());
    let mut reading = Reading {
        store,
        places,
        trust: asked.trust,
        log: None,
        tiles: Tiles::new(store, places.public(), found.tiles.clone(), published),
        resume: asked.resume,
        before: None,
        now: String::new(),
        segments: 0,
        fault: None,
    };
    let keys = Keyring::default();
    run(&work, &keys, |step| {
        let goes_on = reading.step(step);
        if let Some(log) = &reading.log {
            watch.at(log.size(), found.entries());
        }
        goes_on
    });
    watch.over();
    reading.finish(found.head.as_ref(), checks)
}

/// What was read so far.
struct Reading<'a> {
    store: &'a dyn Store,
    places: &'a Places,
    trust: Option<&'a Trust>,
    log: Option<WholeLog<'a>>,
    tiles: Tiles<'a>,
    resume: Option<&'a Resume>,
    /// The segment before the current one, and its clock.
    before: Option<(SegmentName, u64)>,
    /// Path of the current segment.
    now: String,
    segments: usize,
    fault: Option<(&'static str, Wrong)>,
}

/// Why reading ended early.
enum Wrong {
    Log(String),
    Storage(Failure),
}

impl<'a> Reading<'a> {
    fn step(&mut self, step: Step<'_>) -> bool {
        let done = match step {
            Step::Segment(segment) => self.segment(segment),
            Step::Frame(frame) => self.frame(frame),
            Step::End => self.ends(),
            Step::Fault(fault) => Err(self.rewritten(&fault).unwrap_or_else(|| told(fault))),
        };
        match done {
            Ok(()) => true,
            Err(fault) => {
                self.fault = Some(fault);
                false
            }
        }
    }

    /// Tells a segment that is gone, and over whose entries there is another now, from one that is
    /// missing: that one the log still names when it is asked again.
    fn rewritten(&self, fault: &Fault) -> Option<(&'static str, Wrong)> {
        let Fault::Segment {
            source: BadSegment::Missing(path),
            first,
            last,
        } = fault
        else {
            return None;
        };
        let again = Found::of(self.store, &mut Checks::default()).ok()?;
        let path = path.display().to_string();
        let mut names = again.segments.iter();
        let names = names
            .by_ref()
            .filter(|name| name.start() <= *first && *last < name.end());
        let now: Vec<_> = names.map(|name| self.places.segment(name)).collect();
        let rewritten = !now.is_empty() && !now.contains(&path);
        rewritten.then_some(("segments", Wrong::Storage(Failure::Rewritten(path))))
    }

    /// Takes up a segment: its clock is later than that of the one before.
    fn segment(&mut self, segment: &Segment) -> Result<(), (&'static str, Wrong)> {
        self.now = self.places.segment(segment.name());
        let wrong = |text| Err(("segments", Wrong::Log(text)));
        if self
            .before
            .is_some_and(|(_, clock)| segment.clock() <= clock)
        {
            return wrong(format!(
                "{}: its clock does not advance on that of the segment before",
                self.now
            ));
        }
        self.before = Some((*segment.name(), segment.clock()));
        self.segments += 1;
        Ok(())
    }

    fn ends(&mut self) -> Result<(), (&'static str, Wrong)> {
        let noted = match (self.resume, &self.before) {
            (Some(resume), Some((name, _))) => resume.note(name),
            _ => Ok(()),
        };
        noted.map_err(|error| ("segments", Wrong::Storage(Failure::Resume(error))))
    }

    fn frame(&mut self, frame: Frame) -> Result<(), (&'static str, Wrong)> {
        let mut closes = frame.closes.into_iter().peekable();
        for entry in frame.entries {
            if let Some(named) = exhibits::named(entry.statement().body()) {
                self.exhibit(&named)?;
            }
            let taken = match &mut self.log {
                Some(log) => log.take(entry, |made| self.tiles.full(made)),
                None => self.open(entry),
            };
            taken.map_err(|unsound| {
                let text = format!("{}: {unsound}", self.now);
                ("statements", Wrong::Log(text))
            })?;
            // A segment that was joined of several has the ends of all of them.
            if let Some(log) = &mut self.log
                && closes.next_if_eq(&log.size()).is_some()
            {
                log.closes();
            }
        }
        frame.fault.map_or(Ok(()), |fault| Err(told(fault)))
    }

    /// Reads the file that a statement names; where it is missing, what rests on it is not judged.
    fn exhibit(&mut self, named: &Digest) -> Result<(), (&'static str, Wrong)> {
        let path = self.places.exhibit(named);
        let wrong = |wrong| Err(("exhibits", wrong));
        match self.store.read(&path, exhibits::MAX_EXHIBIT_BYTES as u64) {
            Ok(Some(bytes)) if digest(&bytes) != *named => {
                wrong(Wrong::Log(format!("{path} is not what it is named by")))
            }
            Ok(bytes) => {
                if let (Some(bytes), Some(log)) = (bytes, &mut self.log) {
                    log.exhibit(bytes);
                }
                Ok(())
            }
            Err(unread) if unread.is_told_of_the_log() => wrong(Wrong::Log(unread.to_string())),
            Err(unread) => wrong(Wrong::Storage(unread.into())),
        }
    }

    fn open(
        &mut self,
        genesis: affiant_proto::Opened,
    ) -> Result<(), affiant_report::reading::Unsound> {
        let (store, public) = (self.store, self.places.public());
        let leaves = move |index| {
            let path = affiant_proto::tlog::tile_path(0, index, None).ok()?;
            let limit = affiant_report::edge::MAX_TILE_BYTES as u64;
            store.read(&format!("{public}{path}"), limit).ok()?
        };
        self.log = Some(WholeLog::open(genesis, self.trust, leaves)?);
        Ok(())
    }

    /// Says what was found of the files.
    fn finish(self, head: Option<&Head>, checks: &mut Checks) -> Result<Option<Read<'a>>, Failure> {
        let whole = match self.fault {
            None => self.segments > 0,
            Some((_, Wrong::Storage(failure))) => return Err(failure),
            Some((name, Wrong::Log(text))) => {
                checks.fail(name, text);
                false
            }
        };
        let Some(log) = self.log else {
            return Ok(None);
        };
        let (size, segments) = (log.size(), self.segments);
        if whole {
            checks.fine(
                "segments",
                format!("{segments} segments: each is what its name says, and none is missing"),
            );
            checks.fine(
                "statements",
                format!("{size} statements: every spelling, leaf, signature, chain and sum holds"),
            );
            if let Some(head) = head {
                locked(&log, head, self.places, checks);
            }
            self.tiles.finish(log.edge(), checks)?;
        }
        Ok(Some(Read { log, whole }))
    }
}

/// Holds the lock against the tree.
fn locked(log: &WholeLog<'_>, head: &Head, places: &Places, checks: &mut Checks) {
    let due = log.authorities().lineage().current().origin();
    let at = places.lock().unwrap_or("lock");
    if head.origin != *due {
        checks.fail(
            "lock",
            format!("{at} is of log {}, and this one is {due}", head.origin),
        );
    } else if (head.size, head.root) != (log.size(), log.edge().root()) {
        checks.fail(
            "lock",
            format!(
                "{at} has size {} under root {}, and the segments that it names have size {} under {}",
                head.size,
                head.root,
                log.size(),
                log.edge().root()
            ),
        );
    } else {
        checks.fine("lock", format!("{at} names these segments and their root"));
    }
}

/// Under which check a fault is told.
fn told(fault: Fault) -> (&'static str, Wrong) {
    match fault {
        Fault::Unread(io) if !io.is_told_of_the_log() => ("segments", Wrong::Storage(io.into())),
        Fault::Envelope { .. } => ("statements", Wrong::Log(fault.to_string())),
        _ => ("segments", Wrong::Log(fault.to_string())),
    }
}
