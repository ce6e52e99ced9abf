//! The driver's library as a file: who it says it is in every signed record.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use affiant_proto::v1::{Reason, SourceKind};
use ring::digest;

/// A symbol that only a simulated library exports. An exported name stands in the file's table of
/// dynamic symbols, which no strip can remove, so the file tells without being loaded.
const SIMULATED: &[u8] = b"affiantSimulatedNvml";

/// Largest library that is read: driver 580 ships one of 2 MiB; thirty times that is no library.
const MAX_LIBRARY: u64 = 64 << 20;

/// A library file, as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    path: PathBuf,
    digest: [u8; 32],
    source: SourceKind,
}

/// Why a library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// A relative path would be searched for in directories that others may write to.
    #[error(
        "nvml library {0} is not an absolute path; give the whole path in the agent's configuration"
    )]
    Relative(PathBuf),
    /// The file is not there or may not be read.
    #[error(
        "cannot read nvml library {path}: {error}; install the NVIDIA driver or set the path in the agent's configuration"
    )]
    Unreadable {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// No driver's library is that large.
    #[error(
        "nvml library {0} is larger than {MAX_LIBRARY} bytes, which no driver's is; check the path"
    )]
    TooLarge(PathBuf),
}

impl LibraryError {
    /// Gives the reason for which nothing is observed, as records spell it.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Unreadable { error, .. }
                if error.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Reason::Permission
            }
            _ => Reason::DriverError,
        }
    }
}

impl Library {
    /// Reads the file at `path`: its SHA-256, and whether it is a simulation.
    ///
    /// # Errors
    /// When the path is relative, or the file is missing, unreadable or absurdly large.
    pub fn read(path: &Path) -> Result<Self, LibraryError> {
        if !path.is_absolute() {
            return Err(LibraryError::Relative(path.to_owned()));
        }
        let unreadable = |error| LibraryError::Unreadable {
            path: path.to_owned(),
            error,
        };
        let file = File::open(path).map_err(unreadable)?;
        if !file.metadata().map_err(unreadable)?.is_file() {
            return Err(unreadable(std::io::Error::other("not a regular file")));
        }
        let mut content = Vec::new();
        file.take(MAX_LIBRARY + 1)
            .read_to_end(&mut content)
            .map_err(unreadable)?;
        if content.len() as u64 > MAX_LIBRARY {
            return Err(LibraryError::TooLarge(path.to_owned()));
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, &content).as_ref());
        let simulated = content.windows(SIMULATED.len()).any(|w| w == SIMULATED);
        Ok(Self {
            path: path.to_owned(),
            digest,
            source: if simulated {
                SourceKind::Simulated
            } else {
                SourceKind::Nvml
            },
        })
    }

    /// Gives the absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the SHA-256 of the file.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Says whether the file is a driver's or a simulation.
    pub fn source(&self) -> SourceKind {
        self.source
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_exports_the_mark_is_simulated_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lib.so");
        std::fs::write(&path, b"\x7fELF nvmlInit_v2\0").unwrap();
        assert_eq!(Library::read(&path).unwrap().source(), SourceKind::Nvml);
        std::fs::write(&path, b"\x7fELF nvmlInit_v2\0affiantSimulatedNvml\0").unwrap();
        assert_eq!(
            Library::read(&path).unwrap().source(),
            SourceKind::Simulated
        );
    }

    #[test]
    fn a_library_that_this_user_may_not_read_is_a_matter_of_permission() {
        let refused = LibraryError::Unreadable {
            path: "/lib/libnvidia-ml.so.1".into(),
            error: std::io::ErrorKind::PermissionDenied.into(),
        };
        assert_eq!(refused.reason(), Reason::Permission);
    }

    #[test]
    fn a_relative_path_is_refused_and_a_missing_file_is_named() {
        let relative = Library::read(Path::new("libnvidia-ml.so.1")).unwrap_err();
        assert!(matches!(relative, LibraryError::Relative(_)));
        let missing = Library::read(Path::new("/nowhere/libnvidia-ml.so.1")).unwrap_err();
        assert!(
            missing.to_string().contains("/nowhere/libnvidia-ml.so.1"),
            "{missing}"
        );
        assert_eq!(missing.reason(), Reason::DriverError);
        let directory = Library::read(Path::new("/tmp")).unwrap_err();
        assert!(matches!(directory, LibraryError::Unreadable { .. }));
    }
}
