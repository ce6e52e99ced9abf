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

/// A span of time, in its two largest units.
pub(crate) fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        (1, ..) => format!("1 day {} h", hours % 24),
        _ => format!("{} days {} h", grouped(days), hours % 24),
    }
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// An amount of bytes, to a tenth of its unit.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_moments_numbers_and_sizes_read_as_people_write_them() {
        let spans = [
            0,
            59_999,
            60_000,
            3_599_000,
            3_600_000,
            90_000_000,
            200_000_000,
        ]
        .map(span);
        let due = [
            "0 s",
            "59 s",
            "1 min 0 s",
            "59 min 59 s",
            "1 h 0 min",
            "1 day 1 h",
            "2 days 7 h",
        ];
        assert_eq!(spans, due);
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0, 1_023, 1_536, 1 << 30, u64::MAX].map(bytes),
            [
                "0 bytes",
                "1023 bytes",
                "1.5 KiB",
                "1.0 GiB",
                "16777215.9 TiB"
            ]
        );
        assert_eq!(moment(1_800_000_000_999), "2027-01-15 08:00:00 UTC");
        assert!(!moment(u64::MAX).is_empty());
    }
}
