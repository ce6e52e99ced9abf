//! The key file of a witness: one line `PRIVATE+KEY+name+id+base64(4 ‖ seed)`, mode 0600, as
//! other C2SP tools write it.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use affiant_proto::{
    Ed25519Signer,
    tlog::{Cosigner, KeyName, MalformedKey},
};
use affiant_report::plain_file::{NotRead, PlainFile};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rand::SecureRandom;

use super::memory::{UNUSED, beside, sync_folder};

const START: &str = "PRIVATE+KEY+";

/// The signature type of a cosigner (C2SP signed-note).
const COSIGNER: u8 = 4;

/// Most bytes of a key file: a name of 255, 44 of base64, 8 of the id and the start, rounded up.
const MAX_KEY_FILE_BYTES: u64 = 512;

/// Why a key file cannot be used or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadKeyFile {
    /// A file operation failed.
    #[error("key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may read it.
    #[error("key file {0} can be read by others; run chmod 600 on it, or make a new key")]
    Open(PathBuf),
    /// A pipe, a device, a directory.
    #[error("key file {0} is not a plain file; name the one that --init made")]
    NotPlain(PathBuf),
    /// It holds something else.
    #[error("key file {0} does not hold a witness's key; make one with --init")]
    NotAKey(PathBuf),
    /// The name does not go with a key.
    #[error(transparent)]
    Key(#[from] MalformedKey),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness; try again")]
    Randomness,
}

/// Makes a key under `name` in a new file; refuses to overwrite one.
pub fn make(
    path: &Path,
    name: KeyName,
    random: &dyn SecureRandom,
) -> Result<Cosigner<Ed25519Signer>, BadKeyFile> {
    let io = |source| BadKeyFile::Io {
        path: path.to_owned(),
        source,
    };
    let mut seed = [0; 32];
    random.fill(&mut seed).map_err(|_| BadKeyFile::Randomness)?;
    let cosigner = named(path, name, &seed)?;
    let secret = STANDARD.encode([&[COSIGNER][..], &seed].concat());
    let line = format!(
        "{START}{}+{}+{secret}\n",
        cosigner.key().name(),
        cosigner.key().id()
    );
    write_new(path, &line).map_err(io)?;
    // Lets the witness begin, once, without a state; see `FileMemory::first_or_again`.
    write_new(&beside(path, UNUSED), "").map_err(io)?;
    sync_folder(path).map_err(io)?;
    Ok(cosigner)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Reads a key file, following no symbolic link.
pub fn read(path: &Path) -> Result<Cosigner<Ed25519Signer>, BadKeyFile> {
    let not_a_key = || BadKeyFile::NotAKey(path.to_owned());
    let text = PlainFile::open_private(path).and_then(|file| file.read_text(MAX_KEY_FILE_BYTES));
    let text = text.map_err(|error| match error {
        NotRead::Io { path, source } => BadKeyFile::Io { path, source },
        NotRead::Exposed(path) => BadKeyFile::Open(path),
        NotRead::NotPlain(path) => BadKeyFile::NotPlain(path),
        _ => not_a_key(),
    })?;
    let parts = text.trim_end().strip_prefix(START).ok_or_else(not_a_key)?;
    let (name, rest) = parts.split_once('+').ok_or_else(not_a_key)?;
    let (id, secret) = rest.split_once('+').ok_or_else(not_a_key)?;
    let bytes = STANDARD.decode(secret).map_err(|_| not_a_key())?;
    let seed = match bytes.split_first() {
        Some((&COSIGNER, seed)) => seed.try_into().map_err(|_| not_a_key())?,
        _ => return Err(not_a_key()),
    };
    let cosigner = named(path, name.parse().map_err(|_| not_a_key())?, seed)?;
    if cosigner.key().id().to_string() != id {
        return Err(not_a_key());
    }
    Ok(cosigner)
}

fn named(
    path: &Path,
    name: KeyName,
    seed: &[u8; 32],
) -> Result<Cosigner<Ed25519Signer>, BadKeyFile> {
    let signer =
        Ed25519Signer::from_seed(seed).map_err(|_| BadKeyFile::NotAKey(path.to_owned()))?;
    Ok(Cosigner::new(name, signer)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn made(path: &Path) -> Result<Cosigner<Ed25519Signer>, BadKeyFile> {
        make(
            path,
            "witness.example".parse().unwrap(),
            &ring::rand::SystemRandom::new(),
        )
    }

    #[test]
    fn a_key_reads_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let first = made(&path).unwrap();
        assert_eq!(read(&path).unwrap().key(), first.key());
        assert!(matches!(made(&path), Err(BadKeyFile::Io { .. })));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_key_that_others_can_read_or_that_was_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        made(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("witness", "forger")).unwrap();
        assert!(matches!(read(&path), Err(BadKeyFile::NotAKey(_))));
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(BadKeyFile::Open(_))));
    }
}
