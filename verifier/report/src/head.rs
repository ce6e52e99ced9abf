//! What the verifier's lock says: which head the log has.
//!
//! The file is text, one value a line and nothing else, the last line the SHA-256 of all before it:
//!
//! ```text
//! affiant lock v1
//! origin <origin>
//! epoch <decimal>
//! size <decimal>
//! root <64 hexadecimal digits>
//! segment <start>-<end>-<sha256>.seg
//! sha256 <64 hexadecimal digits>
//! ```

use std::fmt;

use affiant_proto::{
    digest,
    tlog::{Hash, Origin},
};

use crate::segment::SegmentName;

/// Most bytes of the file: six short lines, an origin of at most 100 bytes and a segment's name of
/// at most 110; 1 KiB is twice their sum.
pub const MAX_HEAD_BYTES: usize = 1024;

/// The head of a log, as its lock holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The first line of every checkpoint.
    pub origin: Origin,
    /// Counts the writers: each that opens the log adds one, so that an older one's swap fails.
    pub epoch: u64,
    /// How many entries the log has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// The segment that ends at `size`.
    pub segment: SegmentName,
}

impl Head {
    /// Reads the text of a lock; says what is wrong with any other.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let mut lines = text.split('\n');
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        let head = (|| {
            value("affiant").filter(|version| *version == "lock v1")?;
            let head = Self {
                origin: value("origin")?.parse().ok()?,
                epoch: value("epoch")?.parse().ok()?,
                size: value("size")?.parse().ok()?,
                root: value("root")?.parse().ok()?,
                segment: value("segment")?.parse().ok()?,
            };
            Some(head)
        })();
        let head = head.ok_or("its lines are not those of a lock of version 1")?;
        // Printing again checks the sum, the spelling of the numbers and that nothing follows.
        if head.to_string() != text {
            return Err("its sha-256 line does not match");
        }
        if head.segment.end() != head.size {
            return Err("its segment does not end at its size");
        }
        Ok(head)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!(
            "affiant lock v1\norigin {}\nepoch {}\nsize {}\nroot {}\nsegment {}\n",
            self.origin, self.epoch, self.size, self.root, self.segment
        );
        writeln!(f, "{text}sha256 {}", digest(text.as_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_and_every_missing_byte_of_the_lock_is_seen() {
        let name = format!("0-5-{}.seg", digest(b"segment"));
        let head = Head {
            origin: "example.org/log".parse().unwrap(),
            epoch: 3,
            size: 5,
            root: affiant_proto::tlog::leaf_hash(b"root"),
            segment: name.parse().unwrap(),
        };
        let text = head.to_string().into_bytes();
        assert_eq!(Head::parse(&text), Ok(head));
        for at in 0..text.len() {
            assert!(Head::parse(&text[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                assert!(Head::parse(&changed).is_err(), "bit {bit} of byte {at}");
            }
        }
        assert!(Head::parse(&[text.as_slice(), b"\n"].concat()).is_err());
    }
}
