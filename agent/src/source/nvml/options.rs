//! How the NVML source runs.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use super::library::LibraryError;
use crate::{sample, source::Paused};

/// Tells the time that samples are stamped with.
pub type Clock = fn() -> sample::Instant;

/// Names the fleet file of a simulated library. The one variable that the child keeps: a driver's
/// library does not know it, and any other could steer a library that is loaded later.
pub(super) const FLEET_VARIABLE: &str = "AFFIANT_NVML_SIM";

/// How the NVML source runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary whose hidden subcommand `nvml-reader` is [`super::reader_main`].
    pub program: PathBuf,
    /// Absolute path of the driver's library.
    pub library: PathBuf,
    /// Time between two ticks, 10 ms to 60 s.
    pub period: Duration,
    /// Time that a child gets to open NVML and find the devices.
    pub start_deadline: Duration,
    /// Wait before the second child, doubled for each further one.
    pub restart_first: Duration,
    /// Longest wait between two children; a child that lives as long has made good the failures
    /// before it.
    pub restart_most: Duration,
    /// Time by which the first inventory is given, empty if no device is known by then.
    pub first_inventory: Duration,
    /// Fleet file of a simulated library, handed on to it.
    pub fleet: Option<OsString>,
    /// Stamps the samples.
    pub clock: Clock,
    /// The pause in which the source begins: no child is started until it is over.
    pub paused: Option<Paused>,
}

impl Options {
    /// Gives what a host uses: this very binary, 1 Hz, a minute for NVML to open (a driver
    /// without persistence mode wakes eight GPUs in about half of that), restarts after 1 to 60 s.
    pub fn new(library: PathBuf, clock: Clock) -> Self {
        Self {
            // Not `current_exe`: this still names the running binary after an upgrade replaced it.
            program: PathBuf::from("/proc/self/exe"),
            library,
            period: Duration::from_secs(1),
            start_deadline: Duration::from_secs(60),
            restart_first: Duration::from_secs(1),
            restart_most: Duration::from_secs(60),
            first_inventory: Duration::from_secs(10),
            fleet: std::env::var_os(FLEET_VARIABLE),
            clock,
            paused: None,
        }
    }
}

/// Why the source cannot be started at all. A library that is missing is no such reason: it may
/// come, and until then every tick says that nothing was observed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The library's path is not absolute.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The period is outside its range.
    #[error(
        "a sampling period of {0:?} is outside 10 ms to 60 s; correct it in the agent's configuration"
    )]
    Period(Duration),
    /// The system refused a thread.
    #[error("cannot start the thread that minds the nvml reader: {0}")]
    Thread(std::io::Error),
}
