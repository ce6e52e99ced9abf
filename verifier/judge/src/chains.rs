//! Maps by chain: what most of the judge's memory is, asked a dozen times with every record.

use std::collections::{BTreeMap, btree_map::Entry};

use affiant_proto::Digest;

/// A map by the digest of the statement that opened a chain, in the order of the digests' bytes.
#[derive(Clone, Debug)]
pub(crate) struct ByChain<T>(BTreeMap<Digest, T>);

impl<T> Default for ByChain<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> ByChain<T> {
    pub(crate) fn get(&self, chain: &[u8; 32]) -> Option<&T> {
        self.0.get(&Digest::new(*chain))
    }

    pub(crate) fn get_mut(&mut self, chain: &[u8; 32]) -> Option<&mut T> {
        self.0.get_mut(&Digest::new(*chain))
    }

    pub(crate) fn entry(&mut self, chain: [u8; 32]) -> Entry<'_, Digest, T> {
        self.0.entry(Digest::new(chain))
    }

    pub(crate) fn insert(&mut self, chain: [u8; 32], value: T) {
        self.0.insert(Digest::new(chain), value);
    }

    pub(crate) fn remove(&mut self, chain: &[u8; 32]) -> Option<T> {
        self.0.remove(&Digest::new(*chain))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8; 32], &T)> {
        self.0
            .iter()
            .map(|(chain, value)| (chain.as_bytes(), value))
    }
}
