//! Operations: whether what a tenant computed in some months may reach what has to be reported.
//!
//! No telemetry counts operations, so there are two bounds, and the device table's TPP is the peak of both:
//! TPP = tera-operations a second × bit length, dense. At `operation_bits` bits an operation, a millisecond
//! of TPP 1 is 10^9 / bits operations.
//!
//! ```text
//! upper = peak × time in which devices were held
//! lower = peak × time in which kernels ran × operation_percent / 100
//! ```
//!
//! That a kernel ran says not how much of the device it used: the percentage is the pack's, not measured. Nor
//! is the precision: eight bits an operation would be twice as many. A device whose TPP is not known adds to
//! neither bound, and that is said; then the upper one is none.
//!
//! **Nothing overflows.** A month's time × TPP has at most 64 bits for 10^5 devices of TPP 56,000; in u128,
//! times 10^9 and twelve months, 98. A threshold of u32 × 10^20 × bits has 32 + 67 + 32.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Judge,
    books::{Number, SPAN_MS},
    caps::{HOUR_MS, tenths},
    episodes::Episode,
    findings::{Rule, Severity, Subject},
    month,
    registry::links::Group,
    rounds::{Linked, Seen, key},
};

/// Operations of a millisecond of TPP 1 at one bit.
const PER_TPP_MS: u128 = 1_000_000_000;

/// The unit of the threshold.
const UNIT: u128 = 100_000_000_000_000_000_000;

/// Most months that are summed, of those that the books keep.
const MOST_MONTHS: u64 = 12;

/// What the pack says of it.
#[derive(Clone, Copy, Debug)]
struct Terms {
    threshold: u128,
    months: u64,
    bits: u128,
    percent: u128,
}

/// What one tenant, or several, computed in some months.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    held_tpp_ms: u128,
    busy_tpp_ms: u128,
    unrated_ms: u64,
    /// First and last instant, lowest and highest index.
    ends: Option<((u64, u64), (u64, u64))>,
}

impl Reach {
    fn join(&mut self, other: &Self) {
        self.held_tpp_ms = self.held_tpp_ms.saturating_add(other.held_tpp_ms);
        self.busy_tpp_ms = self.busy_tpp_ms.saturating_add(other.busy_tpp_ms);
        self.unrated_ms = self.unrated_ms.saturating_add(other.unrated_ms);
        self.ends = match (self.ends, other.ends) {
            (Some((ms, index)), Some((other_ms, other_index))) => Some((
                (ms.0.min(other_ms.0), ms.1.max(other_ms.1)),
                (index.0.min(other_index.0), index.1.max(other_index.1)),
            )),
            (one, other) => one.or(other),
        };
    }

    fn bounds(&self, terms: Terms) -> (u128, u128) {
        let operations = |tpp_ms: u128| tpp_ms.saturating_mul(PER_TPP_MS) / terms.bits;
        let lower = operations(self.busy_tpp_ms) / 100;
        (
            lower.saturating_mul(terms.percent),
            operations(self.held_tpp_ms),
        )
    }

    /// How grave it is; `None` where not even the upper bound reaches the threshold.
    fn gravity(&self, terms: Terms) -> Option<Severity> {
        let (lower, upper) = self.bounds(terms);
        match terms.threshold {
            threshold if lower >= threshold => Some(Severity::High),
            threshold if upper >= threshold => Some(Severity::Medium),
            _ => None,
        }
    }
}

impl Judge {
    /// Tenants, alone or with those linked to them, whose operations may reach the threshold.
    pub(crate) fn operations(&self, due: &[(u64, Number)], linked: &Linked) -> Vec<Seen> {
        let Some(terms) = self.terms() else {
            return Vec::new();
        };
        // A month is asked of a tenant once, however many spans of it are due.
        let due: BTreeSet<(u64, Number)> = due
            .iter()
            .map(|(span, number)| (month::of(span * SPAN_MS), *number))
            .collect();
        let mut seen = Vec::new();
        let mut together: BTreeSet<(u64, usize)> = BTreeSet::new();
        for (month, number) in due {
            let tenant = self.books.id(number);
            if let Some(place) = linked.of(number) {
                together.insert((month, place));
            }
            let reach = self.reach(month, number, terms);
            let found = self.reached(month, &reach, terms);
            seen.extend(found.map(|episode| Seen::of(Rule::ComputeThreshold, tenant, episode)));
        }
        for (month, place) in together {
            let group = linked.group(place);
            seen.extend(group.and_then(|group| self.reached_together(month, group, terms)));
        }
        seen
    }

    fn terms(&self) -> Option<Terms> {
        let bits = self.limit("operation_bits")?.max(1);
        let months = self.limit("report_months")?;
        Some(Terms {
            threshold: u128::from(self.limit("report_operations_1e20")?) * UNIT,
            months: months.clamp(1, MOST_MONTHS),
            bits: bits.into(),
            percent: self.limit("operation_percent")?.min(100).into(),
        })
    }

    fn reach(&self, last: u64, number: Number, terms: Terms) -> Reach {
        let mut reach = Reach::default();
        for month in (last + 1).saturating_sub(terms.months)..=last {
            if let Some(book) = self.books.month(month, number) {
                reach.join(&Reach {
                    held_tpp_ms: book.held_tpp_ms,
                    busy_tpp_ms: book.busy_tpp_ms,
                    unrated_ms: book.unrated_ms,
                    ends: Some((book.ends_ms, book.indices)),
                });
            }
        }
        reach
    }

    fn reached(&self, last: u64, reach: &Reach, terms: Terms) -> Option<Episode> {
        let gravity = reach.gravity(terms)?;
        let (span, indices) = reach.ends?;
        let (lower, upper) = reach.bounds(terms);
        let months = match terms.months {
            1 => month::spelled(last),
            months => format!("{} months to {}", months, month::spelled(last)),
        };
        let mut episode = Episode::new(indices, span, self.clock_ms, 1).grave(gravity);
        episode.say(&format!(
            "{} to {} operations at {} bits in {months}, {} % of busy time counted for the lower; threshold {}",
            rough(lower, false),
            rough(upper, true),
            terms.bits,
            terms.percent,
            rough(terms.threshold, false)
        ));
        if reach.unrated_ms > 0 {
            let (hours, _) = tenths(reach.unrated_ms, HOUR_MS);
            let hours = rough(hours.into(), false);
            episode.say(&format!(
                "not counted: {hours} hours or more of devices whose TPP is not known"
            ));
        }
        Some(episode)
    }

    /// Tenants that are linked, where they reach together what none of them reaches alone.
    fn reached_together(
        &self,
        month: u64,
        (group, members): (&Group, &[Number]),
        terms: Terms,
    ) -> Option<Seen> {
        let mut parts: BTreeMap<Number, Reach> = BTreeMap::new();
        for number in members {
            let reach = self.reach(month, *number, terms);
            if reach.ends.is_some() {
                parts.insert(*number, reach);
            }
        }
        let mut all = Reach::default();
        parts.values().for_each(|part| all.join(part));
        let alone = parts.values().filter_map(|part| part.gravity(terms)).max();
        if all.gravity(terms) <= alone {
            return None;
        }
        let first = |(number, reach): (&Number, &Reach)| {
            (
                *number,
                reach.ends.map_or(u64::MAX, |(_, indices)| indices.0),
            )
        };
        let head = self.head(parts.iter().map(first));
        let members = parts.keys().map(|number| self.books.id(*number));
        let mut episode = self.reached(month, &all, terms)?.of(members);
        for link in &group.links {
            episode.say(&format!("linked: {link}"));
        }
        Some(Seen {
            key: key(Rule::ComputeThreshold, Subject::Linked(head.to_owned())),
            episode,
            together: parts.into_keys().collect(),
        })
    }
}

/// Spells a number by its first digit and its exponent, so that one that grows is told anew only now and then;
/// rounded down or up.
fn rough(number: u128, up: bool) -> String {
    let (mut digit, mut exponent, mut rest) = (number, 0_u32, false);
    while digit >= 10 {
        rest |= digit % 10 > 0;
        digit /= 10;
        exponent += 1;
    }
    if up && rest {
        digit += 1;
    }
    match (digit, exponent) {
        (digit, 0) => digit.to_string(),
        (10, exponent) => format!("1e{}", exponent + 1),
        (digit, exponent) => format!("{digit}e{exponent}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_rounded_outwards() {
        for (number, down, up) in [
            (0, "0", "0"),
            (9, "9", "9"),
            (10, "1e1", "1e1"),
            (11, "1e1", "2e1"),
            (99, "9e1", "1e2"),
            (100_000 * UNIT, "1e25", "1e25"),
        ] {
            assert_eq!(rough(number, false), down);
            assert_eq!(rough(number, true), up);
        }
    }

    #[test]
    fn an_h100_for_a_second_at_sixteen_bits_is_its_peak_of_a_second() {
        let terms = Terms {
            threshold: UNIT,
            months: 1,
            bits: 16,
            percent: 40,
        };
        let reach = Reach {
            held_tpp_ms: 15_832 * 1_000,
            busy_tpp_ms: 15_832 * 500,
            ..Reach::default()
        };
        let due = (197_900_000_000_000, 989_500_000_000_000);
        assert_eq!(reach.bounds(terms), due);
        assert_eq!(reach.gravity(terms), None);
        let all = Reach {
            held_tpp_ms: u128::MAX,
            busy_tpp_ms: u128::MAX,
            ..Reach::default()
        };
        assert_eq!(all.gravity(terms), Some(Severity::High));
    }
}
