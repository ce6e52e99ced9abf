//! Hosts: who they are, what devices and workloads their records point at, and how they stand.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use affiant_proto::{Digest, Reenrolment, v1};
use serde::{Deserialize, Serialize};

use crate::{chains::ByChain, darkness::Name, devices::Model};

/// Inventories, and as many lists of workloads, kept of one chain. Records point at the newest;
/// eight leave room for statements that were sealed before one that they follow.
const KEPT: usize = 8;

/// How a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// Enrolled, and free to report; no event since.
    Enrolled,
    /// Enrolled while another chain of its name is open: waits for approval.
    Pending,
    /// Approved.
    Approved,
    /// Evicted: may enrol again.
    Evicted,
    /// Banned.
    Banned,
    /// Retired.
    Retired,
    /// In maintenance: silence is planned.
    Maintenance,
    /// Transferred to another owner.
    Transferred,
    /// Continued by another chain.
    Replaced,
    /// Its record key was revoked: its time is due until it is enrolled anew.
    Revoked,
}

/// A device of an inventory, with its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) device: v1::Device,
    pub(crate) model: Model,
}

/// What is known of one host's chain.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) site: String,
    pub(crate) agent_version: String,
    pub(crate) state: HostState,
    /// Device time whose lines it let go.
    pub(crate) lost_ms: u128,
    /// The chain that it says it continues, and why.
    predecessor: Option<([u8; 32], String)>,
    inventories: BTreeMap<u64, Vec<Option<Placed>>>,
    /// How many inventories it has stated.
    listed: u64,
    workloads: BTreeMap<u64, Vec<Option<v1::Workload>>>,
}

impl Host {
    /// A chain of which the enrolment was not shown: named by the chain's first 16 digits.
    fn nameless(chain: &[u8; 32]) -> Self {
        let name = Digest::new(*chain).to_string().chars().take(16).collect();
        Self {
            name,
            site: String::new(),
            agent_version: String::new(),
            state: HostState::Pending,
            lost_ms: 0,
            predecessor: None,
            inventories: BTreeMap::new(),
            listed: 0,
            workloads: BTreeMap::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn device(&self, inventory: u64, place: u32) -> Option<&Placed> {
        let place = usize::try_from(place).ok()?;
        self.inventory(inventory).get(place)?.as_ref()
    }

    /// The devices of an inventory by their places; none of one that is not kept.
    pub(crate) fn inventory(&self, inventory: u64) -> &[Option<Placed>] {
        self.inventories.get(&inventory).map_or(&[], Vec::as_slice)
    }

    /// How many inventories it has stated: while no other comes, a place is one device's.
    pub(crate) fn listed(&self) -> u64 {
        self.listed
    }

    pub(crate) fn workload(&self, workloads: u64, place: u32) -> Option<&v1::Workload> {
        let place = usize::try_from(place).ok()?;
        self.workloads.get(&workloads)?.get(place)?.as_ref()
    }

    /// The reason that it gave for continuing another chain.
    pub(crate) fn why_anew(&self) -> &str {
        self.predecessor.as_ref().map_or("", |(_, reason)| reason)
    }

    /// The uuids of an inventory, as far as they are shown.
    pub(crate) fn uuids(&self, inventory: u64) -> BTreeSet<String> {
        let placed = self.inventories.get(&inventory).into_iter().flatten();
        let uuids = placed.flatten().map(|placed| &placed.device.uuid);
        uuids.filter(|uuid| !uuid.is_empty()).cloned().collect()
    }

    /// How the devices of the newest inventory are known; one name for all without an inventory.
    pub(crate) fn names(&self, chain: [u8; 32]) -> Vec<Name> {
        let name = |(place, placed): (usize, Option<&Placed>)| match placed {
            Some(placed) if !placed.device.uuid.is_empty() => {
                Name::Uuid(placed.device.uuid.clone())
            }
            _ => Name::Place(chain, format!("number {place}")),
        };
        let mut names: Vec<_> = self.devices().enumerate().map(name).collect();
        if names.is_empty() {
            names.push(Name::Place(chain, "all".to_owned()));
        }
        names
    }

    /// The devices of the newest inventory.
    pub(crate) fn devices(&self) -> impl Iterator<Item = Option<&Placed>> {
        self.inventories
            .values()
            .next_back()
            .into_iter()
            .flatten()
            .map(Option::as_ref)
    }
}

impl HostState {
    /// Whether records are due, or will be once maintenance is over.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Enrolled | Self::Approved | Self::Maintenance)
    }

    /// Whether another chain may take the name by approval only.
    fn holds_name(self) -> bool {
        !matches!(self, Self::Retired | Self::Transferred | Self::Replaced)
    }
}

/// All hosts, by chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    chains: ByChain<Arc<Host>>,
    named: BTreeMap<String, BTreeSet<[u8; 32]>>,
}

impl Hosts {
    /// Takes an enrolment: the host may report, unless another chain of its name is open or it
    /// says that it continues one. `before` says whether it has shown to hold the key of that one:
    /// then it may as well, where that was free to report and nobody else has the name.
    pub(crate) fn enrol(
        &mut self,
        chain: [u8; 32],
        enrolment: &v1::Enrolment,
        before: Reenrolment,
    ) -> HostState {
        let cited = enrolment.predecessor.as_ref();
        let cited = cited.and_then(|old| {
            let chain = <[u8; 32]>::try_from(old.chain.as_slice()).ok()?;
            Some((chain, old.reason.clone()))
        });
        let old = cited.as_ref().map(|(old, _)| *old);
        let proved = before == Reenrolment::Proved;
        let state = |chain: &[u8; 32]| self.chains.get(chain).map(|host| host.state);
        let same = self.named.entry(enrolment.host.clone()).or_default();
        same.insert(chain);
        let taken = same
            .iter()
            .filter(|other| **other != chain && Some(**other) != old)
            .any(|other| state(other).is_some_and(HostState::holds_name));
        let free = match old {
            None => !taken,
            Some(old) => proved && !taken && state(&old).is_some_and(HostState::is_live),
        };
        let host = self.of(chain);
        host.name.clone_from(&enrolment.host);
        host.site.clone_from(&enrolment.site);
        host.agent_version.clone_from(&enrolment.agent_version);
        host.predecessor = cited;
        if host.state == HostState::Pending && free {
            host.state = HostState::Enrolled;
        }
        host.state
    }

    /// Lets a chain report. Gives the chains that are over by it, with how they stood: one chain
    /// of a name is open.
    pub(crate) fn open(&mut self, chain: [u8; 32], state: HostState) -> Vec<([u8; 32], HostState)> {
        let host = self.of(chain);
        host.state = state;
        let name = host.name.clone();
        let cited = host.predecessor.as_ref().map(|(old, _)| *old);
        let same = self.named.get(&name).into_iter().flatten().copied();
        let same: BTreeSet<_> = same.chain(cited).filter(|other| *other != chain).collect();
        let over = same.into_iter().filter_map(|other| {
            let state = self.chains.get(&other)?.state;
            (state.is_live() || state == HostState::Revoked).then_some((other, state))
        });
        let over: Vec<_> = over.collect();
        for (old, _) in &over {
            self.of(*old).state = HostState::Replaced;
        }
        over
    }

    /// The host of a chain; one whose enrolment was not shown is made up as nameless.
    pub(crate) fn of(&mut self, chain: [u8; 32]) -> &mut Host {
        Arc::make_mut(self.entry(chain))
    }

    /// The same, to hold on to while the judge changes.
    pub(crate) fn share(&mut self, chain: [u8; 32]) -> Arc<Host> {
        Arc::clone(self.entry(chain))
    }

    pub(crate) fn get(&self, chain: &[u8; 32]) -> Option<&Host> {
        self.chains.get(chain).map(Arc::as_ref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8; 32], &Host)> {
        self.chains
            .iter()
            .map(|(chain, host)| (chain, host.as_ref()))
    }

    pub(crate) fn inventory(
        &mut self,
        chain: [u8; 32],
        sequence: u64,
        devices: Vec<Option<Placed>>,
    ) {
        let host = self.of(chain);
        host.listed += 1;
        keep(&mut host.inventories, sequence, devices);
    }

    pub(crate) fn workloads(
        &mut self,
        chain: [u8; 32],
        sequence: u64,
        workloads: Vec<Option<v1::Workload>>,
    ) {
        keep(&mut self.of(chain).workloads, sequence, workloads);
    }

    fn entry(&mut self, chain: [u8; 32]) -> &mut Arc<Host> {
        self.chains
            .entry(chain)
            .or_insert_with(|| Arc::new(Host::nameless(&chain)))
    }
}

fn keep<T>(kept: &mut BTreeMap<u64, T>, sequence: u64, value: T) {
    kept.insert(sequence, value);
    while kept.len() > KEPT {
        kept.pop_first();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_place_out_of_range_or_not_shown_is_nothing() {
        let mut hosts = Hosts::default();
        let placed = Placed {
            device: v1::Device::default(),
            model: Model::NOT_SHOWN,
        };
        hosts.inventory([1; 32], 5, vec![None, Some(placed.clone())]);
        let host = hosts.get(&[1; 32]).unwrap();
        assert_eq!(host.device(5, 1), Some(&placed));
        for (sequence, place) in [(5, 0), (5, 2), (5, u32::MAX), (4, 1), (u64::MAX, 1)] {
            assert_eq!(host.device(sequence, place), None);
        }
    }

    #[test]
    fn a_chain_keeps_its_newest_inventories_only() {
        let mut hosts = Hosts::default();
        for sequence in 0..100 {
            hosts.inventory([1; 32], sequence, Vec::new());
        }
        let host = hosts.get(&[1; 32]).unwrap();
        assert_eq!(host.inventories.len(), KEPT);
        assert!(host.inventories.contains_key(&99));
    }
}
