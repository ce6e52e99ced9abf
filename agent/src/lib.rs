//! The daemon on each GPU host.

pub mod clock;
pub mod data;
pub mod durable;
pub mod meter;
pub mod sample;
pub mod source;
pub mod spool;
pub mod workload;
