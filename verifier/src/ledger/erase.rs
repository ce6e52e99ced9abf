//! Erasing: segments are rewritten without the lines that an erasure in the log announced.
//!
//! The new segment has its name before the old one loses its own, so a crash leaves both, and the
//! one that was rewritten counts. The newest segment is left: its name stands in the lock.

use std::{io, ops::RangeInclusive, path::PathBuf, sync::Arc};

use affiant_proto::{Envelope, envelope::BadEnvelope};
use affiant_report::segment::{BadSegment, Builder, Entry, NotAnEntry, Segment, SegmentName};

use super::{disk::Disk, reader::Reader};

/// Why lines were not erased. What was begun is gone on with the next time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotErased {
    /// A segment.
    #[error(transparent)]
    Segment(#[from] BadSegment),
    /// An entry that cannot be read.
    #[error("segment {path}, log index {index}: {fault}; put the segment back from a copy")]
    Entry {
        /// The segment.
        path: PathBuf,
        /// Its index.
        index: u64,
        /// Why.
        fault: BadEnvelope,
    },
    /// What was rewritten is no entry.
    #[error(transparent)]
    Rewritten(#[from] NotAnEntry),
    /// The disk.
    #[error("{path}: {source}; look at the disk")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Records that lost their lines.
    pub records: u64,
    /// Segments that were rewritten. They are hardly smaller: the proof that a totals line is a record's
    /// stands in the place of its lines.
    pub segments: u64,
}

/// Erases lines in the segments of a running log. One at a time does.
#[derive(Clone, Debug)]
pub struct Eraser {
    reader: Reader,
    disk: Arc<dyn Disk>,
}

impl Eraser {
    /// Erases in the log that `reader` reads, through `disk`.
    pub fn new(reader: Reader, disk: Arc<dyn Disk>) -> Self {
        Self { reader, disk }
    }

    /// How many entries are published.
    pub fn size(&self) -> u64 {
        self.reader.size()
    }

    /// Erases the lines and seeds of the usage records in `ranges` of log indices; what is gone
    /// already stays as it is. The erasure that announces it must be published.
    pub fn erase(&self, ranges: &[(u64, u64)]) -> Result<Erased, NotErased> {
        let mut done = Erased::default();
        let mut names = self.reader.segments();
        names.pop();
        for name in &names {
            let over = |(first, last): &&(u64, u64)| *first < name.end() && name.start() <= *last;
            let ranges: Vec<_> = ranges.iter().filter(over).map(|(a, b)| *a..=*b).collect();
            if !ranges.is_empty() {
                self.segment(name, &ranges, &mut done)?;
            }
        }
        Ok(done)
    }

    fn segment(
        &self,
        name: &SegmentName,
        ranges: &[RangeInclusive<u64>],
        done: &mut Erased,
    ) -> Result<(), NotErased> {
        let folder = self.reader.folder();
        let old = folder.join(name.to_string());
        let io = |source| NotErased::Io {
            path: old.clone(),
            source,
        };
        let segment = Segment::open(folder, name)?;
        segment.verify()?;
        let layout = segment.layout();
        let mut builder = Builder::laid_out(layout, name.start(), segment.clock()).map_err(io)?;
        let mut records = 0;
        for number in 0..segment.frames() {
            let (first, entries) = segment.frame(number)?;
            let mut closes = segment.closes(number)?.into_iter().peekable();
            for (index, entry) in (first..).zip(entries) {
                let within = ranges.iter().any(|range| range.contains(&index));
                let less = match within {
                    true => without_lines(&entry).map_err(|fault| NotErased::Entry {
                        path: old.clone(),
                        index,
                        fault,
                    })?,
                    false => None,
                };
                let kept = match less {
                    Some(less) => {
                        records += 1;
                        Entry::parse(less)?
                    }
                    None => entry,
                };
                builder.push(&kept).map_err(io)?;
                if closes.next_if_eq(&(index + 1)).is_some() {
                    builder.closed();
                }
            }
        }
        if records == 0 {
            return Ok(());
        }
        let revision = segment.revision().saturating_add(1);
        let (new, bytes) = builder.finish(revision).map_err(io)?;
        let path = folder.join(new.to_string());
        match self.disk.create(&path, &bytes) {
            // Made by a run that was cut off: the name says that it holds these bytes.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(|source| NotErased::Io { path, source })?,
        }
        // Shown no more before it goes.
        self.reader.replace(&[*name], new);
        self.disk.remove(&old).map_err(io)?;
        self.disk.sync_directory(folder).map_err(io)?;
        done.records += records;
        done.segments += 1;
        Ok(())
    }
}

/// The envelope of a usage record without its lines; none where there is nothing to erase.
fn without_lines(entry: &Entry) -> Result<Option<Vec<u8>>, BadEnvelope> {
    let whole = Envelope::parse(entry.envelope())?;
    let bytes = whole.without_lines().to_bytes();
    Ok((bytes != entry.envelope()).then_some(bytes))
}
