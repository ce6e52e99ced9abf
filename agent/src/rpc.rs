//! gRPC over TLS to the verifier, and what it may answer.

use std::{io, sync::Arc, time::Duration};

use affiant_proto::v1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::ring, version::TLS13};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
pub use tonic::transport::Channel;
use tonic::{Code, Status, transport::Endpoint};

use crate::{
    certificate::{Authority, HostCertificate},
    config::VerifierUrl,
    credential::Credential,
    outside::{Dial, Outside, Socket},
};

/// Stubs made from `intake.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub(crate) mod intake {
    include!("gen/affiant.v1.rs");
}

/// Time for name, TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(10);

/// Time for the answer to one question.
const ANSWER: Duration = Duration::from_secs(30);

/// Silence after which the other end is asked for a sign of life, and the time it has to give
/// one: a verifier that is gone without a word is noticed within 50 s.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// Most characters of a verifier's text that are repeated in a message.
const MAX_TEXT: usize = 300;

/// Why the verifier did not answer as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// The key and certificate do not make a connection.
    #[error("tls cannot be set up: {0}; enrol anew if the files of the data directory are damaged")]
    Tls(#[from] rustls::Error),
    /// No connection.
    #[error("cannot connect to verifier {verifier}: {text}")]
    Connect {
        /// Where.
        verifier: VerifierUrl,
        /// What went wrong, innermost last.
        text: String,
    },
    /// It did not answer in time.
    #[error("the verifier did not answer within {} s", ANSWER.as_secs())]
    Deadline,
    /// It answered, and the answer is no for good.
    #[error("the verifier refuses: {0}")]
    Refused(String),
    /// It answered that there is nothing of what was asked for.
    #[error("the verifier has none: {0}")]
    Lacks(String),
    /// It answered that it cannot now.
    #[error("the verifier fails: {0}")]
    Failed(String),
}

impl From<Status> for RpcError {
    fn from(status: Status) -> Self {
        let text = plain(status.message());
        match status.code() {
            Code::PermissionDenied | Code::InvalidArgument | Code::Unauthenticated => {
                Self::Refused(text)
            }
            Code::NotFound | Code::OutOfRange | Code::Unimplemented => Self::Lacks(text),
            code => Self::Failed(format!("{code:?}: {text}")),
        }
    }
}

/// Makes foreign text fit for a journal: bounded, and without what could forge another line.
pub fn plain(text: &str) -> String {
    let kept = text.chars().take(MAX_TEXT);
    kept.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Waits for the answer to one question.
pub async fn answer<T>(
    asked: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, RpcError> {
    match timeout(ANSWER, asked).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(RpcError::Deadline),
    }
}

/// How to reach the verifier: only the configured authority is believed, only TLS 1.3 is spoken.
#[derive(Clone)]
pub struct Route {
    verifier: VerifierUrl,
    tls: Arc<ClientConfig>,
    dial: Dial,
}

impl Route {
    /// A route without a client certificate, for admission.
    pub fn anonymous(
        verifier: &VerifierUrl,
        authority: &Authority,
        outside: &Outside,
    ) -> Result<Self, RpcError> {
        Self::with(verifier, authority, None, outside)
    }

    /// A route as the enrolled host.
    pub fn identified(
        verifier: &VerifierUrl,
        authority: &Authority,
        credential: &Credential,
        outside: &Outside,
    ) -> Result<Self, RpcError> {
        Self::with(verifier, authority, Some(credential), outside)
    }

    fn with(
        verifier: &VerifierUrl,
        authority: &Authority,
        host: Option<&Credential>,
        outside: &Outside,
    ) -> Result<Self, RpcError> {
        let mut roots = RootCertStore::empty();
        for certificate in authority.certificates() {
            roots.add(certificate.clone())?;
        }
        let provider = Arc::new(ring::default_provider());
        let clock = Arc::new(outside.clock.clone());
        let builder = ClientConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots);
        let mut tls = match host {
            None => builder.with_no_client_auth(),
            Some(held) => builder.with_client_auth_cert(
                held.certificate().chain().to_vec(),
                held.key().private_key(),
            )?,
        };
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            verifier: verifier.clone(),
            tls: Arc::new(tls),
            dial: outside.dial.clone(),
        })
    }

    /// Opens one connection. It does not outlive what is done with it, and is never reopened
    /// behind the caller's back.
    pub async fn connect(&self) -> Result<Channel, RpcError> {
        let failed = |text: String| RpcError::Connect {
            verifier: self.verifier.clone(),
            text: format!("{}{}", plain(&text), remedy(&text)),
        };
        // Plain HTTP to tonic, for the connector below brings the TLS.
        let authority = self.verifier.to_string().replacen("https://", "http://", 1);
        let endpoint = Endpoint::from_shared(authority)
            .map_err(|error| failed(chain_of(&error)))?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEPALIVE.0)
            .keep_alive_timeout(KEEPALIVE.1)
            .keep_alive_while_idle(true);
        let route = self.clone();
        let mut open = true;
        let connector = tower::service_fn(move |_| {
            let first = std::mem::take(&mut open);
            let route = route.clone();
            async move {
                if first {
                    route.dial().await.map(TokioIo::new)
                } else {
                    Err(io::Error::other("the connection was lost"))
                }
            }
        });
        let connected = timeout(CONNECT, endpoint.connect_with_connector(connector)).await;
        match connected {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(failed(chain_of(&error))),
            Err(_) => Err(failed(format!(
                "no connection within {} s",
                CONNECT.as_secs()
            ))),
        }
    }

    async fn dial(&self) -> io::Result<tokio_rustls::client::TlsStream<Box<dyn Socket>>> {
        let socket = self.dial.open(&self.verifier).await?;
        let name = self.verifier.server_name().clone();
        TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, socket)
            .await
    }
}

/// What helps where certificates and clocks do not go together.
fn remedy(text: &str) -> &'static str {
    if text.contains("certificate not valid yet") || text.contains("certificate expired") {
        ". look at this host's clock (`timedatectl`); if it is right, have the verifier's operator \
         look at the verifier's certificate and clock"
    } else if text.contains("UnknownIssuer") {
        ". if the verifier's authority changed while this host was away, put its new ca.pem where \
         `ca` in the configuration points; the running agent reads it again"
    } else {
        ""
    }
}

/// An error with those beneath it: tonic's own text says only "transport error".
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

/// What admission answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// A certificate.
    Certificate(HostCertificate),
    /// An operator must still approve the host.
    Pending,
}

impl TryFrom<v1::EnrolReply> for Admitted {
    type Error = crate::certificate::CertificateError;

    fn try_from(reply: v1::EnrolReply) -> Result<Self, Self::Error> {
        if reply.pending {
            return Ok(Self::Pending);
        }
        HostCertificate::from_der(reply.certificates).map(Self::Certificate)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_bounded_and_forges_no_line() {
        assert_eq!(plain("no\nadmin: yes"), "no admin: yes");
        assert_eq!(plain(&"x".repeat(10_000)).len(), MAX_TEXT);
    }

    #[test]
    fn a_refusal_for_good_is_told_from_a_failure() {
        assert!(matches!(
            Status::permission_denied("x").into(),
            RpcError::Refused(_)
        ));
        assert!(matches!(
            Status::unavailable("x").into(),
            RpcError::Failed(_)
        ));
        assert!(matches!(
            Status::failed_precondition("x").into(),
            RpcError::Failed(_)
        ));
    }
}
