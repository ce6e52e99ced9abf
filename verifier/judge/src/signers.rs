//! Signers: which key signed what part of a chain, so that a key revoked later can be held to it.

use std::collections::VecDeque;

use crate::chains::{ByChain, ByDigest};

/// Name of a key.
pub(crate) type KeyId = [u8; 16];

/// Most keys of one chain that are remembered: one a day for almost three years. 1,024 × 80 bytes
/// are 80 KiB, and only of a chain that changes its key so often.
const KEYS: usize = 1_024;

/// Log time between two marks: ten minutes, to which the time of a suspicion is exact.
const MARK_MS: u64 = 600_000;

/// Most marks; 65,536 × 10 min are 455 days, 1 MiB. Of older entries the oldest mark tells.
const MARKS: usize = 65_536;

/// What one key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) chain: [u8; 32],
    /// Log index of its first statement.
    pub(crate) first: u64,
    /// And of its last.
    pub(crate) last: u64,
    /// And of the one before that.
    pub(crate) before: Option<u64>,
    /// The key that its chain went on with.
    pub(crate) next: Option<KeyId>,
}

/// All signers of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signers {
    keys: ByDigest<16, Signed>,
    /// The keys of each chain in order.
    chains: ByChain<VecDeque<KeyId>>,
    marks: VecDeque<(u64, u64)>,
}

impl Signers {
    /// Takes note of the statement at `index`, which `key` signed in `chain`.
    pub(crate) fn signed(&mut self, index: u64, chain: [u8; 32], key: KeyId) {
        if let Some(signed) = self.keys.get_mut(&key) {
            if index > signed.last {
                signed.before = Some(signed.last);
                signed.last = index;
            }
            return;
        }
        let new = Signed {
            chain,
            first: index,
            last: index,
            before: None,
            next: None,
        };
        self.keys.insert(key, new);
        let keys = self.chains.entry(chain).or_default();
        if let Some(before) = keys.back().and_then(|before| self.keys.get_mut(before)) {
            before.next = Some(key);
        }
        keys.push_back(key);
        if keys.len() > KEYS
            && let Some(old) = keys.pop_front()
        {
            self.keys.remove(&old);
        }
    }

    /// What a key signed; `None` for one that signed nothing that is shown.
    pub(crate) fn by(&self, key: &KeyId) -> Option<Signed> {
        self.keys.get(key).copied()
    }

    /// The keys that signed a chain, oldest first.
    pub(crate) fn keys_of(&self, chain: &[u8; 32]) -> impl Iterator<Item = &KeyId> {
        self.chains.get(chain).into_iter().flatten()
    }

    /// Takes the log's clock at `index`.
    pub(crate) fn clock(&mut self, index: u64, unix_ms: u64) {
        let last = self.marks.back().map(|(_, at)| at.saturating_add(MARK_MS));
        if last.is_none_or(|due| due <= unix_ms) {
            self.marks.push_back((index, unix_ms));
        }
        if self.marks.len() > MARKS {
            self.marks.pop_front();
        }
    }

    /// The log's time at `index`, no later than it was and at most [`MARK_MS`] earlier.
    pub(crate) fn logged_ms(&self, index: u64) -> u64 {
        let after = self.marks.partition_point(|(at, _)| *at <= index);
        let mark = self.marks.get(after.saturating_sub(1));
        mark.map_or(0, |(_, unix_ms)| *unix_ms)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CHAIN: [u8; 32] = [7; 32];

    #[test]
    fn each_key_keeps_its_own_part_of_the_chain() {
        let mut signers = Signers::default();
        for (index, key) in [(3, [1; 16]), (5, [1; 16]), (9, [2; 16]), (12, [2; 16])] {
            signers.signed(index, CHAIN, key);
        }
        let old = signers.by(&[1; 16]).unwrap();
        assert_eq!(
            (old.first, old.last, old.next),
            (3, 5, Some([2; 16])),
            "{old:?}"
        );
        let new = signers.by(&[2; 16]).unwrap();
        assert_eq!((new.first, new.last, new.next), (9, 12, None));
        assert_eq!((old.before, new.before), (Some(3), Some(9)));
        assert_eq!(signers.by(&[3; 16]), None);
    }

    #[test]
    fn a_chain_that_changes_its_key_without_end_is_remembered_within_bounds() {
        let mut signers = Signers::default();
        for index in 0..5_000_u64 {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&index.to_be_bytes());
            signers.signed(index, CHAIN, key);
        }
        assert_eq!(signers.keys.iter().count(), KEYS);
    }

    #[test]
    fn the_log_time_of_an_index_is_never_later_than_it_was() {
        let mut signers = Signers::default();
        for index in 0..200_u64 {
            signers.clock(index, 1_000_000 + index * 60_000);
        }
        for index in 0..200_u64 {
            let told = signers.logged_ms(index);
            let was = 1_000_000 + index * 60_000;
            assert!(told <= was && was - told < MARK_MS, "{index}: {told} {was}");
        }
        assert_eq!(Signers::default().logged_ms(5), 0);
    }
}
