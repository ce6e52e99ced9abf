//! What a report is about: a period, and all tenants or one.

use serde::{Deserialize, Serialize};

/// Longest period of one report: 366 days. Longer ones are several reports.
pub const MAX_PERIOD_MS: u64 = 366 * 86_400_000;

/// A span of wall time, milliseconds since 1970; a record belongs to it when its interval starts
/// in `[from, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Ends")]
pub struct Period {
    from_unix_ms: u64,
    to_unix_ms: u64,
}

/// Two instants that are no period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("period {from}..{to} (unix ms) is empty, reversed or longer than 366 days; swap or split it")]
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
            Some(1..=MAX_PERIOD_MS) => Ok(Self { from_unix_ms: from, to_unix_ms: to }),
            _ => Err(NotAPeriod { from, to }),
        }
    }

    /// Its first instant.
    pub fn from(self) -> u64 {
        self.from_unix_ms
    }

    /// The first instant after it.
    pub fn to(self) -> u64 {
        self.to_unix_ms
    }

    /// Tells whether an instant lies in it.
    pub fn contains(self, unix_ms: u64) -> bool {
        (self.from_unix_ms..self.to_unix_ms).contains(&unix_ms)
    }

    /// Tells whether a span of time, both ends included, touches it.
    pub fn touches(self, from: u64, to: u64) -> bool {
        from < self.to_unix_ms && to >= self.from_unix_ms
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
        if tenant.is_empty() { Self::All } else { Self::Tenant(tenant.to_owned()) }
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
    fn a_period_has_a_first_instant_and_none_at_its_end() {
        let period = Period::new(10, 20).unwrap();
        assert!(period.contains(10) && !period.contains(20) && !period.contains(9));
        assert!(period.touches(0, 10) && period.touches(19, 30));
        assert!(!period.touches(0, 9) && !period.touches(20, 30));
    }

    #[test]
    fn no_period_is_empty_reversed_or_endless() {
        for (from, to) in [(5, 5), (6, 5), (0, MAX_PERIOD_MS + 1), (0, u64::MAX)] {
            assert!(Period::new(from, to).is_err(), "{from}..{to}");
        }
        assert!(serde_json::from_str::<Period>(r#"{"from_unix_ms":2,"to_unix_ms":1}"#).is_err());
    }
}
