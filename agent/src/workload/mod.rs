//! pid → workload: whose a process on a device is, by the kernel's word.
//!
//! `/proc/PID/cgroup` places a process; its environment and mounts, which it owns itself, are
//! never read. Names of pods and jobs come from the kubelet and from Slurm's prolog.

mod bounded;
mod cgroup;
mod passwd;
mod process;
mod resolver;

pub use process::{ProcessKey, Unknown};
pub use resolver::{BELIEVED_MS, MAX_REMEMBERED, Resolution, Resolver};
