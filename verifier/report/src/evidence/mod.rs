//! The evidence of a bundle: statements, what is shown of their leaves, and one proof that ties
//! all of them to one checkpoint.
//!
//! # Bytes of `evidence.bin`
//!
//! The 19 bytes `affiant-evidence/1\n`, then frames to the end of the file. A frame is its length
//! as a protobuf varint in shortest form, then a protobuf message of that many bytes, at most
//! [`MAX_FRAME_BYTES`], in the one spelling that re-encoding gives:
//!
//! ```text
//! message Frame { oneof part { Head head = 1; Entry entry = 2; Proof proof = 3; } }
//! message Head  { uint64 size = 1; bytes root = 2; uint64 entries = 3; uint64 hashes = 4; }
//! message Entry { uint64 index = 1; bytes statement = 2; repeated Leaf shown = 3; bytes proof = 4; }
//! message Leaf  { uint32 index = 1; bytes salt = 2; bytes content = 3; }
//! message Proof { bytes hashes = 1; }
//! ```
//!
//! One head (size and root of the checkpoint, number of entries and of proof hashes); then the
//! entries by strictly rising log index, each with its shown leaves and the 32-byte hashes of the
//! multi-proof that ties those to the root which the statement signs; then the hashes of the
//! multi-proof of all entries in the log's tree (leaf = SHA-256(0x00 ‖ SHA-256(statement))), in
//! proof frames of [`HASHES_PER_FRAME`] hashes, the last one shorter. With no hash there is no
//! proof frame.

mod frame;
mod reader;

pub use reader::Reader;

use std::io;

use affiant_proto::{
    Disclosure, Malformed, Statement,
    salted::Shown,
    tlog::{self, Hash},
};

use frame::{EntryMessage, HeadMessage, LeafMessage, Part, ProofMessage, joined, put};

const MAGIC: &[u8; 19] = b"affiant-evidence/1\n";

/// Most bytes of one frame: an envelope of 2 MiB whose 4,097 leaves bring 16 bytes of salt and at
/// most 16 of framing each (131 KiB), and a proof of at most 4,097 × 32 = 131 KiB. 4 MiB is the
/// next power of two.
pub const MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;

/// Most entries of one bundle: 16 Mi. Reading keeps 40 bytes of each, 640 MiB; a host that seals
/// every 10 s makes 267,840 records in 31 days, so this is a month of 62 hosts.
pub const MAX_ENTRIES: u64 = 16 * 1024 * 1024;

/// Hashes in one full proof frame: 32 KiB.
pub const HASHES_PER_FRAME: usize = 1_024;

/// One statement of the log with what is shown of its leaves. Read, not yet believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Index in the log.
    pub index: u64,
    /// The statement.
    pub statement: Statement,
    /// The leaves that are shown; empty where the kind has none.
    pub disclosure: Disclosure,
}

impl Entry {
    /// The hash of its leaf in the log's tree.
    pub fn leaf(&self) -> Hash {
        tlog::leaf_hash(self.statement.digest().as_bytes())
    }
}

/// What the evidence says of itself before its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Size of the checkpoint's tree.
    pub size: u64,
    /// Root of that tree.
    pub root: Hash,
    /// Entries that follow.
    pub entries: u64,
    /// Hashes of the multi-proof.
    pub hashes: u64,
}

/// Why bytes are not evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadEvidence {
    /// The storage failed: says nothing about the evidence.
    #[error("evidence could not be read at byte {at}: {source}; check the disk and try again")]
    Io {
        /// Bytes read before.
        at: u64,
        /// Why.
        source: io::Error,
    },
    /// Not an evidence file of version 1.
    #[error("evidence does not begin with \"affiant-evidence/1\"")]
    Magic,
    /// A frame that is cut short, too long or not in its one spelling.
    #[error("evidence frame at byte {at} {fault}")]
    Frame {
        /// Where the frame begins.
        at: u64,
        /// What is wrong.
        fault: &'static str,
    },
    /// Entries that do not rise, or lie outside the tree.
    #[error("evidence entry {index} is out of order or beyond the log's size")]
    Order {
        /// Its log index.
        index: u64,
    },
    /// Another number of entries or hashes than the head says.
    #[error("evidence has not as many {0} as its head says")]
    Count(&'static str),
    /// More than [`MAX_ENTRIES`].
    #[error("evidence has {0} entries where at most {MAX_ENTRIES} are allowed; shorten the period")]
    TooMany(u64),
    /// A statement that cannot be read.
    #[error("statement at log index {index}: {source}")]
    Statement {
        /// Its log index.
        index: u64,
        /// Why.
        source: Malformed,
    },
}

/// Spells the evidence file of `entries`, by rising index, under the checkpoint `size` and `root`.
pub fn spell(size: u64, root: Hash, entries: &[Entry], proof: &[Hash]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let head = HeadMessage {
        size,
        root: root.as_bytes().to_vec(),
        entries: entries.len() as u64,
        hashes: proof.len() as u64,
    };
    put(&mut out, Part::Head(head));
    for entry in entries {
        let leaf = |shown: &Shown| LeafMessage {
            index: shown.index,
            salt: shown.salt.to_vec(),
            content: shown.content.clone(),
        };
        let message = EntryMessage {
            index: entry.index,
            statement: entry.statement.as_bytes().to_vec(),
            shown: entry.disclosure.shown.iter().map(leaf).collect(),
            proof: joined(&entry.disclosure.proof),
        };
        put(&mut out, Part::Entry(message));
    }
    for hashes in proof.chunks(HASHES_PER_FRAME) {
        put(
            &mut out,
            Part::Proof(ProofMessage {
                hashes: joined(hashes),
            }),
        );
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::{Ed25519Signer, Signer as _, statement::Place, v1};

    use super::*;

    fn entry(index: u64) -> Entry {
        let signer = Ed25519Signer::from_seed(&[3; 32]).unwrap();
        let key = signer.public_key().as_bytes().to_vec();
        let body = v1::Enrolment {
            record_key: key,
            host: format!("h{index}"),
            ..Default::default()
        };
        let time = v1::Time {
            unix_ms: 1,
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        };
        let statement = Statement::seal(body.into(), Place::Opening, time, None, &signer).unwrap();
        let shown = vec![Shown {
            index: 0,
            salt: [7; 16],
            content: b"line".to_vec(),
        }];
        let proof = vec![tlog::leaf_hash(b"x")];
        Entry {
            index,
            statement,
            disclosure: Disclosure { shown, proof },
        }
    }

    fn read(bytes: &[u8]) -> Result<(Vec<Entry>, Vec<Hash>), BadEvidence> {
        let mut reader = Reader::open(bytes)?;
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            entries.push(entry);
        }
        Ok((entries, reader.into_proof()?))
    }

    fn file() -> (Vec<Entry>, Vec<Hash>, Vec<u8>) {
        let entries: Vec<Entry> = [0, 1, 5].map(entry).into();
        let proof: Vec<Hash> = (0..HASHES_PER_FRAME + 3)
            .map(|n| tlog::leaf_hash(&n.to_be_bytes()))
            .collect();
        let bytes = spell(9, tlog::leaf_hash(b"root"), &entries, &proof);
        (entries, proof, bytes)
    }

    #[test]
    fn evidence_reads_back_what_was_written() {
        let (entries, proof, bytes) = file();
        assert_eq!(read(&bytes).unwrap(), (entries, proof));
    }

    #[test]
    fn evidence_cut_anywhere_or_lengthened_is_refused() {
        let (.., bytes) = file();
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(read(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn entries_that_do_not_rise_or_lie_beyond_the_log_are_refused() {
        let root = tlog::empty_root();
        for (indices, bad) in [([1, 1], 1), ([2, 1], 1), ([1, 9], 9)] {
            let entries: Vec<Entry> = indices.map(entry).into();
            let found = read(&spell(9, root, &entries, &[])).unwrap_err();
            assert!(
                matches!(found, BadEvidence::Order { index } if index == bad),
                "{found}"
            );
        }
    }

    #[test]
    fn evidence_with_an_entry_that_does_not_read_never_ends_well() {
        let entries = [entry(0), entry(1)];
        let mut bytes = spell(9, tlog::empty_root(), &entries, &[]);
        let last = entries[1].statement.as_bytes();
        let at = bytes
            .windows(last.len())
            .position(|part| part == last)
            .unwrap();
        bytes[at] ^= 1;
        let mut reader = Reader::open(bytes.as_slice()).unwrap();
        reader.next_entry().unwrap();
        reader.next_entry().unwrap_err();
        assert!(reader.into_proof().is_err());
    }

    #[test]
    fn a_length_that_is_hostile_or_long_spelled_is_refused() {
        let (.., bytes) = file();
        let with = |length: &[u8]| [&MAGIC[..], length, &bytes[MAGIC.len() + 1..]].concat();
        for length in [
            &[0xff, 0xff, 0xff, 0x7f][..],
            &[0xff; 5],
            &[0x80 | bytes[MAGIC.len()], 0],
        ] {
            assert!(
                matches!(read(&with(length)), Err(BadEvidence::Frame { .. })),
                "{length:x?}"
            );
        }
    }
}
