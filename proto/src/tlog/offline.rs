//! That an entry is in a log, as one text to keep beside what was logged (C2SP tlog-proof).
//!
//! Index, inclusion proof and signed checkpoint together: whoever trusts the log's key, and
//! witnesses of his own, checks it without asking anybody.

use std::fmt;

use super::{
    checkpoint::{Checkpoint, OpenError, SignedCheckpoint},
    hash::Hash,
    inclusion::verify_inclusion,
    key::NoteKey,
    note::{MAX_NOTE_BYTES, MalformedNote, Note},
    proof::ProofError,
    spelling,
    tree::MAX_SIZE,
};

/// The first line.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Most hashes of a proof: the depth of a tree of [`MAX_SIZE`] leaves.
const MAX_HASHES: usize = 63;

/// Most bytes of the extra data: a statement, which is at most 64 KiB.
pub const MAX_EXTRA_BYTES: usize = 1 << 16;

/// Most bytes of a proof: header and newline (23), `extra ` with base64 of 64 KiB and newline
/// (87,384 + 7), `index ` with 19 digits and newline (26), 63 hashes of 45, an empty line, a note.
pub const MAX_OFFLINE_PROOF_BYTES: usize =
    MAX_NOTE_BYTES + 23 + (MAX_EXTRA_BYTES.div_ceil(3) * 4 + 7) + 26 + MAX_HASHES * 45 + 1;

/// A proof that one entry is in a log. Read, not yet believed: see [`OfflineProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfflineProof {
    extra: Option<Vec<u8>>,
    index: u64,
    hashes: Vec<Hash>,
    note: Note,
}

/// Why bytes, or parts, are not an offline proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedOfflineProof {
    /// Above [`MAX_OFFLINE_PROOF_BYTES`].
    #[error("proof is {0} bytes long where at most {MAX_OFFLINE_PROOF_BYTES} are allowed")]
    TooLong(usize),
    /// The first line.
    #[error("the proof does not begin with the line {HEADER}")]
    Header,
    /// The extra data.
    #[error("the extra data are not 1 to {MAX_EXTRA_BYTES} bytes in base64")]
    Extra,
    /// The index.
    #[error("the proof has no line of 'index' and a decimal number below 2^63")]
    Index,
    /// A line that is neither a hash nor the empty one after them.
    #[error(
        "hash line {0} of the proof is neither 32 bytes in base64 nor the empty line at their end"
    )]
    Hash(usize),
    /// More hashes than the deepest tree has levels.
    #[error("the proof has more than {MAX_HASHES} hashes")]
    TooManyHashes,
    /// The checkpoint.
    #[error(transparent)]
    Note(#[from] MalformedNote),
}

/// Why an offline proof does not show that an entry is in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotLogged {
    /// The checkpoint is not the log's.
    #[error(transparent)]
    Checkpoint(#[from] OpenError),
    /// The entry is not in its tree.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// An entry that is in the tree of a checkpoint which its log signed: made only by
/// [`OfflineProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    leaf: Hash,
    index: u64,
    signed: SignedCheckpoint,
}

impl OfflineProof {
    /// Puts a proof together: where the entry is, the inclusion proof for the checkpoint's size,
    /// and the checkpoint's note with all signatures that a reader may want.
    ///
    /// `extra` is carried for the application and proved by nothing; it is not empty.
    pub fn new(
        index: u64,
        hashes: Vec<Hash>,
        note: Note,
        extra: Option<Vec<u8>>,
    ) -> Result<Self, MalformedOfflineProof> {
        if index >= MAX_SIZE {
            return Err(MalformedOfflineProof::Index);
        }
        if hashes.len() > MAX_HASHES {
            return Err(MalformedOfflineProof::TooManyHashes);
        }
        if let Some(extra) = &extra
            && !(1..=MAX_EXTRA_BYTES).contains(&extra.len())
        {
            return Err(MalformedOfflineProof::Extra);
        }
        Ok(Self {
            extra,
            index,
            hashes,
            note,
        })
    }

    /// Reads a proof.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedOfflineProof> {
        if bytes.len() > MAX_OFFLINE_PROOF_BYTES {
            return Err(MalformedOfflineProof::TooLong(bytes.len()));
        }
        let mut rest = bytes;
        if line(&mut rest) != Some(HEADER) {
            return Err(MalformedOfflineProof::Header);
        }
        let mut next = line(&mut rest).ok_or(MalformedOfflineProof::Index)?;
        let mut extra = None;
        if let Some(text) = next.strip_prefix("extra ") {
            extra = Some(spelling::base64(text).ok_or(MalformedOfflineProof::Extra)?);
            next = line(&mut rest).ok_or(MalformedOfflineProof::Index)?;
        }
        let index = next
            .strip_prefix("index ")
            .and_then(spelling::decimal)
            .ok_or(MalformedOfflineProof::Index)?;
        let mut hashes = Vec::new();
        loop {
            let number = hashes.len() + 1;
            let text = line(&mut rest).ok_or(MalformedOfflineProof::Hash(number))?;
            if text.is_empty() {
                break;
            }
            if number > MAX_HASHES {
                return Err(MalformedOfflineProof::TooManyHashes);
            }
            hashes.push(spelling::base64_hash(text).ok_or(MalformedOfflineProof::Hash(number))?);
        }
        Self::new(index, hashes, Note::parse(rest)?, extra)
    }

    /// Tells where the entry is said to be.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Gives the data that the maker put beside the proof. Nothing vouches for them.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Gives the inclusion proof.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Gives the checkpoint's note.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Checks that the log of `key` has the entry whose leaf hash is `leaf`, where this says.
    ///
    /// Cosignatures are for the reader's own [`Policy`](super::Policy), over what
    /// [`Logged::signed`] gives.
    pub fn verify(&self, leaf: &Hash, key: &NoteKey) -> Result<Logged, NotLogged> {
        let signed = SignedCheckpoint::of(self.note.clone(), key)?;
        let tree: &Checkpoint = signed.checkpoint();
        verify_inclusion(leaf, self.index, tree.size(), tree.root(), &self.hashes)?;
        Ok(Logged {
            leaf: *leaf,
            index: self.index,
            signed,
        })
    }
}

impl fmt::Display for OfflineProof {
    /// Writes the bytes of the proof.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", spelling::to_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", spelling::to_base64(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.note)
    }
}

impl Logged {
    /// Gives the leaf hash of the entry.
    pub fn leaf(&self) -> &Hash {
        &self.leaf
    }

    /// Tells where the entry is.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Gives the checkpoint in whose tree it is, with the note that carries it.
    pub fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }
}

/// Cuts the first line off; none where it has no newline or is not UTF-8.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (first, after) = rest.split_at_checked(end)?;
    *rest = after.get(1..)?;
    std::str::from_utf8(first).ok()
}
