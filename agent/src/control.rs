//! The running agent takes orders: a Unix socket in its data directory, one line of JSON each way.
//!
//! The socket has mode 0600 in a directory of mode 0700, and the agent answers its own user and
//! root alone. One connection is one request.

pub mod client;
pub mod server;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{pause::Plan, status::Live};

/// Most bytes of a request: the longest is a pause, of 70.
const MAX_REQUEST: usize = 4 << 10;

/// Most bytes of a reply: 64 devices of 600 bytes (two names of at most 256) and the rest of a
/// status in 4 KiB come to 42 KiB.
const MAX_REPLY: usize = 128 << 10;

/// Time that the other side has to say its line.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time that an order may take: a pause takes up to two seconds, and a disk that is slow may hold
/// it up.
const ORDER: Duration = Duration::from_secs(8);

/// What the agent is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How it stands.
    Status {},
    /// Let go of the devices for a while.
    Pause {
        /// What for.
        reason: Plan,
        /// For how long.
        for_ms: u64,
    },
    /// Take the devices up again.
    Resume {},
    /// Change the record key.
    RotateKey {},
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Reply {
    /// To `status`.
    Status {
        /// What the running agent alone knows.
        live: Box<Live>,
    },
    /// To `pause`: nothing of the agent holds the devices.
    Paused {
        /// What for.
        reason: Plan,
        /// Until when, by the wall clock.
        until_unix_ms: u64,
    },
    /// To `resume`.
    Resumed {
        /// The pause that was ended, if there was one.
        reason: Option<Plan>,
    },
    /// To `rotate-key`: the new key signs from the next record on.
    KeyRotated {
        /// The record that says so.
        sequence: u64,
        /// The new key's id.
        key: String,
    },
    /// It was not done.
    Refused {
        /// Why, and what to do.
        text: String,
    },
}
