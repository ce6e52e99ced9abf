//! Hosts, how far their time is covered, and their devices.

use std::collections::{BTreeMap, BTreeSet};

use affiant_judge::{Amount, DeviceDark, HostFigures, HostState};
use affiant_proto::{Digest, v1};
use serde::Serialize;

use crate::reading::{HostSeen, InventorySeen, Reading, source};

/// A host.
#[derive(Clone, Debug, Serialize)]
pub struct HostSaid {
    /// Name.
    pub host: String,
    /// Digest that opened its chain.
    pub chain: String,
    /// Site, as configured by the operator.
    pub site: String,
    /// How it stands.
    pub state: HostState,
    /// Version of the agent that enrolled.
    pub agent_version: String,
    /// Records of the period by source of measurement.
    pub sources: BTreeMap<&'static str, u64>,
    /// Records of the period.
    pub records: u64,
    /// Time in which records were due, milliseconds.
    pub expected_ms: Amount,
    /// Time that records cover.
    pub recorded_ms: Amount,
    /// Time that nothing covers and no plan excuses.
    pub hole_ms: Amount,
    /// Time that nothing covers, by an operator's plan.
    pub planned_ms: Amount,
    /// Device time, used for nobody knows whom: its lines are lost.
    pub lost_ms: Amount,
    /// Since when it is silent, milliseconds since 1970; none while it is not.
    pub silent_since_unix_ms: Option<u64>,
    /// Since when it is silent by plan.
    pub resting_since_unix_ms: Option<u64>,
    /// Statements that it announced as lost.
    pub lost: u64,
    /// Whether what it sent late for the period is surely here.
    pub closed: bool,
}

/// A device.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceSaid {
    /// Host.
    pub host: String,
    /// Site of the host, as configured.
    pub site: String,
    /// UUID.
    pub uuid: String,
    /// Serial number; none when the device did not tell.
    pub serial: Option<String>,
    /// Model.
    pub model: String,
    /// PCI address.
    pub pci_bus_id: Option<String>,
    /// PCI device and vendor id, as `0x233010de`.
    pub pci_device_id: Option<String>,
    /// Memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Class by the device table.
    pub class: String,
    /// Total processing performance by the table.
    pub tpp: Option<u32>,
    /// Performance density by the table, hundredths.
    pub pd_centi: Option<u32>,
    /// Memory bandwidth by the table, GB/s.
    pub memory_bandwidth: Option<u32>,
    /// Where the table has it from; none for a device that it does not name.
    pub class_source: Option<String>,
    /// How the device can be observed.
    pub coverage: &'static str,
    /// By what it was read, as `nvml`.
    pub read_by: &'static str,
    /// Driver.
    pub driver: String,
    /// Time of the period in which it was not observed without a plan, milliseconds.
    pub unplanned_dark_ms: Amount,
    /// And by plan.
    pub planned_dark_ms: Amount,
    /// Start of its first record of the period, milliseconds since 1970; none without one.
    pub first_seen_unix_ms: Option<u64>,
    /// End of its last record of the period.
    pub last_seen_unix_ms: Option<u64>,
}

/// A change of what a host has.
#[derive(Clone, Debug, Serialize)]
pub struct InventoryChange {
    /// Host.
    pub host: String,
    /// Log index of the inventory that shows it.
    pub index: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_unix_ms: u64,
    /// UUIDs that came.
    pub added: BTreeSet<String>,
    /// UUIDs that went.
    pub removed: BTreeSet<String>,
}

pub(super) fn hosts(reading: &Reading, figures: &[HostFigures]) -> Vec<HostSaid> {
    let silent: BTreeMap<String, (Option<u64>, Option<u64>)> = reading
        .judge()
        .hosts()
        .into_iter()
        .map(|host| {
            let since = (host.silent_since_unix_ms, host.resting_since_unix_ms);
            (host.chain, since)
        })
        .collect();
    let seen = |chain: &str| {
        chain
            .parse::<Digest>()
            .ok()
            .and_then(|chain| reading.hosts().get(&chain))
    };
    let hosts = figures.iter().map(|host| {
        let (silent, resting) = silent.get(&host.chain).copied().unwrap_or_default();
        let seen = seen(&host.chain).cloned().unwrap_or_default();
        HostSaid {
            host: host.host.clone(),
            chain: host.chain.clone(),
            site: host.site.clone(),
            state: host.state,
            agent_version: seen.agent_version,
            sources: seen.sources,
            records: host.records,
            expected_ms: host.expected_ms,
            recorded_ms: host.recorded_ms,
            hole_ms: host.hole_ms,
            planned_ms: host.planned_ms,
            lost_ms: host.lost_ms,
            silent_since_unix_ms: silent,
            resting_since_unix_ms: resting,
            lost: seen.lost,
            closed: seen.closed || reading.span().1.is_none(),
        }
    });
    hosts.collect()
}

pub(super) fn devices(reading: &Reading, dark: &[DeviceDark]) -> Vec<DeviceSaid> {
    let dark: BTreeMap<(&str, &str), &DeviceDark> = dark
        .iter()
        .map(|one| ((one.chain.as_str(), one.device.as_str()), one))
        .collect();
    let mut said: BTreeMap<(String, String), DeviceSaid> = BTreeMap::new();
    // A host that was enrolled anew has several chains, in all of which a device may have been.
    let mut of_chains: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (chain, host) in reading.hosts() {
        for inventory in &host.inventories {
            for device in inventory.devices.iter().flatten() {
                let new = device_said(reading, host, inventory, device);
                of_chains
                    .entry((host.name.clone(), device.uuid.clone()))
                    .or_default()
                    .insert(chain.to_string());
                said.entry((host.name.clone(), device.uuid.clone()))
                    .and_modify(|known| {
                        let first = known.first_seen_unix_ms.or(new.first_seen_unix_ms);
                        let last = new.last_seen_unix_ms.max(known.last_seen_unix_ms);
                        *known = new.clone();
                        known.first_seen_unix_ms = first;
                        known.last_seen_unix_ms = last;
                    })
                    .or_insert(new);
            }
        }
    }
    for ((host, uuid), device) in &mut said {
        let chains = of_chains.get(&(host.clone(), uuid.clone()));
        for one in chains
            .into_iter()
            .flatten()
            .filter_map(|chain| dark.get(&(chain.as_str(), uuid.as_str())))
        {
            device.unplanned_dark_ms.0 += one.unplanned_ms.0;
            device.planned_dark_ms.0 += one.planned_ms.0;
        }
    }
    said.into_values().collect()
}

fn device_said(
    reading: &Reading,
    host: &HostSeen,
    inventory: &InventorySeen,
    device: &v1::Device,
) -> DeviceSaid {
    let table = reading.judge().devices();
    let row = table.row(device);
    let coverage = match v1::Coverage::try_from(device.coverage).unwrap_or_default() {
        v1::Coverage::Full => "full",
        v1::Coverage::Mig => "mig",
        v1::Coverage::Vgpu => "vgpu",
        v1::Coverage::AllocationOnly => "allocation only",
        v1::Coverage::Dark => "dark",
        v1::Coverage::Unspecified => "unknown",
    };
    DeviceSaid {
        host: host.name.clone(),
        site: host.site.clone(),
        uuid: device.uuid.clone(),
        serial: device.serial.clone(),
        model: device.model.clone(),
        pci_bus_id: device.pci_bus_id.clone(),
        pci_device_id: device.pci_device_id.map(|id| format!("{id:#010x}")),
        memory_bytes: device.memory_bytes,
        class: table.class(device).as_str().to_owned(),
        tpp: row.and_then(|row| row.tpp),
        pd_centi: row.and_then(|row| row.pd_centi),
        memory_bandwidth: row.and_then(|row| row.mem_bw),
        class_source: row.map(|row| row.source.clone()),
        coverage,
        read_by: source(inventory.body.source),
        driver: inventory.body.driver_version.clone(),
        unplanned_dark_ms: Amount::default(),
        planned_dark_ms: Amount::default(),
        first_seen_unix_ms: inventory.used_ms.map(|(first, _)| first),
        last_seen_unix_ms: inventory.used_ms.map(|(_, last)| last),
    }
}

pub(super) fn changes(reading: &Reading) -> Vec<InventoryChange> {
    let uuids = |inventory: &InventorySeen| -> BTreeSet<String> {
        inventory
            .devices
            .iter()
            .flatten()
            .map(|device| device.uuid.clone())
            .collect()
    };
    let mut said = Vec::new();
    for host in reading.hosts().values() {
        for pair in host.inventories.windows(2) {
            let [old, new] = pair else { continue };
            let (before, after) = (uuids(old), uuids(new));
            if before != after {
                said.push(InventoryChange {
                    host: host.name.clone(),
                    index: new.index,
                    logged_unix_ms: new.logged_ms,
                    added: after.difference(&before).cloned().collect(),
                    removed: before.difference(&after).cloned().collect(),
                });
            }
        }
    }
    said.sort_by_key(|change| change.index);
    said
}
