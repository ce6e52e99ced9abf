//! The verifier's disk: it fails at a step that the schedule names, before it or after all.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use affiant_verifier::ledger::{Access, Disk, LocalDisk};

/// A failure that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How many steps still succeed.
    pub after: u64,
    /// Whether the step that fails is done all the same.
    pub done: bool,
}

/// A disk in memory or not, whose next failure can be set. It does not wait for the platter: what
/// a cut of power leaves is for the ledger's own tests.
#[derive(Debug, Default)]
pub struct FailingDisk(Mutex<Option<Fault>>);

impl FailingDisk {
    /// Sets the next failure, or none.
    pub fn set(&self, fault: Option<Fault>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn step<T>(&self, doing: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = || Err(io::Error::other("the simulated disk failed"));
        match &mut *due {
            Some(fault) if fault.after > 0 => fault.after -= 1,
            // From here on nothing works until the machine is started again.
            Some(fault) if fault.done => {
                fault.done = false;
                doing()?;
                return failed();
            }
            Some(_) => return failed(),
            None => {}
        }
        doing()
    }
}

impl Disk for FailingDisk {
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.step(|| LocalDisk.append(file, bytes))
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        self.step(|| Ok(()))
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        self.step(|| file.set_len(length))
    }

    fn write(&self, path: &Path, bytes: &[u8], access: Access) -> io::Result<File> {
        self.step(|| LocalDisk.write(path, bytes, access))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|| LocalDisk.link(from, to))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|| LocalDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|| LocalDisk.remove(path))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.step(|| LocalDisk.remove_directory(path))
    }

    fn make_directories(&self, path: &Path, access: Access) -> io::Result<()> {
        self.step(|| LocalDisk.make_directories(path, access))
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.step(|| Ok(()))
    }

    fn available(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}
