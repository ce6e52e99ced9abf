//! What a source reads: the raw reading, before anybody is named.
//!
//! `None` always means that the driver did not answer, or was not asked; it is never zero.

use affiant_proto::v1;

/// One instant on two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant {
    /// CLOCK_BOOTTIME, milliseconds.
    pub boot_ms: u64,
    /// Wall clock, milliseconds since 1970-01-01 UTC.
    pub wall_ms: u64,
    /// How much of `boot_ms` the host was suspended: CLOCK_BOOTTIME less CLOCK_MONOTONIC; 0 in
    /// an instant that was read back from a record.
    pub slept_ms: u64,
}

/// The devices of the host and where the knowledge of them comes from.
///
/// A source yields one before its first [`Sample`] and again whenever the set changes; a device
/// keeps its place in the list while the agent runs, lost or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    /// NVML, recorded or simulated; stands in every signed record.
    pub source: v1::SourceKind,
    /// Absolute path of the library or trace.
    pub library: String,
    /// SHA-256 of that file.
    pub library_digest: [u8; 32],
    /// As the driver spells it; empty where there is none.
    pub driver_version: String,
    /// In the order to which `Sample::devices` keeps.
    pub devices: Vec<v1::Device>,
}

/// One tick of the whole host: one entry per device of the inventory in force, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When the tick was due and read.
    pub at: Instant,
    /// Each device's reading, or why there is none.
    pub devices: Vec<Result<Reading, v1::Reason>>,
}

/// One reading of one device that answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Percent of the driver's own sampling period in which a kernel ran, 0 to 100.
    pub utilization: Option<u8>,
    /// Bytes of device memory in use.
    pub memory_used: Option<u64>,
    /// Milliwatts.
    pub power_mw: Option<u32>,
    /// Millijoules since the driver was loaded; falls back only when it was loaded again. Dear to
    /// read, and so read where a record ends.
    pub energy_mj: Option<u64>,
    /// Thousandths of SM activity, where GPM tells.
    pub sm_permille: Option<u32>,
    /// Thousandths of tensor-pipe activity, where GPM tells.
    pub tensor_permille: Option<u32>,
    /// Who holds the device.
    pub processes: Processes,
}

/// The compute processes of a device, a list that may be dear to read and then is read rarely.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Processes {
    /// Nothing suggested a change: the last list stands.
    #[default]
    Unchanged,
    /// The list was read.
    Read(Vec<GpuProcess>),
    /// The list was due and the driver refused it: holders are unknown.
    Failed,
}

/// A process that holds a compute context on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuProcess {
    /// In the host's PID namespace; 0 in a recorded trace.
    pub pid: u32,
    /// Bytes; `None` where the driver does not tell (MIG, WDDM).
    pub used_memory: Option<u64>,
    /// Percent of SM time since the last reading, where the driver tells per process.
    pub sm_percent: Option<u8>,
    /// Workload as recorded; only a trace has it, a live process is resolved by its pid.
    pub recorded: Option<v1::Workload>,
}

/// What a source says next.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The devices, before the samples that refer to them.
    Inventory(Inventory),
    /// One tick. A source that is hung, dead or starting still yields one per tick, each device
    /// `Err` with the reason.
    Sample(Sample),
    /// A recorded trace has ended (never from NVML).
    End,
}
