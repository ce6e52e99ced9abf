//! How much is read, taken in and sent at a time on one address. What one caller may hold up is held up for
//! those alone who want the same.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Limits, Right};

/// The places of one address.
#[derive(Clone)]
pub(super) struct Places {
    reads: Arc<Semaphore>,
    sends: Arc<Semaphore>,
    submits: Arc<Semaphore>,
    asks: Arc<Semaphore>,
    objects: Arc<Semaphore>,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            reads: places(limits.reads),
            sends: places(limits.sends),
            submits: places(limits.submits),
            asks: places(limits.asks),
            objects: places(limits.objects),
        }
    }

    /// Waits to read something short from the disk.
    pub(super) async fn read(&self) -> Option<OwnedSemaphorePermit> {
        free(&self.reads).await
    }

    /// Waits to read something long and to send it.
    pub(super) async fn send(&self) -> Option<OwnedSemaphorePermit> {
        free(&self.sends).await
    }

    /// Waits to take in what somebody hands in by this right; to read nobody hands in anything.
    pub(super) async fn take(&self, right: Right) -> Option<OwnedSemaphorePermit> {
        match right {
            Right::Read => None,
            Right::Submit => free(&self.submits).await,
            Right::Ask => free(&self.asks).await,
            Right::Object => free(&self.objects).await,
        }
    }
}

async fn free(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    // Nobody closes them.
    Arc::clone(places).acquire_owned().await.ok()
}
