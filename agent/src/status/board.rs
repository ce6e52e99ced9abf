//! What the running agent alone knows.

use std::sync::Arc;

use affiant_proto::v1;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{clock, link::Link, pause::Plan, sample::Inventory};

/// What was seen of the devices last.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Wall clock of the last tick, milliseconds since 1970.
    pub at_unix_ms: Option<u64>,
    /// The devices in force.
    pub inventory: Option<Arc<Inventory>>,
    /// Why each was not observed at the last tick; `None` where it was.
    pub missing: Vec<Option<v1::Reason>>,
    /// What keeps the driver from being read.
    pub fault: Option<String>,
    /// The pause that lasts.
    pub pause: Option<LivePause>,
}

/// A planned pause that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LivePause {
    /// What for.
    pub reason: Plan,
    /// Until when, by the wall clock.
    pub until_unix_ms: u64,
}

/// One device as the running agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveDevice {
    /// As the driver names it.
    pub uuid: String,
    /// As the driver names it.
    pub model: String,
    /// How far it can be looked into, by its name in the protocol.
    pub coverage: String,
    /// Why it was not observed at the last tick, by its name in the protocol; `None` where it was.
    pub not_observed: Option<String>,
}

impl LiveDevice {
    /// A device that was known, and of which nothing is seen now.
    pub(super) fn unseen(device: &v1::Device) -> Self {
        Self::of(device, Some(v1::Reason::Unspecified))
    }

    fn of(device: &v1::Device, not_observed: Option<v1::Reason>) -> Self {
        Self {
            uuid: device.uuid.clone(),
            model: device.model.clone(),
            coverage: device.coverage().as_str_name().to_owned(),
            not_observed: not_observed.map(|reason| reason.as_str_name().to_owned()),
        }
    }
}

/// What the running agent says of itself; times by the wall clock, milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// Of the running program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it was started.
    pub started_unix_ms: u64,
    /// The connection to the verifier.
    pub link: Link,
    /// When the devices were last asked; `None` before the first tick.
    pub sampled_unix_ms: Option<u64>,
    /// What keeps the driver from being read.
    pub fault: Option<String>,
    /// The pause that lasts.
    pub pause: Option<LivePause>,
    /// The devices in force.
    pub devices: Vec<LiveDevice>,
}

/// Where the parts of the agent write what they know, for those who ask.
#[derive(Clone, Debug)]
pub struct Board {
    started_unix_ms: u64,
    link: watch::Receiver<Link>,
    seen: watch::Receiver<Seen>,
}

impl Board {
    /// Makes the board of an agent that was started `now`, and what is written on.
    pub fn new(now_ms: u64) -> (Self, watch::Sender<Link>, watch::Sender<Seen>) {
        let since_unix_ms = now_ms;
        let (write_link, link) = watch::channel(Link::Connecting { since_unix_ms });
        let (write_seen, seen) = watch::channel(Seen::default());
        let board = Self {
            started_unix_ms: now_ms,
            link,
            seen,
        };
        (board, write_link, write_seen)
    }

    /// Reads the board.
    pub fn live(&self) -> Live {
        let seen = self.seen.borrow().clone();
        let devices = seen.inventory.iter().flat_map(|known| &known.devices);
        // Between an inventory and its first sample nothing is known of the devices.
        let reasons = seen.missing.iter().copied();
        let reasons = reasons.chain(std::iter::repeat(Some(v1::Reason::Unspecified)));
        let devices = devices
            .zip(reasons)
            .map(|(device, reason)| LiveDevice::of(device, reason));
        Live {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_unix_ms: self.started_unix_ms,
            link: self.link.borrow().clone(),
            sampled_unix_ms: seen.at_unix_ms,
            fault: seen.fault.clone(),
            pause: seen.pause,
            devices: devices.collect(),
        }
    }
}

impl Default for Board {
    /// A board on which nobody writes.
    fn default() -> Self {
        Self::new(clock::wall_ms()).0
    }
}
