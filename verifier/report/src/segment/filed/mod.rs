//! The filed layout: entries of one chain stand together, and what they say stands in columns.
//!
//! The log is written second by second, with one record of each host in a segment. Filed, some
//! dozens of records of one host stand one after the other, so that its chain, its key and its
//! figures repeat; a record that follows another need not name its digest; and what the lines of a
//! record sum to is summed again when it is read. What cannot be taken apart and put together to
//! the same bytes is kept as it is, and the builder finds out which that is by trying.
//!
//! A **block** takes the place of a frame. It holds 1 to 8,192 entries, ordered by (chain, index)
//! over all blocks of the segment, and at most 4 MiB of content, which is one zstd frame. FORMAT.md
//! section 14 has its bytes; [`walk`] is the order in which they are written and read, once for
//! both.

mod block;
mod columns;
mod record;
#[cfg(test)]
mod tests;
mod walk;

use affiant_proto::salted::MAX_LEAVES;

use super::MAX_SEGMENT_BYTES;

pub(super) use block::{Item, holds, pack, unpack};

/// Most entries of one block.
///
/// The 80 bytes of chain, key and first digest are spent anew where a block ends in a chain: once
/// in 8,192 entries. Of 320 bytes of columns a record these are 2.6 MB.
pub const MAX_BLOCK_ENTRIES: usize = 8_192;

/// Most bytes of envelopes that the builder tries to put into one block: 8,192 records of 760 bytes
/// are 6.2 MB, and fill less in columns. A block that is longer than its content may be is halved.
pub(super) const BLOCK_ENVELOPES: usize = 8 * 1024 * 1024;

/// Why the content of a block is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfiled {
    /// It does not decompress to the length that the table says.
    #[error("it does not decompress to the length that the table says")]
    Compressed,
    /// It ends within a column.
    #[error("its columns are cut off")]
    CutOff,
    /// Bytes after the last column.
    #[error("bytes follow its last column")]
    Trailing,
    /// Numbers of more than eight bytes.
    #[error("the column `{0}` has numbers of more than eight bytes")]
    Wide(&'static str),
    /// A column that ends before the entries do.
    #[error("the column `{0}` ends before the entries do")]
    Short(&'static str),
    /// A column that goes on after the last entry.
    #[error("the column `{0}` goes on after the last entry")]
    Left(&'static str),
    /// A number that its field cannot hold.
    #[error("a number of the column `{0}` is too large for its field")]
    Number(&'static str),
    /// Bits of a form that do not go together.
    #[error("an entry has a form that there is not")]
    Form,
    /// An entry before any chain was named.
    #[error("its first entry names no chain")]
    Chain,
    /// A record that follows nothing, without the digest of the one before.
    #[error("a record without the digest of the one before it follows nothing")]
    Previous,
    /// A checkpoint that is no message.
    #[error("a checkpoint that a record had seen is no message")]
    Checkpoint,
    /// More lines than a record has.
    #[error("a record has more than {} lines", MAX_LEAVES - 1)]
    Lines,
    /// Totals that the lines do not give.
    #[error("the lines of a record do not sum to totals")]
    Totals,
    /// An index that is not the segment's, or that another entry has.
    #[error("a log index is not of the segment, or stands in it twice")]
    Index,
    /// More than a segment may hold.
    #[error("the entries are more than the {MAX_SEGMENT_BYTES} bytes that a segment may hold")]
    TooMuch,
}
