//! The TOML file from which officers apply: parties, edges, tenants and bindings.

use std::{collections::BTreeSet, path::Path};

use affiant_proto::{Body, v1};
use affiant_report::plain_file::NotRead;
use serde::Deserialize;
use toml::Spanned;

use crate::{
    entries::{Binding, Edge, Party, Tenant},
    form::Fault,
    import::Standing,
    keyfile::{self, KeyFileError},
    lapse, overlap,
    unstated::{Unstated, pointed_at},
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
    party: Vec<Spanned<Party>>,
    #[serde(default)]
    edge: Vec<Spanned<Edge>>,
    #[serde(default)]
    tenant: Vec<Spanned<Tenant>>,
    #[serde(default)]
    binding: Vec<Spanned<Binding>>,
}

/// What a file applies for, each statement with the line where its entry begins.
#[derive(Debug)]
pub struct Application {
    path: String,
    effective_unix_ms: u64,
    said: Vec<(usize, Body)>,
}

impl Application {
    /// Holds it against what stands; gives what is allowed and worth a look, in words.
    ///
    /// # Errors
    /// Bindings of what is another tenant's already.
    pub fn check(&self, stands: &Standing) -> Result<Vec<String>, BadFile> {
        let bound = |body: &Body| match body {
            Body::BindingEvent(event) => event.binding.clone(),
            _ => None,
        };
        let bindings: Vec<(usize, v1::Binding)> = self
            .said
            .iter()
            .filter_map(|(line, body)| Some((*line, bound(body)?)))
            .collect();
        let new = bindings.iter().map(|(_, binding)| binding);
        let from = self.effective_unix_ms.max(stands.now_ms);
        let found = overlap::find(new, stands.bindings.values(), from);
        let wrong = found.iter().map(|overlap| {
            let line = bindings.iter().find(|(_, it)| it.id == overlap.binding);
            let line = line.map_or(0, |(line, _)| *line);
            let (path, id) = (&self.path, &overlap.binding);
            format!(
                "{path}, line {line}, binding `{id}`, {}: {}",
                overlap.field, overlap.text
            )
        });
        let wrong: Vec<String> = wrong.collect();
        if !wrong.is_empty() {
            return Err(BadFile::Entries(wrong));
        }
        Ok(self.unstated(stands))
    }

    /// What the file points at and neither it nor the log states.
    fn unstated(&self, stands: &Standing) -> Vec<String> {
        let stated: BTreeSet<Unstated> = self
            .said
            .iter()
            .filter_map(|(_, body)| stated(body))
            .collect();
        let missing = self.said.iter().flat_map(|(line, body)| {
            let named = points_at(body).into_iter().map(move |what| (line, what));
            named.filter(|(_, what)| !stated.contains(what) && !stands.states(what))
        });
        let told = missing.map(|(line, what)| {
            let path = &self.path;
            format!("{path}, line {line}: {what} is stated neither in the file nor in the log")
        });
        told.collect()
    }

    /// Leaves out what stands already, word for word, and says what becomes of approvals. A tenant that stands
    /// does not apply once more, unless it has to before anybody can approve it.
    pub fn due(mut self, stands: &Standing) -> (Self, Due) {
        let mut due = Due::default();
        let mut after = stands.clone();
        let mut applied = BTreeSet::new();
        self.said.retain(|(_, body)| match body {
            Body::TenantEvent(event) => match &event.body {
                Some(v1::tenant_event::Body::Party(it)) => {
                    due.counts(after.parties.insert(it.id.clone(), it.clone()).as_ref(), it)
                }
                Some(v1::tenant_event::Body::Edge(it)) => {
                    let id = (it.from.clone(), it.to.clone(), it.kind);
                    due.counts(after.edges.insert(id, it.clone()).as_ref(), it)
                }
                Some(v1::tenant_event::Body::Tenant(it)) => {
                    let anew = after.applies_anew(&it.id);
                    let said = (it.clone(), "applied".to_owned());
                    let stood = after.tenants.insert(it.id.clone(), said);
                    let says = due.counts(stood.as_ref().map(|(it, _)| it), it);
                    if anew && !says {
                        due.same -= 1;
                        due.anew += 1;
                    }
                    let is_due = says || anew;
                    if let Some(stood) = stood.filter(|_| !is_due) {
                        after.tenants.insert(it.id.clone(), stood);
                    }
                    is_due.then(|| applied.insert(it.id.clone()));
                    is_due
                }
                // It comes behind its tenant.
                Some(v1::tenant_event::Body::State(it)) => applied.contains(&it.tenant),
                None => true,
            },
            Body::BindingEvent(event) => event.binding.as_ref().is_none_or(|it| {
                due.counts(
                    after.bindings.insert(it.id.clone(), it.clone()).as_ref(),
                    it,
                )
            }),
            _ => true,
        });
        due.lapsing = lapse::lapsing(stands, &after, &applied);
        (self, due)
    }

    /// The statements to sign, parties first.
    pub fn into_bodies(self) -> Vec<Body> {
        self.said.into_iter().map(|(_, body)| body).collect()
    }
}

/// What of an application is to be signed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Entries that nobody stated before.
    pub new: usize,
    /// Entries that say something else than what stands.
    pub changed: usize,
    /// Entries that stand already, word for word.
    pub same: usize,
    /// Tenants that stand word for word and apply anew, for they were rejected or closed.
    pub anew: usize,
    /// Tenants whose approvals end by it.
    pub lapsing: Vec<String>,
}

impl Due {
    /// Counts an entry; tells whether it says anything that does not stand.
    fn counts<T: PartialEq>(&mut self, stood: Option<&T>, it: &T) -> bool {
        let count = match stood {
            None => &mut self.new,
            Some(stood) if stood == it => &mut self.same,
            Some(_) => &mut self.changed,
        };
        *count += 1;
        stood != Some(it)
    }
}

/// The party or tenant that a statement states.
fn stated(body: &Body) -> Option<Unstated> {
    let Body::TenantEvent(event) = body else {
        return None;
    };
    match event.body.as_ref()? {
        v1::tenant_event::Body::Party(it) => Some(Unstated::Party(it.id.clone())),
        v1::tenant_event::Body::Tenant(it) => Some(Unstated::Tenant(it.id.clone())),
        _ => None,
    }
}

/// What a statement points at.
fn points_at(body: &Body) -> BTreeSet<Unstated> {
    let (mut edge, mut tenant, mut binding) = (None, None, None);
    match body {
        Body::TenantEvent(event) => match &event.body {
            Some(v1::tenant_event::Body::Edge(it)) => edge = Some(it),
            Some(v1::tenant_event::Body::Tenant(it)) => tenant = Some(it),
            _ => {}
        },
        Body::BindingEvent(event) => binding = event.binding.as_ref(),
        _ => {}
    }
    pointed_at(edge.into_iter(), tenant.into_iter(), binding.into_iter())
}

/// Reads the file into statements to sign, parties first.
pub fn read(path: &Path, now_ms: u64) -> Result<Application, BadFile> {
    let text = keyfile::read_bounded_text(path, MAX_BYTES).map_err(|error| match error {
        KeyFileError::Unfit(NotRead::Long { .. }) => {
            BadFile::Io(format!("{error}; split it, or use `tenant import`"))
        }
        _ => BadFile::Io(error.to_string()),
    })?;
    parse(&text, &path.display().to_string(), now_ms)
}

fn parse(text: &str, path: &str, now_ms: u64) -> Result<Application, BadFile> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        let fault = "it is JSON; `tenant import` reads JSON lines, `tenant apply` TOML";
        return Err(BadFile::Toml(format!("{path}: {fault}")));
    }
    applied(text, path, now_ms).map_err(|error| match error {
        BadFile::Toml(fault) => BadFile::Toml(format!("{path}: {fault}")),
        other => other,
    })
}

fn applied(text: &str, path: &str, now_ms: u64) -> Result<Application, BadFile> {
    let file: File = toml::from_str(text).map_err(|e| BadFile::Toml(e.to_string()))?;
    let effective = file.effective.as_deref().map(parse_time_ms).transpose();
    let effective = effective.map_err(|fault| BadFile::Toml(format!("effective: {fault}")))?;
    let effective = effective.unwrap_or(now_ms);
    let mut reader = Reader {
        text,
        path,
        wrong: Vec::new(),
    };
    let mut said: Vec<(usize, Body)> = Vec::new();
    for entry in file.party {
        let place = format!("party `{}`", entry.get_ref().id);
        let (line, read) = reader.read(place, entry, Party::read);
        said.push((line, party(effective, read)));
    }
    for entry in file.edge {
        let (from, to) = (&entry.get_ref().from, &entry.get_ref().to);
        let place = format!("edge from `{from}` to `{to}`");
        let (line, read) = reader.read(place, entry, Edge::read);
        said.push((line, edge(effective, read)));
    }
    for entry in file.tenant {
        let place = format!("tenant `{}`", entry.get_ref().id);
        let (line, read) = reader.read(place, entry, Tenant::read);
        said.extend(tenant(effective, read).map(|body| (line, body)));
    }
    for entry in file.binding {
        let place = format!("binding `{}`", entry.get_ref().id);
        let (line, read) = reader.read(place, entry, Binding::read);
        said.push((line, binding(effective, read)));
    }
    if !reader.wrong.is_empty() {
        return Err(BadFile::Entries(reader.wrong));
    }
    if said.is_empty() {
        return Err(BadFile::Toml(
            "holds no [[party]], [[edge]], [[tenant]] or [[binding]]".into(),
        ));
    }
    Ok(Application {
        path: path.to_owned(),
        effective_unix_ms: effective,
        said,
    })
}

/// Reads entries, and says of their faults where they are.
struct Reader<'a> {
    text: &'a str,
    path: &'a str,
    wrong: Vec<String>,
}

impl Reader<'_> {
    /// Gives the line where an entry begins, and what it says.
    fn read<E, T>(
        &mut self,
        place: String,
        entry: Spanned<E>,
        read: impl FnOnce(E, &mut Vec<Fault>) -> T,
    ) -> (usize, T) {
        let before = self.text.get(..entry.span().start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let mut faults = Vec::new();
        let entry = read(entry.into_inner(), &mut faults);
        let path = self.path;
        let said = faults.iter().map(|fault| {
            format!(
                "{path}, line {line}, {place}, {}: {}",
                fault.field, fault.text
            )
        });
        self.wrong.extend(said);
        (line, entry)
    }
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
        let bodies = parse(GOOD, "f", 5).unwrap().into_bodies();
        assert!(
            matches!(&bodies[0], Body::TenantEvent(e) if matches!(e.body, Some(v1::tenant_event::Body::Party(_))))
        );
        assert!(matches!(&bodies[3], Body::BindingEvent(e) if e.effective_unix_ms == 5));
    }

    /// What stands once a file was applied.
    fn stands_after(text: &str) -> Standing {
        let mut stands = Standing::default();
        for body in parse(text, "f", 5).unwrap().into_bodies() {
            match body {
                Body::TenantEvent(event) => match event.body.unwrap() {
                    v1::tenant_event::Body::Party(it) => {
                        stands.parties.insert(it.id.clone(), it);
                    }
                    v1::tenant_event::Body::Tenant(it) => {
                        let applied = (it.clone(), "applied".into());
                        stands.tenants.insert(it.id, applied);
                    }
                    _ => {}
                },
                Body::BindingEvent(event) => {
                    let it = event.binding.unwrap();
                    stands.bindings.insert(it.id.clone(), it);
                }
                _ => {}
            }
        }
        stands
    }

    #[test]
    fn what_stands_already_is_not_signed_again_and_an_approval_that_would_end_is_named() {
        let due = |text: &str, stands: &Standing| {
            let (left, due) = parse(text, "f", 9).unwrap().due(stands);
            (left.into_bodies().len(), due)
        };
        let mut stands = stands_after(GOOD);
        stands.tenants.get_mut("acme").unwrap().1 = "approved".into();
        stands.approved.insert("acme".into());
        let (left, same) = due(GOOD, &stands);
        assert_eq!((left, same.same, same.lapsing.len()), (0, 3, 0));
        // One word of its customer, and the tenant does not apply but its approval ends.
        let moved = GOOD.replace("headquarters = \"DE\"", "headquarters = \"CH\"");
        let (left, changed) = due(&moved, &stands);
        assert_eq!((left, changed.changed, changed.same), (1, 1, 2));
        assert_eq!(changed.lapsing, ["acme"]);
        let other = GOOD.replace(
            "customer = \"acme\"",
            "customer = \"acme\"\ndeclared_use = \"x\"",
        );
        let (left, restated) = due(&other, &stands);
        assert_eq!((left, restated.lapsing), (2, vec!["acme".to_owned()]));
        // A binding is of no dossier.
        let bound = GOOD.replace("namespace = \"acme\"", "namespace = \"lab\"");
        assert_eq!(due(&bound, &stands).1.lapsing, [] as [&str; 0]);
        // One that was closed applies anew by the very same words.
        stands.approved.clear();
        stands.tenants.get_mut("acme").unwrap().1 = "closed".into();
        assert_eq!(due(GOOD, &stands).0, 2);
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
            let error = parse(&GOOD.replace(from, to), "f.toml", 5);
            let error = error.unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_fault_is_told_with_file_line_and_field_of_its_entry() {
        let bad = GOOD.replace("headquarters = \"DE\"", "headquarters = \"ZZ\"");
        let bad = bad.replace("namespace = \"acme\"", "namespace = \" \"");
        let said = parse(&bad, "f.toml", 5).unwrap_err().to_string();
        for due in [
            "f.toml, line 2, party `acme`, headquarters: `ZZ` is neither",
            "f.toml, line 10, binding `acme-ns`, namespace: ` ` begins or ends with a space",
        ] {
            assert!(said.contains(due), "{due}: {said}");
        }
        let json = parse("{\"party\": {}}", "f.toml", 5);
        assert!(json.unwrap_err().to_string().contains("`tenant import`"));
        assert!(parse(&format!("\u{feff}{GOOD}"), "f.toml", 5).is_ok());
    }

    #[test]
    fn what_nobody_stated_is_warned_of_and_what_is_another_tenants_refused() {
        let edge = "[[edge]]\nfrom = \"ghost\"\nto = \"acme\"\nkind = \"owns\"\n";
        let file = parse(&format!("{GOOD}{edge}"), "f.toml", 5).unwrap();
        let mut stands = Standing::default();
        assert_eq!(
            file.check(&stands).unwrap(),
            ["f.toml, line 14: party `ghost` is stated neither in the file nor in the log"]
        );
        let other = v1::Binding {
            id: "other-ns".into(),
            tenant: "other".into(),
            namespace: "acme".into(),
            ..Default::default()
        };
        stands.bindings.insert(other.id.clone(), other);
        let said = file.check(&stands).unwrap_err().to_string();
        assert!(
            said.starts_with("f.toml, line 10, binding `acme-ns`, namespace: namespace `acme` is tenant `other`'s"),
            "{said}"
        );
    }
}
