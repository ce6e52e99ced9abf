//! What a deployment may set beside its policy pack: intervals, graces, gaps; and countries.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

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

/// A key that is a pack's now: it is refused, so that nobody believes it to be in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moved;

impl<'de> Deserialize<'de> for Moved {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "restricted_countries and controlled_classes are parameters of the policy pack now; \
             take them out here, write a pack of your own (affiant-verifier policy new DIR), and \
             set them in its pack.toml and the file of countries beside it",
        ))
    }
}

/// The judge's parameters; absent keys keep the defaults of this release, unknown ones are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Stood here before policy packs: `[parameters.groups]` of a pack has it.
    #[serde(skip_serializing)]
    pub restricted_countries: Moved,
    /// Stood here before policy packs: `[parameters.classes]` of a pack has it.
    #[serde(skip_serializing)]
    pub controlled_classes: Moved,
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
    /// Milliseconds for which a declared device may be in no host before it is INVENTORY_MISSING. Default a
    /// day: one that is carried over, or waits for its host to be enrolled, is back by then.
    pub inventory_grace_ms: u64,
    /// Observations of one rule and subject less than so many milliseconds apart are one episode.
    /// Default 5 min.
    pub episode_gap_ms: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            restricted_countries: Moved,
            controlled_classes: Moved,
            interval_ms: 10_000,
            gap_grace_ms: 30_000,
            not_observed_grace_ms: 2_000,
            planned_ms_per_day: 7_200_000,
            reconnect_ms: 300_000,
            late_record_ms: 900_000,
            clock_tolerance_ms: 10_000,
            inventory_grace_ms: 86_400_000,
            episode_gap_ms: 300_000,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parameters_read_from_toml_keep_defaults_and_refuse_unknown_keys() {
        let read: Parameters = toml::from_str("interval_ms = 60000").unwrap();
        assert_eq!(read.interval_ms, 60_000);
        assert_eq!(read.gap_grace_ms, 30_000);
        assert!(toml::from_str::<Parameters>("gap_grace = 1").is_err());
    }

    #[test]
    fn what_moved_into_the_policy_pack_is_refused_with_the_place_where_it_is_now() {
        for text in ["restricted_countries = [\"CN\"]", "controlled_classes = []"] {
            let said = toml::from_str::<Parameters>(text).unwrap_err().to_string();
            assert!(said.contains("policy new DIR"), "{said}");
        }
        let written = toml::to_string(&Parameters::default()).unwrap();
        assert!(!written.contains("restricted"), "{written}");
        let read: Parameters = toml::from_str(&written).unwrap();
        assert_eq!(read, Parameters::default());
    }

    #[test]
    fn unknown_is_no_country() {
        assert_eq!(Country::parse("unknown"), None);
        assert_eq!(Country::parse(""), None);
        assert_eq!(Country::parse("c1"), None);
        assert_eq!(Country::parse(" cn ").unwrap().to_string(), "CN");
    }
}
