//! Darkness: device time that nobody observed, by plan or not, and how much of it a day excuses.
//!
//! What is planned excuses a gap, and a dishonest root could hide use behind it. So each device
//! has an allowance a day, over a window of 24 whole hours. A host that has the time of its
//! records to itself gains nothing: planned time is placed where its host's time is covered to,
//! which never goes back and never passes the log's own clock. A device takes its allowance along
//! into another chain.

use std::collections::BTreeMap;

use affiant_proto::Digest;
use serde::{Deserialize, Serialize};

use crate::accounting::Amount;

type Chain = [u8; 32];

/// Milliseconds of an hour, the grain of the window.
const HOUR_MS: u64 = 3_600_000;

/// Hours of the window: with the one that has begun between 23 and 24 hours of time, so that the
/// same two hours of every day are never four.
const HOURS: u64 = 24;

/// Milliseconds of a day.
const DAY_MS: u64 = HOURS * HOUR_MS;

/// Most devices of one chain that are told apart: a host has 64 at most, four sets of them. What
/// comes after counts as "further devices". 256 × 150 bytes are 38 KiB of a chain.
const MAX_DEVICES: usize = 256;

/// Stands for devices beyond the limit.
const FURTHER: &str = "further devices";

/// Device time that was not observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDark {
    /// Digest of the chain, in hexadecimal.
    pub chain: String,
    /// The device's uuid, or its place when it is not shown.
    pub device: String,
    /// Not observed without a plan, milliseconds, within records.
    pub unplanned_ms: Amount,
    /// Not observed by plan, milliseconds, within records.
    pub planned_ms: Amount,
}

/// How a device is known: by uuid wherever it is, by its place in one chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Uuid(String),
    Place(Chain, String),
}

#[derive(Clone, Copy, Debug, Default)]
struct Books {
    unplanned_ms: u128,
    planned_ms: u128,
}

/// Planned milliseconds by hour, of the newest [`HOURS`] hours.
#[derive(Clone, Debug, Default)]
struct Day(BTreeMap<u64, u64>);

impl Day {
    fn put(&mut self, hour: u64, ms: u64) -> u64 {
        let newest = self
            .0
            .last_key_value()
            .map_or(hour, |(last, _)| hour.max(*last));
        let from = newest.saturating_sub(HOURS - 1);
        if hour >= from {
            let sum = self.0.entry(hour).or_default();
            *sum = sum.saturating_add(ms);
        }
        while self
            .0
            .first_key_value()
            .is_some_and(|(hour, _)| *hour < from)
        {
            self.0.pop_first();
        }
        self.0.values().fold(0, |sum, ms| sum.saturating_add(*ms))
    }

    /// Adds the span `from..to`; gives the instant in it from which it is more than `allowed_ms`.
    fn add(&mut self, from: u64, to: u64, allowed_ms: u64) -> Option<u64> {
        let mut beyond = None;
        let mut at = from;
        while at < to {
            // A day of nothing else has decided it: the rest only fills the window.
            if at.saturating_sub(from) > DAY_MS {
                at = at.max(to.saturating_sub(DAY_MS));
            }
            let hour = at / HOUR_MS;
            let end = hour.saturating_add(1).saturating_mul(HOUR_MS).min(to);
            let sum = self.put(hour, end - at);
            if beyond.is_none() && sum > allowed_ms {
                beyond = Some(end.saturating_sub(sum - allowed_ms).max(at));
            }
            at = end;
        }
        beyond
    }
}

/// The darkness of all devices.
#[derive(Clone, Debug)]
pub(crate) struct Darkness {
    allowed_ms: u64,
    books: BTreeMap<Chain, BTreeMap<String, Books>>,
    days: BTreeMap<Name, Day>,
}

impl Darkness {
    /// Excuses `allowed_ms` a device and day.
    pub(crate) fn new(allowed_ms: u64) -> Self {
        Self {
            allowed_ms,
            books: BTreeMap::new(),
            days: BTreeMap::new(),
        }
    }

    /// Books what of one record a device was not observed; gives the span beyond the allowance,
    /// as far as there is one. `covered_to_ms` is where the host's time is covered to.
    pub(crate) fn record(
        &mut self,
        chain: Chain,
        name: Name,
        (unplanned_ms, planned_ms): (u64, u64),
        covered_to_ms: u64,
    ) -> Option<(u64, u64)> {
        let (name, device) = self.bounded(chain, name);
        let books = self
            .books
            .entry(chain)
            .or_default()
            .entry(device)
            .or_default();
        books.unplanned_ms += u128::from(unplanned_ms);
        books.planned_ms += u128::from(planned_ms);
        self.rest(
            name,
            (covered_to_ms.saturating_sub(planned_ms), covered_to_ms),
        )
    }

    /// Takes a span in which a device's whole host was silent by plan.
    pub(crate) fn rest(&mut self, name: Name, (from, to): (u64, u64)) -> Option<(u64, u64)> {
        if from >= to {
            return None;
        }
        let day = self.days.entry(name).or_default();
        day.add(from, to, self.allowed_ms).map(|from| (from, to))
    }

    /// The same of a silence that still lasts, of which nothing is kept.
    pub(crate) fn would_exceed(&self, name: &Name, spans: &[(u64, u64)]) -> Option<(u64, u64)> {
        let mut day = self.days.get(name).cloned().unwrap_or_default();
        let spans = spans.iter().filter_map(|(from, to)| {
            let beyond = day.add(*from, *to, self.allowed_ms);
            beyond.map(|beyond| (beyond, *to))
        });
        spans.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
    }

    /// The figures by chain and device.
    pub(crate) fn devices(&self) -> Vec<DeviceDark> {
        let all = self.books.iter();
        let all = all.flat_map(|(chain, devices)| devices.iter().map(move |one| (chain, one)));
        let figures = all.map(|(chain, (device, books))| DeviceDark {
            chain: Digest::new(*chain).to_string(),
            device: device.clone(),
            unplanned_ms: Amount(books.unplanned_ms),
            planned_ms: Amount(books.planned_ms),
        });
        figures.collect()
    }

    fn bounded(&self, chain: Chain, name: Name) -> (Name, String) {
        let device = match &name {
            Name::Uuid(device) | Name::Place(_, device) => device.clone(),
        };
        let known = self.books.get(&chain);
        let full =
            known.is_some_and(|books| books.len() >= MAX_DEVICES && !books.contains_key(&device));
        if full {
            (Name::Place(chain, FURTHER.to_owned()), FURTHER.to_owned())
        } else {
            (name, device)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: Chain = [7; 32];
    const MINUTE: u64 = 60_000;

    fn gpu() -> Name {
        Name::Uuid("GPU-0".into())
    }

    fn darkness() -> Darkness {
        Darkness::new(2 * HOUR_MS)
    }

    #[test]
    fn two_hours_a_day_are_excused_and_the_minute_after_is_not() {
        let mut darkness = darkness();
        let start = 100 * DAY_MS + 17 * MINUTE;
        assert_eq!(darkness.rest(gpu(), (start, start + 2 * HOUR_MS)), None);
        let end = start + 2 * HOUR_MS;
        assert_eq!(
            darkness.rest(gpu(), (end, end + MINUTE)),
            Some((end, end + MINUTE))
        );
    }

    #[test]
    fn the_same_two_hours_of_every_day_are_never_too_much() {
        let mut darkness = darkness();
        for day in 100..130 {
            for minute in 0..120 {
                let at = day * DAY_MS + 2 * HOUR_MS + minute * MINUTE;
                assert_eq!(
                    darkness.rest(gpu(), (at, at + MINUTE)),
                    None,
                    "{day} {minute}"
                );
            }
        }
    }

    #[test]
    fn no_order_of_small_claims_hides_more_than_the_allowance_of_23_hours() {
        let mut darkness = darkness();
        let start = 100 * DAY_MS;
        let claims = (0..23 * 60).filter(|minute| minute % 7 == 0);
        let beyond = claims
            .filter_map(|minute| {
                let at = start + minute * MINUTE;
                darkness.rest(gpu(), (at, at + MINUTE))
            })
            .count();
        assert_eq!(beyond, (23 * 60_usize).div_ceil(7) - 120);
    }

    #[test]
    fn a_span_without_end_is_beyond_after_the_allowance_and_takes_no_time_to_judge() {
        let mut darkness = darkness();
        assert_eq!(
            darkness.rest(gpu(), (0, u64::MAX)),
            Some((2 * HOUR_MS, u64::MAX))
        );
        let mut lenient = Darkness::new(u64::MAX);
        assert_eq!(lenient.rest(gpu(), (0, u64::MAX)), None);
    }

    #[test]
    fn a_device_takes_its_allowance_along_and_what_still_lasts_is_not_kept() {
        let mut darkness = darkness();
        let start = 100 * DAY_MS;
        darkness.record([1; 32], gpu(), (0, HOUR_MS), start + HOUR_MS);
        let lasting = [(start + HOUR_MS, start + 3 * HOUR_MS)];
        let beyond = Some((start + 2 * HOUR_MS, start + 3 * HOUR_MS));
        assert_eq!(darkness.would_exceed(&gpu(), &lasting), beyond);
        assert_eq!(darkness.would_exceed(&gpu(), &lasting), beyond);
        let moved = darkness.record([2; 32], gpu(), (0, 2 * HOUR_MS), start + 3 * HOUR_MS);
        assert_eq!(moved, beyond);
    }

    #[test]
    fn devices_without_number_are_counted_within_bounds_and_none_is_forgotten() {
        let mut darkness = darkness();
        for device in 0..2_000 {
            let name = Name::Uuid(format!("GPU-{device}"));
            darkness.record(CHAIN, name, (5, 0), 1_000);
        }
        let devices = darkness.devices();
        assert_eq!(devices.len(), MAX_DEVICES + 1);
        let sum: u128 = devices.iter().map(|device| device.unplanned_ms.0).sum();
        assert_eq!(sum, 10_000);
    }
}
