//! Who speaks for a deployment: the chains of its operator and its officers, which rest on one
//! genesis, and what they say of keys.
//!
//! Judge, verifier and agent hold the same [`Authorities`] and feed them in the order of the log,
//! each as much of it as it is shown: which keys were revoked, which authority issues
//! certificates and which key signs the log follow from that order alone.

mod approval;
mod kinds;
mod lineage;
mod officers;
mod revocation;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Body, Broken, ChainState, Digest, KeyId, PublicKey, Statement, Verified,
    v1::{self, KeyUse},
};

pub use approval::{officer_approval_bytes, succession_approval_bytes};
pub use lineage::{BadSuccession, Fate, Generation, Lineage, Opening};
pub use officers::{APPROVERS, Approver, folded, persons};
pub use revocation::{BadRevocation, KeyRevoked, Revocations, Revoked, Worth};

use officers::{Officer, Officers};

/// The chains of the operator and the officers, all of which rest on one genesis.
#[derive(Clone, Debug)]
pub struct Authorities {
    genesis: Digest,
    body: v1::Genesis,
    operator: ChainState,
    /// By chain.
    officers: BTreeMap<Digest, Officer>,
    /// Every key that operator or officers ever had: a key has one use.
    had: BTreeSet<KeyId>,
    certifiers: Vec<Digest>,
    revocations: Revocations,
    lineage: Lineage,
}

/// A statement of the operator or an officer that holds. Made only by [`Authorities`].
///
/// ```
/// # use affiant_proto::{Verified, authority::Act};
/// fn read(act: &Act) -> &Verified {
///     act.verified()
/// }
/// ```
///
/// A statement that was verified in some chain is not yet one of theirs:
///
/// ```compile_fail
/// # use affiant_proto::{Verified, authority::Act};
/// fn forge(verified: Verified) -> Act {
///     Act { verified }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    verified: Verified,
}

/// Why a statement is not one of the operator's or an officer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It does not continue its chain.
    #[error(transparent)]
    Chain(#[from] Broken),
    /// A kind that this chain may not carry.
    #[error("a {0} statement does not belong into this chain")]
    Kind(String),
    /// A genesis without a log or an authority that can be.
    #[error("the genesis names no origin, log key and digest of an authority that can be")]
    Genesis,
    /// An opener of another deployment.
    #[error("cites another genesis than this log's")]
    Deployment,
    /// An officer whom neither genesis nor two officers admitted.
    #[error(
        "officer {0} is neither named by the genesis nor admitted, with this key and under this name, by \
         two officers who are two persons"
    )]
    Officer(String),
    /// A key that operator or officers have or had.
    #[error("key {0} has or had another use here; make a new one")]
    Reused(KeyId),
    /// The authority is in force already.
    #[error("the authority is in force already, and a key statement must change it")]
    SameAuthority,
    /// Signed by a key that was revoked, or hands over to one.
    #[error(transparent)]
    Revoked(#[from] KeyRevoked),
    /// A revocation that says nothing.
    #[error("revocation: {0}")]
    Revocation(#[from] BadRevocation),
    /// A succession that opens nothing.
    #[error("succession: {0}")]
    Succession(#[from] BadSuccession),
}

impl Refused {
    /// A stable word for the refusal, listed in FORMAT.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Chain(broken) => broken.code(),
            Self::Kind(_) => "kind",
            Self::Genesis | Self::Deployment => "deployment",
            Self::Officer(_) => "officer",
            Self::Reused(_) | Self::SameAuthority => "key",
            Self::Revoked(_) => "revoked",
            Self::Revocation(_) => "revocation",
            Self::Succession(_) => "succession",
        }
    }
}

impl Act {
    /// The statement with its chain.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The same, taken out.
    pub fn into_verified(self) -> Verified {
        self.verified
    }
}

impl Authorities {
    /// Begins with the genesis; whether it is the right one is for the reader's trust to say.
    pub fn open(statement: Statement) -> Result<(Self, Act), Refused> {
        let Body::Genesis(body) = statement.body().clone() else {
            return Err(Refused::Kind(statement.kind().name()));
        };
        let (operator, verified) = ChainState::open(statement)?;
        let it = Self {
            genesis: operator.chain(),
            lineage: Lineage::of(&body).ok_or(Refused::Genesis)?,
            certifiers: vec![Digest::try_from(body.ca.as_slice()).map_err(|_| Refused::Genesis)?],
            had: BTreeSet::from([operator.key().id()]),
            body,
            operator,
            officers: BTreeMap::new(),
            revocations: Revocations::default(),
        };
        Ok((it, Act { verified }))
    }

    /// Digest of the genesis: the operator's chain, and the name of the deployment.
    pub fn genesis(&self) -> Digest {
        self.genesis
    }

    /// What the genesis says.
    pub fn body(&self) -> &v1::Genesis {
        &self.body
    }

    /// The operator's chain.
    pub fn operator(&self) -> &ChainState {
        &self.operator
    }

    /// An officer's chain.
    pub fn officer(&self, chain: &Digest) -> Option<&ChainState> {
        self.officers.get(chain).map(|officer| &officer.state)
    }

    /// Every officer's chain, by chain.
    pub fn officers(&self) -> impl Iterator<Item = &ChainState> {
        self.officers.values().map(|officer| &officer.state)
    }

    /// The key that opened an officer's chain: the one that the genesis, or two officers, named.
    pub fn opened_by(&self, chain: &Digest) -> Option<&PublicKey> {
        self.officers.get(chain).map(|officer| &officer.first)
    }

    /// The keys that an officer gave up, oldest first.
    pub fn former_keys(&self, chain: &Digest) -> &[KeyId] {
        let officer = self.officers.get(chain);
        officer.map_or(&[], |officer| &officer.former)
    }

    /// Counts the persons among the officers whose keys are trusted. With fewer than [`APPROVERS`]
    /// nobody is admitted and nothing is approved any more.
    pub fn persons(&self) -> usize {
        persons(&self.whoever_may_approve().all())
    }

    /// Tells whether `chain` is the operator's or an officer's.
    pub fn knows(&self, chain: &Digest) -> bool {
        *chain == self.genesis || self.officers.contains_key(chain)
    }

    /// Finds the chain of the officer who holds `key`.
    pub fn officer_with(&self, key: &PublicKey) -> Option<&ChainState> {
        self.officers().find(|state| state.key() == key)
    }

    /// Keys that are no longer trusted.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// SHA-256 of the DER certificates of the authorities that ever issued, oldest first: the
    /// genesis names the first, and the last one issues now.
    pub fn certifiers(&self) -> &[Digest] {
        &self.certifiers
    }

    /// The generations of the log.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Admits the next statement of the operator or an officer, or an officer's opening one; on a
    /// refusal nothing is changed.
    ///
    /// `index` is its place in the log; before it has one, the least that it can get; none for a
    /// reader who is not told. `shown` allows statements of the chain before it not to be shown.
    /// Of a `succession` all is checked but that the log begins with what it keeps: that is for
    /// whoever knows the tree.
    pub fn admit(
        &mut self,
        index: Option<u64>,
        statement: Statement,
        shown: bool,
    ) -> Result<Act, Refused> {
        let Some(chain) = statement.header().chain() else {
            return self.admit_officer(statement);
        };
        if chain == self.genesis {
            if !kinds::operators(statement.body()) {
                return Err(Refused::Kind(statement.kind().name()));
            }
            if let Body::Succession(body) = statement.body().clone() {
                return self.succeed(index, statement, &body, shown);
            }
        } else if !self.officers.contains_key(&chain) {
            let due = self.genesis;
            return Err(Broken::OtherChain { due, got: chain }.into());
        } else if !kinds::officers(statement.body()) {
            return Err(Refused::Kind(statement.kind().name()));
        } else {
            self.revocations.trusts(KeyUse::Officer, &statement.key())?;
        }
        let state = match self.officers.get(&chain) {
            Some(officer) => &officer.state,
            None => &self.operator,
        };
        let mut next = state.clone();
        let verified = if shown {
            next.skip_to(statement)?
        } else {
            next.follow(statement)?
        };
        match verified.body() {
            Body::Key(change) => self.change(chain, change, next.key())?,
            Body::Revocation(body) => {
                let by = (chain, chain == self.genesis);
                self.revocations.take(index, by, body)?;
            }
            _ => {}
        }
        match self.officers.get_mut(&chain) {
            Some(officer) => {
                if officer.state.key() != next.key() {
                    officer.former.push(officer.state.key().id());
                    let named = officers::named(&self.body.officers, next.key());
                    officer.names.extend(named);
                }
                officer.state = next;
            }
            None => self.operator = next,
        }
        Ok(Act { verified })
    }

    /// Takes a change of the key of a chain, or of the authority.
    fn change(
        &mut self,
        chain: Digest,
        change: &v1::Key,
        new_key: &PublicKey,
    ) -> Result<(), Refused> {
        if let Ok(certifier) = Digest::try_from(change.ca.as_slice()) {
            if chain != self.genesis {
                return Err(Refused::Kind("key.v1 of an authority".to_owned()));
            }
            if self.certifiers.last() == Some(&certifier) {
                return Err(Refused::SameAuthority);
            }
            self.revocations
                .trusts(KeyUse::Ca, &certifier_id(certifier))?;
            self.certifiers.push(certifier);
            return Ok(());
        }
        let id = new_key.id();
        if chain != self.genesis {
            self.revocations.trusts(KeyUse::Officer, &id)?;
        }
        self.spend(id)
    }

    fn succeed(
        &mut self,
        index: Option<u64>,
        statement: Statement,
        body: &v1::Succession,
        shown: bool,
    ) -> Result<Act, Refused> {
        let approvers = self.approvers(
            &succession_approval_bytes(self.genesis, body),
            &body.approvals,
        );
        let persons = persons(&approvers);
        if persons < APPROVERS {
            return Err(BadSuccession::Approvals(persons).into());
        }
        let generation = self.lineage.next(index, body, approvers)?;
        let key = PublicKey::ed25519(&body.operator_key).map_err(Broken::Key)?;
        let id = key.id();
        let new = key != *self.operator.key();
        if new && self.had.contains(&id) {
            return Err(Refused::Reused(id));
        }
        let verified = self.operator.hand_over(statement, key, shown)?;
        self.had.insert(id);
        self.lineage.open(generation);
        Ok(Act { verified })
    }

    fn admit_officer(&mut self, statement: Statement) -> Result<Act, Refused> {
        let Body::Officer(body) = statement.body().clone() else {
            return Err(Refused::Kind(statement.kind().name()));
        };
        if body.genesis != self.genesis.as_bytes() {
            return Err(Refused::Deployment);
        }
        let (state, verified) = ChainState::open(statement)?;
        let named = self.body.officers.iter().any(|named| named.key == body.key);
        let bytes = officer_approval_bytes(self.genesis, &body.key, &body.name);
        if !named && persons(&self.approvers(&bytes, &body.approvals)) < APPROVERS {
            return Err(Refused::Officer(body.name));
        }
        let key = state.key().clone();
        self.revocations.trusts(KeyUse::Officer, &key.id())?;
        // The same opening twice would be a second chain of one key: the first stands.
        if self.officers.values().any(|other| other.first == key) {
            return Err(Broken::Past { due: 1, got: 0 }.into());
        }
        self.spend(key.id())?;
        let mut names: BTreeSet<String> = officers::named(&self.body.officers, &key).collect();
        names.insert(folded(&body.name));
        let officer = Officer {
            first: key,
            former: Vec::new(),
            names,
            state,
        };
        self.officers.insert(officer.state.chain(), officer);
        Ok(Act { verified })
    }

    fn approvers(&self, bytes: &[u8], approvals: &[v1::OfficerApproval]) -> Vec<Approver> {
        self.whoever_may_approve().over(bytes, approvals)
    }

    fn whoever_may_approve(&self) -> Officers<'_> {
        Officers {
            open: &self.officers,
            listed: &self.body.officers,
            revocations: &self.revocations,
        }
    }

    /// Takes note of a key that comes into use; it may not have been in use before.
    fn spend(&mut self, key: KeyId) -> Result<(), Refused> {
        if self.had.insert(key) {
            Ok(())
        } else {
            Err(Refused::Reused(key))
        }
    }
}

/// Names an authority as revocations do: the first 16 bytes of the SHA-256 of its certificate.
pub fn certifier_id(certificate: Digest) -> KeyId {
    let mut id = [0; 16];
    for (byte, from) in id.iter_mut().zip(certificate.as_bytes()) {
        *byte = *from;
    }
    KeyId::new(id)
}
