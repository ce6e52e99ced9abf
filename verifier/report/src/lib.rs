//! Bundles: what a report is made of, how it is written, and how it is verified.
//!
//! No socket, no directory, no clock: log entries and files come in and go out as values.
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
pub mod document;
pub mod evidence;
pub mod files;
pub mod guide;
pub mod page;
pub mod prefix;
pub mod reading;
pub mod scope;
pub mod select;
pub mod trust;
pub mod verify;
pub mod words;

pub use bundle::{Bundle, Order, build};
pub use scope::{Period, Scope};
pub use trust::Trust;
pub use verify::{Conclusion, Verdict, verify};
