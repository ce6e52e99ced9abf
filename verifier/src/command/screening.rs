//! Screening lists in the log: what they hit, and deciding on it; `imported` has the lists themselves.

use std::{collections::BTreeMap, process::ExitCode};

use affiant_proto::v1;
use serde_json::Value;

use super::{Context, Failure, imported, indices, officer, text};
use crate::{
    cli::{Lists, OnHit},
    rpc::admin::list_request::What,
    wording,
};

pub(super) async fn run(context: &Context, command: Lists) -> Result<ExitCode, Failure> {
    match command {
        Lists::Import(asked) => imported::import(context, &asked).await,
        Lists::List(options) => imported::list(context, options.json).await,
        Lists::Hits(options) => show(context, options.all, options.json).await,
        Lists::Pairs(_) | Lists::Screen(_) => {
            Err(Failure::usage("this command runs without a server"))
        }
        Lists::Clear(on) => decide(context, &on, v1::Verdict::Clear).await,
        Lists::Confirm(on) => decide(context, &on, v1::Verdict::Confirm).await,
    }
}

/// Shows hits on parties; exits 1 when there are any to be decided.
async fn show(context: &Context, all: bool, json: bool) -> Result<ExitCode, Failure> {
    let value = context.client().await?.list(What::Hits).await?;
    let open = |hit: &Value| text(hit, "disposition") == "undecided";
    let count = hits(&value).filter(|hit| open(hit)).count();
    if json {
        say!("{value}")?;
        return Ok(ExitCode::from(u8::from(count > 0)));
    }
    let due = |hit: &Value| hit.get("due_unix_ms").and_then(Value::as_u64);
    let mut shown: Vec<&Value> = hits(&value).filter(|hit| all || open(hit)).collect();
    // Those that are overdue the longest come first, those without a deadline last.
    shown.sort_by_key(|hit| due(hit).unwrap_or(u64::MAX));
    let now = context.clock.now_ms();
    for hit in shown {
        say!("{}\n         {}", line(hit), text(hit, "why"))?;
        if let Some(due) = due(hit) {
            let over = if due <= now { "OVERDUE: was" } else { "hold:" };
            say!("         {over} to be decided by {}", wording::time(due))?;
        }
        say!()?;
    }
    for list in value
        .get("unread")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        say!(
            "list {} is in force and its file is not at hand: nobody is screened against it",
            list.as_str().unwrap_or_default()
        )?;
    }
    let decided = hits(&value).count() - count;
    say!(
        "{count} to be decided, {decided} decided{}",
        if all { "" } else { " (--all shows them)" }
    )?;
    Ok(ExitCode::from(u8::from(count > 0)))
}

/// Clears or confirms a hit, by its id; shows it in plain words first.
async fn decide(context: &Context, on: &OnHit, verdict: v1::Verdict) -> Result<ExitCode, Failure> {
    let (id, reason) = (&on.id, &on.reason);
    if reason.is_empty() {
        return Err(Failure::usage("--reason is due: why you decide so"));
    }
    let (name, signer) = officer(&on.key)?;
    let mut client = context.client().await?;
    let all = client.list(What::Hits).await?;
    let named: Vec<&Value> = hits(&all)
        .filter(|hit| text(hit, "id").starts_with(id.as_str()))
        .collect();
    let [hit] = named.as_slice() else {
        return Err(Failure::usage(format!(
            "{} hits begin with `{id}`; `lists hits --all` shows them",
            named.len()
        )));
    };
    let field = |key: &str| text(hit, key).to_owned();
    say!("{}\n         {}", line(hit), text(hit, "why"))?;
    say!(
        "you sign that {}",
        match verdict {
            v1::Verdict::Clear => "this party is NOT the one that is listed",
            _ => "this party IS the one that is listed",
        }
    )?;
    let body = v1::Decision {
        verdict: verdict.into(),
        effective_unix_ms: context.clock.now_ms(),
        reason: reason.clone(),
        hit: Some(v1::HitDecision {
            party: field("party"),
            name: field("name"),
            list: field("list"),
            listed: field("listed"),
            class: field("class"),
        }),
        ..Default::default()
    };
    let logged = client
        .sign_and_submit(&name, &signer, vec![body.into()], &context.clock)
        .await?;
    let (class, index) = (text(hit, "class"), indices(&logged));
    say!("{} signed, logged at {index}", name.name)?;
    let now = client.list(What::Hits).await?;
    let now = hits(&now).find(|it| text(it, "id") == text(hit, "id"));
    match now.map(|it| text(it, "disposition")) {
        Some("undecided") if verdict == v1::Verdict::Clear => {
            say!("a hit of class {class} is cleared once a second officer says the same")?;
        }
        Some(stands) => say!("the hit is {stands}")?,
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn hits(value: &Value) -> impl Iterator<Item = &Value> {
    value
        .get("hits")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// All hits in a line each, by id.
pub(super) fn hits_of(value: &Value) -> BTreeMap<String, String> {
    hits(value)
        .map(|hit| (text(hit, "id").to_owned(), line(hit)))
        .collect()
}

fn line(hit: &Value) -> String {
    let line = format!(
        "{:<8} {:<10} {} \"{}\" ~ \"{}\" on list {} ({})   id {}",
        text(hit, "class"),
        text(hit, "disposition"),
        text(hit, "party"),
        text(hit, "name"),
        text(hit, "listed"),
        text(hit, "list"),
        text(hit, "entry"),
        text(hit, "id"),
    );
    wording::plain(&line)
}
