//! Connections: gRPC over TLS, one per host. The one place that names tonic's transport.

use std::time::Duration;

use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Error, Identity};

use crate::roster::Certificate;

/// How long a connection may take, TLS handshake included: as long as a verifier allows.
const CONNECT: Duration = Duration::from_secs(5);

/// How a verifier is reached.
#[derive(Clone, Debug)]
pub struct Verifier {
    url: String,
    ca: tonic::transport::Certificate,
}

/// A verifier that could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {text}; is the verifier running there, and is --ca its ca.pem?")]
pub struct Unreachable {
    url: String,
    text: String,
}

/// Makes ring the process's provider; the first line of `main` and of tests.
pub fn install_provider() {
    // A second call finds the same provider in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Verifier {
    /// Names the verifier at `url` (`https://HOST:PORT`) under the authority `ca_pem`.
    pub fn new(url: &str, ca_pem: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            ca: tonic::transport::Certificate::from_pem(ca_pem),
        }
    }

    /// Connects, as the one of this certificate where one is given.
    pub(crate) async fn connect(
        &self,
        certificate: Option<&Certificate>,
    ) -> Result<Channel, Unreachable> {
        let mut tls = ClientTlsConfig::new().ca_certificate(self.ca.clone());
        if let Some(own) = certificate {
            tls = tls.identity(Identity::from_pem(&own.certificates, &own.key));
        }
        let endpoint = Endpoint::from_shared(self.url.clone())
            .and_then(|endpoint| endpoint.connect_timeout(CONNECT).tls_config(tls))
            .map_err(|error| self.unreachable(&error))?;
        endpoint
            .tcp_nodelay(true)
            .connect()
            .await
            .map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &Error) -> Unreachable {
        // tonic's own text is "transport error"; what happened is in its sources.
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            text = format!("{text}: {inner}");
            source = inner.source();
        }
        Unreachable {
            url: self.url.clone(),
            text,
        }
    }
}
