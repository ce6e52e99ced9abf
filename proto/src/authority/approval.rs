//! What officers approve with a signature of their own: another officer, a succession.

use prost::Message as _;

use crate::{Digest, digest, v1};

/// Bytes that an officer signs to admit another, by key and name: whoever is admitted under another
/// name than was approved could pass for a second person.
pub fn officer_approval_bytes(genesis: Digest, key: &[u8], name: &str) -> Vec<u8> {
    [
        b"affiant officer\0".as_slice(),
        genesis.as_bytes(),
        key,
        name.as_bytes(),
    ]
    .concat()
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
