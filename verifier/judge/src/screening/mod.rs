//! Screening: whether a name is that of somebody on a list, and how near it is.
//!
//! ```text
//! bytes ─ import ─▶ List ─┐
//!                         ├ index ─▶ candidates ─ align ─▶ pairs ─ class ─▶ Class ─ corroborate ─▶ Hit
//! name ─ fold, name ─▶ Name┘
//! ```
//!
//! A name is folded to words of ASCII, its legal form set apart; every word weighs what it tells. Words
//! of two names are paired, none twice, and what is paired is set against what stands alone. The pairs
//! are part of the answer: an officer decides by them, for no score orders reviews.

mod aliases;
mod align;
mod class;
mod corroborate;
pub(crate) mod fold;
mod forms;
mod han;
pub mod import;
mod index;
mod known_as;
mod lands;
mod list;
mod name;
mod number;
mod pairs;
mod pinyin;
mod similar;
mod table;
mod words;

pub use aliases::Aliases;
pub use align::Pair;
pub use class::Class;
pub use corroborate::{Agreement, Corroboration, Subject};
pub use index::{Hit, Screener, compare};
pub use list::{Entry, List};
pub use name::{MAX_CHARS, MAX_TOKENS, Name, Token};
pub use pairs::{Judged, LabelledPair, Score, read_pairs};
pub use words::Sort;

/// Version of how names are compared: lists, tables and thresholds of this code. What was decided
/// over hits names it.
pub const SCREENING_VERSION: u32 = 1;
