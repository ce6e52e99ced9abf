//! What the registry's listings say, a line each.

use std::collections::BTreeMap;

use affiant_judge::{
    Bindings, Judge, Registry,
    registry::{stands::Stands, view::View},
    retention::Holds,
};
use affiant_proto::{
    Digest, KeyId, PublicKey,
    authority::{Authorities, certifier_id},
    v1::KeyUse,
};
use serde::Serialize;

use crate::{entries::Edge, told};

/// One line of `officer list`.
#[derive(Serialize)]
pub struct OfficerLine {
    name: String,
    key: String,
    /// None for one who never signed.
    chain: Option<String>,
    statements: u64,
    state: &'static str,
}

/// One line of `tenant list`.
#[derive(Serialize)]
pub struct TenantLine {
    id: String,
    /// As of now.
    state: String,
    /// What it will be if nothing else is logged, in words.
    to_come: Option<String>,
    stands: Stands,
    customer: String,
    intermediaries: Vec<String>,
    end_customer: String,
    ultimate_parent: String,
}

/// One line of `party list`.
#[derive(Serialize)]
pub struct PartyLine {
    id: String,
    name: String,
    incorporation: String,
    headquarters: String,
    other_names: Vec<String>,
}

/// One line of `binding list`.
#[derive(Serialize)]
pub struct BindingLine {
    id: String,
    tenant: String,
    selects: String,
    withdrawn: bool,
}

/// One line of `hold list`.
#[derive(Serialize)]
pub struct HoldLine {
    first_index: u64,
    last_index: u64,
    /// Chain of the officer, or of the operator, who placed it.
    chain: String,
}

/// How a tenant stood at an instant.
#[derive(Serialize)]
pub struct Views {
    tenant: String,
    /// Whether the instant is later than the log's time: what is known then is not known yet.
    in_the_future: bool,
    /// By what was logged until that instant.
    as_known_then: View,
    /// By what was logged until another time, or until now.
    as_known_later: View,
    /// Names of the officers who decided, by chain.
    officers: BTreeMap<String, String>,
}

/// How a tenant stood at an instant, as known then and as known at another time or now; none when
/// nobody stated it. `now` is that of who asks: the log's own time stands still while nothing is logged.
pub fn views(judge: &Judge, tenant: &str, at: u64, known: Option<u64>, now: u64) -> Option<Views> {
    let as_known_then = judge.registry().view(tenant, at, Some(at))?;
    let as_known_later = judge.registry().view(tenant, at, known)?;
    let changes = [&as_known_then, &as_known_later];
    let changes = changes.into_iter().filter_map(|view| view.change.as_ref());
    let named = |chain: &String| Some((chain.clone(), judge.officer_name(chain)?));
    let officers = changes.flat_map(|change| &change.officers);
    let officers = officers.filter_map(named).collect();
    Some(Views {
        tenant: tenant.to_owned(),
        in_the_future: at > judge.now_unix_ms().max(now),
        as_known_then,
        as_known_later,
        officers,
    })
}

/// The holds that stand.
pub fn holds(holds: &Holds) -> Vec<HoldLine> {
    let line = |(chain, first, last): &([u8; 32], u64, u64)| HoldLine {
        first_index: *first,
        last_index: *last,
        chain: Digest::new(*chain).to_string(),
    };
    holds.iter().map(line).collect()
}

/// The officers: those whose chains are open, and those of the genesis who never signed.
pub fn officers(authorities: &Authorities, judge: &Judge) -> Vec<OfficerLine> {
    let state = |key: &KeyId| {
        let trusted = authorities.revocations().trusts(KeyUse::Officer, key);
        trusted.map_or("revoked", |()| "in force")
    };
    let opened = authorities.officers().map(|open| {
        let chain = open.chain().to_string();
        OfficerLine {
            name: judge.officer_name(&chain).unwrap_or_default(),
            key: open.key().id().to_string(),
            chain: Some(chain),
            statements: open.sequence() + 1,
            state: state(&open.key().id()),
        }
    });
    let has_signed = |key: &PublicKey| {
        let mut opened = authorities.officers();
        opened.any(|open| authorities.opened_by(&open.chain()) == Some(key))
    };
    let first = authorities.body().officers.iter().filter_map(|first| {
        let key = PublicKey::ed25519(&first.key).ok()?;
        (!has_signed(&key)).then(|| OfficerLine {
            name: first.name.clone(),
            key: key.id().to_string(),
            chain: None,
            statements: 0,
            state: state(&key.id()),
        })
    });
    opened.chain(first).collect()
}

/// One line of `key list`.
#[derive(Serialize)]
pub struct KeyLine {
    r#use: &'static str,
    key: String,
    whose: String,
    state: String,
    from_index: Option<u64>,
    reason: String,
}

/// The keys in force, and those that were revoked.
pub fn keys(authorities: &Authorities, judge: &Judge) -> Vec<KeyLine> {
    let in_force = |used, key: String, whose: String| KeyLine {
        r#use: used,
        key,
        whose,
        state: "in force".into(),
        from_index: None,
        reason: String::new(),
    };
    let generation = authorities.lineage().current();
    let mut lines = vec![
        in_force(
            "operator",
            authorities.operator().key().id().to_string(),
            authorities.body().operator.clone(),
        ),
        in_force(
            "log",
            generation.key().public_key().id().to_string(),
            generation.origin().to_string(),
        ),
    ];
    let issuers = authorities.certifiers();
    for (number, issuer) in (1..).zip(issuers) {
        let id = certifier_id(*issuer);
        if authorities.revocations().trusts(KeyUse::Ca, &id).is_err() {
            continue;
        }
        let mut line = in_force("ca", id.to_string(), String::new());
        if number < issuers.len() {
            line.state = "counts still".into();
        }
        lines.push(line);
    }
    for officer in officers(authorities, judge) {
        lines.push(in_force("officer", officer.key, officer.name.clone()));
        let chain = officer.chain.and_then(|chain| chain.parse().ok());
        for former in chain.map_or(&[][..], |chain| authorities.former_keys(&chain)) {
            let mut line = in_force("officer", former.to_string(), officer.name.clone());
            line.state = "given up".into();
            lines.push(line);
        }
    }
    // An officer's chain may stand under a key that is revoked.
    for (used, key, revoked) in authorities.revocations().iter() {
        let key = key.to_string();
        let used = match used {
            KeyUse::Record => "record",
            KeyUse::Officer => "officer",
            KeyUse::Tls => "tls",
            KeyUse::Ca => "ca",
            KeyUse::Unspecified => "",
        };
        let mut whose = String::new();
        lines.retain(|line| {
            let same = line.key == key && line.r#use == used;
            if same {
                whose.clone_from(&line.whose);
            }
            !same
        });
        lines.push(KeyLine {
            r#use: used,
            key,
            whose,
            state: "revoked".into(),
            from_index: Some(revoked.from()),
            reason: revoked.reason().to_owned(),
        });
    }
    lines
}

/// The tenants, by id, as they stand at an instant, or at the log's own time where that is later.
pub fn tenants(judge: &Judge, now_unix_ms: u64) -> Vec<TenantLine> {
    let registry = judge.registry();
    let now = judge.now_unix_ms().max(now_unix_ms);
    let line = |tenant: &affiant_proto::v1::Tenant| {
        let stands = registry.stands(&tenant.id, now);
        let to_come: Vec<String> = told::to_come(&stands).collect();
        TenantLine {
            id: tenant.id.clone(),
            state: stands.state.clone(),
            to_come: (!to_come.is_empty()).then(|| to_come.join(", ")),
            stands,
            customer: tenant.customer.clone(),
            intermediaries: tenant.intermediaries.clone(),
            end_customer: or(&tenant.end_customer, "undeclared"),
            ultimate_parent: or(&tenant.ultimate_parent, "unresolved"),
        }
    };
    registry.tenants().map(line).collect()
}

/// One line of the edges.
#[derive(Serialize)]
pub struct EdgeLine {
    #[serde(flatten)]
    edge: Edge,
    /// Whether it has an end that was reached.
    ended: bool,
}

/// The edges among parties, by from, to and kind, at an instant.
pub fn edges(judge: &Judge, now_unix_ms: u64) -> Vec<EdgeLine> {
    let now = judge.now_unix_ms().max(now_unix_ms);
    let line = |edge: &affiant_proto::v1::Edge| EdgeLine {
        edge: Edge::of(edge),
        ended: edge.until_unix_ms.is_some_and(|until| until <= now),
    };
    judge.registry().parties().edges().map(line).collect()
}

/// The parties, by id.
pub fn parties(registry: &Registry) -> Vec<PartyLine> {
    let line = |party: &affiant_proto::v1::Party| {
        let mut names = party.names.iter().map(|name| name.text.clone());
        PartyLine {
            id: party.id.clone(),
            name: names.next().unwrap_or_default(),
            incorporation: party.incorporation.clone(),
            headquarters: party.headquarters.clone(),
            other_names: names.collect(),
        }
    };
    registry.parties().all().map(line).collect()
}

/// The bindings, by id.
pub fn bindings(bindings: &Bindings) -> Vec<BindingLine> {
    let line = |(binding, withdrawn): (&affiant_proto::v1::Binding, bool)| {
        let selectors = [
            ("cluster", &binding.cluster),
            ("namespace", &binding.namespace),
            ("service-account", &binding.service_account),
            ("slurm-account", &binding.slurm_account),
            ("unit", &binding.unit),
            ("user", &binding.user),
            ("image", &binding.image),
            ("host", &binding.host),
        ];
        let given = selectors.iter().filter(|(_, value)| !value.is_empty());
        BindingLine {
            id: binding.id.clone(),
            tenant: binding.tenant.clone(),
            selects: given
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
                .join(" "),
            withdrawn,
        }
    };
    bindings.all().map(line).collect()
}

fn or(text: &str, none: &str) -> String {
    if text.is_empty() {
        none.to_owned()
    } else {
        text.to_owned()
    }
}
