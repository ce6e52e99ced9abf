//! Retention: which lines of usage records were erased, and whether the log says so.
//!
//! The log is parted into *hours* by its own clock. An `erasure` announces that the lines of some
//! hours go; how many usage records these have and what their totals sum to follows from the log
//! before it, and a hold takes an hour out. So nobody has to be believed for it, before the lines
//! are gone or after. Lines that are gone without an erasure, and without their host saying so, were
//! withheld by whoever keeps the log.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::{Body, v1};

use crate::admission::{Admitted, Content};

type Chain = [u8; 32];

/// The grain of an erasure, milliseconds of log time.
pub const HOUR_MS: u64 = 3_600_000;

/// Most holds at a time: 4,096 × 80 bytes are 320 KiB. One more is refused.
pub const MAX_HOLDS: usize = 4_096;

/// Most spans of records without lines that are listed.
const MAX_LISTED: usize = 64;

/// Why an erasure or a hold does not follow from the log before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Untrue {
    /// Its range is not one of whole hours before it.
    #[error("is not of whole hours of the log before it")]
    Range,
    /// Every hour of it is held or was erased.
    #[error("names nothing that could be erased: all of it is held, or was erased")]
    Nothing,
    /// Another number of records.
    #[error("counts {got} records, and {due} are in these hours")]
    Count {
        /// By the log.
        due: u64,
        /// As it says.
        got: u64,
    },
    /// Other sums.
    #[error("does not sum these records up as the log does")]
    Sums,
    /// A hold over nothing, or one more than are kept.
    #[error("runs backwards, or is one more than the {MAX_HOLDS} that are kept")]
    Hold,
    /// A release of what the same chain does not hold.
    #[error("releases what its chain does not hold")]
    Release,
}

/// An hour of the log, from its first clock on.
#[derive(Clone, Debug, Default)]
struct Hour {
    /// Log index of that clock, and what it says.
    start: u64,
    start_ms: u64,
    records: u64,
    sums: v1::DeviceTotals,
    /// Lines of records of which none is shown.
    bare_lines: u64,
    /// Log index of the erasure that took it.
    erased: Option<u64>,
    /// Usage records without lines, by chain: spans of sequences, and the log index of the last.
    bare: BTreeMap<Chain, Vec<Span>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: u64,
    last: u64,
    last_index: u64,
}

/// Records of one chain without lines, of which nothing says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsaid {
    /// Their host's chain.
    pub chain: [u8; 32],
    /// Sequence of the first.
    pub first: u64,
    /// Sequence of the last.
    pub last: u64,
    /// Log index of the last.
    pub last_index: u64,
    /// Whether the host signed something since it saw them in the log: it says so before it sends
    /// them, so it was not the host who let them go.
    pub withheld: bool,
}

/// The holds that stand: chain that placed it, and its range.
#[derive(Clone, Debug, Default)]
pub struct Holds(BTreeSet<(Chain, u64, u64)>);

impl Holds {
    /// Takes a statement of a chain that places or releases one.
    pub fn take(&mut self, chain: [u8; 32], hold: &v1::Hold) -> Result<(), Untrue> {
        let key = (chain, hold.first_index, hold.last_index);
        if hold.released {
            return self.0.remove(&key).then_some(()).ok_or(Untrue::Release);
        }
        if hold.first_index > hold.last_index || self.0.len() >= MAX_HOLDS {
            return Err(Untrue::Hold);
        }
        self.0.insert(key);
        Ok(())
    }

    /// Chain, first and last log index of each.
    pub fn iter(&self) -> impl Iterator<Item = &([u8; 32], u64, u64)> {
        self.0.iter()
    }
}

/// What was erased of a log, what is held, and what is gone without a word.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    hours: Vec<Hour>,
    holds: Holds,
    heard: Option<u64>,
    /// Whether every entry from the first on was heard.
    whole: bool,
    /// The largest log that each host with records without lines has seen.
    seen: BTreeMap<Chain, u64>,
    erasures: u64,
}

impl Retention {
    /// Takes the entry at `index`; refuses an erasure or a hold that does not follow from those
    /// before it. `whole` tells whether all that is kept of the entry is shown.
    pub fn take(&mut self, index: u64, admitted: &Admitted, whole: bool) -> Result<(), Untrue> {
        let follows = match self.heard {
            None => index == 0,
            Some(last) => last.checked_add(1) == Some(index),
        };
        self.whole = follows && whole && (self.whole || index == 0);
        self.heard = Some(index);
        let verified = admitted.verified();
        let header = verified.statement().header();
        let chain = *verified.chain().as_bytes();
        if let (Some(seen), Some(checkpoint)) = (self.seen.get_mut(&chain), header.checkpoint()) {
            *seen = checkpoint.size.max(*seen);
        }
        match (verified.body(), admitted.content()) {
            (Body::Clock(_), _) => self.clock(index, header.time().unix_ms),
            (Body::Usage(_), Content::Usage(totals, lines)) => {
                let bare = lines.iter().all(Option::is_none);
                let bare = if bare { lines.len() as u64 } else { 0 };
                self.usage((chain, header.sequence(), index), totals, (bare, whole));
            }
            (Body::Gap(gap), _) if gap.lines => self.let_go(chain, gap.first, gap.last),
            (Body::Hold(hold), _) => match self.holds.take(chain, hold) {
                // What it releases may not be shown.
                Err(Untrue::Release) if !self.whole => {}
                taken => taken?,
            },
            (Body::Erasure(erasure), _) => self.erase(index, erasure)?,
            _ => {}
        }
        Ok(())
    }

    /// The erasure of all that may go: hours that were over at `before_ms` of log time, are not
    /// held, were not erased, and hold none of the entries in `spared`; none where there is none.
    /// It has no reason yet.
    pub fn due(&self, before_ms: u64, spared: &BTreeSet<u64>) -> Option<v1::Erasure> {
        let mut range: Option<(u64, u64)> = None;
        for (place, hour) in self.hours.iter().enumerate() {
            let Some(next) = self.hours.get(place + 1) else {
                break;
            };
            if next.start_ms > before_ms {
                break;
            }
            let spared = spared.range(hour.start..next.start).next().is_some();
            match &mut range {
                _ if hour.erased.is_some()
                    || hour.records == 0
                    || self.is_held(hour.start, next.start) => {}
                // One range is one statement: what is spared is not in it.
                Some(_) if spared => break,
                None if spared => {}
                Some((_, end)) => *end = next.start,
                None => range = Some((hour.start, next.start)),
            }
        }
        let (first_index, end) = range?;
        let last_index = end - 1;
        let (count, sums) = self.sum(first_index, last_index)?;
        Some(v1::Erasure {
            header: None,
            first_index,
            last_index,
            count,
            sums: Some(sums),
            reason: String::new(),
        })
    }

    /// The ranges of log indices, first and last, of which an erasure that is among the first `size`
    /// entries says that their lines go; joined where they abut.
    pub fn erased(&self, size: u64) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (hour, next) in self.hours.iter().zip(self.hours.iter().skip(1)) {
            match ranges.last_mut() {
                _ if hour.erased.is_none_or(|by| by >= size) => {}
                Some((_, last)) if last.checked_add(1) == Some(hour.start) => {
                    *last = next.start - 1;
                }
                _ => ranges.push((hour.start, next.start - 1)),
            }
        }
        ranges
    }

    /// How many erasures were announced, and how many lines of what is heard they took.
    pub fn erasures(&self) -> (u64, u64) {
        let erased = self.hours.iter().filter(|hour| hour.erased.is_some());
        let lines = erased.map(|hour| hour.bare_lines);
        (self.erasures, lines.fold(0, u64::saturating_add))
    }

    /// The holds that stand.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Records without lines of which neither an erasure nor their host says why; some, and how
    /// many spans of them there are. Only a log that is heard whole tells.
    pub fn unsaid(&self) -> (Vec<Unsaid>, u64) {
        let (mut listed, mut count) = (Vec::new(), 0);
        for hour in self.hours.iter().filter(|hour| hour.erased.is_none()) {
            for (chain, spans) in &hour.bare {
                let seen = self.seen.get(chain).copied().unwrap_or(0);
                for span in spans {
                    count += 1;
                    let unsaid = Unsaid {
                        chain: *chain,
                        first: span.first,
                        last: span.last,
                        last_index: span.last_index,
                        withheld: seen > span.last_index,
                    };
                    // What is proved comes first.
                    if unsaid.withheld || listed.len() < MAX_LISTED {
                        listed.push(unsaid);
                    }
                }
            }
        }
        listed.sort_by_key(|unsaid| (!unsaid.withheld, unsaid.last_index));
        listed.truncate(MAX_LISTED);
        (listed, count)
    }

    fn clock(&mut self, index: u64, now_ms: u64) {
        let begun = self.hours.last().map(|hour| hour.start_ms / HOUR_MS);
        if begun.is_none_or(|begun| now_ms / HOUR_MS > begun) {
            self.hours.push(Hour {
                start: index,
                start_ms: now_ms,
                ..Hour::default()
            });
        }
    }

    fn usage(&mut self, at: (Chain, u64, u64), totals: &v1::Totals, bare: (u64, bool)) {
        let (chain, sequence, index) = at;
        // The first clock comes before any host.
        let Some(hour) = self.hours.last_mut() else {
            return;
        };
        hour.records += 1;
        for device in &totals.devices {
            add(&mut hour.sums, device);
        }
        let (lines, whole) = bare;
        hour.bare_lines = hour.bare_lines.saturating_add(lines);
        if lines == 0 || !whole {
            return;
        }
        self.seen.entry(chain).or_default();
        let spans = hour.bare.entry(chain).or_default();
        match spans.last_mut() {
            Some(span) if span.last.checked_add(1) == Some(sequence) => {
                (span.last, span.last_index) = (sequence, index);
            }
            _ => spans.push(Span {
                first: sequence,
                last: sequence,
                last_index: index,
            }),
        }
    }

    /// Forgets records of which their host says that it let their lines go.
    fn let_go(&mut self, chain: Chain, first: u64, last: u64) {
        for hour in &mut self.hours {
            let Some(spans) = hour.bare.get_mut(&chain) else {
                continue;
            };
            let mut left = Vec::new();
            for span in spans.drain(..) {
                if span.last < first || last < span.first {
                    left.push(span);
                    continue;
                }
                if span.first < first {
                    let last = first - 1;
                    left.push(Span { last, ..span });
                }
                if last < span.last {
                    let first = last + 1;
                    left.push(Span { first, ..span });
                }
            }
            *spans = left;
            if spans.is_empty() {
                hour.bare.remove(&chain);
            }
        }
    }

    /// Holds an erasure that is to stand at `index` against the log before it.
    pub fn check(&self, index: u64, erasure: &v1::Erasure) -> Result<(), Untrue> {
        let (first, last) = (erasure.first_index, erasure.last_index);
        if self.whole {
            let (count, sums) = self.sum(first, last).ok_or(Untrue::Range)?;
            if count == 0 {
                return Err(Untrue::Nothing);
            }
            if count != erasure.count {
                return Err(Untrue::Count {
                    due: count,
                    got: erasure.count,
                });
            }
            if Some(sums) != erasure.sums {
                return Err(Untrue::Sums);
            }
        } else if last < first || index <= last {
            return Err(Untrue::Range);
        }
        Ok(())
    }

    fn erase(&mut self, index: u64, erasure: &v1::Erasure) -> Result<(), Untrue> {
        self.check(index, erasure)?;
        let (first, last) = (erasure.first_index, erasure.last_index);
        self.erasures += 1;
        let held: Vec<bool> = self.each(first, last).map(|(_, held)| held).collect();
        let hours = self.hours.iter_mut();
        let hours = hours.filter(|hour| (first..=last).contains(&hour.start));
        for (hour, held) in hours.zip(held) {
            if !held {
                hour.erased.get_or_insert(index);
                hour.bare.clear();
            }
        }
        Ok(())
    }

    /// The hours that begin in a range, each with whether it is held.
    fn each(&self, first: u64, last: u64) -> impl Iterator<Item = (&Hour, bool)> {
        let from = self.hours.partition_point(|hour| hour.start < first);
        let hours = self.hours.iter().skip(from);
        let ends = self.hours.iter().skip(from.saturating_add(1));
        let ends = ends.map(|next| next.start).chain([u64::MAX]);
        let all = hours
            .zip(ends)
            .take_while(move |(hour, _)| hour.start <= last);
        all.map(|(hour, end)| (hour, self.is_held(hour.start, end)))
    }

    /// Records and sums of what an erasure of a range takes; none where it is not of whole hours.
    fn sum(&self, first: u64, last: u64) -> Option<(u64, v1::DeviceTotals)> {
        let begins = |index| self.hours.binary_search_by_key(&index, |hour| hour.start);
        begins(first).ok()?;
        begins(last.checked_add(1)?).ok()?;
        let (mut count, mut sums) = (0_u64, v1::DeviceTotals::default());
        for (hour, held) in self.each(first, last) {
            if hour.erased.is_none() && !held {
                count = count.saturating_add(hour.records);
                add(&mut sums, &hour.sums);
            }
        }
        (first <= last).then_some((count, sums))
    }

    fn is_held(&self, start: u64, end: u64) -> bool {
        let mut holds = self.holds.iter();
        holds.any(|(_, first, last)| *first < end && start <= *last)
    }
}

/// Adds one device's totals. What does not fit stays at the most: a host may claim what it likes,
/// and must not be able to stop an erasure.
fn add(sums: &mut v1::DeviceTotals, more: &v1::DeviceTotals) {
    let parts = [
        (&mut sums.attributed_ms, more.attributed_ms),
        (&mut sums.idle_ms, more.idle_ms),
        (&mut sums.unattributed_ms, more.unattributed_ms),
        (&mut sums.not_observed_ms, more.not_observed_ms),
    ];
    for (sum, more) in parts {
        *sum = sum.saturating_add(more);
    }
    if let Some(more) = more.energy_mj {
        sums.energy_mj = Some(sums.energy_mj.unwrap_or(0).saturating_add(more));
    }
}
