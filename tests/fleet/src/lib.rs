//! A fleet of simulated hosts: the load under which a verifier is measured.
//!
//! Each host has its own record key, TLS identity, connection and stream (the shape *direct*), and
//! signs each record when it is due, so the generator's process bears what agents would bear.
//!
//! ```text
//! token ─ enrol ─▶ Identity ─ Session::open ─▶ Session ─ run ─▶ every record INCLUDED ─ prove
//!                  (kept in --state)           inventory,        paced by Pace
//!                                              workloads
//! ```

pub mod cli;
pub mod connection;
pub mod enrol;
pub mod gauge;
pub mod identity;
pub mod latency;
pub mod load;
pub mod outcome;
pub mod pace;
pub mod prepared;
pub mod primitive;
pub mod random;
pub mod session;
pub mod stored;
pub mod usage;
pub mod watch;

/// The agent's gRPC stubs: this generator speaks as agents do.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod rpc {
    include!("../../../agent/src/gen/affiant.v1.rs");
}
