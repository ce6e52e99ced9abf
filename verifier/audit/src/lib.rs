//! The auditor's tool: verifies bundles and whole logs without network or server, and witnesses logs.
//!
//! ```text
//! segments, tiles ─ log ─ affiant_report::verify::WholeLog ─▶ verdict ─ print
//! directory ─ affiant_report::verify ─▶ verdict ─ print        witness: a socket of its own, and only there
//! ```

pub mod cli;
pub mod directory;
pub mod log;
pub mod print;
pub mod show;
pub mod witness;
