//! The data directory: what lies where, and how far each thing is trusted.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::keyfile::KeyFileError;

/// A verifier's data directory (mode 0700).
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Names a directory that should exist already.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes the directory; refuses one that has anything in it.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        let io = KeyFileError::io(path);
        if path.exists() {
            if fs::read_dir(path).map_err(&io)?.next().is_some() {
                return Err(KeyFileError::Content {
                    path: path.to_owned(),
                    fault: "is not empty; init never overwrites, so name a new directory".into(),
                });
            }
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(&io)?;
        } else {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(&io)?;
        }
        let made = Self(path.to_owned());
        fs::DirBuilder::new()
            .mode(0o700)
            .create(made.keys())
            .map_err(&io)?;
        Ok(made)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Private keys. Trusted: who reads them can sign as the operator.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// Key of the certificate authority. Who reads it can pose as any host to this verifier, but
    /// cannot sign records for it.
    pub fn ca_key(&self) -> PathBuf {
        self.keys().join("ca.key")
    }

    /// The certificates of the authorities that count, for agents; the one in force first. Public.
    pub fn ca_certificate(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// The authority in force, certified by the one before it; missing for the first. Public.
    pub fn ca_cross(&self) -> PathBuf {
        self.0.join("ca-cross.pem")
    }

    /// Key, cross-certificate and certificates of an authority that the log may not have yet.
    pub fn next_ca(&self) -> [PathBuf; 3] {
        [
            self.keys().join("ca.key.next"),
            self.0.join("ca-cross.pem.next"),
            self.0.join("ca.pem.next"),
        ]
    }

    /// Key that signs checkpoints. Who reads it can fork the log; witnesses would see it.
    pub fn log_key(&self) -> PathBuf {
        self.keys().join("log.key")
    }

    /// Key that signs the operator's statements.
    pub fn operator_key(&self) -> PathBuf {
        self.keys().join("operator.key")
    }

    /// A new key of the operator that the log may not have yet.
    pub fn new_operator_key(&self) -> PathBuf {
        self.keys().join("operator.key.new")
    }

    /// Key of the log's next generation, from its proposal until it is opened.
    pub fn next_log_key(&self) -> PathBuf {
        self.keys().join("log.key.next")
    }

    /// Key of the operator in the log's next generation, where it changes with it.
    pub fn next_operator_key(&self) -> PathBuf {
        self.keys().join("operator.key.next")
    }

    /// The ledger. Its lock file is trusted, everything else in it is checked against that.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Tokens that were issued, as digests. Trusted: who writes here can let a host enrol.
    pub fn tokens(&self) -> PathBuf {
        self.0.join("tokens.jsonl")
    }

    /// The registry: a projection, made again by `rebuild`. Not trusted.
    pub fn registry(&self) -> PathBuf {
        self.0.join("registry.db")
    }

    /// Where cosigned notes are laid that come by hand. Not trusted: what they say is checked.
    pub fn handed(&self) -> PathBuf {
        self.0.join("cosigned")
    }

    /// What each receiver of findings was told last. Trusted to be so: who writes here can have
    /// receivers told twice, or not at all. Lost, it is told again.
    pub fn deliveries(&self) -> PathBuf {
        self.0.join("deliveries")
    }

    /// Socket for the other commands, mode 0600.
    pub fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    /// What a reader of reports should be given by another channel. Public.
    pub fn trust(&self) -> PathBuf {
        self.0.join("trust.toml")
    }

    /// The files beside the log that a backup keeps, as they are named in this directory: what is
    /// public, the tokens, and the private keys where they are asked for. What a change of keys has
    /// still to move is among them: a start after a restore finishes it as one after a crash does.
    pub fn restorable(&self, with_keys: bool) -> std::io::Result<Vec<String>> {
        let mut names: Vec<String> = [
            "ca.pem",
            "ca-cross.pem",
            "ca.pem.next",
            "ca-cross.pem.next",
            "trust.toml",
            "tokens.jsonl",
        ]
        .map(str::to_owned)
        .to_vec();
        if with_keys {
            for key in fs::read_dir(self.keys())? {
                names.push(format!("keys/{}", key?.file_name().to_string_lossy()));
            }
            names.sort();
        }
        Ok(names)
    }

    /// Tells whether every data directory that is in use has this file.
    pub fn is_due(&self, path: &Path) -> bool {
        let keys = [self.ca_key(), self.log_key(), self.operator_key()];
        path == self.ca_certificate() || keys.iter().any(|at| at == path)
    }

    /// Tells whether a file of this directory is for everybody to read.
    pub fn is_public(&self, path: &Path) -> bool {
        let [_, next_cross, next_certificates] = self.next_ca();
        let public = [self.ca_certificate(), self.ca_cross(), self.trust()];
        public.iter().any(|at| at == path) || path == next_cross || path == next_certificates
    }
}
