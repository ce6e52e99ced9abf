//! What a log and a witness say to each other (C2SP tlog-witness, add-checkpoint).

use std::fmt;

use super::{
    hash::Hash,
    note::{MAX_NOTE_BYTES, MalformedNote, Note},
    spelling,
    tree::MAX_SIZE,
};

/// Most proof lines of a request, by specification; enough for trees of up to 2^62 leaves.
pub const MAX_PROOF_LINES: usize = 63;

/// Most bytes of a request: a note, 63 proof lines of 45, and `old ` with 20 digits, 2 newlines.
pub const MAX_REQUEST_BYTES: usize = MAX_NOTE_BYTES + MAX_PROOF_LINES * 45 + 26;

/// Asks a witness to cosign a checkpoint. Read, not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: u64,
    proof: Vec<Hash>,
    note: Note,
}

/// Why a request is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedRequest {
    /// Above [`MAX_REQUEST_BYTES`].
    #[error("request is {0} bytes long where at most {MAX_REQUEST_BYTES} are allowed")]
    TooLong(usize),
    /// The first line.
    #[error("the request does not begin with a line of 'old' and a tree size of at most 2^63")]
    Old,
    /// A proof line, or no empty line after them.
    #[error("line {0} of the request is neither a hash in base64 nor the empty line after them")]
    Proof(usize),
    /// Above [`MAX_PROOF_LINES`].
    #[error("the request has more than {MAX_PROOF_LINES} proof lines")]
    TooManyLines,
    /// The checkpoint.
    #[error(transparent)]
    Note(#[from] MalformedNote),
}

impl AddCheckpoint {
    /// Puts a request together: the size that the witness knows, the consistency proof from
    /// there, and the new checkpoint's note.
    pub fn new(old: u64, proof: Vec<Hash>, note: Note) -> Result<Self, MalformedRequest> {
        if old > MAX_SIZE {
            return Err(MalformedRequest::Old);
        }
        if proof.len() > MAX_PROOF_LINES {
            return Err(MalformedRequest::TooManyLines);
        }
        Ok(Self { old, proof, note })
    }

    /// Reads a request.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedRequest> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(MalformedRequest::TooLong(bytes.len()));
        }
        let (first, mut rest) = line(bytes).ok_or(MalformedRequest::Old)?;
        let old = first
            .strip_prefix("old ")
            .and_then(spelling::decimal)
            .ok_or(MalformedRequest::Old)?;
        let mut proof = Vec::new();
        loop {
            let number = proof.len() + 2;
            let (text, after) = line(rest).ok_or(MalformedRequest::Proof(number))?;
            rest = after;
            if text.is_empty() {
                break;
            }
            if proof.len() >= MAX_PROOF_LINES {
                return Err(MalformedRequest::TooManyLines);
            }
            proof.push(spelling::base64_hash(text).ok_or(MalformedRequest::Proof(number))?);
        }
        Self::new(old, proof, Note::parse(rest)?)
    }

    /// Tells which size the log takes the witness to know.
    pub fn old(&self) -> u64 {
        self.old
    }

    /// Gives the consistency proof from that size to the checkpoint's.
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// Gives the note of the checkpoint.
    pub fn note(&self) -> &Note {
        &self.note
    }
}

impl fmt::Display for AddCheckpoint {
    /// Writes the body of the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", spelling::to_base64(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.note)
    }
}

/// Cuts the first line off; none where it has no newline or is not UTF-8.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (first, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(first).ok()?, rest.get(1..)?))
}

/// Writes the body of a witness's answer 409: the size that it knows.
pub fn print_conflict(size: u64) -> String {
    format!("{size}\n")
}

/// Reads the body of a witness's answer 409; none where it is not a size of at most
/// [`MAX_SIZE`] and a newline.
pub fn parse_conflict(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    spelling::decimal(text).filter(|size| *size <= MAX_SIZE)
}
