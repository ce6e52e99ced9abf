//! What a report is about: a period, and all tenants or one.

use serde::{Deserialize, Serialize};

/// Longest period of one report: 366 days. Longer ones are several reports.
pub const MAX_PERIOD_MS: u64 = 366 * 86_400_000;

/// A span of wall time, milliseconds since 1970; a record belongs to it when its interval ends
/// in `(from, to]`, as the judge counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Ends")]
pub struct Period {
    from_unix_ms: u64,
    to_unix_ms: u64,
}

/// Two instants that are no period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "period {from}..{to} (unix ms) is empty, reversed or longer than 366 days; swap or split it"
)]
pub struct NotAPeriod {
    from: u64,
    to: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ends {
    from_unix_ms: u64,
    to_unix_ms: u64,
}

impl TryFrom<Ends> for Period {
    type Error = NotAPeriod;

    fn try_from(ends: Ends) -> Result<Self, NotAPeriod> {
        Self::new(ends.from_unix_ms, ends.to_unix_ms)
    }
}

impl Period {
    /// Takes two instants as a period; refuses an empty, reversed or too long one.
    pub fn new(from: u64, to: u64) -> Result<Self, NotAPeriod> {
        match to.checked_sub(from) {
            Some(1..=MAX_PERIOD_MS) => Ok(Self {
                from_unix_ms: from,
                to_unix_ms: to,
            }),
            _ => Err(NotAPeriod { from, to }),
        }
    }

    /// Its first instant.
    pub fn from(self) -> u64 {
        self.from_unix_ms
    }

    /// Its last instant.
    pub fn to(self) -> u64 {
        self.to_unix_ms
    }

    /// Tells whether a record whose interval ends at this instant belongs to it.
    pub fn counts(self, end_unix_ms: u64) -> bool {
        self.from_unix_ms < end_unix_ms && end_unix_ms <= self.to_unix_ms
    }
}

/// Whose lines a report shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    All,
    /// This tenant's; all other lines stay hashes and are counted as withheld.
    Tenant(String),
}

impl Scope {
    /// Reads the spelling of a `report-issued` statement, where an empty tenant means all.
    pub fn of(tenant: &str) -> Self {
        if tenant.is_empty() {
            Self::All
        } else {
            Self::Tenant(tenant.to_owned())
        }
    }

    /// The tenant, empty for all.
    pub fn tenant(&self) -> &str {
        match self {
            Self::All => "",
            Self::Tenant(tenant) => tenant,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_record_belongs_to_the_period_in_which_it_ends() {
        let (first, second) = (Period::new(10, 20).unwrap(), Period::new(20, 30).unwrap());
        for end in 11..=30 {
            assert_eq!(
                u8::from(first.counts(end)) + u8::from(second.counts(end)),
                1,
                "{end}"
            );
        }
        assert!(!first.counts(10) && !second.counts(31));
    }

    #[test]
    fn no_period_is_empty_reversed_or_endless() {
        for (from, to) in [(5, 5), (6, 5), (0, MAX_PERIOD_MS + 1), (0, u64::MAX)] {
            assert!(Period::new(from, to).is_err(), "{from}..{to}");
        }
        assert!(serde_json::from_str::<Period>(r#"{"from_unix_ms":2,"to_unix_ms":1}"#).is_err());
    }
}
