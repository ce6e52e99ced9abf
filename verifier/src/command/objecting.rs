//! What a tenant says against figures or a finding: signed here, with a key that the server never sees.

use std::{path::Path, process::ExitCode};

use affiant_judge::objections;
use affiant_proto::{Body, Digest, Signer as _, Statement, statement::Place, v1};

use super::{Context, Failure, text};
use crate::{
    cli::Object,
    form,
    keyfile::{self, create_public},
    rpc::admin::{self as rpc, list_request::What},
};

/// Most bytes of a file with an objection: its text in the longest spelling, and its frame.
const MAX_BYTES: u64 = 16 * 1024;

/// Makes an objection, or hands one in; without a server where it goes into a file.
pub(super) async fn run(context: &Context, mut options: Object) -> Result<ExitCode, Failure> {
    if let Some(file) = &options.file {
        let bytes = keyfile::read_bounded(file, MAX_BYTES)?;
        return hand_in(context, bytes).await;
    }
    let out = options.out.clone();
    match (&options.finding, options.from.zip(options.to)) {
        (Some(finding), None) if out.is_none() => {
            let (from, to) = span(context, finding).await?;
            options.from = options.from.or(Some(from));
            options.to = options.to.or(Some(to));
        }
        _ => {}
    }
    let genesis = match (&options.genesis, &out) {
        (Some(text), _) => {
            let read: Result<Digest, _> = text.parse();
            read.map_err(|error| Failure::usage(format!("--genesis: {error}")))?
        }
        (None, _) => {
            let mut client = context.client().await?;
            let status = client.calls().status(rpc::StatusRequest {}).await?;
            affiant_proto::digest(&status.into_inner().genesis)
        }
    };
    let bytes = make(context, options, genesis)?;
    match out {
        Some(out) => {
            create_public(&out, &bytes)?;
            let (out, digest) = (out.display(), affiant_proto::digest(&bytes));
            say!("made {out}, SHA-256 {digest}; hand it in with `tenant object --file {out}`")?;
            Ok(ExitCode::SUCCESS)
        }
        None => hand_in(context, bytes).await,
    }
}

/// The time that a finding is about, as the server has it.
async fn span(context: &Context, finding: &str) -> Result<(u64, u64), Failure> {
    let mut client = context.client().await?;
    for what in [What::Findings, What::Tried] {
        let all = client.list(what).await?;
        let mut all = all.as_array().into_iter().flatten();
        if let Some(found) = all.find(|it| text(it, "id") == finding) {
            let at = |key: &str| found.get(key).and_then(serde_json::Value::as_u64);
            let from = at("opened_unix_ms").unwrap_or_default();
            // The end is excluded.
            let to = at("last_unix_ms").unwrap_or_default().max(from);
            return Ok((from, to.saturating_add(1)));
        }
    }
    Err(Failure::usage(format!(
        "no finding `{finding}`; `findings --all` shows them; nothing was signed"
    )))
}

fn make(context: &Context, options: Object, genesis: Digest) -> Result<Vec<u8>, Failure> {
    let why = match options.finding.is_some() && options.out.is_some() {
        true => ": without a server the time of the finding is not known here",
        false => "",
    };
    let due = |what: &str| Failure::usage(format!("{what} is due{why}"));
    let key = options.key.ok_or_else(|| due("--key"))?;
    let signer = keyfile::read_signer(Path::new(&key))?;
    let body = v1::Objection {
        header: None,
        genesis: genesis.as_bytes().to_vec(),
        tenant: options.tenant.ok_or_else(|| due("the tenant"))?,
        key: signer.public_key().as_bytes().to_vec(),
        from_unix_ms: options.from.ok_or_else(|| due("--from"))?,
        to_unix_ms: options.to.ok_or_else(|| due("--to"))?,
        finding: options.finding.unwrap_or_default(),
        device_class: options.class.unwrap_or_default(),
        text: options.text.ok_or_else(|| due("--text"))?,
    };
    if let Some(fault) = form::body(&Body::from(body.clone())).first() {
        return Err(Failure::usage(format!("--{fault}; nothing was signed")));
    }
    objections::form(&body)
        .map_err(|wrong| Failure::usage(format!("{wrong}; nothing was signed")))?;
    let time = v1::Time {
        unix_ms: context.clock.now_ms(),
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    };
    let made = Statement::seal(body.into(), Place::Opening, time, None, &signer);
    Ok(made.map_err(Failure::usage)?.as_bytes().to_vec())
}

async fn hand_in(context: &Context, bytes: Vec<u8>) -> Result<ExitCode, Failure> {
    let statements = vec![bytes];
    let mut client = context.client().await?;
    let logged = client
        .calls()
        .submit(rpc::SubmitRequest { statements })
        .await?;
    let logged = super::indices(&logged.into_inner().indices);
    say!("the objection is logged at {logged}")?;
    Ok(ExitCode::SUCCESS)
}
