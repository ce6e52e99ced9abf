//! Envelopes: a statement with what stands under its salted root, as it travels and is stored.

use prost::Message as _;

use crate::{
    salted::{BadLeaves, MAX_LEAF_BYTES, SaltedTree, Seed},
    statement::{Body, MAX_STATEMENT_BYTES, Malformed, Statement},
    v1,
};

/// Most bytes of one envelope.
///
/// A usage statement with 4,096 lines of at most 100 bytes is 410 KiB; 1,024 workloads with 1 KiB
/// of names each are 1 MiB. 2 MiB is half of gRPC's default message limit of 4 MiB.
pub const MAX_ENVELOPE_BYTES: usize = 2 * 1024 * 1024;

/// A statement that was read, with all its leaves under the root that it signs.
///
/// Made by [`Envelope::open`], so the leaves are those that were signed, if the signature is good:
/// that is for [`crate::ChainState`] to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    statement: Statement,
    tree: Option<SaltedTree>,
}

/// Why bytes are not an envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadEnvelope {
    /// More than [`MAX_ENVELOPE_BYTES`].
    #[error("envelope is {0} bytes long where at most {MAX_ENVELOPE_BYTES} are allowed")]
    TooLong(usize),
    /// Not a protobuf envelope in its one spelling.
    #[error("envelope is not a protobuf message in the one accepted spelling")]
    Spelling,
    /// The statement in it.
    #[error(transparent)]
    Statement(#[from] Malformed),
    /// The leaves in it.
    #[error(transparent)]
    Leaves(#[from] BadLeaves),
    /// Leaves where the kind has none, or none where it has a root.
    #[error("a {kind} statement {fault}")]
    Contents {
        /// Kind of the statement.
        kind: String,
        /// What is wrong.
        fault: &'static str,
    },
}

impl BadEnvelope {
    /// A stable word for the refusal, listed in FORMAT.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "too-long",
            Self::Spelling | Self::Statement(_) => "spelling",
            Self::Leaves(_) | Self::Contents { .. } => "leaves",
        }
    }
}

impl Envelope {
    /// Reads an envelope and holds its leaves against the signed root.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadEnvelope> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(BadEnvelope::TooLong(bytes.len()));
        }
        let message = v1::Envelope::decode(bytes).map_err(|_| BadEnvelope::Spelling)?;
        if message.encoded_len() != bytes.len() {
            return Err(BadEnvelope::Spelling);
        }
        Self::open(message)
    }

    /// Checks an envelope that gRPC has already decoded.
    pub fn open(message: v1::Envelope) -> Result<Self, BadEnvelope> {
        let statement = Statement::parse(&message.statement)?;
        let contents = |fault| BadEnvelope::Contents {
            kind: statement.kind().name(),
            fault,
        };
        let tree = match root(statement.body()) {
            None if message.leaves.is_empty() && message.seed.is_empty() => None,
            None => return Err(contents("has no root for leaves or seed")),
            Some((root, count)) => {
                let seed = message.seed.as_slice().try_into();
                let seed = seed.map_err(|_| contents("comes without its 16-byte seed"))?;
                let tree = SaltedTree::new(Seed::new(seed), message.leaves)?;
                tree.matches(root, count)?;
                Some(tree)
            }
        };
        Ok(Self { statement, tree })
    }

    /// Joins a statement just sealed with the leaves that it was sealed over.
    pub fn join(statement: Statement, tree: Option<SaltedTree>) -> Result<Self, BadEnvelope> {
        let contents = |fault| BadEnvelope::Contents {
            kind: statement.kind().name(),
            fault,
        };
        match (root(statement.body()), &tree) {
            (None, None) => {}
            (Some((root, count)), Some(tree)) => tree.matches(root, count)?,
            _ => return Err(contents("and its leaves do not belong together")),
        }
        Ok(Self { statement, tree })
    }

    /// The message that travels and is stored.
    pub fn message(&self) -> v1::Envelope {
        v1::Envelope {
            statement: self.statement.as_bytes().to_vec(),
            leaves: self
                .tree
                .as_ref()
                .map(|t| t.leaves().to_vec())
                .unwrap_or_default(),
            seed: self
                .tree
                .as_ref()
                .map(|t| t.seed().as_bytes().to_vec())
                .unwrap_or_default(),
        }
    }

    /// The bytes that are stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.message().encode_to_vec()
    }

    /// The statement; not verified.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Its leaves, when its kind has a root.
    pub fn tree(&self) -> Option<&SaltedTree> {
        self.tree.as_ref()
    }

    /// Takes both apart.
    pub fn into_parts(self) -> (Statement, Option<SaltedTree>) {
        (self.statement, self.tree)
    }
}

/// Root and count that a statement signs over its leaves.
pub fn root(body: &Body) -> Option<(&[u8], u32)> {
    match body {
        Body::Usage(usage) => Some((&usage.usage_root, usage.usage_count)),
        Body::Inventory(inventory) => Some((&inventory.root, inventory.count)),
        Body::Workloads(workloads) => Some((&workloads.root, workloads.count)),
        _ => None,
    }
}

// A statement, its leaves and seed always fit: the bounds of the parts stay below the whole.
const _: () = assert!(MAX_STATEMENT_BYTES + 256 * MAX_LEAF_BYTES < MAX_ENVELOPE_BYTES);
