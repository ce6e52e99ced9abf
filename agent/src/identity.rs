//! Who this host is: its keys, its deployment and the statement that opened its chain.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use affiant_proto::{
    Body, Broken, ChainState, Digest, Ed25519Signer, Malformed, Signer, Statement,
    keys::BadPrivateKey, statement::MAX_STATEMENT_BYTES, v1,
};
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};

use crate::{
    data::DataDir,
    deployment::{Deployment, NotADeployment},
    durable::{self, FileError, Secrecy},
    rotation::{self, RotationError},
};

/// Most bytes of a key file: PKCS #8 of a record key or a TLS key is below 160.
pub(crate) const MAX_KEY: u64 = 1_024;

/// Why this host has no identity that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// One of its files.
    #[error(transparent)]
    File(#[from] FileError),
    /// It never enrolled.
    #[error("this host is not enrolled: there is no {0}; run `affiant-agent enroll`")]
    NotEnrolled(PathBuf),
    /// The record key.
    #[error("{path}: {error}")]
    RecordKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: BadPrivateKey,
    },
    /// The record key could not be made.
    #[error("the record key could not be made; look at the system's source of randomness")]
    Make,
    /// The genesis.
    #[error(transparent)]
    Deployment(#[from] NotADeployment),
    /// The changes of the record key.
    #[error(transparent)]
    Rotation(#[from] Box<RotationError>),
    /// The enrolment does not read.
    #[error("{path}: {error}; restore the file, or enrol anew")]
    Enrolment {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Malformed,
    },
    /// The enrolment does not hold.
    #[error("{path}: {error}; restore the file, or enrol anew")]
    Chain {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Broken,
    },
    /// Files that are not of one enrolment.
    #[error(
        "{0} does not belong to the other files of the data directory; restore all of them together"
    )]
    Mixed(PathBuf),
}

/// The private keys by which a host signs. A key has one use: another opens connections.
pub struct Keys {
    record: Arc<Ed25519Signer>,
    /// The one before it, while the log still goes by that.
    former: Option<Arc<Ed25519Signer>>,
}

impl Keys {
    /// Reads them; `None` when there is no record key.
    pub fn read(data: &DataDir) -> Result<Option<Self>, IdentityError> {
        let signer = |path: PathBuf| -> Result<_, IdentityError> {
            let Some(pkcs8) = durable::read(&path, MAX_KEY, Secrecy::Private)? else {
                return Ok(None);
            };
            match Ed25519Signer::from_pkcs8(&pkcs8) {
                Ok(signer) => Ok(Some(Arc::new(signer))),
                Err(error) => Err(IdentityError::RecordKey { path, error }),
            }
        };
        let Some(record) = signer(data.record_key())? else {
            return Ok(None);
        };
        let former = signer(data.old_record_key())?;
        Ok(Some(Self { record, former }))
    }

    /// Makes the record key and writes it; only enrolment does so.
    pub fn make(data: &DataDir) -> Result<Self, IdentityError> {
        let record = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| IdentityError::Make)?;
        durable::replace(&data.record_key(), record.as_ref())?;
        // Read back, so that what is used is what a later start will use.
        Self::read(data)?.ok_or_else(|| IdentityError::NotEnrolled(data.record_key()))
    }

    /// The key that signs records.
    pub fn record(&self) -> &Ed25519Signer {
        &self.record
    }

    /// The key that signed before it, while the log still goes by that.
    pub fn former(&self) -> Option<&Ed25519Signer> {
        self.former.as_deref()
    }

    /// The key that signs records, for one who outlives this.
    pub fn record_arc(&self) -> Arc<Ed25519Signer> {
        Arc::clone(&self.record)
    }

    /// The same key, for the one who seals.
    pub fn signer(&self) -> Arc<dyn Signer> {
        Arc::clone(&self.record) as Arc<dyn Signer>
    }
}

/// An enrolled host, whether or not the verifier has answered yet.
pub struct Identity {
    keys: Keys,
    deployment: Deployment,
    enrolment: Statement,
    opened: ChainState,
}

impl Identity {
    /// Reads what enrolment left; `None` when the host did not get as far as to sign one.
    pub fn read(data: &DataDir) -> Result<Option<Self>, IdentityError> {
        let most = MAX_STATEMENT_BYTES as u64;
        let (Some(deployment), Some(enrolment), Some(keys)) = (
            Deployment::load(data)?,
            durable::read(&data.enrolment(), most, Secrecy::Public)?,
            Keys::read(data)?,
        ) else {
            return Ok(None);
        };
        let changed = |opened| rotation::follow(data, opened).map_err(Box::new);
        Self::of(keys, deployment, &enrolment, &data.enrolment(), changed).map(Some)
    }

    /// Reads what enrolment left, which must be there.
    pub fn load(data: &DataDir) -> Result<Self, IdentityError> {
        Self::read(data)?.ok_or_else(|| IdentityError::NotEnrolled(data.enrolment()))
    }

    /// Takes an enrolment that belongs to the keys and the deployment; `path` is where it lies, and
    /// `changed` follows the changes of the record key.
    pub fn of(
        keys: Keys,
        deployment: Deployment,
        enrolment: &[u8],
        path: &Path,
        changed: impl FnOnce(ChainState) -> Result<ChainState, Box<RotationError>>,
    ) -> Result<Self, IdentityError> {
        let statement = Statement::parse(enrolment).map_err(|error| {
            let path = path.to_owned();
            IdentityError::Enrolment { path, error }
        })?;
        let (opened, verified) = ChainState::open(statement).map_err(|error| {
            let path = path.to_owned();
            IdentityError::Chain { path, error }
        })?;
        let opened = changed(opened)?;
        let belongs = match verified.body() {
            Body::Enrolment(body) => {
                body.genesis == deployment.digest().as_bytes()
                    && opened.key() == keys.record.public_key()
            }
            _ => false,
        };
        if !belongs {
            return Err(IdentityError::Mixed(path.to_owned()));
        }
        Ok(Self {
            keys,
            deployment,
            enrolment: verified.statement().clone(),
            opened,
        })
    }

    /// The private keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The deployment.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The statement that opened the chain.
    pub fn enrolment(&self) -> &Statement {
        &self.enrolment
    }

    /// What the enrolment says.
    fn said(&self) -> Option<&v1::Enrolment> {
        match self.enrolment.body() {
            Body::Enrolment(body) => Some(body),
            _ => None,
        }
    }

    /// SHA-256 of the token that the enrolment names.
    pub fn token(&self) -> Option<Digest> {
        Digest::try_from(self.said()?.token.as_slice()).ok()
    }

    /// SHA-256 of the TLS key with which the host enrolled; renewals have others since.
    pub fn first_tls_key(&self) -> Option<Digest> {
        Digest::try_from(self.said()?.identity_key.as_slice()).ok()
    }

    /// The chain at its enrolment, or at the last change of its key.
    pub fn opened(&self) -> &ChainState {
        &self.opened
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn data() -> (tempfile::TempDir, DataDir) {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::at(directory.path());
        (directory, data)
    }

    #[test]
    fn a_key_reads_back_as_it_was_made_and_is_for_its_owner_alone() {
        let (_directory, data) = data();
        assert!(Keys::read(&data).unwrap().is_none());
        let made = Keys::make(&data).unwrap();
        let read = Keys::read(&data).unwrap().unwrap();
        assert_eq!(made.record().public_key(), read.record().public_key());
        let mode = fs::metadata(data.record_key())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::set_permissions(data.record_key(), fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Keys::read(&data).map(drop).unwrap_err();
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
    }

    #[test]
    fn bytes_that_are_no_key_are_refused_by_file() {
        let (_directory, data) = data();
        Keys::make(&data).unwrap();
        let good = fs::read(data.record_key()).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(data.record_key(), bad).unwrap();
            assert!(Keys::read(&data).is_err(), "byte {at}");
        }
    }
}
