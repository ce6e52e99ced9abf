//! Bundles: what a report is made of, how it is written, and how it is verified.
//!
//! No socket, no directory, no clock: log entries and files come in and go out as values.

pub mod consistency;
pub mod evidence;
pub mod files;
