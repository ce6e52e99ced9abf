//! Times and durations as people write them, and texts so that nothing in them misleads who reads them.

use affiant_report::hidden::is_hidden;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// Reads `2026-11-01`, `2026-11-01T08:00:00Z` or milliseconds since 1970-01-01 UTC.
pub fn parse_time_ms(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is not 2026-11-01, 2026-11-01T08:00:00Z or milliseconds since 1970");
    if text.len() > 10 && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_err(|_| wrong());
    }
    let (date, clock) = match text.split_once('T') {
        None => (text, "00:00:00"),
        Some((date, clock)) => (date, clock.strip_suffix('Z').ok_or_else(wrong)?),
    };
    let number = |part: Option<&str>| {
        let part = part.filter(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        part.and_then(|p| p.parse::<u16>().ok()).ok_or_else(wrong)
    };
    let small = |part: Option<&str>| u8::try_from(number(part)?).map_err(|_| wrong());
    let mut days = date.split('-');
    let (year, month, day) = (
        number(days.next())?,
        small(days.next())?,
        small(days.next())?,
    );
    let mut hours = clock.split(':');
    let (hour, minute, second) = (
        small(hours.next())?,
        small(hours.next())?,
        small(hours.next())?,
    );
    if days.next().is_some() || hours.next().is_some() {
        return Err(wrong());
    }
    let month = Month::try_from(month).map_err(|_| wrong())?;
    let date = Date::from_calendar_date(i32::from(year), month, day).map_err(|_| wrong())?;
    let clock = Time::from_hms(hour, minute, second).map_err(|_| wrong())?;
    let seconds = PrimitiveDateTime::new(date, clock)
        .assume_utc()
        .unix_timestamp();
    u64::try_from(seconds)
        .map(|s| s * 1_000)
        .map_err(|_| wrong())
}

/// A time, or `now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instant {
    /// When it is asked.
    Now,
    /// Milliseconds since 1970.
    At(u64),
}

impl Instant {
    /// Reads `now`, or a time as [`parse_time_ms`] does.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "now" => Ok(Self::Now),
            time => match parse_time_ms(time) {
                Ok(time) => Ok(Self::At(time)),
                Err(wrong) => Err(format!("{wrong}, nor `now`")),
            },
        }
    }

    /// Milliseconds since 1970; none for now.
    pub fn at(self) -> Option<u64> {
        match self {
            Self::Now => None,
            Self::At(time) => Some(time),
        }
    }
}

/// Reads `90s`, `15m`, `24h` or `7d`.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a duration such as 90s, 15m, 24h or 7d");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .filter(|ms| *ms > 0)
        .ok_or_else(wrong)
}

/// Writes a time as RFC 3339 in UTC, to the second.
pub fn time(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(t) => format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        ),
        Err(_) => format!("{unix_ms} ms"),
    }
}

/// Writes a time so that [`parse_time_ms`] reads it as it was: milliseconds, where it has any.
pub fn exact_time(unix_ms: u64) -> String {
    let text = time(unix_ms);
    match parse_time_ms(&text) {
        Ok(read) if read == unix_ms => text,
        // The shortest that is taken for milliseconds has eleven digits.
        _ => format!("{unix_ms:011}"),
    }
}

/// A text so that it ends no line or part of one and turns nothing around: what could is spelled out.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        let joins = matches!(c, '\u{200c}' | '\u{200d}');
        if is_hidden(c) || joins || matches!(c, '|' | '\\') {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_three_ways_and_no_other() {
        assert_eq!(parse_time_ms("1970-01-02").unwrap(), 86_400_000);
        assert_eq!(
            parse_time_ms("2026-11-23T04:21:00Z").unwrap(),
            1_795_407_660_000
        );
        assert_eq!(parse_time_ms("1795407660123").unwrap(), 1_795_407_660_123);
        for bad in [
            "",
            "x",
            "2026-13-01",
            "2026-02-30",
            "2026-11-01T8",
            "2026-11-01T08:00:00",
            "2026-11-01-01",
            "+026-01-01",
        ] {
            assert!(parse_time_ms(bad).is_err(), "{bad}");
        }
        assert_eq!(time(1_795_407_660_000), "2026-11-23T04:21:00Z");
        for exact in [0, 1, 999, 1_795_407_660_000, 1_795_407_660_123, u64::MAX] {
            assert_eq!(parse_time_ms(&exact_time(exact)).unwrap(), exact);
        }
    }

    #[test]
    fn now_is_an_instant_and_anything_else_a_time() {
        assert_eq!(Instant::parse("now"), Ok(Instant::Now));
        let day = Instant::parse("1970-01-02");
        assert_eq!(day.unwrap().at(), Some(86_400_000));
        let wrong = Instant::parse("Now").unwrap_err();
        assert!(wrong.ends_with(", nor `now`"), "{wrong}");
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration_ms("90s").unwrap(), 90_000);
        for bad in ["", "5", "h", "0s", "1.5h", "99999999999999999d", "5é"] {
            assert!(parse_duration_ms(bad).is_err(), "{bad}");
        }
    }
}
