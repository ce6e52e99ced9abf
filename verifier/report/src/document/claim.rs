//! What a report claims of itself: all that does not follow from its evidence.

use affiant_judge::{Parameters, RULES_VERSION};
use affiant_proto::tlog::{Hash, Origin};
use serde::Deserialize;

use super::SCHEMA;
use crate::scope::{Period, Scope};

/// What a report claims of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The period.
    pub period: Period,
    /// Whose lines are shown.
    pub scope: Scope,
    /// The log's name.
    pub origin: Origin,
    /// Entries of the log from which the figures were computed.
    pub size: u64,
    /// Root of the tree of these entries.
    pub root: Hash,
    /// By what uses were judged.
    pub parameters: Parameters,
    /// Version of the rules that judged.
    pub rules_version: String,
}

/// Why a text is not a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadReport {
    /// Not JSON.
    #[error("report.json is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Of another schema.
    #[error("report.json is of schema {0:?}, not {SCHEMA}; use the release that reads it")]
    Schema(String),
    /// The log's name or root.
    #[error("report.json, basis: {0} cannot be")]
    Basis(&'static str),
}

/// The parts of a report that are read and not only compared.
#[derive(Deserialize)]
struct ClaimRead {
    schema: String,
    rules: RulesRead,
    period: Period,
    scope: ScopeRead,
    basis: BasisRead,
}

#[derive(Deserialize)]
struct RulesRead {
    version: String,
    parameters: serde_json::Value,
}

#[derive(Deserialize)]
struct ScopeRead {
    tenant: Option<String>,
}

#[derive(Deserialize)]
struct BasisRead {
    origin: String,
    size: u64,
    root: String,
}

impl Claim {
    /// Reads what a report claims; the rest of it is for comparison.
    pub fn read(report: &[u8]) -> Result<Self, BadReport> {
        let read: ClaimRead = serde_json::from_slice(report)?;
        if read.schema != SCHEMA {
            return Err(BadReport::Schema(read.schema.chars().take(80).collect()));
        }
        let parameters = match serde_json::from_value(read.rules.parameters) {
            // Other rules may have other parameters: to be judged differently is not to be broken.
            Err(_) if read.rules.version != RULES_VERSION => Parameters::default(),
            parameters => parameters?,
        };
        Ok(Self {
            period: read.period,
            scope: Scope::of(&read.scope.tenant.unwrap_or_default()),
            origin: read
                .basis
                .origin
                .parse()
                .map_err(|_| BadReport::Basis("origin"))?,
            size: read.basis.size,
            root: read
                .basis
                .root
                .parse()
                .map_err(|_| BadReport::Basis("root"))?,
            parameters,
            rules_version: read.rules.version,
        })
    }
}
