//! Agents, network and verifier in simulated time: the real code, on sockets, clocks and disks that
//! fail by a schedule, with one check of the promises at the end.
//!
//! ```text
//! seed ─ plan ─▶ play: turmoil ─ agents (enrol, book, recorder, upload) ═ TLS ═ verifier (open, writer, judge)
//!                  └─ world: what was sealed, told, published ─▶ check
//! ```
//!
//! Everything runs on one thread and by one clock, so the same seed gives the same run; only keys,
//! salts and signatures differ, and nothing that decides depends on them. (One chance is left that
//! no seed reaches, `select!` inside tonic: `tests/schedules.rs` says how often it shows.)

pub mod agent;
pub mod check;
pub mod disk;
pub mod load;
pub mod outage;
pub mod plan;
pub mod play;
pub mod random;
pub mod seeds;
pub mod time;
pub mod verifier;
pub mod wire;
pub mod world;
