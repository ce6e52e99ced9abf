//! What goes wrong, and when: a schedule that follows from its seed.

use std::fmt;

use crate::{disk::Fault, random::Random};

/// One thing that goes wrong. `host` counts the hosts from 0.
#[allow(missing_docs, reason = "each variant says what its numbers are")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// What is sent between a host and the verifier is lost, both ways.
    Partition { host: usize },
    /// What the host sends is lost; what it is sent arrives.
    Deaf { host: usize },
    /// What the host is sent is lost; what it sends arrives.
    Mute { host: usize },
    /// What is sent is held back, and arrives when it is over.
    Held { host: usize },
    /// Messages take up to so many milliseconds.
    Slow { host: usize, most_ms: u64 },
    /// The agent's process dies.
    AgentDies { host: usize },
    /// The agent's process dies when its disk has just taken the next record.
    AgentDiesSealing { host: usize },
    /// The host loses power in the middle of an append, and boots anew.
    PowerCut { host: usize },
    /// The verifier's process dies.
    VerifierDies,
    /// The verifier's disk fails at a step to come, and its process ends.
    DiskFails(Fault),
    /// The wall clock of a host is off by so many milliseconds.
    HostClock { host: usize, wrong_ms: i64 },
    /// The wall clock of the verifier is off by so many milliseconds.
    VerifierClock { wrong_ms: i64 },
}

/// A trouble with its time, milliseconds of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it begins.
    pub from_ms: u64,
    /// When it is over.
    pub to_ms: u64,
    /// What it is.
    pub trouble: Trouble,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} until {} ms", self.trouble, self.to_ms)
    }
}

/// All that goes wrong in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many hosts there are.
    pub hosts: usize,
    /// When everything is mended.
    pub mended_ms: u64,
    /// In the order of their beginning.
    pub events: Vec<Event>,
}

impl Plan {
    /// Two or three hosts and four to ten troubles in one and a half to three minutes.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, "plan");
        let hosts = usize::try_from(random.within(2, 3)).unwrap_or(2);
        let mended_ms = random.within(90_000, 180_000);
        let count = random.within(4, 10);
        let mut events: Vec<Event> = (0..count)
            .map(|_| event(&mut random, hosts, mended_ms))
            .collect();
        events.sort_by_key(|event| event.from_ms);
        Self {
            hosts,
            mended_ms,
            events,
        }
    }

    /// The same hosts and length, and nothing goes wrong.
    pub fn calm(mut self) -> Self {
        self.events.clear();
        self
    }
}

fn event(random: &mut Random, hosts: usize, mended_ms: u64) -> Event {
    let host = usize::try_from(random.draw() % (hosts as u64)).unwrap_or(0);
    let from_ms = random.within(3_000, mended_ms - 10_000);
    // Short, or as long as the run: a long time offline.
    let length_ms = match random.within(0, 3) {
        0 => random.within(50, 2_000),
        1 | 2 => random.within(2_000, 40_000),
        _ => mended_ms,
    };
    let wrong_ms = |random: &mut Random, most: u64| {
        let wrong = i64::try_from(random.within(0, 2 * most)).unwrap_or(0);
        wrong - i64::try_from(most).unwrap_or(0)
    };
    let trouble = match random.within(0, 15) {
        0 | 1 => Trouble::Partition { host },
        2 => Trouble::Deaf { host },
        3 => Trouble::Mute { host },
        4 => Trouble::Held { host },
        5 => Trouble::Slow {
            host,
            most_ms: random.within(200, 5_000),
        },
        6 => Trouble::AgentDies { host },
        7 | 8 => Trouble::AgentDiesSealing { host },
        9 => Trouble::PowerCut { host },
        10 | 11 => Trouble::VerifierDies,
        12 | 13 => Trouble::DiskFails(Fault {
            after: random.within(0, 60),
            done: random.percent(50),
        }),
        14 => Trouble::HostClock {
            host,
            wrong_ms: wrong_ms(random, 7_200_000),
        },
        _ => Trouble::VerifierClock {
            wrong_ms: wrong_ms(random, 600_000),
        },
    };
    let to_ms = from_ms.saturating_add(length_ms).min(mended_ms);
    Event {
        from_ms,
        to_ms,
        trouble,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_from_its_seed_and_another_seed_gives_another() {
        assert_eq!(Plan::of(7), Plan::of(7));
        assert_ne!(Plan::of(7), Plan::of(8));
    }

    #[test]
    fn two_hundred_seeds_have_every_kind_of_trouble() {
        let all = (0..200).flat_map(|seed| Plan::of(seed).events);
        let mut kinds: Vec<_> = all
            .map(|event| std::mem::discriminant(&event.trouble))
            .collect();
        let mut distinct = Vec::new();
        while let Some(kind) = kinds.pop() {
            if !distinct.contains(&kind) {
                distinct.push(kind);
            }
        }
        assert_eq!(distinct.len(), 12);
    }
}
