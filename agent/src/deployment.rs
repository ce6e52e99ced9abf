//! The deployment that this host enrolled with, as its genesis tells it.

use affiant_proto::{
    Body, Broken, ChainState, Digest, Malformed, PublicKey, Statement,
    keys::BadKey,
    tlog::{Checkpoint, MalformedKey, NotAnOrigin, NoteKey, OpenError, Origin, SignedCheckpoint},
    v1,
};

/// A genesis that holds, and whose certificate authority is the one that was configured: the
/// operator put its file on this host, so this is where the agent's trust begins.
#[derive(Clone, Debug)]
pub struct Deployment {
    statement: Statement,
    operator: String,
    log_key: NoteKey,
}

/// Why a genesis is not this host's deployment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotADeployment {
    /// It does not read.
    #[error("the verifier's genesis does not read: {0}")]
    Malformed(#[from] Malformed),
    /// It does not hold.
    #[error("the verifier's genesis does not hold: {0}")]
    Broken(#[from] Broken),
    /// It is another statement.
    #[error("the verifier gave a {0} statement in place of its genesis")]
    Kind(String),
    /// Of another deployment than the configured authority.
    #[error(
        "the verifier's genesis names the certificate authority {named}, but `ca` in the \
         configuration is {configured}; take the ca file of this very verifier"
    )]
    OtherCa {
        /// SHA-256 as the genesis has it, or what is wrong with it.
        named: String,
        /// SHA-256 of the configured certificate.
        configured: Digest,
    },
    /// The name of its log.
    #[error("the verifier's genesis names no log: {0}")]
    Origin(#[from] NotAnOrigin),
    /// The key of its log.
    #[error("the verifier's genesis has no key of its log: {0}")]
    Key(#[from] BadKey),
    /// Both together.
    #[error("the verifier's genesis has no key of its log: {0}")]
    LogKey(#[from] MalformedKey),
}

impl Deployment {
    /// Reads a genesis and holds it against the SHA-256 of the configured authority's certificate.
    pub fn read(genesis: &[u8], ca: Digest) -> Result<Self, NotADeployment> {
        let statement = Statement::parse(genesis)?;
        let Body::Genesis(body) = statement.body().clone() else {
            return Err(NotADeployment::Kind(statement.kind().name()));
        };
        ChainState::open(statement.clone())?;
        if body.ca != ca.as_bytes() {
            let named = Digest::try_from(body.ca.as_slice());
            return Err(NotADeployment::OtherCa {
                named: named.map_or_else(|_| "that is no digest".into(), |named| named.to_string()),
                configured: ca,
            });
        }
        let origin: Origin = body.origin.parse()?;
        let log_key = NoteKey::new(origin.key_name(), PublicKey::ed25519(&body.log_key)?)?;
        Ok(Self {
            statement,
            operator: body.operator,
            log_key,
        })
    }

    /// Names the deployment: the digest of its genesis.
    pub fn digest(&self) -> Digest {
        self.statement.digest()
    }

    /// The genesis.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The operator's name, for people.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// Reads a checkpoint that the log signed.
    pub fn open(&self, note: &[u8]) -> Result<SignedCheckpoint, OpenError> {
        Checkpoint::open(note, &self.log_key)
    }
}

/// The checkpoint as it stands in a header; `None` for that of an empty log, which says nothing.
pub fn reference(checkpoint: &SignedCheckpoint) -> Option<v1::CheckpointRef> {
    let checkpoint = checkpoint.checkpoint();
    (checkpoint.size() > 0).then(|| v1::CheckpointRef {
        origin: checkpoint.origin().as_str().to_owned(),
        size: checkpoint.size(),
        root: checkpoint.root().as_bytes().to_vec(),
    })
}
