//! What an officer is told of a tenant before he signs, in plain words: by its dossier, over whose digest he
//! signs, and beside it by lists, officers and the time.
//!
//! Review lists, `tenant show` and `tenant approve` all say it as it is said here.

use std::collections::BTreeSet;

use affiant_judge::{
    Judge, dispositions::Disposition, listings::Listed, objections::Objection,
    registry::stands::Stands, timeline::Moment,
};
use affiant_proto::{
    Digest,
    v1::{self, EdgeKind},
};
use serde::{Deserialize, Serialize};

use crate::wording::{plain, time};

/// One thing that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is about, in a word or two.
    pub label: String,
    /// What is said.
    pub text: String,
    /// The id of the hit that it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit: Option<String>,
}

impl Part {
    fn new(label: &str, text: impl Into<String>) -> Self {
        Self {
            label: label.to_owned(),
            text: text.into(),
            hit: None,
        }
    }

    /// It on a line of its own; nothing in it can end the line or hide it.
    pub fn line(&self) -> String {
        format!("{:<16} {}", plain(&self.label), plain(&self.text))
    }
}

/// What stands beside a dossier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// How the tenant stands.
    pub stands: Stands,
    /// All that is told.
    pub parts: Vec<Part>,
}

impl Beside {
    /// Why nobody can approve the tenant as it stands; none when two officers can.
    pub fn barred(&self) -> Option<String> {
        let was = self.stands.barred.as_ref()?;
        Some(format!(
            "it was {was}, and has to apply anew before anybody can approve it: `tenant apply`"
        ))
    }

    /// Whether the conditions of the dossier are over.
    pub fn has_expired(&self) -> bool {
        let mut all = self.parts.iter();
        all.any(|part| part.label == CONDITIONS && part.text.starts_with(EXPIRED))
    }

    /// How the tenant stands, as it is told.
    pub fn state(&self) -> Option<&Part> {
        self.parts.iter().find(|part| part.label == STATE)
    }
}

const STATE: &str = "state";
const CONDITIONS: &str = "conditions";
const EXPIRED: &str = "EXPIRED";

/// All of it, a line each: the dossier, its digest, and what stands beside it.
pub fn lines(dossier: &v1::Dossier, digest: Digest, beside: &Beside) -> String {
    let parts = by_dossier(dossier).into_iter();
    let digest = Part::new("digest", digest.to_string());
    let all = parts.chain([digest]).chain(beside.parts.iter().cloned());
    all.map(|part| part.line()).collect::<Vec<_>>().join("\n")
}

/// What follows from a dossier alone.
pub fn by_dossier(dossier: &v1::Dossier) -> Vec<Part> {
    let tenant = dossier.tenant.clone().unwrap_or_default();
    let who = |id: &str| {
        let party = dossier.parties.iter().find(|party| party.id == id);
        let name = party.and_then(|party| party.names.first());
        let name = name.map_or("NOT STATED", |name| name.text.as_str());
        let seat = party.map_or("", |party| party.headquarters.as_str());
        let seat = if seat.is_empty() { "unknown" } else { seat };
        format!("{name} ({id}, headquarters {seat})")
    };
    let or = |id: &str, none: &str| match id.is_empty() {
        true => none.to_owned(),
        false => who(id),
    };
    let mut parts = vec![
        Part::new("tenant", &tenant.id),
        Part::new("customer", or(&tenant.customer, "NONE")),
    ];
    let between = tenant.intermediaries.iter();
    parts.extend(between.map(|id| Part::new("through", who(id))));
    let end = or(&tenant.end_customer, "UNDECLARED");
    parts.push(Part::new("end customer", end));
    let parent = or(&tenant.ultimate_parent, "UNRESOLVED");
    parts.push(Part::new("ultimate parent", parent));
    let named = [
        &tenant.customer,
        &tenant.end_customer,
        &tenant.ultimate_parent,
    ];
    let named = named.into_iter().chain(&tenant.intermediaries);
    let named: BTreeSet<&str> = named.map(String::as_str).collect();
    let stated = dossier.parties.iter().map(|party| party.id.as_str());
    // An owner whom nobody stated stands behind them all the same.
    let ends = dossier.edges.iter().flat_map(|edge| [&edge.from, &edge.to]);
    let others: BTreeSet<&str> = stated.chain(ends.map(String::as_str)).collect();
    for id in others.difference(&named) {
        parts.push(Part::new("behind them", who(id)));
    }
    for edge in &dossier.edges {
        parts.push(Part::new("ties", relation(edge)));
    }
    terms(tenant.conditions.as_ref(), &mut parts);
    parts.push(Part::new(
        "training",
        match tenant.training_declared {
            Some(true) => "trains models",
            Some(false) => "trains no models",
            None => "NOT DECLARED",
        },
    ));
    parts.push(match tenant.declared_use.as_str() {
        "" => Part::new("declared use", "NONE"),
        text => Part::new("declared use", text),
    });
    for key in &tenant.objection_keys {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        parts.push(Part::new("may object by", hex));
    }
    parts
}

/// Who has what to do with whom.
fn relation(edge: &v1::Edge) -> String {
    let percent = |bp: u32| format!("{}.{:02} %", bp / 100, bp % 100);
    let share = match (edge.share_min_bp, edge.share_max_bp) {
        (Some(min), Some(max)) if min == max => percent(min),
        (Some(min), Some(max)) => format!("{} to {}", percent(min), percent(max)),
        (Some(min), None) => format!("at least {}", percent(min)),
        (None, Some(max)) => format!("at most {}", percent(max)),
        (None, None) => "an UNKNOWN share".to_owned(),
    };
    let (from, to) = (&edge.from, &edge.to);
    let said = match EdgeKind::try_from(edge.kind).unwrap_or_default() {
        EdgeKind::Owns => format!("{from} owns {share} of {to}"),
        EdgeKind::Controls => format!("{from} controls {to}"),
        EdgeKind::ResellsTo => format!("{from} resells to {to}"),
        EdgeKind::ActsFor => format!("{from} acts for {to}"),
        EdgeKind::AffiliatedUnitOf => format!("{from} is a unit of {to}"),
        EdgeKind::Unspecified => format!("{from} has to do with {to}"),
    };
    match edge.until_unix_ms {
        Some(until) => format!("{said}, until {}", time(until)),
        None => said,
    }
}

fn terms(conditions: Option<&v1::Conditions>, parts: &mut Vec<Part>) {
    let Some(conditions) = conditions else {
        let none = "NONE: all device classes, without end";
        parts.push(Part::new(CONDITIONS, none));
        return;
    };
    let classes = match conditions.device_classes.is_empty() {
        true => "NONE".to_owned(),
        false => conditions.device_classes.join(", "),
    };
    parts.push(Part::new("device classes", classes));
    if let Some(begin) = conditions.valid_from_unix_ms {
        parts.push(Part::new("valid from", time(begin)));
    }
    let end = conditions.valid_to_unix_ms;
    let end = end.map_or("NO END".to_owned(), time);
    parts.push(Part::new("valid until", end));
    if !conditions.sites.is_empty() {
        parts.push(Part::new("sites", conditions.sites.join(", ")));
    }
    let caps = [
        (
            "at once",
            conditions.max_gpus.map(u64::from),
            "GPUs at most",
        ),
        (
            "at once",
            conditions.max_aggregate_tpp,
            "TPP (total processing performance, summed over devices) at most",
        ),
        (
            "in a month",
            conditions.max_gpu_hours_month,
            "GPU-hours at most, by calendar months in UTC",
        ),
    ];
    for (label, most, what) in caps {
        parts.extend(most.map(|most| Part::new(label, format!("{most} {what}"))));
    }
}

/// What stands beside a tenant's dossier at an instant, or at the log's own time where that is later.
pub fn beside(judge: &Judge, tenant: &str, now_unix_ms: u64) -> Beside {
    let registry = judge.registry();
    let now = judge.now_unix_ms().max(now_unix_ms);
    let stands = registry.stands(tenant, now);
    let mut parts = standing(judge, &stands);
    let conditions = registry.newest(tenant);
    let conditions = conditions.and_then(|tenant| tenant.conditions.as_ref());
    parts.extend(conditions.and_then(|conditions| over(conditions, now)));
    let at = Moment::as_known_now(u64::MAX, now);
    let mut screened = registry.screened_dossier(tenant, at);
    screened.give(judge.pack().parameters().hit_days());
    if screened.lists.is_empty() {
        let none = "NOBODY is screened: no list is in force";
        parts.push(Part::new("screening", none));
    }
    for list in &screened.unread {
        let text = format!("NOT against list {list}: its file is not at hand");
        parts.push(Part::new("screening", text));
    }
    let open = screened.hits.iter().filter(|hit| hit.is_open());
    parts.extend(open.map(|it| hit(it, now)));
    let objections = judge.objections().iter();
    let its = objections.filter(|objection| objection.tenant == tenant);
    parts.extend(its.map(objection));
    Beside { stands, parts }
}

fn standing(judge: &Judge, stands: &Stands) -> Vec<Part> {
    let since = stands.since_unix_ms.map(time);
    let since = since.map_or_else(String::new, |since| format!(" since {since}"));
    let mut parts = vec![Part::new(STATE, format!("{}{since}", stands.state))];
    parts.extend(to_come(stands).map(|text| Part::new("to come", text)));
    if let Some(was) = &stands.barred {
        let text = format!("NOBODY can approve it: it was {was} and has to apply anew");
        parts.push(Part::new("approval", text));
    }
    for waiting in &stands.signed {
        let short: String = waiting.officer.chars().take(8).collect();
        let name = judge.officer_name(&waiting.officer);
        let name = name.unwrap_or_else(|| "officer".to_owned());
        let index = waiting.index;
        let text = format!("{name} ({short}) at log index {index}; another has still to approve");
        parts.push(Part::new("signed by", text));
    }
    parts
}

/// What a tenant will be if nothing else is logged, in words.
pub fn to_come(stands: &Stands) -> impl Iterator<Item = String> + '_ {
    let all = stands.to_come.iter();
    all.map(|it| format!("from {}: {}", time(it.from_unix_ms), it.state))
}

/// Conditions that are over, or not yet begun: approved so, a tenant may use nothing.
fn over(conditions: &v1::Conditions, now: u64) -> Option<Part> {
    let end = conditions.valid_to_unix_ms.filter(|end| *end < now);
    let begin = conditions.valid_from_unix_ms.filter(|begin| *begin > now);
    let text = match (end, begin) {
        (Some(end), _) => format!("{EXPIRED}: they ended {}; it may use nothing", time(end)),
        (None, Some(begin)) => format!("they begin {}; until then it may use nothing", time(begin)),
        (None, None) => return None,
    };
    Some(Part::new(CONDITIONS, text))
}

fn hit(hit: &Listed, now: u64) -> Part {
    let what = format!(
        "{} \"{}\" ~ \"{}\" on list {} ({}), hit {}",
        hit.party, hit.name, hit.listed, hit.list, hit.class, hit.id
    );
    let (label, text) = match (hit.disposition, hit.due_unix_ms) {
        (Disposition::Confirmed, _) => ("CONFIRMED", format!("it is the listed party: {what}")),
        (_, Some(due)) if due <= now => ("on hold", format!("OVERDUE since {}: {what}", time(due))),
        (_, Some(due)) => ("on hold", format!("until {}: {what}", time(due))),
        (_, None) => ("undecided", what),
    };
    Part {
        hit: Some(hit.id.clone()),
        ..Part::new(label, text)
    }
}

fn objection(objection: &Objection) -> Part {
    let what = match (&objection.finding, &objection.device_class) {
        (Some(finding), _) => format!("finding {finding}"),
        (None, Some(class)) => format!("figures of class {class}"),
        (None, None) => "all figures".to_owned(),
    };
    let text = objection.text.replace(['\n', '\t'], " ");
    let text = format!(
        "{what}, {} to {}, log index {}: {text}",
        time(objection.from_unix_ms),
        time(objection.to_unix_ms),
        objection.index
    );
    Part::new("objects to", text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
