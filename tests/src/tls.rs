//! How those who speak the protocol by themselves connect.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, KeyPair};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

/// Connects to a verifier.
pub(crate) async fn connect(
    address: &str,
    ca: &Path,
    identity: Option<Identity>,
) -> Result<Channel, Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(std::fs::read(ca).unwrap()))
        .domain_name("localhost");
    if let Some(identity) = identity {
        tls = tls.identity(identity);
    }
    Endpoint::from_shared(format!("https://{address}"))?
        .tls_config(tls)?
        .connect_timeout(Duration::from_secs(5))
        .connect()
        .await
}

/// Certificates and their key, where there are any.
pub(crate) fn identity(certificates: &[Vec<u8>], key: &KeyPair) -> Option<Identity> {
    let pem = |der: &Vec<u8>| {
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(der)
        )
    };
    let chain: String = certificates.iter().map(pem).collect();
    (!chain.is_empty()).then(|| Identity::from_pem(chain, key.serialize_pem()))
}

/// A request for a certificate.
pub(crate) fn request(key: &KeyPair) -> Vec<u8> {
    let params = CertificateParams::new(Vec::new()).unwrap();
    params.serialize_request(key).unwrap().der().to_vec()
}
