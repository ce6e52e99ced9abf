//! The unit of account: one bare Ed25519 verification by ring.

use std::time::Duration;

use affiant_proto::{Ed25519Signer, Signer as _};
use ring::signature::{ED25519, UnparsedPublicKey};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Verifications between two looks at the clock: some 5 ms, so that the clock costs nothing.
const BATCH: u32 = 100;

/// Longest message: that of the largest statement.
const MAX_MESSAGE: usize = affiant_proto::statement::MAX_STATEMENT_BYTES;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Primitive {
    /// Length of the message.
    pub message_bytes: usize,
    /// How often it was verified.
    pub calls: u32,
    /// CPU time of one verification, the median of the batches, in microseconds.
    pub verify_us: f64,
    /// The same for one signature.
    pub sign_us: f64,
}

/// Nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotMeasured {
    /// The message.
    #[error("--bytes {0}: a message of 1 to {MAX_MESSAGE} bytes is due")]
    Message(usize),
    /// A signature that ring made did not verify: this machine computes wrongly.
    #[error("ring did not accept its own signature; do not trust this machine")]
    Verify,
}

impl Primitive {
    /// Measures for about `each` of CPU time per operation, one key and one message throughout:
    /// nothing but the verification itself, in hot caches.
    pub fn measure(message_bytes: usize, each: Duration) -> Result<Self, NotMeasured> {
        if !(1..=MAX_MESSAGE).contains(&message_bytes) {
            return Err(NotMeasured::Message(message_bytes));
        }
        let signer = Ed25519Signer::from_seed(&[7; 32]).map_err(|_| NotMeasured::Verify)?;
        let message = vec![0x5a; message_bytes];
        let signature = signer.sign(&message).map_err(|_| NotMeasured::Verify)?;
        let public = UnparsedPublicKey::new(&ED25519, signer.public_key().as_bytes());
        let (verify_us, calls) = median(each, || {
            let message = std::hint::black_box(message.as_slice());
            public
                .verify(message, &signature)
                .map_err(|_| NotMeasured::Verify)
        })?;
        let (sign_us, _) = median(each, || {
            let message = std::hint::black_box(message.as_slice());
            signer
                .sign(message)
                .map(drop)
                .map_err(|_| NotMeasured::Verify)
        })?;
        Ok(Self {
            message_bytes,
            calls,
            verify_us,
            sign_us,
        })
    }
}

/// Runs batches until `each` has passed in this thread; gives the median time of a call.
fn median(
    each: Duration,
    mut call: impl FnMut() -> Result<(), NotMeasured>,
) -> Result<(f64, u32), NotMeasured> {
    let begun = thread_time();
    let mut batches = Vec::new();
    let mut last = begun;
    while batches.is_empty() || last.saturating_sub(begun) < each {
        for _ in 0..BATCH {
            call()?;
        }
        let now = thread_time();
        batches.push(now.saturating_sub(last));
        last = now;
    }
    batches.sort_unstable();
    let middle = batches.get(batches.len() / 2).copied().unwrap_or_default();
    let calls = u32::try_from(batches.len())
        .unwrap_or(u32::MAX)
        .saturating_mul(BATCH);
    Ok((middle.as_secs_f64() * 1e6 / f64::from(BATCH), calls))
}

/// CPU time of this thread.
pub(crate) fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    // The kernel never gives less than zero here.
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_verification_takes_time_and_more_of_it_for_a_longer_message() {
        let each = Duration::from_millis(50);
        let short = Primitive::measure(64, each).unwrap();
        let long = Primitive::measure(60_000, each).unwrap();
        assert!(short.verify_us > 0.0 && short.sign_us > 0.0 && short.calls >= BATCH);
        assert!(long.verify_us > short.verify_us, "{short:?} {long:?}");
    }

    #[test]
    fn a_message_that_no_statement_could_be_is_refused() {
        for bytes in [0, MAX_MESSAGE + 1] {
            let refused = Primitive::measure(bytes, Duration::ZERO);
            assert_eq!(refused, Err(NotMeasured::Message(bytes)));
        }
    }
}
