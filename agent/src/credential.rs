//! What opens connections: a TLS key, and the certificate for it. Each renewal has a new key.
//!
//! ```text
//! tls.key.new ─ certificate for it from the verifier ─ certificates.pem ─ tls.key.new ─▶ tls.key
//! ```
//! Each step is on disk before the next. Until the certificate is there, the old key and the old
//! certificate go together; from then on the next start finishes the change.

use std::{fs, path::PathBuf};

use affiant_proto::{Digest, digest};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::{
    certificate::{CertificateError, HostCertificate},
    data::DataDir,
    durable::{self, FileError, Secrecy},
    identity::MAX_KEY,
};

/// Why there is nothing to open connections with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The key's file.
    #[error(
        "{0} is not a P-256 private key in PKCS #8; remove it, and the agent asks for a \
         certificate for a new one"
    )]
    Key(PathBuf),
    /// A key could not be made, or a request not signed.
    #[error("{0} could not be made; look at the system's source of randomness")]
    Make(&'static str),
    /// What the verifier gave is for another key.
    #[error(
        "the verifier gave a certificate for another key than was asked for; have its operator \
         look at it, for somebody may be in its place"
    )]
    OtherKey,
}

/// A P-256 key for TLS.
pub struct TlsKey {
    pair: KeyPair,
}

impl TlsKey {
    /// Reads the key in force, or makes it: for an enrolment.
    pub fn first(data: &DataDir) -> Result<Self, CredentialError> {
        Self::read_or_make(data.tls_key())
    }

    /// Reads the key that the next certificate is for, or makes it. One that was asked for in vain
    /// is asked for again.
    pub fn next(data: &DataDir) -> Result<Self, CredentialError> {
        Self::read_or_make(data.new_tls_key())
    }

    fn read_or_make(path: PathBuf) -> Result<Self, CredentialError> {
        if let Some(key) = Self::read(path.clone())? {
            return Ok(key);
        }
        let made = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
        let made = made.map_err(|_| CredentialError::Make("TLS key"))?;
        durable::replace(&path, &Zeroizing::new(made.serialize_der()))?;
        Ok(Self { pair: made })
    }

    fn read(path: PathBuf) -> Result<Option<Self>, CredentialError> {
        let Some(pkcs8) = durable::read(&path, MAX_KEY, Secrecy::Private)? else {
            return Ok(None);
        };
        let der = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
        match KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256) {
            Ok(pair) => Ok(Some(Self { pair })),
            Err(_) => Err(CredentialError::Key(path)),
        }
    }

    /// SHA-256 of its SubjectPublicKeyInfo, as enrolments and certificates name it.
    pub fn digest(&self) -> Digest {
        digest(&self.pair.subject_public_key_info())
    }

    /// Makes a certificate request (PKCS #10 in DER): it proves that this host has the key, and
    /// says nothing else, for the authority takes nothing else of it.
    pub fn request(&self) -> Result<Vec<u8>, CredentialError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.pair);
        let request = request.map_err(|_| CredentialError::Make("certificate request"))?;
        Ok(request.der().to_vec())
    }

    /// The key as TLS takes it.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pair.serialize_der()).into()
    }
}

/// A certificate and its key.
pub struct Credential {
    certificate: HostCertificate,
    key: TlsKey,
}

impl Credential {
    /// Reads what is on disk; `None` where there is no certificate, or none for the key: both are
    /// had again by the record key.
    pub fn read(data: &DataDir) -> Result<Option<Self>, CredentialError> {
        settle(data)?;
        let certificate = HostCertificate::read(&data.certificates())?;
        let key = TlsKey::read(data.tls_key())?;
        let both = certificate.zip(key);
        let matching = both.filter(|(certificate, key)| certificate.key() == key.digest());
        Ok(matching.map(|(certificate, key)| Self { certificate, key }))
    }

    /// Keeps a fresh certificate, which is for `key`; then the key takes its place.
    pub fn keep(
        data: &DataDir,
        certificate: HostCertificate,
        key: TlsKey,
    ) -> Result<Self, CredentialError> {
        if certificate.key() != key.digest() {
            return Err(CredentialError::OtherKey);
        }
        certificate.store(&data.certificates())?;
        settle(data)?;
        Ok(Self { certificate, key })
    }

    /// The certificate.
    pub fn certificate(&self) -> &HostCertificate {
        &self.certificate
    }

    /// The key that it is for.
    pub fn key(&self) -> &TlsKey {
        &self.key
    }
}

/// Finishes a change of the key whose certificate is on disk.
fn settle(data: &DataDir) -> Result<(), CredentialError> {
    let Some(certificate) = HostCertificate::read(&data.certificates())? else {
        return Ok(());
    };
    let next = TlsKey::read(data.new_tls_key())?;
    if next.is_some_and(|next| next.digest() == certificate.key()) {
        let path = data.tls_key();
        fs::rename(data.new_tls_key(), &path).map_err(FileError::io("rename to", &path))?;
        durable::sync_directory_of(&path)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{CertificateSigningRequestParams, Issuer};

    fn data() -> (tempfile::TempDir, DataDir) {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::at(directory.path());
        (directory, data)
    }

    /// What an authority gives for a request.
    fn issue(request: Vec<u8>) -> HostCertificate {
        let der = rustls_pki_types::CertificateSigningRequestDer::from(request);
        let asked = CertificateSigningRequestParams::from_der(&der).unwrap();
        let authority = CertificateParams::new(Vec::new()).unwrap();
        let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
        let leaf = CertificateParams::new(Vec::new()).unwrap();
        let leaf = leaf.signed_by(&asked.public_key, &issuer).unwrap();
        HostCertificate::from_der(vec![leaf.der().to_vec()]).unwrap()
    }

    /// A host as its enrolment leaves it; gives its key.
    fn enrolled(data: &DataDir) -> Digest {
        let key = TlsKey::first(data).unwrap();
        let named = key.digest();
        Credential::keep(data, issue(key.request().unwrap()), key).unwrap();
        named
    }

    #[test]
    fn a_crash_at_any_step_of_a_renewal_leaves_a_key_and_the_certificate_for_it() {
        type Step = fn(&DataDir);
        let steps: [Step; 3] = [
            |data| drop(TlsKey::next(data).unwrap()),
            |data| {
                let asked = TlsKey::next(data).unwrap().request().unwrap();
                issue(asked).store(&data.certificates()).unwrap();
            },
            |data| fs::rename(data.new_tls_key(), data.tls_key()).unwrap(),
        ];
        for done in 0..=steps.len() {
            let (_directory, data) = data();
            let old = enrolled(&data);
            steps.iter().take(done).for_each(|step| step(&data));
            // Twice: a start that was itself cut short is followed by another.
            for _ in 0..2 {
                let held = Credential::read(&data).unwrap();
                let held = held.expect("a certificate with its key");
                assert_eq!(held.certificate().key(), held.key().digest());
                assert_eq!(held.key().digest() == old, done < 2, "after {done} steps");
            }
            assert_eq!(data.new_tls_key().exists(), done == 1, "after {done} steps");
        }
    }

    #[test]
    fn each_renewal_has_a_new_key_and_one_that_was_asked_for_in_vain_is_asked_for_again() {
        let (_directory, data) = data();
        let mut before = vec![enrolled(&data)];
        for _ in 0..3 {
            let asked = TlsKey::next(&data).unwrap().digest();
            let key = TlsKey::next(&data).unwrap();
            assert_eq!(key.digest(), asked);
            assert!(!before.contains(&asked), "a key was used twice");
            Credential::keep(&data, issue(key.request().unwrap()), key).unwrap();
            let held = Credential::read(&data).unwrap().unwrap();
            assert_eq!(held.key().digest(), asked);
            before.push(asked);
        }
        let mode = fs::metadata(data.tls_key()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_certificate_for_another_key_is_refused_and_the_one_in_force_stays() {
        let (_directory, data) = data();
        let old = enrolled(&data);
        let other = issue(TlsKey::next(&data).unwrap().request().unwrap());
        fs::remove_file(data.new_tls_key()).unwrap();
        let next = TlsKey::next(&data).unwrap();
        let refused = Credential::keep(&data, other, next).map(drop).unwrap_err();
        assert!(matches!(refused, CredentialError::OtherKey), "{refused}");
        let held = Credential::read(&data).unwrap().unwrap();
        assert_eq!(held.key().digest(), old);
    }

    #[test]
    fn a_key_that_was_lost_or_is_of_others_opens_nothing() {
        let (_directory, data) = data();
        enrolled(&data);
        fs::set_permissions(data.tls_key(), fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Credential::read(&data).map(drop).unwrap_err();
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
        fs::remove_file(data.tls_key()).unwrap();
        assert!(Credential::read(&data).unwrap().is_none());
        durable::replace(&data.tls_key(), b"key").unwrap();
        let refused = Credential::read(&data).map(drop).unwrap_err();
        assert!(refused.to_string().contains("tls.key"), "{refused}");
    }
}
