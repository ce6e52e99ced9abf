//! Bundles: what a report is made of, how it is written, and how it is verified. And what verifier
//! and auditor both must know of a log's files: segments and tiles.
//!
//! No socket, no clock: log entries and files come in and go out as values, but that segments are
//! also read in place, a frame at a time, and that files which somebody names are opened in one way.
//!
//! ```text
//! log ─ select ─▶ evidence ─ reading ─▶ document ─ bundle ─▶ files        page, guide: the same for people
//!                               ▲                    │
//!                               └──── verify ◀───────┘  reads the evidence again and compares
//! ```

pub mod bundle;
pub mod calendar;
pub mod consistency;
mod differ;
pub mod digits;
pub mod document;
pub mod edge;
pub mod evidence;
pub mod files;
pub mod guide;
pub mod head;
pub mod hidden;
pub mod page;
pub mod plain_file;
pub mod prefix;
pub mod reading;
pub mod scope;
pub mod segment;
pub mod select;
pub mod trust;
pub mod verify;
pub mod words;

pub use bundle::{Bundle, Order, build};
pub use scope::{Period, Scope};
pub use trust::Trust;
pub use verify::{Conclusion, Verdict, verify};
