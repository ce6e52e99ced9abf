//! Chains: each statement names the one before it, and one key signs until a `key` statement
//! hands over to the next.

use crate::{
    digest::Digest,
    keys::{BadKey, BadSignature, PublicKey},
    statement::{Body, Kind, Place, Statement},
};

/// A chain up to its head: all that is needed to judge the next statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainState {
    chain: Digest,
    sequence: u64,
    head: Digest,
    key: PublicKey,
}

/// A statement whose signature and place in its chain hold. Made only by [`ChainState`].
///
/// ```
/// # use affiant_proto::{Statement, Verified};
/// fn read(verified: &Verified) -> &Statement {
///     verified.statement()
/// }
/// ```
///
/// Nobody else can say that a statement was verified:
///
/// ```compile_fail
/// # use affiant_proto::{Digest, Statement, Verified};
/// fn forge(statement: Statement, chain: Digest) -> Verified {
///     Verified { statement, chain }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    statement: Statement,
    chain: Digest,
}

/// Why a statement does not continue its chain. The statement is at fault, or the chain forked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// Signed by another key, or changed after signing.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// The key that it brings is not acceptable.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// A new key did not prove that its holder agreed.
    #[error("the new key's own proof in the key statement does not verify")]
    Proof,
    /// A `key` statement that says neither or both of what it may, or changes nothing.
    #[error("a key statement changes either the chain's key, to another one, or the authority")]
    Change,
    /// This kind cannot open a chain, or cannot stand within one.
    #[error("a {0} statement cannot stand here in a chain")]
    Misplaced(String),
    /// Of another chain.
    #[error("statement belongs to chain {got}, not {due}")]
    OtherChain {
        /// The chain being read.
        due: Digest,
        /// The one it names.
        got: Digest,
    },
    /// Later than the next: something is missing before it.
    #[error("statement {got} arrived where {due} was due: something before it is missing")]
    Missing {
        /// Next sequence.
        due: u64,
        /// Its sequence.
        got: u64,
    },
    /// At or before the head: sent again, reordered, or a second history.
    #[error("statement {got} arrived where {due} was due: it stands in the past of the chain")]
    Past {
        /// Next sequence.
        due: u64,
        /// Its sequence.
        got: u64,
    },
    /// The right sequence on the wrong history.
    #[error(
        "statement {sequence} continues another history: its previous digest is not the head's"
    )]
    Forked {
        /// Its sequence.
        sequence: u64,
    },
}

impl Broken {
    /// A stable word for the refusal, listed in FORMAT.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Signature(_) => "signature",
            Self::Key(_) | Self::Proof | Self::Change => "key",
            Self::Misplaced(_) => "misplaced",
            Self::OtherChain { .. } => "other-chain",
            Self::Missing { .. } => "missing",
            Self::Past { .. } => "past",
            Self::Forked { .. } => "forked",
        }
    }
}

impl ChainState {
    /// Opens the chain of a `genesis`, `enrolment`, `officer`, `relay-enrolment` or `objection`, signed
    /// by the key that it names.
    ///
    /// The signature proves possession of that key; whether the opener itself is to be believed is
    /// for the caller to decide (the genesis by the reader's trust, the others by the genesis).
    pub fn open(statement: Statement) -> Result<(Self, Verified), Broken> {
        if statement.header().place() != Place::Opening {
            return Err(Broken::Misplaced(statement.kind().name()));
        }
        let key = PublicKey::ed25519(match statement.body() {
            Body::Genesis(body) => &body.operator_key,
            Body::Enrolment(body) => &body.record_key,
            Body::Officer(body) => &body.key,
            Body::RelayEnrolment(body) => &body.relay_key,
            Body::Objection(body) => &body.key,
            _ => return Err(Broken::Misplaced(statement.kind().name())),
        })?;
        statement.verify(&key)?;
        let chain = statement.digest();
        Ok((
            Self {
                chain,
                sequence: 0,
                head: chain,
                key,
            },
            Verified { statement, chain },
        ))
    }

    /// Verifies the next statement and moves the head; on an error the state is as before.
    pub fn follow(&mut self, statement: Statement) -> Result<Verified, Broken> {
        self.continues(&statement, false)?;
        self.take(statement)
    }

    /// Verifies a statement of this chain out of its order: signature and membership only.
    ///
    /// For readers to whom just a part of the chain is shown; inclusion in the log ties the part
    /// to the whole. A statement from before a change of key needs the state of that time.
    pub fn vouch(&self, statement: Statement) -> Result<Verified, Broken> {
        self.signed(statement, &self.key)
    }

    /// Verifies `statement` like [`ChainState::vouch`] and goes on from it, across what is not
    /// shown between. A `key` statement hands over here too.
    pub fn skip_to(&mut self, statement: Statement) -> Result<Verified, Broken> {
        self.continues(&statement, true)?;
        self.take(statement)
    }

    /// Verifies the next statement by `key`, which signs the chain from it on: the way in which a
    /// `succession` hands over, once its approvals were checked. `shown` as in
    /// [`ChainState::skip_to`].
    pub(crate) fn hand_over(
        &mut self,
        statement: Statement,
        key: PublicKey,
        shown: bool,
    ) -> Result<Verified, Broken> {
        self.continues(&statement, shown)?;
        let verified = self.signed(statement, &key)?;
        self.advance(&verified, Some(key));
        Ok(verified)
    }

    /// Tells whether a statement stands behind the head; right behind it unless `shown`.
    fn continues(&self, statement: &Statement, shown: bool) -> Result<(), Broken> {
        let Place::Link {
            chain,
            sequence,
            previous,
        } = statement.header().place()
        else {
            return Err(Broken::Misplaced(statement.kind().name()));
        };
        if chain != self.chain {
            return Err(Broken::OtherChain {
                due: self.chain,
                got: chain,
            });
        }
        let due = self.sequence.saturating_add(1);
        if sequence < due {
            return Err(Broken::Past { due, got: sequence });
        }
        if sequence > due {
            let missing = Broken::Missing { due, got: sequence };
            return if shown { Ok(()) } else { Err(missing) };
        }
        if previous != self.head {
            return Err(Broken::Forked { sequence });
        }
        Ok(())
    }

    fn signed(&self, statement: Statement, key: &PublicKey) -> Result<Verified, Broken> {
        match statement.header().chain() {
            Some(chain) if chain == self.chain => {}
            Some(got) => {
                return Err(Broken::OtherChain {
                    due: self.chain,
                    got,
                });
            }
            None => return Err(Broken::Misplaced(statement.kind().name())),
        }
        if let Some(kind) = opener(&statement) {
            return Err(Broken::Misplaced(kind.name()));
        }
        statement.verify(key)?;
        Ok(Verified {
            statement,
            chain: self.chain,
        })
    }

    /// Verifies a statement whose place is already judged, and makes it the head.
    fn take(&mut self, statement: Statement) -> Result<Verified, Broken> {
        if matches!(statement.kind(), Kind::Succession) {
            // Whose key it hands over to is for officers to say; see `Authorities`.
            return Err(Broken::Misplaced(statement.kind().name()));
        }
        let verified = self.vouch(statement)?;
        let new = self.handed_over(&verified)?;
        self.advance(&verified, new);
        Ok(verified)
    }

    /// Makes a verified statement the head, with the key from here on where it changes.
    fn advance(&mut self, verified: &Verified, new: Option<PublicKey>) {
        if let Some(key) = new {
            self.key = key;
        }
        self.sequence = verified.statement.header().sequence();
        self.head = verified.statement.digest();
    }

    /// The key that a `key` statement hands over to; none when it changes the authority, which is
    /// for its reader to allow.
    fn handed_over(&self, verified: &Verified) -> Result<Option<PublicKey>, Broken> {
        let (
            Body::Key(change),
            Place::Link {
                chain,
                sequence,
                previous,
            },
        ) = (verified.body(), verified.statement.header().place())
        else {
            return Ok(None);
        };
        if change.new_key.is_empty() {
            let alone = change.proof.is_empty() && Digest::try_from(change.ca.as_slice()).is_ok();
            return if alone { Ok(None) } else { Err(Broken::Change) };
        }
        let key = PublicKey::ed25519(&change.new_key)?;
        if !change.ca.is_empty() || key == self.key {
            return Err(Broken::Change);
        }
        let proof = change.proof.as_slice().try_into();
        let proof = proof.map_err(|_| Broken::Proof)?;
        key.verify(&key_change_bytes(chain, sequence, previous, &key), proof)
            .map_err(|_| Broken::Proof)?;
        Ok(Some(key))
    }

    /// Digest of the statement that opened the chain.
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// Sequence of the head.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Digest of the head.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// The key that signs next.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Where the next statement stands.
    pub fn next_place(&self) -> Place {
        Place::Link {
            chain: self.chain,
            sequence: self.sequence.saturating_add(1),
            previous: self.head,
        }
    }
}

impl Verified {
    /// The statement.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Its chain; for an opener the one that it opens.
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// What it says.
    pub fn body(&self) -> &Body {
        self.statement.body()
    }
}

/// Bytes that a new key signs to take over a chain.
pub fn key_change_bytes(
    chain: Digest,
    sequence: u64,
    previous: Digest,
    new_key: &PublicKey,
) -> Vec<u8> {
    [
        b"affiant key change\0".as_slice(),
        chain.as_bytes(),
        &sequence.to_be_bytes(),
        previous.as_bytes(),
        new_key.as_bytes(),
    ]
    .concat()
}

fn opener(statement: &Statement) -> Option<&Kind> {
    let opens = matches!(
        statement.kind(),
        Kind::Genesis | Kind::Enrolment | Kind::Officer | Kind::RelayEnrolment | Kind::Objection
    );
    opens.then(|| statement.kind())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        keys::{Ed25519Signer, Signer as _},
        v1,
    };

    fn signer(seed: u8) -> Ed25519Signer {
        Ed25519Signer::from_seed(&[seed; 32]).unwrap()
    }

    fn time() -> v1::Time {
        v1::Time {
            unix_ms: 1,
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        }
    }

    fn opened(seed: u8) -> ChainState {
        let key = signer(seed).public_key().as_bytes().to_vec();
        let body = v1::Enrolment {
            record_key: key,
            host: "h".into(),
            ..Default::default()
        };
        let made =
            Statement::seal(body.into(), Place::Opening, time(), None, &signer(seed)).unwrap();
        ChainState::open(made).unwrap().0
    }

    fn next(state: &ChainState, seed: u8, body: impl Into<Body>) -> Statement {
        Statement::seal(body.into(), state.next_place(), time(), None, &signer(seed)).unwrap()
    }

    #[test]
    fn a_chain_takes_each_statement_once_and_in_order() {
        let mut state = opened(1);
        let first = next(&state, 1, v1::Gap::default());
        state.follow(first.clone()).unwrap();
        let second = next(&state, 1, v1::Gap::default());
        assert_eq!(
            state.follow(first).unwrap_err(),
            Broken::Past { due: 2, got: 1 }
        );
        let mut behind = opened(1);
        assert_eq!(
            behind.follow(second.clone()).unwrap_err(),
            Broken::Missing { due: 1, got: 2 }
        );
        state.follow(second).unwrap();
        assert_eq!(state.sequence(), 2);
    }

    #[test]
    fn an_attestation_by_a_key_that_is_not_the_chains_is_not_believed() {
        let mut state = opened(1);
        let mut foreign = next(&state, 2, v1::Gap::default());
        foreign.attest(signer(2).public_key()).unwrap();
        let refused = state.follow(foreign).unwrap_err();
        assert!(matches!(refused, Broken::Signature(_)), "{refused}");
        let mut own = next(&state, 1, v1::Gap::default());
        own.attest(signer(1).public_key()).unwrap();
        assert_eq!(state.follow(own).unwrap().chain(), state.chain());
    }

    #[test]
    fn a_second_history_is_told_apart() {
        let mut state = opened(1);
        let mut other = state.clone();
        state.follow(next(&state, 1, v1::Gap::default())).unwrap();
        let different = v1::Gap {
            reason: "other".into(),
            ..Default::default()
        };
        other.follow(next(&other, 1, different)).unwrap();
        let on_other = next(&other, 1, v1::Gap::default());
        assert_eq!(
            state.follow(on_other).unwrap_err(),
            Broken::Forked { sequence: 2 }
        );
    }

    #[test]
    fn a_statement_of_another_chain_or_key_is_refused() {
        let mut state = opened(1);
        let foreign = next(&opened(2), 2, v1::Gap::default());
        assert!(matches!(
            state.follow(foreign).unwrap_err(),
            Broken::OtherChain { .. }
        ));
        let forged = next(&state, 2, v1::Gap::default());
        assert!(matches!(
            state.follow(forged).unwrap_err(),
            Broken::Signature(_)
        ));
        let opener = next(&state, 1, v1::Enrolment::default());
        assert!(matches!(
            state.follow(opener).unwrap_err(),
            Broken::Misplaced(_)
        ));
    }

    #[test]
    fn a_key_changes_only_with_the_consent_of_both() {
        let mut state = opened(1);
        let Place::Link {
            chain,
            sequence,
            previous,
        } = state.next_place()
        else {
            unreachable!()
        };
        let new = signer(2);
        let bytes = key_change_bytes(chain, sequence, previous, new.public_key());
        let change = |proof: [u8; 64]| v1::Key {
            new_key: new.public_key().as_bytes().to_vec(),
            proof: proof.to_vec(),
            ..Default::default()
        };
        let unproved = next(&state, 1, change([0; 64]));
        assert_eq!(state.follow(unproved).unwrap_err(), Broken::Proof);
        assert_eq!(state.sequence(), 0, "a refusal leaves the chain as it was");
        let proof = new.sign(&bytes).unwrap();
        assert!(
            state.follow(next(&state, 2, change(proof))).is_err(),
            "the old key did not sign"
        );
        state.follow(next(&state, 1, change(proof))).unwrap();
        assert!(
            state.follow(next(&state, 1, v1::Gap::default())).is_err(),
            "the old key is over"
        );
        state.follow(next(&state, 2, v1::Gap::default())).unwrap();
    }

    #[test]
    fn a_key_change_after_statements_that_are_not_shown_still_hands_over() {
        let mut signs = opened(1);
        let mut reads = signs.clone();
        signs.follow(next(&signs, 1, v1::Gap::default())).unwrap();
        let Place::Link {
            chain,
            sequence,
            previous,
        } = signs.next_place()
        else {
            unreachable!()
        };
        let new = signer(2);
        let proof = new.sign(&key_change_bytes(
            chain,
            sequence,
            previous,
            new.public_key(),
        ));
        let change = v1::Key {
            new_key: new.public_key().as_bytes().to_vec(),
            proof: proof.unwrap().to_vec(),
            ..Default::default()
        };
        let mut unproved = change.clone();
        unproved.proof[0] ^= 1;
        assert_eq!(
            reads.skip_to(next(&signs, 1, unproved)).unwrap_err(),
            Broken::Proof
        );
        let change = next(&signs, 1, change);
        signs.follow(change.clone()).unwrap();
        reads.skip_to(change).unwrap();
        assert_eq!(reads.key(), new.public_key());
        reads.follow(next(&signs, 2, v1::Gap::default())).unwrap();
    }

    /// The `key` statement that hands `state` over from the key of seed `old` to that of `new`.
    fn change(state: &ChainState, old: u8, new: u8) -> Statement {
        let Place::Link {
            chain,
            sequence,
            previous,
        } = state.next_place()
        else {
            unreachable!()
        };
        let new = signer(new);
        let proof = new.sign(&key_change_bytes(
            chain,
            sequence,
            previous,
            new.public_key(),
        ));
        let body = v1::Key {
            new_key: new.public_key().as_bytes().to_vec(),
            proof: proof.unwrap().to_vec(),
            ..Default::default()
        };
        next(state, old, body)
    }

    #[test]
    fn a_key_statement_changes_one_thing_or_is_refused() {
        let state = opened(1);
        let refused = |body: v1::Key| state.clone().follow(next(&state, 1, body)).unwrap_err();
        assert_eq!(refused(v1::Key::default()), Broken::Change);
        let authority = v1::Key {
            ca: vec![7; 32],
            ..Default::default()
        };
        state
            .clone()
            .follow(next(&state, 1, authority.clone()))
            .unwrap();
        let mut short = authority.clone();
        short.ca.pop();
        assert_eq!(refused(short), Broken::Change);
        let Body::Key(both) = change(&state, 1, 2).body().clone() else {
            unreachable!()
        };
        assert_eq!(
            refused(v1::Key {
                ca: vec![7; 32],
                ..both
            }),
            Broken::Change
        );
        assert_eq!(
            state.clone().follow(change(&state, 1, 1)).unwrap_err(),
            Broken::Change,
            "to the same key"
        );
    }

    #[test]
    fn no_chain_hands_itself_over_by_a_succession() {
        let mut state = opened(1);
        let succession = next(&state, 1, v1::Succession::default());
        assert!(matches!(
            state.follow(succession).unwrap_err(),
            Broken::Misplaced(_)
        ));
    }

    #[test]
    fn an_opener_within_a_chain_is_refused_even_out_of_order() {
        let mut state = opened(1);
        let mut ahead = state.clone();
        ahead.follow(next(&ahead, 1, v1::Gap::default())).unwrap();
        let opener = next(&ahead, 1, v1::Enrolment::default());
        assert!(matches!(
            state.skip_to(opener).unwrap_err(),
            Broken::Misplaced(_)
        ));
    }
}
