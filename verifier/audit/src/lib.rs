//! The auditor's tool: verifies bundles without network, clock or server, and witnesses logs.
//!
//! ```text
//! directory ─ affiant_report::verify ─▶ verdict ─ print        witness: a socket of its own, and only there
//! ```

pub mod cli;
pub mod directory;
pub mod print;
pub mod witness;
