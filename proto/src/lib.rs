//! The protocol of Affiant: what is signed, how it is spelled, and how it is checked.
//!
//! Pure: no clock, socket, file or thread. `FORMAT.md` beside this crate specifies every byte.
//!
//! The way of a statement through the types:
//!
//! ```text
//! bytes ─ Statement::parse ─▶ Statement ─ ChainState::{open, follow} ─▶ Verified
//!         one spelling only               signature and place in its chain
//! ```

pub mod authority;
pub mod chain;
pub mod digest;
pub mod envelope;
pub mod keys;
pub mod opened;
pub mod predecessor;
pub mod salted;
pub mod statement;
pub mod tlog;
pub mod usage;
mod wire;

pub use authority::Authorities;
pub use chain::{Broken, ChainState, Verified};
pub use digest::{Digest, digest};
pub use envelope::Envelope;
pub use keys::{Ed25519Signer, KeyId, PublicKey, Signer};
pub use opened::Opened;
pub use predecessor::Reenrolment;
pub use salted::{Disclosure, SaltedTree, Seed};
pub use statement::{Body, Header, Kind, Malformed, Statement};

/// Messages as the `.proto` files give them. They prove nothing; see the modules that check.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!("gen/affiant.v1.rs");
}
