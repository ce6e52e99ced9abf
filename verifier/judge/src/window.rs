//! Windows: between which instants of the log's own time a statement of a host was made.
//!
//! A statement was made after the `clock` under the checkpoint that it embeds, and before it was
//! logged. What a chain says follows what it said before, so a window never begins earlier than
//! the one before it. Everything else about when something was is a claim.

use std::collections::BTreeMap;

use affiant_proto::v1;

use crate::chains::ByChain;

type Chain = [u8; 32];

/// Most clocks that are kept: 36 hours of one a second, 24 bytes each, 3 MiB. Of the older half
/// every second one goes then, and a window that begins there is known less exactly.
const CLOCKS: usize = 131_072;

/// A `clock` of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    index: u64,
    unix_ms: u64,
    /// Whether everything is here between it and the next mark, so that no clock lies between.
    whole: bool,
}

/// Where a window begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Begin {
    /// The statement was made after this instant, as a checkpoint shows.
    after_ms: Option<u64>,
    /// The latest instant at which the window can begin, by what is shown of the log; where no
    /// checkpoint was ever embedded, the log's time at the enrolment.
    since_ms: u64,
}

/// The window of one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// It was made after this instant, if its chain ever embedded a checkpoint.
    pub(crate) after_ms: Option<u64>,
    /// Where the window begins at the latest.
    pub(crate) since_ms: u64,
    /// The log's time when it was logged.
    pub(crate) logged_ms: u64,
}

impl Window {
    /// How wide it is at least, milliseconds.
    pub(crate) fn width_ms(&self) -> u64 {
        self.logged_ms.saturating_sub(self.since_ms)
    }
}

/// A claim that is ahead of the log's clock until the next one tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Early {
    pub(crate) chain: Chain,
    /// Log index of the statement.
    pub(crate) index: u64,
    /// What it claims, less the error that is allowed.
    pub(crate) claim_ms: u64,
}

/// A generation of the log, and the size that the next one went on from.
#[derive(Clone, Debug)]
struct Generation {
    origin: String,
    kept: Option<u64>,
}

/// The log's clocks, and where the window of each host's chain begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Windows {
    marks: Vec<Mark>,
    heard: Option<u64>,
    generations: Vec<Generation>,
    chains: ByChain<Begin>,
    /// The newest statement of a host.
    current: Option<(u64, Window)>,
    /// Of each chain the furthest claim since the last clock.
    early: BTreeMap<Chain, Early>,
}

impl Windows {
    /// Takes the log's clock at `index`; gives the claims that it proves to be ahead of their time.
    pub(crate) fn clock(&mut self, index: u64, unix_ms: u64) -> Vec<Early> {
        self.marks.push(Mark {
            index,
            unix_ms,
            whole: true,
        });
        if self.marks.len() > CLOCKS {
            self.thin();
        }
        let early = std::mem::take(&mut self.early).into_values();
        early.filter(|early| early.claim_ms > unix_ms).collect()
    }

    /// Takes note that the entry at `index` is here.
    pub(crate) fn heard(&mut self, index: u64) {
        let follows = self.heard.and_then(|last| last.checked_add(1)) == Some(index);
        if !follows && let Some(last) = self.marks.last_mut() {
            last.whole = false;
        }
        self.heard = Some(index);
    }

    /// Begins a generation of the log over the first `kept` entries of the one before.
    pub(crate) fn generation(&mut self, origin: &str, kept: u64) {
        if let Some(last) = self.generations.last_mut() {
            last.kept = Some(kept);
        }
        self.generations.push(Generation {
            origin: origin.to_owned(),
            kept: None,
        });
    }

    /// Opens the chain of a host.
    pub(crate) fn open(&mut self, chain: Chain, now_ms: u64) {
        let begin = Begin {
            after_ms: None,
            since_ms: now_ms,
        };
        self.chains.entry(chain).or_insert(begin);
    }

    /// The window of the statement at `index` of a host's chain, which is logged now; none of any
    /// other chain.
    pub(crate) fn of(
        &mut self,
        index: u64,
        chain: Chain,
        checkpoint: Option<&v1::CheckpointRef>,
        now_ms: u64,
    ) -> Option<Window> {
        let seen = checkpoint.and_then(|seen| self.begin(seen, now_ms));
        let begin = self.chains.get_mut(&chain)?;
        if let Some(seen) = seen {
            // The first checkpoint says more than the enrolment did.
            begin.since_ms = match begin.after_ms {
                Some(_) => begin.since_ms.max(seen.since_ms),
                None => seen.since_ms,
            };
            begin.after_ms = begin.after_ms.max(seen.after_ms);
        }
        let window = Window {
            after_ms: begin.after_ms,
            since_ms: begin.since_ms,
            logged_ms: now_ms,
        };
        self.current = Some((index, window));
        Some(window)
    }

    /// The window of the statement at `index`, if that is the newest one of a host.
    pub(crate) fn at(&self, index: u64) -> Option<Window> {
        let (at, window) = self.current?;
        (at == index).then_some(window)
    }

    /// Waits with a claim for the next clock.
    pub(crate) fn wait(&mut self, early: Early) {
        let known = self.early.entry(early.chain).or_insert(early);
        if early.claim_ms > known.claim_ms {
            *known = early;
        }
    }

    /// Where a window begins whose statement embeds this checkpoint.
    ///
    /// What a generation had beyond what was kept of it tells nothing of this log's clocks.
    fn begin(&self, seen: &v1::CheckpointRef, now_ms: u64) -> Option<Begin> {
        let mut generations = self.generations.iter();
        let generation = generations.find(|one| one.origin == seen.origin)?;
        let size = generation
            .kept
            .map_or(seen.size, |kept| kept.min(seen.size));
        let next = self.marks.partition_point(|mark| mark.index < size);
        let mark = self.marks.get(next.checked_sub(1)?)?;
        let since_ms = if mark.whole {
            mark.unix_ms
        } else {
            self.marks.get(next).map_or(now_ms, |next| next.unix_ms)
        };
        Some(Begin {
            after_ms: Some(mark.unix_ms),
            since_ms,
        })
    }

    fn thin(&mut self) {
        let half = self.marks.len() / 2;
        let mut place = 0;
        self.marks.retain_mut(|mark| {
            place += 1;
            let old = place <= half;
            // What follows one that stays is one that goes.
            mark.whole &= !old;
            !old || place % 2 == 1
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CHAIN: Chain = [7; 32];

    fn seen(size: u64) -> v1::CheckpointRef {
        v1::CheckpointRef {
            origin: "log/1".into(),
            size,
            root: vec![0; 32],
        }
    }

    /// A log with a clock at every tenth index, a second apart.
    fn log(to: u64) -> Windows {
        let mut windows = Windows::default();
        windows.generation("log/1", 0);
        for index in 0..to {
            windows.heard(index);
            if index % 10 == 0 {
                windows.clock(index, index * 100);
            }
        }
        windows.open(CHAIN, 0);
        windows
    }

    fn window(windows: &mut Windows, size: u64) -> (Option<u64>, u64) {
        let window = windows.of(99, CHAIN, Some(&seen(size)), 90_000).unwrap();
        (window.after_ms, window.since_ms)
    }

    #[test]
    fn a_window_begins_at_the_last_clock_under_the_checkpoint() {
        for (size, due) in [(1, 0), (10, 0), (11, 1_000), (50, 4_000), (51, 5_000)] {
            assert_eq!(window(&mut log(60), size), (Some(due), due), "{size}");
        }
        assert_eq!(window(&mut log(60), u64::MAX), (Some(5_000), 5_000));
    }

    #[test]
    fn what_follows_in_a_chain_was_made_no_earlier() {
        let mut windows = log(60);
        window(&mut windows, 41);
        assert_eq!(window(&mut windows, 11), (Some(4_000), 4_000));
        let window = windows.of(100, CHAIN, None, 95_000).unwrap();
        assert_eq!((window.after_ms, window.width_ms()), (Some(4_000), 91_000));
        assert_eq!(windows.at(100), Some(window));
        assert_eq!(windows.at(99), None);
        assert_eq!(windows.of(101, [8; 32], None, 95_000), None, "no host");
    }

    #[test]
    fn without_any_checkpoint_a_window_begins_at_the_enrolment_and_disproves_nothing() {
        let mut windows = log(60);
        windows.open([8; 32], 3_000);
        let window = windows.of(99, [8; 32], None, 90_000).unwrap();
        assert_eq!((window.after_ms, window.since_ms), (None, 3_000));
    }

    #[test]
    fn where_entries_are_not_shown_a_window_is_no_wider_than_what_is_shown_proves() {
        let mut windows = Windows::default();
        windows.generation("log/1", 0);
        for (index, ms) in [(0, 0), (50, 5_000), (51, 5_100)] {
            windows.heard(index);
            windows.clock(index, ms);
        }
        windows.open(CHAIN, 0);
        assert_eq!(window(&mut windows, 20), (Some(0), 5_000));
        assert_eq!(window(&mut windows, 51), (Some(5_000), 5_000));
    }

    #[test]
    fn a_checkpoint_of_entries_that_a_succession_lost_counts_as_what_was_kept() {
        let mut windows = log(60);
        windows.generation("log/2", 25);
        assert_eq!(window(&mut windows, 59), (Some(2_000), 2_000));
        let strange = v1::CheckpointRef {
            origin: "log/3".into(),
            ..seen(59)
        };
        let window = windows.of(99, CHAIN, Some(&strange), 90_000).unwrap();
        assert_eq!(window.after_ms, Some(2_000), "tells nothing more");
    }

    #[test]
    fn clocks_stay_bounded_and_a_window_is_never_said_to_be_narrower_than_it_was() {
        let mut windows = Windows::default();
        windows.generation("log/1", 0);
        for index in 0..500_000 {
            windows.heard(index);
            windows.clock(index, index * 1_000);
        }
        assert!(windows.marks.len() <= CLOCKS);
        for size in [1, 77, 1_000, 250_001, 499_999] {
            let begin = windows.begin(&seen(size), u64::MAX).unwrap();
            let was = (size - 1) * 1_000;
            assert!(begin.after_ms.unwrap() <= was && was <= begin.since_ms);
        }
        let last = windows.begin(&seen(499_000), u64::MAX).unwrap();
        assert_eq!(last.after_ms, Some(498_999_000), "exact where it is new");
        assert_eq!(last.since_ms, 498_999_000);
    }

    #[test]
    fn a_claim_is_ahead_of_its_time_only_once_the_next_clock_says_so() {
        let mut windows = log(60);
        for (index, claim_ms) in [(61, 7_000), (62, 6_500)] {
            let chain = CHAIN;
            windows.wait(Early {
                chain,
                index,
                claim_ms,
            });
        }
        let early = windows.clone().clock(70, 6_900);
        assert_eq!(early.iter().map(|one| one.index).collect::<Vec<_>>(), [61]);
        assert_eq!(windows.clock(70, 7_000), []);
        assert_eq!(windows.clock(80, 0), [], "told once");
    }
}
