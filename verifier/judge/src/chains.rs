//! Maps by chain and by key: what most of the judge's memory is, asked a dozen times with every record.
//!
//! Names are digests, as good as random: their first bytes place them, with no hash to compute and
//! one look where a tree of 125,000 hosts takes six. Who would put many into one place has to have
//! many hosts enrolled, each with a digest searched for. What is listed is in the order of the
//! names, so that no verdict depends on places.

use std::{
    collections::hash_map::Entry,
    hash::{BuildHasherDefault, Hasher},
};

#[expect(
    clippy::disallowed_types,
    reason = "its hasher is not random, and its order reaches nothing: `iter` sorts"
)]
type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<First>>;

/// A map by the digest of the statement that opened a chain.
pub(crate) type ByChain<T> = ByDigest<32, T>;

/// A map by digests of `N` bytes, at least eight.
#[derive(Clone, Debug)]
pub(crate) struct ByDigest<const N: usize, T>(Map<[u8; N], T>);

impl<const N: usize, T> Default for ByDigest<N, T> {
    fn default() -> Self {
        Self(Map::default())
    }
}

impl<const N: usize, T> ByDigest<N, T> {
    pub(crate) fn get(&self, name: &[u8; N]) -> Option<&T> {
        self.0.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &[u8; N]) -> Option<&mut T> {
        self.0.get_mut(name)
    }

    pub(crate) fn entry(&mut self, name: [u8; N]) -> Entry<'_, [u8; N], T> {
        self.0.entry(name)
    }

    pub(crate) fn insert(&mut self, name: [u8; N], value: T) {
        self.0.insert(name, value);
    }

    pub(crate) fn remove(&mut self, name: &[u8; N]) -> Option<T> {
        self.0.remove(name)
    }

    /// All, in the order of the names' bytes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8; N], &T)> {
        self.choose(|_| true)
    }

    /// Those of which `chosen` holds, in the order of the names' bytes.
    pub(crate) fn choose(
        &self,
        chosen: impl Fn(&T) -> bool,
    ) -> impl Iterator<Item = (&[u8; N], &T)> {
        let mut all: Vec<_> = self.0.iter().filter(|(_, value)| chosen(value)).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all.into_iter()
    }
}

/// The first eight bytes of what is hashed.
#[derive(Debug, Default)]
struct First(u64);

impl Hasher for First {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes
            .first_chunk()
            .map_or(0, |first| u64::from_le_bytes(*first));
    }

    /// The length of an array, which is the same for all.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_in_the_order_of_the_names_however_it_came() {
        let mut map = ByChain::default();
        for place in (0..=255_u8).map(|place| place.wrapping_mul(77)) {
            let mut name = [9; 32];
            name[31] = place;
            map.insert(name, place);
        }
        map.remove(&[9; 32]);
        let listed: Vec<u8> = map.iter().map(|(_, place)| *place).collect();
        let due: Vec<u8> = (0..=255).filter(|place| *place != 9).collect();
        assert_eq!(listed, due);
        let few: Vec<u8> = map
            .choose(|place| *place < 3)
            .map(|(_, place)| *place)
            .collect();
        assert_eq!(few, [0, 1, 2]);
    }

    #[test]
    fn the_first_bytes_place_a_name() {
        use std::hash::BuildHasher as _;
        let name = std::array::from_fn(|place| u8::try_from(place).unwrap_or(0));
        let hash = BuildHasherDefault::<First>::default().hash_one::<[u8; 32]>(name);
        assert_eq!(hash, 0x0706_0504_0302_0100);
    }
}
