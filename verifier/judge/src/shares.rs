//! Shares: how much of a party some owners hold together, over all paths of ownership.
//!
//! Ownership is a graph whose `owns` edges bear a share between two bounds. What a set of owners
//! holds of a party is, of each owner of the party, his share times what the set holds of him, in
//! sum; of one of the set himself it holds all. So each path ends at the first of the set that it
//! meets, and nobody counts twice. The least solution of these equations is what can be had: it is
//! the sum over all paths, those included that go round a circle, of the product along each. With
//! bounds in place of numbers this is the probability of reaching a set in an interval Markov
//! chain, and has a least and a greatest value.
//!
//! **It ends, and stays within 0 and 100 %.** Both equations are monotone and map 0..1 to 0..1. The
//! lower value begins at 0 and only rises, rounded down; the upper one begins at 1 and only falls,
//! rounded up. So after any number of steps the truth lies between them: where the steps run out
//! the answer is wider than need be, and says so. In a circle of shares that nobody limits, whose
//! members may own all of each other, the upper value stays at 100 %.
//!
//! **What is not stated.** A share without a lower bound may be nothing, one without an upper bound
//! may be all that the others leave for sure. Statements that together exceed 100 % contradict each
//! other: each is believed, the sum is cut at 100 %, and the party is named. Around a back-dated
//! change two versions of an edge are in force: for what is held for sure the larger counts, for
//! what is left to others the smaller.
//!
//! A `controls` edge is no share, whatever bounds it bears; it is told beside them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    parties::{Parties, Stake},
    timeline::Moment,
};

/// All of a party, in hundredths of a percent.
pub const WHOLE_BP: u32 = 10_000;

/// Half of a party: at which the 50 % rules count it as held.
pub const HALF_BP: u32 = 5_000;

/// Everything, in the unit that is reckoned with: 10^-20, in which a product of five shares is exact.
/// 30,000 owners × 10^4 × 10^20 are 3 × 10^28, far below 2^128.
const ONE: u128 = 100_000_000_000_000_000_000;

/// One hundredth of a percent in that unit.
const BP: u128 = ONE / WHOLE_BP as u128;

/// Less than this beside a hundredth of a percent is rounding, and taken as that hundredth: 10^-12.
const ROUNDING: u128 = 100_000_000;

/// Most edges that are looked at for one bound: 30,000 edges 300 times, half a second. Two parties
/// that own 99.99 % of each other take 5 million.
const MAX_STEPS: u64 = 10_000_000;

/// Changes up to which those that follow from them wait: a large circle is first solved roughly, then
/// as far as the steps go.
const HEEDED: [u128; 3] = [ONE / 1_000_000, ONE / 1_000_000_000, 0];

/// Most paths, and most controls, that are told in words.
const MAX_TOLD: usize = 8;

/// Most parties of a path that is told: longer ones nobody reads.
const MAX_LENGTH: usize = 32;

/// Most steps of the search for paths to tell.
const MAX_SEARCH: usize = 10_000;

/// How much of a party some owners hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// At least, in hundredths of a percent, 0 to 10,000.
    pub min_bp: u32,
    /// At most, in hundredths of a percent, no less than `min_bp`.
    pub max_bp: u32,
    /// Some of the paths by which they hold it, in words, the shortest first.
    pub paths: Vec<String>,
    /// Some of those by whom the owners, or parties which these hold a share of, control a party on
    /// the way, in words. It is no share.
    pub controls: Vec<String>,
    /// Parties of which more than all is stated to be owned.
    pub overstated: BTreeSet<String>,
    /// Whether the bounds are as close as the statements allow; else the steps ran out.
    pub settled: bool,
}

impl Share {
    /// Tells whether it is at least `bp` hundredths of a percent; `None` where it may be.
    pub fn reaches(&self, bp: u32) -> Option<bool> {
        if self.min_bp >= bp {
            Some(true)
        } else if self.max_bp < bp {
            Some(false)
        } else {
            None
        }
    }
}

impl Parties {
    /// The share of `party` that `owners` hold together at `at`, directly and through others: the
    /// product of shares along each path, summed over all paths. Of one of `owners`, all.
    pub fn share_of(&self, owners: &BTreeSet<String>, party: &str, at: Moment) -> Share {
        let graph = Graph::above(self, owners, party, at);
        let (low, low_settled) = graph.settle(Bound::Lower);
        let (high, high_settled) = graph.settle(Bound::Upper);
        let (low, high) = (first(&low), first(&high));
        let min = ((low + ROUNDING) / BP).min(u128::from(WHOLE_BP));
        let max = high.saturating_sub(ROUNDING).div_ceil(BP).max(min);
        graph.told(self, owners, at, (min, max), low_settled && high_settled)
    }

    /// The share of `party` that counts under a 50 % rule: a party of which `owners`, or others that
    /// count already, own half or more counts wholly, and its shares are added to theirs; one of
    /// which they own less counts for nothing. Directly, indirectly and in aggregate.
    ///
    /// So reads OFAC's 50 Percent Rule (FAQ 401 with its examples, <https://ofac.treasury.gov/faqs/401>),
    /// which BIS's Affiliates Rule of 29 September 2025 followed for its own lists; whether that is
    /// in force is for a policy pack to say.
    pub fn cascade_of(&self, owners: &BTreeSet<String>, party: &str, at: Moment) -> Share {
        let graph = Graph::above(self, owners, party, at);
        let sure = graph.spread(Bound::Lower);
        let maybe = graph.spread(Bound::Upper);
        let bounds = match graph.nodes.first() {
            Some(node) if node.owner => (WHOLE_BP, WHOLE_BP),
            Some(node) => (
                node.counted(Bound::Lower, &sure),
                node.counted(Bound::Upper, &maybe),
            ),
            None => (0, 0),
        };
        let bounds = (u128::from(bounds.0), u128::from(bounds.1.max(bounds.0)));
        graph.told(self, owners, at, bounds, true)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Lower,
    Upper,
}

/// A party, and who owns of it.
#[derive(Debug)]
struct Node {
    id: String,
    /// One of the owners that were asked about: who owns him plays no part.
    owner: bool,
    stakes: Vec<(usize, Stake)>,
    /// Parties that it owns of.
    owned: Vec<usize>,
}

/// A party with all that own of it, themselves or through others. The party is the first.
#[derive(Debug)]
struct Graph {
    nodes: Vec<Node>,
    /// Each party's place among all, its owners before it where no circle prevents that.
    order: Vec<usize>,
    /// The same, from place to party.
    placed: Vec<usize>,
    /// How many steps each party is from the nearest owner whose share can arrive there.
    far: Vec<Option<usize>>,
}

impl Graph {
    fn above(parties: &Parties, owners: &BTreeSet<String>, party: &str, at: Moment) -> Self {
        let node = |id: &str| Node {
            id: id.to_owned(),
            owner: owners.contains(id),
            stakes: Vec::new(),
            owned: Vec::new(),
        };
        let mut nodes = vec![node(party)];
        let mut places = BTreeMap::from([(party.to_owned(), 0)]);
        let mut next = 0;
        while let Some((id, owner)) = nodes.get(next).map(|node| (node.id.clone(), node.owner)) {
            // Who owns of an owner plays no part: of him, they hold all.
            let found = match owner {
                true => BTreeMap::new(),
                false => parties.stakes(&id, at),
            };
            let mut stakes = Vec::with_capacity(found.len());
            for (owner, stake) in found {
                let place = *places.entry(owner).or_insert_with_key(|owner| {
                    nodes.push(node(owner));
                    nodes.len() - 1
                });
                stakes.push((place, stake));
                if let Some(node) = nodes.get_mut(place) {
                    node.owned.push(next);
                }
            }
            if let Some(node) = nodes.get_mut(next) {
                node.stakes = stakes;
            }
            next += 1;
        }
        let mut graph = Self {
            order: vec![0; nodes.len()],
            placed: Vec::with_capacity(nodes.len()),
            far: Vec::new(),
            nodes,
        };
        graph.arrange();
        graph.far = graph.distances();
        graph
    }

    /// Depth first towards the owners; who is left last has his owners behind him.
    fn arrange(&mut self) {
        let mut seen = vec![false; self.nodes.len()];
        let mut path = vec![(0, 0)];
        mark(&mut seen, 0);
        while let Some((place, tried)) = path.last_mut() {
            let stakes = self.nodes.get(*place).map(|node| node.stakes.as_slice());
            let next = stakes.and_then(|stakes| stakes.get(*tried));
            *tried += 1;
            match next {
                Some((owner, _)) => {
                    if mark(&mut seen, *owner) {
                        path.push((*owner, 0));
                    }
                }
                None => {
                    if let Some(order) = self.order.get_mut(*place) {
                        *order = self.placed.len();
                    }
                    self.placed.push(*place);
                    path.pop();
                }
            }
        }
    }

    /// Solves for one bound of what the owners hold of each party, in units of [`ONE`]; and tells
    /// whether it is solved.
    fn settle(&self, bound: Bound) -> (Vec<u128>, bool) {
        let begin = |(node, far): (&Node, &Option<usize>)| match bound {
            _ if node.owner => ONE,
            Bound::Upper if far.is_some() => ONE,
            _ => 0,
        };
        let mut held: Vec<u128> = self.nodes.iter().zip(&self.far).map(begin).collect();
        let mut steps = MAX_STEPS;
        for heeded in HEEDED {
            let mut due: BTreeSet<usize> = (0..self.placed.len()).collect();
            while !due.is_empty() {
                match self.round(bound, &mut held, due, heeded, steps) {
                    Some((next, left)) => (due, steps) = (next, left),
                    None => return (held, false),
                }
            }
        }
        (held, true)
    }

    /// Goes once over the places that are due, owners first, and gives those that are due next; none
    /// when the steps ran out.
    fn round(
        &self,
        bound: Bound,
        held: &mut [u128],
        mut due: BTreeSet<usize>,
        heeded: u128,
        mut steps: u64,
    ) -> Option<(BTreeSet<usize>, u64)> {
        let mut next = BTreeSet::new();
        while let Some(at) = due.pop_first() {
            let place = self.placed.get(at).copied()?;
            let reached = self.far.get(place).is_some_and(Option::is_some);
            let node = self.nodes.get(place);
            let Some(node) = node.filter(|node| !node.owner && reached) else {
                continue;
            };
            steps = steps.checked_sub(node.stakes.len() as u64)?;
            let new = node.held(bound, held);
            let Some(old) = held.get_mut(place) else {
                continue;
            };
            let change = old.abs_diff(new);
            *old = new;
            if change > heeded {
                let owned = node.owned.iter();
                for owned in owned.filter_map(|owned| self.order.get(*owned)) {
                    let later = if *owned > at { &mut due } else { &mut next };
                    later.insert(*owned);
                }
            }
        }
        Some((next, steps))
    }

    /// The parties that count wholly under a 50 % rule: each is taken in at most once, so it ends.
    fn spread(&self, bound: Bound) -> Vec<bool> {
        let mut counts: Vec<bool> = self.nodes.iter().map(|node| node.owner).collect();
        let owners = (0..).zip(&self.nodes).filter(|(_, node)| node.owner);
        let mut due: VecDeque<usize> = owners.map(|(place, _)| place).collect();
        while let Some(place) = due.pop_front() {
            for owned in self
                .nodes
                .get(place)
                .into_iter()
                .flat_map(|node| &node.owned)
            {
                let half = self
                    .nodes
                    .get(*owned)
                    .is_some_and(|node| node.counted(bound, &counts) >= HALF_BP);
                if half && mark(&mut counts, *owned) {
                    due.push_back(*owned);
                }
            }
        }
        counts
    }

    fn told(
        &self,
        parties: &Parties,
        owners: &BTreeSet<String>,
        at: Moment,
        (min, max): (u128, u128),
        settled: bool,
    ) -> Share {
        let over = self.nodes.iter().filter(|node| node.overstated());
        Share {
            min_bp: u32::try_from(min).unwrap_or(WHOLE_BP).min(WHOLE_BP),
            max_bp: u32::try_from(max).unwrap_or(WHOLE_BP).min(WHOLE_BP),
            paths: self.paths(),
            controls: self.controls(parties, owners, at),
            overstated: over.map(|node| node.id.clone()).collect(),
            settled,
        }
    }

    /// Paths from owners to the party, in words, the shortest first. Each is followed only where an
    /// owner stands at its end, so that the first costs no more steps than it has.
    fn paths(&self) -> Vec<String> {
        let mut told = Vec::new();
        // By length, then by what is still to go.
        let mut due: BTreeSet<(usize, usize, Vec<usize>)> = BTreeSet::from([(0, 0, vec![0])]);
        let mut search = MAX_SEARCH;
        while let Some((_, _, path)) = due.pop_first() {
            let place = path.last().copied().unwrap_or(0);
            let Some(node) = self.nodes.get(place) else {
                continue;
            };
            if node.owner {
                told.push(self.words(&path));
                if told.len() == MAX_TOLD {
                    break;
                }
                continue;
            }
            for (owner, _) in &node.stakes {
                let Some(Some(far)) = self.far.get(*owner) else {
                    continue;
                };
                let length = path.len() + far;
                let leads = length < MAX_LENGTH && node.can_be_held_by(*owner);
                if search > 0 && leads && !path.contains(owner) {
                    search -= 1;
                    let path = path.iter().copied().chain([*owner]).collect();
                    due.insert((length, *far, path));
                }
            }
        }
        told
    }

    /// How many steps each party is from the nearest owner; none where no share arrives.
    fn distances(&self) -> Vec<Option<usize>> {
        let mut far: Vec<Option<usize>> = vec![None; self.nodes.len()];
        let owners = (0..).zip(&self.nodes).filter(|(_, node)| node.owner);
        let mut due: VecDeque<(usize, usize)> = owners.map(|(place, _)| (place, 0)).collect();
        while let Some((place, steps)) = due.pop_front() {
            let Some(known @ None) = far.get_mut(place) else {
                continue;
            };
            *known = Some(steps);
            for owned in self
                .nodes
                .get(place)
                .into_iter()
                .flat_map(|node| &node.owned)
            {
                let node = self.nodes.get(*owned);
                if node.is_some_and(|node| node.can_be_held_by(place)) {
                    due.push_back((*owned, steps + 1));
                }
            }
        }
        far
    }

    fn words(&self, path: &[usize]) -> String {
        let mut steps = path.windows(2).rev();
        let mut told = String::new();
        let step = |step: &[usize]| {
            let (owned, owner) = (self.nodes.get(*step.first()?)?, *step.get(1)?);
            let (_, stake) = owned.stakes.iter().find(|(place, _)| *place == owner)?;
            let owner = self.nodes.get(owner)?;
            Some((owner.id.as_str(), stake.words(), owned.id.as_str()))
        };
        if let Some((owner, share, owned)) = steps.next().and_then(step) {
            told = format!("{owner} owns {share} of {owned}");
        }
        for (_, share, owned) in steps.filter_map(step) {
            told.push_str(&format!(", which owns {share} of {owned}"));
        }
        if told.is_empty() {
            let node = self.nodes.first();
            told = node.map_or_else(String::new, |node| format!("{} is one of them", node.id));
        }
        told
    }

    /// Who controls a party of the graph and is one of the owners, or held in part by them.
    fn controls(&self, parties: &Parties, owners: &BTreeSet<String>, at: Moment) -> Vec<String> {
        let reached = self.nodes.iter().zip(&self.far);
        let reached = reached.filter(|(_, far)| far.is_some());
        let held: BTreeSet<&str> = reached.map(|(node, _)| node.id.as_str()).collect();
        let mut told = Vec::new();
        for node in self.nodes.iter().filter(|node| !node.owner) {
            for from in parties.controllers(&node.id, at) {
                if told.len() < MAX_TOLD && (owners.contains(&from) || held.contains(from.as_str()))
                {
                    told.push(format!("{from} controls {}, which is no share", node.id));
                }
            }
        }
        told
    }
}

impl Node {
    /// What is surely owned by others than those of whom `but` holds, by the least that is stated.
    fn least(&self, but: impl Fn(usize) -> bool) -> u128 {
        let others = self.stakes.iter().filter(|(place, _)| !but(*place));
        others.map(|(_, stake)| u128::from(stake.least_bp)).sum()
    }

    fn overstated(&self) -> bool {
        self.least(|_| false) > u128::from(WHOLE_BP)
    }

    /// Whether an owner can hold anything of it.
    fn can_be_held_by(&self, owner: usize) -> bool {
        let Some((_, stake)) = self.stakes.iter().find(|(place, _)| *place == owner) else {
            return false;
        };
        let left = || self.least(|place| place == owner) < u128::from(WHOLE_BP);
        stake.sure_bp > 0 || stake.max_bp > 0 && (self.overstated() || left())
    }

    /// One bound of what is held of it, where `held` is that bound of each owner.
    fn held(&self, bound: Bound, held: &[u128]) -> u128 {
        let of = |place: usize| held.get(place).copied().unwrap_or(0);
        let whole = u128::from(WHOLE_BP);
        let sure = self.stakes.iter();
        let sure = sure.map(|(place, stake)| u128::from(stake.sure_bp) * of(*place));
        let sure: u128 = sure.sum();
        if bound == Bound::Lower {
            return (sure / whole).min(ONE);
        }
        // Each has the least; what is left goes to those of whom the most is held.
        let least = self.least(|_| false);
        let base = |stake: &Stake| match self.overstated() {
            true => 0,
            false => u128::from(stake.least_bp),
        };
        let mut room = if self.overstated() {
            whole
        } else {
            whole - least
        };
        let mut sum = 0;
        let mut stakes: Vec<_> = self.stakes.iter().collect();
        stakes.sort_by_key(|(place, _)| std::cmp::Reverse(of(*place)));
        for (place, stake) in stakes {
            let more = (u128::from(stake.max_bp) - base(stake)).min(room);
            room -= more;
            sum += (base(stake) + more) * of(*place);
        }
        sum.max(sure).div_ceil(whole).min(ONE)
    }

    /// One bound of the shares of those that count wholly, in hundredths of a percent.
    fn counted(&self, bound: Bound, counts: &[bool]) -> u32 {
        let of = |place: usize| counts.get(place).is_some_and(|counts| *counts);
        let mine = self.stakes.iter().filter(|(place, _)| of(*place));
        let sum = |share: fn(&Stake) -> u32| -> u128 {
            mine.clone()
                .map(|(_, stake)| u128::from(share(stake)))
                .sum()
        };
        let sure = sum(|stake| stake.sure_bp);
        let counted = match bound {
            Bound::Lower => sure,
            Bound::Upper if self.overstated() => sum(|stake| stake.max_bp),
            Bound::Upper => {
                let left = u128::from(WHOLE_BP).saturating_sub(self.least(of));
                sum(|stake| stake.max_bp).min(left).max(sure)
            }
        };
        u32::try_from(counted).unwrap_or(WHOLE_BP).min(WHOLE_BP)
    }
}

/// Marks a place; tells whether it was not marked before.
fn mark(marks: &mut [bool], place: usize) -> bool {
    match marks.get_mut(place) {
        Some(mark) => !std::mem::replace(mark, true),
        None => false,
    }
}

fn first(held: &[u128]) -> u128 {
    held.first().copied().unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
