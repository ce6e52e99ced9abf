//! A tenant as it stood at an instant, by what the log had said by then or has said since.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Registry, stands::shown};
use crate::{
    approval::{Change, Vetting},
    timeline::Moment,
};

/// How a tenant stood at an instant, by what was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The instant, milliseconds since 1970.
    pub at_unix_ms: u64,
    /// By what was logged until then; none for all of it.
    pub known_unix_ms: Option<u64>,
    /// Whether it might use devices then.
    pub permitted: bool,
    /// Its state, as `approved`, `expired` or `suspended`.
    pub state: &'static str,
    /// Classes that it might use; none when all or nothing.
    pub classes: Option<BTreeSet<String>>,
    /// The change of state that says so: who decided, when and why.
    pub change: Option<Change>,
    /// Whether somebody stood between it and an end customer whom nobody declared.
    pub undeclared: bool,
    /// Headquarters of every party of the chain and of all who stood behind them.
    pub headquarters: BTreeMap<String, BTreeSet<String>>,
    /// Parties whose headquarters nobody stated, and an ultimate parent that was unresolved.
    pub unknown: BTreeSet<String>,
}

impl Registry {
    /// A tenant at an instant, by what the log had said until `known_unix_ms`; by all that it says
    /// where that is none. It judges as a use would be judged that was logged as it happened.
    ///
    /// `None` when no event states the tenant.
    pub fn view(&self, tenant: &str, at_unix_ms: u64, known_unix_ms: Option<u64>) -> Option<View> {
        let record = self.tenants.get(tenant)?;
        let at = Moment {
            index: self.index_after(at_unix_ms),
            instant_ms: at_unix_ms,
            known_before: known_unix_ms.map_or(u64::MAX, |known| self.index_after(known)),
        };
        let standing = self.standing(tenant, at);
        let change = record.approval.governing(at).1.cloned();
        let state = shown((&standing.vetting, change.as_ref()));
        let (permitted, classes) = match standing.vetting {
            Vetting::Approved(terms) => (true, terms.classes),
            Vetting::Expired | Vetting::Not(_) => (false, None),
        };
        let spelled = |countries: BTreeSet<_>| {
            let countries = countries.into_iter();
            countries
                .map(|country: crate::Country| country.to_string())
                .collect()
        };
        let headquarters = standing.headquarters.into_iter();
        Some(View {
            at_unix_ms,
            known_unix_ms,
            permitted,
            state,
            classes,
            change,
            undeclared: standing
                .facts
                .is_some_and(|facts| facts.through_reseller && !facts.end_customer_declared),
            headquarters: headquarters
                .map(|(party, countries)| (party, spelled(countries)))
                .collect(),
            unknown: standing.unknown,
        })
    }

    /// The log index after the last that was learned by an instant: an event, or a revocation that
    /// cast doubt on some. The log's clock only advances.
    fn index_after(&self, unix_ms: u64) -> u64 {
        let by_then = self
            .learned
            .partition_point(|(_, logged_ms)| *logged_ms <= unix_ms);
        let last = by_then.checked_sub(1).and_then(|at| self.learned.get(at));
        last.map_or(0, |(index, _)| index + 1)
    }
}
