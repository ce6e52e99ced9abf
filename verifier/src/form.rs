//! What a new statement of an officer may say: one place for each check.
//!
//! The desk holds what it reads against this before it signs, and the server what is handed in before it is
//! logged. What the log has already is never held against it: there it stays what it is.

use std::fmt;

use affiant_judge::{Class, countries, matching::selectors};
use affiant_proto::{
    Body,
    v1::{self, tenant_event},
};
use affiant_report::hidden::is_hidden;

/// Most bytes of a reason: a paragraph. What is longer belongs into a file of one's own.
const MAX_REASON: usize = 1_000;

/// What an entry says that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The field.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.text)
    }
}

/// Faults of one entry, as they are found.
pub(crate) type Faults = Vec<Fault>;

/// Adds a fault.
pub(crate) fn wrong(field: impl Into<String>, text: impl Into<String>, faults: &mut Faults) {
    faults.push(Fault {
        field: field.into(),
        text: text.into(),
    });
}

/// Says what of a statement cannot be.
pub(crate) fn body(body: &Body) -> Faults {
    let mut faults = Faults::new();
    match body {
        Body::TenantEvent(event) => match &event.body {
            Some(tenant_event::Body::Party(it)) => party(it, &mut faults),
            Some(tenant_event::Body::Edge(it)) => edge(it, &mut faults),
            Some(tenant_event::Body::Tenant(it)) => tenant(it, &mut faults),
            Some(tenant_event::Body::State(change)) => changed(change, &mut faults),
            None => {}
        },
        // A withdrawal names the binding and nothing that it selects.
        Body::BindingEvent(event) if event.withdrawn => {}
        Body::BindingEvent(event) => {
            let it = event.binding.iter();
            it.for_each(|it| binding(it, &mut faults));
        }
        Body::Decision(decision) => decided(decision, &mut faults),
        Body::Hold(hold) => reason(&hold.reason, &mut faults),
        Body::Revocation(revocation) => given_reason(&revocation.reason, &mut faults),
        Body::Officer(officer) => named("name", &officer.name, &mut faults),
        Body::ListImport(import) => {
            named("list", &import.list, &mut faults);
            named("version", &import.version, &mut faults);
        }
        Body::InventoryDeclaration(declaration) => declared(declaration, &mut faults),
        Body::Objection(objection) => objects(objection, &mut faults),
        _ => {}
    }
    faults
}

/// Holds a party against its form.
pub(crate) fn party(party: &v1::Party, faults: &mut Faults) {
    id("id", &party.id, faults);
    if party.names.is_empty() {
        wrong("names", "there is none", faults);
    }
    for (place, name) in party.names.iter().enumerate() {
        named(format!("names[{place}]"), &name.text, faults);
        plain(format!("names[{place}].script"), &name.script, faults);
        plain(format!("names[{place}].language"), &name.language, faults);
    }
    for (field, code) in [
        ("incorporation", &party.incorporation),
        ("headquarters", &party.headquarters),
    ] {
        // Left out, it is not known.
        if !code.is_empty() && code != "unknown" {
            country(field, code, faults);
        }
    }
    for (place, identifier) in party.identifiers.iter().enumerate() {
        let field = |name| format!("identifiers[{place}].{name}");
        named(field("scheme"), &identifier.scheme, faults);
        named(field("value"), &identifier.value, faults);
        if !identifier.country.is_empty() {
            country(field("country"), &identifier.country, faults);
        }
    }
    for (place, address) in party.addresses.iter().enumerate() {
        named(format!("addresses[{place}]"), address, faults);
    }
}

/// Holds an edge against its form.
pub(crate) fn edge(edge: &v1::Edge, faults: &mut Faults) {
    id("from", &edge.from, faults);
    id("to", &edge.to, faults);
    if edge.from == edge.to {
        let text = format!("`{}` is on both ends; name two parties", edge.to);
        wrong("to", text, faults);
    }
    plain("source", &edge.source, faults);
    let shares = [
        ("share_min_percent", edge.share_min_bp),
        ("share_max_percent", edge.share_max_bp),
    ];
    for (field, share) in shares {
        if share.is_some_and(|bp| bp > 10_000) {
            wrong(field, "it is more than 100 percent", faults);
        }
    }
    if let (Some(min), Some(max)) = (edge.share_min_bp, edge.share_max_bp)
        && min > max
    {
        wrong(
            "share_min_percent",
            "it is more than share_max_percent",
            faults,
        );
    }
    ordered(
        ("since", edge.since_unix_ms),
        ("until", edge.until_unix_ms),
        faults,
    );
}

/// Holds a tenant against its form.
pub(crate) fn tenant(tenant: &v1::Tenant, faults: &mut Faults) {
    id("id", &tenant.id, faults);
    if tenant.customer.trim().is_empty() {
        wrong(
            "customer",
            "it is empty; say who signs the contract",
            faults,
        );
    }
    plain("customer", &tenant.customer, faults);
    plain("end_customer", &tenant.end_customer, faults);
    plain("ultimate_parent", &tenant.ultimate_parent, faults);
    for (place, party) in tenant.intermediaries.iter().enumerate() {
        named(format!("intermediaries[{place}]"), party, faults);
    }
    plain("declared_use", &tenant.declared_use, faults);
    if let Some(it) = &tenant.conditions {
        conditions(it, faults);
    }
}

/// Finds conditions that no use can meet.
fn conditions(conditions: &v1::Conditions, faults: &mut Faults) {
    if conditions.device_classes.is_empty() {
        let text = "there is none, so nothing could ever be used; name those that are allowed";
        wrong("conditions.device_classes", text, faults);
    }
    for (place, class) in conditions.device_classes.iter().enumerate() {
        if let Err(none) = Class::named(class) {
            let field = format!("conditions.device_classes[{place}]");
            wrong(field, none.to_string(), faults);
        }
    }
    for (place, site) in conditions.sites.iter().enumerate() {
        named(format!("conditions.sites[{place}]"), site, faults);
    }
    for (field, most) in [
        ("max_gpus", conditions.max_gpus.map(u64::from)),
        ("max_aggregate_tpp", conditions.max_aggregate_tpp),
        ("max_gpu_hours_month", conditions.max_gpu_hours_month),
    ] {
        if most == Some(0) {
            let text = "it is 0, so nothing could ever be used; leave it out, or `tenant reject`";
            wrong(format!("conditions.{field}"), text, faults);
        }
    }
    ordered(
        ("conditions.valid_from", conditions.valid_from_unix_ms),
        ("conditions.valid_to", conditions.valid_to_unix_ms),
        faults,
    );
}

/// Holds a binding against its form.
pub(crate) fn binding(binding: &v1::Binding, faults: &mut Faults) {
    id("id", &binding.id, faults);
    id("tenant", &binding.tenant, faults);
    let selectors = selectors(binding);
    if selectors.iter().all(|(_, value)| value.is_empty()) {
        let text = "has no selector and would match every workload; give one";
        wrong("namespace", text, faults);
    }
    for (field, value) in selectors {
        plain(field, value, faults);
        // What is compared byte for byte would match nothing.
        if value.trim() != value {
            wrong(
                field,
                format!("`{value}` begins or ends with a space"),
                faults,
            );
        }
    }
    ordered(
        ("from", binding.from_unix_ms),
        ("to", binding.to_unix_ms),
        faults,
    );
}

fn declared(declaration: &v1::InventoryDeclaration, faults: &mut Faults) {
    named("site", &declaration.site, faults);
    for (place, device) in declaration.devices.iter().enumerate() {
        let field = |name| format!("devices[{place}].{name}");
        plain(field("serial"), &device.serial, faults);
        plain(field("uuid"), &device.uuid, faults);
        plain(field("model"), &device.model, faults);
    }
}

/// What permits rests on a dossier; all else on what an officer says of it.
fn decided(decision: &v1::Decision, faults: &mut Faults) {
    use v1::Verdict;
    match Verdict::try_from(decision.verdict).unwrap_or_default() {
        Verdict::Unspecified | Verdict::Approve | Verdict::ApproveWithConditions => {
            reason(&decision.reason, faults);
        }
        _ => given_reason(&decision.reason, faults),
    }
}

fn changed(change: &v1::TenantStateChange, faults: &mut Faults) {
    use v1::TenantState;
    match TenantState::try_from(change.state).unwrap_or_default() {
        TenantState::Suspended | TenantState::Closed | TenantState::Rejected => {
            given_reason(&change.reason, faults);
        }
        _ => reason(&change.reason, faults),
    }
}

/// Holds an objection against its form; the judge has asked the rest.
fn objects(objection: &v1::Objection, faults: &mut Faults) {
    let class = &objection.device_class;
    if !class.is_empty()
        && let Err(none) = Class::named(class)
    {
        wrong("class", none.to_string(), faults);
    }
}

/// Holds a reason against its form; there has to be one.
pub(crate) fn given_reason(given: &str, faults: &mut Faults) {
    if given.trim().is_empty() {
        let text = "it is blank; say why: it is logged for the auditor";
        wrong("reason", text, faults);
    }
    reason(given, faults);
}

/// Holds a reason against its form; it may be empty where a command does not ask for one.
pub(crate) fn reason(reason: &str, faults: &mut Faults) {
    if reason.len() > MAX_REASON {
        let text = format!(
            "it has {} bytes, of at most {MAX_REASON}; shorten it",
            reason.len()
        );
        wrong("reason", text, faults);
    }
    plain("reason", reason, faults);
}

/// Holds an id against its form.
pub(crate) fn id(field: &str, id: &str, faults: &mut Faults) {
    let good = (1..=64).contains(&id.len())
        && id.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_')
        });
    if !good {
        let text = format!("`{id}` is not 1 to 64 of a-z, 0-9, `-`, `.`, `_`");
        wrong(field, text, faults);
    }
}

/// A text that says something.
pub(crate) fn named(field: impl Into<String>, text: &str, faults: &mut Faults) {
    let field = field.into();
    if text.trim().is_empty() {
        wrong(
            field,
            "it is blank; write it, or leave the entry out",
            faults,
        );
    } else {
        plain(field, text, faults);
    }
}

/// A text without what moves a cursor, ends a line, turns the order of letters around or is not seen.
pub(crate) fn plain(field: impl Into<String>, text: &str, faults: &mut Faults) {
    if let Some((place, c)) = (1..).zip(text.chars()).find(|(_, c)| is_hidden(*c)) {
        let code = u32::from(c);
        let said = format!("character {place} is U+{code:04X}, which nobody sees; take it out");
        wrong(field, said, faults);
    }
}

/// The code of a country.
pub(crate) fn country(field: impl Into<String>, code: &str, faults: &mut Faults) {
    if countries::is_assigned(code) {
        return;
    }
    let meant = countries::meant(code);
    let meant = meant.map_or_else(String::new, |meant| format!("; write `{meant}`?"));
    let text = format!(
        "`{code}` is neither an assigned code of ISO 3166-1 such as DE nor `unknown`{meant}"
    );
    wrong(field, text, faults);
}

/// Two instants of which the second must not be before the first.
fn ordered(first: (&str, Option<u64>), last: (&str, Option<u64>), faults: &mut Faults) {
    if let (Some(from), Some(to)) = (first.1, last.1)
        && to < from
    {
        wrong(last.0, format!("it is before {}", first.0), faults);
    }
}

#[cfg(test)]
mod tests;
