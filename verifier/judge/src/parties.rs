//! Parties and the edges among them: who owns, controls or acts for whom, and from where.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::v1::{self, EdgeKind};

use crate::{
    parameters::Country,
    shares::WHOLE_BP,
    timeline::{Doubt, Moment, Stamp, Timeline},
};

/// An edge's identity: a later event about the same three replaces it.
type EdgeId = (String, String, i32);

/// All parties and edges that officers ever stated.
#[derive(Clone, Debug, Default)]
pub struct Parties {
    parties: BTreeMap<String, Timeline<v1::Party>>,
    edges: BTreeMap<EdgeId, Timeline<v1::Edge>>,
    /// From a party to the edges that lead to those who stand behind it.
    behind: BTreeMap<String, BTreeSet<EdgeId>>,
    /// From a party to the edges by which it resells.
    resale: BTreeMap<String, BTreeSet<EdgeId>>,
}

/// Where a party is headquartered, as far as anyone said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headquarters {
    /// Countries in force; two around a back-dated change. Empty when not known.
    pub countries: BTreeSet<Country>,
}

/// What one owner has of a party by what is in force, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stake {
    /// The largest lower bound that is stated; 0 where none is.
    pub(crate) sure_bp: u32,
    /// The smallest.
    pub(crate) least_bp: u32,
    /// The largest upper bound; 10,000 where none is.
    pub(crate) max_bp: u32,
}

impl Stake {
    fn of(edge: &v1::Edge) -> Self {
        let min = edge.share_min_bp.unwrap_or(0).min(WHOLE_BP);
        let max = edge.share_max_bp.unwrap_or(WHOLE_BP).min(WHOLE_BP);
        Self {
            sure_bp: min,
            least_bp: min,
            max_bp: max.max(min),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            sure_bp: self.sure_bp.max(other.sure_bp),
            least_bp: self.least_bp.min(other.least_bp),
            max_bp: self.max_bp.max(other.max_bp),
        }
    }

    /// Says it as people do.
    pub(crate) fn words(self) -> String {
        let percent = |bp: u32| format!("{}.{:02} %", bp / 100, bp % 100);
        match (self.sure_bp, self.max_bp) {
            (0, WHOLE_BP) => "a share that is not known".to_owned(),
            (min, max) if min == max => percent(min),
            (min, WHOLE_BP) => format!("at least {}", percent(min)),
            (0, max) => format!("at most {}", percent(max)),
            (min, max) => format!("{} to {}", percent(min), percent(max)),
        }
    }
}

impl Parties {
    /// Takes a party as it is from now on.
    pub(crate) fn party(&mut self, stamp: Stamp, party: v1::Party) {
        self.parties
            .entry(party.id.clone())
            .or_default()
            .push(stamp, party);
    }

    /// Takes an edge as it is from now on.
    pub(crate) fn edge(&mut self, stamp: Stamp, edge: v1::Edge) {
        let id = (edge.from.clone(), edge.to.clone(), edge.kind);
        match EdgeKind::try_from(edge.kind).unwrap_or_default() {
            EdgeKind::Owns | EdgeKind::Controls => {
                self.behind
                    .entry(edge.to.clone())
                    .or_default()
                    .insert(id.clone());
            }
            // The whole stands behind its unit, the principal behind its agent.
            EdgeKind::ActsFor | EdgeKind::AffiliatedUnitOf => {
                self.behind
                    .entry(edge.from.clone())
                    .or_default()
                    .insert(id.clone());
            }
            EdgeKind::ResellsTo => {
                self.resale
                    .entry(edge.from.clone())
                    .or_default()
                    .insert(id.clone());
            }
            EdgeKind::Unspecified => {}
        }
        self.edges.entry(id).or_default().push(stamp, edge);
    }

    /// Casts doubt on what was stated.
    pub(crate) fn doubt(&mut self, doubt: &Doubt) {
        self.parties.values_mut().for_each(|line| line.doubt(doubt));
        self.edges.values_mut().for_each(|line| line.doubt(doubt));
    }

    /// The newest statement of a party.
    pub fn newest(&self, id: &str) -> Option<&v1::Party> {
        self.parties.get(id)?.newest()
    }

    /// All parties as they were last stated, by id.
    pub fn all(&self) -> impl Iterator<Item = &v1::Party> {
        self.parties.values().filter_map(Timeline::newest)
    }

    /// All edges as they were last stated, by (from, to, kind).
    pub fn edges(&self) -> impl Iterator<Item = &v1::Edge> {
        self.edges.values().filter_map(Timeline::newest)
    }

    /// The parties of `seeds` and all who stand behind them, by whatever edge was ever stated.
    pub(crate) fn ever_behind(&self, seeds: BTreeSet<String>) -> BTreeSet<String> {
        self.walk(seeds, |_| true)
    }

    /// The parties of `seeds` and all who stand behind them at `at`.
    ///
    /// An edge counts from its effective instant (ownership reaches back) until its end was both
    /// logged and reached. Its share plays no part: every owner is judged.
    pub(crate) fn behind_at(&self, seeds: BTreeSet<String>, at: Moment) -> BTreeSet<String> {
        self.walk(seeds, |edge| holds(edge, at))
    }

    /// The same, where statements of which `by` holds end no edge that others stated.
    pub(crate) fn behind_despite(
        &self,
        seeds: BTreeSet<String>,
        at: Moment,
        by: &dyn Fn(u64) -> bool,
    ) -> BTreeSet<String> {
        self.walk(seeds, |edge| holds_despite(edge, at, by))
    }

    /// Those whom a party owns of, controls, acts for or is a unit of at `at`; statements of which
    /// `by` holds end nothing that others stated.
    pub(crate) fn ties(
        &self,
        party: &str,
        at: Moment,
        by: &dyn Fn(u64) -> bool,
    ) -> Vec<(EdgeKind, String)> {
        let edges = self.out_of(party);
        let held = edges.filter(|(_, line)| holds_despite(line, at, by));
        let tie = |((_, to, kind), _): (&EdgeId, _)| {
            let kind = EdgeKind::try_from(*kind).ok()?;
            let ties = !matches!(kind, EdgeKind::ResellsTo | EdgeKind::Unspecified);
            ties.then(|| (kind, to.clone()))
        };
        held.filter_map(tie).collect()
    }

    /// A party and all that it ever owned of, controlled, acted for or was a unit of, through
    /// others too; at most `most` of them.
    pub(crate) fn ever_below(&self, party: &str, most: usize) -> BTreeSet<String> {
        let mut found = BTreeSet::from([party.to_owned()]);
        let mut due = vec![party.to_owned()];
        while let Some(party) = due.pop() {
            for ((_, to, kind), _) in self.out_of(&party) {
                let resale = *kind == i32::from(EdgeKind::ResellsTo);
                if !resale && found.len() < most && found.insert(to.clone()) {
                    due.push(to.clone());
                }
            }
        }
        found
    }

    /// The statements of a party that the log had before an index: newest first, up to the first of
    /// which `by` does not hold.
    pub(crate) fn stated(
        &self,
        party: &str,
        index: u64,
        by: &dyn Fn(u64) -> bool,
    ) -> Vec<&v1::Party> {
        let mut stated = Vec::new();
        let line = self.parties.get(party);
        for (stamp, party) in line.into_iter().flat_map(|line| line.said_before(index)) {
            stated.push(party);
            if !by(stamp.index) {
                break;
            }
        }
        stated
    }

    /// All that was stated of a party, in the order of the log.
    pub(crate) fn said_of(&self, party: &str) -> &[(Stamp, v1::Party)] {
        self.parties.get(party).map_or(&[], Timeline::all)
    }

    /// All that was stated of each edge among `members`, in the order of the log.
    pub(crate) fn said_among<'a>(
        &'a self,
        members: &'a BTreeSet<String>,
    ) -> impl Iterator<Item = &'a [(Stamp, v1::Edge)]> {
        let all = members.iter().flat_map(|member| self.out_of(member));
        all.filter(|((_, to, _), _)| members.contains(to))
            .map(|(_, line)| line.all())
    }

    /// The edges that begin at a party, by (to, kind).
    fn out_of(&self, party: &str) -> impl Iterator<Item = (&EdgeId, &Timeline<v1::Edge>)> {
        let first = (party.to_owned(), String::new(), i32::MIN);
        let party = party.to_owned();
        let all = self.edges.range(first..);
        all.take_while(move |((from, _, _), _)| *from == party)
    }

    /// The edges among `members`, as last stated, by (from, to, kind).
    pub(crate) fn among(&self, members: &BTreeSet<String>) -> Vec<v1::Edge> {
        let all = members.iter().flat_map(|member| self.out_of(member));
        all.filter(|((_, to, _), _)| members.contains(to))
            .filter_map(|(_, line)| line.newest().cloned())
            .collect()
    }

    /// Who owns of a party at `at`, and how much.
    pub(crate) fn stakes(&self, party: &str, at: Moment) -> BTreeMap<String, Stake> {
        let mut stakes: BTreeMap<String, Stake> = BTreeMap::new();
        for (owner, line) in self.into(party, EdgeKind::Owns) {
            let in_force = line
                .in_force(at)
                .filter(|(stamp, edge)| lasts(stamp, edge, at));
            for (_, edge) in in_force {
                let new = Stake::of(edge);
                let stake = stakes.entry(owner.to_owned()).or_insert(new);
                *stake = stake.or(new);
            }
        }
        stakes
    }

    /// Who controls a party at `at`, by edges that say so and no share.
    pub(crate) fn controllers(&self, party: &str, at: Moment) -> BTreeSet<String> {
        let edges = self.into(party, EdgeKind::Controls);
        let held = edges.filter(|(_, line)| holds(line, at));
        held.map(|(from, _)| from.to_owned()).collect()
    }

    /// The edges of one kind that lead to a party, with where from.
    fn into<'a>(
        &'a self,
        party: &'a str,
        kind: EdgeKind,
    ) -> impl Iterator<Item = (&'a str, &'a Timeline<v1::Edge>)> {
        let behind = self.behind.get(party).into_iter().flatten();
        let of = move |(_, to, edge): &&EdgeId| to == party && *edge == i32::from(kind);
        behind
            .filter(of)
            .filter_map(|id| Some((id.0.as_str(), self.edges.get(id)?)))
    }

    /// Whether a party resells to anybody at `at`.
    pub(crate) fn resells(&self, id: &str, at: Moment) -> bool {
        let edges = self.resale.get(id).into_iter().flatten();
        edges
            .filter_map(|edge| self.edges.get(edge))
            .any(|edge| holds(edge, at))
    }

    /// The versions of a party that are in force at `at`, newest first.
    pub(crate) fn in_force<'a>(
        &'a self,
        id: &str,
        at: Moment,
    ) -> impl Iterator<Item = &'a v1::Party> {
        let line = self.parties.get(id).into_iter();
        line.flat_map(move |line| line.in_force(at))
            .map(|(_, party)| party)
    }

    /// When the log first had a party under a name, of what it had before an index; a party that is stated
    /// anew, or under another name for a while, was known under it all the same. For a name that was never
    /// spelt so, as a part of one in brackets, or for none, when it first had the party.
    pub(crate) fn named_since(&self, id: &str, name: &str, before: u64) -> Option<u64> {
        let said = self.parties.get(id)?;
        let is_so = |party: &v1::Party| party.names.iter().any(|it| it.text == name);
        let with = said.said_before(before).filter(|(_, party)| is_so(party));
        let with = with.map(|(stamp, _)| stamp.logged_ms).min();
        let first = said.said_before(before).map(|(stamp, _)| stamp.logged_ms);
        with.or_else(|| first.min())
    }

    /// Where a party is headquartered at `at`.
    ///
    /// A statement that it is unknown does not clear what was known before it: the last country
    /// that anyone stated counts on.
    pub(crate) fn headquarters(&self, id: &str, at: Moment) -> Headquarters {
        let Some(line) = self.parties.get(id) else {
            return Headquarters::default();
        };
        let country = |party: &v1::Party| Country::parse(&party.headquarters);
        let in_force: Vec<_> = line.in_force(at).map(|(_, party)| country(party)).collect();
        let mut countries: BTreeSet<Country> = in_force.iter().flatten().copied().collect();
        if in_force.last().is_some_and(Option::is_none) {
            let older = line.known(at).skip(in_force.len());
            countries.extend(older.filter_map(|(_, party)| country(party)).take(1));
        }
        Headquarters { countries }
    }

    /// Where a party is incorporated at `at`, as far as stated; two countries around a back-dated
    /// change.
    pub(crate) fn incorporated(&self, id: &str, at: Moment) -> BTreeSet<Country> {
        let line = self.parties.get(id).into_iter();
        let in_force = line.flat_map(|line| line.in_force(at));
        in_force
            .filter_map(|(_, party)| Country::parse(&party.incorporation))
            .collect()
    }

    fn walk(
        &self,
        seeds: BTreeSet<String>,
        counts: impl Fn(&Timeline<v1::Edge>) -> bool,
    ) -> BTreeSet<String> {
        let mut due: Vec<String> = seeds.iter().cloned().collect();
        let mut found = seeds;
        while let Some(party) = due.pop() {
            for id in self.behind.get(&party).into_iter().flatten() {
                let (from, to, _) = id;
                let other = if *from == party { to } else { from };
                let counts = self.edges.get(id).is_some_and(&counts);
                if counts && found.insert(other.clone()) {
                    due.push(other.clone());
                }
            }
        }
        found
    }
}

fn holds(edge: &Timeline<v1::Edge>, at: Moment) -> bool {
    edge.in_force(at)
        .any(|(stamp, edge)| lasts(stamp, edge, at))
}

fn holds_despite(edge: &Timeline<v1::Edge>, at: Moment, by: &dyn Fn(u64) -> bool) -> bool {
    edge.in_force_despite(at, by)
        .any(|(stamp, edge)| lasts(stamp, edge, at))
}

/// Whether a version has no end that was both logged and reached.
fn lasts(stamp: &Stamp, edge: &v1::Edge, at: Moment) -> bool {
    let end = edge.until_unix_ms.map(|until| until.max(stamp.logged_ms));
    end.is_none_or(|end| at.instant_ms < end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stamp(index: u64) -> Stamp {
        Stamp {
            index,
            logged_ms: index * 10,
            effective_ms: 0,
        }
    }

    fn edge(from: &str, to: &str, kind: EdgeKind) -> v1::Edge {
        v1::Edge {
            from: from.into(),
            to: to.into(),
            kind: kind.into(),
            ..Default::default()
        }
    }

    fn seeds(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn owners_of_owners_are_found_and_a_circle_ends() {
        let mut parties = Parties::default();
        parties.edge(stamp(1), edge("top", "middle", EdgeKind::Owns));
        parties.edge(stamp(2), edge("middle", "firm", EdgeKind::Controls));
        parties.edge(stamp(3), edge("firm", "top", EdgeKind::Owns));
        parties.edge(stamp(4), edge("lab", "firm", EdgeKind::AffiliatedUnitOf));
        let found = parties.behind_at(seeds(&["lab"]), Moment::as_known_then(9, 90));
        assert_eq!(found, seeds(&["lab", "firm", "middle", "top"]));
    }

    #[test]
    fn a_resellers_other_customers_do_not_stand_behind_it() {
        let mut parties = Parties::default();
        parties.edge(stamp(1), edge("reseller", "other", EdgeKind::ResellsTo));
        let at = Moment::as_known_then(9, 90);
        assert_eq!(
            parties.behind_at(seeds(&["reseller"]), at),
            seeds(&["reseller"])
        );
        assert!(parties.resells("reseller", at));
        assert!(!parties.resells("other", at));
    }

    #[test]
    fn the_end_of_an_ownership_works_from_its_inclusion_not_before() {
        let mut parties = Parties::default();
        parties.edge(stamp(1), edge("owner", "firm", EdgeKind::Owns));
        let ended = v1::Edge {
            until_unix_ms: Some(20),
            ..edge("owner", "firm", EdgeKind::Owns)
        };
        parties.edge(stamp(5), ended);
        let behind = |at| parties.behind_at(seeds(&["firm"]), at).len();
        assert_eq!(behind(Moment::as_known_now(3, 30)), 2);
        assert_eq!(
            behind(Moment::as_known_then(6, 40)),
            2,
            "claimed before the end was logged"
        );
        assert_eq!(behind(Moment::as_known_then(6, 60)), 1);
    }

    #[test]
    fn unknown_never_clears_a_headquarters_that_was_known() {
        let mut parties = Parties::default();
        let party = |hq: &str| v1::Party {
            id: "p".into(),
            headquarters: hq.into(),
            ..Default::default()
        };
        parties.party(stamp(1), party("cn"));
        parties.party(stamp(2), party("unknown"));
        let at = Moment::as_known_then(9, 90);
        let china = BTreeSet::from([Country::parse("CN").unwrap()]);
        assert_eq!(parties.headquarters("p", at).countries, china);
        parties.party(stamp(3), party("US"));
        let states = BTreeSet::from([Country::parse("US").unwrap()]);
        assert_eq!(parties.headquarters("p", at).countries, states);
        assert!(parties.headquarters("nobody", at).countries.is_empty());
    }
}
