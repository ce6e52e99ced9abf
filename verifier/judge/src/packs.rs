//! Packs in force: which policy pack judges a use, by where the use stands in the log.
//!
//! A pack permits, so it takes two officers, and judges what is logged after the second of them said so.
//! What was judged before stays judged by the pack that was in force then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use affiant_proto::{Digest, v1};

use crate::{
    Judge,
    approval::{APPROVERS, NoEffect},
    devices::DeviceTable,
    exhibits::Exhibits,
    policy::Pack,
    timeline::{Doubt, Stamp},
};

mod view;

pub use view::{PackLine, SignedLine, Stands};

/// Packs that one officer alone wants and that wait for a second; beyond that his oldest is dropped. A pack
/// has 1 MiB at most, so these are 4 MiB an officer.
const MAX_PROPOSED: usize = 4;

/// All packs that ever judged, and those that wait for a second officer.
#[derive(Clone, Debug)]
pub(crate) struct Packs {
    /// Judges from the beginning.
    first: Arc<Pack>,
    /// In the order of the log.
    later: Vec<InForce>,
    proposed: BTreeMap<Digest, Proposed>,
    /// Whether the first judges all, whatever officers want: to see what it would find.
    fixed: bool,
}

/// Who wants a pack, by the digests that opened their chains, and where in the log each said so last.
type Wanted = BTreeMap<[u8; 32], Said>;

#[derive(Clone, Copy, Debug)]
struct Said {
    index: u64,
    logged_ms: u64,
}

#[derive(Clone, Debug)]
struct Proposed {
    pack: Arc<Pack>,
    by: Wanted,
}

/// A pack that two officers put into force.
#[derive(Clone, Debug)]
struct InForce {
    /// It judges what stands after this log index.
    after: u64,
    pack: Arc<Pack>,
    by: Wanted,
}

impl Packs {
    /// Begins with one pack.
    pub(crate) fn new(pack: Arc<Pack>) -> Self {
        Self {
            first: pack,
            later: Vec::new(),
            proposed: BTreeMap::new(),
            fixed: false,
        }
    }

    /// Has one pack judge all, from beginning to end.
    pub(crate) fn only(pack: Arc<Pack>) -> Self {
        Self {
            fixed: true,
            ..Self::new(pack)
        }
    }

    /// The pack that judges what stands at a log index.
    pub(crate) fn of(&self, index: u64) -> &Arc<Pack> {
        let by_then = self.later.iter().rev().find(|it| it.after < index);
        by_then.map_or(&self.first, |it| &it.pack)
    }

    /// The pack that judges what comes.
    pub(crate) fn newest(&self) -> &Arc<Pack> {
        self.later.last().map_or(&self.first, |it| &it.pack)
    }

    /// All packs, each with the log index after which it judges; the first one judges from 0.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &Arc<Pack>)> {
        let later = self.later.iter().map(|it| (it.after + 1, &it.pack));
        std::iter::once((0, &self.first)).chain(later)
    }

    /// Takes one officer's statement. Gives those who want the pack where they are enough.
    fn propose(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        body: &v1::PolicyPack,
        exhibits: &mut Exhibits,
    ) -> Result<Digest, NoEffect> {
        let bad = |fault: String| NoEffect::Pack {
            pack: format!("{}@{}", body.pack, body.version),
            fault,
        };
        let named = Digest::try_from(body.digest.as_slice());
        let named = named.map_err(|_| bad("it names no file".to_owned()))?;
        // Taken whether it is read or not: it is not kept for another statement.
        let bytes = exhibits.take(&body.digest);
        if !self.proposed.contains_key(&named) {
            let bytes = bytes.ok_or_else(|| bad("its file is not at hand".to_owned()))?;
            let pack = Pack::parse(&bytes).map_err(|fault| bad(fault.to_string()))?;
            if (pack.name(), pack.version()) != (body.pack.as_str(), body.version.as_str()) {
                let fault = format!("its file is of pack {}", pack.label());
                return Err(bad(fault));
            }
            let proposed = Proposed {
                pack: Arc::new(pack),
                by: BTreeMap::new(),
            };
            self.make_place(officer);
            self.proposed.insert(named, proposed);
        }
        if let Some(proposed) = self.proposed.get_mut(&named) {
            let said = Said {
                index: stamp.index,
                logged_ms: stamp.logged_ms,
            };
            proposed.by.insert(officer, said);
        }
        Ok(named)
    }

    /// Drops the oldest of the packs that this officer alone wants, where they are too many: nobody's
    /// proposals are in the way of another's.
    fn make_place(&mut self, officer: [u8; 32]) {
        let alone = self.proposed.iter().filter_map(|(named, proposed)| {
            let said = proposed.by.get(&officer)?;
            (proposed.by.len() == 1).then_some((said.index, *named))
        });
        let mut alone: Vec<(u64, Digest)> = alone.collect();
        alone.sort_unstable();
        let over = (alone.len() + 1).saturating_sub(MAX_PROPOSED);
        for (_, named) in alone.into_iter().take(over) {
            self.proposed.remove(&named);
        }
    }

    /// Takes back what a key said that was revoked from before it. A pack that two put into force stays:
    /// others put another one in its place.
    pub(crate) fn doubt(&mut self, doubt: &Doubt) {
        for proposed in self.proposed.values_mut() {
            proposed
                .by
                .retain(|_, said| !doubt.acts.contains(&said.index));
        }
        self.proposed.retain(|_, proposed| !proposed.by.is_empty());
    }
}

impl Judge {
    /// Takes one officer's statement that a pack is to judge from now on; it does when a second one says so. One
    /// whose file is not at hand, or is none, is counted as not judged.
    pub fn policy_pack(&mut self, index: u64, officer: [u8; 32], body: &v1::PolicyPack) {
        self.introduce(officer);
        let stamp = self.stamp(index, self.clock_ms);
        self.registry.act(stamp, officer);
        if self.packs.fixed {
            return;
        }
        let exhibits = &mut self.exhibits;
        match self.packs.propose(stamp, officer, body, exhibits) {
            Ok(named) => self.agree(stamp, named),
            Err(why) => {
                self.not_judged(index, "policy-pack.v1");
                self.note(format!("index {index}: {why}"));
            }
        }
    }

    /// Puts a pack into force where two officers, who are two persons, want it.
    fn agree(&mut self, stamp: Stamp, named: Digest) {
        let Some(proposed) = self.packs.proposed.get(&named) else {
            return;
        };
        let officers: BTreeSet<[u8; 32]> = proposed.by.keys().copied().collect();
        if officers.len() < APPROVERS {
            return;
        }
        if let Some(why) = self.registry.one_person(&officers, stamp.index) {
            self.note(format!(
                "index {}: a pack wanted by the same person: {why}",
                stamp.index
            ));
            return;
        }
        let in_force = InForce {
            after: stamp.index,
            pack: Arc::clone(&proposed.pack),
            by: proposed.by.clone(),
        };
        self.look_at_all();
        self.packs.proposed.remove(&named);
        // What is inventoried from now on has the classes of its table.
        match in_force.pack.devices() {
            Some(table) => self.table.give_way(table),
            None => self.table.give_way(&DeviceTable::shipped()),
        }
        self.packs.later.push(in_force);
        self.precedents.clear();
        self.books.unbind();
        self.registry.turn(stamp);
    }
}
