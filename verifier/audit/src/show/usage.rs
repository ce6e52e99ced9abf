//! The lines of a usage record, with what they point at.

use affiant_judge::{Class, DeviceTable};
use affiant_proto::v1;
use prost::Message as _;
use serde::Serialize;

/// What the indices in lines point at; `None` for what is not shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// Devices of the inventory in force.
    pub(super) devices: Vec<Option<v1::Device>>,
    /// The workloads in force.
    pub(super) workloads: Vec<Option<v1::Workload>>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its leaf.
    pub leaf: usize,
    /// The device: its uuid, or its number where it is not shown.
    pub device: String,
    /// Its model.
    pub model: Option<String>,
    /// Its class by the device table.
    pub class: Option<Class>,
    /// Whose time it is: "attributed", "idle", "unattributed" or "not observed".
    pub kind: &'static str,
    /// The workload by the most telling of what was observed of it; none where there is none.
    pub workload: Option<String>,
    /// Why it was not observed.
    pub reason: Option<String>,
    /// Milliseconds.
    pub time_ms: u64,
    /// Held, milliseconds; absent where it was not read.
    pub allocated_ms: Option<u64>,
    /// With kernels running, milliseconds.
    pub busy_ms: Option<u64>,
    /// Millijoules.
    pub energy_mj: Option<u64>,
    /// Bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Samples that it rests on.
    pub samples: u32,
}

/// The lines and totals of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Totals of each device, as leaf 0 has them.
    pub totals: Vec<Total>,
    /// Lines that are shown.
    pub lines: Vec<Line>,
    /// How many are not.
    pub withheld: usize,
}

/// The totals of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The device.
    pub device: String,
    /// Attributed, milliseconds.
    pub attributed_ms: u64,
    /// Idle.
    pub idle_ms: u64,
    /// Unattributed.
    pub unattributed_ms: u64,
    /// Not observed.
    pub not_observed_ms: u64,
    /// Energy, millijoules.
    pub energy_mj: Option<u64>,
}

impl Tables {
    /// Reads the devices of an inventory from its leaves.
    pub(super) fn take_devices(&mut self, leaves: &[Option<Vec<u8>>]) {
        self.devices = decoded(leaves);
    }

    /// Reads the workloads of a statement of these from its leaves.
    pub(super) fn take_workloads(&mut self, leaves: &[Option<Vec<u8>>]) {
        self.workloads = decoded(leaves);
    }

    /// Reads the leaves of a usage record, which were held against its root.
    pub(super) fn usage(&self, leaves: &[Option<Vec<u8>>]) -> Usage {
        let totals = leaves.first().and_then(Option::as_ref);
        let totals = totals.and_then(|leaf| v1::Totals::decode(leaf.as_slice()).ok());
        let totals = totals.unwrap_or_default().devices;
        let total = |(place, parts): (u32, &v1::DeviceTotals)| Total {
            device: self.device(place).0,
            attributed_ms: parts.attributed_ms,
            idle_ms: parts.idle_ms,
            unattributed_ms: parts.unattributed_ms,
            not_observed_ms: parts.not_observed_ms,
            energy_mj: parts.energy_mj,
        };
        let lines = leaves.iter().enumerate().skip(1);
        let lines = lines.filter_map(|(leaf, line)| {
            let line = v1::UsageLine::decode(line.as_ref()?.as_slice()).ok()?;
            Some(self.line(leaf, &line))
        });
        Usage {
            totals: (0_u32..).zip(&totals).map(total).collect(),
            lines: lines.collect(),
            withheld: leaves.iter().filter(|leaf| leaf.is_none()).count(),
        }
    }

    fn line(&self, leaf: usize, line: &v1::UsageLine) -> Line {
        let (device, model) = self.device(line.device);
        let known = self
            .devices
            .get(line.device as usize)
            .and_then(Option::as_ref);
        let kind = match line.kind() {
            v1::LineKind::Attributed => "attributed",
            v1::LineKind::Idle => "idle",
            v1::LineKind::Unattributed => "unattributed",
            v1::LineKind::NotObserved => "not observed",
            v1::LineKind::Unspecified => "unknown",
        };
        let reason = line.reason();
        let reason = (reason != v1::Reason::Unspecified).then(|| format!("{reason:?}"));
        Line {
            leaf,
            device,
            model,
            class: known.map(|device| DeviceTable::shipped().class(device)),
            kind,
            workload: line.workload.map(|place| self.workload(place)),
            reason,
            time_ms: line.time_ms,
            allocated_ms: line.allocated_ms,
            busy_ms: line.busy_ms,
            energy_mj: line.energy_mj,
            memory_peak_bytes: line.memory_peak_bytes,
            samples: line.samples,
        }
    }

    fn device(&self, place: u32) -> (String, Option<String>) {
        match self.devices.get(place as usize).and_then(Option::as_ref) {
            Some(device) => (device.uuid.clone(), Some(device.model.clone())),
            None => (format!("number {place}, not shown"), None),
        }
    }

    fn workload(&self, place: u32) -> String {
        let Some(Some(workload)) = self.workloads.get(place as usize) else {
            return format!("number {place}, not shown");
        };
        let named = [
            ("namespace", &workload.namespace),
            ("pod", &workload.pod),
            ("Slurm account", &workload.slurm_account),
            ("Slurm job", &workload.slurm_job),
            ("unit", &workload.unit),
            ("container", &workload.container_id),
            ("user", &workload.user),
        ];
        let named = named.into_iter().filter(|(_, value)| !value.is_empty());
        let named: Vec<String> = named
            .take(2)
            .map(|(what, value)| format!("{what} {value}"))
            .collect();
        match named.is_empty() {
            true => "without a name".to_owned(),
            false => named.join(", "),
        }
    }
}

fn decoded<M: prost::Message + Default>(leaves: &[Option<Vec<u8>>]) -> Vec<Option<M>> {
    let read = |leaf: &Option<Vec<u8>>| M::decode(leaf.as_ref()?.as_slice()).ok();
    leaves.iter().map(read).collect()
}
