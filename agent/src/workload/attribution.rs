//! Process lists → holders: what the meter needs of each sample.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use affiant_proto::v1::{self, Platform};

use super::{
    kubelet::Kubelet,
    resolver::{Resolution, Resolver},
    slurm::{PrologFiles, SlurmJob},
};
use crate::{
    meter::{Holder, Holding},
    sample::{GpuProcess, Processes, Sample},
};

/// Longest time that a sample waits for the names of a pod that was never seen before: the least
/// time between two reads of the kubelet, and as much again for the answer. A pod that is not
/// named by then goes without names until it is.
pub const NAME_PATIENCE: Duration = Duration::from_secs(2);

/// How long a prolog file is believed, milliseconds.
const JOB_BELIEVED_MS: u64 = 60_000;

/// Least time between two looks for a prolog file that is not there or not good, milliseconds.
const JOB_RETRY_MS: u64 = 5_000;

/// Least time between two questions for pods that the kubelet did not know, milliseconds.
const POD_RETRY_MS: u64 = 10_000;

/// Most jobs and unnamed pods remembered.
const MAX_REMEMBERED: usize = 1_024;

/// Where names come from that the kernel does not know.
#[derive(Debug, Default)]
pub struct NameSources {
    /// The cluster's name, written on workloads of Kubernetes and Slurm; empty where there is none.
    pub cluster: String,
    /// Names of pods.
    pub kubelet: Option<Kubelet>,
    /// Accounts and users of Slurm jobs.
    pub slurm: Option<PrologFiles>,
}

/// Keeps each device's last process list, resolved, and names its workloads.
#[derive(Debug)]
pub struct Attribution {
    resolver: Resolver,
    names: NameSources,
    /// `None` where the list is not known.
    devices: Vec<Option<Vec<Seen>>>,
    jobs: HashMap<String, (Option<SlurmJob>, u64)>,
    /// Pods for which a sample has already waited.
    awaited: BTreeSet<String>,
    /// When the kubelet was last asked for them.
    asked_ms: u64,
}

/// A holder as the kernel knows it.
#[derive(Clone, Debug)]
struct Seen {
    holder: Holder,
    /// A recorded workload has the names that it had then.
    recorded: bool,
}

impl Seen {
    /// The pod whose names must be looked up.
    fn pod_uid(&self) -> Option<&String> {
        let workload = self.holder.workload.as_ref()?;
        (!self.recorded && !workload.pod_uid.is_empty()).then_some(&workload.pod_uid)
    }
}

impl Attribution {
    /// Starts with no list known.
    pub fn new(resolver: Resolver, names: NameSources) -> Self {
        Self {
            resolver,
            names,
            devices: Vec::new(),
            jobs: HashMap::new(),
            awaited: BTreeSet::new(),
            asked_ms: 0,
        }
    }

    /// Gives the holders of each device of `sample`, in its order.
    ///
    /// A device that was not read keeps its list: the next reading says whether it stands. Waits
    /// at most [`NAME_PATIENCE`], once per new pod.
    pub async fn holdings(&mut self, sample: &Sample) -> Vec<Holding> {
        let now_ms = sample.at.boot_ms;
        self.devices.resize(sample.devices.len(), None);
        for (device, reading) in sample.devices.iter().enumerate() {
            let list = match reading.as_ref().map(|reading| &reading.processes) {
                Ok(Processes::Read(list)) => {
                    let holders = list.iter().map(|process| self.seen(process, now_ms));
                    Some(holders.collect())
                }
                Ok(Processes::Failed) => None,
                Ok(Processes::Unchanged) | Err(_) => continue,
            };
            if let Some(place) = self.devices.get_mut(device) {
                *place = list;
            }
        }
        self.await_new_pods(now_ms).await;
        // Taken out while they are named, for naming remembers what it read.
        let devices = std::mem::take(&mut self.devices);
        let holding = |list: &Option<Vec<Seen>>| match list {
            None => Holding::Unknown,
            Some(list) => Holding::Known(list.iter().map(|s| self.named(s, now_ms)).collect()),
        };
        let holdings = devices.iter().map(holding).collect();
        self.devices = devices;
        holdings
    }

    fn seen(&mut self, process: &GpuProcess, now_ms: u64) -> Seen {
        let workload = match &process.recorded {
            Some(workload) => Some(Arc::new(workload.clone())),
            None => match self.resolver.resolve(process.pid, now_ms) {
                Resolution::Workload(workload) => Some(workload),
                Resolution::Unknown(why) => {
                    tracing::debug!(pid = process.pid, %why, "a process on a device is nobody's");
                    None
                }
            },
        };
        Seen {
            holder: Holder {
                workload,
                memory: process.used_memory,
                sm_percent: process.sm_percent,
            },
            recorded: process.recorded.is_some(),
        }
    }

    async fn await_new_pods(&mut self, now_ms: u64) {
        let Some(kubelet) = &self.names.kubelet else {
            return;
        };
        let pods = kubelet.pods();
        let unnamed: BTreeSet<&String> = self
            .devices
            .iter()
            .flatten()
            .flatten()
            .filter_map(Seen::pod_uid)
            .filter(|uid| pods.get(uid).is_none())
            .collect();
        // One wait for all: a single read of the kubelet names every pod that it knows.
        if let Some(new) = unnamed.iter().find(|uid| !self.awaited.contains(**uid)) {
            self.asked_ms = now_ms;
            kubelet.wait_for(new, NAME_PATIENCE).await;
        } else if !unnamed.is_empty() && now_ms.saturating_sub(self.asked_ms) >= POD_RETRY_MS {
            self.asked_ms = now_ms;
            kubelet.ask();
        }
        self.awaited = unnamed.into_iter().take(MAX_REMEMBERED).cloned().collect();
    }

    /// The holder with the names that are known now.
    fn named(&mut self, seen: &Seen, now_ms: u64) -> Holder {
        let mut holder = seen.holder.clone();
        if let Some(workload) = holder.workload.as_ref().filter(|_| !seen.recorded) {
            holder.workload = match workload.platform() {
                Platform::Kubernetes => Some(Arc::new(self.named_pod(workload))),
                Platform::Slurm => Some(Arc::new(self.named_job(workload, now_ms))),
                _ => holder.workload,
            };
        }
        holder
    }

    fn named_pod(&self, workload: &v1::Workload) -> v1::Workload {
        let mut named = workload.clone();
        named.cluster.clone_from(&self.names.cluster);
        let pods = self.names.kubelet.as_ref().map(Kubelet::pods);
        if let Some(pod) = pods.as_ref().and_then(|p| p.get(&workload.pod_uid)) {
            named.namespace.clone_from(&pod.namespace);
            named.pod.clone_from(&pod.name);
            named.service_account.clone_from(&pod.service_account);
            pod.image(&workload.container_id)
                .clone_into(&mut named.image);
        }
        named
    }

    fn named_job(&mut self, workload: &v1::Workload, now_ms: u64) -> v1::Workload {
        let mut named = workload.clone();
        named.cluster.clone_from(&self.names.cluster);
        if let Some(job) = self.job(&workload.slurm_job, now_ms) {
            named.slurm_account = job.account;
            if !job.user.is_empty() {
                named.user = job.user;
            }
        }
        named
    }

    fn job(&mut self, id: &str, now_ms: u64) -> Option<SlurmJob> {
        let files = self.names.slurm.as_ref()?;
        if let Some((job, read_ms)) = self.jobs.get(id) {
            let believed = if job.is_some() {
                JOB_BELIEVED_MS
            } else {
                JOB_RETRY_MS
            };
            if now_ms.saturating_sub(*read_ms) < believed {
                return job.clone();
            }
        }
        let job = files.read(id).unwrap_or_else(|error| {
            tracing::warn!(%error, "a Slurm job goes without account");
            None
        });
        if self.jobs.len() >= MAX_REMEMBERED {
            self.jobs.clear();
        }
        self.jobs.insert(id.to_owned(), (job.clone(), now_ms));
        job
    }
}
