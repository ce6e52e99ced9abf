//! What officers decide on a tenant: approve, reject, suspend, close; each shown what he signs, and signed with
//! his own key, here in the client.

use std::process::ExitCode;

use affiant_judge::registry::stands::Stands;
use affiant_proto::{Body, Ed25519Signer, Signer as _, v1};

use super::{Context, Failure, bulk, indices, officer, persons::Officers, text};
use crate::{cli::TenantChange, client::Client, rpc::admin::list_request::What, told};

/// What an officer says of a tenant.
pub(super) enum Act {
    /// With the digest of what was reviewed, where it was given.
    Approve(Option<String>),
    Reject,
    State(v1::TenantState),
}

pub(super) async fn decide(
    context: &Context,
    change: TenantChange,
    act: Act,
) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(&change.key)?;
    let mut client = context.client().await?;
    let effective_unix_ms = change.effective.unwrap_or_else(|| context.clock.now_ms());
    let (tenant, reason) = (change.tenant, change.reason);
    // What is signed is computed here, from the bytes that are shown here.
    let (read, named, beside) = bulk::told(&mut client, &tenant).await?;
    say!("{}", told::lines(&read, named, &beside))?;
    if let Act::Approve(Some(reviewed)) = &act
        && *reviewed != named.to_string()
    {
        return Err(Failure::usage(format!(
            "the dossier of `{tenant}` is not what was reviewed ({reviewed}): nothing was signed"
        )));
    }
    let approves = matches!(act, Act::Approve(_));
    if let Some(why) = beside.barred().filter(|_| approves) {
        return Err(Failure::usage(format!(
            "tenant `{tenant}`: {why}; nothing was signed"
        )));
    }
    let to_come: Vec<String> = told::to_come(&beside.stands).collect();
    if approves && !to_come.is_empty() {
        let to_come = to_come.join("; ");
        aside!("note: two persons' approvals after it LIFT what is to come: {to_come}");
    }
    let decision = |verdict: v1::Verdict| v1::Decision {
        tenant: tenant.clone(),
        dossier: named.as_bytes().to_vec(),
        verdict: verdict.into(),
        effective_unix_ms,
        reason: reason.clone(),
        ..Default::default()
    };
    let has_conditions = read
        .tenant
        .as_ref()
        .is_some_and(|tenant| tenant.conditions.is_some());
    let body: Body = match act {
        Act::Approve(_) if has_conditions => decision(v1::Verdict::ApproveWithConditions).into(),
        Act::Approve(_) => decision(v1::Verdict::Approve).into(),
        Act::Reject => decision(v1::Verdict::Reject).into(),
        Act::State(state) => v1::TenantEvent {
            header: None,
            effective_unix_ms,
            body: Some(v1::tenant_event::Body::State(v1::TenantStateChange {
                tenant: tenant.clone(),
                state: state.into(),
                reason: reason.clone(),
            })),
        }
        .into(),
    };
    let logged = client
        .sign_and_submit(&name, &signer, vec![body], &context.clock)
        .await?;
    say!("{} signed, logged at {}", name.name, indices(&logged))?;
    let all = client.list(What::Tenants).await?;
    let mut all = all.as_array().into_iter().flatten();
    if let Some(now) = all.find(|it| text(it, "id") == tenant) {
        let state = text(now, "state");
        let stands = now.get("stands").cloned().unwrap_or_default();
        let stands: Stands = serde_json::from_value(stands)
            .map_err(|_| Failure::io("the server's answer cannot be read"))?;
        let to_come = match text(now, "to_come") {
            "" => String::new(),
            to_come => format!("; {to_come}"),
        };
        let due = match approves {
            true => due(&stands, &chain_of(&mut client, &signer).await?, &name.name),
            false => String::new(),
        };
        say!("tenant {tenant} is {state}{to_come}{due}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The chain of the officer with a key.
async fn chain_of(client: &mut Client, signer: &Ed25519Signer) -> Result<String, Failure> {
    let officers = Officers::of(client).await?;
    Ok(officers
        .chain_of(signer.public_key())
        .unwrap_or_default()
        .to_owned())
}

/// What is due after an approval by the officer with the chain `own`.
fn due(stands: &Stands, own: &str, name: &str) -> String {
    let is_approval = |state: &str| state.starts_with("approved");
    let later = stands.to_come.iter().any(|it| is_approval(&it.state));
    if is_approval(&stands.state) || later {
        return String::new();
    }
    match stands.signed.iter().any(|it| it.officer == own) {
        true => {
            format!("; it is approved once another person says the same, whatever keys {name} has")
        }
        false => "; that decision has no effect: `tenant history` says why".to_owned(),
    }
}

pub(super) async fn show(context: &Context, tenant: &str) -> Result<ExitCode, Failure> {
    let mut client = context.client().await?;
    let (dossier, digest, beside) = bulk::told(&mut client, tenant).await?;
    say!("{}", told::lines(&dossier, digest, &beside))?;
    Ok(ExitCode::SUCCESS)
}
