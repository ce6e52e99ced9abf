//! What officers point at and nobody stated: the log may have it, an export says so, and an officer who does
//! it is warned.

use std::{collections::BTreeSet, fmt};

use affiant_proto::v1;
use serde::{Deserialize, Serialize};

/// What something points at and nobody stated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unstated {
    Party(String),
    Tenant(String),
}

impl fmt::Display for Unstated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Party(id) => write!(f, "party `{id}`"),
            Self::Tenant(id) => write!(f, "tenant `{id}`"),
        }
    }
}

/// The parties that edges and tenants point at, and the tenants that bindings do.
pub(crate) fn pointed_at<'a>(
    edges: impl Iterator<Item = &'a v1::Edge>,
    tenants: impl Iterator<Item = &'a v1::Tenant>,
    bindings: impl Iterator<Item = &'a v1::Binding>,
) -> BTreeSet<Unstated> {
    let ends = edges.flat_map(|edge| [&edge.from, &edge.to]);
    let named = tenants.flat_map(|tenant| {
        let three = [
            &tenant.customer,
            &tenant.end_customer,
            &tenant.ultimate_parent,
        ];
        three.into_iter().chain(&tenant.intermediaries)
    });
    let parties = ends.chain(named).filter(|id| !id.is_empty()).cloned();
    let tenants = bindings.map(|binding| binding.tenant.clone());
    parties
        .map(Unstated::Party)
        .chain(tenants.map(Unstated::Tenant))
        .collect()
}
