//! Revocations: keys that are no longer trusted, decided by the index of the log alone.
//!
//! ```text
//! index     0 ............ from ............... revoked .............
//! the key        stands           is suspect            is refused
//! ```

use std::collections::BTreeMap;

use crate::{
    Digest, KeyId,
    v1::{self, KeyUse},
};

/// Every key that was revoked.
#[derive(Clone, Debug, Default)]
pub struct Revocations(BTreeMap<(KeyUse, [u8; 16]), Revoked>);

/// One revoked key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    from: u64,
    at: Option<u64>,
    by: Digest,
    reason: String,
}

/// What a key's statement is worth at one index of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It stands.
    Stands,
    /// It was admitted, and the key was no longer its holder's alone, as was found out later.
    Suspect,
    /// It came after the revocation.
    Refused,
}

/// A key that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {key} was revoked: {reason}")]
pub struct KeyRevoked {
    /// Its identifier in hexadecimal.
    pub key: KeyId,
    /// The reason given, its first 200 characters.
    pub reason: String,
}

/// Why a `revocation` says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRevocation {
    /// The key's identifier.
    #[error("a key is named by 16 bytes, not by {0}")]
    KeyId(usize),
    /// A use that is not defined.
    #[error("it says of no known use what the key was for")]
    Use,
    /// An officer revokes officers' keys only.
    #[error("an officer revokes officers' keys; a {0} key is the operator's to revoke")]
    NotHis(&'static str),
    /// Trust cannot end in the future.
    #[error("trust would end at index {from}, after the revocation itself at {index}")]
    Ahead {
        /// From where trust was to end.
        from: u64,
        /// Where the revocation stands.
        index: u64,
    },
    /// It is revoked already, from there or earlier.
    #[error("the key is revoked from index {0} on already; another revocation may only lower that")]
    Already(u64),
}

impl Revocations {
    /// Tells whether a key may still speak.
    pub fn trusts(&self, used: KeyUse, key: &KeyId) -> Result<(), KeyRevoked> {
        match self.of(used, key) {
            None => Ok(()),
            Some(revoked) => Err(KeyRevoked {
                key: *key,
                reason: revoked.reason.chars().take(200).collect(),
            }),
        }
    }

    /// The revocation of a key.
    pub fn of(&self, used: KeyUse, key: &KeyId) -> Option<&Revoked> {
        self.0.get(&(used, *key.as_bytes()))
    }

    /// All of them, by use and key.
    pub fn iter(&self) -> impl Iterator<Item = (KeyUse, KeyId, &Revoked)> {
        let named = |(&(used, key), revoked)| (used, KeyId::new(key), revoked);
        self.0.iter().map(named)
    }

    /// Takes a `revocation` that stands at `index`, by the operator or by the officer of chain
    /// `by`; nothing changes when it is refused.
    pub fn take(
        &mut self,
        index: Option<u64>,
        (by, operator): (Digest, bool),
        body: &v1::Revocation,
    ) -> Result<(), BadRevocation> {
        let key = <[u8; 16]>::try_from(body.key_id.as_slice());
        let key = key.map_err(|_| BadRevocation::KeyId(body.key_id.len()))?;
        let used = match KeyUse::try_from(body.r#use) {
            Ok(KeyUse::Unspecified) | Err(_) => return Err(BadRevocation::Use),
            Ok(used) => used,
        };
        if !operator && used != KeyUse::Officer {
            return Err(BadRevocation::NotHis(word(used)));
        }
        if let Some(index) = index.filter(|index| body.from_index > *index) {
            let from = body.from_index;
            return Err(BadRevocation::Ahead { from, index });
        }
        match self.0.get_mut(&(used, key)) {
            Some(known) if body.from_index >= known.from => Err(BadRevocation::Already(known.from)),
            // The key was refused from the first revocation on; that stays.
            Some(known) => {
                known.from = body.from_index;
                Ok(())
            }
            None => {
                let revoked = Revoked {
                    from: body.from_index,
                    at: index,
                    by,
                    reason: body.reason.clone(),
                };
                self.0.insert((used, key), revoked);
                Ok(())
            }
        }
    }
}

impl Revoked {
    /// The first log index at which the key is not trusted.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// Log index of the first revocation, as far as the reader was told.
    pub fn at(&self) -> Option<u64> {
        self.at
    }

    /// Chain of the operator or officer who revoked it first.
    pub fn by(&self) -> Digest {
        self.by
    }

    /// The reason given first.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What a statement of the key at `index` is worth.
    pub fn worth(&self, index: u64) -> Worth {
        if index < self.from {
            Worth::Stands
        } else if self.at.is_none_or(|at| index <= at) {
            Worth::Suspect
        } else {
            Worth::Refused
        }
    }
}

fn word(used: KeyUse) -> &'static str {
    match used {
        KeyUse::Unspecified => "nameless",
        KeyUse::Record => "record",
        KeyUse::Officer => "officer's",
        KeyUse::Tls => "TLS",
        KeyUse::Ca => "CA",
    }
}
