//! Certificates: the configured authority, the host's own, and when that is due for renewal.

use std::path::{Path, PathBuf};

use affiant_proto::{Digest, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::durable::{self, FileError, Secrecy};

/// Most bytes of a certificate file: eight certificates of 4 KiB, as PEM.
const MAX_FILE: u64 = 48 << 10;

/// Most authorities of a file: the one in force, and some that it followed or that will follow.
const MAX_AUTHORITIES: usize = 8;

/// Most certificates of the host's chain: leaf, issuer, and two to spare.
const MAX_CHAIN: usize = 4;

/// Most bytes of one certificate: one of P-256 has some 600.
pub(crate) const MAX_CERTIFICATE: usize = 4 << 10;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no file.
    #[error("there is no certificate file {0}; copy the verifier's ca certificate there")]
    Missing(PathBuf),
    /// None, or more than there can be.
    #[error(
        "{path} holds {count} certificates where 1 to {MAX_AUTHORITIES} are due, in PEM; take the \
         verifier's ca.pem"
    )]
    Count {
        /// The file.
        path: PathBuf,
        /// How many were found.
        count: usize,
    },
    /// Bytes that are no certificate, or none with a validity.
    #[error("{0} is not a certificate that can be read")]
    Malformed(String),
    /// A chain that no verifier gives.
    #[error("the verifier gave a chain of {0} certificates where 1 to {MAX_CHAIN} are due")]
    Chain(usize),
}

/// The certificates of those whose servers are believed: most often one.
#[derive(Clone, Debug)]
pub struct Authority {
    certificates: Vec<CertificateDer<'static>>,
}

impl Authority {
    /// Reads the PEM file: the authority in force, and perhaps those before and after it.
    pub fn read(path: &Path) -> Result<Self, CertificateError> {
        let bytes = durable::read(path, MAX_FILE, Secrecy::Public)?;
        let bytes = bytes.ok_or_else(|| CertificateError::Missing(path.to_owned()))?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let malformed = || CertificateError::Malformed(path.display().to_string());
        let all = all.map_err(|_| malformed())?;
        let count = all.len();
        if !(1..=MAX_AUTHORITIES).contains(&count) {
            let path = path.to_owned();
            return Err(CertificateError::Count { path, count });
        }
        Self::of(all).ok_or_else(malformed)
    }

    /// Takes certificates; `None` when there are none, or one is none.
    pub fn of(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        let good = certificates.iter().all(|der| parse(der).is_some());
        (good && !certificates.is_empty()).then_some(Self { certificates })
    }

    /// The certificates.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// SHA-256 of the DER of each, as genesis and key statements name them.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.certificates.iter().map(|der| digest(der))
    }
}

/// What the verifier's authority gave for the host's TLS key, leaf first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: Digest,
    not_before_ms: u64,
    not_after_ms: u64,
}

impl HostCertificate {
    /// Takes a chain in DER, leaf first, as the verifier gives it.
    pub fn from_der(chain: Vec<Vec<u8>>) -> Result<Self, CertificateError> {
        if !(1..=MAX_CHAIN).contains(&chain.len()) {
            return Err(CertificateError::Chain(chain.len()));
        }
        let malformed = || CertificateError::Malformed("the host's certificate".into());
        if chain.iter().any(|der| der.len() > MAX_CERTIFICATE) {
            return Err(malformed());
        }
        let leaf = chain.first().ok_or_else(malformed)?;
        let leaf = parse(leaf).ok_or_else(malformed)?;
        let key = digest(leaf.public_key().raw);
        let millis = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000);
        let not_before_ms = millis(leaf.validity().not_before.timestamp());
        let not_after_ms = millis(leaf.validity().not_after.timestamp());
        if not_after_ms <= not_before_ms {
            return Err(malformed());
        }
        Ok(Self {
            chain: chain.into_iter().map(CertificateDer::from).collect(),
            key,
            not_before_ms,
            not_after_ms,
        })
    }

    /// Reads the file that [`HostCertificate::store`] wrote; `None` when there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, CertificateError> {
        let Some(bytes) = durable::read(path, MAX_FILE, Secrecy::Public)? else {
            return Ok(None);
        };
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let all = all.map_err(|_| CertificateError::Malformed(path.display().to_string()))?;
        Self::from_der(all.into_iter().map(|der| der.to_vec()).collect()).map(Some)
    }

    /// Writes the chain as PEM.
    pub fn store(&self, path: &Path) -> Result<(), FileError> {
        let pem: String = self.chain.iter().map(|der| pem(der)).collect();
        durable::replace(path, pem.as_bytes())
    }

    /// SHA-256 of the SubjectPublicKeyInfo that it is for.
    pub fn key(&self) -> Digest {
        self.key
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// When it must be renewed: at two thirds of its life, milliseconds since 1970-01-01 UTC. The
    /// last third is for a verifier that is away.
    pub fn renew_at_ms(&self) -> u64 {
        let life = self.not_after_ms - self.not_before_ms;
        self.not_before_ms.saturating_add(life / 3 * 2)
    }

    /// When it is over, milliseconds since 1970-01-01 UTC.
    pub fn not_after_ms(&self) -> u64 {
        self.not_after_ms
    }

    /// Tells whether it is over at `wall_ms`.
    pub fn expired(&self, wall_ms: u64) -> bool {
        wall_ms >= self.not_after_ms
    }
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

fn pem(der: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        let _ = writeln!(out, "{}", String::from_utf8_lossy(line));
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn leaf() -> rcgen::Certificate {
        let mut params = CertificateParams::new(vec!["gpu-01".into()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 1, 4);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_host_certificate_reads_back_and_is_due_at_two_thirds_of_its_life() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("certificates.pem");
        assert_eq!(HostCertificate::read(&path).unwrap(), None);
        let der = leaf().der().to_vec();
        let certificate = HostCertificate::from_der(vec![der.clone(), der]).unwrap();
        certificate.store(&path).unwrap();
        assert_eq!(
            HostCertificate::read(&path).unwrap(),
            Some(certificate.clone())
        );
        let first = 1_767_225_600_000;
        let day = 86_400_000;
        assert_eq!(certificate.renew_at_ms(), first + 2 * day);
        assert!(!certificate.expired(first + 3 * day - 1));
        assert!(certificate.expired(first + 3 * day));
    }

    #[test]
    fn bytes_that_are_no_certificate_are_refused() {
        assert!(HostCertificate::from_der(vec![]).is_err());
        assert!(HostCertificate::from_der(vec![vec![0x30; 100]]).is_err());
        let der = leaf().der().to_vec();
        assert!(HostCertificate::from_der(vec![der[..der.len() - 1].to_vec()]).is_err());
        assert!(HostCertificate::from_der(vec![der; 5]).is_err());
    }

    #[test]
    fn an_authority_is_a_few_certificates_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let missing = Authority::read(&path).unwrap_err();
        assert!(matches!(missing, CertificateError::Missing(_)), "{missing}");
        let certificate = leaf();
        std::fs::write(&path, certificate.pem()).unwrap();
        let read = Authority::read(&path).unwrap();
        assert!(read.digests().eq([digest(certificate.der())]));
        std::fs::write(&path, certificate.pem().repeat(2)).unwrap();
        assert_eq!(Authority::read(&path).unwrap().certificates().len(), 2);
        std::fs::write(&path, certificate.pem().repeat(9)).unwrap();
        let many = Authority::read(&path).unwrap_err();
        assert!(
            matches!(many, CertificateError::Count { count: 9, .. }),
            "{many}"
        );
        std::fs::write(
            &path,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        let bad = Authority::read(&path).unwrap_err();
        assert!(matches!(bad, CertificateError::Malformed(_)), "{bad}");
        std::fs::write(&path, "nothing").unwrap();
        let none = Authority::read(&path).unwrap_err();
        assert!(
            matches!(none, CertificateError::Count { count: 0, .. }),
            "{none}"
        );
    }
}
