//! The protocol of Affiant.

pub mod tlog;

/// Messages as the `.proto` files give them. They carry no proof; see the modules that check.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!("gen/affiant.v1.rs");
}
