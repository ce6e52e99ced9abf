//! SHA-256 as RFC 6962 uses it: leaves and nodes hash apart.

use std::{fmt, str::FromStr};

use ring::digest as sha;

use super::frontier::CompactRange;
use crate::digest::digest;

/// A hash in a Merkle tree: of a leaf, of a subtree, or the root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

/// Bytes or text that are not a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tree hash: 32 bytes, or 64 hexadecimal digits in lower case, are due")]
pub struct NotAHash;

/// Hashes a leaf: SHA-256(0x00 ‖ `data`), RFC 6962 section 2.1.
pub fn leaf_hash(data: &[u8]) -> Hash {
    hash_of(&[&[0], data])
}

/// Hashes a leaf of which the data lies in two places, without putting it together.
pub(crate) fn leaf_hash_of(first: &[u8], rest: &[u8]) -> Hash {
    hash_of(&[&[0], first, rest])
}

/// Hashes an inner node: SHA-256(0x01 ‖ `left` ‖ `right`), RFC 6962 section 2.1.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash_of(&[&[1], &left.0, &right.0])
}

/// Gives the root of the tree without leaves: SHA-256 of nothing, RFC 6962 section 2.1.
pub fn empty_root() -> Hash {
    hash_of(&[])
}

/// Most bytes that are put together to be hashed at once, without a buffer of blocks between: two
/// blocks of SHA-256 less their padding. Nodes, digests and most lines are no longer.
const AT_ONCE: usize = 119;

/// Computes the root over leaf hashes, in one pass and logarithmic memory.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut range = CompactRange::new();
    for leaf in leaves {
        range.push(*leaf, |_, _, _| {});
    }
    range.root()
}

fn hash_of(parts: &[&[u8]]) -> Hash {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = [0; AT_ONCE];
    if let Some(bytes) = bytes.get_mut(..length) {
        let mut rest = &mut *bytes;
        for part in parts {
            let (here, after) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
        }
        return Hash(*digest(bytes).as_bytes());
    }
    let mut context = sha::Context::new(&sha::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Hash(out)
}

impl Hash {
    /// Takes 32 bytes as a hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Gives the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<Hash> for [u8; 32] {
    fn from(hash: Hash) -> Self {
        hash.0
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = NotAHash;

    fn try_from(bytes: &[u8]) -> Result<Self, NotAHash> {
        bytes.try_into().map(Self).map_err(|_| NotAHash)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Hash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let mut out = [0; 32];
        if text.len() != 2 * out.len() {
            return Err(NotAHash);
        }
        for (byte, digits) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = match digits {
                [high, low] => nibble(*high)? << 4 | nibble(*low)?,
                _ => return Err(NotAHash),
            };
        }
        Ok(Self(out))
    }
}

fn nibble(digit: u8) -> Result<u8, NotAHash> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NotAHash),
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    /// The eight leaves of the test data that accompany RFC 6962's first implementation, and the
    /// roots of the trees of the first n of them.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_roots_are_those_of_the_rfc_6962_test_data() {
        for (size, want) in ROOTS.iter().enumerate() {
            let leaves: Vec<Hash> = LEAVES[..size].iter().map(|leaf| leaf_hash(leaf)).collect();
            assert_eq!(root_of(&leaves).to_string(), *want, "tree of {size} leaves");
        }
    }

    #[test]
    fn a_leaf_that_spells_a_node_is_still_a_leaf() {
        let (left, right) = (leaf_hash(b"l"), leaf_hash(b"r"));
        let spelled = [left.as_bytes().as_slice(), right.as_bytes()].concat();
        assert_ne!(leaf_hash(&spelled), node_hash(&left, &right));
    }

    #[test]
    fn a_hash_reads_back_what_it_prints_and_nothing_else() {
        let hash = leaf_hash(b"x");
        assert_eq!(hash.to_string().parse::<Hash>().unwrap(), hash);
        assert_eq!(format!("{hash:?}"), hash.to_string());
        for bad in [
            hash.to_string().to_uppercase(),
            hash.to_string()[1..].to_owned(),
            format!("{hash}0"),
            format!("{}g", &hash.to_string()[1..]),
            "é".repeat(32),
        ] {
            assert_eq!(bad.parse::<Hash>(), Err(NotAHash), "{bad}");
        }
        assert_eq!(Hash::try_from(&[0_u8; 31][..]), Err(NotAHash));
    }
}
