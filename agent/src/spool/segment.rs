//! Segments: the files of the spool, each named by its first sequence.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{
    SpoolError,
    frame::{self, FRAME_HEAD, Frame, SEGMENT_HEAD, SegmentHead},
};
use crate::durable::FileError;

const EXTENSION: &str = "spool";

/// One segment, as far as its frames are whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) head: SegmentHead,
    /// The sequence after its last.
    pub(super) next: u64,
    /// Bytes up to the end of its last whole frame.
    pub(super) bytes: u64,
}

impl Segment {
    /// Its first sequence.
    pub(super) fn first(&self) -> u64 {
        self.head.first
    }
}

/// What lies after the last whole frame of the last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    Whole,
    /// Bytes that no sync had covered when the host went down.
    Torn,
}

/// Names the segment that begins with `first`.
pub(super) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.{EXTENSION}"))
}

/// Lists the segments of a directory by their names, in order.
pub(super) fn list(directory: &Path) -> Result<Vec<(u64, PathBuf)>, SpoolError> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).map_err(FileError::io("list", directory))?;
    for entry in entries {
        let path = entry.map_err(FileError::io("list", directory))?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != EXTENSION)
        {
            continue;
        }
        let name = path.file_stem().and_then(|name| name.to_str());
        match name.and_then(|name| name.parse().ok()) {
            Some(first) if self::path(directory, first) == path => found.push((first, path)),
            _ => return Err(SpoolError::Foreign(path)),
        }
    }
    found.sort();
    Ok(found)
}

/// Reads the head of a segment; `None` when it is not whole, as a crash may leave the newest.
pub(super) fn head(path: &Path, first: u64) -> Result<Option<SegmentHead>, SpoolError> {
    if let Some(frames) = Frames::open(path, first)? {
        return Ok(Some(frames.head));
    }
    if follows(path, 0)? {
        let path = path.to_owned();
        return Err(SpoolError::Corrupt { path, offset: 0 });
    }
    Ok(None)
}

/// Reads every frame of a segment.
///
/// # Errors
/// When a frame is bad that cannot be a torn tail: another follows it, the segment is not the
/// `last`, or its sequences do not continue.
pub(super) fn scan(
    path: PathBuf,
    head: SegmentHead,
    last: bool,
) -> Result<(Segment, Tail), SpoolError> {
    let corrupt = |path: &Path, offset| SpoolError::Corrupt {
        path: path.to_owned(),
        offset,
    };
    let mut segment = Segment {
        head,
        next: head.first,
        bytes: 0,
        path,
    };
    let frames = Frames::open(&segment.path, head.first)?;
    let mut frames = frames.ok_or_else(|| corrupt(&segment.path, 0))?;
    segment.bytes = frames.offset;
    loop {
        match frames.next(&segment.path)? {
            Next::Frame(frame) if frame.first == segment.next => {
                segment.next += frame.entries.len() as u64;
                segment.bytes = frames.offset;
            }
            Next::Frame(_) => return Err(corrupt(&segment.path, segment.bytes)),
            Next::End => return Ok((segment, Tail::Whole)),
            Next::Bad if last && !follows(&segment.path, segment.bytes)? => {
                return Ok((segment, Tail::Torn));
            }
            Next::Bad => return Err(corrupt(&segment.path, segment.bytes)),
        }
    }
}

/// Tells whether a whole frame stands after `offset`. A frame is written only when the one before
/// it is synced, so that then the bad one is no torn tail: it was changed after it was synced.
fn follows(path: &Path, offset: u64) -> Result<bool, SpoolError> {
    let mut file = File::open(path).map_err(FileError::io("open", path))?;
    let mut rest = Vec::new();
    file.seek(SeekFrom::Start(offset + 1))
        .and_then(|_| file.take(super::MAX_SEGMENT).read_to_end(&mut rest))
        .map_err(FileError::io("read", path))?;
    Ok(frame::holds_a_frame(&rest))
}

/// What stands next in a segment.
pub(super) enum Next {
    Frame(Frame),
    End,
    Bad,
}

/// Reads a segment frame by frame.
#[derive(Debug)]
pub(super) struct Frames {
    file: BufReader<File>,
    pub(super) head: SegmentHead,
    /// Where the next frame begins.
    pub(super) offset: u64,
}

impl Frames {
    /// Opens a segment; `None` when its head is not whole.
    pub(super) fn open(path: &Path, first: u64) -> Result<Option<Self>, SpoolError> {
        let file = File::open(path).map_err(FileError::io("open", path))?;
        let mut file = BufReader::new(file);
        let mut head = [0; SEGMENT_HEAD];
        if !fill(&mut file, &mut head).map_err(FileError::io("read", path))? {
            return Ok(None);
        }
        let head = SegmentHead::read(&head).filter(|head| head.first == first);
        Ok(head.map(|head| Self {
            file,
            head,
            offset: SEGMENT_HEAD as u64,
        }))
    }

    /// Goes on at `offset`, where a frame begins.
    pub(super) fn seek(&mut self, path: &Path, offset: u64) -> Result<(), SpoolError> {
        self.file
            .seek(SeekFrom::Start(offset))
            .map_err(FileError::io("read", path))?;
        self.offset = offset;
        Ok(())
    }

    /// Reads the next frame.
    pub(super) fn next(&mut self, path: &Path) -> Result<Next, SpoolError> {
        let mut head = [0; FRAME_HEAD];
        let first = self
            .file
            .read(&mut head[..1])
            .map_err(FileError::io("read", path))?;
        if first == 0 {
            return Ok(Next::End);
        }
        if !fill(&mut self.file, &mut head[1..]).map_err(FileError::io("read", path))? {
            return Ok(Next::Bad);
        }
        let Some((length, crc)) = frame::read_head(&head) else {
            return Ok(Next::Bad);
        };
        let mut body = vec![0; length];
        if !fill(&mut self.file, &mut body).map_err(FileError::io("read", path))? {
            return Ok(Next::Bad);
        }
        let Some(frame) = frame::read_body(&body, crc) else {
            return Ok(Next::Bad);
        };
        self.offset += (FRAME_HEAD + length) as u64;
        Ok(Next::Frame(frame))
    }
}

/// Reads exactly as many bytes as `buffer` has; false when the file ends before.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
