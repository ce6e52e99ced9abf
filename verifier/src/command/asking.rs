//! `check`: may a tenant use a class of device at a site now. And what is done about findings.

use std::{path::Path, process::ExitCode};

use affiant_judge::asking::Answer;
use affiant_proto::v1;
use affiant_report::digits::FirstDigits;

use super::{Context, Failure, indices, officer, text};
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
        println!("{said}");
    } else {
        let at = crate::wording::time(answer.as_of_unix_ms);
        let verdict = if answer.allowed {
            "allowed"
        } else {
            "not allowed"
        };
        println!("{verdict}: tenant {tenant} on {class}, as known at {at}");
        for it in &answer.against {
            println!("  {:<26} {}", it.rule.as_str(), plain(&it.detail));
        }
        for unknown in &answer.unknown {
            println!("  {:<26} {}", "not known", plain(unknown));
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
    if reason.is_empty() {
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
    println!(
        "{} {}\n  {}",
        plain(text(finding, "rule")),
        plain(id),
        plain(text(finding, "title"))
    );
    println!(
        "you sign that {}",
        match verdict {
            v1::Verdict::Resolve => "what caused it was put right",
            v1::Verdict::Withdraw => "it should not have been raised",
            _ => "somebody is at it",
        }
    );
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
    println!("{} signed, logged at {}", name.name, indices(&logged));
    if verdict == v1::Verdict::Withdraw {
        let all = client.list(What::Findings).await?;
        let mut all = all.as_array().into_iter().flatten();
        let now = all.find(|finding| text(finding, "id") == id);
        let state = now.and_then(|finding| finding.get("handling")?.get("state")?.as_str());
        match state {
            Some("withdrawn") => println!("it is withdrawn; it stays in every report"),
            _ => println!(
                "it is withdrawn once a second officer says the same; it stays in every report"
            ),
        }
    }
    Ok(ExitCode::SUCCESS)
}
