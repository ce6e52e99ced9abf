//! What a process and its children use over a time.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::gauge::{Gauge, Unreadable, family};

/// Time between two looks at memory.
const PERIOD: Duration = Duration::from_secs(1);

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Watched {
    /// How long, in seconds.
    pub seconds: f64,
    /// Processes at the end.
    pub processes: usize,
    /// User and system time of all, children that ended included, in percent of one core.
    pub cpu_percent: f64,
    /// Sum of resident memory at the begin, in MiB. Pages that two processes share count twice.
    pub resident_mib_begin: f64,
    /// The same at the end.
    pub resident_mib_end: f64,
    /// The same at its highest.
    pub resident_mib_max: f64,
}

/// Watches process `pid` and its descendants for `window`; an error when `pid` ends before.
pub fn watch(pid: u32, window: Duration) -> Result<Watched, Unreadable> {
    let begun = Instant::now();
    let first = Sum::take(pid)?;
    let (mut last, mut highest) = (first, first.resident_mib);
    while let Some(left) = window.checked_sub(begun.elapsed()).filter(|d| !d.is_zero()) {
        std::thread::sleep(left.min(PERIOD));
        last = Sum::take(pid)?;
        highest = highest.max(last.resident_mib);
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Watched {
        seconds,
        processes: last.processes,
        cpu_percent: 100.0 * (last.cpu_s - first.cpu_s) / seconds,
        resident_mib_begin: first.resident_mib,
        resident_mib_end: last.resident_mib,
        resident_mib_max: highest,
    })
}

#[derive(Clone, Copy)]
struct Sum {
    processes: usize,
    cpu_s: f64,
    resident_mib: f64,
}

impl Sum {
    fn take(pid: u32) -> Result<Self, Unreadable> {
        let own = Gauge::read(pid)?;
        let mut sum = Self {
            processes: 1,
            cpu_s: own.cpu_s() + own.reaped_s,
            resident_mib: own.resident_mib,
        };
        // A child that ended since it was listed shows in its parent's time.
        let children = family(pid).into_iter().skip(1);
        for child in children.flat_map(Gauge::read) {
            sum.processes += 1;
            sum.cpu_s += child.cpu_s() + child.reaped_s;
            sum.resident_mib += child.resident_mib;
        }
        Ok(sum)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_child_counts_with_its_parent() {
        // The command behind keeps the shell from becoming `cat` itself.
        let mut shell = Command::new("sh");
        shell.args(["-c", "cat; :"]).stdin(Stdio::piped());
        let mut parent = shell.spawn().unwrap();
        while family(parent.id()).len() < 2 {
            std::thread::yield_now();
        }
        let both = watch(parent.id(), Duration::from_millis(20)).unwrap();
        let alone = Gauge::read(parent.id()).unwrap();
        assert_eq!(both.processes, 2);
        assert!(both.resident_mib_max > alone.resident_mib);
        assert!(both.seconds >= 0.02 && both.cpu_percent >= 0.0);
        drop(parent.stdin.take());
        parent.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_cannot_be_watched() {
        assert!(watch(u32::MAX, Duration::ZERO).is_err());
    }
}
