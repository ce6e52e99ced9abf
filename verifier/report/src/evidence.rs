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

use std::io::{self, Read};

use affiant_proto::{
    Disclosure, Malformed, Statement,
    salted::Shown,
    tlog::{self, Hash},
};
use prost::Message;

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

#[derive(Clone, PartialEq, Message)]
struct Frame {
    #[prost(oneof = "Part", tags = "1, 2, 3")]
    part: Option<Part>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Part {
    #[prost(message, tag = "1")]
    Head(HeadMessage),
    #[prost(message, tag = "2")]
    Entry(EntryMessage),
    #[prost(message, tag = "3")]
    Proof(ProofMessage),
}

#[derive(Clone, PartialEq, Message)]
struct HeadMessage {
    #[prost(uint64, tag = "1")]
    size: u64,
    #[prost(bytes = "vec", tag = "2")]
    root: Vec<u8>,
    #[prost(uint64, tag = "3")]
    entries: u64,
    #[prost(uint64, tag = "4")]
    hashes: u64,
}

#[derive(Clone, PartialEq, Message)]
struct EntryMessage {
    #[prost(uint64, tag = "1")]
    index: u64,
    #[prost(bytes = "vec", tag = "2")]
    statement: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    shown: Vec<LeafMessage>,
    #[prost(bytes = "vec", tag = "4")]
    proof: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct LeafMessage {
    #[prost(uint32, tag = "1")]
    index: u32,
    #[prost(bytes = "vec", tag = "2")]
    salt: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    content: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ProofMessage {
    #[prost(bytes = "vec", tag = "1")]
    hashes: Vec<u8>,
}

fn put(out: &mut Vec<u8>, part: Part) {
    // A vector grows; encoding into it cannot fail.
    let bytes = Frame { part: Some(part) }.encode_length_delimited_to_vec();
    out.extend(bytes);
}

fn joined(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn parted(bytes: &[u8]) -> Option<Vec<Hash>> {
    bytes
        .chunks(32)
        .map(|chunk| Hash::try_from(chunk).ok())
        .collect()
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

/// Reads an evidence file from front to back, one entry in memory at a time.
pub struct Reader<R> {
    from: R,
    at: u64,
    head: Head,
    read: u64,
    due: u64,
}

impl<R: Read> Reader<R> {
    /// Reads up to the first entry.
    pub fn open(from: R) -> Result<Self, BadEvidence> {
        let none = Head {
            size: 0,
            root: tlog::empty_root(),
            entries: 0,
            hashes: 0,
        };
        let mut reader = Self {
            from,
            at: 0,
            head: none,
            read: 0,
            due: 0,
        };
        let mut magic = [0; MAGIC.len()];
        if reader.fill(&mut magic)? != magic.len() || magic != *MAGIC {
            return Err(BadEvidence::Magic);
        }
        let at = reader.at;
        let Some(Part::Head(head)) = reader.frame()? else {
            return Err(BadEvidence::Frame {
                at,
                fault: "is not the head that is due first",
            });
        };
        let root = Hash::try_from(head.root.as_slice()).map_err(|_| BadEvidence::Frame {
            at,
            fault: "has a root that is not 32 bytes long",
        })?;
        if head.entries > MAX_ENTRIES {
            return Err(BadEvidence::TooMany(head.entries));
        }
        reader.head = Head {
            size: head.size,
            root,
            entries: head.entries,
            hashes: head.hashes,
        };
        Ok(reader)
    }

    /// What the evidence says of itself.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Reads the next entry; none after the last.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, BadEvidence> {
        if self.read == self.head.entries {
            return Ok(None);
        }
        let at = self.at;
        let entry = match self.frame()? {
            Some(Part::Entry(entry)) => entry,
            Some(_) => {
                return Err(BadEvidence::Frame {
                    at,
                    fault: "is not the entry that is due",
                });
            }
            None => return Err(BadEvidence::Count("entries")),
        };
        let index = entry.index;
        if index < self.due || index >= self.head.size {
            return Err(BadEvidence::Order { index });
        }
        self.due = index.saturating_add(1);
        self.read += 1;
        let frame = |fault| BadEvidence::Frame { at, fault };
        let shown = entry.shown.into_iter().map(|leaf| {
            let salt = leaf.salt.as_slice().try_into();
            let salt = salt.map_err(|_| frame("has a salt that is not 16 bytes long"))?;
            Ok(Shown {
                index: leaf.index,
                salt,
                content: leaf.content,
            })
        });
        let shown = shown.collect::<Result<Vec<_>, _>>()?;
        let proof = parted(&entry.proof);
        let proof = proof.ok_or_else(|| frame("has a proof hash that is not 32 bytes long"))?;
        let statement = Statement::parse(&entry.statement)
            .map_err(|source| BadEvidence::Statement { index, source })?;
        Ok(Some(Entry {
            index,
            statement,
            disclosure: Disclosure { shown, proof },
        }))
    }

    /// Reads the multi-proof that follows the last entry, to the end of the file.
    pub fn into_proof(mut self) -> Result<Vec<Hash>, BadEvidence> {
        if self.read != self.head.entries {
            return Err(BadEvidence::Count("entries"));
        }
        let mut proof: Vec<Hash> = Vec::new();
        loop {
            let at = self.at;
            let frame = |fault| BadEvidence::Frame { at, fault };
            let hashes = match self.frame()? {
                None => break,
                Some(Part::Proof(part)) => parted(&part.hashes),
                Some(_) => return Err(frame("is not the proof that is due")),
            };
            let hashes =
                hashes.ok_or_else(|| frame("has a proof hash that is not 32 bytes long"))?;
            let full = proof.len().is_multiple_of(HASHES_PER_FRAME);
            if !full || hashes.is_empty() || hashes.len() > HASHES_PER_FRAME {
                return Err(frame("does not fill its proof frames"));
            }
            proof.extend(hashes);
            if proof.len() as u64 > self.head.hashes {
                return Err(BadEvidence::Count("proof hashes"));
            }
        }
        if proof.len() as u64 == self.head.hashes {
            Ok(proof)
        } else {
            Err(BadEvidence::Count("proof hashes"))
        }
    }

    /// Reads a frame; none at the end of the file.
    fn frame(&mut self) -> Result<Option<Part>, BadEvidence> {
        let at = self.at;
        let frame = |fault| BadEvidence::Frame { at, fault };
        let Some(length) = self.length(at)? else {
            return Ok(None);
        };
        let mut bytes = vec![0; length];
        if self.fill(&mut bytes)? != length {
            return Err(frame("is cut short"));
        }
        let read = Frame::decode(bytes.as_slice());
        let read = read.map_err(|_| frame("is not a protobuf message"))?;
        if read.encode_to_vec() != bytes {
            return Err(frame("is not in the one accepted spelling"));
        }
        read.part.map(Some).ok_or_else(|| frame("is empty"))
    }

    /// Reads the length before a frame: a varint of at most four bytes, shortest form.
    fn length(&mut self, at: u64) -> Result<Option<usize>, BadEvidence> {
        let mut length = 0_usize;
        for shift in [0, 7, 14, 21] {
            let mut byte = [0];
            if self.fill(&mut byte)? == 0 {
                let fault = "is cut short";
                return if shift == 0 {
                    Ok(None)
                } else {
                    Err(BadEvidence::Frame { at, fault })
                };
            }
            let [byte] = byte;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 != 0 {
                continue;
            }
            let fault = match (byte, length) {
                (0, _) if shift > 0 => "has a length that is not in shortest form",
                (_, MAX_FRAME_BYTES..) => break,
                _ => return Ok(Some(length)),
            };
            return Err(BadEvidence::Frame { at, fault });
        }
        Err(BadEvidence::Frame {
            at,
            fault: "is longer than any may be",
        })
    }

    /// Reads until `into` is full or the file ends.
    fn fill(&mut self, into: &mut [u8]) -> Result<usize, BadEvidence> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.from.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(BadEvidence::Io {
                        at: self.at + filled as u64,
                        source,
                    });
                }
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }
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
