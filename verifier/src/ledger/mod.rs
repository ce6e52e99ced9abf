//! The ledger: the tamper-evident log on one local disk.
//!
//! One writer, synchronous. The order of a write never changes:
//!
//! ```text
//! Ledger::append          write-ahead file ─ one fdatasync ─▶ an index, durable
//! Ledger::close_segment   segment, create-only ─▶ compare-and-swap in the lock ─▶ signature
//!                         ─▶ tiles ─▶ checkpoint ─▶ write-ahead file cut
//! ```
//!
//! The swap comes before the signature, so no two inconsistent checkpoints are ever signed. Any
//! failure in between is fatal and never retried: [`Ledger::open`] starts from the lock, which is
//! the one thing here that is trusted, checks everything that it names and finishes the rest.
//!
//! [`Reader`] reads what is published, from any thread, while the writer writes.

mod check;
mod create;
mod disk;
mod erase;
mod exhibits;
mod export;
mod hold;
mod kept;
mod lock;
mod places;
mod reader;
mod recovery;
mod refusal;
mod repack;
mod repair;
mod replay;
mod succeed;
mod tiles;
mod wal;
mod writer;

pub use affiant_report::head::Head;
pub use affiant_report::segment::{
    BadSegment, Entry, MAX_FRAME_BYTES, MAX_FRAME_ENTRIES, MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES,
    NotASegmentName, NotAnEntry, SegmentName,
};
pub use disk::{Access, Disk, LocalDisk};
pub use erase::{Erased, Eraser, NotErased};
pub use exhibits::{Exhibits, MAX_EXHIBITS, NotPut};
pub use export::{Exported, NotExported, export};
pub use hold::NotHeld;
pub use kept::{Idle, Kept, KeptEntries, NotKept, PublishedNote, published_segments};
pub use lock::{FileLock, Lock, LockError};
pub use reader::{Entries, ReadError, Reader};
pub use recovery::{Store, check_lock};
pub use refusal::OpenError;
pub use repack::{NotRepacked, Repacked, Repacker};
pub use repair::rewritten;
pub use replay::{Recovery, Replay, Replayed};
pub use succeed::{locked_origin, put_checkpoint, settle, succeed};
pub use wal::BadWal;
pub use writer::{AppendError, Fatal, Ledger, RESERVE_BYTES, Step};

/// Reads bytes as a write-ahead file: for fuzz targets.
#[doc(hidden)]
pub fn read_any(bytes: &[u8]) {
    wal::read_any(bytes);
}
