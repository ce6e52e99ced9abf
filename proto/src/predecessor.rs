//! Enrolling again: how the key of an old chain says that the new chain is the same host's.

use crate::{ChainState, Digest, PublicKey, v1};

/// What an enrolment says of a chain before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reenrolment {
    /// Nothing: the host is new, as far as it says.
    First,
    /// It continues a chain, and the key that signs there agreed.
    Proved,
    /// It says that it continues a chain, and nothing proves that: an operator must approve.
    Unproved,
}

/// Bytes that the key of an old chain signs to let a new record key enrol in its place.
pub fn reenrolment_bytes(
    genesis: Digest,
    (chain, sequence, head): (Digest, u64, Digest),
    record_key: &PublicKey,
) -> Vec<u8> {
    [
        b"affiant re-enrolment\0".as_slice(),
        genesis.as_bytes(),
        chain.as_bytes(),
        &sequence.to_be_bytes(),
        head.as_bytes(),
        record_key.as_bytes(),
    ]
    .concat()
}

impl Reenrolment {
    /// Holds what an enrolment says of the chain before it against `old`: the state of that chain
    /// while its key is trusted, none where there is no such chain or its key was revoked.
    pub fn of(enrolment: &v1::Enrolment, old: Option<&ChainState>) -> Self {
        Self::by(enrolment, old.map(|old| (old.chain(), old.key())))
    }

    /// The same by the name of that chain and the key that signs there next.
    pub fn by(enrolment: &v1::Enrolment, old: Option<(Digest, &PublicKey)>) -> Self {
        let Some(said) = &enrolment.predecessor else {
            return Self::First;
        };
        let proved = || {
            let (chain, key) = old.filter(|(chain, _)| said.chain == chain.as_bytes())?;
            let genesis = Digest::try_from(enrolment.genesis.as_slice()).ok()?;
            let head = Digest::try_from(said.head.as_slice()).ok()?;
            let record_key = PublicKey::ed25519(&enrolment.record_key).ok()?;
            let place = (chain, said.sequence, head);
            let bytes = reenrolment_bytes(genesis, place, &record_key);
            let proof = said.proof.as_slice().try_into().ok()?;
            key.verify(&bytes, proof).ok()
        };
        match proved() {
            Some(()) => Self::Proved,
            None => Self::Unproved,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Ed25519Signer, Signer as _, Statement, digest, statement::Place};

    fn signer(seed: u8) -> Ed25519Signer {
        Ed25519Signer::from_seed(&[seed; 32]).unwrap()
    }

    fn enrolment(seed: u8) -> v1::Enrolment {
        v1::Enrolment {
            genesis: digest(b"genesis").as_bytes().to_vec(),
            record_key: signer(seed).public_key().as_bytes().to_vec(),
            ..Default::default()
        }
    }

    fn opened(seed: u8) -> ChainState {
        let time = v1::Time {
            unix_ms: 1,
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        };
        let opening = enrolment(seed).into();
        let opening = Statement::seal(opening, Place::Opening, time, None, &signer(seed)).unwrap();
        ChainState::open(opening).unwrap().0
    }

    /// Key 2 enrols in the place of the chain of key 1, at sequence 5 of it.
    fn again(old: &ChainState) -> v1::Enrolment {
        let head = digest(b"head");
        let bytes = reenrolment_bytes(
            digest(b"genesis"),
            (old.chain(), 5, head),
            signer(2).public_key(),
        );
        let predecessor = v1::Predecessor {
            chain: old.chain().as_bytes().to_vec(),
            sequence: 5,
            head: head.as_bytes().to_vec(),
            reason: "new disk".into(),
            proof: signer(1).sign(&bytes).unwrap().to_vec(),
        };
        v1::Enrolment {
            predecessor: Some(predecessor),
            ..enrolment(2)
        }
    }

    #[test]
    fn the_key_of_the_old_chain_lets_one_new_key_enrol_in_its_place() {
        let old = opened(1);
        assert_eq!(
            Reenrolment::of(&enrolment(2), Some(&old)),
            Reenrolment::First
        );
        assert_eq!(
            Reenrolment::of(&again(&old), Some(&old)),
            Reenrolment::Proved
        );
        assert_eq!(
            Reenrolment::of(&again(&old), None),
            Reenrolment::Unproved,
            "no such chain, or its key was revoked"
        );
        assert_eq!(
            Reenrolment::of(&again(&old), Some(&opened(3))),
            Reenrolment::Unproved
        );
    }

    #[test]
    fn a_proof_over_anything_else_proves_nothing() {
        let old = opened(1);
        let changes: [fn(&mut v1::Enrolment); 5] = [
            |it| it.genesis = vec![1; 32],
            |it| it.record_key = signer(3).public_key().as_bytes().to_vec(),
            |it| it.predecessor.as_mut().unwrap().sequence = 6,
            |it| it.predecessor.as_mut().unwrap().head = vec![1; 32],
            |it| it.predecessor.as_mut().unwrap().proof.clear(),
        ];
        for change in changes {
            let mut changed = again(&old);
            change(&mut changed);
            assert_eq!(Reenrolment::of(&changed, Some(&old)), Reenrolment::Unproved);
        }
    }
}
