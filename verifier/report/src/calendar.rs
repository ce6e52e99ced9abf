//! Instants as people read them: UTC, without a library or a time zone file.

const DAY_MS: u64 = 86_400_000;

/// Spells milliseconds since 1970 as `2026-11-22 14:03:07 UTC`.
pub fn utc(unix_ms: u64) -> String {
    let (year, month, day) = date(unix_ms / DAY_MS);
    let seconds = unix_ms % DAY_MS / 1_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02} UTC")
}

/// Gives year, month and day of a day since 1970-01-01 in the Gregorian calendar: years are
/// counted from March, in eras of 400 years or 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Spells a length of time in the two largest units that it has: `3 d 4 h`, `12 min 5 s`.
pub fn length(ms: u128) -> String {
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("min", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let mut rest = ms;
    let mut parts = Vec::new();
    for (unit, size) in units {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            parts.push(format!("{count} {unit}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() {
        "0 s".to_owned()
    } else {
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_those_of_the_calendar() {
        for (ms, due) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199_999, "2024-02-29 23:59:59 UTC"),
            (1_709_251_200_000, "2024-03-01 00:00:00 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(ms), due);
        }
        // The largest instant has some spelling, and does not overflow.
        assert!(utc(u64::MAX).ends_with("UTC"));
    }

    #[test]
    fn lengths_are_told_in_two_units() {
        for (ms, due) in [
            (0, "0 s"),
            (1_500, "1 s 500 ms"),
            (3_600_000, "1 h"),
            (3_605_000, "1 h"),
            (90_061_000, "1 d 1 h"),
            (725_000, "12 min 5 s"),
        ] {
            assert_eq!(length(ms), due);
        }
    }
}
