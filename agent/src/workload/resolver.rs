//! pid → workload, as far as the host itself tells.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use affiant_proto::v1::{self, Platform};

use super::{
    cgroup::Place,
    passwd::user_name,
    process::{self, Process, ProcessKey, Unknown},
};

/// Most processes remembered: 64 devices × 64 processes. At about 500 bytes each these are 2 MiB.
pub const MAX_REMEMBERED: usize = 4_096;

/// How long what was read of a process is believed, milliseconds: Slurm and systemd move a
/// process into its cgroup after it began.
pub const BELIEVED_MS: u64 = 60_000;

/// Whose a process is.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// The kernel placed it in this workload.
    Workload(Arc<v1::Workload>),
    /// It could not be told. It is there all the same: never idle, never somebody near.
    Unknown(Unknown),
}

/// Resolves processes by the kernel's word; names of pods and jobs come from elsewhere.
#[derive(Debug)]
pub struct Resolver {
    proc_root: PathBuf,
    passwd: PathBuf,
    known: HashMap<ProcessKey, (Arc<v1::Workload>, u64)>,
}

impl Resolver {
    /// Makes a resolver that reads below `proc_root` (`/proc` on a host) and names users from
    /// `passwd` (`/etc/passwd`).
    pub fn new(proc_root: impl Into<PathBuf>, passwd: impl Into<PathBuf>) -> Self {
        Self {
            proc_root: proc_root.into(),
            passwd: passwd.into(),
            known: HashMap::new(),
        }
    }

    /// Tells whose `pid` is at `now_ms` (any steady clock, milliseconds).
    pub fn resolve(&mut self, pid: u32, now_ms: u64) -> Resolution {
        match self.look_up(pid, now_ms) {
            Ok(workload) => Resolution::Workload(workload),
            Err(unknown) => Resolution::Unknown(unknown),
        }
    }

    fn look_up(&mut self, pid: u32, now_ms: u64) -> Result<Arc<v1::Workload>, Unknown> {
        let key = process::key(&self.proc_root, pid)?;
        if let Some((workload, read_ms)) = self.known.get(&key)
            && now_ms.saturating_sub(*read_ms) < BELIEVED_MS
        {
            return Ok(Arc::clone(workload));
        }
        let process = process::read(&self.proc_root, key)?;
        let workload = Arc::new(self.describe(process));
        if self.known.len() >= MAX_REMEMBERED {
            let fresh = |read_ms: u64| now_ms.saturating_sub(read_ms) < BELIEVED_MS;
            self.known.retain(|_, (_, read_ms)| fresh(*read_ms));
        }
        // Full of fresh ones: then this one is read again each time.
        if self.known.len() < MAX_REMEMBERED {
            self.known.insert(key, (Arc::clone(&workload), now_ms));
        }
        Ok(workload)
    }

    fn describe(&self, process: Process) -> v1::Workload {
        let mut workload = v1::Workload {
            uid: Some(process.uid),
            user: user_name(&self.passwd, process.uid).unwrap_or_default(),
            ..v1::Workload::default()
        };
        let platform = match process.place {
            Place::Pod {
                pod_uid,
                container_id,
            } => {
                workload.pod_uid = pod_uid;
                workload.container_id = container_id.unwrap_or_default();
                Platform::Kubernetes
            }
            Place::Container { id, unit } => {
                workload.container_id = id;
                workload.unit = unit.unwrap_or_default();
                Platform::Container
            }
            Place::SlurmJob { id } => {
                workload.slurm_job = id;
                Platform::Slurm
            }
            Place::VirtualMachine { domain } => {
                // No unit can have this name: a slash never stands in one.
                workload.unit = format!("qemu/{domain}");
                Platform::VirtualMachine
            }
            Place::Unit { name } => {
                workload.unit = name;
                Platform::SystemdUnit
            }
            Place::Bare => Platform::Bare,
        };
        workload.platform = platform.into();
        workload
    }
}
