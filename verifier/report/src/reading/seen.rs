//! What was read beside the judge's figures.

use std::collections::BTreeMap;

use affiant_proto::{Digest, v1};

/// One inventory of a host.
#[derive(Clone, Debug)]
pub struct InventorySeen {
    /// Log index.
    pub index: u64,
    /// Sequence in its chain.
    pub sequence: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_ms: u64,
    /// What it says.
    pub body: v1::Inventory,
    /// Its devices; `None` for one that is not shown.
    pub devices: Vec<Option<v1::Device>>,
    /// Start of the first and end of the last record of the period that rests on it.
    pub used_ms: Option<(u64, u64)>,
}

/// What was read of one host.
#[derive(Clone, Debug, Default)]
pub struct HostSeen {
    /// Name.
    pub name: String,
    /// Site, as configured by the operator.
    pub site: String,
    /// Version of the agent that enrolled.
    pub agent_version: String,
    /// Inventories in order.
    pub inventories: Vec<InventorySeen>,
    /// Records of the period by source of measurement.
    pub sources: BTreeMap<&'static str, u64>,
    /// Statements that the host announced as lost.
    pub lost: u64,
    /// Whether a record after the period is there, so that none of the period can be missing.
    pub closed: bool,
}

/// An officer whose chain was read.
#[derive(Clone, Debug)]
pub struct OfficerSeen {
    /// Name.
    pub name: String,
    /// Digest that opened the chain.
    pub chain: Digest,
    /// Public key.
    pub key: Vec<u8>,
    /// Log index of the opening statement.
    pub index: u64,
    /// Named by the genesis, or admitted by two others.
    pub by_genesis: bool,
    /// Statements signed.
    pub statements: u64,
}

/// Names a source of measurement as reports do.
pub fn source(source: i32) -> &'static str {
    match v1::SourceKind::try_from(source).unwrap_or_default() {
        v1::SourceKind::Nvml => "nvml",
        v1::SourceKind::Recorded => "recorded",
        v1::SourceKind::Simulated => "simulated",
        v1::SourceKind::Unspecified => "unknown",
    }
}
