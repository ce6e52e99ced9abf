//! The history of a tenant as people read it: who said what and when, and what changed by it.

use affiant_judge::{
    Judge,
    registry::history::{Event, What},
};
use affiant_proto::v1::{TenantState, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    entries::{Binding, Edge, Party, Tenant},
    wording::{plain, time},
};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Log index.
    pub index: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_unix_ms: u64,
    /// The instant from which it is said to work.
    pub effective_unix_ms: u64,
    /// Who said so, by the digest that opened his chain; none where it follows from what others said.
    pub officer: Option<String>,
    /// His name, where anybody named him.
    pub name: Option<String>,
    /// What it is about, as `party acme`.
    pub about: String,
    /// What changed, in words.
    pub what: String,
}

/// All events of a tenant and of the parties of its dossier, in the order of the log; none when nobody stated it.
pub fn lines(judge: &Judge, tenant: &str) -> Option<Vec<Line>> {
    let events = judge.history(tenant)?.into_iter();
    let line = |event: Event| {
        let name = event.officer.as_deref();
        let name = name.and_then(|chain| judge.officer_name(chain));
        let (about, what) = told(tenant, event.what);
        Line {
            index: event.index,
            logged_unix_ms: event.logged_unix_ms,
            effective_unix_ms: event.effective_unix_ms,
            officer: event.officer,
            name,
            about,
            what,
        }
    };
    Some(events.map(line).collect())
}

impl Line {
    /// It on two lines, for people.
    pub fn words(&self) -> String {
        let chain = self.officer.as_deref().unwrap_or_default();
        let short: String = chain.chars().take(8).collect();
        let by = match (&self.officer, &self.name) {
            (None, _) => "nobody's act".to_owned(),
            (Some(_), Some(name)) => format!("{name} ({short})"),
            (Some(_), None) => format!("officer {short}"),
        };
        let from = match self.effective_unix_ms {
            same if time(same) == time(self.logged_unix_ms) => String::new(),
            other => format!(", effective {}", time(other)),
        };
        format!(
            "{:>8}  {}{from}  {}\n          {}: {}",
            self.index,
            time(self.logged_unix_ms),
            plain(&by),
            plain(&self.about),
            plain(&self.what)
        )
    }
}

/// What an event is about, and what it says.
fn told(tenant: &str, what: What) -> (String, String) {
    let its = || format!("tenant {tenant}");
    match what {
        What::Party(before, after) => {
            let about = format!("party {}", after.id);
            let before = before.as_ref().map(Party::of);
            (about, changed(before.as_ref(), &Party::of(&after), &["id"]))
        }
        What::Edge(before, after) => {
            let after = Edge::of(&after);
            let about = format!("edge from {} to {}", after.from, after.to);
            let before = before.as_ref().map(Edge::of);
            (about, changed(before.as_ref(), &after, &["from", "to"]))
        }
        What::Tenant(before, after) => {
            let before = before.as_ref().map(Tenant::of);
            let after = Tenant::of(&after);
            (its(), changed(before.as_ref(), &after, &["id"]))
        }
        What::Binding(before, after) => {
            let about = format!("binding {}", after.id);
            let before = before.as_ref().map(Binding::of);
            let after = Binding::of(&after);
            (about, changed(before.as_ref(), &after, &["id", "tenant"]))
        }
        What::Withdrawn(binding) => (format!("binding {binding}"), "withdrawn".to_owned()),
        What::State(state, reason, vain) => {
            let said = match state {
                TenantState::Applied => "applies".to_owned(),
                other => format!("is {}", spelled(other)),
            };
            (its(), because(said, &reason, vain.as_deref()))
        }
        What::Decision(verdict, reason, made) => {
            let said = match verdict {
                Verdict::Approve => "an officer approves it",
                Verdict::ApproveWithConditions => "an officer approves it, with conditions",
                Verdict::Reject => "an officer rejects it",
                _ => "an officer decides nothing that is defined",
            };
            let (came, vain) = match &made {
                Ok(Some(state)) => (format!("{said}; with that it is {state}"), None),
                Ok(None) => (said.to_owned(), None),
                Err(why) => (said.to_owned(), Some(why.as_str())),
            };
            (its(), because(came, &reason, vain))
        }
        What::Hit {
            party,
            name,
            list,
            listed,
            cleared,
        } => {
            let is = if cleared { "is NOT" } else { "IS" };
            let said = format!("\"{name}\" {is} \"{listed}\" of list {list}");
            (format!("party {party}"), said)
        }
        What::Ended(state, reason) => (its(), format!("is {state}: {reason}")),
    }
}

fn spelled(state: TenantState) -> String {
    let name = state.as_str_name();
    let name = name.strip_prefix("TENANT_STATE_").unwrap_or(name);
    name.to_lowercase()
}

fn because(mut said: String, reason: &str, vain: Option<&str>) -> String {
    if !reason.is_empty() {
        said.push_str(&format!(": {reason}"));
    }
    if let Some(why) = vain {
        said.push_str(&format!(" (WITHOUT EFFECT: {why})"));
    }
    said
}

/// What of an entry is new or changed, field by field; those that name it are left out.
fn changed<T: Serialize>(before: Option<&T>, after: &T, names: &[&str]) -> String {
    let fields = |entry: Option<&T>| match entry.map(serde_json::to_value) {
        Some(Ok(Value::Object(fields))) => fields,
        _ => Map::new(),
    };
    let (was, is) = (fields(before), fields(Some(after)));
    let mut all: Vec<&String> = is.keys().chain(was.keys()).collect();
    all.sort();
    all.dedup();
    let mut said = Vec::new();
    for field in all.into_iter().filter(|it| !names.contains(&it.as_str())) {
        let words = field.replace('_', " ");
        match (was.get(field), is.get(field)) {
            (was, is) if was == is => {}
            (None, Some(is)) if before.is_none() => said.push(format!("{words} {}", value(is))),
            (was, is) => {
                let or = |it: Option<&Value>| it.map_or("nothing".to_owned(), value);
                said.push(format!("{words} {} → {}", or(was), or(is)));
            }
        }
    }
    match (before.is_some(), said.is_empty()) {
        (true, true) => "stated again, word for word".to_owned(),
        _ => said.join("; "),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(self::value).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields =
                fields.map(|(name, it)| format!("{} {}", name.replace('_', " "), self::value(it)));
            format!("({})", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use affiant_judge::Parameters;
    use affiant_proto::v1::{self, tenant_event::Body};

    use super::*;

    fn judge() -> Judge {
        let mut judge = Judge::new(Parameters::default());
        let officer = v1::Officer {
            name: "Ann".into(),
            ..Default::default()
        };
        judge.officer(1, [1; 32], &officer);
        judge.clock(2, 1_000);
        judge
    }

    fn say(judge: &mut Judge, index: u64, officer: [u8; 32], body: Body) {
        let event = v1::TenantEvent {
            effective_unix_ms: 1_000,
            body: Some(body),
            ..Default::default()
        };
        judge.tenant_event(index, officer, &event);
    }

    fn party(seat: &str) -> Body {
        Body::Party(v1::Party {
            id: "acme".into(),
            kind: v1::PartyKind::Organisation.into(),
            names: vec![v1::PartyName {
                text: "Acme\nGmbH".into(),
                script: "Latn".into(),
                ..Default::default()
            }],
            headquarters: seat.into(),
            ..Default::default()
        })
    }

    fn tenant() -> Body {
        Body::Tenant(v1::Tenant {
            id: "t".into(),
            customer: "acme".into(),
            conditions: Some(v1::Conditions {
                device_classes: vec!["3A090.a".into()],
                max_gpus: Some(8),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    #[test]
    fn what_is_new_is_told_whole_and_of_what_changed_the_old_and_the_new() {
        let mut judge = judge();
        say(&mut judge, 3, [1; 32], party("DE"));
        say(&mut judge, 4, [1; 32], tenant());
        say(&mut judge, 5, [2; 32], party("CN"));
        say(&mut judge, 6, [2; 32], party("CN"));
        let suspended = v1::TenantStateChange {
            tenant: "t".into(),
            state: TenantState::Suspended.into(),
            reason: "listed since".into(),
        };
        say(&mut judge, 7, [1; 32], Body::State(suspended));
        let lines = lines(&judge, "t").unwrap();
        let told: Vec<_> = lines.iter().map(|line| line.what.as_str()).collect();
        assert!(told[0].contains("headquarters DE"), "{told:?}");
        assert_eq!(
            told[1..],
            [
                "conditions (device classes 3A090.a, max gpus 8); customer acme",
                "headquarters DE → CN",
                "stated again, word for word",
                "is suspended: listed since"
            ]
        );
        assert_eq!(lines[0].name.as_deref(), Some("Ann"));
        assert_eq!((lines[2].index, &lines[2].name), (5, &None));
        let words = lines[0].words();
        assert_eq!(words.lines().count(), 2, "{words}");
        assert!(
            words.starts_with("       3  1970-01-01T00:00:01Z  Ann (01010101)\n"),
            "{words}"
        );
        assert_eq!(super::lines(&judge, "nobody"), None);
    }

    #[test]
    fn a_decision_says_what_came_of_it_or_why_nothing_did() {
        let mut judge = judge();
        say(&mut judge, 3, [1; 32], party("DE"));
        say(&mut judge, 4, [1; 32], tenant());
        let dossier = judge.registry().dossier_digest("t").unwrap();
        let mut index = 4;
        let mut decide = |judge: &mut Judge, officer: [u8; 32], verdict: Verdict| {
            index += 1;
            let decision = v1::Decision {
                tenant: "t".into(),
                dossier: dossier.as_bytes().to_vec(),
                verdict: verdict.into(),
                reason: "seen".into(),
                ..Default::default()
            };
            judge.decision(index, officer, &decision);
        };
        decide(&mut judge, [1; 32], Verdict::ApproveWithConditions);
        decide(&mut judge, [2; 32], Verdict::Approve);
        decide(&mut judge, [2; 32], Verdict::Reject);
        decide(&mut judge, [1; 32], Verdict::Approve);
        let lines = lines(&judge, "t").unwrap();
        let told: Vec<_> = lines.iter().map(|line| line.what.as_str()).collect();
        assert_eq!(told[2], "an officer approves it, with conditions: seen");
        assert_eq!(
            told[3],
            "an officer approves it; with that it is approved_with_conditions: seen"
        );
        assert_eq!(
            told[4],
            "an officer rejects it; with that it is rejected: seen"
        );
        assert!(
            told[5].starts_with("an officer approves it: seen (WITHOUT EFFECT: decision about"),
            "{told:?}"
        );
        assert!(
            lines[3]
                .words()
                .contains(", effective 1970-01-01T00:00:00Z")
        );
    }
}
