//! Boots, counted: within one, intervals abut; between two, the clock began anew.

use std::path::{Path, PathBuf};

use crate::durable::{self, FileError, Secrecy};

/// Where the kernel names the boot.
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Most bytes of either file: a UUID of 36 and a number of 10.
const MAX_FILE: u64 = 64;

/// Which boot this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Counts the boots of the chain; 1 is the first.
    pub number: u32,
    /// The last record was made in this very boot: the next interval begins where it ended.
    pub same: bool,
}

/// Why the boot could not be counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The kernel gives no id.
    #[error("{0} gives no boot id; mount /proc for the agent")]
    NoId(PathBuf),
    /// There are no more numbers.
    #[error(
        "the chain has counted {} boots, which is the most; enrol anew",
        u32::MAX
    )]
    Exhausted,
}

/// Reads the kernel's name of this boot from `id` ([`BOOT_ID`]).
pub fn read_id(id: &Path) -> Result<String, BootError> {
    let no_id = || BootError::NoId(id.to_owned());
    let current = durable::read(id, MAX_FILE, Secrecy::Public)?.ok_or_else(no_id)?;
    let current = std::str::from_utf8(&current).map_err(|_| no_id())?.trim();
    if current.is_empty() || current.contains(char::is_whitespace) {
        return Err(no_id());
    }
    Ok(current.to_owned())
}

/// Counts this boot. `state` is the file in which the count is kept, `id` where the kernel names
/// the boot ([`BOOT_ID`]), `last` the boot of the chain's last usage record.
///
/// The chain is the authority: whatever the state file says, the number is that of the last
/// record or the next one. Where the file was lost a boot too many is counted, which says no more
/// than that the clock may have begun anew.
pub fn count(state: &Path, id: &Path, last: Option<u32>) -> Result<Boot, BootError> {
    let current = read_id(id)?;
    let last = last.unwrap_or(0);
    let next = last.checked_add(1).ok_or(BootError::Exhausted)?;
    let stored = durable::read(state, MAX_FILE, Secrecy::Public)?;
    // A file that does not read is a file that was lost.
    let stored = stored
        .as_deref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    let stored = stored.and_then(|text| text.trim().split_once(' '));
    let counted = stored.filter(|(stored, _)| *stored == current);
    let counted: Option<u32> = counted.and_then(|(_, number)| number.parse().ok());
    match counted {
        Some(number) if number == last => Ok(Boot { number, same: true }),
        Some(number) if number == next => Ok(Boot {
            number,
            same: false,
        }),
        _ => {
            // On disk before any record says it, so that no two boots have one number.
            durable::replace(state, format!("{current} {next}\n").as_bytes())?;
            Ok(Boot {
                number: next,
                same: false,
            })
        }
    }
}

/// Counts `number` for the boot that the file names: the chain has gone on from a place at which
/// more boots may have been counted.
pub fn advance(state: &Path, number: u32) -> Result<(), BootError> {
    let stored = durable::read(state, MAX_FILE, Secrecy::Public)?;
    let text = stored
        .as_deref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    // Without the file the next start counts anew.
    let Some((id, _)) = text.and_then(|text| text.trim().split_once(' ')) else {
        return Ok(());
    };
    Ok(durable::replace(
        state,
        format!("{id} {number}\n").as_bytes(),
    )?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use std::fs;

    struct Host(tempfile::TempDir);

    impl Host {
        fn boot(&self, id: &str) {
            fs::write(self.0.path().join("boot_id"), format!("{id}\n")).unwrap();
        }

        fn state(&self) -> PathBuf {
            self.0.path().join("boot")
        }

        fn count(&self, last: Option<u32>) -> (u32, bool) {
            let boot = count(&self.state(), &self.0.path().join("boot_id"), last).unwrap();
            (boot.number, boot.same)
        }
    }

    fn host() -> Host {
        let host = Host(tempfile::tempdir().unwrap());
        host.boot("a");
        host
    }

    #[test]
    fn a_restart_of_the_agent_is_no_boot_and_a_boot_counts_one() {
        let host = host();
        assert_eq!(host.count(None), (1, false));
        assert_eq!(
            host.count(None),
            (1, false),
            "nothing was sealed in between"
        );
        assert_eq!(host.count(Some(1)), (1, true));
        host.boot("b");
        assert_eq!(host.count(Some(1)), (2, false));
        assert_eq!(host.count(Some(2)), (2, true));
    }

    #[test]
    fn boots_in_which_nothing_was_sealed_leave_no_hole_in_the_count() {
        let host = host();
        assert_eq!(host.count(Some(7)), (8, false));
        host.boot("b");
        assert_eq!(host.count(Some(7)), (8, false));
        host.boot("c");
        assert_eq!(host.count(Some(7)), (8, false));
    }

    #[test]
    fn a_lost_or_stale_count_makes_a_boot_too_many_and_never_one_too_few() {
        let host = host();
        assert_eq!(host.count(None), (1, false));
        fs::remove_file(host.state()).unwrap();
        assert_eq!(host.count(Some(1)), (2, false));
        fs::write(host.state(), b"rubbish").unwrap();
        assert_eq!(host.count(Some(2)), (3, false));
        fs::write(host.state(), b"a 1").unwrap();
        assert_eq!(host.count(Some(3)), (4, false));
    }

    #[test]
    fn a_host_without_a_boot_id_is_told_so() {
        let host = host();
        for id in ["", "two words"] {
            host.boot(id);
            let refused = count(&host.state(), &host.0.path().join("boot_id"), None).unwrap_err();
            assert!(matches!(refused, BootError::NoId(_)), "{refused}");
        }
    }
}
