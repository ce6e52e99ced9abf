//! What an audit that was broken off had verified, so that the next one need not verify it again.
//!
//! The file is text, a line a segment, appended as the judge passes each:
//!
//! ```text
//! affiant-audit resume v1
//! 0-12-<sha256>.seg
//! 12-140-<sha256>.seg
//! ```
//!
//! **It is trusted.** A segment that it names was admitted by an earlier run of this tool, with every
//! signature in it. Its name has its digest, and that covers the digest of the segment before, so the
//! line stands for all of the log up to there. Of such a segment the signatures alone are not verified
//! again: it is read, held against its digest, and every spelling, leaf, chain and sum in it is checked
//! and judged as ever. Whoever can write the file can make this tool believe signatures; keep it where
//! nobody else can.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use affiant_report::{
    plain_file::{NotRead, PlainFile},
    segment::SegmentName,
};

const MAGIC: &str = "affiant-audit resume v1\n";

/// Most bytes of a line: two numbers of 20 digits, 64 of a digest, and what parts them.
const MAX_LINE: u64 = 128;

/// Most bytes of the file: a million segments, as in the index of an export.
const MAX_BYTES: u64 = 128 * 1024 * 1024;

/// Why a file cannot be gone on from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotResumed {
    /// No plain file, or too long.
    #[error(transparent)]
    Unfit(NotRead),
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file of something else.
    #[error("{path}: {what}; name the file that --resume wrote, or a new one")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// Segments that were verified, and the file that they are noted in.
#[derive(Debug)]
pub struct Resume {
    done: HashSet<SegmentName>,
    file: File,
}

impl Resume {
    /// Opens or makes the file. A line that was cut off is taken away; anything else that is not a
    /// segment's name is refused.
    pub fn open(path: &Path) -> Result<Self, NotResumed> {
        let io = |source| NotResumed::Io {
            path: path.to_owned(),
            source,
        };
        let unfit = |error| match error {
            NotRead::Io { path, source } => NotResumed::Io { path, source },
            other => NotResumed::Unfit(other),
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let opened = PlainFile::open_with(options.mode(0o600), 0, path).map_err(unfit)?;
        if opened.length().map_err(unfit)? > MAX_BYTES {
            let (path, most) = (path.to_owned(), MAX_BYTES);
            return Err(NotResumed::Unfit(NotRead::Long { path, most }));
        }
        let mut file = opened.into_file();
        let mut lines = BufReader::new(&file);
        let mut done = HashSet::new();
        let mut whole = 0;
        let refuse = |what| NotResumed::Foreign {
            path: path.to_owned(),
            what,
        };
        loop {
            let mut line = String::new();
            let read = io::Read::take(&mut lines, MAX_LINE).read_line(&mut line);
            let read = read.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => refuse("a line is no text"),
                _ => io(error),
            })?;
            let Some(name) = line.strip_suffix('\n') else {
                if read as u64 == MAX_LINE {
                    return Err(refuse("a line is longer than a segment's name"));
                }
                break;
            };
            if whole > 0 {
                let name = name
                    .parse()
                    .map_err(|_| refuse("a line is not a segment's name"))?;
                done.insert(name);
            } else if line != MAGIC {
                return Err(refuse("not a file that --resume wrote"));
            }
            whole += read as u64;
        }
        drop(lines);
        file.set_len(whole).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        if whole == 0 {
            file.write_all(MAGIC.as_bytes()).map_err(io)?;
        }
        Ok(Self { done, file })
    }

    /// Tells whether an earlier run admitted a segment.
    pub fn knows(&self, name: &SegmentName) -> bool {
        self.done.contains(name)
    }

    /// Notes that the judge has passed a segment.
    pub fn note(&self, name: &SegmentName) -> io::Result<()> {
        match self.knows(name) {
            true => Ok(()),
            false => (&self.file).write_all(format!("{name}\n").as_bytes()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::digest;

    use super::*;

    #[test]
    fn what_was_noted_is_known_to_the_next_run_and_a_torn_line_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resume");
        let name = |number: u64| -> SegmentName {
            format!("{number}-{}-{}.seg", number + 1, digest(b"x"))
                .parse()
                .unwrap()
        };
        let first = Resume::open(&path).unwrap();
        first.note(&name(0)).unwrap();
        first.note(&name(1)).unwrap();
        let torn = std::fs::read(&path).unwrap();
        std::fs::write(&path, &torn[..torn.len() - 1]).unwrap();
        let second = Resume::open(&path).unwrap();
        assert!(second.knows(&name(0)) && !second.knows(&name(1)));
        second.note(&name(0)).unwrap();
        second.note(&name(1)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), torn);
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resume");
        for other in ["a diary\n", "affiant-audit resume v1\n../../x\n"] {
            std::fs::write(&path, other).unwrap();
            assert!(Resume::open(&path).is_err());
            assert_eq!(std::fs::read(&path).unwrap(), other.as_bytes());
        }
        std::fs::write(&path, "x".repeat(1_000)).unwrap();
        assert!(Resume::open(&path).is_err());
    }
}
