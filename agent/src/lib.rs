//! The daemon on each GPU host.

pub mod certificate;
pub mod clock;
pub mod config;
pub mod data;
pub mod deployment;
pub mod durable;
pub mod enrol;
pub mod identity;
pub mod meter;
pub mod renewal;
pub mod rpc;
pub mod sample;
pub mod source;
pub mod spool;
pub mod workload;
