//! The bell of a stream: rung when something changed of what the stream carries.
//!
//! A stream carries one host, or as a relay's many. Whoever changes something first notes where,
//! for all of it, and then rings: so a stream wakes up once for a checkpoint, however many of its
//! hosts that moved.

use std::{
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

/// The bell. One task listens to it.
#[derive(Default)]
pub struct Bell(Mutex<State>);

#[derive(Default)]
struct State {
    /// Places that changed since they were taken, each once: who notes keeps count of that.
    noted: Vec<u32>,
    rung: bool,
    listener: Option<Waker>,
}

impl Bell {
    /// Notes that something changed at a place of the stream; tells whether it is the first, and
    /// the bell therefore is to be rung.
    pub fn note(&self, place: u32) -> bool {
        let mut state = self.state();
        state.noted.push(place);
        state.noted.len() == 1
    }

    /// Wakes the stream.
    pub fn ring(&self) {
        let mut state = self.state();
        state.rung = true;
        let listener = state.listener.take();
        drop(state);
        if let Some(listener) = listener {
            listener.wake();
        }
    }

    /// Completes once the bell is rung, or was since it was last heard.
    pub async fn rung(&self) {
        poll_fn(|context| {
            let mut state = self.state();
            if std::mem::take(&mut state.rung) {
                return Poll::Ready(());
            }
            match &mut state.listener {
                Some(listener) => listener.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    /// Gives the places that were noted.
    pub fn take(&self) -> Vec<u32> {
        std::mem::take(&mut self.state().noted)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn what_is_noted_before_anybody_listens_is_heard_all_the_same() {
        let bell = Bell::default();
        assert!(bell.note(3));
        assert!(!bell.note(1), "one ring is enough");
        bell.ring();
        bell.rung().await;
        assert_eq!(bell.take(), [3, 1]);
        assert!(bell.take().is_empty() && bell.note(3));
    }

    #[tokio::test]
    async fn who_listens_is_woken_and_hears_each_ring_once() {
        let bell = Arc::new(Bell::default());
        let rings = bell.clone();
        let heard = tokio::spawn(async move { rings.rung().await });
        while bell.state().listener.is_none() {
            tokio::task::yield_now().await;
        }
        bell.ring();
        assert!(heard.await.is_ok());
        assert!(!bell.state().rung);
    }
}
