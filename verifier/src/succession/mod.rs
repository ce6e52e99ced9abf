//! `succession`: the next generation of a log, over the entries that were kept.
//!
//! ```text
//! propose   where the data directory is: what is kept, what is lost, new keys   ─▶ proposal
//! approve   two officers, each on a machine of their own                        ─▶ approvals
//! open      where the data directory is: the statement, the lock, the checkpoint
//! ```
//!
//! A log never goes back. After a loss, or to change the key of the log, two officers sign what the
//! next generation goes on from and the newest checkpoint that is known to have been published; who
//! holds a newer one finds the succession out.

mod approve;
mod open;
mod propose;

use std::{io, path::PathBuf};

use affiant_proto::{
    Authorities, Body, Statement,
    keys::BadKey,
    statement::SealError,
    tlog::{NoteKey, Origin},
    v1,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::{
    keyfile::{self, KeyFileError},
    ledger::{BadSegment, Kept, NotHeld, NotKept, OpenError},
};

pub use approve::{Approval, approve, in_words};
pub use open::{Opened, open};
pub use propose::{Asked, propose};

/// Why a succession was not proposed, approved or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessionError {
    /// A key, a proposal or an approval.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A verifier runs on the directory.
    #[error(transparent)]
    Busy(#[from] NotHeld),
    /// What was published, or the segments under it.
    #[error(transparent)]
    Log(#[from] NotKept),
    /// The ledger was not made or opened.
    #[error("log: {0}")]
    Ledger(#[from] OpenError),
    /// A segment.
    #[error(transparent)]
    Segment(#[from] BadSegment),
    /// An entry of the log that is not admitted.
    #[error("log entry {index}: {why}")]
    Entry {
        /// Which.
        index: u64,
        /// Why.
        why: String,
    },
    /// A checkpoint that the log's key did not sign.
    #[error(
        "{path}: not a checkpoint of {origin} that its key signed ({why}); take the newest note that \
         a witness, agent or auditor holds of this generation"
    )]
    Note {
        /// The file.
        path: PathBuf,
        /// The generation in force.
        origin: Origin,
        /// Why.
        why: String,
    },
    /// Two checkpoints of one size.
    #[error(
        "{path}: has another root at size {size} than this log: two logs were signed, and no \
         succession can explain that; keep both as evidence"
    )]
    Forked {
        /// The file.
        path: PathBuf,
        /// The size.
        size: u64,
    },
    /// No origin can follow.
    #[error("no origin can follow {0}: it would be too long")]
    NoSuccessor(Origin),
    /// The operator's key is not the one of the chain.
    #[error(
        "{0} is not the key that signs the operator's chain; restore the right one, or name \
         --new-operator-key"
    )]
    OperatorKey(PathBuf),
    /// Not a proposal or approval.
    #[error("{0}: {1}")]
    Format(PathBuf, &'static str),
    /// The officer's key is not one of the deployment's.
    #[error("the key of {0} is no officer's of this deployment")]
    NoOfficer(String),
    /// The directory is not as it was.
    #[error(
        "the directory was published at size {found} and the proposal keeps {kept}; propose again"
    )]
    Changed {
        /// Published now.
        found: u64,
        /// As proposed.
        kept: u64,
    },
    /// The proposal is of another deployment.
    #[error("the proposal is of another deployment than this directory")]
    Deployment,
    /// The private key of a proposal is gone.
    #[error(
        "{path} holds no private key of the proposal; open it where it was made, or propose again"
    )]
    KeyGone {
        /// Where it should be.
        path: PathBuf,
    },
    /// The statement was not made.
    #[error("the succession was not sealed: {0}")]
    Seal(#[from] SealError),
    /// The approvals do not make it hold, or it is not the next.
    #[error("the succession does not hold: {0}")]
    Refused(String),
    /// A key that is no key.
    #[error("{0}")]
    Key(#[from] BadKey),
    /// A file could not be written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What two officers are asked to approve: a succession without header and approvals.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    genesis: affiant_proto::Digest,
    body: v1::Succession,
    officers: Vec<Listed>,
}

/// An officer, as the proposal lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Public key in base64.
    key: String,
    /// Digest of the chain; absent while none is open.
    chain: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProposalFile {
    version: u32,
    genesis: String,
    /// Protobuf in base64: what the signatures cover.
    succession: String,
    officers: Vec<Listed>,
}

impl Proposal {
    /// Reads a proposal; nothing in it is believed but by the officers who sign it.
    pub fn read(path: &std::path::Path) -> Result<Self, SuccessionError> {
        let wrong = || SuccessionError::Format(path.to_owned(), "is not a proposal of version 1");
        let file: ProposalFile =
            serde_json::from_str(&keyfile::read_text(path)?).map_err(|_| wrong())?;
        let bytes = STANDARD.decode(&file.succession).map_err(|_| wrong())?;
        let body = v1::Succession::decode(bytes.as_slice()).map_err(|_| wrong())?;
        // One spelling, without what is filled in when it is opened.
        let bare = body.header.is_none() && body.approvals.is_empty();
        if file.version != 1 || !bare || body.encode_to_vec() != bytes {
            return Err(wrong());
        }
        Ok(Self {
            genesis: file.genesis.parse().map_err(|_| wrong())?,
            body,
            officers: file.officers,
        })
    }

    fn print(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(&ProposalFile {
            version: 1,
            genesis: self.genesis.to_string(),
            succession: STANDARD.encode(self.body.encode_to_vec()),
            officers: self.officers.clone(),
        })
    }

    /// What is proposed.
    pub fn body(&self) -> &v1::Succession {
        &self.body
    }

    /// How many entries it declares as lost.
    pub fn lost(&self) -> u64 {
        let size = |named: &Option<v1::CheckpointRef>| named.as_ref().map_or(0, |c| c.size);
        size(&self.body.last).saturating_sub(size(&self.body.kept))
    }

    /// The key that will sign checkpoints, as readers name it.
    pub fn log_key(&self) -> Option<NoteKey> {
        let origin: Origin = self.body.origin.parse().ok()?;
        let key = affiant_proto::PublicKey::ed25519(&self.body.log_key).ok()?;
        NoteKey::new(origin.key_name(), key).ok()
    }
}

/// Who speaks for the deployment by the entries that are kept, and the genesis statement.
fn authorities(kept: &Kept) -> Result<(Authorities, Statement), SuccessionError> {
    let mut found: Option<(Authorities, Statement)> = None;
    for (index, entry) in (0..).zip(kept.entries()) {
        let entry = entry?;
        let wrong = |why: &dyn std::fmt::Display| SuccessionError::Entry {
            index,
            why: why.to_string(),
        };
        let envelope = v1::Envelope::decode(entry.envelope()).map_err(|e| wrong(&e))?;
        let statement = Statement::parse(&envelope.statement).map_err(|e| wrong(&e))?;
        let Some((authorities, _)) = &mut found else {
            let (opened, _) = Authorities::open(statement.clone()).map_err(|e| wrong(&e))?;
            found = Some((opened, statement));
            continue;
        };
        let theirs = match statement.header().chain() {
            Some(chain) => authorities.knows(&chain),
            None => matches!(statement.body(), Body::Officer(_)),
        };
        if theirs {
            authorities
                .admit(Some(index), statement, false)
                .map_err(|e| wrong(&e))?;
        }
    }
    // Kept entries are those of a tree that is not empty.
    found.ok_or_else(|| SuccessionError::Entry {
        index: 0,
        why: "is missing".to_owned(),
    })
}
