//! How full the spool is and for how long it lasts: computed once, for all who tell of it.

use std::path::Path;

use affiant_proto::{Statement, v1};
use prost::Message as _;

use crate::spool::{SpoolError, Status, look_at};

/// Shortest span of records by which the growth of the spool is judged, milliseconds.
pub(crate) const LEAST_SPAN_MS: u64 = 600_000;

/// What the records of a spool say of its age and its growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth {
    /// When the oldest record that is not INCLUDED was sealed, milliseconds since 1970.
    pub(crate) oldest_waiting_ms: Option<u64>,
    /// Bytes that a day of records takes; `None` while there are too few to tell.
    pub(crate) bytes_per_day: Option<u64>,
}

impl Depth {
    /// Measures the spool in `directory`, which stands like this.
    pub(crate) fn measure(directory: &Path, status: &Status) -> Result<Self, SpoolError> {
        let sealed = |sequence| -> Result<Option<u64>, SpoolError> {
            Ok(look_at(directory, sequence)?.and_then(|entry| sealed_ms(&entry)))
        };
        let oldest = status.oldest_waiting().map(sealed).transpose()?;
        let bytes_per_day = match status.range {
            // The enrolment may be much older than the first record.
            Some((first, last)) => per_day(status.bytes, sealed(first.max(1))?, sealed(last)?),
            None => None,
        };
        Ok(Self {
            oldest_waiting_ms: oldest.flatten(),
            bytes_per_day,
        })
    }

    /// What is told to the verifier of a spool that may have `limit` bytes.
    pub(crate) fn message(self, status: &Status, limit: u64) -> v1::SpoolState {
        v1::SpoolState {
            oldest_waiting_unix_ms: self.oldest_waiting_ms,
            bytes: status.bytes,
            max_bytes: limit,
            days_left: days_left(status, limit, self.bytes_per_day),
        }
    }
}

/// Days for which records still fit that nobody takes, at the rate of those that are kept.
pub(crate) fn days_left(status: &Status, limit: u64, bytes_per_day: Option<u64>) -> Option<u64> {
    // What the log has makes room.
    let left = limit.saturating_sub(status.bytes_waiting);
    left.checked_div(bytes_per_day?)
}

/// When a record was sealed, by its own header.
pub(crate) fn sealed_ms(entry: &[u8]) -> Option<u64> {
    let envelope = v1::Envelope::decode(entry).ok()?;
    let statement = Statement::parse(&envelope.statement).ok()?;
    Some(statement.header().time().unix_ms)
}

/// Bytes of a day of records, by the first and the last of some.
pub(crate) fn per_day(bytes: u64, first_ms: Option<u64>, last_ms: Option<u64>) -> Option<u64> {
    let span_ms = last_ms?.checked_sub(first_ms?)?;
    if span_ms < LEAST_SPAN_MS {
        return None;
    }
    let per_day = u128::from(bytes) * 86_400_000 / u128::from(span_ms);
    u64::try_from(per_day).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_the_spool_lasts_is_told_from_ten_minutes_of_records_on() {
        assert_eq!(per_day(100, Some(0), Some(LEAST_SPAN_MS - 1)), None);
        assert_eq!(per_day(100, Some(0), Some(LEAST_SPAN_MS)), Some(14_400));
        assert_eq!(per_day(100, Some(9), Some(5)), None, "a clock set back");
        assert_eq!(per_day(100, None, Some(5)), None);
    }

    #[test]
    fn what_the_verifier_is_told_counts_what_waits_and_what_fits() {
        let status = Status {
            range: Some((0, 9)),
            dropped: Vec::new(),
            bytes: 500,
            bytes_waiting: 400,
            segments: 1,
            cursor: None,
        };
        let depth = Depth {
            oldest_waiting_ms: Some(7),
            bytes_per_day: Some(100),
        };
        let told = depth.message(&status, 1_000);
        assert_eq!((told.bytes, told.max_bytes), (500, 1_000));
        assert_eq!(told.oldest_waiting_unix_ms, Some(7));
        assert_eq!(told.days_left, Some(6), "what the log has makes room");
    }
}
