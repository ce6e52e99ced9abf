//! What one receiver was told last, kept in a small file: what it lacks is the difference to what
//! the judge says now, so nothing waits in a queue that could be lost or grow.
//!
//! A line is added once a receiver took an event. It is not synced: a line that a crash takes means
//! that the event is sent again, under the same id.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use affiant_judge::Finding;
use affiant_report::plain_file::NotRead;

use super::shape::{Event, Shape, newest_ms};
use crate::keyfile::{self, KeyFileError};

/// How long what ended is remembered, by the log's time: 30 days. A receiver that is away for longer
/// is told of what is open, and not of what ended in the meantime.
pub(super) const KEPT_MS: u64 = 30 * 86_400_000;

/// Most bytes of the file: half a million findings of 30 days at 120 bytes. One that is longer is
/// begun anew like one that is damaged.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Lines that may be added, beyond as many as there are findings, before the file is written anew.
const SLACK: usize = 1_024;

/// First word of the file.
const FORM: &str = "affiant-deliveries-1";

/// What a receiver was told of one finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    /// How many events of it the receiver took.
    count: u64,
    /// The last of them; `None` once the finding was gone.
    shape: Option<Shape>,
    /// When the log had last said anything about it.
    newest_ms: u64,
}

/// How the file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Whole.
    Whole,
    /// Not there: the receiver is new, and is told what is open.
    New,
    /// Damaged, or gone with the directory around it: everything of the last 30 days is sent again.
    Lost,
}

/// What a receiver was told last.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    /// What ended before the log said anything later than this is history: milliseconds since 1970.
    floor_ms: u64,
    told: BTreeMap<String, Told>,
    /// Lines in the file.
    lines: usize,
    file: Option<File>,
}

/// One event that a receiver lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The finding.
    pub(super) id: String,
    /// What happened, the first to tell first; never empty.
    pub(super) events: Vec<Event>,
    /// How many events of this finding the receiver took before.
    pub(super) number: u64,
    shape: Option<Shape>,
    newest_ms: u64,
}

impl Due {
    /// What the event is about, in a spelling that never changes; the same event has the same.
    pub(super) fn state(&self) -> String {
        self.shape.map_or_else(|| "gone".into(), |s| s.to_string())
    }
}

impl Kept {
    /// Reads the file, or begins one. Where it is missing the receiver is new at `now_ms`, the log's
    /// time, unless the directory is new as well (`lost`).
    pub(super) fn open(
        path: &Path,
        lost: bool,
        now_ms: u64,
    ) -> Result<(Self, Found), KeyFileError> {
        let (read, found) = match keyfile::read_bounded(path, MAX_BYTES) {
            Ok(bytes) => match Self::parse(path, &bytes) {
                Some(kept) => (Some(kept), Found::Whole),
                None => (None, Found::Lost),
            },
            Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                (None, if lost { Found::Lost } else { Found::New })
            }
            Err(KeyFileError::Unfit(NotRead::Long { .. })) => (None, Found::Lost),
            Err(error) => return Err(error),
        };
        let floor_ms = match found {
            Found::Lost => now_ms.saturating_sub(KEPT_MS),
            _ => now_ms,
        };
        let mut kept = read.unwrap_or(Self {
            path: path.to_owned(),
            floor_ms,
            told: BTreeMap::new(),
            lines: 0,
            file: None,
        });
        kept.write(now_ms)?;
        Ok((kept, found))
    }

    fn parse(path: &Path, bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        // What a crash cut short is the last line, and is as if it had not been added.
        let whole = text.rfind('\n').and_then(|end| text.get(..end))?;
        let mut lines = whole.split('\n');
        let floor_ms = lines.next()?.strip_prefix(FORM)?.trim_start();
        let floor_ms = floor_ms.parse().ok()?;
        let mut told = BTreeMap::new();
        for line in lines {
            let mut words = line.splitn(4, ' ');
            let id = words.next().filter(|id| !id.is_empty())?;
            let count = words.next()?.parse().ok()?;
            let newest_ms = words.next()?.parse().ok()?;
            let shape = match words.next()? {
                "gone" => None,
                shape => Some(Shape::parse(shape)?),
            };
            let it = Told {
                count,
                shape,
                newest_ms,
            };
            told.insert(id.to_owned(), it);
        }
        Some(Self {
            path: path.to_owned(),
            floor_ms,
            told,
            lines: 0,
            file: None,
        })
    }

    /// Says what the receiver lacks of a finding, if anything.
    pub(super) fn due(&self, finding: &Finding) -> Option<Due> {
        let shape = Shape::of(finding);
        let told = self.told.get(&finding.id);
        let newest_ms = newest_ms(finding);
        let before = told.and_then(|told| told.shape);
        // What ended before is history. What settled it is told with it, so that an open one that is
        // settled already is history too.
        let settled = finding.handling.as_ref().is_some_and(|it| it.is_settled());
        if told.is_none() && (!shape.is_open() || settled) && newest_ms <= self.floor_ms {
            return None;
        }
        let events = shape.since(before.as_ref());
        (!events.is_empty()).then(|| Due {
            id: finding.id.clone(),
            events,
            number: told.map_or(0, |told| told.count),
            shape: Some(shape),
            newest_ms,
        })
    }

    /// Says what the receiver lacks of findings that are no more: `is` tells which there are.
    pub(super) fn gone<'a>(
        &'a self,
        is: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = Due> + 'a {
        let open = self.told.iter().filter(move |(id, told)| {
            told.shape.is_some_and(|shape| shape.is_open()) && !is(id.as_str())
        });
        open.map(|(id, told)| Due {
            id: id.clone(),
            events: vec![Event::Gone],
            number: told.count,
            shape: None,
            newest_ms: told.newest_ms,
        })
    }

    /// Remembers that the receiver took an event.
    pub(super) fn took(&mut self, due: &Due, now_ms: u64) -> Result<(), KeyFileError> {
        let told = Told {
            count: due.number.saturating_add(1),
            shape: due.shape,
            newest_ms: due.newest_ms,
        };
        self.told.insert(due.id.clone(), told);
        if self.lines > self.told.len().saturating_mul(2).saturating_add(SLACK) {
            return self.write(now_ms);
        }
        let added = match &mut self.file {
            Some(file) => file.write_all(line(&due.id, &told).as_bytes()),
            // What failed before is tried whole.
            None => return self.write(now_ms),
        };
        self.lines = self.lines.saturating_add(1);
        added.map_err(|error| {
            self.file = None;
            KeyFileError::io(&self.path)(error)
        })
    }

    /// Writes the file anew without what nobody will ask for.
    fn write(&mut self, now_ms: u64) -> Result<(), KeyFileError> {
        let oldest = now_ms.saturating_sub(KEPT_MS);
        self.floor_ms = self.floor_ms.max(oldest);
        self.told.retain(|_, told| {
            told.newest_ms > oldest || told.shape.is_some_and(|shape| shape.is_open())
        });
        self.file = None;
        let mut text = format!("{FORM} {}\n", self.floor_ms);
        text.extend(self.told.iter().map(|(id, told)| line(id, told)));
        let new = self.path.with_extension("new");
        keyfile::remove(&new)?;
        keyfile::create_private(&new, text.as_bytes())?;
        keyfile::replace(&new, &self.path)?;
        let mut options = OpenOptions::new();
        let options = options.append(true).custom_flags(libc::O_NOFOLLOW);
        let opened = options.open(&self.path);
        self.file = Some(opened.map_err(KeyFileError::io(&self.path))?);
        self.lines = self.told.len();
        Ok(())
    }
}

fn line(id: &str, told: &Told) -> String {
    let shape = told.shape.map_or_else(|| "gone".into(), |s| s.to_string());
    format!("{id} {} {} {shape}\n", told.count, told.newest_ms)
}
