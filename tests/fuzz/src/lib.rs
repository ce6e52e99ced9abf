//! What every reader of foreign bytes promises, as functions over any bytes: no panic, and what is
//! accepted has one spelling and holds together.
//!
//! The fuzz targets call them, and so does a test of the workspace, over mutated vectors, on the
//! stable compiler: `cargo test -p affiant-tests --test fuzz_smoke`.
//! With cargo-fuzz: `cargo +nightly fuzz run statement` in `tests/fuzz`; with `--features daemons` also
//! what agent, verifier and witness read.

pub mod choices;
#[cfg(feature = "daemons")]
pub mod daemons;
pub mod files;
pub mod raw;
pub mod structured;
pub mod structured_log;
pub mod targets;

pub use targets::{TARGETS, Target};
