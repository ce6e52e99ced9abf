//! The workloads that usage lines point at, stable while a `workloads` statement is in force.

use std::{collections::HashMap, sync::Arc};

use affiant_proto::{usage::MAX_WORKLOADS, v1};

/// Intervals for which a workload keeps its place without being seen. At 10 s these are ten
/// minutes: a job that comes and goes by the minute does not restate the table each time.
pub const KEEP_INTERVALS: u64 = 60;

/// The table of one host; at most [`MAX_WORKLOADS`] entries.
#[derive(Debug, Default)]
pub struct WorkloadTable {
    entries: Vec<Entry>,
    places: HashMap<Arc<v1::Workload>, u32>,
    interval: u64,
    added: bool,
    refused: bool,
}

#[derive(Debug)]
struct Entry {
    workload: Arc<v1::Workload>,
    seen: u64,
}

/// How the table stands at the end of an interval.
#[derive(Debug)]
pub(super) struct Settled {
    /// True when the entries are not those of the last interval.
    pub(super) changed: bool,
    /// The new place of each old one.
    pub(super) places: Vec<Option<u32>>,
}

impl WorkloadTable {
    /// Gives the place of `workload` while this interval is open; `None` when the table is full.
    pub(super) fn intern(&mut self, workload: &Arc<v1::Workload>) -> Option<u32> {
        let place = match self.places.get(workload) {
            Some(place) => *place,
            None if self.entries.len() >= MAX_WORKLOADS => {
                self.refused = true;
                return None;
            }
            None => {
                let place = u32::try_from(self.entries.len()).ok()?;
                self.places.insert(Arc::clone(workload), place);
                self.entries.push(Entry {
                    workload: Arc::clone(workload),
                    seen: self.interval,
                });
                self.added = true;
                place
            }
        };
        if let Some(entry) = self.entries.get_mut(place as usize) {
            entry.seen = self.interval;
        }
        Some(place)
    }

    /// Ends an interval. Entries move only when a new statement is due anyway, because one was
    /// added, or because the table was full; those not seen for long go then.
    pub(super) fn settle(&mut self) -> Settled {
        let due = self.added || self.refused;
        let since = self.interval.saturating_sub(KEEP_INTERVALS);
        let mut places = Vec::with_capacity(self.entries.len());
        let mut kept = 0_u32;
        for entry in &self.entries {
            let stays = !due || entry.seen >= since;
            places.push(stays.then_some(kept));
            kept += u32::from(stays);
        }
        let dropped = places.iter().any(Option::is_none);
        let changed = self.added || dropped;
        if dropped {
            self.entries.retain(|entry| entry.seen >= since);
            self.places = (0_u32..)
                .zip(&self.entries)
                .map(|(place, entry)| (Arc::clone(&entry.workload), place))
                .collect();
        }
        self.interval += 1;
        self.added = false;
        self.refused = false;
        Settled { changed, places }
    }

    /// The entries in order.
    pub(super) fn snapshot(&self) -> Arc<[Arc<v1::Workload>]> {
        self.entries
            .iter()
            .map(|entry| Arc::clone(&entry.workload))
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn job(n: usize) -> Arc<v1::Workload> {
        Arc::new(v1::Workload {
            slurm_job: n.to_string(),
            ..Default::default()
        })
    }

    #[test]
    fn a_workload_keeps_its_place_while_the_statement_is_in_force() {
        let mut table = WorkloadTable::default();
        assert_eq!(table.intern(&job(1)), Some(0));
        assert_eq!(table.intern(&job(2)), Some(1));
        assert_eq!(table.intern(&job(1)), Some(0));
        assert!(table.settle().changed);
        assert_eq!(table.intern(&job(2)), Some(1));
        assert!(!table.settle().changed, "nothing new, no new statement");
        for _ in 0..2 * KEEP_INTERVALS {
            table.intern(&job(2));
            assert!(!table.settle().changed);
        }
        assert_eq!(table.snapshot().len(), 2, "nothing moves without a need");
    }

    #[test]
    fn what_was_not_seen_for_long_goes_when_a_new_statement_is_due() {
        let mut table = WorkloadTable::default();
        table.intern(&job(1));
        table.settle();
        for _ in 0..=KEEP_INTERVALS {
            table.intern(&job(2));
            table.settle();
        }
        assert_eq!(table.intern(&job(3)), Some(2));
        let settled = table.settle();
        assert!(settled.changed);
        assert_eq!(settled.places, [None, Some(0), Some(1)]);
        assert_eq!(table.snapshot().as_ref(), [job(2), job(3)]);
        assert_eq!(table.intern(&job(3)), Some(1));
    }

    #[test]
    fn a_full_table_refuses_and_makes_room_for_the_next_interval() {
        let mut table = WorkloadTable::default();
        for n in 0..MAX_WORKLOADS {
            assert!(table.intern(&job(n)).is_some());
        }
        assert_eq!(table.intern(&job(MAX_WORKLOADS)), None);
        table.settle();
        for _ in 0..=KEEP_INTERVALS {
            table.intern(&job(0));
            table.settle();
        }
        assert_eq!(table.intern(&job(MAX_WORKLOADS)), None, "not in the middle");
        assert!(table.settle().changed);
        assert_eq!(table.intern(&job(MAX_WORKLOADS)), Some(1));
    }
}
