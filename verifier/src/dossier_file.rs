//! The TOML file from which officers apply: parties, edges, tenants and bindings.

use std::path::Path;

use affiant_proto::{Body, v1};
use serde::Deserialize;

use crate::wording::parse_time_ms;

/// Most bytes of the file: 1,000 statements of 4 KiB.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Why the file gives nothing to sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadFile {
    /// It cannot be read.
    #[error("{0}")]
    Io(String),
    /// It is not the TOML that is due.
    #[error("{0}")]
    Toml(String),
    /// An entry says something that cannot be.
    #[error("{entry}: {fault}")]
    Entry {
        /// Which entry.
        entry: String,
        /// What is wrong.
        fault: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// When all of it takes effect; now unless given.
    effective: Option<String>,
    #[serde(default)]
    party: Vec<Party>,
    #[serde(default)]
    edge: Vec<Edge>,
    #[serde(default)]
    tenant: Vec<Tenant>,
    #[serde(default)]
    binding: Vec<Binding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Party {
    id: String,
    #[serde(default = "organisation")]
    kind: String,
    names: Vec<String>,
    #[serde(default)]
    identifiers: Vec<Identifier>,
    incorporation: String,
    headquarters: String,
    #[serde(default)]
    addresses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identifier {
    scheme: String,
    value: String,
    #[serde(default)]
    country: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edge {
    from: String,
    to: String,
    kind: String,
    share_min_percent: Option<f64>,
    share_max_percent: Option<f64>,
    since: Option<String>,
    until: Option<String>,
    #[serde(default)]
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    id: String,
    customer: String,
    #[serde(default)]
    intermediaries: Vec<String>,
    #[serde(default)]
    end_customer: String,
    #[serde(default)]
    ultimate_parent: String,
    #[serde(default)]
    declared_use: String,
    training_declared: Option<bool>,
    conditions: Option<Conditions>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Conditions {
    valid_from: Option<String>,
    valid_to: Option<String>,
    device_classes: Vec<String>,
    #[serde(default)]
    sites: Vec<String>,
    max_gpus: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Binding {
    id: String,
    tenant: String,
    cluster: String,
    namespace: String,
    service_account: String,
    slurm_account: String,
    unit: String,
    user: String,
    image: String,
    host: String,
    from: Option<String>,
    to: Option<String>,
}

fn organisation() -> String {
    "organisation".into()
}

/// Reads the file into statements to sign, parties first.
pub fn read(path: &Path, now_ms: u64) -> Result<Vec<Body>, BadFile> {
    let io = |error: std::io::Error| BadFile::Io(format!("{}: {error}", path.display()));
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > MAX_BYTES {
        return Err(BadFile::Io(format!(
            "{}: longer than 4 MiB; split it",
            path.display()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(io)?;
    parse(&text, now_ms).map_err(|error| match error {
        BadFile::Toml(fault) => BadFile::Toml(format!("{}: {fault}", path.display())),
        other => other,
    })
}

fn parse(text: &str, now_ms: u64) -> Result<Vec<Body>, BadFile> {
    let file: File = toml::from_str(text).map_err(|e| BadFile::Toml(e.to_string()))?;
    let effective = time("effective", file.effective.as_deref())?.unwrap_or(now_ms);
    let event = |body| v1::TenantEvent {
        header: None,
        effective_unix_ms: effective,
        body: Some(body),
    };
    let mut bodies: Vec<Body> = Vec::new();
    for entry in file.party {
        bodies.push(event(v1::tenant_event::Body::Party(party(entry)?)).into());
    }
    for entry in file.edge {
        bodies.push(event(v1::tenant_event::Body::Edge(edge(entry)?)).into());
    }
    for entry in file.tenant {
        let applied = v1::TenantStateChange {
            tenant: entry.id.clone(),
            state: v1::TenantState::Applied.into(),
            reason: String::new(),
        };
        bodies.push(event(v1::tenant_event::Body::Tenant(tenant(entry)?)).into());
        bodies.push(event(v1::tenant_event::Body::State(applied)).into());
    }
    for entry in file.binding {
        let binding = binding(entry)?;
        bodies.push(
            v1::BindingEvent {
                header: None,
                effective_unix_ms: effective,
                binding: Some(binding),
                withdrawn: false,
            }
            .into(),
        );
    }
    if bodies.is_empty() {
        return Err(BadFile::Toml(
            "holds no [[party]], [[edge]], [[tenant]] or [[binding]]".into(),
        ));
    }
    Ok(bodies)
}

fn party(entry: Party) -> Result<v1::Party, BadFile> {
    let place = format!("party `{}`", entry.id);
    let kind = match entry.kind.as_str() {
        "organisation" => v1::PartyKind::Organisation,
        "person" => v1::PartyKind::Person,
        "government" => v1::PartyKind::Government,
        "unknown" => v1::PartyKind::Unknown,
        other => {
            return wrong(
                &place,
                format!("kind `{other}` is none of organisation, person, government, unknown"),
            );
        }
    };
    id(&place, &entry.id)?;
    if entry.names.is_empty() {
        return wrong(&place, "has no name".into());
    }
    for (what, code) in [
        ("incorporation", &entry.incorporation),
        ("headquarters", &entry.headquarters),
    ] {
        let country = code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
        if !country && code != "unknown" {
            return wrong(
                &place,
                format!("{what} `{code}` is neither an ISO 3166-1 code such as DE nor `unknown`"),
            );
        }
    }
    let name = |text: String| v1::PartyName {
        script: script(&text).into(),
        text,
        language: String::new(),
    };
    Ok(v1::Party {
        id: entry.id,
        kind: kind.into(),
        names: entry.names.into_iter().map(name).collect(),
        identifiers: entry
            .identifiers
            .into_iter()
            .map(|i| v1::Identifier {
                scheme: i.scheme,
                value: i.value,
                country: i.country,
            })
            .collect(),
        incorporation: entry.incorporation,
        headquarters: entry.headquarters,
        addresses: entry.addresses,
        evidence: Vec::new(),
    })
}

fn edge(entry: Edge) -> Result<v1::Edge, BadFile> {
    let place = format!("edge from `{}` to `{}`", entry.from, entry.to);
    let kind = match entry.kind.as_str() {
        "owns" => v1::EdgeKind::Owns,
        "controls" => v1::EdgeKind::Controls,
        "resells_to" => v1::EdgeKind::ResellsTo,
        "acts_for" => v1::EdgeKind::ActsFor,
        "affiliated_unit_of" => v1::EdgeKind::AffiliatedUnitOf,
        other => {
            return wrong(
                &place,
                format!(
                    "kind `{other}` is none of owns, controls, resells_to, acts_for, affiliated_unit_of"
                ),
            );
        }
    };
    let share = |percent: Option<f64>| match percent {
        None => Ok(None),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(p) if (0.0..=100.0).contains(&p) => Ok(Some((p * 100.0).round() as u32)),
        Some(p) => wrong(&place, format!("share {p} is not from 0 to 100 percent")),
    };
    Ok(v1::Edge {
        kind: kind.into(),
        share_min_bp: share(entry.share_min_percent)?,
        share_max_bp: share(entry.share_max_percent)?,
        since_unix_ms: time(&place, entry.since.as_deref())?,
        until_unix_ms: time(&place, entry.until.as_deref())?,
        from: entry.from,
        to: entry.to,
        source: entry.source,
    })
}

fn tenant(entry: Tenant) -> Result<v1::Tenant, BadFile> {
    let place = format!("tenant `{}`", entry.id);
    id(&place, &entry.id)?;
    let conditions = match entry.conditions {
        None => None,
        Some(c) => Some(v1::Conditions {
            valid_from_unix_ms: time(&place, c.valid_from.as_deref())?,
            valid_to_unix_ms: time(&place, c.valid_to.as_deref())?,
            device_classes: c.device_classes,
            sites: c.sites,
            max_gpus: c.max_gpus,
        }),
    };
    Ok(v1::Tenant {
        id: entry.id,
        customer: entry.customer,
        intermediaries: entry.intermediaries,
        end_customer: entry.end_customer,
        ultimate_parent: entry.ultimate_parent,
        declared_use: entry.declared_use,
        training_declared: entry.training_declared,
        conditions,
    })
}

fn binding(entry: Binding) -> Result<v1::Binding, BadFile> {
    let place = format!("binding `{}`", entry.id);
    id(&place, &entry.id)?;
    id(&place, &entry.tenant)?;
    let selectors = [
        &entry.cluster,
        &entry.namespace,
        &entry.service_account,
        &entry.slurm_account,
        &entry.unit,
        &entry.user,
        &entry.image,
        &entry.host,
    ];
    if selectors.iter().all(|s| s.is_empty()) {
        return wrong(
            &place,
            "has no selector and would match every workload".into(),
        );
    }
    Ok(v1::Binding {
        from_unix_ms: time(&place, entry.from.as_deref())?,
        to_unix_ms: time(&place, entry.to.as_deref())?,
        id: entry.id,
        tenant: entry.tenant,
        cluster: entry.cluster,
        namespace: entry.namespace,
        service_account: entry.service_account,
        slurm_account: entry.slurm_account,
        unit: entry.unit,
        user: entry.user,
        image: entry.image,
        host: entry.host,
    })
}

fn id(place: &str, id: &str) -> Result<(), BadFile> {
    let good = (1..=64).contains(&id.len())
        && id.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_')
        });
    if good {
        Ok(())
    } else {
        wrong(
            place,
            format!("id `{id}` is not 1 to 64 of a-z, 0-9, `-`, `.`, `_`"),
        )
    }
}

fn time(place: &str, text: Option<&str>) -> Result<Option<u64>, BadFile> {
    let read = text.map(parse_time_ms).transpose();
    read.map_err(|fault| BadFile::Entry {
        entry: place.to_owned(),
        fault,
    })
}

fn wrong<T>(place: &str, fault: String) -> Result<T, BadFile> {
    Err(BadFile::Entry {
        entry: place.to_owned(),
        fault,
    })
}

/// ISO 15924 of the scripts that matter for matching; empty where mixed or other.
fn script(text: &str) -> &'static str {
    let han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    if text.chars().any(han) {
        "Hani"
    } else if text
        .chars()
        .all(|c| c.is_ascii() || c.is_alphabetic() && c < '\u{250}')
    {
        "Latn"
    } else {
        ""
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[party]]
        id = "acme"
        names = ["Acme GmbH"]
        incorporation = "DE"
        headquarters = "DE"
        [[tenant]]
        id = "acme"
        customer = "acme"
        [[binding]]
        id = "acme-ns"
        tenant = "acme"
        namespace = "acme"
    "#;

    #[test]
    fn parties_tenants_and_bindings_become_statements_in_this_order() {
        let bodies = parse(GOOD, 5).unwrap();
        assert!(
            matches!(&bodies[0], Body::TenantEvent(e) if matches!(e.body, Some(v1::tenant_event::Body::Party(_))))
        );
        assert!(matches!(&bodies[3], Body::BindingEvent(e) if e.effective_unix_ms == 5));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_entry() {
        for (from, to, told) in [
            ("namespace = \"acme\"", "", "has no selector"),
            (
                "headquarters = \"DE\"",
                "headquarters = \"Germany\"",
                "party `acme`",
            ),
            (
                "customer = \"acme\"",
                "customer = \"acme\"\nboss = 1",
                "boss",
            ),
            ("id = \"acme-ns\"", "id = \"Acme!\"", "binding `Acme!`"),
        ] {
            let error = parse(&GOOD.replace(from, to), 5).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
