//! Parties and the edges among them: who owns, controls or acts for whom, and from where.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::v1::{self, EdgeKind};

use crate::{
    parameters::Country,
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

    /// The edges among `members`, as last stated.
    pub(crate) fn among(&self, members: &BTreeSet<String>) -> Vec<v1::Edge> {
        let inside = |edge: &&v1::Edge| members.contains(&edge.from) && members.contains(&edge.to);
        self.edges().filter(inside).cloned().collect()
    }

    /// Whether a party resells to anybody at `at`.
    pub(crate) fn resells(&self, id: &str, at: Moment) -> bool {
        let edges = self.resale.get(id).into_iter().flatten();
        edges
            .filter_map(|edge| self.edges.get(edge))
            .any(|edge| holds(edge, at))
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
    edge.in_force(at).any(|(stamp, edge)| {
        let end = edge.until_unix_ms.map(|until| until.max(stamp.logged_ms));
        end.is_none_or(|end| at.instant_ms < end)
    })
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
