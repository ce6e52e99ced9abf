//! Backup, restore and succession over data directories made by `init`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod backups;
mod fixture;
mod successions;
