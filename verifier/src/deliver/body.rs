//! What receivers are sent: an event for a webhook, alerts for Alertmanager.

use affiant_judge::Finding;
use affiant_proto::digest;
use serde_json::{Value, json};

use super::{kept::Due, snapshot::Snapshot};
use crate::wording;

/// Name and version of the form of a webhook's events.
pub(super) const FORM: &str = "affiant.delivery.v1";

/// How long an alert stands that is not sent again: what Alertmanager itself assumes.
pub(super) const LASTS_MS: u64 = 300_000;

/// Which log findings are of.
#[derive(Clone, Debug)]
pub struct LogName {
    /// First line of its checkpoints.
    pub origin: String,
    /// Digest of the deployment's genesis, in hexadecimal.
    pub genesis: String,
}

/// Names an event: the same change of the same finding has the same name whenever it is sent.
pub(super) fn event_id(log: &LogName, due: &Due) -> String {
    let text = format!(
        "affiant delivery v1\n{}\n{}\n{}\n{}\n",
        log.genesis,
        due.id,
        due.number,
        due.state()
    );
    let id = digest(text.as_bytes()).to_string();
    id.chars().take(32).collect()
}

/// Writes a webhook's event.
pub(super) fn event(log: &LogName, due: &Due, snapshot: &Snapshot) -> Value {
    let first = due.events.first().map(|event| event.as_str());
    let finding = snapshot
        .finding(&due.id)
        .map_or_else(|| json!({"id": due.id}), |finding| json!(finding));
    json!({
        "form": FORM,
        "event_id": event_id(log, due),
        "event": first,
        "changes": due.events,
        "log": {
            "origin": log.origin,
            "genesis": log.genesis,
            "size": snapshot.size(),
            "time_unix_ms": snapshot.now_ms(),
        },
        "finding": finding,
    })
}

/// Writes an alert: one that ends now, or one that stands unless it is not sent again.
pub(super) fn alert(log: &LogName, finding: &Finding, now_ms: u64) -> Value {
    let mut labels = json!({
        "alertname": finding.rule.as_str(),
        "severity": finding.severity.as_str(),
        "finding": finding.id,
        "log": log.origin,
    });
    let of = [
        ("tenant", &finding.tenant),
        ("host", &finding.host),
        ("device", &finding.device),
        ("policy", &finding.policy),
    ];
    if let Some(labels) = labels.as_object_mut() {
        for (label, value) in of {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                labels.insert(label.to_owned(), json!(value));
            }
        }
    }
    let mut annotations = json!({
        "summary": finding.title,
        "description": finding.details.join("\n"),
        "evidence": format!(
            "log indices {} to {}; explain it with `affiant-audit explain`",
            finding.evidence.first_index, finding.evidence.last_index
        ),
    });
    if let (Some(handling), Some(annotations)) = (&finding.handling, annotations.as_object_mut()) {
        annotations.insert("handling".into(), json!(handling.to_string()));
    }
    let ends = match stands(finding) {
        true => now_ms.saturating_add(LASTS_MS),
        false => now_ms.max(finding.opened_unix_ms),
    };
    json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": wording::time(finding.opened_unix_ms),
        "endsAt": wording::time(ends),
    })
}

/// Whether somebody should be alerted of a finding: it goes on, and nobody has settled it.
pub(super) fn stands(finding: &Finding) -> bool {
    finding.open && !finding.handling.as_ref().is_some_and(|it| it.is_settled())
}
