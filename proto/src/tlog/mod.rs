//! The transparency log: RFC 6962 trees with their proofs, and the C2SP text formats around them.
//!
//! Pure. [`Nodes`] is how a proof reads hashes, from memory, tiles or a disk; the functions that
//! verify need nothing but their arguments, and their work is bounded by the size of those.
//!
//! ```text
//! leaf_hash ─ CompactRange, MemoryTree ─ root ─ Checkpoint ─ Note ─ SignedCheckpoint ─ Witnessed
//!             inclusion, consistency, multi      one text    signatures   log key      Policy
//!             OfflineProof: index, inclusion proof and note in one text ─ Logged
//! ```

mod checkpoint;
mod consistency;
mod cosignature;
mod frontier;
mod hash;
mod inclusion;
mod key;
mod multi;
mod note;
mod offline;
mod policy;
mod proof;
mod spelling;
mod tile;
mod tree;
mod witness;

pub use checkpoint::{
    Checkpoint, MalformedCheckpoint, NotAnOrigin, OpenError, Origin, SignedCheckpoint,
};
pub use consistency::{consistency_proof, verify_consistency};
pub use cosignature::{
    CannotCosign, Cosigner, CosignerKey, MAX_COSIGNATURE_SECONDS, verify_cosignature,
};
pub use frontier::CompactRange;
pub(crate) use hash::leaf_hash_of;
pub use hash::{Hash, NotAHash, empty_root, leaf_hash, node_hash, root_of};
pub use inclusion::{inclusion_proof, verify_inclusion};
pub use key::{KeyName, MalformedKey, NotAKeyName, NoteKey, NoteKeyId, VerifierKey};
pub use multi::{multi_proof, verify_multi};
pub use note::{
    CannotSign, MAX_NOTE_BYTES, MAX_SIGNATURES, MalformedNote, Note, NoteSignature, NoteSigner,
    Unverified, parse_signature_lines,
};
pub use offline::{
    Logged, MAX_EXTRA_BYTES, MAX_OFFLINE_PROOF_BYTES, MalformedOfflineProof, NotLogged,
    OfflineProof,
};
pub use policy::{
    BadPolicy, BadPolicyFile, Cosigned, ListedLog, ListedWitness, MAX_LOGS, MAX_POLICY_BYTES,
    MAX_WITNESSES, NotWitnessed, Policy, PolicyFile, Witnessed,
};
pub use proof::ProofError;
pub use tile::{
    MalformedTile, NodePlace, TILE_WIDTH, Tile, TileKind, TilePath, entries_path, new_tiles,
    node_place, tile_path,
};
pub use tree::{MAX_SIZE, MemoryTree, MissingNode, Nodes, TreeError, root_at};
pub use witness::{
    AddCheckpoint, MAX_PROOF_LINES, MAX_REQUEST_BYTES, MalformedRequest, parse_conflict,
    print_conflict,
};

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation
)]
mod against_ct_merkle;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation
)]
mod against_signed_note;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation
)]
mod against_sigsum;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation
)]
mod against_tlog_tiles;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod checkpoint_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod fixtures;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod note_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod offline_tests;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation
)]
mod proof_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tile_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod witness_tests;
