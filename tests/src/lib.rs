//! What the end-to-end tests share: the built binaries, run as their users run them, and a host
//! that speaks the protocol by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agent;
mod audit;
pub mod backlog;
pub mod host;
pub mod machine;
mod process;
pub mod relay;
mod tls;
mod verifier;
mod witness;

pub use agent::Agent;
pub use audit::Audit;
pub use host::{Host, Loot, Outcome};
pub use process::{Running, binary, copy, until};
pub use relay::{Carrier, Relay};
pub use verifier::{Deployment, log_entries};
pub use witness::Witness;

/// gRPC client stubs: the very ones that the agent speaks with.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod rpc {
    include!("../../agent/src/gen/affiant.v1.rs");
}
