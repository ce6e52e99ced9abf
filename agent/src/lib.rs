//! The daemon on each GPU host.

pub mod sample;
