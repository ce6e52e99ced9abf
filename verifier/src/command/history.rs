//! How a tenant stood at an instant, as known then and as known since; and all that was ever said of it.

use std::process::ExitCode;

use serde_json::Value;

use super::{Context, Failure, text};
use crate::{
    happened,
    rpc::admin as rpc,
    wording::{self, Instant},
};

pub(super) async fn show(
    context: &Context,
    tenant: &str,
    at: Option<Instant>,
    known: Option<Instant>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let now = context.clock.now_ms();
    let at = at.and_then(Instant::at).unwrap_or(now);
    let known_unix_ms = known.and_then(Instant::at);
    let asked = rpc::TenantAtRequest {
        tenant: tenant.to_owned(),
        at_unix_ms: at,
        known_unix_ms,
    };
    let said = context.client().await?.calls().tenant_at(asked).await?;
    let said = said.into_inner().json;
    if json {
        say!("{said}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let said: Value = serde_json::from_str(&said)
        .map_err(|_| Failure::io("the server's answer cannot be read"))?;
    say!("tenant {tenant} at {}", wording::time(at))?;
    if at > now {
        say!(
            "that is in the future: it stands so if nothing else is logged until then, and what is known \
             then is not known yet"
        )?;
    }
    let later = known_unix_ms.map_or("now".to_owned(), wording::time);
    for (known, view) in [
        ("then", "as_known_then"),
        (later.as_str(), "as_known_later"),
    ] {
        say!("\nas known {known}")?;
        for (label, words) in lines(&said, view) {
            say!("  {label:<16} {}", wording::plain(&words))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All that was said of a tenant, of the parties of its dossier and of its bindings, in the order of the log.
pub(super) async fn events(
    context: &Context,
    tenant: &str,
    json: bool,
) -> Result<ExitCode, Failure> {
    let asked = rpc::DossierRequest {
        tenant: tenant.to_owned(),
    };
    let mut client = context.client().await?;
    let said = client.calls().tenant_history(asked).await?;
    let said = said.into_inner().json;
    if json {
        say!("{said}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let events: Vec<happened::Line> = serde_json::from_str(&said)
        .map_err(|_| Failure::io("the server's answer cannot be read"))?;
    for event in events {
        say!("{}", event.words())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(said: &Value, view: &str) -> Vec<(&'static str, String)> {
    let Some(view) = said.get(view) else {
        return Vec::new();
    };
    let is = |key: &str| view.get(key).and_then(Value::as_bool).unwrap_or(false);
    let mut lines = vec![("state", text(view, "state").to_owned())];
    let may = match (
        is("permitted"),
        view.get("classes").filter(|it| !it.is_null()),
    ) {
        (false, _) => "no device".to_owned(),
        (true, None) => "devices of all classes".to_owned(),
        (true, classes) => format!("devices of {}", all(classes).join(", ")),
    };
    lines.push(("might use", may));
    if let Some(change) = view.get("change").filter(|it| !it.is_null()) {
        let number = |key: &str| change.get(key).and_then(Value::as_u64);
        let time = |key: &str| number(key).map(wording::time).unwrap_or_default();
        let since = time("from_unix_ms");
        let logged = number("index").unwrap_or_default();
        let when = time("logged_unix_ms");
        lines.push((
            "since",
            format!("{since}, logged at index {logged}, {when}"),
        ));
        let named = |chain: &str| {
            let name = said.get("officers").and_then(|all| all.get(chain));
            let name = name.and_then(Value::as_str).unwrap_or("officer");
            let short: String = chain.chars().take(8).collect();
            format!("{name} ({short})")
        };
        let by: Vec<String> = all(change.get("officers")).into_iter().map(named).collect();
        if !by.is_empty() {
            lines.push(("by", by.join(", ")));
        }
        if !text(change, "reason").is_empty() {
            lines.push(("because", text(change, "reason").to_owned()));
        }
        if let Some(index) = number("doubted_at_index") {
            lines.push(("in doubt", format!("by what was logged at index {index}")));
        }
    } else {
        lines.push(("since", "nobody decided anything".to_owned()));
    }
    if is("undeclared") {
        lines.push((
            "end customer",
            "UNDECLARED, and somebody stands between".to_owned(),
        ));
    }
    let seats = view.get("headquarters").and_then(Value::as_object);
    for (party, countries) in seats.into_iter().flatten() {
        let countries = all(Some(countries)).join(", ");
        lines.push(("headquarters", format!("{party} {countries}")));
    }
    let unknown = all(view.get("unknown"));
    if !unknown.is_empty() {
        lines.push(("not known", unknown.join(", ")));
    }
    lines
}

/// The texts of an array; none where it is no array.
fn all(value: Option<&Value>) -> Vec<&str> {
    let all = value.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).collect()
}
