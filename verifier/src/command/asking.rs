//! `check`: may a tenant use a class of device at a site now. And what is done about findings.

use std::{path::Path, process::ExitCode};

use affiant_judge::{
    asking::Answer,
    handling::{Handling, Signed, State},
};
use affiant_proto::{Signer as _, v1};
use affiant_report::digits::FirstDigits;

use super::{Context, Failure, indices, listing::handling, officer, persons::Officers, text};
use crate::{
    rpc::admin::{self as rpc, list_request::What},
    wording::plain,
};

/// Asks the running judge; exits 1 where something stands against it, 3 where nothing does but not all is
/// known.
pub(super) async fn check(
    context: &Context,
    tenant: &str,
    class: &str,
    site: &str,
    json: bool,
) -> Result<ExitCode, Failure> {
    let asked = rpc::CheckRequest {
        tenant: tenant.to_owned(),
        device_class: class.to_owned(),
        site: site.to_owned(),
    };
    let mut client = context.client().await?;
    let said = client.calls().check(asked).await?.into_inner().json;
    let answer: Answer = serde_json::from_str(&said).map_err(Failure::io)?;
    if json {
        say!("{said}")?;
    } else {
        let at = crate::wording::time(answer.as_of_unix_ms);
        let verdict = if answer.allowed {
            "allowed"
        } else {
            "not allowed"
        };
        say!("{verdict}: tenant {tenant} on {class}, as known at {at}")?;
        for it in &answer.against {
            say!("  {:<26} {}", it.rule.as_str(), plain(&it.detail))?;
        }
        for unknown in &answer.unknown {
            say!("  {:<26} {}", "not known", plain(unknown))?;
        }
    }
    Ok(ExitCode::from(
        match (answer.allowed, answer.unknown.is_empty()) {
            (false, _) => 1,
            (true, false) => 3,
            (true, true) => 0,
        },
    ))
}

/// Signs that a finding is acknowledged, resolved or to be withdrawn; shows it first.
pub(super) async fn handle(
    context: &Context,
    id: &FirstDigits,
    verdict: v1::Verdict,
    reason: &str,
    key: &Path,
) -> Result<ExitCode, Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::usage(
            "--reason is due: it is logged for the auditor",
        ));
    }
    let (name, signer) = officer(key)?;
    let mut client = context.client().await?;
    let all = client.list(What::Findings).await?;
    let all = all.as_array().into_iter().flatten();
    let finding = id
        .one(all, |finding| text(finding, "id"))
        .map_err(|error| {
            Failure::usage(format!("findings: {error}; `findings --all` shows them"))
        })?;
    let id = text(finding, "id");
    say!(
        "{} {}\n  {}",
        plain(text(finding, "rule")),
        plain(id),
        plain(text(finding, "title"))
    )?;
    say!(
        "you sign that {}",
        match verdict {
            v1::Verdict::Resolve => "what caused it was put right",
            v1::Verdict::Withdraw => "it should not have been raised",
            _ => "somebody is at it",
        }
    )?;
    let body = v1::Decision {
        verdict: verdict.into(),
        effective_unix_ms: context.clock.now_ms(),
        reason: reason.to_owned(),
        finding: id.to_owned(),
        ..Default::default()
    };
    let logged = client
        .sign_and_submit(&name, &signer, vec![body.into()], &context.clock)
        .await?;
    say!("{} signed, logged at {}", name.name, indices(&logged))?;
    if verdict == v1::Verdict::Withdraw {
        let officers = Officers::of(&mut client).await?;
        let own = officers.chain_of(signer.public_key());
        let all = client.list(What::Findings).await?;
        let mut all = all.as_array().into_iter().flatten();
        let now = all.find(|finding| text(finding, "id") == id);
        say!(
            "{}",
            withdrawing(own, handling(finding), now.and_then(handling))
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How a withdrawal stands by the word of an officer, whose chain is his `own`.
fn withdrawing(own: Option<&str>, before: Option<Handling>, now: Option<Handling>) -> String {
    let asks = |it: &Handling| it.state == State::WithdrawalAsked;
    let mine = |it: &Signed| Some(it.officer.as_str()) == own;
    let said = before
        .filter(asks)
        .is_some_and(|it| it.signed.iter().any(mine));
    let Some(now) = now else {
        return "it is not found any more".to_owned();
    };
    if now.state == State::Withdrawn {
        return "it is withdrawn; it stays in every report".to_owned();
    }
    let others = now.signed.iter().filter(|it| asks(&now) && !mine(it));
    let others: Vec<String> = others.map(|it| plain(it.called())).collect();
    if !others.is_empty() {
        return format!(
            "that changes nothing: {} asked for it too, and is the same person; it takes an officer who is another",
            others.join(", ")
        );
    }
    match said {
        true => "that changes nothing: you asked for it before, and one person counts once; it takes a second officer",
        false => "it is withdrawn once a second officer says the same; it stays in every report",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(state: State, by: &[&str]) -> Option<Handling> {
        let signed = by.iter().map(|chain| Signed {
            officer: (*chain).to_owned(),
            name: Some("alice".to_owned()),
            reason: "wrong".to_owned(),
            index: 1,
            logged_unix_ms: 1,
        });
        Some(Handling {
            state,
            officer: "aa".to_owned(),
            reason: "wrong".to_owned(),
            index: 1,
            logged_unix_ms: 1,
            overtaken: false,
            signed: signed.collect(),
        })
    }

    #[test]
    fn who_withdraws_is_told_whose_word_is_due_and_when_his_own_changes_nothing() {
        let waits = |by: &[&str]| asked(State::WithdrawalAsked, by);
        let told = |before, now| withdrawing(Some("aa"), before, now);
        assert!(told(None, waits(&["aa"])).contains("once a second officer"));
        let resolved = asked(State::Resolved, &["aa"]);
        assert!(told(resolved, waits(&["aa"])).contains("once a second officer"));
        let again = told(waits(&["aa"]), waits(&["aa"]));
        assert!(
            again.contains("changes nothing: you asked for it before"),
            "{again}"
        );
        let other_key = told(waits(&["bb"]), waits(&["aa", "bb"]));
        assert!(
            other_key.contains("alice asked for it too, and is the same person"),
            "{other_key}"
        );
        let both = asked(State::Withdrawn, &["aa", "bb"]);
        assert!(told(waits(&["bb"]), both).starts_with("it is withdrawn;"));
    }
}
