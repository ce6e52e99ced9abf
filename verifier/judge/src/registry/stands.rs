//! How a tenant stands now, what is to come of itself, and who has signed towards an approval.
//!
//! What restricts may be said to work from a day to come. Until then the tenant is what it was.

use serde::{Deserialize, Serialize};

use super::Registry;
use crate::{
    approval::{Change, Vetting, hex},
    timeline::Moment,
};

/// How a tenant stands at an instant, by all that the log says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stands {
    /// Its state, as `approved`, `expired` or `suspended`; `draft` where nobody decided anything.
    pub state: String,
    /// Since when, milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
    /// What it will be if nothing else is logged, the next first.
    pub to_come: Vec<ToCome>,
    /// `rejected` or `closed`, where it has to apply anew before anybody can approve it.
    pub barred: Option<String>,
    /// Whether an approval stands that ends when the dossier changes.
    pub rests_on_dossier: bool,
    /// Who signed towards an approval of the dossier as it is, while it takes more.
    pub signed: Vec<Waiting>,
}

/// A state that is to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToCome {
    /// From when, milliseconds since 1970.
    pub from_unix_ms: u64,
    /// The state.
    pub state: String,
}

/// An officer's decision that waits for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The digest that opened his chain, in hexadecimal.
    pub officer: String,
    /// Log index of what he said.
    pub index: u64,
}

/// The state that a vetting shows, and the change that makes it so.
pub(crate) fn shown((vetting, change): (&Vetting, Option<&Change>)) -> &'static str {
    match vetting {
        Vetting::Approved(_) => change.map_or("approved", |change| change.state),
        Vetting::Expired => "expired",
        Vetting::Not(state) => state,
    }
}

impl Registry {
    /// How a tenant stands at an instant, by all that the log says.
    pub fn stands(&self, tenant: &str, instant_ms: u64) -> Stands {
        let mut stands = Stands {
            state: "draft".to_owned(),
            ..Stands::default()
        };
        let Some(record) = self.tenants.get(tenant) else {
            return stands;
        };
        let state = |instant_ms: u64| {
            let at = Moment::as_known_now(u64::MAX, instant_ms);
            let (vetting, change) = record.governing(at);
            (shown((&vetting, change)), change)
        };
        let (now, change) = state(instant_ms);
        stands.state = now.to_owned();
        let ended = change.and_then(|change| change.terms.as_ref()?.valid_to_unix_ms);
        stands.since_unix_ms = match now {
            // An approval that ran out is so since its end.
            "expired" => ended.or(change.map(|change| change.from_unix_ms)),
            _ => change.map(|change| change.from_unix_ms),
        };
        let mut last = now;
        for from_unix_ms in self.turns(tenant, instant_ms) {
            let (then, _) = state(from_unix_ms);
            if then != last {
                stands.to_come.push(ToCome {
                    from_unix_ms,
                    state: then.to_owned(),
                });
            }
            last = then;
        }
        stands.barred = record.approval.barred().map(str::to_owned);
        stands.rests_on_dossier = record.approval.watched(instant_ms).is_some();
        // Of few tenants: a dossier is made for none of the others.
        let pending = record.approval.is_pending();
        let dossier = pending.then(|| self.dossier_digest(tenant)).flatten();
        let dossier = dossier.into_iter();
        let waiting = dossier.flat_map(|dossier| record.approval.waiting(dossier));
        stands.signed = waiting
            .map(|(officer, index)| Waiting {
                officer: hex(&officer),
                index,
            })
            .collect();
        stands
    }

    /// Instants after `instant_ms` at which a tenant's state may turn without another word.
    fn turns(&self, tenant: &str, instant_ms: u64) -> std::collections::BTreeSet<u64> {
        let changes = self.changes(tenant).iter();
        let turns = changes.flat_map(|change| {
            let terms = change.terms.as_ref();
            let end = terms.and_then(|terms| terms.valid_to_unix_ms);
            [
                Some(change.from_unix_ms),
                terms.and_then(|terms| terms.valid_from_unix_ms),
                // At the last instant itself it is still approved.
                end.map(|end| end.saturating_add(1)),
            ]
        });
        turns.flatten().filter(|turn| *turn > instant_ms).collect()
    }
}
