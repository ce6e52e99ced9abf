//! Opening: the statement becomes the first entry of the new generation.
//!
//! Each step either has not begun or is finished by opening once more: keys, segment, lock (from
//! here on the generation counts), write-ahead file and old checkpoint aside, new checkpoint, trust
//! file. In between no verifier starts, for key, lock and checkpoint are not of one generation.

use std::path::Path;

use affiant_proto::{
    Authorities, Body, Ed25519Signer, PublicKey, Signer, Statement, statement::Place, tlog::Origin,
    v1,
};
use prost::Message as _;

use super::{Approval, Proposal, SuccessionError, authorities};
use crate::{
    clock::Clock,
    data::DataDir,
    keyfile,
    ledger::{
        Access, Disk as _, Entry, Idle, Kept, Ledger, LocalDisk, PublishedNote, locked_origin,
        settle, succeed,
    },
};

/// What was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The new generation.
    pub origin: Origin,
    /// How many entries its first checkpoint has.
    pub size: u64,
    /// How many were declared as lost.
    pub lost: u64,
}

/// Opens the generation that a proposal names, or finishes what a run before began.
pub fn open(
    data: &DataDir,
    proposal: &Proposal,
    approvals: &[Approval],
    clock: &Clock,
) -> Result<Opened, SuccessionError> {
    let directory = data.ledger();
    let body = proposal.body();
    let origin: Origin = body
        .origin
        .parse()
        .map_err(|e: affiant_proto::tlog::NotAnOrigin| SuccessionError::Refused(e.to_string()))?;
    let idle = Idle::hold(&directory)?;
    if locked_origin(&directory)?.as_ref() != Some(&origin) {
        let published = PublishedNote::of(&directory)?;
        let kept = Kept::find(&directory, published.checkpoint())?;
        let (authorities, _) = authorities(&kept)?;
        fits(proposal, &published, &authorities)?;
        // Held before anything changes, and by the very statement that is logged.
        let now = clock.now_ms().max(kept.clock().saturating_add(1));
        let operator = signer(
            &[data.next_operator_key(), data.operator_key()],
            &body.operator_key,
        )?;
        let log = signer(&[data.next_log_key(), data.log_key()], &body.log_key)?;
        let entries = statements(proposal, approvals, authorities, &operator, now)?;
        take_over(&data.next_log_key(), &data.log_key(), log.public_key())?;
        take_over(
            &data.next_operator_key(),
            &data.operator_key(),
            operator.public_key(),
        )?;
        succeed(&idle, &kept, origin.clone(), &entries, now)?;
    }
    let log = signer(&[data.log_key()], &body.log_key)?;
    settle(&idle, &directory, &origin)?;
    // The ledger takes the hold for itself.
    drop(idle);
    let (ledger, _) = Ledger::open(&directory, Box::new(log))?;
    let size = ledger.head().size;
    drop(ledger);
    write_trust(data)?;
    Ok(Opened {
        origin,
        size,
        lost: proposal.lost(),
    })
}

/// The proposal is of this directory as it is now.
fn fits(
    proposal: &Proposal,
    published: &PublishedNote,
    authorities: &Authorities,
) -> Result<(), SuccessionError> {
    if proposal.genesis != authorities.genesis() {
        return Err(SuccessionError::Deployment);
    }
    let found = published.checkpoint();
    let kept = proposal.body().kept.clone().unwrap_or_default();
    let same = kept.size == found.size()
        && kept.root == found.root().as_bytes()
        && kept.origin == found.origin().as_str();
    if !same {
        return Err(SuccessionError::Changed {
            found: found.size(),
            kept: kept.size,
        });
    }
    Ok(())
}

/// The succession and the first clock of the new generation, each admitted.
fn statements(
    proposal: &Proposal,
    approvals: &[Approval],
    mut authorities: Authorities,
    operator: &Ed25519Signer,
    now: u64,
) -> Result<[Entry; 2], SuccessionError> {
    let body = v1::Succession {
        approvals: approvals.iter().map(Approval::message).collect(),
        ..proposal.body().clone()
    };
    let kept = body.kept.clone();
    let index = kept.as_ref().map_or(0, |kept| kept.size);
    let mut next = |index: u64, body: Body| -> Result<Entry, SuccessionError> {
        let place = authorities.operator().next_place();
        let made = seal(body, place, kept.clone(), operator, now)?;
        let entry = v1::Envelope {
            statement: made.as_bytes().to_vec(),
            ..Default::default()
        };
        authorities
            .admit(Some(index), made, false)
            .map_err(|e| SuccessionError::Refused(e.to_string()))?;
        Entry::parse(entry.encode_to_vec()).map_err(|e| SuccessionError::Refused(e.to_string()))
    };
    Ok([
        next(index, body.into())?,
        next(index.saturating_add(1), v1::Clock::default().into())?,
    ])
}

fn seal(
    body: Body,
    place: Place,
    seen: Option<v1::CheckpointRef>,
    operator: &Ed25519Signer,
    now: u64,
) -> Result<Statement, SuccessionError> {
    let time = v1::Time {
        unix_ms: now,
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    };
    Ok(Statement::seal(body, place, time, seen, operator)?)
}

/// The private key of `public` among these files.
fn signer(paths: &[std::path::PathBuf], public: &[u8]) -> Result<Ed25519Signer, SuccessionError> {
    let public = PublicKey::ed25519(public)?;
    for path in paths.iter().filter(|path| path.exists()) {
        let found = keyfile::read_signer(path)?;
        if *found.public_key() == public {
            return Ok(found);
        }
    }
    Err(SuccessionError::KeyGone {
        path: paths.first().cloned().unwrap_or_default(),
    })
}

/// Puts the next key in the place of the one in use, which stays beside it under its identifier.
fn take_over(next: &Path, current: &Path, key: &PublicKey) -> Result<(), SuccessionError> {
    let io = |source| SuccessionError::Io {
        path: next.to_owned(),
        source,
    };
    if !next.exists() || keyfile::read_signer(next)?.public_key() != key {
        return Ok(());
    }
    if current.exists() {
        let id = keyfile::read_signer(current)?.public_key().id();
        let mut retired = current.as_os_str().to_owned();
        retired.push(format!(".{id}"));
        LocalDisk.rename(current, Path::new(&retired)).map_err(io)?;
    }
    LocalDisk.rename(next, current).map_err(io)?;
    let directory = current.parent().unwrap_or(Path::new("."));
    LocalDisk.sync_directory(directory).map_err(io)
}

/// Writes what readers should trust from now on, in the place of what `init` wrote.
fn write_trust(data: &DataDir) -> Result<(), SuccessionError> {
    let published = PublishedNote::of(&data.ledger())?;
    let kept = Kept::find(&data.ledger(), published.checkpoint())?;
    let (authorities, genesis) = authorities(&kept)?;
    let refused = |error: &dyn std::fmt::Display| SuccessionError::Refused(error.to_string());
    let trust = affiant_report::trust::Trust::of_genesis(&genesis).map_err(|e| refused(&e))?;
    let trust = trust.with_log(authorities.lineage().current().key().clone());
    let text = trust.print().map_err(|e| refused(&e))?;
    let path = data.trust();
    LocalDisk
        .replace(&path, text.as_bytes(), Access::Public)
        .map_err(|source| SuccessionError::Io { path, source })
}
