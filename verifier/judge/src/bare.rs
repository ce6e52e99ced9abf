//! Bare records: those of which no line is shown, until it is known whether they still exist.
//!
//! A record may be bare because a report withholds its lines, or because the host let them go. The
//! host says so in a `gap` that stands behind the records in the log. What it then says is lost is
//! booked by the records' signed totals: idle is idle, and what was attributed is nobody's.

use std::collections::{BTreeMap, VecDeque};

use affiant_proto::v1;

use crate::devices::Class;

type Chain = [u8; 32];

/// Most records of one span: an hour at 10 s. A `gap` that names part of a span takes its share.
const SPAN_RECORDS: u64 = 360;

/// Most spans of one chain. 256 × 1 h is more than the ten days that a spool is made for; of
/// what is older the two oldest grow together. 256 × 150 bytes are 38 KiB of a chain.
const SPANS: usize = 256;

/// Time of devices as a totals line parts it, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) attributed_ms: u128,
    pub(crate) idle_ms: u128,
    pub(crate) unattributed_ms: u128,
    pub(crate) not_observed_ms: u128,
}

impl Parts {
    pub(crate) fn of(totals: &v1::DeviceTotals) -> Self {
        Self {
            attributed_ms: totals.attributed_ms.into(),
            idle_ms: totals.idle_ms.into(),
            unattributed_ms: totals.unattributed_ms.into(),
            not_observed_ms: totals.not_observed_ms.into(),
        }
    }

    fn all(&mut self) -> [&mut u128; 4] {
        [
            &mut self.attributed_ms,
            &mut self.idle_ms,
            &mut self.unattributed_ms,
            &mut self.not_observed_ms,
        ]
    }

    pub(crate) fn add(&mut self, mut other: Self) {
        for (sum, part) in self.all().into_iter().zip(other.all()) {
            *sum = sum.saturating_add(*part);
        }
    }

    /// Takes `some` of `whole` equal shares.
    fn take(&mut self, some: u64, whole: u64) -> Self {
        let mut taken = Self::default();
        for (rest, taken) in self.all().into_iter().zip(taken.all()) {
            let (some, whole) = (u128::from(some), u128::from(whole.max(1)));
            *taken = rest.saturating_mul(some.min(whole)) / whole;
            *rest -= *taken;
        }
        taken
    }
}

/// Bare records in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    /// Sequences of the first and the last.
    first: u64,
    last: u64,
    records: u64,
    lines: u64,
    first_index: u64,
    from_ms: u64,
    to_ms: u64,
    classes: BTreeMap<Class, Parts>,
}

/// What a `gap` takes of bare records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) records: u64,
    pub(crate) lines: u64,
    /// Log index of the first span of them, and their time.
    pub(crate) first_index: Option<u64>,
    pub(crate) span_ms: Option<(u64, u64)>,
    pub(crate) classes: BTreeMap<Class, Parts>,
}

/// The bare records of all chains.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bare(BTreeMap<Chain, VecDeque<Span>>);

impl Bare {
    /// Adds a bare record of `lines` lines at `sequence` of the chain and log index `index`.
    pub(crate) fn add(
        &mut self,
        chain: Chain,
        (sequence, index): (u64, u64),
        (from_ms, to_ms): (u64, u64),
        lines: u64,
        classes: BTreeMap<Class, Parts>,
    ) {
        let spans = self.0.entry(chain).or_default();
        let fits = |last: &&mut Span| last.records < SPAN_RECORDS && last.last < sequence;
        if let Some(last) = spans.back_mut().filter(fits) {
            last.last = sequence;
            last.records += 1;
            last.lines = last.lines.saturating_add(lines);
            last.from_ms = last.from_ms.min(from_ms);
            last.to_ms = last.to_ms.max(to_ms);
            join(&mut last.classes, classes);
            return;
        }
        spans.push_back(Span {
            first: sequence,
            last: sequence,
            records: 1,
            lines,
            first_index: index,
            from_ms,
            to_ms,
            classes,
        });
        if spans.len() > SPANS
            && let (Some(old), Some(next)) = (spans.pop_front(), spans.front_mut())
        {
            next.first = old.first;
            next.first_index = old.first_index;
            next.records = next.records.saturating_add(old.records);
            next.lines = next.lines.saturating_add(old.lines);
            next.from_ms = next.from_ms.min(old.from_ms);
            next.to_ms = next.to_ms.max(old.to_ms);
            join(&mut next.classes, old.classes);
        }
    }

    /// Takes the records at the sequences `first..=last` of a chain, of which the host says that
    /// their lines are lost. Of a span that lies partly within, it takes the share of its
    /// sequences that do.
    pub(crate) fn take(&mut self, chain: Chain, (first, last): (u64, u64)) -> Lost {
        let mut lost = Lost::default();
        let Some(spans) = self.0.get_mut(&chain) else {
            return lost;
        };
        for span in spans.iter_mut() {
            let (from, to) = (first.max(span.first), last.min(span.last));
            if from > to {
                continue;
            }
            let whole = (span.last - span.first).saturating_add(1);
            let within = (to - from).saturating_add(1);
            let share = u128::from(span.records) * u128::from(within);
            let records = share.div_ceil(u128::from(whole));
            let records = u64::try_from(records).unwrap_or(span.records);
            for (class, parts) in &mut span.classes {
                let taken = parts.take(records, span.records);
                lost.classes.entry(*class).or_default().add(taken);
            }
            let lines = u128::from(span.lines) * u128::from(records) / u128::from(span.records);
            let lines = u64::try_from(lines).unwrap_or(span.lines);
            span.lines -= lines;
            lost.lines = lost.lines.saturating_add(lines);
            span.records -= records.min(span.records);
            lost.records = lost.records.saturating_add(records);
            let index = lost.first_index.get_or_insert(span.first_index);
            *index = span.first_index.min(*index);
            let times = lost.span_ms.get_or_insert((span.from_ms, span.to_ms));
            *times = (times.0.min(span.from_ms), times.1.max(span.to_ms));
            // What is left of the span is at that end of it that the gap does not name.
            if to == span.last && from > span.first {
                span.last = from - 1;
            } else if to < span.last {
                span.first = to + 1;
            }
        }
        spans.retain(|span| span.records > 0);
        lost
    }
}

fn join(sum: &mut BTreeMap<Class, Parts>, more: BTreeMap<Class, Parts>) {
    for (class, parts) in more {
        sum.entry(class).or_default().add(parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: Chain = [7; 32];

    fn parts() -> BTreeMap<Class, Parts> {
        let parts = Parts {
            attributed_ms: 7,
            idle_ms: 2,
            unattributed_ms: 1,
            not_observed_ms: 0,
        };
        BTreeMap::from([(Class::A, parts)])
    }

    fn bare(sequences: std::ops::Range<u64>) -> Bare {
        let mut bare = Bare::default();
        for sequence in sequences {
            let time = (sequence * 10, sequence * 10 + 10);
            bare.add(CHAIN, (sequence, sequence + 100), time, 3, parts());
        }
        bare
    }

    fn attributed(lost: &Lost) -> u128 {
        lost.classes.values().map(|parts| parts.attributed_ms).sum()
    }

    #[test]
    fn what_a_gap_names_is_lost_once_and_no_more_than_there_was() {
        let mut bare = bare(5..1_005);
        let lost = bare.take(CHAIN, (5, 504));
        assert_eq!((lost.records, attributed(&lost)), (500, 3_500));
        assert_eq!(lost.lines, 1_500);
        assert_eq!(lost.first_index, Some(105));
        assert_eq!(bare.take(CHAIN, (5, 504)), Lost::default());
        let rest = bare.take(CHAIN, (0, u64::MAX));
        assert_eq!((rest.records, attributed(&rest)), (500, 3_500));
        assert_eq!(bare.take(CHAIN, (0, u64::MAX)), Lost::default());
        assert_eq!(bare.take([8; 32], (0, u64::MAX)), Lost::default());
    }

    #[test]
    fn a_gap_within_a_span_takes_its_share() {
        let mut bare = bare(0..100);
        let lost = bare.take(CHAIN, (40, 49));
        assert_eq!((lost.records, attributed(&lost)), (10, 70));
        let rest = bare.take(CHAIN, (0, u64::MAX));
        assert_eq!((rest.records, attributed(&rest)), (90, 630));
    }

    #[test]
    fn spans_stay_bounded_and_no_time_is_forgotten() {
        let mut bare = bare(0..200_000);
        assert!(bare.0.values().all(|spans| spans.len() <= SPANS));
        let lost = bare.take(CHAIN, (0, u64::MAX));
        assert_eq!((lost.records, attributed(&lost)), (200_000, 1_400_000));
    }
}
