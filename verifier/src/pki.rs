//! The certificate authority: who may open a connection as which host.
//!
//! A certificate lets a host talk, never speak for itself: records are believed for their own
//! signature by the record key.

use std::{sync::Arc, time::Duration};

use affiant_proto::{Digest, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
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

/// The authority's own certificate lasts ten years; `key rotate ca` makes the next.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The server's certificate is made anew at each start and each day; a month leaves room.
pub const SERVER_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// Longest DER of a certificate request that is read: a P-256 request is some 250 bytes.
const MAX_CSR_BYTES: usize = 4_096;

/// The URI in a host's certificate: `affiant:host:<chain>`.
const HOST_URI: &str = "affiant:host:";

/// The same in a relay's.
const RELAY_URI: &str = "affiant:relay:";

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
    /// A file of certificates without one.
    #[error("holds no certificate in PEM")]
    Pem,
    /// More than [`MAX_AUTHORITIES`].
    #[error("holds more than {MAX_AUTHORITIES} authorities; take the oldest away")]
    Authorities,
    /// Key and certificate of two authorities.
    #[error("key and certificate of the authority are not of one pair; restore the right one")]
    Key,
    /// A time outside of what certificates can say.
    #[error("the clock shows a time that no certificate can carry")]
    Time,
}

/// Authorities that `ca.pem` may hold: the one in force and those before it that still count. At one
/// change a year seven before are seven years, and certificates of hosts last days.
const MAX_AUTHORITIES: usize = 8;

/// The authority in force with its key, and those before it whose certificates still count.
#[derive(Clone)]
pub struct Ca {
    issuer: Arc<Issuer<'static, KeyPair>>,
    certificate: CertificateDer<'static>,
    /// The same authority, certified by the one before.
    cross: Option<CertificateDer<'static>>,
    /// Newest first, without the one in force.
    earlier: Vec<CertificateDer<'static>>,
    /// Name and digest of each certificate that counts.
    names: Vec<(Vec<u8>, Digest)>,
}

/// The files of a new authority.
pub struct CaFiles {
    /// Its key.
    pub key: Zeroizing<String>,
    /// Its certificate, and those of the authorities before it.
    pub certificates: String,
    /// Its certificate by the authority before it; none for the first.
    pub cross: Option<String>,
    /// SHA-256 of its certificate in DER.
    pub digest: Digest,
}

/// A certificate with its key.
pub struct Identity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Ca {
    /// Makes the first authority of a deployment.
    pub fn create(operator: &str, now_ms: u64) -> Result<CaFiles, PkiError> {
        let key = KeyPair::generate()?;
        let made = ca_params(operator, &key, now_ms)?.self_signed(&key)?;
        Ok(CaFiles {
            key: Zeroizing::new(key.serialize_pem()),
            certificates: made.pem(),
            cross: None,
            digest: digest(made.der()),
        })
    }

    /// Makes the next authority. This one certifies it too, so that who trusts this one alone
    /// still reaches the server.
    pub fn succeed(&self, operator: &str, now_ms: u64) -> Result<CaFiles, PkiError> {
        let key = KeyPair::generate()?;
        let params = ca_params(operator, &key, now_ms)?;
        let cross = params.signed_by(&key, &self.issuer)?;
        let made = params.self_signed(&key)?;
        let before = self.accepted().take(MAX_AUTHORITIES - 1);
        let certificates = std::iter::once(made.pem()).chain(before.map(|der| pem(der)));
        Ok(CaFiles {
            key: Zeroizing::new(key.serialize_pem()),
            certificates: certificates.collect(),
            cross: Some(cross.pem()),
            digest: digest(made.der()),
        })
    }

    /// Reads the authority back: its key, the certificates with its own first, and the one by the
    /// authority before it.
    pub fn load(key: &str, certificates: &str, cross: Option<&str>) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key)?;
        let mut all = certificates_der(certificates)?;
        if all.len() > MAX_AUTHORITIES {
            return Err(PkiError::Authorities);
        }
        let certificate = all.remove(0);
        let cross = cross.map(certificates_der).transpose()?;
        let cross = cross.map(|mut certificates| certificates.remove(0));
        for own in cross.iter().chain([&certificate]) {
            if spki(own)? != key.subject_public_key_info() {
                return Err(PkiError::Key);
            }
        }
        let mut names = Vec::with_capacity(all.len() + 1);
        for der in std::iter::once(&certificate).chain(&all) {
            let (_, read) = X509Certificate::from_der(der).map_err(|_| PkiError::Pem)?;
            names.push((read.subject().as_raw().to_vec(), digest(der)));
        }
        let issuer = Arc::new(Issuer::from_ca_cert_der(&certificate, key)?);
        Ok(Self {
            issuer,
            certificate,
            cross,
            earlier: all,
            names,
        })
    }

    /// The same, without the earlier authorities that were revoked.
    pub fn without(mut self, revoked: impl Fn(&Digest) -> bool) -> Self {
        self.earlier.retain(|der| !revoked(&digest(der)));
        let own = digest(&self.certificate);
        self.names
            .retain(|(_, named)| *named == own || !revoked(named));
        if self.earlier.is_empty() {
            self.cross = None;
        }
        self
    }

    /// The certificate of the authority in force.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Every certificate that counts, newest first.
    pub fn accepted(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        std::iter::once(&self.certificate).chain(&self.earlier)
    }

    /// SHA-256 of the certificate of the authority of this name, if it counts. TLS has verified the
    /// signature by it.
    pub fn named(&self, issuer: &[u8]) -> Option<Digest> {
        let found = self.names.iter().find(|(name, _)| name == issuer);
        found.map(|(_, digest)| *digest)
    }

    /// When the certificate in force ends, milliseconds since 1970.
    pub fn ends_unix_ms(&self) -> Option<u64> {
        ends_unix_ms(&self.certificate)
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
        let above = self.cross.as_ref().unwrap_or(&self.certificate);
        Ok(Identity {
            chain: vec![leaf.der().clone(), above.clone()],
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
        self.issue(request, (Role::Host, chain), lifetime, now_ms)
    }

    /// Makes one for the relay of `chain`.
    pub fn issue_relay(
        &self,
        request: &HostRequest,
        chain: Digest,
        lifetime: Duration,
        now_ms: u64,
    ) -> Result<Vec<CertificateDer<'static>>, PkiError> {
        self.issue(request, (Role::Relay, chain), lifetime, now_ms)
    }

    fn issue(
        &self,
        request: &HostRequest,
        (role, chain): (Role, Digest),
        lifetime: Duration,
        now_ms: u64,
    ) -> Result<Vec<CertificateDer<'static>>, PkiError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = named("affiant-agent");
        let uri = format!("{}{chain}", role.uri()).as_str().try_into()?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = validity(now_ms, lifetime)?;
        let leaf = params.signed_by(&request.0.public_key, &self.issuer)?;
        Ok(vec![leaf.der().clone(), self.certificate.clone()])
    }
}

fn ca_params(operator: &str, key: &KeyPair, now_ms: u64) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(Vec::new())?;
    // Each authority has a name of its own, so that a certificate says which one issued it.
    let own = digest(&key.subject_public_key_info()).to_string();
    let own = own.get(..8).unwrap_or_default();
    params.distinguished_name = named(&format!("Affiant CA of {operator} {own}"));
    // One below: the authority after this one, until all trust that itself.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = validity(now_ms, CA_LIFETIME)?;
    Ok(params)
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

/// What a certificate lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Send its own records.
    Host,
    /// Carry those of the hosts of its site.
    Relay,
}

impl Role {
    fn uri(self) -> &'static str {
        match self {
            Self::Host => HOST_URI,
            Self::Relay => RELAY_URI,
        }
    }
}

/// What a client certificate says, once TLS has verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it lets its holder do.
    pub role: Role,
    /// The chain of the host or relay.
    pub chain: Digest,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Digest,
    /// The name of the authority that issued it, in DER.
    pub issuer: Vec<u8>,
    /// When it ends, milliseconds since 1970.
    pub ends_unix_ms: Option<u64>,
}

impl Peer {
    /// Reads the identity out of a host's or relay's certificate.
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
                GeneralName::URI(uri) => [Role::Host, Role::Relay].into_iter().find_map(|role| {
                    let chain = uri.strip_prefix(role.uri())?.parse().ok()?;
                    Some((role, chain))
                }),
                _ => None,
            });
        match (chains.next(), chains.next()) {
            (Some((role, chain)), None) => Ok(Self {
                role,
                chain,
                key: digest(parsed.public_key().raw),
                issuer: parsed.issuer().as_raw().to_vec(),
                ends_unix_ms: end(&parsed),
            }),
            _ => Err(PkiError::Identity),
        }
    }
}

/// When a certificate ends, milliseconds since 1970; none for one that cannot be read.
pub fn ends_unix_ms(der: &[u8]) -> Option<u64> {
    let (_, read) = X509Certificate::from_der(der).ok()?;
    end(&read)
}

fn end(certificate: &X509Certificate<'_>) -> Option<u64> {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    seconds.checked_mul(1_000)
}

/// Reads the certificates of a PEM text, at least one.
pub fn certificates_der(pem: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    use rustls_pki_types::pem::PemObject as _;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(PkiError::Pem),
    }
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    // Base64 is ASCII, so any cut is between characters.
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .filter_map(|at| text.get(at..text.len().min(at + 64)))
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

fn spki(der: &[u8]) -> Result<Vec<u8>, PkiError> {
    let (_, read) = X509Certificate::from_der(der).map_err(|_| PkiError::Pem)?;
    Ok(read.public_key().raw.to_vec())
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

    fn loaded(files: &CaFiles) -> Ca {
        Ca::load(&files.key, &files.certificates, files.cross.as_deref()).unwrap()
    }

    #[test]
    fn a_hosts_certificate_names_its_chain_key_and_authority() {
        let ca = loaded(&Ca::create("Test", NOW).unwrap());
        let der = request();
        let asked = HostRequest::parse(&der).unwrap();
        let chain = digest(b"enrolment");
        let made = ca
            .issue_host(&asked, chain, Duration::from_secs(60), NOW)
            .unwrap();
        let peer = Peer::read(&made[0]).unwrap();
        assert_eq!((peer.role, peer.chain), (Role::Host, chain));
        assert_eq!(peer.key, asked.key_digest());
        let made = ca.issue_relay(&asked, chain, Duration::from_secs(60), NOW);
        let relay = Peer::read(&made.unwrap()[0]).unwrap();
        assert_eq!((relay.role, relay.chain), (Role::Relay, chain));
        assert_eq!(ca.named(&peer.issuer), Some(digest(ca.certificate())));
        assert!(
            Peer::read(ca.certificate()).is_err(),
            "the authority is no host"
        );
    }

    #[test]
    fn who_trusts_one_authority_trusts_the_server_of_the_next_until_it_is_revoked() {
        use rustls::client::{WebPkiServerVerifier, danger::ServerCertVerifier as _};
        let old = loaded(&Ca::create("Test", NOW).unwrap());
        let new = loaded(&old.succeed("Test", NOW).unwrap());
        assert_eq!(new.accepted().count(), 2);
        let trusts = |root: &Ca, ca: &Ca| {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut roots = rustls::RootCertStore::empty();
            roots.add(root.certificate().clone()).unwrap();
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let server = ca.issue_server(&["localhost".into()], NOW).unwrap();
            let name = "localhost".try_into().unwrap();
            let now = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_millis(NOW));
            verifier
                .unwrap()
                .verify_server_cert(&server.chain[0], &server.chain[1..], &name, &[], now)
                .is_ok()
        };
        assert!(trusts(&old, &new) && trusts(&new, &new) && !trusts(&new, &old));
        let revoked = digest(old.certificate());
        let alone = new.without(|named| *named == revoked);
        assert_eq!(alone.accepted().count(), 1);
        assert!(trusts(&alone, &alone) && !trusts(&old, &alone));
    }

    #[test]
    fn a_key_of_another_authority_is_refused() {
        let (one, other) = (Ca::create("A", NOW).unwrap(), Ca::create("B", NOW).unwrap());
        let mixed = Ca::load(&one.key, &other.certificates, None);
        assert!(matches!(mixed, Err(PkiError::Key)));
        assert!(matches!(Ca::load(&one.key, "", None), Err(PkiError::Pem)));
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
