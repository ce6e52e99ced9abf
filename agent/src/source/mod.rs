//! Where readings come from: the driver, or a recorded trace of one.

use std::future::Future;

use affiant_proto::v1;

use crate::sample::Event;

pub mod chosen;
pub mod nvml;
pub mod recorded;

/// A process that was killed and does not go: it hangs in the driver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "process {0:?} of the agent still holds the devices: it was killed, and hangs in the driver; \
     the pause stands, and no other is started. wait for it, or reboot the host"
)]
pub struct StillHeld(pub Vec<u32>);

/// What a source that begins in a pause goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Paused {
    /// What each tick says.
    pub reason: v1::Reason,
    /// The devices as they were known last; nobody asks for them now.
    pub devices: Vec<v1::Device>,
}

/// Yields the devices of a host and one sample per tick of them.
pub trait GpuSource: Send {
    /// Waits for the next event: one `Inventory` before the first `Sample`, then one `Sample` per
    /// tick, whatever the driver does.
    ///
    /// Cancel-safe: a future that is dropped has taken no event. After [`GpuSource::close`] it
    /// never completes.
    fn next(&mut self) -> impl Future<Output = Event> + Send;

    /// Lets go of the devices, within two seconds: nothing that the source started holds them when
    /// this returns. Until [`GpuSource::resume`] each tick says `reason` of every device.
    ///
    /// # Errors
    /// When something could not be ended in that time. The source is paused all the same.
    fn pause(&mut self, reason: v1::Reason) -> impl Future<Output = Result<(), StillHeld>> + Send;

    /// Takes the devices up again. Ticks have the reason of the pause until the driver answers
    /// or fails.
    fn resume(&mut self);

    /// Ends the source and whatever it started, within two seconds.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}
