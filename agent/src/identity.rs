//! Who this host is: its keys, its deployment and the statement that opened its chain.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use affiant_proto::{
    Body, Broken, ChainState, Digest, Ed25519Signer, Malformed, Signer, Statement, digest,
    keys::BadPrivateKey, statement::MAX_STATEMENT_BYTES,
};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::{
    data::DataDir,
    deployment::{Deployment, NotADeployment},
    durable::{self, FileError, Secrecy},
    rotation::{self, RotationError},
};

/// Most bytes of a key file: PKCS #8 of either key is below 160.
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
    /// The TLS key.
    #[error("{0} is not a P-256 private key in PKCS #8; restore the file, or enrol anew")]
    TlsKey(PathBuf),
    /// A key could not be made, or a request not signed.
    #[error("{0} could not be made; look at the system's source of randomness")]
    Make(&'static str),
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

/// The two private keys of a host. A key has one use: one signs records, one opens connections.
pub struct Keys {
    record: Arc<Ed25519Signer>,
    /// The one before it, while the log still goes by that.
    former: Option<Arc<Ed25519Signer>>,
    tls: TlsKey,
}

impl Keys {
    /// Reads both keys; `None` when either is not there.
    pub fn read(data: &DataDir) -> Result<Option<Self>, IdentityError> {
        let (Some(record), Some(tls)) = (
            durable::read(&data.record_key(), MAX_KEY, Secrecy::Private)?,
            durable::read(&data.tls_key(), MAX_KEY, Secrecy::Private)?,
        ) else {
            return Ok(None);
        };
        let signer = |pkcs8: &[u8], path: PathBuf| match Ed25519Signer::from_pkcs8(pkcs8) {
            Ok(signer) => Ok(Arc::new(signer)),
            Err(error) => Err(IdentityError::RecordKey { path, error }),
        };
        let record = signer(&record, data.record_key())?;
        let former = durable::read(&data.old_record_key(), MAX_KEY, Secrecy::Private)?;
        let former = former.map(|former| signer(&former, data.old_record_key()));
        let tls = TlsKey::of(&tls).ok_or_else(|| IdentityError::TlsKey(data.tls_key()))?;
        Ok(Some(Self {
            record,
            former: former.transpose()?,
            tls,
        }))
    }

    /// Makes both keys and writes them; only enrolment does so.
    pub fn make(data: &DataDir) -> Result<Self, IdentityError> {
        let record = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| IdentityError::Make("record key"))?;
        durable::replace(&data.record_key(), record.as_ref())?;
        let tls = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|_| IdentityError::Make("tls key"))?;
        durable::replace(&data.tls_key(), &Zeroizing::new(tls.serialize_der()))?;
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

    /// The key that opens connections.
    pub fn tls(&self) -> &TlsKey {
        &self.tls
    }
}

/// A P-256 key for TLS.
pub struct TlsKey {
    pair: KeyPair,
}

impl TlsKey {
    fn of(pkcs8: &[u8]) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from(pkcs8);
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256);
        Some(Self { pair: pair.ok()? })
    }

    /// SHA-256 of its SubjectPublicKeyInfo, as the enrolment names it.
    pub fn digest(&self) -> Digest {
        digest(&self.pair.subject_public_key_info())
    }

    /// Makes a certificate request (PKCS #10 in DER): it proves that this host has the key, and
    /// says nothing else, for the authority takes nothing else of it.
    pub fn request(&self) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.pair);
        let request = request.map_err(|_| IdentityError::Make("certificate request"))?;
        Ok(request.der().to_vec())
    }

    /// The key as TLS takes it.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pair.serialize_der()).into()
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
                    && body.identity_key == keys.tls.digest().as_bytes()
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

    /// SHA-256 of the token that the enrolment names.
    pub fn token(&self) -> Option<Digest> {
        match self.enrolment.body() {
            Body::Enrolment(body) => Digest::try_from(body.token.as_slice()).ok(),
            _ => None,
        }
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
    fn keys_read_back_as_they_were_made_and_are_for_their_owner_alone() {
        let (_directory, data) = data();
        assert!(Keys::read(&data).unwrap().is_none());
        let made = Keys::make(&data).unwrap();
        let read = Keys::read(&data).unwrap().unwrap();
        assert_eq!(made.record().public_key(), read.record().public_key());
        assert_eq!(made.tls().digest(), read.tls().digest());
        for path in [data.record_key(), data.tls_key()] {
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let (_directory, data) = data();
        Keys::make(&data).unwrap();
        for path in [data.record_key(), data.tls_key()] {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let refused = Keys::read(&data).map(drop).unwrap_err();
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
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
        fs::write(data.record_key(), good).unwrap();
        fs::write(data.tls_key(), b"key").unwrap();
        let refused = Keys::read(&data).map(drop).unwrap_err();
        assert!(refused.to_string().contains("tls.key"), "{refused}");
    }

    #[test]
    fn a_request_is_for_the_key_that_the_enrolment_names() {
        let (_directory, data) = data();
        let keys = Keys::make(&data).unwrap();
        let request = keys.tls().request().unwrap();
        let der = rustls_pki_types::CertificateSigningRequestDer::from(request);
        let read = rcgen::CertificateSigningRequestParams::from_der(&der).unwrap();
        assert_eq!(
            digest(&read.public_key.subject_public_key_info()),
            keys.tls().digest()
        );
    }
}
