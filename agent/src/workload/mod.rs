//! pid → workload: whose a process on a device is, by the kernel's word.
//!
//! `/proc/PID/cgroup` places a process; its environment and mounts, which it owns itself, are
//! never read. Names of pods and jobs come from the kubelet and from Slurm's prolog.

mod attribution;
mod bounded;
mod cgroup;
mod kubelet;
mod passwd;
mod process;
mod resolver;
mod slurm;

pub use attribution::{Attribution, NAME_PATIENCE, NameSources};
pub use kubelet::{
    DeviceListError, Endpoint, EndpointError, Entitlement, FetchError, Kubelet, MAX_BODY_BYTES,
    Pod, PodTable, entitlements,
};
pub use process::{ProcessKey, Unknown};
pub use resolver::{BELIEVED_MS, MAX_REMEMBERED, Resolution, Resolver};
pub use slurm::{PrologError, PrologFiles, SlurmJob};

/// Reads bytes that nobody vouches for in each form that this module knows: for fuzz targets.
#[doc(hidden)]
pub fn read_any(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = cgroup::parse(&text);
    let _ = slurm::parse(bytes);
    kubelet::read_any(bytes);
}
