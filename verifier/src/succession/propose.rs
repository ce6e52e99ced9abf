//! Proposing: what the directory still has, against the newest that was seen of the log.

use std::path::{Path, PathBuf};

use affiant_proto::{Ed25519Signer, Signer as _, authority::Generation, tlog::Checkpoint, v1};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Listed, Proposal, SuccessionError, authorities};
use crate::{
    data::DataDir,
    keyfile,
    ledger::{Idle, Kept, PublishedNote},
    rotation::{NoKey, settle_operator},
};

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Files with checkpoints that others hold; the newest counts.
    pub last: Vec<PathBuf>,
    /// Stated in the log.
    pub reason: String,
    /// Change the operator's key too: it was lost or stolen.
    pub new_operator_key: bool,
}

/// Proposes a succession over what a data directory has published, and writes it to `out`.
///
/// Nothing is signed. The private keys of the next generation are made in the data directory, with
/// the ending `.next`; proposing again takes the same ones.
pub fn propose(data: &DataDir, asked: &Asked, out: &Path) -> Result<Proposal, SuccessionError> {
    let _idle = Idle::hold(&data.ledger())?;
    let published = PublishedNote::of(&data.ledger())?;
    let kept = Kept::find(&data.ledger(), published.checkpoint())?;
    let (authorities, _) = authorities(&kept)?;
    let generation = authorities.lineage().current();
    let at = data.ledger().join("public/checkpoint");
    let kept = signed(generation, &published, &at)?;
    let mut last = kept.clone();
    for path in &asked.last {
        let note = PublishedNote::read(path)?;
        let seen = signed(generation, &note, path)?;
        if seen.size() == last.size() && seen.root() != last.root() {
            return Err(SuccessionError::Forked {
                path: path.clone(),
                size: seen.size(),
            });
        }
        if seen.size() > last.size() {
            last = seen;
        }
    }
    let origin = generation.origin();
    let next = origin
        .successor()
        .ok_or_else(|| SuccessionError::NoSuccessor(origin.clone()))?;
    let log_key = next_key(&data.next_log_key())?;
    let operator_key = if asked.new_operator_key {
        next_key(&data.next_operator_key())?
    } else {
        // The backup may have been made while the key changed.
        settle_operator(data, authorities.operator().key()).map_err(|why| match why {
            NoKey::File(error) => error.into(),
            NoKey::Other => SuccessionError::OperatorKey(data.operator_key()),
        })?
    };
    let proposal = Proposal {
        genesis: authorities.genesis(),
        body: v1::Succession {
            header: None,
            last: Some(named(&last)),
            origin: next.as_str().to_owned(),
            log_key: log_key.public_key().as_bytes().to_vec(),
            reason: asked.reason.clone(),
            approvals: Vec::new(),
            kept: Some(named(&kept)),
            operator_key: operator_key.public_key().as_bytes().to_vec(),
        },
        officers: officers(&authorities),
    };
    let wrong = |_| SuccessionError::Format(out.to_owned(), "cannot be spelt");
    keyfile::create_public(out, proposal.print().map_err(wrong)?.as_bytes())?;
    Ok(proposal)
}

/// Those who may approve: officers with a chain, and those whom the genesis names and who have none.
fn officers(authorities: &affiant_proto::Authorities) -> Vec<Listed> {
    let with_chain = authorities.officers().map(|state| Listed {
        key: STANDARD.encode(state.key().as_bytes()),
        chain: Some(state.chain().to_string()),
    });
    let opened: Vec<_> = authorities
        .officers()
        .filter_map(|state| authorities.opened_by(&state.chain()))
        .map(|key| key.as_bytes().to_vec())
        .collect();
    let named = authorities.body().officers.iter();
    let without = named.filter(|named| !opened.contains(&named.key));
    let without = without.map(|named| Listed {
        key: STANDARD.encode(&named.key),
        chain: None,
    });
    with_chain.chain(without).collect()
}

/// Reads a checkpoint that the key of the generation signed.
fn signed(
    generation: &Generation,
    note: &PublishedNote,
    path: &Path,
) -> Result<Checkpoint, SuccessionError> {
    let wrong = |why: String| SuccessionError::Note {
        path: path.to_owned(),
        origin: generation.origin().clone(),
        why,
    };
    let opened =
        Checkpoint::open(note.note(), generation.key()).map_err(|e| wrong(e.to_string()))?;
    let checkpoint = opened.checkpoint();
    if checkpoint.origin() != generation.origin() {
        return Err(wrong(format!("it is of {}", checkpoint.origin())));
    }
    Ok(checkpoint.clone())
}

fn next_key(path: &Path) -> Result<Ed25519Signer, SuccessionError> {
    match path.exists() {
        true => Ok(keyfile::read_signer(path)?),
        false => Ok(keyfile::create_signer(path)?),
    }
}

fn named(checkpoint: &Checkpoint) -> v1::CheckpointRef {
    v1::CheckpointRef {
        origin: checkpoint.origin().to_string(),
        size: checkpoint.size(),
        root: checkpoint.root().as_bytes().to_vec(),
    }
}
