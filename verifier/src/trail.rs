//! The last statements of a chain, and the keys that signed them: what tells a statement sent again
//! from a second one at the same sequence.

use std::collections::VecDeque;

use affiant_proto::{Digest, PublicKey, Statement};

/// How many digests are kept: twice what an agent has in flight. 256 × 40 bytes are 10 KiB a host.
const KEPT: usize = 256;

/// A chain's most recent past, its head last.
#[derive(Clone, Debug)]
pub struct Trail {
    chain: Digest,
    statements: VecDeque<(u64, Digest)>,
    /// From which sequence each key signs; the first of them may reach back further.
    keys: VecDeque<(u64, PublicKey)>,
}

impl Trail {
    /// Begins with the statement that opens `chain`, signed by `key`.
    pub fn open(chain: Digest, key: PublicKey) -> Self {
        Self {
            chain,
            statements: [(0, chain)].into(),
            keys: [(0, key)].into(),
        }
    }

    /// Remembers an admitted statement; `next` is the key that signs after it.
    pub fn add(&mut self, sequence: u64, digest: Digest, next: &PublicKey) {
        if self.statements.len() == KEPT {
            self.statements.pop_front();
        }
        self.statements.push_back((sequence, digest));
        if self.keys.back().is_none_or(|(_, key)| key != next) {
            self.keys
                .push_back((sequence.saturating_add(1), next.clone()));
        }
        // A key is over once its successor signed all that is remembered.
        let oldest = self.statements.front().map_or(0, |(at, _)| *at);
        while self.keys.get(1).is_some_and(|(from, _)| *from <= oldest) {
            self.keys.pop_front();
        }
    }

    /// The digest at `sequence`, while it is remembered.
    pub fn recall(&self, sequence: u64) -> Option<Digest> {
        let found = self.statements.iter().rev().find(|(at, _)| *at == sequence);
        found.map(|(_, digest)| *digest)
    }

    /// Tells whether the key that signed at the statement's sequence signed this one too.
    pub fn signed(&self, statement: &Statement) -> bool {
        let sequence = statement.header().sequence();
        let key = self.keys.iter().rev().find(|(from, _)| *from <= sequence);
        statement.header().chain() == Some(self.chain)
            && key.is_some_and(|(_, key)| statement.verify(key).is_ok())
    }

    /// The digests before the head, newest first, for a host whose own head (`sequence`, `head`) is
    /// none of these: it finds by them where its disk and the log part.
    pub fn unless_known(&self, sequence: u64, head: &[u8]) -> Vec<Vec<u8>> {
        let known = self.recall(sequence);
        if known.is_some_and(|known| known.as_bytes().as_slice() == head) {
            return Vec::new();
        }
        let before = self.statements.iter().rev().skip(1);
        before
            .map(|(_, digest)| digest.as_bytes().to_vec())
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::{Ed25519Signer, Signer as _, digest, statement::Place, v1};

    use super::*;

    fn signer(seed: u8) -> Ed25519Signer {
        Ed25519Signer::from_seed(&[seed; 32]).unwrap()
    }

    fn observed(chain: Digest, sequence: u64, signer: &Ed25519Signer) -> Statement {
        let place = Place::Link {
            chain,
            sequence,
            previous: digest(b"before"),
        };
        let time = v1::Time {
            unix_ms: 1,
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        };
        let body = v1::Observation {
            rule: "test".into(),
            ..Default::default()
        };
        Statement::seal(body.into(), place, time, None, signer).unwrap()
    }

    #[test]
    fn a_second_statement_counts_by_the_key_of_its_own_time() {
        let (old, new, chain) = (signer(1), signer(2), digest(b"chain"));
        let mut trail = Trail::open(chain, old.public_key().clone());
        trail.add(1, digest(b"1"), old.public_key());
        trail.add(2, digest(b"key"), new.public_key());
        trail.add(3, digest(b"3"), new.public_key());
        assert!(trail.signed(&observed(chain, 2, &old)), "before the change");
        assert!(!trail.signed(&observed(chain, 2, &new)));
        assert!(trail.signed(&observed(chain, 3, &new)));
        assert!(!trail.signed(&observed(chain, 3, &old)));
        assert!(!trail.signed(&observed(digest(b"other"), 3, &new)));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_keys_go_with_it() {
        let (old, new, chain) = (signer(1), signer(2), digest(b"chain"));
        let mut trail = Trail::open(chain, old.public_key().clone());
        for sequence in 1..=1_000_u64 {
            trail.add(sequence, digest(&sequence.to_be_bytes()), new.public_key());
        }
        assert_eq!(trail.statements.len(), KEPT);
        assert_eq!(trail.keys.len(), 1);
        assert_eq!(trail.recall(1_000), Some(digest(&1_000_u64.to_be_bytes())));
        assert_eq!(trail.recall(744), None);
        assert!(trail.recall(745).is_some());
    }

    #[test]
    fn a_host_whose_head_is_known_needs_no_past() {
        let key = signer(1);
        let chain = digest(b"chain");
        let mut trail = Trail::open(chain, key.public_key().clone());
        trail.add(1, digest(b"1"), key.public_key());
        trail.add(2, digest(b"2"), key.public_key());
        assert!(trail.unless_known(1, digest(b"1").as_bytes()).is_empty());
        let past = trail.unless_known(1, digest(b"another").as_bytes());
        assert_eq!(past, [digest(b"1").as_bytes(), chain.as_bytes()]);
    }
}
