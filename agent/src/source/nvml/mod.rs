//! The NVML source: the driver is read in a child process, so that a library that lies, hangs or
//! crashes reaches neither key nor stream.
//!
//! ```text
//! agent ── NvmlSource ── supervisor thread ══ pipes ══ nvml-reader (child): one thread per GPU
//! ```
//!
//! The parent sets the pace: it asks once per tick, the child answers with what each device gave
//! in time, and whatever does not come in time is a reason, never a guess.

mod abandoned;
mod attention;
mod backoff;
mod child;
mod device;
mod frame;
mod handle;
mod health;
mod holders;
mod library;
mod options;
mod orders;
mod raw;
mod reader;
mod roster;
mod supervisor;

pub use handle::NvmlSource;
pub use library::{Library, LibraryError};
pub use options::{Clock, Options, StartError};
pub use reader::reader_main;

/// Most devices of one host that are read: as many as a record can speak of. Bounds a driver that
/// lies about its count.
pub const MAX_DEVICES: usize = affiant_proto::usage::MAX_DEVICES;

/// Reads bytes as what goes over the pipes between agent and child, both ways: for fuzz targets.
#[doc(hidden)]
pub fn read_any(bytes: &[u8]) {
    let mut pipe = bytes;
    while let Ok(Some(answer)) = frame::read::<frame::Answer>(&mut pipe) {
        let _ = answer.check();
    }
    let mut pipe = bytes;
    while let Ok(Some(_)) = frame::read::<frame::Request>(&mut pipe) {}
}
