//! Many entries at once, a JSON object a line: read, checked as a whole against what stands, and
//! only then to be signed.
//!
//! ```text
//! {"party": {"id": "acme", "names": ["Acme GmbH"], "incorporation": "DE", "headquarters": "DE"}}
//! {"edge": {"from": "holding", "to": "acme", "kind": "owns", "share_min_percent": 60}}
//! {"tenant": {"id": "acme", "customer": "acme", "end_customer": "acme", "ultimate_parent": "holding"}}
//! {"binding": {"id": "acme-ns", "tenant": "acme", "namespace": "acme"}}
//! {"unstated": {"party": "somebody"}}
//! ```
//!
//! The last is for what edges, tenants and bindings of the log point at and nobody ever stated: an export
//! says so, and an import takes what points at it as it stands.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::{Body, statement::MAX_STATEMENT_BYTES, v1};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::{
    dossier_file,
    entries::{Binding, Edge, Party, Tenant},
    form::Fault,
    lapse, overlap, ownership,
    unstated::{Unstated, pointed_at},
};

/// Most bytes of a file: 10,000 tenants with three parties, two edges and two bindings of 500 bytes
/// each are 40 MB.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Most lines of a file, each of which becomes a statement or two.
pub const MAX_LINES: usize = 250_000;

/// Most bytes of one entry: those of a statement without 2 KiB for its header and signature.
const MAX_ENTRY_BYTES: usize = MAX_STATEMENT_BYTES - 2 * 1024;

/// Most faults that are told at once: as many as somebody mends before he tries again.
pub const MAX_FAULTS: usize = 100;

/// One line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Party(Party),
    Edge(Edge),
    Tenant(Tenant),
    Binding(Binding),
    Unstated(Unstated),
}

/// From, to and kind of an edge.
pub(crate) type EdgeId = (String, String, i32);

/// What the log says by now.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Parties, by id.
    pub parties: BTreeMap<String, v1::Party>,
    /// Edges, by from, to and kind.
    pub edges: BTreeMap<EdgeId, v1::Edge>,
    /// Tenants with their state, by id; one that has to apply anew is what it was, `rejected` or `closed`.
    pub tenants: BTreeMap<String, (v1::Tenant, String)>,
    /// Tenants of which an approval stands that ends when their dossiers change.
    pub approved: BTreeSet<String>,
    /// Bindings that are not withdrawn, by id.
    pub bindings: BTreeMap<String, v1::Binding>,
    /// When that is, milliseconds since 1970: no binding holds before it.
    pub now_ms: u64,
}

/// What is to be signed, and what need not be.
#[derive(Debug, Default)]
pub struct Plan {
    /// Statements in an order in which each rests on those before it; those of one part are to be
    /// logged together or not at all.
    pub parts: Vec<Vec<Body>>,
    /// Entries that nobody stated before.
    pub new: usize,
    /// Entries that say something else than what stands.
    pub changed: usize,
    /// Entries that stand already, word for word.
    pub same: usize,
    /// Tenants whose approvals end by it: they apply anew, or their dossiers change.
    pub lapsing: Vec<String>,
    /// What is allowed and worth a look, in words.
    pub warnings: Vec<String>,
}

/// Everything of a file, by what it is about, with the line that says so.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) parties: BTreeMap<String, (usize, v1::Party)>,
    pub(crate) edges: BTreeMap<EdgeId, (usize, v1::Edge)>,
    pub(crate) tenants: BTreeMap<String, (usize, v1::Tenant)>,
    pub(crate) bindings: BTreeMap<String, (usize, v1::Binding)>,
    pub(crate) unstated: BTreeMap<Unstated, usize>,
}

/// Faults by line, so that they are told in its order: all are kept, and those beyond [`MAX_FAULTS`] told as a
/// number.
#[derive(Debug, Default)]
pub(crate) struct Faults(BTreeMap<usize, Vec<String>>);

impl Faults {
    pub(crate) fn add(&mut self, line: usize, field: &str, text: &str) {
        let told = self.0.entry(line).or_default();
        told.push(format!("line {line}, {field}: {text}"));
    }

    fn told(self) -> Option<Vec<String>> {
        let mut told: Vec<String> = self.0.into_values().flatten().collect();
        let more = told.len().saturating_sub(MAX_FAULTS);
        told.truncate(MAX_FAULTS);
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        (!told.is_empty()).then_some(told)
    }
}

/// Reads a file and says what is to be signed; or all that is wrong with it, a line each.
///
/// `effective_unix_ms` is when all of it takes effect.
pub fn plan(text: &[u8], effective_unix_ms: u64, stands: &Standing) -> Result<Plan, Vec<String>> {
    let mut faults = Faults::default();
    let entries = read(text, &mut faults);
    refer(&entries, stands, &mut faults);
    ownership::check(&entries, stands, &mut faults);
    overlapping(&entries, stands, effective_unix_ms, &mut faults);
    if let Some(told) = faults.told() {
        return Err(told);
    }
    let mut warnings = ownership::circles(&entries, stands);
    warnings.extend(entries.unstated.iter().map(|(what, line)| {
        format!("line {line}: {what} is pointed at and stated nowhere: who that is stays unknown")
    }));
    let mut plan = Plan {
        warnings,
        ..Plan::default()
    };
    let at = effective_unix_ms;
    let mut after = stands.clone();
    let mut applied = BTreeSet::new();
    for (id, (_, party)) in entries.parties {
        if plan.is_due(stands.parties.get(&id), &party) {
            after.parties.insert(id, party.clone());
            plan.parts.push(vec![dossier_file::party(at, party)]);
        }
    }
    for (id, (_, edge)) in entries.edges {
        if plan.is_due(stands.edges.get(&id), &edge) {
            after.edges.insert(id, edge.clone());
            plan.parts.push(vec![dossier_file::edge(at, edge)]);
        }
    }
    for (id, (_, tenant)) in entries.tenants {
        let stood = stands.tenants.get(&id);
        let is_due = plan.is_due(stood.map(|(tenant, _)| tenant), &tenant);
        if is_due || stands.applies_anew(&id) {
            applied.insert(id);
            plan.parts.push(dossier_file::tenant(at, tenant).into());
        }
    }
    for (id, (_, binding)) in entries.bindings {
        if plan.is_due(stands.bindings.get(&id), &binding) {
            plan.parts.push(vec![dossier_file::binding(at, binding)]);
        }
    }
    plan.lapsing = lapse::lapsing(stands, &after, &applied);
    Ok(plan)
}

/// Says what of an export an import would refuse, a line each: entries that the log took before they were
/// checked as they are today.
pub fn refused(text: &str, now_ms: u64) -> Vec<String> {
    let nothing = Standing {
        now_ms,
        ..Standing::default()
    };
    plan(text.as_bytes(), now_ms, &nothing)
        .err()
        .unwrap_or_default()
}

impl Plan {
    fn is_due<T: PartialEq>(&mut self, stands: Option<&T>, entry: &T) -> bool {
        let count = match stands {
            None => &mut self.new,
            Some(stands) if stands == entry => &mut self.same,
            Some(_) => &mut self.changed,
        };
        *count += 1;
        stands != Some(entry)
    }

    /// Puts the parts together into batches of at most `most` statements.
    pub fn batches(self, most: usize) -> Vec<Vec<Body>> {
        let mut batches: Vec<Vec<Body>> = Vec::new();
        for part in self.parts {
            match batches.last_mut() {
                Some(batch) if batch.len() + part.len() <= most => batch.extend(part),
                _ => batches.push(part),
            }
        }
        batches
    }
}

/// Writes all that stands as lines that are read as what stands.
pub fn write(stands: &Standing) -> Result<String, serde_json::Error> {
    let parties = stands.parties.values().map(|p| Line::Party(Party::of(p)));
    let edges = stands.edges.values().map(|e| Line::Edge(Edge::of(e)));
    let tenants = stands.tenants.values();
    let tenants = tenants.map(|(tenant, _)| Line::Tenant(Tenant::of(tenant)));
    let bindings = stands.bindings.values();
    let bindings = bindings.map(|binding| Line::Binding(Binding::of(binding)));
    let unstated = stands.unstated().into_iter().map(Line::Unstated);
    let mut text = String::new();
    let all = parties.chain(edges).chain(tenants).chain(bindings);
    for line in all.chain(unstated) {
        text.push_str(&serde_json::to_string(&line)?);
        text.push('\n');
    }
    Ok(text)
}

fn read(text: &[u8], faults: &mut Faults) -> Entries {
    let mut entries = Entries::default();
    // Editors write it in front of UTF-8; it is no part of the first line.
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    if let Some((line, what)) = other_format(text) {
        faults.add(line, "the line", what);
        return entries;
    }
    let lines = text.split(|byte| *byte == b'\n');
    for (number, line) in (1..).zip(lines) {
        if number > MAX_LINES {
            let text = format!("there are more than {MAX_LINES} lines; split the file");
            faults.add(number, "the file", &text);
            break;
        }
        let Ok(line) = std::str::from_utf8(line) else {
            let text = "it is not UTF-8; save the file as UTF-8";
            faults.add(number, "the line", text);
            continue;
        };
        if line.trim().is_empty() {
            continue;
        }
        match parse(line) {
            Ok(line) => take(&mut entries, number, line, faults),
            Err((field, text)) => faults.add(number, &field, &text),
        }
    }
    if entries.is_empty() && faults.0.is_empty() {
        faults.add(1, "the file", "it has no party, edge, tenant or binding");
    }
    entries
}

/// What is said of an object that has nothing in it.
const NOTHING: &str = "it has no entry; write one of {\"party\": {…}}, {\"edge\": {…}}, {\"tenant\": {…}}, {\"binding\": {…}}";

/// Tells a file of another format by its first line that is not empty.
fn other_format(text: &[u8]) -> Option<(usize, &'static str)> {
    let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
    let mut lines = lines.map(|(number, line)| (number, line.trim_ascii()));
    let (number, line) = lines.find(|(_, line)| !line.is_empty())?;
    let assigns = line.first().is_some_and(u8::is_ascii_lowercase) && line.contains(&b'=');
    let what = match line {
        line if assigns || line.starts_with(b"[[") || line.starts_with(b"#") => {
            "it is TOML, or a comment; `tenant apply` reads TOML, `tenant import` JSON, one object a line"
        }
        line if line.starts_with(b"[") => {
            "it is a JSON array; write its objects one a line, without brackets and commas around them"
        }
        b"{" => "an object goes over several lines; write each on one line",
        _ => return None,
    };
    Some((number, what))
}

/// Reads one line; or says in which field what is wrong.
fn parse(line: &str) -> Result<Line, (String, String)> {
    let mut json = serde_json::Deserializer::from_str(line);
    let read: Line = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = match error.path().to_string() {
            path if path == "." => "the line".to_owned(),
            path => path,
        };
        if line.split_whitespace().collect::<String>() == "{}" {
            return (field, NOTHING.to_owned());
        }
        // Of one line the column alone tells.
        let text = error.inner().to_string();
        (field, text.replace(" at line 1 column ", ", column "))
    })?;
    json.end().map_err(|_| {
        (
            "the line".to_owned(),
            "more than one object; one a line".to_owned(),
        )
    })?;
    Ok(read)
}

fn take(entries: &mut Entries, line: usize, read: Line, faults: &mut Faults) {
    let mut wrong: Vec<Fault> = Vec::new();
    let (kind, twice) = match read {
        Line::Party(entry) => {
            let id = entry.id.clone();
            let party = entry.read(&mut wrong);
            bounded(&party, &mut wrong);
            let twice = keep(&mut entries.parties, id.clone(), line, party);
            ("party", twice.map(|first| ("id", id, first)))
        }
        Line::Edge(entry) => {
            let words = format!("from {} to {}", entry.from, entry.to);
            let edge = entry.read(&mut wrong);
            bounded(&edge, &mut wrong);
            let id = (edge.from.clone(), edge.to.clone(), edge.kind);
            let twice = keep(&mut entries.edges, id, line, edge);
            ("edge", twice.map(|first| ("kind", words, first)))
        }
        Line::Tenant(entry) => {
            let id = entry.id.clone();
            let tenant = entry.read(&mut wrong);
            bounded(&tenant, &mut wrong);
            let twice = keep(&mut entries.tenants, id.clone(), line, tenant);
            ("tenant", twice.map(|first| ("id", id, first)))
        }
        Line::Binding(entry) => {
            let id = entry.id.clone();
            let binding = entry.read(&mut wrong);
            bounded(&binding, &mut wrong);
            let twice = keep(&mut entries.bindings, id.clone(), line, binding);
            ("binding", twice.map(|first| ("id", id, first)))
        }
        // One that stands twice says the same twice.
        Line::Unstated(what) => {
            entries.unstated.entry(what).or_insert(line);
            ("unstated", None)
        }
    };
    for fault in wrong {
        faults.add(line, &format!("{kind}.{}", fault.field), &fault.text);
    }
    if let Some((field, id, first)) = twice {
        let text = format!("`{id}` stands in line {first} already; keep one of the two");
        faults.add(line, &format!("{kind}.{field}"), &text);
    }
}

/// Finds an entry that no statement has room for, before the first is signed.
fn bounded(entry: &impl Message, wrong: &mut Vec<Fault>) {
    let length = entry.encoded_len();
    if length > MAX_ENTRY_BYTES {
        wrong.push(Fault {
            field: "*".to_owned(),
            text: format!("it is {length} bytes long, of at most {MAX_ENTRY_BYTES}; shorten it"),
        });
    }
}

/// Keeps an entry; gives the line of one that is there already.
fn keep<K: Ord, T>(
    entries: &mut BTreeMap<K, (usize, T)>,
    id: K,
    line: usize,
    entry: T,
) -> Option<usize> {
    if let Some((first, _)) = entries.get(&id) {
        return Some(*first);
    }
    entries.insert(id, (line, entry));
    None
}

/// Finds what is pointed at and nowhere stated.
fn refer(entries: &Entries, stands: &Standing, faults: &mut Faults) {
    let party = |id: &str| {
        entries.parties.contains_key(id)
            || stands.parties.contains_key(id)
            || entries
                .unstated
                .contains_key(&Unstated::Party(id.to_owned()))
    };
    let mut due = |line: usize, field: &str, id: &str| {
        if !id.is_empty() && !party(id) {
            let text = format!("party `{id}` is stated neither in the file nor in the log");
            faults.add(line, field, &text);
        }
    };
    for (line, edge) in entries.edges.values() {
        due(*line, "edge.from", &edge.from);
        due(*line, "edge.to", &edge.to);
    }
    for (line, tenant) in entries.tenants.values() {
        due(*line, "tenant.customer", &tenant.customer);
        due(*line, "tenant.end_customer", &tenant.end_customer);
        due(*line, "tenant.ultimate_parent", &tenant.ultimate_parent);
        for (place, id) in tenant.intermediaries.iter().enumerate() {
            due(*line, &format!("tenant.intermediaries[{place}]"), id);
        }
    }
    for (line, binding) in entries.bindings.values() {
        let id = &binding.tenant;
        let stated = entries.tenants.contains_key(id) || stands.tenants.contains_key(id);
        if !stated && !entries.unstated.contains_key(&Unstated::Tenant(id.clone())) {
            let text = format!("tenant `{id}` is stated neither in the file nor in the log");
            faults.add(*line, "binding.tenant", &text);
        }
    }
}

/// Finds bindings of what is another tenant's already.
fn overlapping(entries: &Entries, stands: &Standing, effective_unix_ms: u64, faults: &mut Faults) {
    let new = entries.bindings.values().map(|(_, binding)| binding);
    // What says the same as what stands is not signed again.
    let new = new.filter(|binding| stands.bindings.get(&binding.id) != Some(binding));
    let from = effective_unix_ms.max(stands.now_ms);
    for overlap in overlap::find(new, stands.bindings.values(), from) {
        let line = entries.bindings.get(&overlap.binding);
        let line = line.map_or(0, |(line, _)| *line);
        faults.add(line, &format!("binding.{}", overlap.field), &overlap.text);
    }
}

impl Standing {
    /// What something points at and nobody stated.
    pub(crate) fn unstated(&self) -> BTreeSet<Unstated> {
        let tenants = self.tenants.values().map(|(tenant, _)| tenant);
        let mut all = pointed_at(self.edges.values(), tenants, self.bindings.values());
        all.retain(|what| !self.states(what));
        all
    }

    /// Whether a tenant has to apply before officers can approve it, though all that is stated of it stands.
    pub(crate) fn applies_anew(&self, tenant: &str) -> bool {
        let stood = self.tenants.get(tenant);
        stood.is_some_and(|(_, state)| matches!(state.as_str(), "draft" | "rejected" | "closed"))
    }

    /// Whether the log states what something points at.
    pub(crate) fn states(&self, what: &Unstated) -> bool {
        match what {
            Unstated::Party(id) => self.parties.contains_key(id),
            Unstated::Tenant(id) => self.tenants.contains_key(id),
        }
    }
}

impl Entries {
    fn is_empty(&self) -> bool {
        self.parties.is_empty()
            && self.edges.is_empty()
            && self.tenants.is_empty()
            && self.bindings.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
