//! Who holds a device, as far as it is known.

use std::sync::Arc;

use affiant_proto::v1;

/// One process that holds a compute context on a device, with its workload resolved or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// `None`: the process is there, but whose it is could not be told.
    pub workload: Option<Arc<v1::Workload>>,
    /// Bytes of device memory, where the driver tells.
    pub memory: Option<u64>,
    /// Percent of SM time since the last reading, where the driver tells.
    pub sm_percent: Option<u8>,
}

/// The holders of one device at one tick.
#[derive(Clone, Debug, PartialEq)]
pub enum Holding {
    /// The list was never read, or reading it failed: anybody may hold the device.
    Unknown,
    /// The list was read; an empty one means that nobody holds the device.
    Known(Vec<Holder>),
}
