//! Calendar months in UTC, counted; and instants as people read them.

const DAY_MS: u64 = 86_400_000;

/// Days from 1 March of the year 0 to 1970, in the calendar that years go on in.
const BEFORE_1970: u64 = 719_468;

/// Days of 400 years, after which the calendar repeats.
const ERA: u64 = 146_097;

/// The month of an instant: twelve times the year, and the month from 0 on.
pub(crate) fn of(unix_ms: u64) -> u64 {
    date(unix_ms).0
}

/// Spells an instant as `2026-11-28T07:10:05Z`; what is less than a second is cut.
pub(crate) fn instant(unix_ms: u64) -> String {
    let (month, day) = date(unix_ms);
    let second = unix_ms % DAY_MS / 1_000;
    format!(
        "{}-{day:02}T{:02}:{:02}:{:02}Z",
        spelled(month),
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// The month of an instant, and the day of it from 1 on.
fn date(unix_ms: u64) -> (u64, u64) {
    let days = unix_ms / DAY_MS + BEFORE_1970;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Counted from March on, so that a leap day comes last.
    let since_march = (5 * day + 2) / 153;
    let year = year + era * 400;
    (
        year * 12 + since_march + 2,
        day - (153 * since_march + 2) / 5 + 1,
    )
}

/// Spells a month as `2026-11`.
pub(crate) fn spelled(month: u64) -> String {
    format!("{:04}-{:02}", month / 12, month % 12 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_and_end_where_the_calendar_says() {
        for (unix_ms, due) in [
            (0, "1970-01"),
            (951_782_399_999, "2000-02"),
            (951_868_799_999, "2000-02"),
            (951_868_800_000, "2000-03"),
            (1_709_251_199_999, "2024-02"),
            (1_709_251_200_000, "2024-03"),
            (1_735_689_599_999, "2024-12"),
            (1_735_689_600_000, "2025-01"),
            (1_740_787_199_999, "2025-02"),
            (1_740_787_200_000, "2025-03"),
        ] {
            assert_eq!(spelled(of(unix_ms)), due, "{unix_ms}");
        }
        assert_eq!(of(1_735_689_600_000), of(1_735_689_599_999) + 1);
    }

    #[test]
    fn instants_are_spelled_as_the_calendar_has_them() {
        for (unix_ms, due) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696_999, "2000-02-29T12:34:56Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59Z"),
            (1_795_849_800_000, "2026-11-28T07:10:00Z"),
        ] {
            assert_eq!(instant(unix_ms), due, "{unix_ms}");
        }
    }

    #[test]
    fn no_instant_is_too_late() {
        assert!(of(u64::MAX) > of(u64::MAX / 2));
        assert!(!instant(u64::MAX).is_empty());
    }
}
