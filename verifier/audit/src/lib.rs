//! The auditor's tool: verifies bundles without network, clock or server, and witnesses logs.

pub mod witness;
