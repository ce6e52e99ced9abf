//! The few ways in which the ledger changes the disk.
//!
//! Every write goes through [`Disk`], so that tests make each one fail, and fail after all.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

pub(super) use affiant_report::edge::TEMPORARY;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The owner only: 0600, directories 0700.
    Private,
    /// Everybody: 0644, directories 0755.
    Public,
}

impl Access {
    fn file(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
        }
    }

    fn directory(self) -> u32 {
        match self {
            Self::Private => 0o700,
            Self::Public => 0o755,
        }
    }
}

/// Changes files. An error tells nothing of whether the change happened.
///
/// The steps come first; [`Disk::create`], [`Disk::replace`] and [`Disk::publish`] are made of them,
/// so that what is tested under power cuts is the very order in which this machine's disk is used.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Appends `bytes` to an open file; not durable before [`Disk::sync`].
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;

    /// Makes what a file holds durable (fdatasync), but not its name.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Cuts an open file to `length` bytes, durably.
    fn cut(&self, file: &File, length: u64) -> io::Result<()>;

    /// Writes a whole file, in the place of one that has the name; nothing of it is durable.
    fn write(&self, path: &Path, bytes: &[u8], access: Access) -> io::Result<File>;

    /// Gives a file a second name, which must be free: `AlreadyExists` otherwise.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name, in one step and in the place of one that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file's name away.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Takes a directory away with all that is in it.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory and those above it, as far as there are none.
    fn make_directories(&self, path: &Path, access: Access) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Tells how many bytes are free for this user on the file system of `path`.
    fn available(&self, path: &Path) -> io::Result<u64>;

    /// Puts a whole file under a name that must be free, durably.
    ///
    /// Gives `AlreadyExists` where the name is taken, and then leaves that file as it is.
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = temporary(path);
        let file = self.write(&temporary, bytes, Access::Private)?;
        self.sync(&file)?;
        // A link, unlike a rename, refuses a name that is taken.
        let linked = self.link(&temporary, path);
        self.remove(&temporary)?;
        linked?;
        self.sync_directory(parent(path))
    }

    /// Puts a whole file under a name, taken or not, durably and in one step.
    fn replace(&self, path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
        let temporary = temporary(path);
        let file = self.write(&temporary, bytes, access)?;
        self.sync(&file)?;
        self.rename(&temporary, path)?;
        self.sync_directory(parent(path))
    }

    /// Puts a whole public file in one step but not durably: for what can be made again.
    fn publish(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.make_directories(parent(path), Access::Public)?;
        let temporary = temporary(path);
        self.write(&temporary, bytes, Access::Public)?;
        self.rename(&temporary, path)
    }
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)?;
        file.sync_all()
    }

    fn write(&self, path: &Path, bytes: &[u8], access: Access) -> io::Result<File> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(access.file())
            .open(path)?;
        file.write_all(bytes)?;
        Ok(file)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn make_directories(&self, path: &Path, access: Access) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(access.directory())
            .create(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn available(&self, path: &Path) -> io::Result<u64> {
        fs4::available_space(path)
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

/// The directory that holds `path`.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Reads a whole file of at most `limit` bytes; `None` when there is none.
pub(super) fn read(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(bound).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("file has more than {limit} bytes"),
        ));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn creating_a_file_leaves_one_that_is_there_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        LocalDisk.create(&path, b"first").unwrap();
        let second = LocalDisk.create(&path, b"second").unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing left beside"
        );
    }

    #[test]
    fn only_what_is_published_can_be_read_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            let metadata = fs::metadata(dir.path().join(name)).unwrap();
            metadata.permissions().mode() & 0o077
        };
        LocalDisk.create(&dir.path().join("a"), b"1").unwrap();
        LocalDisk
            .replace(&dir.path().join("b"), b"1", Access::Private)
            .unwrap();
        assert_eq!((mode("a"), mode("b")), (0, 0));
        LocalDisk.publish(&dir.path().join("p/q/r"), b"1").unwrap();
        assert_ne!(mode("p/q/r") & 0o044, 0);
    }

    #[test]
    fn a_file_above_its_limit_is_an_error_and_not_a_large_allocation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap().unwrap(), b"12345");
        assert_eq!(
            read(&path, 4).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
        assert_eq!(read(&dir.path().join("b"), 4).unwrap(), None);
    }
}
