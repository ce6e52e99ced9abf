//! A planned pause: nothing of the agent holds the devices, and every record says why.
//!
//! A pause ends by the kernel's own clock, which nobody sets back; one that outlasts a boot goes
//! on by the wall clock for what it had left, and by the kernel's again from there.

use std::{fmt, path::Path, time::Duration};

use affiant_proto::v1;
use serde::{Deserialize, Serialize};

use crate::{
    durable::{self, FileError, Secrecy},
    meter::Planned,
    sample::Instant,
};

/// Shortest pause: the driver needs seconds to be unloaded.
pub const SHORTEST: Duration = Duration::from_secs(60);

/// Longest pause: a day. What takes longer is said again, day by day.
pub const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Most bytes of the file: five numbers of 20 digits, a UUID, a reason and their names are 280.
const MAX_FILE: u64 = 1_024;

/// What a pause is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Plan {
    /// Another driver is loaded.
    DriverUpgrade,
    /// Devices are cut up differently.
    Mig,
    /// A device goes back to its maker.
    Rma,
    /// Anything else that was planned.
    Maintenance,
}

impl Plan {
    /// Gives the reason as records spell it.
    pub fn reason(self) -> v1::Reason {
        match self {
            Self::DriverUpgrade => v1::Reason::DriverUpgrade,
            Self::Mig => v1::Reason::Mig,
            Self::Rma => v1::Reason::Rma,
            Self::Maintenance => v1::Reason::Maintenance,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DriverUpgrade => "driver-upgrade",
            Self::Mig => "mig",
            Self::Rma => "rma",
            Self::Maintenance => "maintenance",
        })
    }
}

/// A pause of another length than one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pause lasts from a minute to 24 hours, not {} s", .0.as_secs())]
pub struct BadLength(pub Duration);

/// Reads a length as people write it: `90s`, `20m`, `2h`.
pub fn parse_length(text: &str) -> Result<Duration, String> {
    let unfit = || "give a whole number of seconds, minutes or hours, as 90s, 20m or 2h".to_owned();
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(unfit)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(unfit()),
    };
    let number: u64 = number.parse().map_err(|_| unfit())?;
    let length = Duration::from_secs(number.saturating_mul(seconds));
    if (SHORTEST..=LONGEST).contains(&length) {
        Ok(length)
    } else {
        Err(BadLength(length).to_string())
    }
}

/// One pause, whether it lasts or is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    plan: Plan,
    boot: String,
    began: Instant,
    until: Instant,
}

/// A pause as it lies in the data directory.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    reason: Plan,
    boot_id: String,
    began_boot_ms: u64,
    until_boot_ms: u64,
    began_unix_ms: u64,
    until_unix_ms: u64,
}

impl Pause {
    /// Begins a pause `now`, in the boot of this id.
    pub fn new(plan: Plan, length: Duration, now: Instant, boot: &str) -> Result<Self, BadLength> {
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Err(BadLength(length));
        }
        let millis = u64::try_from(length.as_millis()).map_err(|_| BadLength(length))?;
        Ok(Self {
            plan,
            boot: boot.to_owned(),
            began: now,
            until: later(now, millis),
        })
    }

    /// Reads the pause that was stored last, `now` in the boot of this id; it may be over. `None`
    /// when there is none, or nothing that could be one: looking at the devices comes first.
    pub fn load(path: &Path, now: Instant, boot: &str) -> Option<Self> {
        let bytes = match durable::read(path, MAX_FILE, Secrecy::Private) {
            Ok(bytes) => bytes?,
            Err(error) => {
                tracing::warn!(%error, "whether a pause lasts is not known; the devices are read");
                return None;
            }
        };
        let read = Self::read(&bytes, now, boot);
        if read.is_none() {
            tracing::warn!(path = %path.display(), "this is no pause; the devices are read");
        }
        read
    }

    fn read(bytes: &[u8], now: Instant, boot: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        let length = |from: u64, to: u64| to.checked_sub(from).map(Duration::from_millis);
        let lasted = length(stored.began_boot_ms, stored.until_boot_ms)?;
        let told = length(stored.began_unix_ms, stored.until_unix_ms)?;
        if lasted > LONGEST || told > LONGEST {
            return None;
        }
        let instant = |boot_ms, wall_ms| Instant {
            boot_ms,
            wall_ms,
            slept_ms: 0,
        };
        let (mut began, mut until) = (
            instant(stored.began_boot_ms, stored.began_unix_ms),
            instant(stored.until_boot_ms, stored.until_unix_ms),
        );
        if stored.boot_id != boot {
            // A wall clock that is behind the beginning of the pause tells nothing of its end.
            let left = stored.until_unix_ms.saturating_sub(now.wall_ms);
            let left = if now.wall_ms < stored.began_unix_ms {
                0
            } else {
                left
            };
            (began, until) = (now, later(now, left));
        } else if now.boot_ms < began.boot_ms {
            return None;
        }
        Some(Self {
            plan: stored.reason,
            boot: boot.to_owned(),
            began,
            until,
        })
    }

    /// Writes the pause so that it survives a restart of the agent.
    pub fn store(&self, path: &Path) -> Result<(), FileError> {
        let stored = Stored {
            reason: self.plan,
            boot_id: self.boot.clone(),
            began_boot_ms: self.began.boot_ms,
            until_boot_ms: self.until.boot_ms,
            began_unix_ms: self.began.wall_ms,
            until_unix_ms: self.until.wall_ms,
        };
        let text = serde_json::to_vec(&stored).map_err(std::io::Error::other);
        durable::replace(path, &text.map_err(FileError::io("write", path))?)
    }

    /// What it is for.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// When it ends, by the wall clock as it was when it began.
    pub fn until_unix_ms(&self) -> u64 {
        self.until.wall_ms
    }

    /// What is left of it; `None` when it is over.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.until.boot_ms.checked_sub(now.boot_ms)?;
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// Ends it `now`, unless it was over before.
    pub fn end(&mut self, now: Instant) {
        if self.left(now).is_some() {
            self.until = now;
        }
    }

    /// The time that it excuses.
    pub fn planned(&self) -> Planned {
        Planned {
            reason: self.plan.reason(),
            from_ms: self.began.boot_ms,
            to_ms: self.until.boot_ms,
        }
    }
}

/// Removes the file of a pause that is over.
pub fn forget(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::io("remove", path)(error))
        }
        _ => durable::sync_directory_of(path),
    }
}

fn later(now: Instant, millis: u64) -> Instant {
    Instant {
        boot_ms: now.boot_ms.saturating_add(millis),
        wall_ms: now.wall_ms.saturating_add(millis),
        slept_ms: now.slept_ms,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn at(boot_ms: u64, wall_ms: u64) -> Instant {
        Instant {
            boot_ms,
            wall_ms,
            slept_ms: 0,
        }
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    fn pause(now: Instant) -> Pause {
        Pause::new(Plan::DriverUpgrade, minutes(20), now, "a").unwrap()
    }

    /// What the agent knows of the pause after a start `now` in this boot.
    fn after(pause: &Pause, now: Instant, boot: &str) -> Option<Pause> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pause");
        pause.store(&path).unwrap();
        Pause::load(&path, now, boot)
    }

    #[test]
    fn a_pause_lasts_as_long_as_was_said_and_not_a_millisecond_more() {
        let pause = pause(at(1_000, 5_000_000));
        assert_eq!(pause.left(at(1_000, 0)), Some(minutes(20)));
        assert_eq!(pause.left(at(1_200_999, 0)), Some(Duration::from_millis(1)));
        assert_eq!(pause.left(at(1_201_000, 0)), None);
    }

    #[test]
    fn a_length_is_read_as_people_write_it_and_nothing_else_is() {
        for (text, seconds) in [("60s", 60), ("20m", 1_200), ("24h", 86_400)] {
            assert_eq!(
                parse_length(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "m",
            "20",
            "20 m",
            "-1m",
            "1.5h",
            "59s",
            "25h",
            "20µ",
            "99999999999999999999h",
            "18446744073709551615h",
        ] {
            assert!(parse_length(text).is_err(), "{text}");
        }
    }

    #[test]
    fn less_than_a_minute_and_more_than_a_day_are_refused() {
        for (length, taken) in [
            (Duration::ZERO, false),
            (SHORTEST - Duration::from_millis(1), false),
            (SHORTEST, true),
            (LONGEST, true),
            (LONGEST + Duration::from_millis(1), false),
        ] {
            let made = Pause::new(Plan::Mig, length, at(0, 0), "a");
            assert_eq!(made.is_ok(), taken, "{length:?}");
        }
    }

    #[test]
    fn a_restart_of_the_agent_goes_on_with_the_pause_whatever_the_wall_clock_says() {
        let begun = pause(at(1_000, 5_000_000));
        for wall in [0, 5_000_000, u64::MAX] {
            let again = after(&begun, at(601_000, wall), "a").unwrap();
            assert_eq!(again.left(at(601_000, wall)), Some(minutes(10)));
            assert_eq!(again.planned(), begun.planned());
        }
    }

    #[test]
    fn after_a_boot_the_wall_clock_says_how_much_is_left_and_is_asked_once() {
        let begun = pause(at(9_000_000, 5_000_000));
        let again = after(&begun, at(30_000, 5_300_000), "b").unwrap();
        assert_eq!(again.left(at(30_000, 5_300_000)), Some(minutes(15)));
        assert_eq!(again.planned().from_ms, 30_000);
        // Set back from here on, it changes nothing.
        let third = after(&again, at(330_000, 5_000_000), "b").unwrap();
        assert_eq!(third.left(at(330_000, 0)), Some(minutes(10)));
    }

    #[test]
    fn a_clock_set_back_before_a_boot_ends_the_pause_and_never_extends_it() {
        let begun = pause(at(9_000_000, 5_000_000));
        let now = at(30_000, 4_999_999);
        assert_eq!(after(&begun, now, "b").unwrap().left(now), None);
        let now = at(30_000, 9_000_000);
        assert_eq!(after(&begun, now, "b").unwrap().left(now), None);
    }

    #[test]
    fn a_pause_that_was_ended_early_excuses_nothing_after_that() {
        let mut pause = pause(at(1_000, 5_000_000));
        pause.end(at(61_000, 0));
        assert_eq!(pause.left(at(61_000, 0)), None);
        assert_eq!(pause.planned().to_ms, 61_000);
        pause.end(at(99_000, 0));
        assert_eq!(pause.planned().to_ms, 61_000, "it was over");
    }

    #[test]
    fn a_file_that_says_nothing_sensible_is_no_pause() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pause");
        assert_eq!(Pause::load(&path, at(0, 0), "a"), None);
        let long = r#"{"reason":"mig","boot_id":"a","began_boot_ms":0,"until_boot_ms":90000000,"began_unix_ms":0,"until_unix_ms":0}"#;
        let back = long
            .replace("90000000", "0")
            .replace(":0,\"until_u", ":9,\"until_u");
        let ahead = r#"{"reason":"mig","boot_id":"a","began_boot_ms":9,"until_boot_ms":10,"began_unix_ms":0,"until_unix_ms":0}"#;
        for text in ["", "rubbish", "{}", long, &back, ahead] {
            durable::replace(&path, text.as_bytes()).unwrap();
            assert_eq!(Pause::load(&path, at(0, 0), "a"), None, "{text}");
        }
    }
}
