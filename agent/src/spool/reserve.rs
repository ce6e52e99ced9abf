//! The reserve: room on the disk that is held back, so that one that others fill up can still be
//! written to while room is made.

use std::path::{Path, PathBuf};

use crate::{
    disk::Disk,
    durable::{self, FileError},
};

/// Bytes that are written at a time.
const BLOCK: usize = 64 << 10;

/// A file of zeros in the directory of the spool.
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// Looks whether a run before left its reserve.
    pub(super) fn at(directory: &Path, bytes: u64) -> Self {
        let path = directory.join("reserve");
        let length = std::fs::metadata(&path).map(|metadata| metadata.len());
        let held = bytes == 0 || length.is_ok_and(|length| length == bytes);
        Self { path, bytes, held }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Takes the room, if the disk has it.
    pub(super) fn take(&mut self, disk: &dyn Disk) -> Result<(), FileError> {
        if self.held {
            return Ok(());
        }
        durable::remove_leftover(disk, &self.path)?;
        let block = [0; BLOCK];
        let taken = disk.create(&self.path).and_then(|mut file| {
            let mut left = self.bytes;
            while left > 0 {
                let next = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
                file.write(block.get(..next).unwrap_or_default())?;
                left -= next as u64;
            }
            file.sync()
        });
        if let Err(error) = taken {
            // Half a reserve would take room and give none.
            durable::remove_leftover(disk, &self.path)?;
            return Err(FileError::io("hold back room in", &self.path)(error));
        }
        self.held = true;
        Ok(())
    }

    /// Gives the room to whoever writes next; false when there is none to give.
    pub(super) fn give(&mut self, disk: &dyn Disk) -> Result<bool, FileError> {
        if !self.held || self.bytes == 0 {
            return Ok(false);
        }
        durable::remove_leftover(disk, &self.path)?;
        self.held = false;
        Ok(true)
    }
}
