//! `officer …`: who is an officer, and with which key. Officers sign here, in the client.

use std::{path::Path, process::ExitCode};

use affiant_proto::{
    Digest, Ed25519Signer, Signer as _,
    authority::{APPROVERS, folded, officer_approval_bytes},
    chain::key_change_bytes,
    v1,
};
use serde_json::Value;

use super::{
    Context, Failure, indices,
    keys::{hex, key_id, unhex},
    listing, officer, text,
};
use crate::{
    cli::Officer,
    client::Client,
    keyfile::{self, KeyFileError, OfficerKey},
    rpc::admin::{self as rpc, list_request::What},
    status::too_few,
};

/// First word of an approval file.
const APPROVAL: &str = "affiant-officer-approval";

pub(super) async fn run(context: &Context, command: Officer) -> Result<ExitCode, Failure> {
    match command {
        Officer::New { name, out } => new(&name, &out),
        Officer::List(options) => listing::list(context, What::Officers, options.json).await,
        Officer::Approve {
            candidate,
            key,
            out,
        } => approve(context, &candidate, &key, &out).await,
        Officer::Add { key, approvals } => add(context, &key, &approvals).await,
        Officer::Rotate { key, new } => rotate(context, &key, &new).await,
        Officer::Revoke {
            key,
            revoked,
            from_index,
            reason,
        } => revoke(context, &key, &revoked, from_index, reason).await,
    }
}

pub(super) fn new(name: &str, out: &Path) -> Result<ExitCode, Failure> {
    let made = OfficerKey::create(name, out).map_err(|error| match error {
        KeyFileError::Content { .. } => Failure::usage(error),
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

async fn approve(
    context: &Context,
    candidate: &Path,
    key: &Path,
    out: &Path,
) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(key)?;
    let candidate = OfficerKey::read(candidate)?;
    let mut client = context.client().await?;
    warn_of_namesakes(&mut client, &candidate).await?;
    let head = head(&mut client, &signer).await?;
    let genesis = digest(&head.genesis)?;
    // Who has not signed anything yet is known by the key that the genesis names.
    let own = match head.chain.is_empty() {
        true => signer.public_key().as_bytes().to_vec(),
        false => head.chain,
    };
    let bytes = officer_approval_bytes(genesis, candidate.key.as_bytes(), &candidate.name);
    let signature = signer.sign(&bytes).map_err(Failure::io)?;
    let line = format!(
        "{APPROVAL} {} {} {} {}\n",
        candidate.name,
        hex(candidate.key.as_bytes()),
        hex(&own),
        hex(&signature)
    );
    keyfile::create_public(out, line.as_bytes())?;
    say!(
        "{} approved {} ({:?}) in {}; with a second person's he is added by `officer add`",
        name.name,
        candidate.name,
        candidate.key,
        out.display()
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn add(
    context: &Context,
    key: &Path,
    approvals: &[std::path::PathBuf],
) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(key)?;
    let own = hex(signer.public_key().as_bytes());
    let mut read = Vec::with_capacity(approvals.len());
    for path in approvals {
        let text = keyfile::read_text(path)?;
        let wrong = |what: String| Failure::usage(format!("{}: {what}", path.display()));
        let words: Vec<&str> = text.split_whitespace().collect();
        let [APPROVAL, called, candidate, officer, signature] = words.as_slice() else {
            return Err(wrong("is no approval by `officer approve`".into()));
        };
        if *candidate != own {
            return Err(wrong("approves another key than --key".into()));
        }
        if *called != name.name {
            let other = &name.name;
            let what = format!("approves this key as `{called}`, and it is `{other}` in its .pub");
            return Err(wrong(what));
        }
        let parse = |text: &str| unhex(text).ok_or_else(|| wrong("is damaged".into()));
        read.push(v1::OfficerApproval {
            officer: parse(officer)?,
            signature: parse(signature)?,
        });
    }
    let mut client = context.client().await?;
    warn_of_namesakes(&mut client, &name).await?;
    let logged = client
        .open_officer(&name, &signer, read, &context.clock)
        .await?;
    say!(
        "{} is an officer, logged at {}",
        name.name,
        indices(&logged)
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Says so where an officer whose key is trusted has the name already: fine for one who comes back,
/// and no second pair of eyes.
async fn warn_of_namesakes(client: &mut Client, candidate: &OfficerKey) -> Result<(), Failure> {
    let known = client.list(What::Officers).await?;
    let same = |line: &&Value| {
        folded(text(line, "name")) == folded(&candidate.name)
            && text(line, "state") == "in force"
            && text(line, "key") != candidate.key.id().to_string()
    };
    if let Some(line) = known.as_array().into_iter().flatten().find(same) {
        aside!(
            "warning: {} is the name of an officer already, with key {}: both keys count as one person; \
             if the old one is lost or given up, `officer revoke` it",
            text(line, "name"),
            text(line, "key")
        );
    }
    Ok(())
}

async fn rotate(context: &Context, key: &Path, new: &Path) -> Result<ExitCode, Failure> {
    let (name, old) = officer(key)?;
    let (_, signer) = officer(new)?;
    let mut client = context.client().await?;
    let head = head(&mut client, &old).await?;
    let chain = opened(&head, &name)?;
    let previous = digest(&head.head)?;
    let sequence = head.sequence.saturating_add(1);
    let bytes = key_change_bytes(chain, sequence, previous, signer.public_key());
    let change = v1::Key {
        header: None,
        new_key: signer.public_key().as_bytes().to_vec(),
        proof: signer.sign(&bytes).map_err(Failure::io)?.to_vec(),
        ca: Vec::new(),
    };
    let logged = client
        .sign_and_submit(&name, &old, vec![change.into()], &context.clock)
        .await?;
    say!(
        "{} signs with {} from here on, logged at {}; the old key may be destroyed",
        name.name,
        new.display(),
        indices(&logged)
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn revoke(
    context: &Context,
    key: &Path,
    revoked: &str,
    from_index: Option<u64>,
    reason: String,
) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(key)?;
    let key_id = key_id("--revoked", revoked)?;
    let mut client = context.client().await?;
    known(&mut client, &key_id).await?;
    let from_index = match from_index {
        Some(index) => index,
        None => from_now_on(context, &mut client, &name, &signer, &key_id).await?,
    };
    let body = v1::Revocation {
        header: None,
        key_id,
        from_index,
        reason,
        r#use: v1::KeyUse::Officer.into(),
    };
    let logged = client
        .sign_and_submit(&name, &signer, vec![body.into()], &context.clock)
        .await?;
    say!(
        "{} revoked {revoked} from index {from_index}, logged at {}",
        name.name,
        indices(&logged)
    )?;
    say!("what it approved from there on no longer permits anything; see `findings`")?;
    warn_of_too_few(&mut client).await?;
    Ok(ExitCode::SUCCESS)
}

/// The next index of the log. Who ends his own key and never signed opens his chain before it, which is
/// to stand.
async fn from_now_on(
    context: &Context,
    client: &mut Client,
    name: &OfficerKey,
    signer: &Ed25519Signer,
    key_id: &[u8],
) -> Result<u64, Failure> {
    let leaves = key_id == signer.public_key().id().as_bytes();
    if leaves && head(client, signer).await?.chain.is_empty() {
        let opened = client
            .open_officer(name, signer, Vec::new(), &context.clock)
            .await?;
        return Ok(opened.last().map_or(0, |index| index + 1));
    }
    Ok(client.log_size().await?)
}

/// Refuses an officer's key that the log never had: a slip in its digits would leave the one that was
/// meant in force.
pub(super) async fn known(client: &mut Client, key_id: &[u8]) -> Result<(), Failure> {
    let keys = client.list(What::Keys).await?;
    let id = hex(key_id);
    let is_it = |line: &Value| text(line, "use") == "officer" && text(line, "key") == id;
    match keys.as_array().into_iter().flatten().any(is_it) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "no officer has or had key {id}: `key list` shows them; nothing was signed"
        ))),
    }
}

/// Says so where too few persons are left to approve anything.
pub(super) async fn warn_of_too_few(client: &mut Client) -> Result<(), Failure> {
    let status = client.calls().status(rpc::StatusRequest {}).await?;
    let status: Value = serde_json::from_str(&status.into_inner().json)
        .map_err(|_| Failure::io("the server's answer is not JSON"))?;
    let left = status.get("officers").and_then(Value::as_u64);
    let left = left.and_then(|left| usize::try_from(left).ok());
    if let Some(left) = left.filter(|left| *left < APPROVERS) {
        aside!("warning: {}", too_few(left));
    }
    Ok(())
}

async fn head(
    client: &mut Client,
    signer: &Ed25519Signer,
) -> Result<rpc::OfficerHeadReply, Failure> {
    let request = rpc::OfficerHeadRequest {
        key: signer.public_key().as_bytes().to_vec(),
    };
    Ok(client.calls().officer_head(request).await?.into_inner())
}

fn opened(head: &rpc::OfficerHeadReply, name: &OfficerKey) -> Result<Digest, Failure> {
    if head.chain.is_empty() {
        return Err(Failure::usage(format!(
            "{} has not signed anything with this key, or it was given up: `officer list`",
            name.name
        )));
    }
    digest(&head.chain)
}

fn digest(bytes: &[u8]) -> Result<Digest, Failure> {
    Digest::try_from(bytes).map_err(|_| Failure::io("the server's answer holds no digest"))
}
