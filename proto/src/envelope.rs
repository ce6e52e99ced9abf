//! Envelopes: a statement with what stands under its salted root, as it travels and is stored.

use std::collections::BTreeSet;

use prost::Message as _;

use crate::{
    keys::{BadSignature, PublicKey},
    salted::{BadLeaves, Disclosure, MAX_LEAF_BYTES, MAX_LEAVES, SaltedTree, Seed, Shown},
    statement::{Body, MAX_STATEMENT_BYTES, Malformed, Statement},
    tlog::Hash,
    v1,
};

/// Most bytes of one envelope.
///
/// A usage statement with 4,096 lines of at most 100 bytes is 410 KiB; 1,024 workloads with 1 KiB
/// of names each are 1 MiB. 2 MiB is half of gRPC's default message limit of 4 MiB.
pub const MAX_ENVELOPE_BYTES: usize = 2 * 1024 * 1024;

/// A statement that was read, with what it brings of the leaves under the root that it signs.
///
/// Made by [`Envelope::open`], so the leaves are those that were signed, if the signature is good:
/// that is for [`crate::ChainState`] to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    statement: Statement,
    leaves: Leaves,
}

/// What an envelope brings of the leaves under its statement's root.
#[derive(Clone, Debug, PartialEq)]
pub enum Leaves {
    /// Nothing: the kind has no root.
    None,
    /// All of them, with the seed of their salts.
    All(SaltedTree),
    /// Leaf 0 of a usage record whose other leaves were let go, with the proof that it is.
    Totals(Disclosure),
}

impl Leaves {
    /// The contents in order, `None` for a leaf that was let go; as many as the statement signs.
    pub fn contents(self, count: u32) -> Vec<Option<Vec<u8>>> {
        match self {
            Self::None => Vec::new(),
            Self::All(tree) => tree.into_leaves().into_iter().map(Some).collect(),
            Self::Totals(totals) => {
                let first = totals.shown.into_iter().map(|leaf| Some(leaf.content));
                let gone = std::iter::repeat_n(None, count.saturating_sub(1) as usize);
                first.chain(gone).collect()
            }
        }
    }

    /// Shows the leaves of `indices`; of a record whose lines were let go its totals, whatever
    /// else is asked for.
    pub fn disclose(self, indices: &BTreeSet<u32>) -> Disclosure {
        match self {
            Self::None => Disclosure::default(),
            Self::All(tree) => tree.disclose(indices),
            Self::Totals(totals) => totals,
        }
    }
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
        let bare = message.leaves.is_empty() && message.seed.is_empty();
        let leaves = match (root(statement.body()), message.totals) {
            (None, None) if bare => Leaves::None,
            (None, _) => return Err(contents("has no root for leaves or seed")),
            (Some((root, count)), None) => {
                let seed = message.seed.as_slice().try_into();
                let seed = seed.map_err(|_| contents("comes without its 16-byte seed"))?;
                let tree = SaltedTree::new(Seed::new(seed), message.leaves)?;
                tree.matches(root, count)?;
                Leaves::All(tree)
            }
            (Some(_), Some(_)) if !bare => {
                return Err(contents("has totals in place of lines, and lines too"));
            }
            (Some((root, count)), Some(totals)) => {
                if !matches!(statement.body(), Body::Usage(_)) {
                    return Err(contents("has no totals"));
                }
                let bad = || contents("comes with totals of another spelling");
                let totals = disclosed(totals).ok_or_else(bad)?;
                if count as usize > MAX_LEAVES {
                    return Err(BadLeaves::TooMany(count as usize).into());
                }
                totals.matches(root, count)?;
                Leaves::Totals(totals)
            }
        };
        Ok(Self { statement, leaves })
    }

    /// Joins a statement just sealed with the leaves that it was sealed over.
    pub fn join(statement: Statement, tree: Option<SaltedTree>) -> Result<Self, BadEnvelope> {
        let contents = |fault| BadEnvelope::Contents {
            kind: statement.kind().name(),
            fault,
        };
        let leaves = match (root(statement.body()), tree) {
            (None, None) => Leaves::None,
            (Some((root, count)), Some(tree)) => {
                tree.matches(root, count)?;
                Leaves::All(tree)
            }
            _ => return Err(contents("and its leaves do not belong together")),
        };
        Ok(Self { statement, leaves })
    }

    /// Lets the lines of a usage record go, and the seed of their salts: statement and totals
    /// stay. Every other kind, and a record without lines, is as it was.
    #[must_use]
    pub fn without_lines(self) -> Self {
        let leaves = match (self.statement.body(), self.leaves) {
            (Body::Usage(_), Leaves::All(tree)) if tree.count() > 1 => {
                Leaves::Totals(tree.disclose(&BTreeSet::from([0])))
            }
            (_, leaves) => leaves,
        };
        let statement = self.statement;
        Self { statement, leaves }
    }

    /// The message that travels and is stored.
    pub fn message(&self) -> v1::Envelope {
        let statement = self.statement.as_bytes().to_vec();
        let bare = v1::Envelope {
            statement,
            ..v1::Envelope::default()
        };
        match &self.leaves {
            Leaves::None => bare,
            Leaves::All(tree) => v1::Envelope {
                leaves: tree.leaves().to_vec(),
                seed: tree.seed().as_bytes().to_vec(),
                ..bare
            },
            Leaves::Totals(totals) => v1::Envelope {
                totals: totals.shown.first().map(|first| v1::ShownTotals {
                    content: first.content.clone(),
                    salt: first.salt.to_vec(),
                    path: totals.proof.iter().map(|h| h.as_bytes().to_vec()).collect(),
                }),
                ..bare
            },
        }
    }

    /// The bytes that are stored: those of [`Envelope::message`], without copying its parts first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Leaves::All(tree) = &self.leaves else {
            return self.message().encode_to_vec();
        };
        let parts = std::iter::once((1, self.statement.as_bytes()))
            .chain(tree.leaves().iter().map(|leaf| (2, leaf.as_slice())))
            .chain(std::iter::once((3, tree.seed().as_bytes().as_slice())));
        // A tag of one byte, a length of at most three (no part has 2 MiB), and the part.
        let room = parts.clone().map(|(_, part)| part.len() + 4).sum();
        let mut bytes = Vec::with_capacity(room);
        for (field, part) in parts {
            put_field(&mut bytes, field, part);
        }
        bytes
    }

    /// The statement; not verified.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Verifies the statement's signature and remembers by which key; see [`Statement::attest`].
    pub fn attest(&mut self, key: &PublicKey) -> Result<(), BadSignature> {
        self.statement.attest(key)
    }

    /// What it brings of its leaves.
    pub fn leaves(&self) -> &Leaves {
        &self.leaves
    }

    /// Its leaves, when its kind has a root and they are all here.
    pub fn tree(&self) -> Option<&SaltedTree> {
        match &self.leaves {
            Leaves::All(tree) => Some(tree),
            Leaves::None | Leaves::Totals(_) => None,
        }
    }

    /// Takes both apart.
    pub fn into_parts(self) -> (Statement, Leaves) {
        (self.statement, self.leaves)
    }
}

/// Writes a field of bytes: its tag with wire type 2, its length, itself.
fn put_field(out: &mut Vec<u8>, field: u8, part: &[u8]) {
    out.push(field << 3 | 2);
    let mut length = part.len();
    while length >= 0x80 {
        out.push(0x80 | (length & 0x7f).to_le_bytes()[0]);
        length >>= 7;
    }
    out.push(length.to_le_bytes()[0]);
    out.extend_from_slice(part);
}

/// Reads totals that travel in place of lines: an inclusion proof of leaf 0 is what a multi-proof
/// of it alone is, hash for hash.
fn disclosed(totals: v1::ShownTotals) -> Option<Disclosure> {
    let hash = |bytes: &Vec<u8>| bytes.as_slice().try_into().ok().map(Hash::from_bytes);
    let shown = Shown {
        index: 0,
        salt: totals.salt.as_slice().try_into().ok()?,
        content: totals.content,
    };
    Some(Disclosure {
        shown: vec![shown],
        proof: totals.path.iter().map(hash).collect::<Option<_>>()?,
    })
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
        Envelope::join(seal(body), Some(tree)).unwrap()
    }

    fn seal(body: impl Into<Body>) -> Statement {
        let time = v1::Time {
            unix_ms: 1,
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        };
        let signer = Ed25519Signer::from_seed(&[1; 32]).unwrap();
        Statement::seal(body.into(), Place::Opening, time, None, &signer).unwrap()
    }

    #[test]
    fn an_envelope_reads_back_what_it_writes() {
        let made = sealed();
        assert_eq!(Envelope::parse(&made.to_bytes()), Ok(made));
    }

    #[test]
    fn stored_bytes_are_those_of_the_message() {
        for leaves in [
            Vec::new(),
            vec![Vec::new()],
            vec![vec![1; 127], vec![2; 128], Vec::new(), vec![3; 4_096]],
        ] {
            let tree = SaltedTree::new(Seed::new([5; 16]), leaves).unwrap();
            let body = v1::Workloads {
                root: tree.root().as_bytes().to_vec(),
                count: tree.count(),
                ..Default::default()
            };
            let made = Envelope::join(seal(body), Some(tree)).unwrap();
            assert_eq!(made.to_bytes(), made.message().encode_to_vec());
        }
        let bare = Envelope::join(seal(v1::Clock::default()), None).unwrap();
        assert_eq!(bare.to_bytes(), bare.message().encode_to_vec());
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

    fn record(lines: u8) -> Envelope {
        let leaves = (0..=lines).map(|n| vec![n; 9]).collect();
        let tree = SaltedTree::new(Seed::new([5; 16]), leaves).unwrap();
        let body = v1::Usage {
            usage_root: tree.root().as_bytes().to_vec(),
            usage_count: tree.count(),
            ..Default::default()
        };
        Envelope::join(seal(body), Some(tree)).unwrap()
    }

    #[test]
    fn a_record_whose_lines_were_let_go_keeps_statement_and_totals_and_neither_line_nor_seed() {
        for lines in [1, 2, 3, 6, 7, 8, 100] {
            let whole = record(lines);
            let bytes = whole.clone().without_lines().to_bytes();
            let seed = whole.tree().unwrap().seed().as_bytes();
            assert!(!bytes.windows(16).any(|window| window == seed));
            let read = Envelope::parse(&bytes).unwrap();
            assert_eq!(read.statement(), whole.statement());
            let contents = read.into_parts().1.contents(u32::from(lines) + 1);
            assert_eq!(contents.len(), usize::from(lines) + 1);
            assert_eq!(contents.first(), Some(&Some(vec![0; 9])));
            assert!(contents.iter().skip(1).all(Option::is_none));
            assert!(!bytes.windows(9).any(|window| window == [1; 9]));
        }
    }

    #[test]
    fn only_usage_records_with_lines_let_them_go() {
        assert_eq!(sealed().without_lines(), sealed());
        assert_eq!(record(0).without_lines(), record(0));
        let less = record(3).without_lines();
        assert_eq!(less.clone().without_lines(), less);
    }

    #[test]
    fn totals_of_another_record_or_place_and_totals_beside_lines_are_refused() {
        let (whole, less) = (record(3).message(), record(3).without_lines().message());
        let change = |change: &dyn Fn(&mut v1::Envelope, &mut v1::ShownTotals)| {
            let mut message = less.clone();
            let mut totals = message.totals.take().unwrap();
            change(&mut message, &mut totals);
            message.totals = Some(totals);
            Envelope::open(message).unwrap_err().code()
        };
        assert_eq!(change(&|_, t| t.content[0] ^= 1), "leaves");
        assert_eq!(change(&|_, t| t.salt[0] ^= 1), "leaves");
        assert_eq!(change(&|_, t| t.salt.push(0)), "leaves");
        assert_eq!(change(&|_, t| t.path.push(vec![0; 32])), "leaves");
        assert_eq!(change(&|_, t| t.path.truncate(1)), "leaves");
        assert_eq!(change(&|_, t| t.path[0].truncate(31)), "leaves");
        assert_eq!(change(&|m, _| m.seed = whole.seed.clone()), "leaves");
        assert_eq!(change(&|m, _| m.leaves = whole.leaves.clone()), "leaves");
        // Leaf 1 in the place of the totals.
        let tree = record(3).into_parts().1;
        let line = tree.disclose(&BTreeSet::from([1]));
        let swapped = |_: &mut v1::Envelope, totals: &mut v1::ShownTotals| {
            totals.content = line.shown[0].content.clone();
            totals.salt = line.shown[0].salt.to_vec();
            totals.path = line.proof.iter().map(|h| h.as_bytes().to_vec()).collect();
        };
        assert_eq!(change(&swapped), "leaves");
        let other = |m: &mut v1::Envelope, _: &mut v1::ShownTotals| {
            m.statement = sealed().statement().as_bytes().to_vec();
        };
        assert_eq!(change(&other), "leaves");
        let many = v1::Usage {
            usage_count: u32::MAX,
            ..Default::default()
        };
        let many = seal(many).as_bytes().to_vec();
        assert_eq!(change(&|m, _| m.statement = many.clone()), "leaves");
    }
}
