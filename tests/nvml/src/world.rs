//! The machine as it stands at one call: fleet, control file and time taken together.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    fleet::{Control, Device, Epoch, Fault, FaultKind, Fleet, Load, Pid},
    status::{DRIVER_NOT_LOADED, GPU_IS_LOST, Status, UNINITIALIZED, UNKNOWN},
};

/// Names the fleet file.
const VARIABLE: &str = "AFFIANT_NVML_SIM";

/// Step in which a stalled call looks whether its fault has passed.
const STALL_STEP: Duration = Duration::from_millis(5);

static WORLD: OnceLock<Result<World, String>> = OnceLock::new();

/// The machine, from the first call of the process on.
pub(crate) struct World {
    fleet: Fleet,
    loaded: Instant,
    /// Milliseconds that had passed since second 0 at `loaded`.
    head_start: u64,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// Initialisations less shutdowns.
    references: u32,
    /// Energy counters, by device.
    meters: Vec<Meter>,
}

#[derive(Clone, Copy)]
struct Meter {
    millis: u64,
    energy_mj: u64,
}

/// One call that was let through.
pub(crate) struct Call {
    pub(crate) world: &'static World,
    control: Control,
    name: &'static str,
    device: Option<usize>,
    millis: u64,
}

/// A process on a device.
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) memory: Option<u64>,
    pub(crate) mps: bool,
}

/// Lets a call in, or does to it what befalls it.
pub(crate) fn enter(name: &'static str, device: Option<usize>) -> Result<Call, Status> {
    let call = admit(name, device)?;
    if call.world.books().references == 0 {
        return Err(UNINITIALIZED);
    }
    Ok(call)
}

/// Counts an initialisation.
pub(crate) fn initialise(name: &'static str) -> Result<(), Status> {
    let call = admit(name, None)?;
    let mut books = call.world.books();
    books.references = books.references.saturating_add(1);
    Ok(())
}

/// Counts a shutdown.
pub(crate) fn shut_down(name: &'static str) -> Result<(), Status> {
    let call = admit(name, None)?;
    let mut books = call.world.books();
    books.references = books.references.checked_sub(1).ok_or(UNINITIALIZED)?;
    Ok(())
}

fn admit(name: &'static str, device: Option<usize>) -> Result<Call, Status> {
    let world = match WORLD.get_or_init(World::open) {
        Ok(world) => world,
        Err(error) => {
            eprintln!("simulated nvml: {error}");
            return Err(DRIVER_NOT_LOADED);
        }
    };
    loop {
        let control = match world.fleet.control.as_deref().map(Control::read) {
            None => Control::default(),
            Some(Ok(control)) => control,
            Some(Err(error)) => {
                eprintln!("simulated nvml: {error}");
                return Err(UNKNOWN);
            }
        };
        let call = Call {
            world,
            control,
            name,
            device,
            millis: world.millis(),
        };
        let kinds = [
            FaultKind::Hang,
            FaultKind::Stall,
            FaultKind::Segfault,
            FaultKind::Lost,
            FaultKind::Error,
        ];
        let Some(fault) = kinds.into_iter().find_map(|kind| call.fault(kind)) else {
            return Ok(call);
        };
        match fault.kind {
            FaultKind::Hang => loop {
                std::thread::park();
            },
            FaultKind::Stall => std::thread::sleep(STALL_STEP),
            FaultKind::Segfault => crate::api::crash(),
            FaultKind::Lost => return Err(GPU_IS_LOST),
            _ => return Err(fault.code.unwrap_or(UNKNOWN)),
        }
    }
}

impl World {
    fn open() -> Result<Self, String> {
        let path = std::env::var_os(VARIABLE)
            .map(PathBuf::from)
            .ok_or_else(|| format!("set {VARIABLE} to a fleet file"))?;
        let fleet = Fleet::read(&path)?;
        let head_start = match fleet.clock {
            Epoch::Load => 0,
            Epoch::File => age(&path)?,
        };
        let meters = fleet.device.iter().map(|device| Meter {
            millis: head_start,
            energy_mj: device
                .energy_mj
                .saturating_add(device.energy_until(head_start)),
        });
        let meters = meters.collect();
        Ok(Self {
            fleet,
            loaded: Instant::now(),
            head_start,
            books: Mutex::new(Books {
                references: 0,
                meters,
            }),
        })
    }

    fn millis(&self) -> u64 {
        let passed = u64::try_from(self.loaded.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.head_start.saturating_add(passed)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the machine's devices, in order.
    pub(crate) fn devices(&self) -> &[Device] {
        &self.fleet.device
    }

    /// Gives the driver's version.
    pub(crate) fn driver_version(&self) -> &str {
        &self.fleet.driver_version
    }
}

impl Call {
    /// Gives the fault of one kind that befalls this call.
    pub(crate) fn fault(&self, kind: FaultKind) -> Option<&Fault> {
        let faults = self.world.fleet.fault.iter().chain(&self.control.fault);
        let second = self.millis / 1000;
        faults
            .filter(|fault| fault.kind == kind)
            .find(|fault| fault.befalls(self.name, self.device, second))
    }

    /// Gives the device that the call is about.
    pub(crate) fn device(&self) -> Option<&'static Device> {
        self.world.devices().get(self.device?)
    }

    /// Gives the level of the device now.
    pub(crate) fn level(&self) -> Option<Load> {
        let set = self
            .control
            .load
            .iter()
            .find(|load| Some(load.device) == self.device);
        let level = self.device()?.level(self.millis / 1000);
        Some(match set {
            None => level,
            Some(load) => Load {
                utilization: load.utilization,
                watts: load.watts,
                ..level
            },
        })
    }

    /// Gives the energy counter of the device, which grows by the power of the moment.
    pub(crate) fn energy(&self) -> Option<u64> {
        let (level, index) = self.level().zip(self.device)?;
        let mut books = self.world.books();
        let meter = books.meters.get_mut(index)?;
        let passed = self.millis.saturating_sub(meter.millis);
        meter.energy_mj += u64::from(level.watts) * passed;
        meter.millis += passed;
        Some(meter.energy_mj)
    }

    /// Gives the processes that run on the device now.
    pub(crate) fn processes(&self) -> Vec<Running> {
        let second = self.millis / 1000;
        let own = self.device().into_iter().flat_map(|device| &device.process);
        let own = own
            .filter(|process| process.runs(second))
            .map(|process| (&process.pid, process.memory_mib, process.mps));
        let added = self.control.process.iter();
        let added = added
            .filter(|process| Some(process.device) == self.device)
            .map(|process| (&process.pid, process.memory_mib, false));
        own.chain(added)
            .filter_map(|(pid, memory_mib, mps)| {
                Some(Running {
                    pid: number(pid)?,
                    memory: memory_mib.map(|mib| mib << 20),
                    mps,
                })
            })
            .collect()
    }
}

fn number(pid: &Pid) -> Option<u32> {
    match pid {
        Pid::Number(number) => Some(*number),
        Pid::Word(word) if word == "self" => Some(std::process::id()),
        Pid::Word(word) if word == "parent" => Some(std::os::unix::process::parent_id()),
        Pid::Word(word) => {
            let path = word.strip_prefix('@')?;
            std::fs::read_to_string(path).ok()?.trim().parse().ok()
        }
    }
}

fn age(path: &Path) -> Result<u64, String> {
    let changed = std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .map_err(|error| format!("fleet {}: {error}", path.display()))?;
    let age = SystemTime::now()
        .duration_since(changed)
        .unwrap_or_default();
    Ok(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}
