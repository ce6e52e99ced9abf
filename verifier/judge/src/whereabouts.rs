//! Whereabouts: in which host a device was when, as records say that cite inventories with it.
//!
//! Time is that of the records, so that what comes late is set where it belongs: a host that sends
//! its backlog after its device was carried to another one has not doubled it. Chains of one host's
//! name are one place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::chains::ByChain;

type Chain = [u8; 32];

/// Most closed stays kept of one device: it is carried over, or its host is away, that often
/// before the oldest are forgotten. 16 × 100 bytes.
const STAYS: usize = 16;

/// Most devices followed of one chain, four sets of the most that a host can have. Of a host that
/// lists ever new ones the oldest are forgotten. 256 × 50 bytes are 13 KiB of a chain.
const DEVICES: usize = 256;

/// A device in one host, without a break.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stay {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    pub(crate) first_index: u64,
    pub(crate) last_index: u64,
    pub(crate) host: String,
    pub(crate) chain: Chain,
}

impl Stay {
    /// The time in which both are, if it is longer than `grace_ms`.
    fn overlap(&self, other: &Self, grace_ms: u64) -> Option<(u64, u64)> {
        let span = (self.from_ms.max(other.from_ms), self.to_ms.min(other.to_ms));
        (span.1.saturating_sub(span.0) > grace_ms).then_some(span)
    }

    fn grow(&mut self, record: &Sighting) {
        self.from_ms = self.from_ms.min(record.from_ms);
        self.to_ms = self.to_ms.max(record.to_ms);
        self.last_index = self.last_index.max(record.index);
    }
}

/// One record, which says that the devices of its inventory are in its host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting {
    pub(crate) chain: Chain,
    pub(crate) inventory: u64,
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    pub(crate) index: u64,
}

/// Two stays of one device in two hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meeting {
    pub(crate) device: String,
    pub(crate) earlier: Stay,
    pub(crate) later: Stay,
    /// The time in which the device is in both; `None` when it moved.
    pub(crate) both_ms: Option<(u64, u64)>,
}

impl Meeting {
    fn double(device: &str, one: &Stay, other: &Stay, both_ms: (u64, u64)) -> Self {
        let (earlier, later) = if one.first_index <= other.first_index {
            (one, other)
        } else {
            (other, one)
        };
        Self {
            device: device.to_owned(),
            earlier: earlier.clone(),
            later: later.clone(),
            both_ms: Some(both_ms),
        }
    }

    fn moved(device: &str, earlier: &Stay, later: &Stay) -> Self {
        Self {
            device: device.to_owned(),
            earlier: earlier.clone(),
            later: later.clone(),
            both_ms: None,
        }
    }
}

/// Records of one host in a row that cite one inventory.
#[derive(Clone, Debug)]
struct Run {
    inventory: u64,
    stay: Stay,
    devices: BTreeSet<String>,
}

/// Where all devices are and were.
#[derive(Clone, Debug)]
pub(crate) struct Whereabouts {
    grace_ms: u64,
    runs: ByChain<Run>,
    /// Chains whose run has the device.
    now: BTreeMap<String, BTreeSet<Chain>>,
    past: BTreeMap<String, VecDeque<Stay>>,
    /// Devices of each chain, in the order in which they were first listed.
    followed: BTreeMap<Chain, VecDeque<String>>,
}

impl Whereabouts {
    /// Takes stays for one that are less than `grace_ms` apart, and so much overlap for none.
    pub(crate) fn new(grace_ms: u64) -> Self {
        Self {
            grace_ms,
            runs: ByChain::default(),
            now: BTreeMap::new(),
            past: BTreeMap::new(),
            followed: BTreeMap::new(),
        }
    }

    /// Takes a record of `host`, `devices` giving the uuids of the inventory that it cites; gives
    /// the meetings that are certain now.
    pub(crate) fn record(
        &mut self,
        seen: Sighting,
        host: &str,
        devices: impl FnOnce() -> BTreeSet<String>,
    ) -> Vec<Meeting> {
        let grace = self.grace_ms;
        let goes_on = |run: &&mut Run| {
            let after = seen.from_ms <= run.stay.to_ms.saturating_add(grace);
            let before = run.stay.from_ms <= seen.to_ms.saturating_add(grace);
            run.inventory == seen.inventory && after && before
        };
        if let Some(run) = self.runs.get_mut(&seen.chain).filter(goes_on) {
            run.stay.grow(&seen);
            return Vec::new();
        }
        let mut met = self.close(seen.chain);
        let run = Run {
            inventory: seen.inventory,
            devices: devices(),
            stay: Stay {
                from_ms: seen.from_ms,
                to_ms: seen.to_ms,
                first_index: seen.index,
                last_index: seen.index,
                host: host.to_owned(),
                chain: seen.chain,
            },
        };
        for device in &run.devices {
            self.follow(run.stay.chain, device);
            let others = self.stays(device, &run.stay);
            let before = others.iter().filter(|one| one.from_ms <= run.stay.from_ms);
            let last = before.max_by_key(|one| (one.from_ms, one.to_ms, one.first_index));
            met.extend(
                last.filter(|last| last.host != run.stay.host && last.to_ms <= run.stay.from_ms)
                    .map(|last| Meeting::moved(device, last, &run.stay)),
            );
            let chains = self.now.entry(device.clone()).or_default();
            chains.insert(run.stay.chain);
        }
        self.runs.insert(run.stay.chain, run);
        met
    }

    /// Devices that are in two hosts, as far as a run of at least one of them still lasts.
    pub(crate) fn doubled(&self) -> Vec<Meeting> {
        let mut met = Vec::new();
        for (device, chains) in &self.now {
            if chains.len() < 2 && !self.past.contains_key(device) {
                continue;
            }
            let runs: Vec<&Stay> = chains
                .iter()
                .filter_map(|chain| self.runs.get(chain))
                .map(|run| &run.stay)
                .collect();
            for (place, run) in runs.iter().enumerate() {
                let later = runs.iter().skip(place + 1).copied();
                let others = later.chain(self.past.get(device).into_iter().flatten());
                met.extend(self.overlaps(device, run, others));
            }
        }
        met
    }

    /// Ends the run of a chain; gives what it met among the stays that are over.
    fn close(&mut self, chain: Chain) -> Vec<Meeting> {
        let Some(run) = self.runs.remove(&chain) else {
            return Vec::new();
        };
        let mut met = Vec::new();
        for device in &run.devices {
            if let Some(chains) = self.now.get_mut(device) {
                chains.remove(&chain);
                if chains.is_empty() {
                    self.now.remove(device);
                }
            }
            let past = self.past.get(device);
            met.extend(self.overlaps(device, &run.stay, past.into_iter().flatten()));
            // A stay that was reported late: the one after it has begun without knowing of it.
            let others = self.stays(device, &run.stay);
            let after = others.iter().filter(|one| one.from_ms > run.stay.from_ms);
            let next = after.min_by_key(|one| (one.from_ms, one.to_ms, one.first_index));
            met.extend(
                next.filter(|next| {
                    next.host != run.stay.host
                        && next.first_index < run.stay.first_index
                        && run.stay.to_ms <= next.from_ms
                })
                .map(|next| Meeting::moved(device, &run.stay, next)),
            );
            let past = self.past.entry(device.clone()).or_default();
            past.push_back(run.stay.clone());
            if past.len() > STAYS
                && let Some(old) = past.pop_front()
            {
                let runs = self.now.get(device).into_iter().flatten();
                let runs: Vec<_> = runs
                    .filter_map(|chain| self.runs.get(chain))
                    .map(|run| &run.stay)
                    .collect();
                met.extend(self.overlaps(device, &old, runs));
            }
        }
        met
    }

    fn overlaps<'a>(
        &self,
        device: &str,
        one: &Stay,
        others: impl IntoIterator<Item = &'a Stay>,
    ) -> Vec<Meeting> {
        let others = others.into_iter().filter(|other| other.host != one.host);
        others
            .filter_map(|other| {
                let both = one.overlap(other, self.grace_ms)?;
                Some(Meeting::double(device, one, other, both))
            })
            .collect()
    }

    /// All stays of a device but one.
    fn stays(&self, device: &str, but: &Stay) -> Vec<&Stay> {
        let runs = self.now.get(device).into_iter().flatten();
        let runs = runs.filter_map(|chain| self.runs.get(chain));
        let past = self.past.get(device).into_iter().flatten();
        runs.map(|run| &run.stay)
            .chain(past)
            .filter(|one| *one != but)
            .collect()
    }

    fn follow(&mut self, chain: Chain, device: &str) {
        let devices = self.followed.entry(chain).or_default();
        if devices.iter().any(|known| known == device) {
            return;
        }
        devices.push_back(device.to_owned());
        if devices.len() > DEVICES
            && let Some(old) = devices.pop_front()
            && let Some(past) = self.past.get_mut(&old)
        {
            past.retain(|stay| stay.chain != chain);
            if past.is_empty() {
                self.past.remove(&old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000;

    struct Fleet(Whereabouts, u64, Vec<Meeting>);

    impl Fleet {
        fn new() -> Self {
            Self(Whereabouts::new(30 * S), 0, Vec::new())
        }

        /// Ten-second records of `host` from `from` to `to` s, of which `devices` are its inventory.
        fn works(&mut self, host: u8, from: u64, to: u64, devices: &[&str]) {
            for start in (from..to).step_by(10) {
                self.1 += 1;
                let seen = Sighting {
                    chain: [host; 32],
                    inventory: u64::try_from(devices.len()).unwrap_or(0),
                    from_ms: start * S,
                    to_ms: (start + 10) * S,
                    index: self.1,
                };
                let listed = || devices.iter().map(|one| (*one).to_owned()).collect();
                let met = self.0.record(seen, &format!("host-{host}"), listed);
                self.2.extend(met);
            }
        }

        /// (from host, to host, doubled) of all that is known to have met.
        fn met(&self) -> Vec<(String, String, bool)> {
            let all = self.2.iter().cloned().chain(self.0.doubled());
            let told = all.map(|one| (one.earlier.host, one.later.host, one.both_ms.is_some()));
            let told: BTreeSet<_> = told.collect();
            told.into_iter().collect()
        }
    }

    fn met(from: u8, to: u8, doubled: bool) -> (String, String, bool) {
        (format!("host-{from}"), format!("host-{to}"), doubled)
    }

    #[test]
    fn a_device_that_is_carried_over_has_moved_and_is_not_doubled() {
        let mut fleet = Fleet::new();
        fleet.works(1, 0, 100, &["g", "h"]);
        fleet.works(1, 100, 200, &["h"]);
        assert_eq!(fleet.met(), []);
        fleet.works(2, 400, 500, &["g"]);
        fleet.works(1, 200, 600, &["h"]);
        assert_eq!(fleet.met(), [met(1, 2, false)]);
    }

    #[test]
    fn two_hosts_that_record_one_device_at_once_have_doubled_it_while_it_lasts_and_after() {
        let mut fleet = Fleet::new();
        for start in (0..200).step_by(10) {
            fleet.works(1, start, start + 10, &["g"]);
            fleet.works(2, start, start + 10, &["g"]);
        }
        assert!(fleet.met().contains(&met(1, 2, true)), "{:?}", fleet.met());
        fleet.works(1, 900, 910, &["g"]);
        fleet.works(2, 9_000, 9_010, &["h"]);
        assert!(fleet.2.iter().any(|met| met.both_ms == Some((0, 200 * S))));
    }

    #[test]
    fn a_backlog_that_comes_after_the_device_was_carried_over_doubles_nothing() {
        let mut fleet = Fleet::new();
        fleet.works(1, 0, 100, &["g"]);
        fleet.works(2, 1_000, 1_100, &["g"]);
        fleet.works(1, 100, 600, &["g"]);
        fleet.works(1, 600, 1_200, &[]);
        assert_eq!(fleet.met(), [met(1, 2, false)]);
    }

    #[test]
    fn a_host_whose_own_backlog_comes_last_is_set_where_it_belongs() {
        let mut fleet = Fleet::new();
        fleet.works(2, 1_000, 1_100, &["g"]);
        fleet.works(1, 0, 100, &["g"]);
        fleet.works(1, 100, 200, &[]);
        assert_eq!(fleet.met(), [met(1, 2, false)]);
    }

    #[test]
    fn a_host_enrolled_anew_is_the_same_place() {
        let mut fleet = Fleet::new();
        fleet.works(1, 0, 100, &["g"]);
        let seen = Sighting {
            chain: [9; 32],
            inventory: 1,
            from_ms: 50 * S,
            to_ms: 200 * S,
            index: 99,
        };
        let listed = || BTreeSet::from(["g".to_owned()]);
        assert_eq!(fleet.0.record(seen, "host-1", listed), []);
        assert_eq!(fleet.met(), []);
    }

    #[test]
    fn a_host_that_lists_ever_new_devices_is_followed_within_bounds() {
        let mut fleet = Fleet::new();
        for round in 0..2_000_u64 {
            let names = format!("g-{round}");
            fleet.works(1, round * 100, round * 100 + 10, &[&names]);
        }
        assert!(fleet.0.past.len() <= DEVICES + 1);
        for round in 0..200 {
            fleet.works(2, round * 100, round * 100 + 10, &["g"]);
        }
        assert!(fleet.0.past.values().all(|past| past.len() <= STAYS));
    }
}
