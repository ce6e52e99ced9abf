//! Figures: what the judge counted, as it stands in reports.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    accounting::{Amount, ClassUse, TenantUse},
    darkness::DeviceDark,
    declared::SiteInventory,
    devices::Class,
    hosts::HostState,
};

/// All figures, in fixed order: the same evidence gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Version of the rules that counted.
    pub rules_version: String,
    /// Usage records counted.
    pub records: u64,
    /// Lines of them that are not shown.
    pub lines_withheld: u64,
    /// Part of these that their hosts let go.
    pub lines_lost: u64,
    /// By tenant and class of device.
    pub tenants: Vec<TenantUse>,
    /// By class of device.
    pub classes: Vec<ClassUse>,
    /// By host.
    pub hosts: Vec<HostFigures>,
    /// Devices that were not always observed, by chain and device.
    pub dark: Vec<DeviceDark>,
    /// Devices of the sites of which an officer declared any: those declared, those seen.
    #[serde(default)]
    pub inventory: Vec<SiteInventory>,
    /// Statements that these rules do not judge, by kind.
    pub not_judged: BTreeMap<String, u64>,
    /// What is not known or had no effect, in words.
    pub notes: BTreeSet<String>,
    /// Notes beyond the limit, which are not listed.
    pub notes_left_out: u64,
}

/// One host's coverage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFigures {
    /// Digest of the chain, in hexadecimal.
    pub chain: String,
    /// Name.
    pub host: String,
    /// Site.
    pub site: String,
    /// How it stands.
    pub state: HostState,
    /// Records counted.
    pub records: u64,
    /// Time in which records were due, milliseconds.
    pub expected_ms: Amount,
    /// Time that records cover.
    pub recorded_ms: Amount,
    /// Time between records that nothing covers and no plan excuses.
    pub hole_ms: Amount,
    /// Time without a record, by an operator's plan.
    pub planned_ms: Amount,
    /// Device time, used for nobody knows whom: its lines are lost.
    pub lost_ms: Amount,
}

/// A host as it stands now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostStatus {
    /// Digest of the chain, in hexadecimal.
    pub chain: String,
    /// Name.
    pub host: String,
    /// Site.
    pub site: String,
    /// Version of the agent that enrolled.
    pub agent_version: String,
    /// How it stands.
    pub state: HostState,
    /// Records counted.
    pub records: u64,
    /// Until when its records cover its time, milliseconds since 1970; `None` without a record.
    pub covered_to_unix_ms: Option<u64>,
    /// Since when it is silent; `None` while it is not.
    pub silent_since_unix_ms: Option<u64>,
    /// Since when it is silent by plan; `None` while it is not.
    pub resting_since_unix_ms: Option<u64>,
    /// Time without a record, by plan, milliseconds.
    pub planned_ms: Amount,
    /// Devices of its newest inventory; `None` for one that is not shown.
    pub devices: Vec<Option<DeviceStatus>>,
}

/// A device of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceStatus {
    /// UUID as NVML gives it.
    pub uuid: String,
    /// Model as NVML gives it.
    pub model: String,
    /// Class by the device table.
    pub class: Class,
    /// Total processing performance by the device table; `None` when not known.
    pub tpp: Option<u32>,
    /// Where the class was read; empty for a device that the table does not name.
    pub source: String,
}
