//! Times and sizes as people read them.

use time::OffsetDateTime;

/// A moment of the wall clock, to the second.
pub(crate) fn moment(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => {
            let (date, hour, minute, second) = (at.date(), at.hour(), at.minute(), at.second());
            format!("{date} {hour:02}:{minute:02}:{second:02} UTC")
        }
        Err(_) => format!("{unix_ms} ms after 1970"),
    }
}
