//! What officers do: apply, approve, reject, suspend, close; each signed with their own key, here
//! in the client.

use std::{path::Path, process::ExitCode};

use affiant_proto::{Body, digest, v1};

use super::{Context, Failure, indices, officer};
use crate::{
    cli::TenantChange,
    dossier_file::{self, BadFile},
    keyfile::OfficerKey,
    rpc::admin::{self as rpc, list_request::What},
};

/// What an officer says of a tenant.
pub(super) enum Act {
    /// With the digest of what was reviewed, where it was given.
    Approve(Option<String>),
    Reject,
    State(v1::TenantState),
}

pub(super) fn new(name: &str, out: &Path) -> Result<ExitCode, Failure> {
    let made = OfficerKey::create(name, out).map_err(|error| match error {
        crate::keyfile::KeyFileError::Content { .. } => Failure::usage(error),
        other => other.into(),
    })?;
    say!(
        "made {} (private, keep it) and {}",
        out.display(),
        out.with_extension("pub").display()
    )?;
    say!("key  {:?}", made.key)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn apply(context: &Context, file: &Path, key: &Path) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(key)?;
    let bad = |error: BadFile| match error {
        BadFile::Io(_) => Failure::io(error),
        _ => Failure::usage(error),
    };
    let application = dossier_file::read(file, context.clock.now_ms()).map_err(bad)?;
    let mut client = context.client().await?;
    let stands = super::bulk::standing(context, &mut client).await?;
    for warning in application.check(&stands).map_err(bad)? {
        aside!("warning: {warning}");
    }
    let bodies = application.into_bodies();
    let count = bodies.len();
    let logged = client
        .sign_and_submit(&name, &signer, bodies, &context.clock)
        .await?;
    say!(
        "{} signed {count} statements, logged at {}",
        name.name,
        range(&logged)
    )?;
    Ok(ExitCode::SUCCESS)
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
    let asked = rpc::DossierRequest {
        tenant: tenant.clone(),
    };
    let dossier = client.calls().dossier(asked).await?.into_inner();
    // What is signed is computed here, from the bytes that are shown here.
    let (read, named) = (
        prost::Message::decode(dossier.dossier.as_slice()),
        digest(&dossier.dossier),
    );
    let read: v1::Dossier = read.map_err(|_| Failure::io("the server's dossier cannot be read"))?;
    say!("{}", crate::wording::dossier(&read, named))?;
    if let Act::Approve(Some(reviewed)) = &act
        && *reviewed != named.to_string()
    {
        return Err(Failure::usage(format!(
            "the dossier of `{tenant}` is not what was reviewed ({reviewed}): nothing was signed"
        )));
    }
    let decision = |verdict: v1::Verdict| v1::Decision {
        header: None,
        tenant: tenant.clone(),
        dossier: named.as_bytes().to_vec(),
        verdict: verdict.into(),
        effective_unix_ms,
        reason: reason.clone(),
        hit: None,
        finding: String::new(),
        reviewed: Vec::new(),
    };
    let has_conditions = read
        .tenant
        .as_ref()
        .is_some_and(|tenant| tenant.conditions.is_some());
    let approves = matches!(act, Act::Approve(_));
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
    if let Some(now) = all.find(|it| super::text(it, "id") == tenant) {
        let state = super::text(now, "state");
        let due = match approves && !state.starts_with("approved") {
            true => "; it is approved once a second officer says the same",
            false => "",
        };
        say!("tenant {tenant} is {state}{due}")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(context: &Context, tenant: &str) -> Result<ExitCode, Failure> {
    let asked = rpc::DossierRequest {
        tenant: tenant.to_owned(),
    };
    let dossier = context
        .client()
        .await?
        .calls()
        .dossier(asked)
        .await?
        .into_inner();
    say!("{}", dossier.json)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn withdraw(
    context: &Context,
    binding: &str,
    key: &Path,
) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(key)?;
    let mut client = context.client().await?;
    let known = client.list(What::Bindings).await?;
    let found = known
        .as_array()
        .into_iter()
        .flatten()
        .find(|entry| super::text(entry, "id") == binding);
    let Some(found) = found else {
        return Err(Failure::usage(format!(
            "no binding `{binding}`; `binding list` shows them"
        )));
    };
    let withdrawn = v1::Binding {
        id: binding.to_owned(),
        tenant: super::text(found, "tenant").to_owned(),
        ..Default::default()
    };
    let body = v1::BindingEvent {
        header: None,
        effective_unix_ms: context.clock.now_ms(),
        binding: Some(withdrawn),
        withdrawn: true,
    };
    let logged = client
        .sign_and_submit(&name, &signer, vec![body.into()], &context.clock)
        .await?;
    say!(
        "{} withdrew {binding}, logged at {}",
        name.name,
        indices(&logged)
    )?;
    Ok(ExitCode::SUCCESS)
}

fn range(logged: &[u64]) -> String {
    match (logged.first(), logged.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        _ => indices(logged),
    }
}
