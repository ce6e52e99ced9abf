//! The ledger against faults at every step, damage to every file, and a model of itself.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod damage;
mod exhibits;
mod faults;
mod fixture;
mod model;
mod power;
mod reading;
mod repacking;
mod table;
