//! Where readings come from: the driver, or a recorded trace of one.

use std::future::Future;

use crate::sample::Event;

pub mod chosen;
pub mod nvml;
pub mod recorded;

/// Yields the devices of a host and one sample per tick of them.
pub trait GpuSource: Send {
    /// Waits for the next event: one `Inventory` before the first `Sample`, then one `Sample` per
    /// tick, whatever the driver does.
    ///
    /// Cancel-safe: a future that is dropped has taken no event. After [`GpuSource::close`] it
    /// never completes.
    fn next(&mut self) -> impl Future<Output = Event> + Send;

    /// Ends the source and whatever it started, within two seconds.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}
