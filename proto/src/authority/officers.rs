//! Officers, and how many persons they are.
//!
//! Whatever takes two officers takes two persons. A person may have several keys: a lost one and its
//! successor, or a second one that he had admitted to approve alone. What tells persons apart in the
//! log is their names, and a name is what those who admit somebody sign.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ChainState, Digest, KeyId, PublicKey,
    v1::{self, KeyUse},
};

use super::revocation::Revocations;

/// How many persons it takes.
pub const APPROVERS: usize = 2;

/// Most approvals of one statement that are looked at: two are due, and more than a few officers
/// nobody has. Each costs one signature check.
const MAX_APPROVALS: usize = 16;

/// An officer whose chain is open.
#[derive(Clone, Debug)]
pub(super) struct Officer {
    /// The key that opened it.
    pub(super) first: PublicKey,
    /// The keys that he gave up.
    pub(super) former: Vec<KeyId>,
    /// As they are compared: the name that he opened it with, and those that the genesis gives his keys.
    pub(super) names: BTreeSet<String>,
    pub(super) state: ChainState,
}

/// An officer who approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// His chain; none when the genesis names him and he opened none yet.
    pub chain: Option<Digest>,
    /// The key that he approved with.
    pub key: PublicKey,
    names: BTreeSet<String>,
}

/// Spells a name as names of officers are compared: without white space at its ends, in lower case.
pub fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

/// Counts the persons among officers: those who have a name in common are one, through others too,
/// and so are those who have none.
pub fn persons<'a>(approvers: impl IntoIterator<Item = &'a Approver>) -> usize {
    let mut persons: Vec<BTreeSet<&String>> = Vec::new();
    for approver in approvers {
        let mut person: BTreeSet<&String> = approver.names.iter().collect();
        let shares = |other: &BTreeSet<&String>| !other.is_disjoint(&person);
        let (same, others): (Vec<_>, Vec<_>) = persons.into_iter().partition(shares);
        person.extend(same.into_iter().flatten());
        persons = others;
        persons.push(person);
    }
    persons.len()
}

/// The names that the genesis gives a key, as they are compared.
pub(super) fn named<'a>(
    listed: &'a [v1::OfficerKey],
    key: &'a PublicKey,
) -> impl Iterator<Item = String> + 'a {
    let his = listed.iter().filter(|one| one.key == key.as_bytes());
    his.map(|one| folded(&one.name))
}

/// Who may approve.
pub(super) struct Officers<'a> {
    /// By chain.
    pub(super) open: &'a BTreeMap<Digest, Officer>,
    /// Those whom the genesis names.
    pub(super) listed: &'a [v1::OfficerKey],
    pub(super) revocations: &'a Revocations,
}

impl Officers<'_> {
    /// The different officers whose signatures over `bytes` hold.
    pub(super) fn over(&self, bytes: &[u8], approvals: &[v1::OfficerApproval]) -> Vec<Approver> {
        let mut found: Vec<Approver> = Vec::new();
        for approval in approvals.iter().take(MAX_APPROVALS) {
            let Some(approver) = self.find(&approval.officer) else {
                continue;
            };
            let Ok(signature) = approval.signature.as_slice().try_into() else {
                continue;
            };
            let again = found.iter().any(|other| other.key == approver.key);
            if self.trusts(&approver) && !again && approver.key.verify(bytes, signature).is_ok() {
                found.push(approver);
            }
        }
        found
    }

    /// All whose keys are trusted, those of the genesis who never signed too.
    pub(super) fn all(&self) -> Vec<Approver> {
        let chains = self.open.keys().map(|chain| chain.as_bytes().as_slice());
        let listed = self.listed.iter().map(|one| one.key.as_slice());
        let all = chains
            .chain(listed)
            .filter_map(|officer| self.find(officer));
        all.filter(|officer| self.trusts(officer)).collect()
    }

    fn trusts(&self, officer: &Approver) -> bool {
        let trusted = self.revocations.trusts(KeyUse::Officer, &officer.key.id());
        trusted.is_ok()
    }

    /// An officer by his chain, or by the key under which the genesis names him while no chain was
    /// opened with it.
    fn find(&self, officer: &[u8]) -> Option<Approver> {
        if let Ok(chain) = Digest::try_from(officer)
            && let Some(open) = self.open.get(&chain)
        {
            return Some(Approver {
                chain: Some(chain),
                key: open.state.key().clone(),
                names: open.names.clone(),
            });
        }
        let key = PublicKey::ed25519(officer).ok()?;
        let names: BTreeSet<String> = named(self.listed, &key).collect();
        let opened = self.open.values().any(|open| open.first == key);
        (!names.is_empty() && !opened).then_some(Approver {
            chain: None,
            key,
            names,
        })
    }
}
