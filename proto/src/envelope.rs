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
        if message.encode_to_vec() != bytes {
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
        if message.totals.is_some() {
            return Err(contents("comes without its lines"));
        }
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
            totals: None,
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{keys::Ed25519Signer, statement::Place};

    fn sealed() -> Envelope {
        let tree = SaltedTree::new(Seed::new([5; 16]), vec![b"one".to_vec(), Vec::new()]).unwrap();
        let body = v1::Workloads {
            root: tree.root().as_bytes().to_vec(),
            count: tree.count(),
            ..Default::default()
        };
        let time = v1::Time {
            unix_ms: 1,
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        };
        let signer = Ed25519Signer::from_seed(&[1; 32]).unwrap();
        let statement = Statement::seal(body.into(), Place::Opening, time, None, &signer).unwrap();
        Envelope::join(statement, Some(tree)).unwrap()
    }

    #[test]
    fn an_envelope_reads_back_what_it_writes() {
        let made = sealed();
        assert_eq!(Envelope::parse(&made.to_bytes()), Ok(made));
    }

    #[test]
    fn an_envelope_of_the_same_length_in_another_order_is_refused() {
        let message = sealed().message();
        let seed = v1::Envelope {
            seed: message.seed.clone(),
            ..Default::default()
        };
        let rest = v1::Envelope {
            seed: Vec::new(),
            ..message
        };
        let reordered = [seed.encode_to_vec(), rest.encode_to_vec()].concat();
        assert_eq!(reordered.len(), sealed().to_bytes().len());
        assert_eq!(Envelope::parse(&reordered), Err(BadEnvelope::Spelling));
    }

    #[test]
    fn leaves_seed_and_signed_root_belong_together_or_are_refused() {
        let whole = sealed().message();
        let change = |change: &dyn Fn(&mut v1::Envelope)| {
            let mut message = whole.clone();
            change(&mut message);
            Envelope::open(message).unwrap_err().code()
        };
        assert_eq!(change(&|m| m.seed = Vec::new()), "leaves");
        assert_eq!(change(&|m| m.seed[0] ^= 1), "leaves");
        assert_eq!(change(&|m| m.leaves.swap(0, 1)), "leaves");
        assert_eq!(change(&|m| m.leaves.push(Vec::new())), "leaves");
        assert_eq!(change(&|m| m.statement.truncate(9)), "spelling");
    }
}
