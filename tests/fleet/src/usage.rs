//! What a simulated host reports: eight H100, three workloads, figures that move as real ones do.
//!
//! Of a hundred hosts sixty run one Slurm job on all of their devices, twenty-five a training pod,
//! and fifteen are shared: of eight devices four run a Slurm job, two a pod, one changes from the pod
//! to a service within the interval, and one runs the service for a part of it and is idle for the
//! rest. On the others a device changes hands once an hour; nearly all of their records have one line
//! a device. The salts' seed and the measured figures are random and so do not compress better than
//! real ones; names repeat as they do on a host.

use affiant_proto::{
    SaltedTree, Seed, digest,
    salted::BadLeaves,
    usage::MAX_DEVICES,
    v1::{self, LineKind},
};
use prost::Message as _;

use crate::random::Random;

/// The longest that a record's length strays from the asked interval, as an agent's timer does.
const JITTER_MS: u64 = 3;

/// Memory that a CUDA allocator takes at a time.
const MEMORY_STEP: u64 = 2 << 20;

/// Memory of one device, as NVML tells it for an H100 with 80 GB.
const MEMORY: u64 = 81_559 << 20;

const SLURM: u32 = 0;
const POD: u32 = 1;
const SERVICE: u32 = 2;

/// Of how many records of a device one has a change of hands: one an hour, at one in 10 s.
const CHANGES: u64 = 360;

/// What a host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// One workload on all of its devices.
    Whole(u32),
    /// Several at a time.
    Shared,
}

/// One simulated host: its devices and the time that its records have reached.
#[derive(Clone, Debug)]
pub struct HostModel {
    random: Random,
    purpose: Purpose,
    gpus: u32,
    interval_ms: u64,
    boot: u32,
    /// CLOCK_BOOTTIME and wall clock at which the next record starts.
    boot_ms: u64,
    wall_ms: u64,
    memory: Vec<u64>,
}

/// More devices than a record can have, or an interval that none can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--gpus wants 1 to {MAX_DEVICES}, --interval-ms 1000 to 3600000")]
pub struct NotAHost;

impl HostModel {
    /// Begins boot number `boot` of a host, its first record at `wall_ms`.
    pub fn new(
        gpus: u32,
        interval_ms: u64,
        boot: u32,
        wall_ms: u64,
        mut random: Random,
    ) -> Result<Self, NotAHost> {
        let fits = (1..=MAX_DEVICES).contains(&(gpus as usize));
        // One sample a second, and room for the jitter below the longest interval.
        if !fits
            || !(1_000..=affiant_proto::usage::MAX_INTERVAL_MS - JITTER_MS).contains(&interval_ms)
        {
            return Err(NotAHost);
        }
        Ok(Self {
            purpose: match random.within(0, 99) {
                0..=59 => Purpose::Whole(SLURM),
                60..=84 => Purpose::Whole(POD),
                _ => Purpose::Shared,
            },
            gpus,
            interval_ms,
            boot,
            boot_ms: random.within(60_000, 30 * 86_400_000),
            wall_ms,
            memory: (0..gpus)
                .map(|_| random.within(8 << 30, 76 << 30) / MEMORY_STEP * MEMORY_STEP)
                .collect(),
            random,
        })
    }

    /// Sets the wall clock so that the next record ends at `end_unix_ms`.
    pub fn end_next(&mut self, end_unix_ms: u64) {
        self.wall_ms = end_unix_ms.saturating_sub(self.interval_ms);
    }

    /// The `inventory` statement with its devices.
    pub fn inventory(&mut self) -> Result<(v1::Inventory, SaltedTree), BadLeaves> {
        let leaves: Vec<_> = (0..self.gpus)
            .map(|n| self.device(n).encode_to_vec())
            .collect();
        let tree = self.salted(leaves)?;
        let body = v1::Inventory {
            header: None,
            source: v1::SourceKind::Simulated.into(),
            library: "/usr/lib/affiant-fleet".into(),
            library_digest: digest(b"affiant-fleet").as_bytes().to_vec(),
            driver_version: "570.148.08".into(),
            root: tree.root().as_bytes().to_vec(),
            count: tree.count(),
        };
        Ok((body, tree))
    }

    /// The `workloads` statement with its three workloads.
    pub fn workloads(&mut self) -> Result<(v1::Workloads, SaltedTree), BadLeaves> {
        let job = self.random.within(100_000, 9_999_999);
        let slurm = v1::Workload {
            platform: v1::Platform::Slurm.into(),
            uid: Some(10_001),
            user: "mkessler".into(),
            unit: "slurmstepd.scope".into(),
            cluster: "hall-2".into(),
            slurm_job: job.to_string(),
            slurm_account: "bench-climate".into(),
            ..Default::default()
        };
        let pod = v1::Workload {
            platform: v1::Platform::Kubernetes.into(),
            uid: Some(65_532),
            container_id: self.hex(32),
            pod_uid: self.uuid(),
            cluster: "hall-2".into(),
            namespace: "bench-vision".into(),
            pod: format!("trainer-{}", self.hex(5)),
            service_account: "trainer".into(),
            ..Default::default()
        };
        let service = v1::Workload {
            platform: v1::Platform::SystemdUnit.into(),
            uid: Some(998),
            user: "inference".into(),
            unit: "bench-inference.service".into(),
            ..Default::default()
        };
        let leaves = [slurm, pod, service]
            .iter()
            .map(v1::Workload::encode_to_vec)
            .collect();
        let tree = self.salted(leaves)?;
        let body = v1::Workloads {
            header: None,
            root: tree.root().as_bytes().to_vec(),
            count: tree.count(),
        };
        Ok((body, tree))
    }

    /// The next interval, which abuts on the one before; `inventory` and `workloads` are the
    /// sequences of the statements in force.
    pub fn usage(
        &mut self,
        inventory: u64,
        workloads: u64,
    ) -> Result<(v1::Usage, SaltedTree), BadLeaves> {
        let length = self.interval_ms - JITTER_MS + self.random.within(0, 2 * JITTER_MS);
        let (mut totals, mut lines) = (v1::Totals::default(), Vec::new());
        for device in 0..self.gpus {
            let of_device = self.lines(device, length);
            totals.devices.push(sum(&of_device));
            lines.extend(of_device);
        }
        let leaves = std::iter::once(totals.encode_to_vec())
            .chain(lines.iter().map(v1::UsageLine::encode_to_vec))
            .collect();
        let tree = self.salted(leaves)?;
        let body = v1::Usage {
            header: None,
            boot: self.boot,
            start_ms: self.boot_ms,
            end_ms: self.boot_ms + length,
            wall_start_ms: self.wall_ms,
            wall_end_ms: self.wall_ms + length,
            source: v1::SourceKind::Simulated.into(),
            inventory,
            workloads,
            usage_root: tree.root().as_bytes().to_vec(),
            usage_count: tree.count(),
        };
        self.boot_ms += length;
        self.wall_ms += length;
        Ok((body, tree))
    }

    fn lines(&mut self, device: u32, length: u64) -> Vec<v1::UsageLine> {
        if let Purpose::Whole(workload) = self.purpose {
            if self.random.within(1, CHANGES) > 1 {
                return vec![self.attributed(device, workload, length)];
            }
            let first = self.random.within(1, length - 1);
            return vec![
                self.attributed(device, workload, first),
                self.attributed(device, SERVICE, length - first),
            ];
        }
        match device % 8 {
            0..=3 => vec![self.attributed(device, SLURM, length)],
            4..=5 => vec![self.attributed(device, POD, length)],
            6 => {
                let first = self.random.within(1, length - 1);
                vec![
                    self.attributed(device, POD, first),
                    self.attributed(device, SERVICE, length - first),
                ]
            }
            _ => {
                let held = self.random.within(1, length - 1);
                vec![
                    self.attributed(device, SERVICE, held),
                    self.idle(device, length - held),
                ]
            }
        }
    }

    fn attributed(&mut self, device: u32, workload: u32, time_ms: u64) -> v1::UsageLine {
        // NVML tells whole percents, once a second.
        let seen = u64::from(samples(time_ms));
        let percents: u64 = (0..seen).map(|_| self.random.within(90, 100)).sum();
        let busy = time_ms * percents / (100 * seen.max(1));
        let watts = self.random.within(480, 695);
        // An allocator that grows or gives back now and then, as training loops do.
        let memory = self.memory.get_mut(device as usize).map(|memory| {
            let step = MEMORY_STEP * self.random.within(1, 64);
            *memory = match self.random.within(0, 49) {
                0 => memory.saturating_add(step).min(MEMORY),
                1 => memory.saturating_sub(step),
                _ => *memory,
            };
            *memory
        });
        v1::UsageLine {
            device,
            kind: LineKind::Attributed.into(),
            workload: Some(workload),
            time_ms,
            allocated_ms: Some(time_ms),
            busy_ms: Some(busy),
            energy_mj: Some(watts * time_ms + self.random.within(0, 999)),
            memory_peak_bytes: memory,
            sm_permille: Some(self.permille(600, 950)),
            tensor_permille: Some(self.permille(250, 620)),
            samples: samples(time_ms),
            ..Default::default()
        }
    }

    fn idle(&mut self, device: u32, time_ms: u64) -> v1::UsageLine {
        v1::UsageLine {
            device,
            kind: LineKind::Idle.into(),
            time_ms,
            busy_ms: Some(0),
            energy_mj: Some(self.random.within(68, 74) * time_ms + self.random.within(0, 999)),
            memory_peak_bytes: Some(0),
            sm_permille: Some(0),
            tensor_permille: Some(0),
            samples: samples(time_ms),
            ..Default::default()
        }
    }

    fn device(&mut self, n: u32) -> v1::Device {
        v1::Device {
            uuid: format!("GPU-{}", self.uuid()),
            model: "NVIDIA H100 80GB HBM3".into(),
            serial: Some(format!("1653023{:06}", self.random.within(0, 999_999))),
            pci_bus_id: Some(format!("00000000:{:02X}:00.0", 0x1b + n)),
            pci_device_id: Some(0x2330_10de),
            pci_subsystem_id: Some(0x16c1_10de),
            memory_bytes: Some(MEMORY),
            coverage: v1::Coverage::Full.into(),
        }
    }

    fn permille(&mut self, low: u64, high: u64) -> u32 {
        u32::try_from(self.random.within(low, high)).unwrap_or(0)
    }

    fn salted(&mut self, leaves: Vec<Vec<u8>>) -> Result<SaltedTree, BadLeaves> {
        SaltedTree::new(Seed::new(self.random.bytes()), leaves)
    }

    fn hex(&mut self, bytes: usize) -> String {
        (0..bytes)
            .map(|_| format!("{:02x}", self.random.within(0, 255)))
            .collect()
    }

    fn uuid(&mut self) -> String {
        [4, 2, 2, 2, 6].map(|bytes| self.hex(bytes)).join("-")
    }
}

/// One sample a second, and the one that began the time.
fn samples(time_ms: u64) -> u32 {
    u32::try_from(time_ms.div_ceil(1_000)).unwrap_or(u32::MAX)
}

fn sum(lines: &[v1::UsageLine]) -> v1::DeviceTotals {
    let mut total = v1::DeviceTotals::default();
    for line in lines {
        if line.workload.is_some() {
            total.attributed_ms += line.time_ms;
        } else {
            total.idle_ms += line.time_ms;
        }
        if let Some(energy) = line.energy_mj {
            total.energy_mj = Some(total.energy_mj.unwrap_or(0) + energy);
        }
    }
    total
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::usage::{Ended, check_interval, read_leaves};

    use super::*;

    fn model(seed: u64) -> HostModel {
        let random = Random::new(seed, 0);
        HostModel::new(8, 10_000, 1, 1_800_000_000_000, random).unwrap()
    }

    #[test]
    fn every_record_is_one_that_a_verifier_admits() {
        for seed in 0..20 {
            let mut model = model(seed);
            let mut last: Option<Ended> = None;
            for _ in 0..50 {
                let (usage, tree) = model.usage(1, 2).unwrap();
                let length = check_interval(&usage).unwrap();
                if let Some(last) = last {
                    last.abuts(&usage).unwrap();
                }
                last = Some(Ended {
                    boot: usage.boot,
                    end_ms: usage.end_ms,
                });
                tree.matches(&usage.usage_root, usage.usage_count).unwrap();
                let (_, lines) = read_leaves(tree.leaves(), 8, 3, length).unwrap();
                assert!((8..=16).contains(&lines.len()), "{}", lines.len());
            }
        }
    }

    #[test]
    fn fleets_with_other_numbers_of_devices_are_admitted_too() {
        for gpus in [1, 7, 16, 64] {
            let random = Random::new(1, 0);
            let mut model = HostModel::new(gpus, 1_000, 1, 0, random).unwrap();
            let (usage, tree) = model.usage(1, 2).unwrap();
            read_leaves(tree.leaves(), gpus, 3, check_interval(&usage).unwrap()).unwrap();
            assert_eq!(model.inventory().unwrap().0.count, gpus);
        }
    }

    #[test]
    fn most_records_of_a_fleet_have_one_line_a_device() {
        let (mut records, mut lines) = (0, 0);
        for seed in 0..200 {
            let mut model = model(seed);
            for _ in 0..10 {
                records += 1;
                lines += model.usage(1, 2).unwrap().1.count() - 1;
            }
        }
        let mean = f64::from(lines) / f64::from(records);
        assert!((8.1..=8.7).contains(&mean), "{mean}");
    }

    #[test]
    fn a_host_that_cannot_be_is_refused() {
        for (gpus, interval) in [(0, 10_000), (65, 10_000), (8, 999), (8, 3_600_000)] {
            let refused = HostModel::new(gpus, interval, 1, 0, Random::new(1, 0));
            assert_eq!(refused.err(), Some(NotAHost));
        }
    }

    #[test]
    fn the_figures_of_a_record_do_not_repeat_those_of_the_one_before() {
        let mut model = model(1);
        let (_, first) = model.usage(1, 2).unwrap();
        let (_, second) = model.usage(1, 2).unwrap();
        assert_ne!(first.seed(), second.seed());
        for (a, b) in first.leaves().iter().zip(second.leaves()) {
            assert_ne!(a, b);
        }
    }
}
