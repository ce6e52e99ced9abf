//! Keys that statements were seen to bring, so that workers can verify before the chain is known.
//!
//! Nothing here is believed: a signature that one of these keys made is taken only where the chain's
//! own key is that very one, and everything else is verified when it is admitted.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use affiant_proto::{Body, KeyId, PublicKey, Statement};

/// Most keys that are kept: a fleet of a million GPUs has 125,000 hosts, and eight keys of each in
/// their time. 1,000,000 × some 130 bytes are 130 MB; what is beyond is verified on one thread.
const MAX_KEYS: usize = 1_000_000;

/// The keys so far; grows while the log is read.
#[derive(Debug, Default)]
pub struct Keyring(RwLock<HashMap<KeyId, PublicKey>>);

impl Keyring {
    /// The key of that name.
    pub fn get(&self, id: &KeyId) -> Option<PublicKey> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(id).cloned()
    }

    /// Takes the keys that a statement brings, whoever signed it.
    pub fn learn(&self, statement: &Statement) {
        let brought = match statement.body() {
            Body::Genesis(body) => &body.operator_key,
            Body::Enrolment(body) => &body.record_key,
            Body::Officer(body) => &body.key,
            Body::RelayEnrolment(body) => &body.relay_key,
            Body::Objection(body) => &body.key,
            Body::Key(body) => &body.new_key,
            Body::Succession(body) => &body.operator_key,
            _ => return,
        };
        if let Ok(key) = PublicKey::ed25519(brought) {
            let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if keys.len() < MAX_KEYS {
                keys.insert(key.id(), key);
            }
        }
    }
}
