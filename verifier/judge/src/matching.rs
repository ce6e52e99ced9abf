//! Matching: whose a workload is.
//!
//! A binding permits, so it works from its inclusion at the earliest. A withdrawal works from
//! inclusion too: figures that were reported stay attributed as they were.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::v1;

use crate::timeline::{Stamp, steady};

/// Selectors of a binding, the most telling first: it is filed under the first that it gives.
const SELECTORS: usize = 8;

/// Whose a workload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Bindings of this one tenant match.
    Tenant(String),
    /// No binding matches.
    None,
    /// Bindings of several tenants match: nobody's until an officer says whose.
    Ambiguous(BTreeSet<String>),
}

/// All bindings, filed by selector.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    versions: BTreeMap<String, Vec<(Stamp, v1::Binding, bool)>>,
    /// Log indices and officers of all versions.
    acts: BTreeMap<[u8; 32], BTreeMap<u64, String>>,
    /// Versions in doubt, and the log index from which they bind nothing more.
    doubted: BTreeMap<u64, u64>,
    filed: BTreeMap<(usize, String), BTreeSet<String>>,
    /// Bindings without any selector: they match everything.
    open: BTreeSet<String>,
    /// Instants at which an answer about the same knowledge may change.
    instants: BTreeSet<u64>,
    /// How often what is known has changed, and the log index of the newest change.
    revision: u64,
    newest: Option<u64>,
}

impl Bindings {
    /// Takes a binding, or its withdrawal, as it is from now on.
    pub(crate) fn event(&mut self, stamp: Stamp, officer: [u8; 32], event: &v1::BindingEvent) {
        let Some(binding) = &event.binding else {
            return;
        };
        self.learn(stamp.index);
        self.instants.insert(stamp.permits_from());
        self.instants.extend(binding.from_unix_ms);
        // At the last instant itself it still binds.
        let end = binding.to_unix_ms.map(|to| to.saturating_add(1));
        self.instants.extend(end);
        let acts = self.acts.entry(officer).or_default();
        acts.insert(stamp.index, binding.id.clone());
        let given = selectors(binding)
            .into_iter()
            .enumerate()
            .find(|(_, (_, value))| !value.is_empty());
        match given {
            Some((place, (_, value))) => {
                let file = self.filed.entry((place, value.to_owned())).or_default();
                file.insert(binding.id.clone());
            }
            None => {
                self.open.insert(binding.id.clone());
            }
        }
        let versions = self.versions.entry(binding.id.clone()).or_default();
        versions.push((stamp, binding.clone(), event.withdrawn));
    }

    /// Casts doubt on what an officer bound between two log indices: from `index`, the revocation
    /// of his key, it binds nothing more, and what was bound before it is bound again. A
    /// withdrawal stays. Gives what it touches, in words.
    pub(crate) fn doubt(
        &mut self,
        index: u64,
        officer: [u8; 32],
        (first, last): (u64, u64),
    ) -> Vec<String> {
        self.learn(index);
        let acts = self.acts.get(&officer).into_iter();
        let mut said = Vec::new();
        for (act, binding) in acts.flat_map(|acts| acts.range(first..=last)) {
            self.doubted.entry(*act).or_insert(index);
            said.push(format!(
                "binding {binding} at log index {act}; what it attributed stays in the figures"
            ));
        }
        said
    }

    /// How often what is known has changed.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The log index of the newest change; nothing that stands before it may rest on it.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// The span of instants around `instant`, end excluded, in which the same knowledge gives the
    /// same answer.
    pub(crate) fn steady(&self, instant: u64) -> (u64, u64) {
        steady(&self.instants, instant)
    }

    fn learn(&mut self, index: u64) {
        self.revision += 1;
        self.newest = self.newest.max(Some(index));
    }

    /// All bindings as last stated, by id, with whether they are withdrawn: a withdrawal names what it ends and
    /// selects nothing itself, so what it ended is shown.
    pub fn all(&self) -> impl Iterator<Item = (&v1::Binding, bool)> {
        self.versions.values().filter_map(|versions| {
            let (_, newest, withdrawn) = versions.last()?;
            let mut stated = versions.iter().rev();
            let stated = stated.find(|(_, _, withdrawn)| !withdrawn);
            Some((stated.map_or(newest, |(_, it, _)| it), *withdrawn))
        })
    }

    /// All that was said of the bindings of a tenant, binding by binding in the order of the log: what it said,
    /// whether it is a withdrawal, where it stands and by whom.
    pub(crate) fn said_of<'a>(
        &'a self,
        tenant: &'a str,
    ) -> impl Iterator<Item = (&'a v1::Binding, bool, Stamp, Option<[u8; 32]>)> {
        let versions = self.versions.values().flatten();
        let its = versions.filter(move |(_, binding, _)| binding.tenant == tenant);
        its.map(|(stamp, binding, withdrawn)| {
            let mut acts = self.acts.iter();
            let by = acts.find(|(_, acts)| acts.contains_key(&stamp.index));
            (binding, *withdrawn, *stamp, by.map(|(officer, _)| *officer))
        })
    }

    /// Says whose a workload on a host was in the record at log index `index` whose interval ends
    /// at `end_ms`, by the wall clock.
    ///
    /// A binding counts when it was logged before the record and works by the interval's last
    /// millisecond.
    pub fn find(&self, workload: &v1::Workload, host: &str, index: u64, end_ms: u64) -> Match {
        let instant_ms = end_ms.saturating_sub(1);
        let values = values(workload, host);
        let filed = values
            .into_iter()
            .enumerate()
            .filter(|(_, value)| !value.is_empty());
        let filed = filed.filter_map(|(place, value)| self.filed.get(&(place, value.to_owned())));
        let tenants: BTreeSet<String> = filed
            .flatten()
            .chain(&self.open)
            .filter_map(|id| self.in_force(id, index, instant_ms))
            .filter(|binding| matches(binding, &values))
            .map(|binding| binding.tenant.clone())
            .collect();
        let mut named = tenants.iter();
        match (named.next(), named.next()) {
            (None, _) => Match::None,
            (Some(tenant), None) => Match::Tenant(tenant.clone()),
            _ => Match::Ambiguous(tenants),
        }
    }

    fn in_force(&self, id: &str, index: u64, instant_ms: u64) -> Option<&v1::Binding> {
        let known = self.versions.get(id)?.iter().rev();
        let works = |stamp: &Stamp| stamp.index < index && stamp.permits_from() <= instant_ms;
        let doubted = |stamp: &Stamp| {
            let known = self.doubted.get(&stamp.index);
            known.is_some_and(|known| *known < index)
        };
        let (_, binding, withdrawn) = known
            .into_iter()
            .find(|(stamp, _, withdrawn)| works(stamp) && (*withdrawn || !doubted(stamp)))?;
        let begun = binding.from_unix_ms.is_none_or(|from| from <= instant_ms);
        let lasts = binding.to_unix_ms.is_none_or(|to| instant_ms <= to);
        (!withdrawn && begun && lasts).then_some(binding)
    }
}

/// The selectors of a binding with their names, the most telling first; empty where it does not give one.
pub fn selectors(binding: &v1::Binding) -> [(&'static str, &str); SELECTORS] {
    [
        ("slurm_account", &binding.slurm_account),
        ("service_account", &binding.service_account),
        ("namespace", &binding.namespace),
        ("unit", &binding.unit),
        ("user", &binding.user),
        ("image", &binding.image),
        ("host", &binding.host),
        ("cluster", &binding.cluster),
    ]
}

fn values<'a>(workload: &'a v1::Workload, host: &'a str) -> [&'a str; SELECTORS] {
    [
        &workload.slurm_account,
        &workload.service_account,
        &workload.namespace,
        &workload.unit,
        &workload.user,
        &workload.image,
        host,
        &workload.cluster,
    ]
}

fn matches(binding: &v1::Binding, values: &[&str; SELECTORS]) -> bool {
    selectors(binding)
        .iter()
        .zip(values)
        .all(|((_, due), value)| due.is_empty() || due == value)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn bind(bindings: &mut Bindings, index: u64, binding: v1::Binding, withdrawn: bool) {
        let stamp = Stamp {
            index,
            logged_ms: index * 10,
            effective_ms: 0,
        };
        let event = v1::BindingEvent {
            binding: Some(binding),
            withdrawn,
            ..Default::default()
        };
        bindings.event(stamp, [1; 32], &event);
    }

    fn binding(id: &str, tenant: &str, namespace: &str, host: &str) -> v1::Binding {
        v1::Binding {
            id: id.into(),
            tenant: tenant.into(),
            namespace: namespace.into(),
            host: host.into(),
            ..Default::default()
        }
    }

    fn pod(namespace: &str) -> v1::Workload {
        v1::Workload {
            namespace: namespace.into(),
            ..Default::default()
        }
    }

    #[test]
    fn every_given_selector_must_match_exactly() {
        let mut bindings = Bindings::default();
        bind(&mut bindings, 1, binding("b", "t", "lab", "h1"), false);
        let find = |namespace, host| bindings.find(&pod(namespace), host, 9, 90);
        assert_eq!(find("lab", "h1"), Match::Tenant("t".into()));
        assert_eq!(find("lab", "h2"), Match::None);
        assert_eq!(find("lab2", "h1"), Match::None);
        assert_eq!(find("", "h1"), Match::None);
    }

    #[test]
    fn a_binding_that_is_withdrawn_still_shows_what_it_selected() {
        let mut bindings = Bindings::default();
        bind(&mut bindings, 1, binding("b", "t", "lab", "h1"), false);
        bind(&mut bindings, 2, binding("b", "t", "", ""), true);
        bind(&mut bindings, 3, binding("c", "t", "", ""), true);
        let all: Vec<_> = bindings.all().collect();
        assert_eq!(all[0], (&binding("b", "t", "lab", "h1"), true));
        assert_eq!(all[1], (&binding("c", "t", "", ""), true), "never stated");
        assert_eq!(bindings.find(&pod("lab"), "h1", 9, 90), Match::None);
        bind(&mut bindings, 4, binding("b", "t", "lab-2", ""), false);
        let again = bindings.all().next();
        assert_eq!(again, Some((&binding("b", "t", "lab-2", ""), false)));
    }

    #[test]
    fn two_tenants_are_ambiguous_and_one_tenant_twice_is_not() {
        let mut bindings = Bindings::default();
        bind(&mut bindings, 1, binding("b1", "t", "lab", ""), false);
        bind(&mut bindings, 2, binding("b2", "t", "", "h1"), false);
        assert_eq!(
            bindings.find(&pod("lab"), "h1", 9, 90),
            Match::Tenant("t".into())
        );
        bind(&mut bindings, 3, binding("b3", "u", "", ""), false);
        let both = ["t".to_owned(), "u".to_owned()].into();
        assert_eq!(
            bindings.find(&pod("lab"), "h1", 9, 90),
            Match::Ambiguous(both)
        );
        assert_eq!(
            bindings.find(&pod("x"), "h2", 9, 90),
            Match::Tenant("u".into())
        );
    }

    #[test]
    fn a_binding_never_reaches_back_and_its_withdrawal_neither() {
        let mut bindings = Bindings::default();
        bind(&mut bindings, 2, binding("b", "t", "lab", ""), false);
        bind(&mut bindings, 5, binding("b", "t", "lab", ""), true);
        let find = |index, instant: u64| bindings.find(&pod("lab"), "h", index, instant + 1);
        assert_eq!(find(1, 30), Match::None, "logged after the use");
        assert_eq!(find(3, 19), Match::None, "claimed before it was logged");
        assert_eq!(find(3, 30), Match::Tenant("t".into()));
        assert_eq!(
            find(6, 49),
            Match::Tenant("t".into()),
            "used before the withdrawal"
        );
        assert_eq!(find(6, 50), Match::None);
    }

    #[test]
    fn a_binding_by_a_key_that_was_revoked_binds_no_more_from_the_revocation_on() {
        let mut bindings = Bindings::default();
        bind(&mut bindings, 1, binding("b", "t", "lab", ""), false);
        bind(&mut bindings, 4, binding("b", "thief", "lab", ""), false);
        let said = bindings.doubt(8, [1; 32], (3, 7));
        assert_eq!(said.len(), 1, "{said:?}");
        let find = |index| bindings.find(&pod("lab"), "h", index, 200);
        assert_eq!(find(6), Match::Tenant("thief".into()), "as known then");
        assert_eq!(find(9), Match::Tenant("t".into()));
    }

    #[test]
    fn a_binding_holds_between_its_own_dates_only() {
        let mut bindings = Bindings::default();
        let dated = v1::Binding {
            from_unix_ms: Some(40),
            to_unix_ms: Some(60),
            ..binding("b", "t", "lab", "")
        };
        bind(&mut bindings, 1, dated, false);
        let find = |instant: u64| bindings.find(&pod("lab"), "h", 9, instant + 1);
        assert_eq!([find(39), find(61)], [Match::None, Match::None]);
        assert_eq!(
            [find(40), find(60)],
            [Match::Tenant("t".into()), Match::Tenant("t".into())]
        );
    }

    #[test]
    fn a_binding_that_changes_its_selectors_is_found_by_the_new_ones() {
        let mut bindings = Bindings::default();
        bind(&mut bindings, 1, binding("b", "t", "old", ""), false);
        bind(&mut bindings, 2, binding("b", "t", "new", ""), false);
        assert_eq!(bindings.find(&pod("old"), "h", 9, 90), Match::None);
        assert_eq!(
            bindings.find(&pod("new"), "h", 9, 90),
            Match::Tenant("t".into())
        );
        assert_eq!(bindings.all().count(), 1);
    }
}
