//! The few ways in which the agent changes its disk.
//!
//! What must survive a crash goes through [`Disk`], so that tests can let each step fail, and let
//! the power go between any two of them.

#[cfg(test)]
pub(crate) mod power;

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Changes files and names. An error tells nothing of whether the change happened.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes an empty file under a name that must be free, for its owner alone. Name and content
    /// are durable when file and directory are synced.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>>;

    /// Opens a file to append to it at `bytes`, its length.
    fn open(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn Append>>;

    /// Gives a file another name, taken or not, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// A file that is being written from its front to its end.
pub trait Append: Send {
    /// Writes all of `bytes`; not durable before [`Append::sync`].
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable (fdatasync).
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to `bytes`, durably, and goes on there.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn Append>> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.seek(SeekFrom::Start(bytes))?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }
}

impl Append for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)?;
        self.seek(SeekFrom::Start(bytes))?;
        // Else what was cut off could be back after a power cut, before what is written next.
        self.sync_data()
    }
}
