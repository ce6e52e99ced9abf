//! What a deployment may set: country set, classes, graces. Law changes here, never in code.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::devices::Class;

/// A country as ISO 3166-1 alpha-2, in capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country([u8; 2]);

/// A text that is no country code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("country {0:?} is not a code of ISO 3166-1; write two letters, such as CN")]
pub struct NotACountry(String);

impl Country {
    /// Reads two letters in either case; `None` for "unknown", a name in full or anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }
}

impl TryFrom<String> for Country {
    type Error = NotACountry;

    fn try_from(text: String) -> Result<Self, NotACountry> {
        Self::parse(&text).ok_or(NotACountry(text))
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.to_string()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The judge's parameters; absent keys keep the defaults of this release, unknown ones are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Headquarters that RESTRICTED_HQ looks for. Default: `countries.csv` of this crate.
    pub restricted_countries: BTreeSet<Country>,
    /// Classes of device for which it looks. Default: 3A090.a, 3A090.b and unknown.
    pub controlled_classes: BTreeSet<Class>,
    /// Milliseconds of one record's interval. Default 10 s.
    pub interval_ms: u64,
    /// Milliseconds of a host's time that may lack before it is USAGE_GAP. Default 30 s: three
    /// intervals.
    pub gap_grace_ms: u64,
    /// Milliseconds of one record in which a device may go unobserved, unplanned, before it is
    /// USAGE_GAP. Default 2 s: two samples at 1 Hz. The time shows in the figures at once.
    pub not_observed_grace_ms: u64,
    /// Milliseconds in a day for which plans excuse the silence of one device. Default 2 h: a driver
    /// upgrade with its reboots. Beyond it is PLANNED_SILENCE_EXCEEDED.
    pub planned_ms_per_day: u64,
    /// Milliseconds that hosts have to come back after the log itself stood still. Default 5 min,
    /// over which agents spread a reconnection.
    pub reconnect_ms: u64,
    /// Milliseconds of a record's window before it is LATE_RECORD, and the time that it claims is
    /// not established. Default 15 min: a host takes up a checkpoint at most once a minute, and may
    /// be away for five until it reconnects; three times that is no calm host.
    pub late_record_ms: u64,
    /// Milliseconds by which a claimed time may lie outside of its window, beyond the error that the
    /// clock states, before it is CLOCK_OUT_OF_BOUNDS. Default 10 s: one interval.
    pub clock_tolerance_ms: u64,
    /// Observations of one rule and subject less than so many milliseconds apart are one episode.
    /// Default 5 min.
    pub episode_gap_ms: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            restricted_countries: shipped_countries(),
            controlled_classes: BTreeSet::from([Class::A, Class::B, Class::Unknown]),
            interval_ms: 10_000,
            gap_grace_ms: 30_000,
            not_observed_grace_ms: 2_000,
            planned_ms_per_day: 7_200_000,
            reconnect_ms: 300_000,
            late_record_ms: 900_000,
            clock_tolerance_ms: 10_000,
            episode_gap_ms: 300_000,
        }
    }
}

fn shipped_countries() -> BTreeSet<Country> {
    include_str!("../countries.csv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Country::parse(line.split(',').next()?))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_country_of_the_shipped_file_is_in_the_default_set() {
        let rows = include_str!("../countries.csv")
            .lines()
            .filter(|line| !line.starts_with('#'));
        let rows: Vec<_> = rows.collect();
        assert!(
            rows.iter().all(|row| row.split(',').count() == 4),
            "{rows:?}"
        );
        assert_eq!(Parameters::default().restricted_countries.len(), rows.len());
        for code in ["CN", "MO", "HK", "RU", "KP"] {
            let code = Country::parse(code).unwrap();
            assert!(Parameters::default().restricted_countries.contains(&code));
        }
    }

    #[test]
    fn parameters_read_from_toml_keep_defaults_and_refuse_unknown_keys() {
        let read: Parameters = toml::from_str("restricted_countries = [\"xx\"]").unwrap();
        assert_eq!(
            read.restricted_countries,
            BTreeSet::from([Country::parse("XX").unwrap()])
        );
        assert_eq!(read.gap_grace_ms, 30_000);
        assert!(toml::from_str::<Parameters>("gap_grace = 1").is_err());
        assert!(toml::from_str::<Parameters>("restricted_countries = [\"China\"]").is_err());
        assert!(toml::from_str::<Parameters>("controlled_classes = [\"3A090.c\"]").is_err());
    }

    #[test]
    fn unknown_is_no_country() {
        assert_eq!(Country::parse("unknown"), None);
        assert_eq!(Country::parse(""), None);
        assert_eq!(Country::parse("c1"), None);
        assert_eq!(Country::parse(" cn ").unwrap().to_string(), "CN");
    }
}
