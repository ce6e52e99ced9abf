//! Tenants in step: loads that rise and fall together, of tenants that nothing links.
//!
//! A job that is split over several tenants starts, stops and waits in all of them at once. The busy time of
//! the last day, in spans of ten minutes, is compared pair by pair: the coefficient of correlation, in whole
//! percent, rounded down. A steady load has none, and one that moves a few times a day says nothing, for so
//! do many.
//!
//! Loads are counted in tenths of a GPU, up to 2^20 of them. Sums over 144 spans have at most 55 bits, so a
//! square of one, times 10^4, has 124.

use std::collections::BTreeMap;

use crate::{
    Judge,
    books::{DAY_SPANS, Number, SPAN_MS},
    caps::HOUR_MS,
    episodes::Episode,
    findings::{Rule, Subject},
    rounds::{Linked, Seen, key},
};

/// Most tenants that are compared, the largest: 128 are 8,128 pairs, 1.2 million steps an hour.
const COMPARED: usize = 128;

/// Moves that a load has to make in a day at least, to tell anything: three jobs that start and end.
const MOVES: usize = 6;

/// Largest load, tenths of a GPU.
const MOST: u64 = (1 << 20) - 1;

/// What one tenant did in a day.
struct Series {
    id: String,
    number: Number,
    loads: Vec<u64>,
    indices: (u64, u64),
    device_ms: u64,
}

impl Series {
    /// How often the load changed by more than a tenth of its highest.
    fn moves(&self) -> usize {
        let most = self.loads.iter().copied().max().unwrap_or(0);
        let pairs = self.loads.windows(2);
        let moved = |pair: &&[u64]| match pair {
            [one, other] => one.abs_diff(*other) * 10 > most,
            _ => false,
        };
        pairs.filter(moved).count()
    }
}

impl Judge {
    /// Whether the hour has changed since an instant.
    pub(crate) fn compares(&self, last_ms: u64) -> bool {
        last_ms / HOUR_MS != self.clock_ms / HOUR_MS && self.clock_ms <= self.period.1
    }

    /// Tenants of the last day whose loads move together.
    pub(crate) fn alike(&self, linked: &Linked) -> Vec<Seen> {
        let (Some(percent), Some(gpus)) = (
            self.limit("correlated_percent"),
            self.limit("correlated_gpus"),
        ) else {
            return Vec::new();
        };
        let end = self
            .clock_ms
            .saturating_sub(2 * self.parameters.interval_ms)
            / SPAN_MS;
        let begin = end.saturating_sub(DAY_SPANS);
        let mut days: BTreeMap<Number, Series> = BTreeMap::new();
        for (place, span) in (begin..end).enumerate() {
            for (number, cell) in self.books.span(span) {
                let day = days.entry(number).or_insert_with(|| Series {
                    id: String::new(),
                    number,
                    loads: Vec::new(),
                    indices: cell.indices,
                    device_ms: 0,
                });
                day.loads.resize(place, 0);
                let tenths = u128::from(cell.busy_ms) * 10 / u128::from(SPAN_MS);
                let tenths = u64::try_from(tenths).unwrap_or(MOST);
                day.loads.push(tenths.min(MOST));
                day.device_ms = day.device_ms.saturating_add(cell.device_ms);
                let indices = (day.indices.0, cell.indices);
                day.indices.0 = indices.0.min(indices.1.0);
                day.indices.1 = day.indices.1.max(indices.1.1);
            }
        }
        let length = usize::try_from(end - begin).unwrap_or(0);
        let least = gpus
            .max(1)
            .saturating_mul((end - begin).saturating_mul(SPAN_MS));
        let mut all: Vec<Series> = Vec::new();
        for (number, mut day) in days {
            if day.device_ms >= least {
                day.loads.resize(length, 0);
                self.books.id(number).clone_into(&mut day.id);
                all.push(day);
            }
        }
        all.sort_by(|a, b| b.device_ms.cmp(&a.device_ms).then_with(|| a.id.cmp(&b.id)));
        all.truncate(COMPARED);
        all.retain(|day| day.moves() >= MOVES);
        let span_ms = (begin * SPAN_MS, end * SPAN_MS);
        let mut seen = Vec::new();
        for (place, one) in all.iter().enumerate() {
            let group = linked.of(one.number);
            for other in all.iter().skip(place + 1) {
                let is_linked = group.is_some() && group == linked.of(other.number);
                let found = correlation(&one.loads, &other.loads);
                let Some(found) = found.filter(|found| *found >= percent && !is_linked) else {
                    continue;
                };
                let indices = (
                    one.indices.0.min(other.indices.0),
                    one.indices.1.max(other.indices.1),
                );
                let ids = (&one.id).min(&other.id);
                let ids = (ids.clone(), (&one.id).max(&other.id).clone());
                let episode = Episode::new(indices, span_ms, self.clock_ms, 1);
                let mut episode = episode.of([ids.0.as_str(), ids.1.as_str()]);
                episode.say(&format!(
                    "busy time correlates by {found} % over {} spans of ten minutes",
                    end - begin
                ));
                seen.push(Seen {
                    key: key(Rule::CorrelatedTenants, Subject::Pair(ids.0, ids.1)),
                    episode,
                    together: Vec::new(),
                });
            }
        }
        seen
    }
}

/// The coefficient of correlation in percent, rounded down; `None` where one load is steady, or they move
/// against each other.
fn correlation(one: &[u64], other: &[u64]) -> Option<u64> {
    let n = i128::try_from(one.len().min(other.len())).ok()?;
    let (mut sums, mut squares, mut both) = ((0_i128, 0_i128), (0_i128, 0_i128), 0_i128);
    for (x, y) in one.iter().zip(other) {
        let (x, y) = (i128::from(*x), i128::from(*y));
        sums = (sums.0 + x, sums.1 + y);
        squares = (squares.0 + x * x, squares.1 + y * y);
        both += x * y;
    }
    let together = u128::try_from(n * both - sums.0 * sums.1).ok()?;
    let apart = |square: i128, sum: i128| u128::try_from(n * square - sum * sum).ok();
    let apart = apart(squares.0, sums.0)? * apart(squares.1, sums.1)?;
    let square = (together * together * 10_000).checked_div(apart)?;
    u64::try_from(square.isqrt()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_together_correlates_whatever_its_size() {
        let saw: Vec<u64> = (0..144).map(|at| at % 7).collect();
        let large: Vec<u64> = saw.iter().map(|load| load * 1_000 + 5).collect();
        let against: Vec<u64> = saw.iter().map(|load| 7 - load).collect();
        let other: Vec<u64> = (0..144).map(|at| at % 5).collect();
        assert_eq!(correlation(&saw, &large), Some(100));
        assert_eq!(correlation(&saw, &against), None);
        assert_eq!(correlation(&saw, &[3; 144]), None, "a steady load");
        assert!(correlation(&saw, &other).is_none_or(|found| found < 10));
    }

    #[test]
    fn the_largest_loads_do_not_overflow() {
        let most: Vec<u64> = (0..144)
            .map(|at| if at % 2 == 0 { MOST } else { 0 })
            .collect();
        assert_eq!(correlation(&most, &most), Some(100));
    }
}
