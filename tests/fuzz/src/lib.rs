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

/// A function over any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 25] = [
    ("add_checkpoint", raw::add_checkpoint),
    ("checkpoint", raw::checkpoint),
    ("consistency", raw::consistency),
    ("devices", files::devices),
    ("envelope", raw::envelope),
    ("evidence", raw::evidence),
    ("keys", raw::keys),
    ("lock", files::lock),
    ("note", raw::note),
    ("offline_proof", files::offline_proof),
    ("policy", raw::policy),
    ("report", files::report),
    ("segment", files::segment),
    ("statement", raw::statement),
    ("structured_authority", structured_log::authority),
    ("structured_disclosure", structured::disclosure),
    ("structured_envelope", structured_log::envelope),
    ("structured_evidence", structured_log::evidence),
    ("structured_note", structured::note),
    ("structured_record", structured::record),
    ("structured_segment", structured_log::segment),
    ("structured_statement", structured::statement),
    ("tile", files::tile),
    ("trust", files::trust),
    ("usage_leaves", raw::usage_leaves),
];

/// Those of agent, verifier and witness, which write a file or two a round.
#[cfg(feature = "daemons")]
pub const DAEMONS: [(&str, Target); 8] = [
    ("agent_files", daemons::agent_files),
    ("deployment", daemons::deployment),
    ("host", daemons::host),
    ("log", daemons::log),
    ("spool", daemons::spool),
    ("trace", daemons::trace),
    ("verifier_files", daemons::verifier_files),
    ("witness_memory", daemons::witness_memory),
];
