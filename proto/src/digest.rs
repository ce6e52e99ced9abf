//! SHA-256 digests: the names of statements, chains and files.

use std::{cmp::Ordering, fmt, str::FromStr};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// The order of the bytes, found by the first eight wherever these differ, as they nearly always do:
/// digests are what maps are keyed by.
impl Ord for Digest {
    fn cmp(&self, other: &Self) -> Ordering {
        let first = |digest: &Self| digest.0.first_chunk().map(|head| u64::from_be_bytes(*head));
        let by_first = first(self).cmp(&first(other));
        by_first.then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Takes the SHA-256 of `bytes`.
pub fn digest(bytes: &[u8]) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    Digest(out)
}

impl Digest {
    /// Takes 32 bytes as a digest.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Gives the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Text or bytes that are not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: 32 bytes, or 64 hexadecimal digits in lower case, are due")]
pub struct NotADigest;

impl TryFrom<&[u8]> for Digest {
    type Error = NotADigest;

    fn try_from(bytes: &[u8]) -> Result<Self, NotADigest> {
        bytes.try_into().map(Self).map_err(|_| NotADigest)
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let mut out = [0; 32];
        if text.len() != 64 {
            return Err(NotADigest);
        }
        for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = match pair {
                [high, low] => nibble(*high)? << 4 | nibble(*low)?,
                _ => return Err(NotADigest),
            };
        }
        Ok(Self(out))
    }
}

fn nibble(digit: u8) -> Result<u8, NotADigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NotADigest),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_what_it_prints() {
        let made = digest(b"abc");
        assert_eq!(
            made.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(made.to_string().parse::<Digest>().unwrap(), made);
    }

    #[test]
    fn digests_stand_in_the_order_of_their_bytes() {
        for place in 0..32 {
            let (mut low, mut high) = ([7; 32], [7; 32]);
            (low[place], high[place]) = (0x7f, 0x80);
            // What comes after does not matter.
            low[place + 1..].fill(0xff);
            assert!(Digest::new(low) < Digest::new(high), "{place}");
            assert!(Digest::new(high) > Digest::new(low), "{place}");
        }
        let one = digest(b"abc");
        assert_eq!(one.cmp(&one), Ordering::Equal);
    }

    #[test]
    fn upper_case_and_short_texts_are_not_digests() {
        assert!("AB".repeat(32).parse::<Digest>().is_err());
        assert!("ab".repeat(31).parse::<Digest>().is_err());
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }
}
