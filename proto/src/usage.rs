//! Usage: what a record must satisfy beside its signature.
//!
//! The agent checks its own records with this before it signs, the verifier before it admits,
//! the auditor before it counts.

use crate::{
    v1::{self, LineKind, Reason},
    wire,
};

/// Most devices of one host: 8 GPUs cut into 7 MIG instances each are 56; 64 is the next power.
pub const MAX_DEVICES: usize = 64;

/// Most workloads in force on a host: 64 devices × 16 sharing each.
pub const MAX_WORKLOADS: usize = 1_024;

/// Longest interval of one record. 64 devices × 1 h is the most GPU time that one record can
/// claim, 64 GPU-hours; longer spans not observed are said in pieces.
pub const MAX_INTERVAL_MS: u64 = 3_600_000;

/// Why usage cannot be as it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadUsage {
    /// An interval that is empty, reversed or longer than [`MAX_INTERVAL_MS`].
    #[error("interval {start}..{end} ms is empty, reversed or longer than {MAX_INTERVAL_MS} ms")]
    Interval {
        /// Start, CLOCK_BOOTTIME.
        start: u64,
        /// End.
        end: u64,
    },
    /// It begins before the one before it ended.
    #[error("interval starts at {start} ms, before the last one ended at {last} ms")]
    Overlap {
        /// Its start.
        start: u64,
        /// End of the last.
        last: u64,
    },
    /// It begins after the one before it ended: the time between is nowhere.
    #[error("interval starts at {start} ms, but the last one ended at {last} ms of this boot")]
    Apart {
        /// Its start.
        start: u64,
        /// End of the last.
        last: u64,
    },
    /// The boot counter fell or skipped.
    #[error("boot {got} cannot follow boot {last}")]
    Boot {
        /// Last boot counted.
        last: u32,
        /// The one claimed.
        got: u32,
    },
    /// An enumeration with no such value.
    #[error("{0} has a value that is not defined")]
    Undefined(&'static str),
    /// No totals line, or one that is not in its one spelling.
    #[error("leaf 0 is not a totals line in the one accepted spelling")]
    Totals,
    /// A line that is not in its one spelling.
    #[error("line {0} is not a usage line in the one accepted spelling")]
    Line(usize),
    /// Lines not ordered by (device, kind, workload, reason), or one of these twice.
    #[error("line {0} is out of order or stands twice")]
    Order(usize),
    /// A line that points to nothing.
    #[error("line {line} points to {what} {index}, of which the statement in force has {count}")]
    Pointer {
        /// Which line.
        line: usize,
        /// "device" or "workload".
        what: &'static str,
        /// Where it points.
        index: u32,
        /// How many there are.
        count: u32,
    },
    /// A line whose fields contradict its kind or each other.
    #[error("line {line}: {fault}")]
    Contradiction {
        /// Which line.
        line: usize,
        /// What contradicts.
        fault: &'static str,
    },
    /// A table longer than [`MAX_DEVICES`] or [`MAX_WORKLOADS`].
    #[error("{what} has {count} entries where at most {limit} are allowed")]
    TooMany {
        /// "inventory" or "workloads".
        what: &'static str,
        /// As signed.
        count: u32,
        /// The limit.
        limit: usize,
    },
    /// The totals line has not one entry per device.
    #[error("totals line has {got} devices, the inventory in force has {due}")]
    Devices {
        /// Devices of the inventory.
        due: u32,
        /// Entries of the totals line.
        got: usize,
    },
    /// A device's parts do not make up the interval.
    #[error("device {device}: attributed + idle + unattributed + not observed is not the interval")]
    Parts {
        /// Index of the device.
        device: usize,
    },
    /// The lines of a device do not sum to the totals line.
    #[error("device {device}: lines do not sum to the totals line in {what}")]
    Sum {
        /// Index of the device.
        device: usize,
        /// Which figure.
        what: &'static str,
    },
}

/// The shape of a usage statement: its interval and source can be.
pub fn check_interval(usage: &v1::Usage) -> Result<u64, BadUsage> {
    let (start, end) = (usage.start_ms, usage.end_ms);
    let length = end
        .checked_sub(start)
        .filter(|ms| (1..=MAX_INTERVAL_MS).contains(ms));
    let length = length.ok_or(BadUsage::Interval { start, end })?;
    if usage.wall_end_ms < usage.wall_start_ms {
        return Err(BadUsage::Interval {
            start: usage.wall_start_ms,
            end: usage.wall_end_ms,
        });
    }
    match v1::SourceKind::try_from(usage.source) {
        Ok(source) if source != v1::SourceKind::Unspecified => {}
        _ => return Err(BadUsage::Undefined("source")),
    }
    if usage.boot == 0 {
        Err(BadUsage::Boot { last: 0, got: 0 })
    } else {
        Ok(length)
    }
}

/// Where the last record of a chain ended: the next of the same boot abuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Boot counter.
    pub boot: u32,
    /// End of the interval, CLOCK_BOOTTIME milliseconds.
    pub end_ms: u64,
}

impl Ended {
    /// Checks that `usage` comes right after what ended here.
    pub fn abuts(self, usage: &v1::Usage) -> Result<(), BadUsage> {
        if usage.boot != self.boot {
            let next = self.boot.checked_add(1) == Some(usage.boot);
            return if next {
                Ok(())
            } else {
                Err(BadUsage::Boot {
                    last: self.boot,
                    got: usage.boot,
                })
            };
        }
        match usage.start_ms.cmp(&self.end_ms) {
            std::cmp::Ordering::Less => Err(BadUsage::Overlap {
                start: usage.start_ms,
                last: self.end_ms,
            }),
            std::cmp::Ordering::Greater => Err(BadUsage::Apart {
                start: usage.start_ms,
                last: self.end_ms,
            }),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }
}

/// Reads leaf 0.
pub fn read_totals(leaf: &[u8], devices: u32, interval_ms: u64) -> Result<v1::Totals, BadUsage> {
    totals_of(leaf, Some(devices), interval_ms)
}

/// Reads leaf 0 of a record of as many devices as are said, or as it has.
fn totals_of(leaf: &[u8], devices: Option<u32>, interval_ms: u64) -> Result<v1::Totals, BadUsage> {
    let totals = wire::totals(leaf).ok_or(BadUsage::Totals)?;
    if let Some(due) = devices.filter(|due| *due as usize != totals.devices.len()) {
        let got = totals.devices.len();
        return Err(BadUsage::Devices { due, got });
    }
    for (device, parts) in totals.devices.iter().enumerate() {
        let sum = [
            parts.attributed_ms,
            parts.idle_ms,
            parts.unattributed_ms,
            parts.not_observed_ms,
        ]
        .iter()
        .try_fold(0_u64, |sum, part| sum.checked_add(*part));
        if sum != Some(interval_ms) {
            return Err(BadUsage::Parts { device });
        }
    }
    Ok(totals)
}

/// Reads leaf `index` ≥ 1 and checks it alone.
pub fn read_line(
    leaf: &[u8],
    index: usize,
    devices: u32,
    workloads: u32,
) -> Result<v1::UsageLine, BadUsage> {
    let line = wire::usage_line(leaf).ok_or(BadUsage::Line(index))?;
    points(&line, index, devices, workloads)?;
    let kind = LineKind::try_from(line.kind).unwrap_or_default();
    let reason = Reason::try_from(line.reason).map_err(|_| BadUsage::Undefined("reason"))?;
    let wrong = |fault| Err(BadUsage::Contradiction { line: index, fault });
    if kind == LineKind::Unspecified {
        return Err(BadUsage::Undefined("kind of line"));
    }
    if (kind == LineKind::Attributed) != line.workload.is_some() {
        return wrong("a workload stands on attributed lines and on no others");
    }
    if (kind == LineKind::NotObserved) != (reason != Reason::Unspecified) {
        return wrong("a reason stands on not-observed lines and on no others");
    }
    let measured = line.busy_ms.is_some()
        || line.sm_permille.is_some()
        || line.tensor_permille.is_some()
        || line.memory_peak_bytes.is_some()
        || line.allocated_ms.is_some();
    if kind == LineKind::NotObserved && measured {
        return wrong("what was not observed has no measurements");
    }
    if line.busy_ms.is_some_and(|busy| busy > line.time_ms) {
        return wrong("busy for longer than its time");
    }
    if line.allocated_ms.is_some_and(|held| held < line.time_ms) {
        return wrong("held for less than its share of time");
    }
    if line
        .sm_permille
        .max(line.tensor_permille)
        .is_some_and(|share| share > 1_000)
    {
        return wrong("activity above a thousand thousandths");
    }
    Ok(line)
}

/// Checks that a line points at what there is.
fn points(
    line: &v1::UsageLine,
    index: usize,
    devices: u32,
    workloads: u32,
) -> Result<(), BadUsage> {
    let nowhere = |what, place, count| {
        Err(BadUsage::Pointer {
            line: index,
            what,
            index: place,
            count,
        })
    };
    if line.device >= devices {
        return nowhere("device", line.device, devices);
    }
    match line.workload {
        Some(workload) if workload >= workloads => nowhere("workload", workload, workloads),
        _ => Ok(()),
    }
}

/// Totals and lines of one record that hold together: every leaf in its one spelling, lines in order
/// and none that contradicts itself, their sums those of the totals, and these the interval.
///
/// All that is left to be known are the tables that lines point into, which the chain before the
/// record says: [`Lines::fit`]. Made by [`Lines::read`] only.
///
/// ```compile_fail
/// # use affiant_proto::{usage::Lines, v1};
/// fn forge(totals: v1::Totals) -> Lines {
///     Lines { totals, lines: Vec::new() }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    totals: v1::Totals,
    lines: Vec<v1::UsageLine>,
}

impl Lines {
    /// Reads the leaves of a record; none where something is wrong with them whatever the tables
    /// are, and [`read_leaves`] says what.
    pub fn read(leaves: &[impl AsRef<[u8]>], usage: &v1::Usage) -> Option<Self> {
        let interval_ms = check_interval(usage).ok()?;
        let (totals, lines) = all_of(leaves, None, interval_ms).ok()?;
        Some(Self { totals, lines })
    }

    /// Holds them against the tables in force, by their counts: gives what [`read_leaves`] does.
    pub fn fit(
        self,
        devices: u32,
        workloads: u32,
    ) -> Result<(v1::Totals, Vec<v1::UsageLine>), BadUsage> {
        let got = self.totals.devices.len();
        if got != devices as usize {
            return Err(BadUsage::Devices { due: devices, got });
        }
        for (line, index) in self.lines.iter().zip(1..) {
            points(line, index, devices, workloads)?;
        }
        Ok((self.totals, self.lines))
    }
}

/// Reads all leaves and checks that the lines sum to the totals line.
pub fn read_leaves(
    leaves: &[Vec<u8>],
    devices: u32,
    workloads: u32,
    interval_ms: u64,
) -> Result<(v1::Totals, Vec<v1::UsageLine>), BadUsage> {
    all_of(leaves, Some((devices, workloads)), interval_ms)
}

/// Reads all leaves by tables of those counts; of tables that are not known yet, as many devices are
/// taken for granted as the totals have, and any number of workloads.
fn all_of(
    leaves: &[impl AsRef<[u8]>],
    tables: Option<(u32, u32)>,
    interval_ms: u64,
) -> Result<(v1::Totals, Vec<v1::UsageLine>), BadUsage> {
    let (first, rest) = leaves.split_first().ok_or(BadUsage::Totals)?;
    let totals = totals_of(
        first.as_ref(),
        tables.map(|(devices, _)| devices),
        interval_ms,
    )?;
    let here = || u32::try_from(totals.devices.len()).unwrap_or(u32::MAX);
    let (devices, workloads) = tables.unwrap_or_else(|| (here(), u32::MAX));
    let mut lines: Vec<v1::UsageLine> = Vec::with_capacity(rest.len());
    for (leaf, index) in rest.iter().zip(1..) {
        let line = read_line(leaf.as_ref(), index, devices, workloads)?;
        if lines.last().is_some_and(|last| order(last) >= order(&line)) {
            return Err(BadUsage::Order(index));
        }
        if line.allocated_ms.is_some_and(|held| held > interval_ms) {
            return Err(BadUsage::Contradiction {
                line: index,
                fault: "held for longer than the interval",
            });
        }
        lines.push(line);
    }
    check_sums(&totals, &lines)?;
    Ok((totals, lines))
}

/// Checks lines of which some are withheld: those shown are in order and do not exceed the totals.
pub fn check_shown(
    totals: &v1::Totals,
    lines: &[Option<v1::UsageLine>],
    interval_ms: u64,
) -> Result<(), BadUsage> {
    let mut last: Option<&v1::UsageLine> = None;
    let mut rest = totals.clone();
    for (line, index) in lines.iter().zip(1..) {
        let Some(line) = line else { continue };
        if last.is_some_and(|last| order(last) >= order(line)) {
            return Err(BadUsage::Order(index));
        }
        last = Some(line);
        if line.allocated_ms.is_some_and(|held| held > interval_ms) {
            return Err(BadUsage::Contradiction {
                line: index,
                fault: "held for longer than the interval",
            });
        }
        let device = line.device as usize;
        let Some(left) = rest.devices.get_mut(device) else {
            continue;
        };
        let part = part_of(left, line);
        *part = part.checked_sub(line.time_ms).ok_or(BadUsage::Sum {
            device,
            what: "time",
        })?;
        if let Some(energy) = line.energy_mj {
            let left_over = left.energy_mj.and_then(|left| left.checked_sub(energy));
            left.energy_mj = Some(left_over.ok_or(BadUsage::Sum {
                device,
                what: "energy",
            })?);
        }
    }
    Ok(())
}

fn part_of<'a>(totals: &'a mut v1::DeviceTotals, line: &v1::UsageLine) -> &'a mut u64 {
    match LineKind::try_from(line.kind).unwrap_or_default() {
        LineKind::Attributed => &mut totals.attributed_ms,
        LineKind::Idle => &mut totals.idle_ms,
        LineKind::Unattributed => &mut totals.unattributed_ms,
        _ => &mut totals.not_observed_ms,
    }
}

/// The order of lines within a record.
pub fn order(line: &v1::UsageLine) -> (u32, i32, Option<u32>, i32) {
    (line.device, line.kind, line.workload, line.reason)
}

fn check_sums(totals: &v1::Totals, lines: &[v1::UsageLine]) -> Result<(), BadUsage> {
    let mut sums = vec![v1::DeviceTotals::default(); totals.devices.len()];
    for line in lines {
        let device = line.device as usize;
        let Some(sum) = sums.get_mut(device) else {
            continue;
        };
        let part = part_of(sum, line);
        *part = part.checked_add(line.time_ms).ok_or(BadUsage::Sum {
            device,
            what: "time",
        })?;
        if let Some(energy) = line.energy_mj {
            let so_far = sum.energy_mj.unwrap_or(0).checked_add(energy);
            sum.energy_mj = Some(so_far.ok_or(BadUsage::Sum {
                device,
                what: "energy",
            })?);
        }
    }
    for (device, (sum, due)) in sums.iter().zip(&totals.devices).enumerate() {
        let time = |t: &v1::DeviceTotals| {
            (
                t.attributed_ms,
                t.idle_ms,
                t.unattributed_ms,
                t.not_observed_ms,
            )
        };
        if time(sum) != time(due) {
            return Err(BadUsage::Sum {
                device,
                what: "time",
            });
        }
        if sum.energy_mj != due.energy_mj {
            return Err(BadUsage::Sum {
                device,
                what: "energy",
            });
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn line(kind: LineKind, time_ms: u64) -> v1::UsageLine {
        let attributed = kind == LineKind::Attributed;
        let reason = if kind == LineKind::NotObserved {
            Reason::DriverHung
        } else {
            Reason::Unspecified
        };
        v1::UsageLine {
            kind: kind.into(),
            workload: attributed.then_some(0),
            reason: reason.into(),
            time_ms,
            energy_mj: attributed.then_some(500),
            ..Default::default()
        }
    }

    fn leaves(change: impl FnOnce(&mut v1::Totals, &mut Vec<v1::UsageLine>)) -> Vec<Vec<u8>> {
        let parts = v1::DeviceTotals {
            attributed_ms: 6_000,
            idle_ms: 3_000,
            unattributed_ms: 0,
            not_observed_ms: 1_000,
            energy_mj: Some(500),
        };
        let mut totals = v1::Totals {
            devices: vec![parts],
        };
        let mut lines = vec![
            line(LineKind::Attributed, 6_000),
            line(LineKind::Idle, 3_000),
            line(LineKind::NotObserved, 1_000),
        ];
        change(&mut totals, &mut lines);
        std::iter::once(totals.encode_to_vec())
            .chain(lines.iter().map(|l| l.encode_to_vec()))
            .collect()
    }

    fn read(leaves: &[Vec<u8>]) -> Result<(v1::Totals, Vec<v1::UsageLine>), BadUsage> {
        read_leaves(leaves, 1, 1, 10_000)
    }

    #[test]
    fn lines_that_sum_to_the_totals_line_are_taken() {
        read(&leaves(|_, _| {})).unwrap();
    }

    #[test]
    fn lines_that_do_not_sum_to_the_totals_line_are_refused() {
        let wrong = leaves(|_, lines| lines[1].time_ms -= 1);
        assert_eq!(
            read(&wrong),
            Err(BadUsage::Sum {
                device: 0,
                what: "time"
            })
        );
        let wrong = leaves(|_, lines| lines[0].energy_mj = Some(499));
        assert_eq!(
            read(&wrong),
            Err(BadUsage::Sum {
                device: 0,
                what: "energy"
            })
        );
        let wrong = leaves(|_, lines| lines[0].energy_mj = None);
        assert_eq!(
            read(&wrong),
            Err(BadUsage::Sum {
                device: 0,
                what: "energy"
            }),
            "missing is not zero"
        );
        let wrong = leaves(|_, lines| {
            lines.pop();
        });
        assert_eq!(
            read(&wrong),
            Err(BadUsage::Sum {
                device: 0,
                what: "time"
            })
        );
    }

    #[test]
    fn parts_that_do_not_make_up_the_interval_are_refused() {
        let wrong = leaves(|totals, lines| {
            totals.devices[0].idle_ms += 1;
            lines[1].time_ms += 1;
        });
        assert_eq!(read(&wrong), Err(BadUsage::Parts { device: 0 }));
        let wrong = leaves(|totals, _| totals.devices[0].idle_ms = u64::MAX);
        assert_eq!(read(&wrong), Err(BadUsage::Parts { device: 0 }));
    }

    #[test]
    fn lines_out_of_order_twice_or_pointing_nowhere_are_refused() {
        let wrong = leaves(|_, lines| lines.swap(0, 1));
        assert_eq!(read(&wrong), Err(BadUsage::Order(2)));
        let wrong = leaves(|_, lines| lines[1] = lines[0]);
        assert_eq!(read(&wrong), Err(BadUsage::Order(2)));
        let wrong = leaves(|_, lines| lines[0].workload = Some(1));
        assert!(matches!(
            read(&wrong),
            Err(BadUsage::Pointer {
                what: "workload",
                ..
            })
        ));
        let wrong = leaves(|_, lines| lines[2].device = 1);
        assert!(matches!(
            read(&wrong),
            Err(BadUsage::Pointer { what: "device", .. })
        ));
    }

    #[test]
    fn a_line_that_contradicts_itself_is_refused() {
        for change in [
            (|l: &mut v1::UsageLine| l.workload = None) as fn(&mut v1::UsageLine),
            |l| l.reason = Reason::Mig.into(),
            |l| l.busy_ms = Some(6_001),
            |l| l.allocated_ms = Some(5_999),
            |l| l.allocated_ms = Some(10_001),
            |l| l.sm_permille = Some(1_001),
        ] {
            let wrong = leaves(|_, lines| change(&mut lines[0]));
            assert!(matches!(
                read(&wrong),
                Err(BadUsage::Contradiction { line: 1, .. })
            ));
        }
        let wrong = leaves(|_, lines| lines[2].busy_ms = Some(0));
        assert!(matches!(
            read(&wrong),
            Err(BadUsage::Contradiction { line: 3, .. })
        ));
    }

    #[test]
    fn intervals_abut_within_a_boot_and_boots_count_by_one() {
        let last = Ended {
            boot: 2,
            end_ms: 50,
        };
        let next = |boot, start_ms| v1::Usage {
            boot,
            start_ms,
            ..Default::default()
        };
        assert_eq!(last.abuts(&next(2, 50)), Ok(()));
        assert_eq!(
            last.abuts(&next(2, 49)),
            Err(BadUsage::Overlap {
                start: 49,
                last: 50
            })
        );
        assert_eq!(
            last.abuts(&next(2, 51)),
            Err(BadUsage::Apart {
                start: 51,
                last: 50
            })
        );
        assert_eq!(last.abuts(&next(3, 7)), Ok(()));
        assert_eq!(
            last.abuts(&next(1, 50)),
            Err(BadUsage::Boot { last: 2, got: 1 })
        );
        assert_eq!(
            last.abuts(&next(4, 50)),
            Err(BadUsage::Boot { last: 2, got: 4 })
        );
    }
}
