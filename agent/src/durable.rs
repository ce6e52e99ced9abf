//! Files that are whole after a crash, and files that nobody else may read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::disk::{Disk, LocalDisk};

/// Bits of a mode that let the group or others in.
const OTHERS: u32 = 0o077;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Group or others may read or change it.
    #[error("{path} has mode {mode:04o}, so others can get at it; run `chmod {due} {path}`")]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The mode that it should have.
        due: &'static str,
    },
    /// The system refused.
    #[error("cannot {doing} {path}: {error}{}", remedy(error))]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A link, pipe, device or directory where a plain file is due.
    #[error("{0} is not a plain file; put the file itself there, not a link to it")]
    NotPlain(PathBuf),
    /// Somebody else's.
    #[error("{path} belongs to user {owner}, not to this user or root; run `chown` on it")]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Longer than such a file can be.
    #[error("{path} is longer than the {most} bytes that such a file has at most; check the path")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Most bytes.
        most: u64,
    },
}

/// What helps against the errors that a running host can be mended of.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room there",
        io::ErrorKind::ReadOnlyFilesystem => {
            "; the file system is mounted read-only: look for disk errors in the kernel's log, then remount it read-write"
        }
        io::ErrorKind::PermissionDenied => {
            "; give it back to the user that the agent runs as (`chown -R`, mode 0700)"
        }
        _ => "",
    }
}

impl FileError {
    /// Tells whether the disk has no room, which is over when somebody makes some.
    pub fn is_full(&self) -> bool {
        let Self::Io { error, .. } = self else {
            return false;
        };
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Makes the error of `doing` something to `path`, for use in `map_err`.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { doing, path, error }
    }
}

/// Who may read a file that is about to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Anybody.
    Public,
    /// Its owner and perhaps its group; may be reached through a link, as mounted secrets are.
    Confidential,
    /// Its owner alone, who is this user or root; never reached through a link.
    Private,
}

/// Writes `bytes` to `path` with mode 0600 so that after a crash the old or the new content is
/// there, whole: a temporary file beside it, synced, renamed, and the directory synced.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_on(&LocalDisk, path, bytes)
}

/// Does as [`replace`] does on any disk.
pub fn replace_on(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    remove_leftover(disk, &temporary)?;
    let mut file = disk
        .create(&temporary)
        .map_err(FileError::io("create", &temporary))?;
    file.write(bytes)
        .and_then(|()| file.sync())
        .map_err(FileError::io("write", &temporary))?;
    disk.rename(&temporary, path)
        .map_err(FileError::io("rename to", path))?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    disk.sync_directory(directory)
        .map_err(FileError::io("sync", directory))
}

/// Removes a temporary file that a crash may have left; it was never anything.
pub fn remove_leftover(disk: &dyn Disk, temporary: &Path) -> Result<(), FileError> {
    match disk.remove(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::io("remove", temporary)(error))
        }
        _ => Ok(()),
    }
}

/// Makes the entries of the directory that holds `path` survive a crash.
pub fn sync_directory_of(path: &Path) -> Result<(), FileError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(FileError::io("sync", directory))
}

/// Reads a file of at most `most` bytes; `None` when there is none. The bytes are wiped when they
/// are dropped.
///
/// # Errors
/// When the file is not plain, too long, or open to more people than `secrecy` allows.
pub fn read(
    path: &Path,
    most: u64,
    secrecy: Secrecy,
) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
    // A pipe would otherwise hold the opener for ever.
    let mut flags = libc::O_NONBLOCK;
    if secrecy == Secrecy::Private {
        flags |= libc::O_NOFOLLOW;
    }
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(FileError::NotPlain(path.to_owned()));
        }
        Err(error) => return Err(FileError::io("open", path)(error)),
    };
    let metadata = file.metadata().map_err(FileError::io("look at", path))?;
    if !metadata.is_file() {
        return Err(FileError::NotPlain(path.to_owned()));
    }
    let (refused, due) = match secrecy {
        Secrecy::Public => (0, ""),
        Secrecy::Confidential => (0o007, "o-rwx"),
        Secrecy::Private => (OTHERS, "600"),
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & refused != 0 {
        let path = path.to_owned();
        return Err(FileError::Exposed { path, mode, due });
    }
    let owner = metadata.uid();
    if secrecy == Secrecy::Private && owner != 0 && owner != own_user() {
        let path = path.to_owned();
        return Err(FileError::Owner { path, owner });
    }
    // Room for all, so that no copy of a secret is left behind when the buffer grows.
    let room = usize::try_from(metadata.len().min(most)).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(1)));
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(FileError::io("read", path))?;
    if bytes.len() as u64 > most {
        let path = path.to_owned();
        return Err(FileError::TooLong { path, most });
    }
    Ok(Some(bytes))
}

/// Makes a directory with mode 0700 where there is none; refuses one that others can enter.
pub fn private_directory(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(FileError::io("create", path))?;
    let metadata = fs::metadata(path).map_err(FileError::io("look at", path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        let (path, due) = (path.to_owned(), "700");
        return Err(FileError::Exposed { path, mode, due });
    }
    Ok(())
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_was_written_reads_back_and_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        let read_back = read(&path, 3, Secrecy::Private).unwrap().unwrap();
        assert_eq!(read_back.as_slice(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "no temporary file"
        );
    }

    #[test]
    fn a_temporary_file_of_a_crash_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(directory.path().join("key.tmp"), b"half").unwrap();
        replace(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn a_private_file_open_to_group_or_others_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        replace(&path, b"secret").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            set_mode(&path, mode);
            let refused = read(&path, 100, Secrecy::Private).unwrap_err();
            assert!(
                matches!(refused, FileError::Exposed { .. }),
                "{mode:o}: {refused}"
            );
        }
        set_mode(&path, 0o640);
        read(&path, 100, Secrecy::Confidential).unwrap();
        set_mode(&path, 0o644);
        let refused = read(&path, 100, Secrecy::Confidential).unwrap_err();
        assert!(matches!(refused, FileError::Exposed { .. }), "{refused}");
    }

    #[test]
    fn a_private_file_behind_a_link_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("key"), directory.path().join("link"));
        replace(&path, b"secret").unwrap();
        symlink(&path, &link).unwrap();
        let refused = read(&link, 100, Secrecy::Private).unwrap_err();
        assert!(matches!(refused, FileError::NotPlain(_)), "{refused}");
        read(&link, 100, Secrecy::Confidential).unwrap();
    }

    #[test]
    fn a_file_that_is_too_long_or_no_file_is_refused_and_a_missing_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, b"1234").unwrap();
        let refused = read(&path, 3, Secrecy::Public).unwrap_err();
        assert!(matches!(refused, FileError::TooLong { .. }), "{refused}");
        let refused = read(directory.path(), 3, Secrecy::Public).unwrap_err();
        assert!(matches!(refused, FileError::NotPlain(_)), "{refused}");
        let missing = read(&directory.path().join("none"), 3, Secrecy::Public).unwrap();
        assert!(missing.is_none());
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        private_directory(&path).unwrap();
        private_directory(&path).unwrap();
        set_mode(&path, 0o750);
        let refused = private_directory(&path).unwrap_err();
        assert!(matches!(refused, FileError::Exposed { .. }), "{refused}");
    }
}
