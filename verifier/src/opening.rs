//! Enrolments on their way into the log: while one is, its chain, token and record key are taken.
//!
//! An entry in the log takes a second, so many enrol meanwhile. What holds one back from another
//! is this list until the enrolment is in the log, and [`crate::hosts::Hosts`] from then on.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use affiant_proto::Digest;
use tokio::sync::watch;

/// All enrolments under way. One needs a token that is not used, so there are never more than
/// tokens.
#[derive(Clone, Default)]
pub struct Openings(Arc<Mutex<BTreeMap<Digest, Taken>>>);

struct Taken {
    token: Digest,
    record_key: Vec<u8>,
    over: watch::Receiver<()>,
}

/// One enrolment under way; forgotten when dropped, whatever became of it.
pub struct Opening {
    all: Openings,
    chain: Digest,
    /// Dropped with the rest: that tells those who wait.
    _over: watch::Sender<()>,
}

impl Openings {
    /// Remembers an enrolment; the caller has made sure that nothing of it is taken.
    pub fn begin(&self, chain: Digest, token: Digest, record_key: Vec<u8>) -> Opening {
        let (tell, over) = watch::channel(());
        let taken = Taken {
            token,
            record_key,
            over,
        };
        self.lock().insert(chain, taken);
        Opening {
            all: self.clone(),
            chain,
            _over: tell,
        }
    }

    /// What ends when the enrolment of `chain` does; none when it is not under way.
    pub fn under_way(&self, chain: &Digest) -> Option<watch::Receiver<()>> {
        self.lock().get(chain).map(|taken| taken.over.clone())
    }

    /// Tells whether an enrolment under way spends the token of this digest.
    pub fn spends(&self, token: Digest) -> bool {
        self.lock().values().any(|taken| taken.token == token)
    }

    /// Tells whether an enrolment under way opens a chain by this record key.
    pub fn has_key(&self, record_key: &[u8]) -> bool {
        self.lock()
            .values()
            .any(|taken| taken.record_key == record_key)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, Taken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.all.lock().remove(&self.chain);
    }
}
