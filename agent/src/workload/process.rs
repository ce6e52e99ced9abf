//! One process as the kernel tells of it: when it began, who runs it, in which cgroup.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    bounded,
    cgroup::{self, Place},
};

/// Most bytes of `/proc/PID/stat`: 52 numbers of at most 20 digits and a name of 64.
const MAX_STAT_BYTES: u64 = 4_096;

/// Most bytes of `/proc/PID/status`: about 60 lines; the CPU masks of 8,192 CPUs take 3 KiB each.
const MAX_STATUS_BYTES: u64 = 64 * 1_024;

/// Most bytes of `/proc/PID/cgroup`: 13 v1 controllers and v2, each a path of at most 4,096.
const MAX_CGROUP_BYTES: u64 = 64 * 1_024;

/// Why a process could not be told to be somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// More than one answer fits: a guess is refused.
    #[error("its cgroup names more than one container, pod or job")]
    Ambiguous,
    /// The agent sees cgroups relative to its own.
    #[error(
        "its cgroup lies outside of the agent's view: run the agent in the host's cgroup namespace"
    )]
    CgroupNamespace,
    /// It ended, or another took its number, before it could be read.
    #[error("it ended before it could be read")]
    Gone,
    /// What the kernel said was not understood.
    #[error("what /proc says of it was not understood")]
    Malformed,
    /// The driver names no process, or one in another PID namespace.
    #[error("the driver gives no process number: run the agent in the host's PID namespace")]
    NoPid,
    /// The agent may not read it.
    #[error("the agent may not read /proc of it")]
    Permission,
}

/// What tells a process from a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessKey {
    /// Number in the host's PID namespace.
    pub pid: u32,
    /// Clock ticks after boot, field 22 of `/proc/PID/stat`.
    pub start_time: u64,
}

/// A process read while it certainly was the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) key: ProcessKey,
    /// Real user id, in the host's user namespace.
    pub(super) uid: u32,
    pub(super) place: Place,
}

/// Reads when `pid` began.
pub(super) fn key(proc_root: &Path, pid: u32) -> Result<ProcessKey, Unknown> {
    if pid == 0 {
        return Err(Unknown::NoPid);
    }
    let stat = file(&folder(proc_root, pid).join("stat"), MAX_STAT_BYTES)?;
    let start_time = start_time(&stat).ok_or(Unknown::Malformed)?;
    Ok(ProcessKey { pid, start_time })
}

/// Reads a process: its start, the rest, then its start again, so that all belongs to one.
pub(super) fn read(proc_root: &Path, key: ProcessKey) -> Result<Process, Unknown> {
    let folder = folder(proc_root, key.pid);
    let status = file(&folder.join("status"), MAX_STATUS_BYTES)?;
    let cgroup = file(&folder.join("cgroup"), MAX_CGROUP_BYTES)?;
    if self::key(proc_root, key.pid)? != key {
        return Err(Unknown::Gone);
    }
    Ok(Process {
        key,
        uid: uid(&status).ok_or(Unknown::Malformed)?,
        place: cgroup::parse(&cgroup)?,
    })
}

fn folder(proc_root: &Path, pid: u32) -> PathBuf {
    proc_root.join(pid.to_string())
}

fn file(path: &Path, limit: u64) -> Result<String, Unknown> {
    let bytes = bounded::read_path(path, limit).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unknown::Gone,
        io::ErrorKind::PermissionDenied => Unknown::Permission,
        // What a process that ends between open and read answers.
        _ if error.raw_os_error() == Some(libc::ESRCH) => Unknown::Gone,
        _ => Unknown::Malformed,
    })?;
    // The name in `stat` and `status` is the process's own choice and need not be UTF-8; no field
    // that is used here follows from it.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Field 22 of `stat`. The name, field 2, stands in parentheses and may itself hold spaces and
/// parentheses, so the fields are counted from the last `)`.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    // After the name comes field 3.
    after.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// The real user id. The line `Name:` stands before and has its newlines escaped.
fn uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_a_name_with_spaces_and_parentheses() {
        let fields = "S 1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 9 10";
        for name in ["python", "a b", "x) S 1 2 (y", ")", ""] {
            assert_eq!(start_time(&format!("42 ({name}) {fields}")), Some(777));
        }
        assert_eq!(start_time("42 python S 1"), None);
        assert_eq!(start_time("42 (python) S 1 2"), None);
    }

    #[test]
    fn the_real_user_is_taken_and_no_name_can_forge_it() {
        let status = "Name:\tUid:\\n 0\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\t5\t5\n";
        assert_eq!(uid(status), Some(1_000));
        assert_eq!(uid("Name:\tx\n"), None);
        assert_eq!(uid("Uid:\tmany\n"), None);
    }

    #[test]
    fn number_zero_is_no_process() {
        assert_eq!(key(Path::new("/nowhere"), 0), Err(Unknown::NoPid));
    }
}
