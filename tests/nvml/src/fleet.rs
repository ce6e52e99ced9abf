//! The files that say what the simulated machine has and what befalls it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Largest file that is read: a thousand devices with a hundred bytes per line fit well.
const MAX_FILE: u64 = 1 << 20;

/// The machine: what the file in `AFFIANT_NVML_SIM` holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// As `nvmlSystemGetDriverVersion` gives it.
    pub driver_version: String,
    /// A file that is read anew at every call; it may be absent.
    pub control: Option<PathBuf>,
    /// From when seconds count.
    #[serde(default)]
    pub clock: Epoch,
    /// In NVML's order.
    #[serde(default)]
    pub device: Vec<Device>,
    /// What goes wrong, and when.
    #[serde(default)]
    pub fault: Vec<Fault>,
}

/// What the control file holds. Everything in it is in force while it stands there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Further faults.
    #[serde(default)]
    pub fault: Vec<Fault>,
    /// Loads that stand in for the fleet's.
    #[serde(default)]
    pub load: Vec<ControlledLoad>,
    /// Further processes.
    #[serde(default)]
    pub process: Vec<ControlledProcess>,
}

/// When second 0 of loads, processes and faults is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Epoch {
    /// The first call of this process: each start of a reader begins anew.
    #[default]
    Load,
    /// The last change of the fleet file: time goes on across restarts, as a machine's does.
    File,
}

/// One GPU.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// As `nvmlDeviceGetUUID` gives it.
    pub uuid: String,
    /// Name of the model.
    pub name: String,
    /// Absent: the board has none, and the call is not supported.
    pub serial: Option<String>,
    /// As in `00000000:1B:00.0`.
    pub pci_bus_id: String,
    /// Device id in the high 16 bits, vendor id in the low.
    pub pci_device_id: u32,
    /// Likewise of the board.
    pub pci_subsystem_id: u32,
    /// Total memory.
    pub memory_mib: u64,
    /// Absent: the device knows no MIG. True: utilization is not supported, as nvml.h says.
    pub mig: Option<bool>,
    /// Whether pipe activity can be measured (GPM).
    #[serde(default)]
    pub gpm: bool,
    /// Energy counter at second 0, millijoules.
    #[serde(default)]
    pub energy_mj: u64,
    /// Steps in ascending order of `at`; before the first the device idles at 60 W.
    #[serde(default)]
    pub load: Vec<Load>,
    /// Who computes on it.
    #[serde(default)]
    pub process: Vec<Process>,
}

/// A level that holds from a second on until the next step.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Seconds since second 0.
    #[serde(default)]
    pub at: u64,
    /// Percent; more than 100 is told as it stands.
    pub utilization: u32,
    /// Watts.
    pub watts: u32,
    /// Percent of tensor-pipe activity.
    #[serde(default)]
    pub tensor: u32,
}

/// A process with a compute context.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Who it is.
    pub pid: Pid,
    /// Absent: the driver does not tell.
    pub memory_mib: Option<u64>,
    /// Second of its start.
    #[serde(default)]
    pub start: u64,
    /// Second of its end; absent: it stays.
    pub stop: Option<u64>,
    /// Listed among the clients of MPS instead.
    #[serde(default)]
    pub mps: bool,
}

/// How a process is named: by number, as `"self"` (the process that loaded this library), as
/// `"parent"` (the parent of that one), or as `"@/path"`, a file that holds the number; while that
/// file is absent or empty the process does not run.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Pid {
    /// A number.
    Number(u32),
    /// One of the words above.
    Word(String),
}

/// A load that a control file sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlledLoad {
    /// NVML index.
    pub device: usize,
    /// Percent.
    pub utilization: u32,
    /// Watts.
    pub watts: u32,
}

/// A process that a control file adds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlledProcess {
    /// NVML index.
    pub device: usize,
    /// Who it is.
    pub pid: Pid,
    /// Absent: the driver does not tell.
    pub memory_mib: Option<u64>,
}

/// Something that goes wrong.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// NVML index; absent: every call, on a device or not, as by a process-wide lock.
    pub device: Option<usize>,
    /// Name of the one call that it befalls, as `nvmlDeviceGetPowerUsage`; absent: all.
    pub call: Option<String>,
    /// Second from which on.
    #[serde(default)]
    pub at: u64,
    /// Second until which; absent: for ever.
    pub until: Option<u64>,
    /// Return code of `error` and `claim`.
    pub code: Option<u32>,
    /// Number of processes that `claim` claims.
    pub count: Option<u32>,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The call returns that the GPU is lost.
    Lost,
    /// The call never returns, even when the fault has passed.
    Hang,
    /// The call does not return before the fault has passed.
    Stall,
    /// The call crashes the process.
    Segfault,
    /// The call returns `code`, 999 (unknown) if absent.
    Error,
    /// Process lists claim `count` entries and return `code`, success if absent.
    Claim,
    /// Text fills its buffer with bytes that are no text and do not end.
    Garbage,
}

impl Fault {
    /// Says whether the fault befalls this call at this second.
    pub fn befalls(&self, call: &str, device: Option<usize>, second: u64) -> bool {
        let here = self.device.is_none() || self.device == device;
        let this = self.call.as_deref().is_none_or(|name| name == call);
        here && this && second >= self.at && self.until.is_none_or(|until| second < until)
    }
}

impl Device {
    /// Gives the level in force at a second; idle before the first step.
    pub fn level(&self, second: u64) -> Load {
        const IDLE: Load = Load {
            at: 0,
            utilization: 0,
            watts: 60,
            tensor: 0,
        };
        let passed = self.load.iter().take_while(|step| step.at <= second);
        passed.last().copied().unwrap_or(IDLE)
    }

    /// Gives the energy that the loads use up to a millisecond, in millijoules.
    pub fn energy_until(&self, millis: u64) -> u64 {
        let ends = self.load.iter().map(|step| step.at.saturating_mul(1000));
        let ends = ends.chain([millis]).map(|end| end.min(millis));
        let mut from = 0;
        let mut energy = 0_u64;
        for end in ends {
            // Watts times milliseconds are millijoules.
            let level = self.level(from / 1000);
            energy += u64::from(level.watts) * end.saturating_sub(from);
            from = from.max(end);
        }
        energy
    }
}

impl Process {
    /// Says whether the process runs at a second.
    pub fn runs(&self, second: u64) -> bool {
        second >= self.start && self.stop.is_none_or(|stop| second < stop)
    }
}

impl Fleet {
    /// Reads a fleet file.
    ///
    /// # Errors
    /// Names the file and what is wrong in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        parse(path).map_err(|error| format!("fleet {}: {error}", path.display()))
    }
}

impl Control {
    /// Reads a control file; one that is absent says nothing.
    ///
    /// # Errors
    /// Names the file and what is wrong in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        if !path.exists() {
            return Ok(Self::default());
        }
        parse(path).map_err(|error| format!("control {}: {error}", path.display()))
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    toml::from_str(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn device(load: Vec<Load>) -> Device {
        Device {
            uuid: "GPU-0".into(),
            name: "NVIDIA H100".into(),
            serial: None,
            pci_bus_id: "00000000:1B:00.0".into(),
            pci_device_id: 0x2330_10DE,
            pci_subsystem_id: 0,
            memory_mib: 1024,
            mig: None,
            gpm: false,
            energy_mj: 0,
            load,
            process: Vec::new(),
        }
    }

    fn step(at: u64, watts: u32) -> Load {
        Load {
            at,
            utilization: 50,
            watts,
            tensor: 0,
        }
    }

    #[test]
    fn the_bundled_fleet_has_eight_devices_with_different_names() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fleets/eight.toml");
        let fleet = Fleet::read(&path).unwrap();
        let uuids: std::collections::BTreeSet<_> = fleet.device.iter().map(|d| &d.uuid).collect();
        assert_eq!(uuids.len(), 8);
    }

    #[test]
    fn an_unknown_field_is_refused_and_the_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fleet.toml");
        std::fs::write(&path, "driver_version = '570'\ndrivers = 1\n").unwrap();
        let error = Fleet::read(&path).unwrap_err();
        assert!(
            error.contains("fleet.toml") && error.contains("drivers"),
            "{error}"
        );
    }

    #[test]
    fn energy_is_power_over_time_and_idle_before_the_first_step() {
        let device = device(vec![step(2, 100), step(4, 500)]);
        assert_eq!(device.energy_until(1_000), 60_000);
        assert_eq!(device.energy_until(3_000), 120_000 + 100_000);
        assert_eq!(device.energy_until(4_500), 120_000 + 200_000 + 250_000);
        assert_eq!(device.level(3).watts, 100);
        assert_eq!(super::Device::level(&device, 1).watts, 60);
    }

    #[test]
    fn a_fault_without_a_device_befalls_every_call_and_one_with_a_call_only_that() {
        let control: Control = toml::from_str(
            "[[fault]]\nkind = 'hang'\nat = 3\nuntil = 5\n\
             [[fault]]\nkind = 'error'\ndevice = 1\ncall = 'nvmlDeviceGetPowerUsage'\ncode = 4\n",
        )
        .unwrap();
        let [everywhere, power] = control.fault.as_slice() else {
            panic!("two faults")
        };
        assert!(everywhere.befalls("nvmlInit_v2", None, 3));
        assert!(!everywhere.befalls("nvmlInit_v2", None, 2));
        assert!(!everywhere.befalls("nvmlInit_v2", None, 5));
        assert!(power.befalls("nvmlDeviceGetPowerUsage", Some(1), 0));
        assert!(!power.befalls("nvmlDeviceGetPowerUsage", Some(0), 0));
        assert!(!power.befalls("nvmlDeviceGetName", Some(1), 0));
    }
}
