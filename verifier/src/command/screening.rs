//! Screening lists in the log: what they hit, and deciding on it; `imported` has the lists themselves.

use std::{collections::BTreeMap, process::ExitCode};

use affiant_proto::{Signer as _, v1};
use serde_json::Value;

use super::{Context, Failure, imported, indices, officer, persons::Officers, text};
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
    if reason.trim().is_empty() {
        return Err(Failure::usage("--reason is due: why you decide so"));
    }
    let (name, signer) = officer(&on.key)?;
    let mut client = context.client().await?;
    let all = client.list(What::Hits).await?;
    let hit = id.one(hits(&all), |hit| text(hit, "id"));
    let hit = hit
        .map_err(|error| Failure::usage(format!("hits: {error}; `lists hits --all` shows them")))?;
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
    let index = indices(&logged);
    say!("{} signed, logged at {index}", name.name)?;
    let now = client.list(What::Hits).await?;
    let Some(now) = hits(&now).find(|it| text(it, "id") == text(hit, "id")) else {
        return Ok(ExitCode::SUCCESS);
    };
    say!("the hit is {}", text(now, "disposition"))?;
    if verdict == v1::Verdict::Clear && text(now, "disposition") != "cleared" {
        let officers = Officers::of(&mut client).await?;
        let own = officers.chain_of(signer.public_key()).unwrap_or_default();
        say!("{}", short_of(&officers, own, hit, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Why the word of the officer with the chain `own` did not clear a hit, as it stood before and stands now.
fn short_of(officers: &Officers, own: &str, before: &Value, now: &Value) -> String {
    let (said, counts) = (cleared_by(before), cleared_by(now));
    if said.contains(&own) {
        return "that changes nothing: you said so before, and one person counts once; a second officer has to clear \
                it too"
            .to_owned();
    }
    if counts.contains(&own) {
        let class = text(now, "class");
        return format!(
            "a hit of class {class} takes two officers: a second officer has to clear it too"
        );
    }
    let why = match said.is_empty() {
        true => "you act for a tenant of this party".to_owned(),
        false => {
            let others = officers.names_of(&said);
            format!(
                "{others} cleared it before, and you are the same person, or act for a tenant of this party"
            )
        }
    };
    format!("that changes nothing: {why}; an officer who is another person has to clear it")
}

/// The officers whose word counts for clearing a hit, by their chains.
fn cleared_by(hit: &Value) -> Vec<&str> {
    let all = hit.get("cleared_by").and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

pub(super) fn hits(value: &Value) -> impl Iterator<Item = &Value> {
    value
        .get("hits")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// All hits by id: of which class each is, and it in a line.
pub(super) fn hits_of(value: &Value) -> BTreeMap<String, (String, String)> {
    let by_id = |hit| {
        (
            text(hit, "id").to_owned(),
            (text(hit, "class").to_owned(), line(hit)),
        )
    };
    hits(value).map(by_id).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_clears_a_grave_hit_is_told_whose_word_is_due_and_when_his_own_changes_nothing() {
        let officers = Officers::listed(json!([
            {"name": "alice", "chain": "aa11", "key": "1"},
            {"name": "alice", "chain": "aa22", "key": "2"},
        ]));
        let hit = |by: &[&str]| json!({"class": "strong", "cleared_by": by});
        let told =
            |own, before: &[&str], now: &[&str]| short_of(&officers, own, &hit(before), &hit(now));
        let first = told("aa11", &[], &["aa11"]);
        assert!(first.contains("class strong takes two officers"), "{first}");
        let again = told("aa11", &["aa11"], &["aa11"]);
        assert!(again.contains("you said so before"), "{again}");
        let other_key = told("aa22", &["aa11"], &["aa11"]);
        assert!(
            other_key.contains("alice (aa11) cleared it before, and you are the same person"),
            "{other_key}"
        );
        let tied = told("aa22", &[], &[]);
        assert!(tied.contains("you act for a tenant"), "{tied}");
        for told in [again, other_key, tied] {
            assert!(told.starts_with("that changes nothing") && !told.contains("once a second"));
        }
    }
}
