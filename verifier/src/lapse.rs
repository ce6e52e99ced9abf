//! Which approvals an application ends: officers approved a dossier, and it will be another one.
//!
//! Dossiers are made here as FORMAT.md section 10 says, of what stands and of what will; the judge makes them
//! of the log.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::v1::{self, EdgeKind};

use crate::import::{EdgeId, Standing};

/// Parties with who stands behind them.
type Behind<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Tenants of which an approval stands now and none will: they apply anew, or their dossiers change.
pub(crate) fn lapsing(
    before: &Standing,
    after: &Standing,
    applied: &BTreeSet<String>,
) -> Vec<String> {
    if before.approved.is_empty() {
        return Vec::new();
    }
    let (was, is) = (behind(before), behind(after));
    let ends = |tenant: &&String| {
        applied.contains(*tenant) || dossier(before, &was, tenant) != dossier(after, &is, tenant)
    };
    before.approved.iter().filter(ends).cloned().collect()
}

fn behind(stands: &Standing) -> Behind<'_> {
    let mut behind = Behind::new();
    for (from, to, kind) in stands.edges.keys() {
        let (of, who) = match EdgeKind::try_from(*kind).unwrap_or_default() {
            EdgeKind::Owns | EdgeKind::Controls => (to, from),
            EdgeKind::ActsFor | EdgeKind::AffiliatedUnitOf => (from, to),
            EdgeKind::ResellsTo | EdgeKind::Unspecified => continue,
        };
        behind.entry(of).or_default().insert(who);
    }
    behind
}

fn dossier(stands: &Standing, behind: &Behind<'_>, tenant: &str) -> Option<v1::Dossier> {
    let (tenant, _) = stands.tenants.get(tenant)?;
    let named = [
        &tenant.customer,
        &tenant.end_customer,
        &tenant.ultimate_parent,
    ];
    let named = named.into_iter().chain(&tenant.intermediaries);
    let mut due: Vec<&str> = named
        .map(String::as_str)
        .filter(|id| !id.is_empty())
        .collect();
    let mut members: BTreeSet<&str> = due.iter().copied().collect();
    while let Some(party) = due.pop() {
        for who in behind.get(party).into_iter().flatten() {
            if members.insert(who) {
                due.push(who);
            }
        }
    }
    let parties = members.iter().filter_map(|id| stands.parties.get(*id));
    let edges = members.iter().flat_map(|from| {
        let first: EdgeId = ((*from).to_owned(), String::new(), i32::MIN);
        let all = stands.edges.range(first..);
        all.take_while(move |((it, _, _), _)| it == from)
    });
    let edges = edges.filter(|((_, to, _), _)| members.contains(to.as_str()));
    Some(v1::Dossier {
        tenant: Some(tenant.clone()),
        parties: parties.cloned().collect(),
        edges: edges.map(|(_, edge)| edge.clone()).collect(),
    })
}

/// Says which approvals end by what is about to be signed, before it is.
pub(crate) fn words(lapsing: &[String]) -> Option<String> {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = lapsing.iter().take(SHOWN).map(String::as_str).collect();
    let more = match lapsing.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown = shown.join(", ");
    match lapsing.len() {
        0 => None,
        1 => Some(format!(
            "this ENDS the approval of tenant {shown}: its dossier changes or it applies anew, and two officers have to \
             approve it"
        )),
        count => Some(format!(
            "this ENDS the approvals of {count} tenants: {shown}{more}; their dossiers change or they apply anew, and \
             two officers have to approve them"
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_judge::{Judge, Parameters};
    use affiant_proto::v1::tenant_event::Body;

    use super::*;

    fn party(id: &str) -> v1::Party {
        v1::Party {
            id: id.into(),
            ..Default::default()
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

    fn stands() -> Standing {
        let mut stands = Standing::default();
        for id in ["acme", "owner", "whole", "reseller", "stranger"] {
            stands.parties.insert(id.into(), party(id));
        }
        for it in [
            edge("owner", "acme", EdgeKind::Owns),
            edge("owner", "whole", EdgeKind::AffiliatedUnitOf),
            edge("reseller", "acme", EdgeKind::ResellsTo),
            edge("stranger", "reseller", EdgeKind::Owns),
            edge("whole", "acme", EdgeKind::ResellsTo),
        ] {
            let id = (it.from.clone(), it.to.clone(), it.kind);
            stands.edges.insert(id, it);
        }
        let tenant = v1::Tenant {
            id: "t".into(),
            customer: "acme".into(),
            ..Default::default()
        };
        let approved = (tenant, "approved".to_owned());
        stands.tenants.insert("t".into(), approved);
        stands.approved.insert("t".into());
        stands
    }

    #[test]
    fn a_dossier_of_what_stands_is_the_one_that_the_judge_makes_of_the_log() {
        let stands = stands();
        let mut judge = Judge::new(Parameters::default());
        let parties = stands.parties.values().cloned().map(Body::Party);
        let edges = stands.edges.values().cloned().map(Body::Edge);
        let tenants = stands.tenants.values();
        let tenants = tenants.map(|(tenant, _)| Body::Tenant(tenant.clone()));
        for (index, body) in (1..).zip(parties.chain(edges).chain(tenants)) {
            let event = v1::TenantEvent {
                body: Some(body),
                ..Default::default()
            };
            judge.tenant_event(index, [1; 32], &event);
        }
        let made = dossier(&stands, &behind(&stands), "t").unwrap();
        assert_eq!(made.parties.len(), 3);
        assert_eq!(judge.registry().dossier("t"), Some(made));
    }

    #[test]
    fn what_is_said_of_an_owner_ends_an_approval_and_of_a_stranger_does_not() {
        let (before, none) = (stands(), BTreeSet::new());
        let after = |change: fn(&mut Standing)| {
            let mut after = stands();
            change(&mut after);
            lapsing(&before, &after, &none)
        };
        let moved = |stands: &mut Standing, id: &str| {
            stands.parties.get_mut(id).unwrap().headquarters = "CN".into();
        };
        assert_eq!(after(|_| ()), [""; 0]);
        assert_eq!(lapsing(&before, &stands(), &["t".into()].into()), ["t"]);
        let mut whole = stands();
        moved(&mut whole, "whole");
        assert_eq!(lapsing(&before, &whole, &none), ["t"]);
        let mut stranger = stands();
        moved(&mut stranger, "stranger");
        assert_eq!(lapsing(&before, &stranger, &none), [""; 0]);
        let joined = after(|stands| {
            let it = edge("stranger", "acme", EdgeKind::Controls);
            let id = (it.from.clone(), it.to.clone(), it.kind);
            stands.edges.insert(id, it);
        });
        assert_eq!(joined, ["t"]);
        let renamed =
            after(|stands| stands.tenants.get_mut("t").unwrap().0.declared_use = "x".into());
        assert_eq!(renamed, ["t"]);
    }

    #[test]
    fn an_approval_that_ends_is_told_loudly() {
        assert_eq!(words(&[]), None);
        let one = words(&["t".into()]).unwrap();
        assert!(one.starts_with("this ENDS the approval of tenant t:"));
        let many: Vec<String> = (0..12).map(|n| format!("t{n}")).collect();
        let many = words(&many).unwrap();
        assert!(many.contains("of 12 tenants: t0, ") && many.contains("t9 and 2 more;"));
    }
}
