//! A fleet of simulated hosts: the load under which a verifier is measured.
//!
//! The fleet is enrolled before the verifier starts, and all records of a window are signed before
//! it begins, so that what is measured is the verifier and not the generator beside it. Each host
//! has its own record key, TLS identity, connection and stream: the shape *direct*. Or hosts have
//! their keys alone, and a few relays carry what they signed: the shape *relayed*.
//!
//! ```text
//! enrol ─▶ log, Roster   ─ Session::open, seal ─▶ Session ─ run ─▶ every record INCLUDED ─ prove
//!            (kept in --state)                               paced by Pace
//! ```

pub mod cli;
pub mod connection;
pub mod deployment;
pub mod enrol;
pub mod gauge;
pub mod growth;
pub mod latency;
pub mod load;
pub mod matching;
pub mod outcome;
pub mod pace;
pub mod prepared;

pub mod primitive;
pub mod random;
mod raw;
pub mod relayed;
pub mod repacked;
pub mod roster;
pub mod screening;
pub mod sealed;
pub mod session;
pub mod stored;
mod streams;
pub mod usage;
pub mod watch;

/// The agent's gRPC stubs: this generator speaks as agents do.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod rpc {
    include!("../../../agent/src/gen/affiant.v1.rs");
}
