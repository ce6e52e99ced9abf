//! Pod uid → names, from the kubelet of this host.
//!
//! A cgroup gives only a pod's uid. The kubelet's `/pods` gives the rest; it is read in a task of
//! its own, so that a kubelet that hangs holds up no sample.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::Instant,
};

mod devices;
mod endpoint;
mod pods;

pub use devices::{DeviceListError, Entitlement, entitlements};
pub use endpoint::{Endpoint, EndpointError, FetchError, MAX_BODY_BYTES};
pub use pods::{Pod, PodTable};

/// Reads bytes as each answer of a kubelet: for fuzz targets.
pub(super) fn read_any(bytes: &[u8]) {
    let _ = PodTable::parse(bytes);
    devices::read_any(bytes);
}

/// Least time between two reads, so that a burst of new pods costs one a second.
const MIN_GAP: Duration = Duration::from_secs(1);

/// Time between reads that nobody asked for: it lets go of pods that ended.
const REFRESH: Duration = Duration::from_secs(300);

/// Longest time between two reads that fail; the wait doubles from [`MIN_GAP`].
const MAX_GAP: Duration = Duration::from_secs(60);

/// Time that one read may take.
const READ_DEADLINE: Duration = Duration::from_secs(5);

/// What the kubelet said last.
#[derive(Debug)]
pub struct Kubelet {
    pods: watch::Receiver<Arc<PodTable>>,
    wanted: Arc<Notify>,
    task: AbortHandle,
}

impl Kubelet {
    /// Starts to read `endpoint` in a task that ends with this value. Needs a tokio runtime.
    pub fn start(endpoint: Endpoint) -> Self {
        let (told, pods) = watch::channel(Arc::default());
        let wanted = Arc::new(Notify::new());
        let task = tokio::spawn(keep_reading(endpoint, told, Arc::clone(&wanted)));
        Self {
            pods,
            wanted,
            task: task.abort_handle(),
        }
    }

    /// Gives the pods as last read.
    pub fn pods(&self) -> Arc<PodTable> {
        Arc::clone(&self.pods.borrow())
    }

    /// Asks for another read, as soon as the pace allows; does not wait.
    pub fn ask(&self) {
        self.wanted.notify_one();
    }

    /// Asks, and waits until the pod is known, at most until `patience` is over.
    pub async fn wait_for(&self, pod_uid: &str, patience: Duration) {
        self.ask();
        let mut pods = self.pods.clone();
        let known = pods.wait_for(|pods| pods.get(pod_uid).is_some());
        // Not known by then, or the task has ended: the names stay empty for now.
        let _ = tokio::time::timeout(patience, known).await;
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_reading(endpoint: Endpoint, told: watch::Sender<Arc<PodTable>>, wanted: Arc<Notify>) {
    let mut gap = MIN_GAP;
    let mut complained = false;
    loop {
        let began = Instant::now();
        let read = tokio::time::timeout(READ_DEADLINE, endpoint.pods()).await;
        match read.unwrap_or(Err(FetchError::Deadline)) {
            Ok(pods) => {
                gap = MIN_GAP;
                complained = false;
                told.send_replace(Arc::new(pods));
            }
            Err(error) => {
                gap = (gap * 2).min(MAX_GAP);
                if !std::mem::replace(&mut complained, true) {
                    tracing::warn!(%error, "the kubelet does not tell the names of pods");
                }
            }
        }
        tokio::time::sleep_until(began + gap).await;
        let _ = tokio::time::timeout(REFRESH, wanted.notified()).await;
    }
}
