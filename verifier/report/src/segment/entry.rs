//! What the log holds: envelopes, each standing in the tree by the digest of its statement.

use affiant_proto::{
    Digest, Envelope, Statement, digest,
    envelope::MAX_ENVELOPE_BYTES,
    tlog::{Hash, leaf_hash},
    v1,
};
use prost::Message as _;

/// An encoded envelope with the SHA-256 of the statement in it.
///
/// Made by [`Entry::parse`], [`Entry::of`] or [`Entry::bare`], so the digest is that of the very bytes kept. The ledger judges no
/// more than that: whether the statement may stand in the log is for admission to say, before it
/// is appended and again when it is replayed.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    digest: Digest,
    envelope: Vec<u8>,
}

/// Why bytes cannot be an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnEntry {
    /// More than [`MAX_ENVELOPE_BYTES`].
    #[error("entry is {0} bytes long where at most {MAX_ENVELOPE_BYTES} are allowed")]
    TooLong(usize),
    /// Not a protobuf message with a statement in field 1.
    #[error("entry is not an envelope with a statement in it")]
    NoStatement,
}

/// The one field of an envelope that the tree commits to. The others are skipped, not copied.
#[derive(Clone, PartialEq, prost::Message)]
struct StatementOnly {
    #[prost(bytes = "vec", tag = "1")]
    statement: Vec<u8>,
}

/// Reads the statement's bytes in an encoded envelope, and nothing else of it.
pub fn statement_of(envelope: &[u8]) -> Option<Vec<u8>> {
    let statement = StatementOnly::decode(envelope).ok()?.statement;
    (!statement.is_empty()).then_some(statement)
}

impl Entry {
    /// Takes an encoded envelope and computes the digest of its statement.
    pub fn parse(envelope: Vec<u8>) -> Result<Self, NotAnEntry> {
        if envelope.len() > MAX_ENVELOPE_BYTES {
            return Err(NotAnEntry::TooLong(envelope.len()));
        }
        let statement = statement_of(&envelope).ok_or(NotAnEntry::NoStatement)?;
        Ok(Self {
            digest: digest(&statement),
            envelope,
        })
    }

    /// Takes an envelope that was read: its digest is that of the very statement that is encoded.
    pub fn of(envelope: &Envelope) -> Self {
        Self {
            digest: envelope.statement().digest(),
            envelope: envelope.to_bytes(),
        }
    }

    /// Takes a statement with nothing that stands under a root of its own.
    pub fn bare(statement: &Statement) -> Self {
        let envelope = v1::Envelope {
            statement: statement.as_bytes().to_vec(),
            ..v1::Envelope::default()
        };
        Self {
            digest: statement.digest(),
            envelope: envelope.encode_to_vec(),
        }
    }

    /// The SHA-256 of the statement: what a leaf of the tree is made of.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The encoded envelope.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// Gives up the encoded envelope.
    pub fn into_envelope(self) -> Vec<u8> {
        self.envelope
    }

    /// The leaf hash, RFC 6962 over the digest.
    pub fn leaf(&self) -> Hash {
        leaf_hash(self.digest.as_bytes())
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({}, {} bytes)", self.digest, self.envelope.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use affiant_proto::{Ed25519Signer, statement::Place};

    #[test]
    fn lines_and_seed_do_not_change_what_the_tree_commits_to() {
        let bare = v1::Envelope {
            statement: b"signed".to_vec(),
            ..v1::Envelope::default()
        };
        let full = v1::Envelope {
            leaves: vec![b"a".to_vec(), vec![0; 300]],
            seed: vec![7; 16],
            ..bare.clone()
        };
        let bare = Entry::parse(bare.encode_to_vec()).unwrap();
        let full = Entry::parse(full.encode_to_vec()).unwrap();
        assert_eq!(bare.digest(), &digest(b"signed"));
        assert_eq!(bare.leaf(), full.leaf());
        assert_ne!(bare, full);
    }

    #[test]
    fn an_envelope_that_was_read_makes_the_entry_that_its_bytes_make() {
        let signer = Ed25519Signer::from_seed(&[1; 32]).unwrap();
        let time = v1::Time {
            clock: v1::ClockState::Unknown.into(),
            ..v1::Time::default()
        };
        let body = v1::Clock::default().into();
        let made = Statement::seal(body, Place::Opening, time, None, &signer).unwrap();
        let bare = Entry::bare(&made);
        let entry = Entry::of(&Envelope::join(made, None).unwrap());
        assert_eq!(entry, bare);
        assert_eq!(Entry::parse(entry.envelope().to_vec()), Ok(entry));
    }

    #[test]
    fn bytes_without_a_statement_are_no_entry() {
        assert_eq!(Entry::parse(Vec::new()), Err(NotAnEntry::NoStatement));
        assert_eq!(Entry::parse(vec![0xff; 9]), Err(NotAnEntry::NoStatement));
        let long = vec![0; MAX_ENVELOPE_BYTES + 1];
        assert_eq!(
            Entry::parse(long.clone()),
            Err(NotAnEntry::TooLong(long.len()))
        );
    }
}
