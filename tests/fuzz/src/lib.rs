//! What every reader of foreign bytes promises, as functions over any bytes: no panic, and what is
//! accepted has one spelling and holds together.
//!
//! The fuzz targets call them, and so does a test of the workspace, over mutated vectors, on the
//! stable compiler: `cargo test -p affiant-tests --test fuzz_smoke`.
//! With cargo-fuzz: `cargo +nightly fuzz run statement` in `tests/fuzz`.

pub mod choices;
pub mod raw;
pub mod structured;

/// A function over any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 13] = [
    ("add_checkpoint", raw::add_checkpoint),
    ("checkpoint", raw::checkpoint),
    ("consistency", raw::consistency),
    ("envelope", raw::envelope),
    ("evidence", raw::evidence),
    ("keys", raw::keys),
    ("note", raw::note),
    ("statement", raw::statement),
    ("structured_disclosure", structured::disclosure),
    ("structured_note", structured::note),
    ("structured_record", structured::record),
    ("structured_statement", structured::statement),
    ("usage_leaves", raw::usage_leaves),
];
