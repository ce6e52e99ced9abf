//! Reading an evidence file: strict, bounded, one entry in memory at a time.

use std::io::{self, Read};

use affiant_proto::{
    Disclosure, Statement,
    salted::Shown,
    tlog::{self, Hash},
};
use prost::Message as _;

use super::{
    BadEvidence, Entry, HASHES_PER_FRAME, Head, MAGIC, MAX_ENTRIES, MAX_FRAME_BYTES,
    frame::{Frame, Part, parted},
};

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
        // Counted only now: evidence with an entry that does not read never ends well.
        self.due = index.saturating_add(1);
        self.read += 1;
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
