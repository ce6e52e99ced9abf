//! The daemon on each GPU host.

pub mod anchor;
pub mod backoff;
pub mod boot;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data;
pub mod deployment;
pub mod durable;
pub mod enrol;
pub mod identity;
pub mod inspect;
pub mod meter;
mod notify;
pub mod recorder;
pub mod recover;
pub mod renewal;
pub mod rpc;
pub mod run;
pub mod sample;
pub mod seal;
pub mod source;
pub mod spool;
pub mod spool_view;
pub mod upload;
pub mod workload;
