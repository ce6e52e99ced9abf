//! Key files: 0600, written whole or not at all, refused when others can read them; and every other file
//! that somebody names, read bounded.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use affiant_proto::{Ed25519Signer, PublicKey, Signer as _};
use affiant_report::plain_file::{self, NotRead, PlainFile};
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use zeroize::Zeroizing;

/// Most bytes of a file that this module reads: a P-256 key in PEM is 250, a policy 64 KiB.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Why a key file was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Others can read it, or it is no plain file, too long, or no text.
    #[error(transparent)]
    Unfit(NotRead),
    /// Not what it should hold.
    #[error("{path}: {fault}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
}

impl From<NotRead> for KeyFileError {
    fn from(error: NotRead) -> Self {
        match error {
            NotRead::Io { path, source } => Self::Io { path, source },
            other => Self::Unfit(other),
        }
    }
}

impl KeyFileError {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn content(path: &Path, fault: impl ToString) -> Self {
        Self::Content {
            path: path.to_owned(),
            fault: fault.to_string(),
        }
    }
}

/// Writes a new file of mode 0600 and makes it durable; refuses to overwrite.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    create(path, bytes, 0o600)
}

/// Writes a new file that all may read and makes it durable; refuses to overwrite.
pub fn create_public(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    create(path, bytes, 0o644)
}

fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyFileError> {
    let io = KeyFileError::io(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(&io)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(&io)?;
    sync_parent(path).map_err(&io)
}

/// Makes a directory of mode 0700, where there is none.
pub fn create_dir(path: &Path) -> Result<(), KeyFileError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(KeyFileError::io(path)(error))
        }
        _ => Ok(()),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all())
}

/// Puts a durable file in the place of another, durably.
pub fn replace(from: &Path, to: &Path) -> Result<(), KeyFileError> {
    fs::rename(from, to).map_err(KeyFileError::io(from))?;
    sync_parent(from)
        .and_then(|()| sync_parent(to))
        .map_err(KeyFileError::io(to))
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> Result<(), KeyFileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KeyFileError::io(path)(error)),
        _ => Ok(()),
    }
}

/// Reads a file that only its owner may read, following no symbolic link.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let mut bytes = Zeroizing::new(Vec::new());
    PlainFile::open_private(path)?.read_into(&mut bytes, MAX_FILE_BYTES)?;
    Ok(bytes)
}

/// Reads a plain file of at most `most` bytes.
pub fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, KeyFileError> {
    Ok(plain_file::read_bounded(path, most)?)
}

/// Reads a plain text file of at most `most` bytes; says in which line it is not UTF-8.
pub fn read_bounded_text(path: &Path, most: u64) -> Result<String, KeyFileError> {
    Ok(plain_file::read_bounded_text(path, most)?)
}

/// Reads a small text file.
pub fn read_text(path: &Path) -> Result<String, KeyFileError> {
    read_bounded_text(path, MAX_FILE_BYTES)
}

/// Makes an Ed25519 key and writes it as PKCS #8.
pub fn create_signer(path: &Path) -> Result<Ed25519Signer, KeyFileError> {
    let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| KeyFileError::content(path, "the system gave no randomness"))?;
    create_private(path, made.as_ref())?;
    read_signer(path)
}

/// Reads an Ed25519 key.
pub fn read_signer(path: &Path) -> Result<Ed25519Signer, KeyFileError> {
    Ed25519Signer::from_pkcs8(&read_private(path)?).map_err(|e| KeyFileError::content(path, e))
}

/// An officer's public key with the name that goes with it: `<name> <64 hexadecimal digits>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfficerKey {
    /// For people; one word.
    pub name: String,
    /// The key.
    pub key: PublicKey,
}

impl OfficerKey {
    /// Reads the `.pub` file that `officer new` wrote.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let text = match read_text(path) {
            // No text, so no key as `officer new` spells it.
            Err(KeyFileError::Unfit(NotRead::NotText { .. })) => {
                let public = path.with_extension("pub");
                let public = public.display();
                let fault =
                    format!("is no public key file; the private key beside it? give {public}");
                return Err(KeyFileError::content(path, fault));
            }
            read => read?,
        };
        let wrong = || KeyFileError::content(path, "is not `<name> <64 hexadecimal digits>`");
        let (name, hex) = text.trim_end().split_once(' ').ok_or_else(wrong)?;
        let bytes: affiant_proto::Digest = hex.parse().map_err(|_| wrong())?;
        if name.is_empty() || name.len() > 64 {
            return Err(wrong());
        }
        let key =
            PublicKey::ed25519(bytes.as_bytes()).map_err(|e| KeyFileError::content(path, e))?;
        Ok(Self {
            name: name.to_owned(),
            key,
        })
    }

    /// What the `.pub` file holds.
    pub fn line(&self) -> String {
        let hex: String = self
            .key
            .as_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        format!("{} {hex}\n", self.name)
    }

    /// Makes a key pair: `path` for the officer alone, `path` with `.pub` for everybody.
    pub fn create(name: &str, path: &Path) -> Result<Self, KeyFileError> {
        let hidden = |c: char| c.is_whitespace() || c.is_control();
        if name.is_empty() || name.len() > 64 || name.contains(hidden) {
            return Err(KeyFileError::content(
                path,
                "an officer's name is one word of at most 64 bytes",
            ));
        }
        let public = path.with_extension("pub");
        if public.exists() {
            return Err(KeyFileError::content(
                &public,
                "exists already; choose another --out",
            ));
        }
        let key = create_signer(path)?.public_key().clone();
        let made = Self {
            name: name.to_owned(),
            key,
        };
        create_public(&public, made.line().as_bytes())?;
        Ok(made)
    }
}

/// Removes what a failed `init` began, so that it can be run again.
pub(crate) fn discard(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "could not remove a half-made directory");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create_signer(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            read_signer(&path),
            Err(KeyFileError::Unfit(NotRead::Exposed(_)))
        ));
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alice.key");
        let made = OfficerKey::create("alice", &path).unwrap();
        assert!(OfficerKey::create("alice", &path).is_err());
        assert_eq!(OfficerKey::read(&path.with_extension("pub")).unwrap(), made);
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_by_its_line_and_named_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        fs::write(&path, b"one\ntw\xff").unwrap();
        let said = read_text(&path).unwrap_err().to_string();
        assert!(said.contains("line 2 is not UTF-8"), "{said}");
        let name = path.display().to_string();
        assert_eq!(said.matches(&name).count(), 1, "{said}");
    }
}
