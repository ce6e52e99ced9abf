//! What everybody in this process knows of the operator's and the officers' keys.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use affiant_proto::Authorities;

/// One truth for the writer, who admits the operator's statements, for the officers' commands and
/// for whoever asks whether a key was revoked. Never held across an await.
#[derive(Clone)]
pub struct Authority(Arc<RwLock<Authorities>>);

impl Authority {
    /// Shares what the log says.
    pub fn new(authorities: Authorities) -> Self {
        Self(Arc::new(RwLock::new(authorities)))
    }

    /// Looks.
    pub fn read(&self) -> RwLockReadGuard<'_, Authorities> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes.
    pub fn write(&self) -> RwLockWriteGuard<'_, Authorities> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
