//! Renewal: the enrolled record key asks for a certificate, whether the last one still holds or
//! not, and learns whether an operator has approved the host.

use affiant_proto::{
    Digest, Ed25519Signer, Statement, digest,
    statement::{Place, SealError},
    v1,
};

use crate::{
    certificate::CertificateError,
    credential::{CredentialError, TlsKey},
    identity::Identity,
    rpc::{self, Admitted, RpcError, intake::admission_client::AdmissionClient},
};

/// Why there is no fresh certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewalError {
    /// The verifier.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// What it gave.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The TLS key, or the request for its certificate.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The signed request.
    #[error("could not sign the request: {0}")]
    Seal(#[from] SealError),
}

/// Asks once with the record key `signer` for a certificate for `key`, on `channel`, which needs no
/// client certificate.
///
/// The signed request names `head` (sequence and digest) as the statement before it, but is no
/// part of the chain: it is never logged, and the next record takes the same place. The verifier
/// checks its signature and its chain alone.
pub async fn renew(
    channel: rpc::Channel,
    identity: &Identity,
    key: &TlsKey,
    signer: &Ed25519Signer,
    head: (u64, Digest),
    time: v1::Time,
) -> Result<Admitted, RenewalError> {
    let csr = key.request()?;
    let body = v1::Request {
        header: None,
        csr: digest(&csr).as_bytes().to_vec(),
    };
    let place = Place::Link {
        chain: identity.opened().chain(),
        sequence: head.0.saturating_add(1),
        previous: head.1,
    };
    let signed = Statement::seal(body.into(), place, time, None, signer)?;
    let mut client = AdmissionClient::new(channel);
    let asked = client.renew(v1::RenewRequest {
        request: signed.as_bytes().to_vec(),
        csr,
    });
    Ok(rpc::answer(asked).await?.try_into()?)
}
