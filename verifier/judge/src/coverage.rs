//! Coverage: whether a host's time is accounted for, and who is silent.
//!
//! A host is expected from its enrolment or approval, at the latest from its first record, until
//! it is retired, evicted, banned, transferred or continued by another chain. For its first record
//! it has as long as for a reconnection. Two things are gaps: a *hole* between the time that one
//! record covers and the next, and a *silence*, when the log's clock has gone on and no record
//! arrived. A silence stays a gap even if records come later that cover it; the figures then count
//! its time as recorded.
//!
//! An operator's maintenance opens a *window*, from its inclusion until the end that it names, at
//! the latest until the host is back: until a record that comes after it had fallen silent or
//! after a hole. Holes and silence within a window are planned and counted apart.

use std::collections::BTreeSet;

use crate::{chains::ByChain, parameters::Parameters};

type Chain = [u8; 32];

/// Spans of time, in order.
type Spans = Vec<(u64, u64)>;

/// Most windows of maintenance kept of one host: those since its last record, of which there is
/// one as a rule. A host that has more loses the oldest, and its silence then is a gap.
const MAX_WINDOWS: usize = 16;

/// A span of a host's time that nothing covers, or did not when it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    /// Log index of what the host said last before it.
    pub(crate) first_index: u64,
    /// Log index of what ended it, or the same.
    pub(crate) last_index: u64,
    pub(crate) why: &'static str,
}

/// What coverage makes of one record, or of the end of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) gaps: Vec<Gap>,
    /// Spans without a record, by plan.
    pub(crate) planned: Spans,
    /// Part of the record's own interval that lies in a window of maintenance, milliseconds.
    pub(crate) excused_ms: u64,
    /// The instant up to which the host's time is covered now. It never goes back.
    pub(crate) covered_to_ms: u64,
    /// Whether the record ends a maintenance.
    pub(crate) back: bool,
}

/// What is counted of one host's time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) expected_ms: u128,
    pub(crate) recorded_ms: u128,
    pub(crate) hole_ms: u128,
    /// Time without a record, by plan.
    pub(crate) planned_ms: u128,
    pub(crate) records: u64,
    pub(crate) covered_to_ms: Option<u64>,
    pub(crate) silent_since_ms: Option<u64>,
    /// Since when it is silent by plan.
    pub(crate) resting_since_ms: Option<u64>,
}

/// Time in which silence is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    from_ms: u64,
    /// Open when the plan names no end.
    until_ms: Option<u64>,
}

impl Window {
    fn holds(&self, instant_ms: u64) -> bool {
        self.from_ms <= instant_ms && self.until_ms.is_none_or(|until| instant_ms < until)
    }

    /// The part of `from..to` within the window.
    fn cut(&self, (from, to): (u64, u64)) -> Option<(u64, u64)> {
        let cut = (
            from.max(self.from_ms),
            to.min(self.until_ms.unwrap_or(u64::MAX)),
        );
        (cut.0 < cut.1).then_some(cut)
    }
}

#[derive(Clone, Debug, Default)]
struct Watch {
    /// Since when it is expected; `None` while it is not.
    since_ms: Option<u64>,
    /// When it was over.
    over_ms: Option<u64>,
    covered_to_ms: u64,
    index: u64,
    due_ms: Option<u64>,
    /// When it is looked at next: no later than its record is due.
    queued_ms: Option<u64>,
    excused: bool,
    /// Whether it has yet to report for the first time.
    new: bool,
    silent: bool,
    /// Overdue within a window.
    resting: bool,
    /// Windows of maintenance, oldest first; they do not overlap.
    windows: Vec<Window>,
    past: Counted,
}

impl Watch {
    /// Parts a span without records into what is planned and what is not.
    fn part(&self, span: (u64, u64)) -> (Spans, Spans) {
        let planned: Vec<_> = self
            .windows
            .iter()
            .filter_map(|one| one.cut(span))
            .collect();
        let mut rest = Vec::new();
        let mut from = span.0;
        for (begin, end) in &planned {
            if from < *begin {
                rest.push((from, *begin));
            }
            from = *end;
        }
        if from < span.1 {
            rest.push((from, span.1));
        }
        (planned, rest)
    }

    /// Where the silence began that lasts at `now`.
    fn silent_from(&self, now: u64) -> u64 {
        let (_, rest) = self.part((self.covered_to_ms, now.max(self.covered_to_ms)));
        rest.last().map_or(self.covered_to_ms, |(from, _)| *from)
    }

    fn count_hole(&mut self, span: (u64, u64)) {
        let (planned, rest) = self.part(span);
        self.past.planned_ms += length(&planned);
        self.past.hole_ms += length(&rest);
    }
}

fn length(spans: &[(u64, u64)]) -> u128 {
    let one = |(from, to): &(u64, u64)| u128::from(to.saturating_sub(*from));
    spans.iter().map(one).sum()
}

/// The watch over all hosts.
#[derive(Clone, Debug)]
pub(crate) struct Coverage {
    interval_ms: u64,
    grace_ms: u64,
    reconnect_ms: u64,
    from_ms: u64,
    to_ms: u64,
    now_ms: Option<u64>,
    watches: ByChain<Watch>,
    /// When to look at whom. A host that reports is left where it stands: it is put further back
    /// when its turn comes, and not with every record.
    queue: BTreeSet<(u64, Chain)>,
}

impl Coverage {
    /// Watches the time from `from_ms` to `to_ms`.
    pub(crate) fn new(parameters: &Parameters, from_ms: u64, to_ms: u64) -> Self {
        Self {
            interval_ms: parameters.interval_ms,
            grace_ms: parameters.gap_grace_ms,
            reconnect_ms: parameters.reconnect_ms,
            from_ms,
            to_ms,
            now_ms: None,
            watches: ByChain::default(),
            queue: BTreeSet::new(),
        }
    }

    /// The log's clock, within the time watched.
    fn now(&self) -> u64 {
        self.now_ms.unwrap_or(0).clamp(self.from_ms, self.to_ms)
    }

    /// Takes the log's clock: hosts whose record is overdue fall silent.
    ///
    /// When the clock leaps by more than two intervals the log itself stood still, and so each
    /// host that is overdue is excused once, long enough to reconnect.
    pub(crate) fn clock(&mut self, unix_ms: u64) {
        let leap = self.now_ms.map_or(0, |now| unix_ms.saturating_sub(now));
        self.now_ms = self.now_ms.max(Some(unix_ms));
        let now = self.now();
        let turn = |queue: &BTreeSet<(u64, Chain)>| {
            let first = queue.first().copied();
            first.filter(|(queued, _)| *queued < now)
        };
        while let Some((queued, chain)) = turn(&self.queue) {
            self.queue.remove(&(queued, chain));
            let Some(watch) = self.watches.get_mut(&chain) else {
                continue;
            };
            watch.queued_ms = None;
            if watch.due_ms.is_none_or(|due| due >= now) {
                enqueue(&mut self.queue, watch, chain);
                continue;
            }
            watch.due_ms = None;
            if let Some(window) = watch.windows.iter().find(|window| window.holds(now)) {
                watch.resting = true;
                let end = window.until_ms;
                watch.due_ms = end.map(|until| until.saturating_add(self.grace_ms));
            } else if leap > self.interval_ms.saturating_mul(2) && !watch.excused {
                let more = if leap > self.grace_ms {
                    self.reconnect_ms
                } else {
                    self.grace_ms
                };
                watch.excused = true;
                watch.due_ms = Some(now.saturating_add(more));
            } else {
                watch.resting = false;
                watch.silent = true;
            }
            enqueue(&mut self.queue, watch, chain);
        }
    }

    /// Expects records of a host from now on.
    pub(crate) fn expect(&mut self, chain: Chain, index: u64) {
        let now = self.now();
        let watch = self.watches.entry(chain).or_default();
        if watch.since_ms.is_none() {
            if let Some(over) = watch.over_ms.take() {
                watch.count_hole((watch.covered_to_ms, over.max(watch.covered_to_ms)));
            }
            watch.since_ms = Some(now);
            watch.covered_to_ms = now;
            watch.index = index;
            watch.new = true;
            self.wait(chain, now, self.reconnect_ms.max(self.grace_ms));
        }
    }

    /// Takes silence of a host as planned from now on, until `until_ms` where that is given; gives
    /// the silence before it.
    pub(crate) fn maintain(
        &mut self,
        chain: Chain,
        index: u64,
        until_ms: Option<u64>,
    ) -> Option<Gap> {
        let now = self.now();
        let grace = self.grace_ms;
        let watch = self.watches.get_mut(&chain)?;
        watch.since_ms?;
        for window in &mut watch.windows {
            window.until_ms = Some(window.until_ms.map_or(now, |until| until.min(now)));
        }
        watch
            .windows
            .retain(|window| window.cut((0, u64::MAX)).is_some());
        let mut gap = None;
        if until_ms.is_none_or(|until| now < until) {
            if std::mem::take(&mut watch.silent) {
                gap = Some(Gap {
                    from_ms: watch.silent_from(now),
                    to_ms: now,
                    first_index: watch.index,
                    last_index: index,
                    why: "no record arrived",
                });
                watch.resting = true;
            }
            watch.windows.push(Window {
                from_ms: now,
                until_ms,
            });
            if watch.windows.len() > MAX_WINDOWS {
                watch.windows.remove(0);
            }
        }
        if watch.resting {
            let end = watch.windows.last().filter(|last| last.holds(now));
            let end = end.map_or(Some(now), |last| last.until_ms);
            watch.due_ms = end.map(|until| until.saturating_add(grace));
            enqueue(&mut self.queue, watch, chain);
        }
        gap
    }

    /// Whether the silence of a host would be planned now.
    pub(crate) fn is_maintained(&self, chain: &Chain) -> bool {
        let now = self.now();
        let watch = self.watches.get(chain);
        watch.is_some_and(|watch| watch.windows.iter().any(|window| window.holds(now)))
    }

    /// Expects no more records of a host; gives the silence in which it ends.
    pub(crate) fn end(&mut self, chain: Chain, index: u64) -> Heard {
        let now = self.now();
        let Some(watch) = self.watches.get_mut(&chain) else {
            return Heard::default();
        };
        watch.due_ms = None;
        let Some(since) = watch.since_ms.take() else {
            return Heard::default();
        };
        watch.past.expected_ms += u128::from(now.saturating_sub(since));
        watch.over_ms = Some(now);
        let silent = std::mem::take(&mut watch.silent);
        let resting = std::mem::take(&mut watch.resting);
        let gap = silent.then(|| Gap {
            from_ms: watch.silent_from(now),
            to_ms: now,
            first_index: watch.index,
            last_index: index,
            why: "no record arrived",
        });
        let (planned, _) = watch.part((watch.covered_to_ms, now.max(watch.covered_to_ms)));
        Heard {
            gaps: gap.into_iter().collect(),
            planned: if resting || silent {
                planned
            } else {
                Vec::new()
            },
            covered_to_ms: watch.covered_to_ms,
            ..Heard::default()
        }
    }

    /// Lets one chain take the place of another: what was expected of the old is expected of it.
    pub(crate) fn inherit(&mut self, chain: Chain, index: u64, old: Chain) -> Heard {
        let Some(before) = self.watches.get(&old) else {
            return Heard::default();
        };
        let (expected, covered) = (before.since_ms.is_some(), before.covered_to_ms);
        let windows = before.windows.clone();
        let heard = self.end(old, index);
        if expected {
            self.expect(chain, index);
            if let Some(watch) = self.watches.get_mut(&chain) {
                watch.covered_to_ms = covered.min(watch.covered_to_ms);
                watch.new = false;
                watch.windows = windows;
            }
            // The time since is the new chain's to cover, not a hole of the old as well.
            if let Some(watch) = self.watches.get_mut(&old) {
                watch.over_ms = Some(covered);
            }
        }
        Heard {
            planned: Vec::new(),
            ..heard
        }
    }

    /// Takes a record of the interval `start_ms`..`end_ms` by the host's wall clock; gives the
    /// silence that it ends and the hole before it.
    ///
    /// A record cannot cover a future that the log has not reached by more than an interval. One
    /// of a host that is over is counted, and makes no further one due.
    pub(crate) fn record(&mut self, chain: Chain, index: u64, start_ms: u64, end_ms: u64) -> Heard {
        let now = self.now();
        let horizon = self
            .now_ms
            .map_or(u64::MAX, |_| now.saturating_add(self.interval_ms));
        let end_ms = end_ms.min(horizon);
        let start_ms = start_ms.clamp(self.from_ms, end_ms.max(self.from_ms));
        let watch = self.watches.entry(chain).or_default();
        if watch.since_ms.is_none() && watch.over_ms.is_none() {
            watch.since_ms = Some(start_ms);
            watch.covered_to_ms = start_ms;
            watch.index = index;
        }
        let mut heard = Heard::default();
        let first = std::mem::take(&mut watch.new);
        let grace = if first {
            self.reconnect_ms.max(self.grace_ms)
        } else {
            self.grace_ms
        };
        // After its end nothing is due: a hole ends there.
        let due_to = watch.over_ms.map_or(start_ms, |over| over.min(start_ms));
        let hole = (watch.covered_to_ms, due_to.max(watch.covered_to_ms));
        let (planned, rest) = watch.part(hole);
        let gap = |(from_ms, to_ms): (u64, u64), why| Gap {
            from_ms,
            to_ms,
            first_index: watch.index,
            last_index: index,
            why,
        };
        let is_long = |(from, to): &(u64, u64)| to.saturating_sub(*from) > grace;
        if watch.silent {
            let why = if rest.iter().any(is_long) {
                "no record arrived"
            } else {
                "no record arrived; later ones cover the time"
            };
            let from = watch.silent_from(now);
            heard.gaps.push(gap((from, now.max(from)), why));
        }
        let why = "nothing covers the time between two records";
        let holes = rest.iter().copied().filter(is_long);
        heard.gaps.extend(holes.map(|hole| gap(hole, why)));
        let own: Vec<_> = watch
            .windows
            .iter()
            .filter_map(|window| window.cut((start_ms, end_ms)))
            .collect();
        heard.excused_ms = u64::try_from(length(&own)).unwrap_or(u64::MAX);
        heard.back = watch.resting || watch.silent || is_long(&hole);
        heard.planned = planned;
        watch.silent = false;
        watch.resting = false;
        watch.count_hole(hole);
        let fresh = end_ms.saturating_sub(start_ms.max(watch.covered_to_ms));
        watch.past.recorded_ms += u128::from(fresh);
        watch.past.records += 1;
        let covered = watch.covered_to_ms;
        watch
            .windows
            .retain(|window| window.until_ms.is_none_or(|until| until > covered));
        if heard.back {
            for window in &mut watch.windows {
                window.until_ms = Some(window.until_ms.map_or(now, |until| until.min(now)));
            }
        }
        watch.covered_to_ms = covered.max(end_ms);
        watch.index = index;
        heard.covered_to_ms = watch.covered_to_ms;
        if watch.since_ms.is_some() {
            let said = self.now_ms.map_or(end_ms, |_| now);
            watch.excused = false;
            watch.due_ms = Some(said.saturating_add(self.grace_ms));
            enqueue(&mut self.queue, watch, chain);
        }
        heard
    }

    /// The silence of a host that still lasts. Once the period watched is over, nobody is excused.
    pub(crate) fn silences(&self) -> impl Iterator<Item = (&Chain, Gap)> {
        let now = self.now();
        let over = self.now_ms >= Some(self.to_ms);
        let silent = self
            .watches
            .choose(move |watch| watch.silent || (over && watch.excused));
        silent.map(move |(chain, watch)| {
            let gap = Gap {
                from_ms: watch.silent_from(now),
                to_ms: now.max(watch.covered_to_ms),
                first_index: watch.index,
                last_index: watch.index,
                why: "no record arrived",
            };
            (chain, gap)
        })
    }

    /// The planned silence of hosts that still lasts, or that unplanned silence followed: its
    /// spans, and the log index of what the host said last before it.
    pub(crate) fn rests(&self) -> impl Iterator<Item = (&Chain, u64, Spans)> {
        let now = self.now();
        let resting = self
            .watches
            .choose(|watch| watch.resting || (watch.silent && !watch.windows.is_empty()));
        resting.map(move |(chain, watch)| {
            let (planned, _) = watch.part((watch.covered_to_ms, now.max(watch.covered_to_ms)));
            (chain, watch.index, planned)
        })
    }

    /// What was counted of a host, up to the log's clock.
    pub(crate) fn counted(&self, chain: &Chain) -> Counted {
        let Some(watch) = self.watches.get(chain) else {
            return Counted::default();
        };
        let now = self.now();
        let mut counted = watch.past;
        if let Some(since) = watch.since_ms {
            counted.expected_ms += u128::from(now.saturating_sub(since));
        }
        let tail = (watch.covered_to_ms, watch.over_ms.unwrap_or(now));
        let (planned, rest) = watch.part((tail.0, tail.1.max(tail.0)));
        if watch.over_ms.is_some() {
            counted.hole_ms += length(&rest);
            counted.planned_ms += length(&planned);
        } else if watch.resting || watch.silent {
            counted.planned_ms += length(&planned);
        }
        counted.covered_to_ms = (counted.records > 0).then_some(watch.covered_to_ms);
        counted.silent_since_ms = watch.silent.then(|| watch.silent_from(now));
        counted.resting_since_ms = watch.resting.then(|| {
            planned
                .first()
                .map_or(watch.covered_to_ms, |(from, _)| *from)
        });
        counted
    }

    fn wait(&mut self, chain: Chain, heard_ms: u64, grace_ms: u64) {
        let Some(watch) = self.watches.get_mut(&chain) else {
            return;
        };
        watch.excused = false;
        watch.due_ms = Some(heard_ms.saturating_add(grace_ms));
        enqueue(&mut self.queue, watch, chain);
    }
}

/// Makes sure that a host is looked at when its record is due.
fn enqueue(queue: &mut BTreeSet<(u64, Chain)>, watch: &mut Watch, chain: Chain) {
    let Some(due) = watch.due_ms else {
        return;
    };
    match watch.queued_ms {
        Some(queued) if queued <= due => return,
        Some(queued) => {
            queue.remove(&(queued, chain));
        }
        None => {}
    }
    watch.queued_ms = Some(due);
    queue.insert((due, chain));
}

#[cfg(test)]
mod tests;
