//! The body of a request: how much of it is taken, and how long it may be in coming.

use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{
    StatusCode,
    body::{Body, Bytes},
};

use super::{Answer, refused, route::Route};

/// Most bytes of a request but a file: a thousand statements of 4 KiB in base64, or a pod's review.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// How long a body may be in coming: 8 MiB at 7 Mbit/s.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same of a file: 64 MiB at 9 Mbit/s.
const PATIENCE_FOR_A_FILE: Duration = Duration::from_secs(60);

/// What a request's body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    bytes: usize,
    patience: Duration,
}

impl Due {
    /// What a route takes: of one that takes no body, an empty one.
    pub(super) fn of(route: &Route) -> Self {
        let (bytes, patience) = match route {
            Route::Exhibit => (
                affiant_judge::exhibits::MAX_EXHIBIT_BYTES,
                PATIENCE_FOR_A_FILE,
            ),
            route if route.takes_a_body() => (MAX_BODY_BYTES, PATIENCE),
            _ => (0, PATIENCE),
        };
        Self { bytes, patience }
    }

    /// Takes a body whole, or says why it is not taken.
    pub async fn take<B>(self, body: B) -> Result<Bytes, Answer>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let taken = Limited::new(body, self.bytes).collect();
        let Ok(taken) = tokio::time::timeout(self.patience, taken).await else {
            let why = format!("the body did not come within {} s", self.patience.as_secs());
            return Err(refused(StatusCode::REQUEST_TIMEOUT, &why));
        };
        match taken {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                let limit = self.bytes;
                let why = format!("the body has more than the {limit} bytes that this path takes");
                Err(refused(StatusCode::PAYLOAD_TOO_LARGE, &why))
            }
            Err(_) => Err(refused(
                StatusCode::BAD_REQUEST,
                "the body did not come whole",
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body_util::Full;
    use hyper::body::Frame;

    use super::*;

    /// A body of which nothing comes.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_is_taken_whole_in_its_time_or_not_at_all() {
        let due = Due {
            bytes: 4,
            patience: Duration::from_millis(50),
        };
        let taken = |text: &'static str| due.take(Full::new(Bytes::from_static(text.as_bytes())));
        assert_eq!(taken("four").await.unwrap(), "four");
        let long = taken("five!").await.unwrap_err();
        assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
        let slow = due.take(Silent).await.unwrap_err();
        assert_eq!(slow.status, StatusCode::REQUEST_TIMEOUT);
    }
}
