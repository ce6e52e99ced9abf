//! A session that lives in the stream of its replies.
//!
//! Whoever polls the stream runs the session, so what arrives, what is admitted and what is answered
//! is one task's, and no other has to be woken for it. It ends when its stream is dropped: a session
//! must never await between what it admits and what it hands on.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio_stream::Stream;
use tonic::Status;

/// Replies that wait for a slow peer. A watermark is cumulative, so few suffice; then the session
/// waits, and with it all that its peer sends.
const REPLIES: usize = 4;

type Session = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The stream of a session's replies.
pub struct Driven<T> {
    session: Option<Session>,
    replies: Replies<T>,
}

/// Where a session puts its replies.
pub struct Replies<T>(Arc<Mutex<VecDeque<Result<T, Status>>>>);

impl<T> Clone for Replies<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Replies<T> {
    /// Gives a reply to the stream; waits while there are too many.
    pub async fn send(&self, reply: Result<T, Status>) {
        let mut reply = Some(reply);
        poll_fn(|_| {
            let mut replies = self.lock();
            if replies.len() >= REPLIES {
                // No waker is due: the stream polls its session whenever it has given all of them.
                return Poll::Pending;
            }
            replies.extend(reply.take());
            Poll::Ready(())
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Result<T, Status>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Driven<T> {
    /// Makes the stream of a session that answers by the replies it is given.
    pub fn new<F>(session: impl FnOnce(Replies<T>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let replies = Replies(Arc::default());
        Self {
            session: Some(Box::pin(session(replies.clone()))),
            replies,
        }
    }
}

impl<T> Stream for Driven<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(reply) = self.replies.lock().pop_front() {
                return Poll::Ready(Some(reply));
            }
            let Some(session) = &mut self.session else {
                return Poll::Ready(None);
            };
            if session.as_mut().poll(context).is_ready() {
                self.session = None;
            } else if self.replies.lock().is_empty() {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_session_that_answers_more_than_is_taken_waits_and_loses_nothing() {
        let stream = Driven::new(|replies| async move {
            for number in 0..10 * REPLIES {
                replies.send(Ok(number)).await;
            }
            replies.send(Err(Status::aborted("end"))).await;
        });
        let all: Vec<_> = stream.collect().await;
        let numbers: Vec<_> = all.iter().flatten().copied().collect();
        assert_eq!(numbers, (0..10 * REPLIES).collect::<Vec<_>>());
        assert_eq!(all.last().unwrap().as_ref().unwrap_err().message(), "end");
    }

    #[tokio::test]
    async fn a_session_ends_with_its_stream() {
        let (tell, mut told) = mpsc::channel::<()>(1);
        let mut stream = Driven::new(|replies| async move {
            let _tell = tell;
            replies.send(Ok(1)).await;
            std::future::pending::<()>().await;
        });
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        drop(stream);
        assert!(told.recv().await.is_none());
    }
}
