//! A server that takes a connection and then says nothing is told from one that works.
//!
//! However long a call takes, a server that lives answers pings. One that was stopped, or hangs, does not.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Interval, MissedTickBehavior, interval},
};

/// How often the server is pinged: three times before it counts as silent.
pub(super) const PING: Duration = Duration::from_secs(10);

/// Seconds of silence after which nobody waits on: a look at the judge of a large fleet takes some ten, and
/// on a machine of one core no ping is answered meanwhile.
pub const SILENT_SECONDS: u32 = 30;

/// Whether the server of a command was silent for too long.
#[derive(Clone, Debug, Default)]
pub struct Silence(Arc<AtomicBool>);

impl Silence {
    /// Tells whether it was.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn tell(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection on which the other end has to say something from time to time.
pub(super) struct Heard<S> {
    inner: S,
    /// Counted in ticks, so that a command that was itself stopped for a while has heard no silence.
    tick: Interval,
    silent: u32,
    silence: Silence,
}

impl<S> Heard<S> {
    pub(super) fn new(inner: S, silence: Silence) -> Self {
        Self::ticking(inner, silence, Duration::from_secs(1))
    }

    fn ticking(inner: S, silence: Silence, period: Duration) -> Self {
        let mut tick = interval(period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            inner,
            tick,
            silent: 0,
            silence,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(context, buffer) {
            self.silent = 0;
            return Poll::Ready(read);
        }
        while self.silent <= SILENT_SECONDS {
            ready!(self.tick.poll_tick(context));
            self.silent += 1;
        }
        self.silence.tell();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_says_a_word_from_time_to_time_is_heard_for_as_long_as_it_takes() {
        let (own, mut other) = tokio::io::duplex(64);
        let silence = Silence::default();
        let tick = Duration::from_millis(20);
        let mut heard = Heard::ticking(own, silence.clone(), tick);
        let (mut byte, begun) = ([0], tokio::time::Instant::now());
        while begun.elapsed() < 2 * SILENT_SECONDS * tick {
            let (read, ()) = tokio::join!(heard.read_exact(&mut byte), async {
                tokio::time::sleep(5 * tick).await;
                other.write_all(b"x").await.unwrap();
            });
            read.unwrap();
        }
        assert!(!silence.is_told());
        let before = begun.elapsed();
        let error = heard.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(silence.is_told() && begun.elapsed() - before >= (SILENT_SECONDS - 1) * tick);
    }
}
