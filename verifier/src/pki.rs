//! The certificate authority: who may open a connection as which host.
//!
//! A certificate lets a host talk, never speak for itself: records are believed for their own
//! signature by the record key.

use std::time::Duration;

use affiant_proto::{Digest, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    SanType,
};
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
use zeroize::Zeroizing;

/// How far back a certificate reaches, for hosts whose clock is behind.
const BACKDATE: Duration = Duration::from_secs(3_600);

/// The authority's own certificate lasts ten years: rotating it is a `key` matter.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The server's certificate is made anew at each start and each day; a month leaves room.
pub const SERVER_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// Longest DER of a certificate request that is read: a P-256 request is some 250 bytes.
const MAX_CSR_BYTES: usize = 4_096;

/// The URI in a host's certificate: `affiant:host:<chain>`.
const HOST_URI: &str = "affiant:host:";

/// Why no certificate was made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// rcgen could not.
    #[error("certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The request is not PKCS #10, or does not prove possession of its key.
    #[error("certificate request is not a PKCS #10 request signed by its own key")]
    Request,
    /// A certificate without the host's identity.
    #[error("certificate does not name a host of this deployment")]
    Identity,
    /// A time outside of what certificates can say.
    #[error("the clock shows a time that no certificate can carry")]
    Time,
}

/// The authority with its key.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate with its key.
pub struct Identity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Ca {
    /// Makes an authority; gives its key and certificate as PEM.
    pub fn create(operator: &str, now_ms: u64) -> Result<(Zeroizing<String>, String), PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = named(&format!("Affiant CA of {operator}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(now_ms, CA_LIFETIME)?;
        let certificate = params.self_signed(&key)?;
        Ok((Zeroizing::new(key.serialize_pem()), certificate.pem()))
    }

    /// Reads the authority back.
    pub fn load(key_pem: &str, certificate_pem: &str) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key_pem)?;
        let certificate = certificate_der(certificate_pem)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self {
            issuer,
            certificate,
        })
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Makes a certificate for this server under `names` (host names and addresses).
    pub fn issue_server(&self, names: &[String], now_ms: u64) -> Result<Identity, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = named("affiant-verifier");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = validity(now_ms, SERVER_LIFETIME)?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Identity {
            chain: vec![leaf.der().clone(), self.certificate.clone()],
            key: key.into(),
        })
    }

    /// Makes a certificate for the host of `chain`; of the request only the key is taken.
    pub fn issue_host(
        &self,
        request: &HostRequest,
        chain: Digest,
        lifetime: Duration,
        now_ms: u64,
    ) -> Result<Vec<CertificateDer<'static>>, PkiError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = named("affiant-agent");
        let uri = format!("{HOST_URI}{chain}").as_str().try_into()?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = validity(now_ms, lifetime)?;
        let leaf = params.signed_by(&request.0.public_key, &self.issuer)?;
        Ok(vec![leaf.der().clone(), self.certificate.clone()])
    }
}

/// A certificate request whose own signature holds.
pub struct HostRequest(CertificateSigningRequestParams);

impl HostRequest {
    /// Reads a PKCS #10 request and verifies that it is signed by its own key.
    pub fn parse(der: &[u8]) -> Result<Self, PkiError> {
        use x509_parser::certification_request::X509CertificationRequest;
        if der.len() > MAX_CSR_BYTES {
            return Err(PkiError::Request);
        }
        let (rest, parsed) =
            X509CertificationRequest::from_der(der).map_err(|_| PkiError::Request)?;
        if !rest.is_empty() || parsed.verify_signature().is_err() {
            return Err(PkiError::Request);
        }
        CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
            .map(Self)
            .map_err(|_| PkiError::Request)
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn key_digest(&self) -> Digest {
        digest(&self.0.public_key.subject_public_key_info())
    }
}

/// What a client certificate says, once TLS has verified it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The chain of the host.
    pub chain: Digest,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Digest,
}

impl Peer {
    /// Reads the identity out of a host's certificate.
    pub fn read(certificate: &[u8]) -> Result<Self, PkiError> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| PkiError::Identity)?;
        let names = parsed
            .subject_alternative_name()
            .ok()
            .flatten()
            .ok_or(PkiError::Identity)?;
        let mut chains = names
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => uri.strip_prefix(HOST_URI)?.parse().ok(),
                _ => None,
            });
        match (chains.next(), chains.next()) {
            (Some(chain), None) => Ok(Self {
                chain,
                key: digest(parsed.public_key().raw),
            }),
            _ => Err(PkiError::Identity),
        }
    }
}

/// Reads the one certificate of a PEM text.
pub fn certificate_der(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| PkiError::Identity)
}

fn named(name: &str) -> DistinguishedName {
    let mut out = DistinguishedName::new();
    out.push(DnType::CommonName, name);
    out
}

fn validity(now_ms: u64, lifetime: Duration) -> Result<(OffsetDateTime, OffsetDateTime), PkiError> {
    let seconds = i64::try_from(now_ms / 1_000).map_err(|_| PkiError::Time)?;
    let now = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| PkiError::Time)?;
    Ok((now - BACKDATE, now + lifetime))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn request() -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        CertificateParams::new(Vec::new())
            .unwrap()
            .serialize_request(&key)
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn a_hosts_certificate_names_its_chain_and_key() {
        let (key, certificate) = Ca::create("Test", NOW).unwrap();
        let ca = Ca::load(&key, &certificate).unwrap();
        let der = request();
        let asked = HostRequest::parse(&der).unwrap();
        let chain = digest(b"enrolment");
        let made = ca
            .issue_host(&asked, chain, Duration::from_secs(60), NOW)
            .unwrap();
        assert_eq!(
            Peer::read(&made[0]).unwrap(),
            Peer {
                chain,
                key: asked.key_digest()
            }
        );
        assert!(
            Peer::read(ca.certificate()).is_err(),
            "the authority is no host"
        );
    }

    #[test]
    fn a_request_that_its_key_did_not_sign_is_refused() {
        let mut der = request();
        let last = der.len() - 1;
        der[last] ^= 1;
        assert!(HostRequest::parse(&der).is_err());
        assert!(HostRequest::parse(&[0; 5_000]).is_err());
    }
}
