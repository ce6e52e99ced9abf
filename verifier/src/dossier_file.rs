//! The TOML file from which officers apply: parties, edges, tenants and bindings.

use std::path::Path;

use affiant_proto::{Body, v1};
use affiant_report::plain_file::NotRead;
use serde::Deserialize;

use crate::{
    entries::{Binding, Edge, Fault, Party, Tenant},
    keyfile::{self, KeyFileError},
    wording::parse_time_ms,
};

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
    /// Entries say something that cannot be, a line each.
    #[error("{}; nothing was signed", .0.join("\n"))]
    Entries(Vec<String>),
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

/// Reads the file into statements to sign, parties first.
pub fn read(path: &Path, now_ms: u64) -> Result<Vec<Body>, BadFile> {
    let text = keyfile::read_bounded_text(path, MAX_BYTES).map_err(|error| match error {
        KeyFileError::Unfit(NotRead::Long { .. }) => {
            BadFile::Io(format!("{error}; split it, or use `tenant import`"))
        }
        _ => BadFile::Io(error.to_string()),
    })?;
    parse(&text, now_ms).map_err(|error| match error {
        BadFile::Toml(fault) => BadFile::Toml(format!("{}: {fault}", path.display())),
        other => other,
    })
}

fn parse(text: &str, now_ms: u64) -> Result<Vec<Body>, BadFile> {
    let file: File = toml::from_str(text).map_err(|e| BadFile::Toml(e.to_string()))?;
    let effective = file.effective.as_deref().map(parse_time_ms).transpose();
    let effective = effective.map_err(|fault| BadFile::Toml(format!("effective: {fault}")))?;
    let effective = effective.unwrap_or(now_ms);
    let mut wrong = Vec::new();
    let mut bodies: Vec<Body> = Vec::new();
    for entry in file.party {
        let place = format!("party `{}`", entry.id);
        bodies.push(party(effective, told(place, &mut wrong, |f| entry.read(f))));
    }
    for entry in file.edge {
        let place = format!("edge from `{}` to `{}`", entry.from, entry.to);
        bodies.push(edge(effective, told(place, &mut wrong, |f| entry.read(f))));
    }
    for entry in file.tenant {
        let place = format!("tenant `{}`", entry.id);
        bodies.extend(tenant(
            effective,
            told(place, &mut wrong, |f| entry.read(f)),
        ));
    }
    for entry in file.binding {
        let place = format!("binding `{}`", entry.id);
        bodies.push(binding(
            effective,
            told(place, &mut wrong, |f| entry.read(f)),
        ));
    }
    if !wrong.is_empty() {
        return Err(BadFile::Entries(wrong));
    }
    if bodies.is_empty() {
        return Err(BadFile::Toml(
            "holds no [[party]], [[edge]], [[tenant]] or [[binding]]".into(),
        ));
    }
    Ok(bodies)
}

/// Reads one entry and says of its faults where they are.
fn told<T>(place: String, wrong: &mut Vec<String>, read: impl FnOnce(&mut Vec<Fault>) -> T) -> T {
    let mut faults = Vec::new();
    let entry = read(&mut faults);
    let said = faults
        .iter()
        .map(|fault| format!("{place}, {}: {}", fault.field, fault.text));
    wrong.extend(said);
    entry
}

/// The statement of a party.
pub(crate) fn party(effective_unix_ms: u64, party: v1::Party) -> Body {
    event(effective_unix_ms, v1::tenant_event::Body::Party(party))
}

/// The statement of an edge.
pub(crate) fn edge(effective_unix_ms: u64, edge: v1::Edge) -> Body {
    event(effective_unix_ms, v1::tenant_event::Body::Edge(edge))
}

/// The statements by which a tenant applies.
pub(crate) fn tenant(effective_unix_ms: u64, tenant: v1::Tenant) -> [Body; 2] {
    let applied = v1::TenantStateChange {
        tenant: tenant.id.clone(),
        state: v1::TenantState::Applied.into(),
        reason: String::new(),
    };
    [
        event(effective_unix_ms, v1::tenant_event::Body::Tenant(tenant)),
        event(effective_unix_ms, v1::tenant_event::Body::State(applied)),
    ]
}

/// The statement of a binding.
pub(crate) fn binding(effective_unix_ms: u64, binding: v1::Binding) -> Body {
    v1::BindingEvent {
        header: None,
        effective_unix_ms,
        binding: Some(binding),
        withdrawn: false,
    }
    .into()
}

fn event(effective_unix_ms: u64, body: v1::tenant_event::Body) -> Body {
    v1::TenantEvent {
        header: None,
        effective_unix_ms,
        body: Some(body),
    }
    .into()
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
