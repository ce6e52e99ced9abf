//! Writes the demo's traces: three hosts with invented tenants and invented figures.
//!
//! `cargo run -p affiant-agent --example generate_trace -- deploy/demo/traces`
//!
//! Nothing here was measured. The models are real so that the device table knows them; idle and
//! full power are near the boards' data sheets. The same figures come out each time.

use std::{error::Error, fs, path::PathBuf};

use affiant_agent::{
    meter::{Holder, Holding},
    sample::{Instant, Inventory, Processes, Reading, Sample},
    source::recorded::{Origin, TraceWriter},
};
use affiant_proto::v1::{self, Platform};

const NOTE: &str =
    "Invented by examples/generate_trace.rs: no GPU was read, no tenant named here exists.";
const DATE: &str = "2026-11-23";
const TICKS: u32 = 90;
const PERIOD_MS: u64 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("usage: generate_trace FOLDER")?;
    fs::create_dir_all(&folder)?;
    for (name, bytes) in traces()? {
        let path = folder.join(name);
        fs::write(&path, &bytes)?;
        println!("{}: {} bytes", path.display(), bytes.len());
    }
    Ok(())
}

/// A file's name and its content.
pub(crate) type Trace = (&'static str, Vec<u8>);

/// Every trace with its file's name.
pub(crate) fn traces() -> Result<Vec<Trace>, Box<dyn Error>> {
    hosts()
        .into_iter()
        .map(|host| Ok((host.file, host.trace()?)))
        .collect()
}

struct Host {
    file: &'static str,
    model: Model,
    devices: u64,
    jobs: Vec<Job>,
}

#[derive(Clone, Copy)]
struct Model {
    name: &'static str,
    pci_device_id: u32,
    memory_bytes: u64,
    idle_mw: u32,
    full_mw: u32,
    /// Whether the device tells SM and tensor activity.
    activity: bool,
}

/// A workload on some devices from one tick up to another.
struct Job {
    workload: v1::Workload,
    devices: std::ops::Range<usize>,
    ticks: std::ops::Range<u32>,
    /// Percent, about which the utilization moves.
    load: u8,
    memory_gib: u64,
}

const H100: Model = Model {
    name: "NVIDIA H100 80GB HBM3",
    pci_device_id: 0x2330_10DE,
    memory_bytes: 81_559 << 20,
    idle_mw: 71_000,
    full_mw: 690_000,
    activity: true,
};

const A100: Model = Model {
    name: "NVIDIA A100-SXM4-80GB",
    pci_device_id: 0x20B2_10DE,
    memory_bytes: 81_920 << 20,
    idle_mw: 58_000,
    full_mw: 395_000,
    activity: false,
};

const L4: Model = Model {
    name: "NVIDIA L4",
    pci_device_id: 0x27B8_10DE,
    memory_bytes: 23_034 << 20,
    idle_mw: 14_000,
    full_mw: 72_000,
    activity: false,
};

fn hosts() -> Vec<Host> {
    vec![
        Host {
            file: "h100.jsonl",
            model: H100,
            devices: 4,
            jobs: vec![
                job(
                    pod("northwind", "pretrain-0", "trainer", 1),
                    0..2,
                    0..TICKS,
                    96,
                    71,
                ),
                job(
                    pod("meridian-hosting", "hu-lab-7", "hosted", 2),
                    2..3,
                    0..TICKS,
                    91,
                    64,
                ),
                job(
                    pod("northwind", "serve-3", "server", 3),
                    3..4,
                    10..70,
                    34,
                    22,
                ),
            ],
        },
        Host {
            file: "a100.jsonl",
            model: A100,
            devices: 4,
            jobs: vec![
                job(
                    pod("meridian-hosting", "hu-lab-2", "hosted", 4),
                    0..2,
                    0..TICKS,
                    98,
                    76,
                ),
                job(slurm("48213", "quickfire", "marta"), 2..3, 0..60, 88, 40),
                job(
                    pod("northwind", "finetune-1", "trainer", 5),
                    3..4,
                    0..TICKS,
                    74,
                    51,
                ),
                // Two tenants on one device.
                job(
                    slurm("48220", "quickfire", "jonas"),
                    3..4,
                    30..TICKS,
                    20,
                    12,
                ),
            ],
        },
        Host {
            file: "l4.jsonl",
            model: L4,
            devices: 2,
            jobs: vec![
                job(slurm("48199", "quickfire", "marta"), 0..1, 0..TICKS, 63, 15),
                job(nobodys(), 1..2, 5..80, 99, 9),
            ],
        },
    ]
}

fn job(
    workload: v1::Workload,
    devices: std::ops::Range<usize>,
    ticks: std::ops::Range<u32>,
    load: u8,
    memory_gib: u64,
) -> Job {
    Job {
        workload,
        devices,
        ticks,
        load,
        memory_gib,
    }
}

fn pod(namespace: &str, name: &str, service_account: &str, seed: u64) -> v1::Workload {
    let mut dice = Dice(seed);
    let id: String = (0..4).map(|_| format!("{:016x}", dice.roll())).collect();
    v1::Workload {
        platform: Platform::Kubernetes.into(),
        uid: Some(1_000),
        container_id: id,
        pod_uid: dice.uuid(),
        cluster: "hall-2".into(),
        namespace: namespace.into(),
        pod: name.into(),
        service_account: service_account.into(),
        image: format!("registry.example/{namespace}/torch:2.9"),
        ..v1::Workload::default()
    }
}

fn slurm(job: &str, account: &str, user: &str) -> v1::Workload {
    v1::Workload {
        platform: Platform::Slurm.into(),
        uid: Some(if user == "marta" { 20_014 } else { 20_031 }),
        user: user.into(),
        cluster: "hall-2".into(),
        slurm_job: job.into(),
        slurm_account: account.into(),
        ..v1::Workload::default()
    }
}

/// A process that somebody started by hand.
fn nobodys() -> v1::Workload {
    v1::Workload {
        platform: Platform::SystemdUnit.into(),
        unit: "run-u77.service".into(),
        uid: Some(1_001),
        user: "ops2".into(),
        ..v1::Workload::default()
    }
}

impl Host {
    fn trace(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        let seed = self.file.bytes().map(u64::from).sum();
        let mut dice = Dice(seed);
        let inventory = self.inventory(&mut dice);
        let mut writer = TraceWriter::new(
            Vec::new(),
            &inventory,
            Origin::Generated,
            DATE,
            NOTE,
            PERIOD_MS,
        )?;
        let mut energy = vec![0_u64; inventory.devices.len()];
        for counter in &mut energy {
            *counter = 900_000_000 + dice.below(100_000_000);
        }
        for tick in 0..TICKS {
            let mut sample = Sample {
                at: Instant {
                    boot_ms: u64::from(tick) * PERIOD_MS,
                    wall_ms: 0,
                    slept_ms: 0,
                },
                devices: Vec::new(),
            };
            let mut holdings = Vec::new();
            for (device, counter) in energy.iter_mut().enumerate() {
                let on = |job: &&Job| job.devices.contains(&device) && job.ticks.contains(&tick);
                let jobs: Vec<&Job> = self.jobs.iter().filter(on).collect();
                let reading = self.reading(&jobs, counter, &mut dice);
                sample.devices.push(Ok(reading));
                holdings.push(Holding::Known(
                    jobs.iter().map(|job| job.holder()).collect(),
                ));
            }
            writer.tick(&sample, &holdings)?;
        }
        Ok(writer.finish()?)
    }

    fn inventory(&self, dice: &mut Dice) -> Inventory {
        let device = |n: u64, dice: &mut Dice| v1::Device {
            uuid: format!("GPU-{}", dice.uuid()),
            model: self.model.name.into(),
            serial: Some(format!("165{:010}", dice.below(10_000_000_000))),
            pci_bus_id: Some(format!("00000000:{:02X}:00.0", 0x18 + n * 0x22)),
            pci_device_id: Some(self.model.pci_device_id),
            pci_subsystem_id: None,
            memory_bytes: Some(self.model.memory_bytes),
            coverage: v1::Coverage::Full.into(),
        };
        Inventory {
            source: v1::SourceKind::Recorded,
            library: String::new(),
            library_digest: [0; 32],
            driver_version: String::new(),
            devices: (0..self.devices).map(|n| device(n, dice)).collect(),
        }
    }

    fn reading(&self, jobs: &[&Job], counter: &mut u64, dice: &mut Dice) -> Reading {
        let load: u64 = jobs.iter().map(|job| u64::from(job.load)).sum();
        let load = match load {
            0 => 0,
            load => (load + dice.below(9)).saturating_sub(4).clamp(1, 100),
        };
        let span = u64::from(self.model.full_mw - self.model.idle_mw);
        let power = u64::from(self.model.idle_mw) + span * load / 100 + dice.below(1_500);
        *counter += power * PERIOD_MS / 1_000;
        let held: u64 = jobs.iter().map(|job| job.memory_gib << 30).sum();
        let percent = u8::try_from(load).unwrap_or(100);
        let activity = |share: u32| {
            let told = self.model.activity.then_some(u32::from(percent));
            told.map(|percent| percent * share / 10)
        };
        Reading {
            utilization: Some(percent),
            memory_used: Some((600 << 20) + held),
            power_mw: u32::try_from(power).ok(),
            energy_mj: Some(*counter),
            sm_permille: activity(82),
            tensor_permille: activity(41),
            processes: Processes::Unchanged,
        }
    }
}

impl Job {
    fn holder(&self) -> Holder {
        Holder {
            workload: Some(std::sync::Arc::new(self.workload.clone())),
            memory: Some(self.memory_gib << 30),
            sm_percent: Some(self.load),
        }
    }
}

/// SplitMix64: the same numbers each time, from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.roll(), self.roll());
        format!(
            "{:08x}-{:04x}-4{:03x}-9{:03x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xFFFF,
            a & 0xFFF,
            b >> 52,
            b & 0xFFFF_FFFF_FFFF
        )
    }
}
