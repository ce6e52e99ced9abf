//! What the supervisor is told, and what it answers: two words between two threads.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use affiant_proto::v1;

use crate::meter::Ending;

/// What the supervisor is to do; the last word counts.
#[derive(Debug)]
pub(super) struct Orders {
    end: AtomicBool,
    pause: Mutex<Option<v1::Reason>>,
    ending: Mutex<Ending>,
}

impl Orders {
    /// Begins with a pause, or with none.
    pub(super) fn new(pause: Option<v1::Reason>) -> Self {
        Self {
            end: AtomicBool::new(false),
            pause: Mutex::new(pause),
            ending: Mutex::new(Ending::default()),
        }
    }

    pub(super) fn end(&self) {
        self.end.store(true, Ordering::Release);
    }

    pub(super) fn ended(&self) -> bool {
        self.end.load(Ordering::Acquire)
    }

    /// Orders a pause, or with `None` its end.
    pub(super) fn pause(&self, reason: Option<v1::Reason>) {
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Orders that energy be read only where records end.
    pub(super) fn follow(&self, ending: Ending) {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = ending;
    }

    pub(super) fn energy_is_due(&self, boot_ms: u64) -> bool {
        self.ending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_due(boot_ms)
    }

    pub(super) fn paused(&self) -> Option<v1::Reason> {
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the supervisor has in hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Grip {
    /// The pause that it keeps.
    pub(super) paused: Option<v1::Reason>,
    /// Children that have not gone, well or killed.
    pub(super) held: Vec<u32>,
}

impl Grip {
    /// Says whether the pause is kept and no child is left.
    pub(super) fn is_free(&self, reason: v1::Reason) -> bool {
        self.paused == Some(reason) && self.held.is_empty()
    }
}
