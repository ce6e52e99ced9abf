//! A body on its way to whoever asked for it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes that are handed to the connection at a time.
const PART: usize = 64 * 1024;

/// A body that keeps its place until the last of it is handed on.
///
/// A connection takes the next part once it has sent what it was handed, but for some 16 KiB. So with a caller
/// who does not read, the body stays in memory, and its place is not given to another.
pub(super) struct Sent {
    left: Bytes,
    place: Option<OwnedSemaphorePermit>,
}

impl Sent {
    pub(super) fn new(body: Bytes, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { left: body, place }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.left.len().min(PART);
        // A copy: a slice would keep all of the body in memory for as long as this part waits.
        let part = Bytes::copy_from_slice(&self.left.split_to(length));
        if self.left.is_empty() {
            self.left = Bytes::new();
            self.place = None;
        }
        Poll::Ready((!part.is_empty()).then(|| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_place_is_kept_until_all_of_a_body_was_handed_on() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        let whole: Vec<u8> = (0..=255).cycle().take(2 * PART + 1).collect();
        let mut sent = Sent::new(whole.clone().into(), Some(place));
        assert_eq!(sent.size_hint().exact(), Some(whole.len() as u64));
        let mut got = Vec::new();
        for free in [0, 0, 1] {
            let part = sent.frame().await.unwrap().unwrap().into_data().unwrap();
            got.extend_from_slice(&part);
            assert_eq!(places.available_permits(), free, "after {}", got.len());
        }
        assert_eq!(got, whole);
        assert!(sent.is_end_stream() && sent.frame().await.is_none());
    }
}
