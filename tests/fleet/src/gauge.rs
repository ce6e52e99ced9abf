//! What a process used, as Linux counts it under `/proc`.

use std::{collections::BTreeSet, fs, io};

use serde::Serialize;

/// One reading of a process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gauge {
    /// Seconds in user mode, all threads together, those that ended included.
    pub user_s: f64,
    /// Seconds in the kernel.
    pub system_s: f64,
    /// Resident memory in MiB.
    pub resident_mib: f64,
    /// Most resident memory so far, in MiB.
    pub resident_peak_mib: f64,
    /// Threads now.
    pub threads: u64,
    /// Seconds, user and system, of children that ended and were waited for.
    pub reaped_s: f64,
}

/// A process that could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// The file.
    #[error("/proc/{pid}/{file}: {source}; --pid wants a running process of this machine")]
    Io {
        /// The process.
        pid: u32,
        /// Which file.
        file: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// Its content.
    #[error("/proc/{pid}/{file} is not as proc(5) says it is")]
    Content {
        /// The process.
        pid: u32,
        /// Which file.
        file: &'static str,
    },
}

impl Gauge {
    /// Reads process `pid`.
    pub fn read(pid: u32) -> Result<Self, Unreadable> {
        let file = |file| {
            fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|source| Unreadable::Io {
                pid,
                file,
                source,
            })
        };
        let stat = file("stat")?;
        let status = file("status")?;
        let content = |file| Unreadable::Content { pid, file };
        let [user, system, reaped_user, reaped_system] = ticks(&stat).ok_or(content("stat"))?;
        let second = rustix::param::clock_ticks_per_second();
        let field = |name| field(&status, name).ok_or(content("status"));
        let (kib, a_mib) = (field, 1_024.0);
        Ok(Self {
            user_s: float(user) / float(second),
            system_s: float(system) / float(second),
            resident_mib: float(kib("VmRSS:")?) / a_mib,
            resident_peak_mib: float(kib("VmHWM:")?) / a_mib,
            threads: field("Threads:")?,
            reaped_s: (float(reaped_user) + float(reaped_system)) / float(second),
        })
    }

    /// User and system time together, in seconds.
    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }
}

/// Process `root` and all that descend from it now, `root` first.
///
/// One that starts or ends meanwhile may be missed.
pub fn family(root: u32) -> Vec<u32> {
    let mut known = BTreeSet::from([root]);
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        next += 1;
        let tasks = fs::read_dir(format!("/proc/{parent}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children"));
            let children = children.unwrap_or_default();
            let pids = children.split_ascii_whitespace().flat_map(str::parse);
            family.extend(pids.filter(|pid| known.insert(*pid)));
        }
    }
    family
}

/// Fields 14 to 17 of proc_pid_stat(5), counted behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<[u64; 4]> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse().ok();
    Some([next()?, next()?, next()?, next()?])
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Exact up to 2⁵³: ticks of 2.8 million years.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_brackets_and_spaces_shifts_nothing() {
        let stat = "7 (a) b 9 9 (c) S 1 7 7 0 -1 4194304 500 0 0 0 123 45 6 7 20 0 1 0";
        assert_eq!(ticks(stat), Some([123, 45, 6, 7]));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn work_of_this_process_shows_as_its_time() {
        let pid = std::process::id();
        let before = Gauge::read(pid).unwrap();
        let mut digest = affiant_proto::digest(b"");
        while Gauge::read(pid).unwrap().cpu_s() < before.cpu_s() + 0.05 {
            for _ in 0..10_000 {
                digest = affiant_proto::digest(digest.as_bytes());
            }
        }
        let after = Gauge::read(pid).unwrap();
        assert!(after.resident_mib > 0.0 && after.resident_peak_mib >= after.resident_mib);
        assert!(after.threads >= 1);
    }

    #[test]
    fn a_child_belongs_to_the_family_until_it_ends_and_its_time_stays() {
        let own = std::process::id();
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        assert!(family(own).contains(&child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!family(own).contains(&child.id()));
        assert_eq!(family(own).first(), Some(&own));
    }

    #[test]
    fn a_process_that_is_gone_is_an_error_and_not_zero() {
        assert!(matches!(Gauge::read(u32::MAX), Err(Unreadable::Io { .. })));
    }
}
