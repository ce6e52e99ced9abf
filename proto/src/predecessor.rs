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
        let Some(said) = &enrolment.predecessor else {
            return Self::First;
        };
        let proved = || {
            let old = old.filter(|old| said.chain == old.chain().as_bytes())?;
            let genesis = Digest::try_from(enrolment.genesis.as_slice()).ok()?;
            let head = Digest::try_from(said.head.as_slice()).ok()?;
            let record_key = PublicKey::ed25519(&enrolment.record_key).ok()?;
            let place = (old.chain(), said.sequence, head);
            let bytes = reenrolment_bytes(genesis, place, &record_key);
            let proof = said.proof.as_slice().try_into().ok()?;
            old.key().verify(&bytes, proof).ok()
        };
        match proved() {
            Some(()) => Self::Proved,
            None => Self::Unproved,
        }
    }
}
