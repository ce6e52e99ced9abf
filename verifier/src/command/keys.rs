//! `key …`: the keys of the deployment, and their end.

use std::process::ExitCode;

use affiant_proto::v1;

use super::{Context, Failure, admission, indices, listing};
use crate::{
    cli::{Key, RevokedUse, Rotate},
    rpc::admin::{self as rpc, list_request::What},
};

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
    let key_id = key_id("--key", key)?;
    let mut client = context.client().await?;
    if used == v1::KeyUse::Officer {
        admission::known(&mut client, &key_id).await?;
    }
    let request = rpc::RevokeRequest {
        r#use: used.into(),
        key_id,
        from_index,
        reason,
    };
    let logged = client.calls().revoke(request).await?.into_inner();
    say!("logged at {}\n{follows}", indices(&logged.indices))?;
    say!("what it signed from that index until now stands as suspect: see `findings`")?;
    if used == v1::KeyUse::Officer {
        admission::warn_of_too_few(&mut client).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a key's identifier, given as `flag`.
pub(super) fn key_id(flag: &str, text: &str) -> Result<Vec<u8>, Failure> {
    let id = unhex(text).filter(|id| id.len() == 16);
    id.ok_or_else(|| Failure::usage(format!("{flag}: `{text}` is not 32 hexadecimal digits")))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}
