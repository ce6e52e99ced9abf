//! The cursor: how far the log is known to have this host's chain.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SpoolError;
use crate::durable::{self, Secrecy};

/// Most bytes of the file: a note of 1 MiB, which as JSON text is at most twice that, and two
/// numbers.
const MAX_CURSOR: u64 = (2 << 20) + 1_024;

/// The last record that is INCLUDED, and the checkpoint that says so.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Every record up to this sequence is in the log.
    pub sequence: u64,
    /// Its index there.
    pub index: u64,
    /// The signed note under whose root it is.
    pub checkpoint: String,
}

pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("cursor")
}

pub(super) fn read(directory: &Path) -> Result<Option<Cursor>, SpoolError> {
    let path = path(directory);
    let Some(bytes) = durable::read(&path, MAX_CURSOR, Secrecy::Public)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|_| SpoolError::Cursor(path))
}

pub(super) fn write(directory: &Path, cursor: &Cursor) -> Result<(), SpoolError> {
    let path = path(directory);
    let bytes = serde_json::to_vec(cursor).map_err(|_| SpoolError::Cursor(path.clone()))?;
    Ok(durable::replace(&path, &bytes)?)
}
