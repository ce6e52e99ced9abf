//! What officers approve with a signature of their own: another officer, a succession.

use std::collections::BTreeMap;

use prost::Message as _;

use crate::{
    ChainState, Digest, PublicKey, digest,
    v1::{self, KeyUse},
};

use super::revocation::Revocations;

/// How many officers it takes.
pub const APPROVERS: usize = 2;

/// Most approvals of one statement that are looked at: two are due, and more than a few officers
/// nobody has. Each costs one signature check.
const MAX_APPROVALS: usize = 16;

/// An officer who approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// His chain; none when the genesis names him and he opened none yet.
    pub chain: Option<Digest>,
    /// The key that he approved with.
    pub key: PublicKey,
}

/// Bytes that an officer signs to admit another.
pub fn officer_approval_bytes(genesis: Digest, key: &[u8]) -> Vec<u8> {
    [b"affiant officer\0".as_slice(), genesis.as_bytes(), key].concat()
}

/// Bytes that an officer signs to approve a succession: all that it says but its header and the
/// approvals themselves.
pub fn succession_approval_bytes(genesis: Digest, body: &v1::Succession) -> Vec<u8> {
    let bare = v1::Succession {
        header: None,
        approvals: Vec::new(),
        ..body.clone()
    };
    [
        b"affiant succession\0".as_slice(),
        genesis.as_bytes(),
        digest(&bare.encode_to_vec()).as_bytes(),
    ]
    .concat()
}

/// Who may approve.
pub(super) struct Officers<'a> {
    /// By chain, with the key that opened it.
    pub(super) open: &'a BTreeMap<Digest, (PublicKey, ChainState)>,
    /// Those whom the genesis names.
    pub(super) named: &'a [v1::OfficerKey],
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
            let trusted = self
                .revocations
                .trusts(KeyUse::Officer, &approver.key.id())
                .is_ok();
            let again = found.iter().any(|other| other.key == approver.key);
            if trusted && !again && approver.key.verify(bytes, signature).is_ok() {
                found.push(approver);
            }
        }
        found
    }

    /// An officer by his chain, or by the key under which the genesis names him while no chain was
    /// opened with it.
    fn find(&self, officer: &[u8]) -> Option<Approver> {
        if let Ok(chain) = Digest::try_from(officer)
            && let Some((_, state)) = self.open.get(&chain)
        {
            return Some(Approver {
                chain: Some(chain),
                key: state.key().clone(),
            });
        }
        let named = self.named.iter().any(|named| named.key == officer);
        let opened = |key: &PublicKey| self.open.values().any(|(first, _)| first == key);
        let key = PublicKey::ed25519(officer).ok().filter(|_| named)?;
        (!opened(&key)).then_some(Approver { chain: None, key })
    }
}
