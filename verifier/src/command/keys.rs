//! `key …`, and what officers do with their own keys. Officers sign here, in the client.

use std::{path::Path, process::ExitCode};

use affiant_proto::{
    Digest, Signer as _, authority::officer_approval_bytes, chain::key_change_bytes, v1,
};

use super::{Context, Failure, indices, listing, officer};
use crate::{
    cli::{Key, RevokedUse, Rotate},
    keyfile::{self, OfficerKey},
    rpc::admin::{self as rpc, list_request::What},
};

/// First word of an approval file.
const APPROVAL: &str = "affiant-officer-approval";

pub(super) async fn run(context: &Context, command: Key) -> Result<ExitCode, Failure> {
    match command {
        Key::List(options) => listing::list(context, What::Keys, options.json).await,
        Key::Rotate { what } => rotate(context, what).await,
        Key::Revoke {
            used,
            key,
            from_index,
            reason,
        } => revoke(context, used, &key, from_index, reason).await,
    }
}

async fn rotate(context: &Context, what: Rotate) -> Result<ExitCode, Failure> {
    use rpc::rotate_request::What;
    let (what, follows) = match what {
        Rotate::Operator => (
            What::Operator,
            "the operator's statements are signed by the new key from here on; the old one is gone",
        ),
        Rotate::Ca => (
            What::Ca,
            "certificates are issued by the new authority from here on; those of the old one count \
             until it is revoked\nnext: give new hosts the ca.pem of the data directory; agents that \
             have the old one go on, and learn of the new one from the log\nonce all hosts have \
             renewed their certificates: affiant-verifier key list, then key revoke --use ca",
        ),
    };
    let request = rpc::RotateRequest { what: what.into() };
    let mut client = context.client().await?;
    let logged = client.calls().rotate(request).await?.into_inner();
    say!("logged at {}\n{follows}", indices(&logged.indices))?;
    Ok(ExitCode::SUCCESS)
}

async fn revoke(
    context: &Context,
    used: RevokedUse,
    key: &str,
    from_index: Option<u64>,
    reason: String,
) -> Result<ExitCode, Failure> {
    let (used, follows) = match used {
        RevokedUse::Record => (
            v1::KeyUse::Record,
            "nothing that it signs is taken any more, and its host's session has ended\nnext: on \
             the host, `affiant-agent enroll --again` with a new token; then `host approve`",
        ),
        RevokedUse::Officer => (
            v1::KeyUse::Officer,
            "nothing that it signs is taken any more, and what it approved from that index on no \
             longer permits anything\nnext: two other officers admit his new key: `officer approve`, \
             `officer add`",
        ),
        RevokedUse::Tls => (
            v1::KeyUse::Tls,
            "no connection is opened with it any more, and those that are open end\nnext: the host \
             renews its certificate with a new TLS key by itself; records have a key of their own",
        ),
        RevokedUse::Ca => (
            v1::KeyUse::Ca,
            "certificates that it issued do not count any more, and sessions that rest on one end\n\
             hosts renew with their record key by themselves",
        ),
    };
    let request = rpc::RevokeRequest {
        r#use: used.into(),
        key_id: key_id(key)?,
        from_index,
        reason,
    };
    let mut client = context.client().await?;
    let logged = client.calls().revoke(request).await?.into_inner();
    say!("logged at {}\n{follows}", indices(&logged.indices))?;
    say!("what it signed from that index until now stands as suspect: see `findings`")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn rotate_officer(
    context: &Context,
    key: &Path,
    new: &Path,
) -> Result<ExitCode, Failure> {
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

pub(super) async fn revoke_officer(
    context: &Context,
    key: &Path,
    revoked: &str,
    from_index: Option<u64>,
    reason: String,
) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(key)?;
    let mut client = context.client().await?;
    let from_index = match from_index {
        Some(index) => index,
        None => client.log_size().await?,
    };
    let body = v1::Revocation {
        header: None,
        key_id: key_id(revoked)?,
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
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn approve_officer(
    context: &Context,
    candidate: &Path,
    key: &Path,
    out: &Path,
) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(key)?;
    let candidate = OfficerKey::read(candidate)?;
    let mut client = context.client().await?;
    let head = head(&mut client, &signer).await?;
    let genesis = digest(&head.genesis)?;
    // Who has not signed anything yet is known by the key that the genesis names.
    let own = match head.chain.is_empty() {
        true => signer.public_key().as_bytes().to_vec(),
        false => head.chain,
    };
    let bytes = officer_approval_bytes(genesis, candidate.key.as_bytes());
    let signature = signer.sign(&bytes).map_err(Failure::io)?;
    let line = format!(
        "{APPROVAL} {} {} {}\n",
        hex(candidate.key.as_bytes()),
        hex(&own),
        hex(&signature)
    );
    keyfile::create_public(out, line.as_bytes())?;
    say!(
        "{} approved {} ({:?}) in {}; with a second one he is added by `officer add`",
        name.name,
        candidate.name,
        candidate.key,
        out.display()
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn add_officer(
    context: &Context,
    key: &Path,
    approvals: &[std::path::PathBuf],
) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(key)?;
    let own = hex(signer.public_key().as_bytes());
    let mut read = Vec::with_capacity(approvals.len());
    for path in approvals {
        let text = keyfile::read_text(path)?;
        let wrong = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
        let words: Vec<&str> = text.split_whitespace().collect();
        let [APPROVAL, candidate, officer, signature] = words.as_slice() else {
            return Err(wrong("is no approval by `officer approve`"));
        };
        if *candidate != own {
            return Err(wrong("approves another key than --key"));
        }
        let parse = |text: &str| unhex(text).ok_or_else(|| wrong("is damaged"));
        read.push(v1::OfficerApproval {
            officer: parse(officer)?,
            signature: parse(signature)?,
        });
    }
    let mut client = context.client().await?;
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

async fn head(
    client: &mut crate::client::Client,
    signer: &affiant_proto::Ed25519Signer,
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

fn key_id(text: &str) -> Result<Vec<u8>, Failure> {
    unhex(text)
        .filter(|id| id.len() == 16)
        .ok_or_else(|| Failure::usage(format!("--key: `{text}` is not 32 hexadecimal digits")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}
