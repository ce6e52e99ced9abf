//! Segments: the immutable files that hold the log's entries.
//!
//! Not trusted: the lock names the newest segment by its SHA-256 and the root of the tree over all
//! entries, so whoever can write here can stop the verifier and never change its history.
//!
//! # Format
//!
//! A segment holds entries `start` to `end − 1` of one log and is named
//! `<start>-<end>-<sha256>.seg`: both indices in decimal without leading zeros, then the SHA-256 of
//! the whole file in lower-case hexadecimal. All integers are big-endian and unsigned.
//!
//! ```text
//! offset size
//!      0    8  magic and version: "AFFSEG" 00 01
//!      8    8  start                          index of the first entry
//!     16    8  end                            index after the last entry; above start
//!     24    8  first clock                    the writer's milliseconds since 1970 UTC; later than
//!                                             that of the segment before
//!     32    8  revision                       how often these entries were rewritten: of two
//!                                             segments that start alike the higher one counts
//!     40    …  frames, one after the other without a space
//!      t 20·n  table: per frame  8 offset, 4 stored length, 4 content length, 4 entries
//!  -44      8  t, the offset of the table
//!  -36      4  n, how many frames there are
//!  -32     32  SHA-256 of all bytes before it
//! ```
//!
//! A frame is one zstd frame (RFC 8878) with its content checksum. Its content is, for each entry,
//! 4 bytes of length and the encoded `Envelope`. A frame holds 1 to 256 entries and at most 4 MiB
//! of content; the entries of all frames, in order, are those of the segment, none more.
//!
//! That is the layout in which the log is written. When an hour is over its segments are joined and
//! filed by chain, in version 00 02: the same but for what stands in the frames; see [`filed`].

mod builder;
mod cover;
mod entry;
pub mod fields;
mod file;
mod filed;
mod sorted;
mod table;

use std::{fmt, str::FromStr};

use affiant_proto::Digest;
use ring::digest as sha;

pub use builder::Builder;
pub use cover::cover;
pub use entry::{Entry, NotAnEntry, statement_of};
pub use file::{BadSegment, Segment};
pub use filed::{MAX_BLOCK_ENTRIES, Misfiled};

/// Most entries of one frame: as many as a tile has leaves, so that one frame serves one bundle.
pub const MAX_FRAME_ENTRIES: usize = 256;

/// Most bytes of a frame's content: two of the largest envelopes (2 MiB each) less their length
/// fields, or 256 envelopes of 16 KiB. A hostile frame cannot make a reader allocate more.
pub const MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;

/// Most bytes of a segment's content: 64 MiB.
///
/// A second of full load is 12,500 records of about 700 bytes, 8.8 MB; this leaves room for seven
/// such seconds, or for 31 of the largest envelopes.
pub const MAX_SEGMENT_BYTES: usize = 64 * 1024 * 1024;

/// Most entries of a segment: ten seconds of full load (12,500 a second), rounded up to 2^17.
pub const MAX_SEGMENT_ENTRIES: usize = 1 << 17;

/// Most frames of a segment.
///
/// A frame ends full (2^17 / 256 = 512 of these) or where the next entry would not fit, and then
/// two neighbours have more than 4 MiB (at most 2 · 64 / 4 = 32 of these); rounded up. Of a filed
/// segment, blocks are full (16), or end by the bytes of their envelopes (2 · 64 / 8 = 16) or of their
/// columns. Those have at most 14 times the bytes of lines, of which the shortest takes 4 and seven
/// numbers of 8 bytes, and 400 of each entry: 2 · (14 · 64 + 50) / 4 = 473.
const MAX_FRAMES: usize = 1024;

/// Most bytes of the file: contents that do not compress, which zstd stores with less than one
/// part in 128 more, and 1 MiB for header, table and footer (40 + 20 · 1024 + 44 bytes).
pub const MAX_FILE_BYTES: u64 = (MAX_SEGMENT_BYTES + MAX_SEGMENT_BYTES / 128 + 1024 * 1024) as u64;

/// How a segment is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// By log index, as it was written.
    Logged,
    /// By chain, in columns.
    Filed,
}

impl Layout {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Logged => b"AFFSEG\x00\x01",
            Self::Filed => b"AFFSEG\x00\x02",
        }
    }

    fn of(magic: &[u8; 8]) -> Option<Self> {
        let both = [Self::Logged, Self::Filed];
        both.into_iter().find(|layout| layout.magic() == magic)
    }

    /// Most entries of a frame, or of a block.
    fn frame_entries(self) -> usize {
        match self {
            Self::Logged => MAX_FRAME_ENTRIES,
            Self::Filed => MAX_BLOCK_ENTRIES,
        }
    }
}

const HEADER: usize = 40;
const TABLE_ROW: usize = 20;
const FOOTER: usize = 44;

/// The name of a segment: its range and the SHA-256 of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    start: u64,
    end: u64,
    digest: Digest,
}

/// Text that is not the name of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a segment, which is <start>-<end>-<sha256>.seg")]
pub struct NotASegmentName;

impl SegmentName {
    /// Index of the first entry.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Index after the last entry.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// SHA-256 of the file.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    fn new(start: u64, end: u64, digest: Digest) -> Option<Self> {
        (start < end).then_some(Self { start, end, digest })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}.seg", self.start, self.end, self.digest)
    }
}

impl FromStr for SegmentName {
    type Err = NotASegmentName;

    fn from_str(text: &str) -> Result<Self, NotASegmentName> {
        let parse = || {
            let mut parts = text.strip_suffix(".seg")?.splitn(3, '-');
            let start = parts.next()?.parse().ok()?;
            let end = parts.next()?.parse().ok()?;
            let digest = parts.next()?.parse().ok()?;
            Self::new(start, end, digest)
        };
        // One spelling: no sign, no leading zero.
        let name = parse().ok_or(NotASegmentName)?;
        (name.to_string() == text)
            .then_some(name)
            .ok_or(NotASegmentName)
    }
}

/// Where a frame lies and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    offset: u64,
    stored: u32,
    content: u32,
    entries: u32,
}

fn finished(hash: sha::Context) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    Digest::new(out)
}

/// Blocks by themselves: for fuzz targets.
#[doc(hidden)]
pub mod blocks {
    use super::{Entry, filed};

    /// The content of a block of these entries, in this order.
    pub fn pack(entries: &[Entry]) -> Vec<u8> {
        let entries = (0..).zip(entries.iter().cloned());
        let items: Vec<_> = entries
            .map(|(index, it)| filed::Item::new(index, it))
            .collect();
        filed::pack(&items, 0).unwrap_or_default()
    }

    /// The envelopes in a content that should hold `count` of them and unpack to `room` bytes at most.
    pub fn read(content: &[u8], count: u32, mut room: usize) -> Option<Vec<Vec<u8>>> {
        let mut entries = Vec::new();
        let read = filed::unpack(content, (count, 0), &mut room, |_, envelope, _| {
            entries.push(envelope.to_vec());
            Ok(())
        });
        read.ok().map(|()| entries)
    }
}
