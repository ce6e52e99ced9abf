//! Links: which tenants belong together, by what officers stated.
//!
//! Two tenants are linked by a party that both have as customer, end customer or ultimate parent, or that
//! holds half of one of these or more for sure, or controls it, directly or through others; and by one
//! address or one number in a register of their customers and end customers. A share that nobody stated
//! links nobody: it is known to be no more than possible. Linked tenants, and those linked to these, are a
//! group.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::v1;

use super::{Registry, four_eyes::OFFICER};
use crate::{screening::fold, shares::HALF_BP, timeline::Moment};

/// Most owners that are followed behind one party: no real chain has as many.
const MAX_OWNERS: usize = 64;

/// Most links of one group that are told, and most tenants of one of these. 8 × 200 characters are what a
/// finding has room for beside its totals.
const MAX_TOLD: usize = 8;

/// Words that an address has at least to tell a place: fewer are a city.
const ADDRESS_WORDS: usize = 3;

/// What links tenants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Link {
    /// A party, by id.
    Party(String),
    /// Words of an address, folded.
    Address(String),
    /// Scheme and number, folded.
    Identifier(String, String),
}

impl Link {
    fn words(&self) -> String {
        match self {
            Self::Party(party) => format!("party {party}"),
            Self::Address(address) => format!("address \"{address}\""),
            Self::Identifier(scheme, value) => format!("{scheme} {value}"),
        }
    }
}

/// Tenants that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Two at least.
    pub(crate) members: BTreeSet<String>,
    /// By what, in words.
    pub(crate) links: Vec<String>,
}

/// All groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    groups: Vec<Group>,
    of: BTreeMap<String, usize>,
}

impl Groups {
    /// The place of a tenant's group; `None` for one that is linked to nobody.
    pub(crate) fn of(&self, tenant: &str) -> Option<usize> {
        self.of.get(tenant).copied()
    }

    /// All groups, by place.
    pub(crate) fn all(&self) -> &[Group] {
        &self.groups
    }
}

impl Registry {
    /// Which tenants belong together at a moment.
    pub(crate) fn groups(&self, at: Moment) -> Groups {
        let ids: Vec<&String> = self.tenants.keys().collect();
        let mut linked: BTreeMap<Link, Vec<usize>> = BTreeMap::new();
        for (place, id) in ids.iter().enumerate() {
            for link in self.links_of(id, at) {
                linked.entry(link).or_default().push(place);
            }
        }
        linked.retain(|_, places| places.len() > 1);
        let mut roots: Vec<usize> = (0..ids.len()).collect();
        for places in linked.values() {
            for pair in places.windows(2) {
                if let [one, other] = pair {
                    join(&mut roots, *one, *other);
                }
            }
        }
        let mut groups = Groups::default();
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        for (link, tenants) in &linked {
            let Some(root) = tenants.first().map(|place| root(&mut roots, *place)) else {
                continue;
            };
            let place = *places.entry(root).or_insert_with(|| {
                groups.groups.push(Group::default());
                groups.groups.len() - 1
            });
            let Some(group) = groups.groups.get_mut(place) else {
                continue;
            };
            let named = tenants.iter().filter_map(|place| ids.get(*place).copied());
            let named: Vec<&String> = named.collect();
            for tenant in &named {
                group.members.insert((*tenant).clone());
                groups.of.insert((*tenant).clone(), place);
            }
            if group.links.len() < MAX_TOLD {
                let told = named.iter().take(MAX_TOLD).map(|id| id.as_str());
                let told: Vec<&str> = told.collect();
                let more = match named.len().saturating_sub(MAX_TOLD) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                group
                    .links
                    .push(format!("{} links {}{more}", link.words(), told.join(", ")));
            }
        }
        groups
    }

    /// What a tenant may be linked by.
    fn links_of(&self, tenant: &str, at: Moment) -> BTreeSet<Link> {
        let mut links = BTreeSet::new();
        let record = self.tenants.get(tenant);
        let versions = record
            .into_iter()
            .flat_map(|record| record.versions.in_force(at));
        for (_, version) in versions {
            let customers = [&version.customer, &version.end_customer];
            let mut parties: BTreeSet<String> = BTreeSet::new();
            for party in customers.into_iter().chain([&version.ultimate_parent]) {
                if !party.is_empty() {
                    self.masters(party, at, &mut parties);
                }
            }
            links.extend(parties.into_iter().map(Link::Party));
            for party in customers {
                for stated in self.parties.in_force(party, at) {
                    links.extend(stated.addresses.iter().filter_map(|it| address(it)));
                    links.extend(stated.identifiers.iter().filter_map(identifier));
                }
            }
        }
        links
    }

    /// Adds a party and all who surely hold half of it or more, or control it, through others too.
    fn masters(&self, party: &str, at: Moment, found: &mut BTreeSet<String>) {
        let mut due = vec![party.to_owned()];
        let most = found.len() + MAX_OWNERS;
        while let Some(party) = due.pop() {
            if found.len() >= most || !found.insert(party.clone()) {
                continue;
            }
            let stakes = self.parties.stakes(&party, at).into_iter();
            let half = stakes.filter(|(_, stake)| stake.sure_bp >= HALF_BP);
            due.extend(half.map(|(owner, _)| owner));
            due.extend(self.parties.controllers(&party, at));
        }
    }
}

fn address(text: &str) -> Option<Link> {
    let words: Vec<String> = fold::pieces(text).into_iter().map(|it| it.text).collect();
    (words.len() >= ADDRESS_WORDS).then(|| Link::Address(words.join(" ")))
}

/// A number of a register, as it is compared; that a party is an officer is no such number.
fn identifier(stated: &v1::Identifier) -> Option<Link> {
    let scheme = stated.scheme.trim().to_lowercase();
    let value = stated.value.chars().filter(|c| c.is_alphanumeric());
    let value: String = value.flat_map(char::to_uppercase).collect();
    let counts = !value.is_empty() && !scheme.eq_ignore_ascii_case(OFFICER);
    counts.then(|| {
        Link::Identifier(
            format!("{scheme} {}", stated.country.trim())
                .trim()
                .to_owned(),
            value,
        )
    })
}

/// The place that stands for all that were joined with one.
fn root(roots: &mut [usize], mut place: usize) -> usize {
    while let Some(up) = roots.get(place).copied().filter(|up| *up != place) {
        let top = roots.get(up).copied().unwrap_or(up);
        if let Some(slot) = roots.get_mut(place) {
            *slot = top;
        }
        place = top;
    }
    place
}

fn join(roots: &mut [usize], one: usize, other: usize) {
    let (one, other) = (root(roots, one), root(roots, other));
    if let Some(slot) = roots.get_mut(one.max(other)) {
        *slot = one.min(other);
    }
}
