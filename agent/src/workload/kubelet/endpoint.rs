//! One GET of `/pods`: bounded, no redirects, TLS checked against the site's own CA.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, Uri, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::pods::PodTable;
use crate::workload::bounded;

/// Longest answer: 500 pods with specification and status of about 30 KiB each are 15 MiB.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes of a token: a projected one has about 1,200.
const MAX_TOKEN_BYTES: u64 = 16 * 1024;

/// Most bytes of a CA file: a few certificates of about 2 KiB.
const MAX_CA_BYTES: u64 = 256 * 1024;

/// Why the kubelet cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The URL is of another form.
    #[error(
        "kubelet url {0:?}: give https://HOST:PORT, or http://127.0.0.1:PORT for its read-only port"
    )]
    Url(String),
    /// No CA for TLS.
    #[error("kubelet url is https: name the file of the CA that signed the kubelet's certificate")]
    NoCa,
    /// A secret that would travel in the clear.
    #[error("kubelet url is http: a token would travel in the clear; remove it or use https")]
    TokenInClear,
    /// The CA file cannot be used.
    #[error("kubelet CA {path}: {text}; give the CA as PEM")]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// The name that the certificate must have.
    #[error("kubelet server name {0:?} is neither a DNS name nor an address")]
    ServerName(String),
}

/// Why one read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The token file cannot be read.
    #[error("cannot read kubelet token {path}: {error}")]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// No connection, or no TLS on it.
    #[error("cannot connect to kubelet {address}: {error}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system or TLS said.
        error: io::Error,
    },
    /// HTTP failed.
    #[error("kubelet {address} does not speak HTTP as expected: {error}")]
    Http {
        /// Host and port.
        address: String,
        /// What HTTP said.
        error: hyper::Error,
    },
    /// Another answer than 200; redirects are never followed.
    #[error(
        "kubelet {address} answered {status}; the agent's token must be allowed to get nodes/proxy"
    )]
    Status {
        /// Host and port.
        address: String,
        /// What it answered.
        status: StatusCode,
    },
    /// The answer broke off or is too long.
    #[error("the kubelet's list of pods broke off or is longer than {MAX_BODY_BYTES} bytes")]
    Body,
    /// The answer is no list of pods.
    #[error("the kubelet's list of pods is not understood: {0}")]
    Json(#[from] serde_json::Error),
    /// It took too long.
    #[error("the kubelet did not answer in time")]
    Deadline,
}

/// Where the kubelet listens and how it is known.
#[derive(Clone)]
pub struct Endpoint {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    token: Option<PathBuf>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({})", self.address())
    }
}

impl Endpoint {
    /// Takes `https://HOST:PORT` with the CA's file, or `http://` on a loopback address.
    ///
    /// `token` is read anew for each request, for projected tokens rotate. `server_name` is what
    /// the certificate must name, where that is not the host of the URL.
    pub fn new(
        url: &str,
        ca: Option<&Path>,
        token: Option<PathBuf>,
        server_name: Option<&str>,
    ) -> Result<Self, EndpointError> {
        let wrong = || EndpointError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().ok_or_else(wrong)?;
        let user = uri.authority().is_some_and(|a| a.as_str().contains('@'));
        if user || !matches!(uri.path(), "" | "/" | "/pods") || uri.query().is_some() {
            return Err(wrong());
        }
        let tls = match uri.scheme_str() {
            Some("https") => {
                let config = client_config(ca.ok_or(EndpointError::NoCa)?)?;
                let name = server_name.unwrap_or(&host).to_owned();
                let name = ServerName::try_from(name.clone())
                    .map_err(|_| EndpointError::ServerName(name))?;
                Some((Arc::new(config), name))
            }
            Some("http") => {
                let address: IpAddr = host.parse().map_err(|_| wrong())?;
                if !address.is_loopback() {
                    return Err(wrong());
                }
                if token.is_some() {
                    return Err(EndpointError::TokenInClear);
                }
                None
            }
            _ => return Err(wrong()),
        };
        Ok(Self {
            host,
            port,
            tls,
            token,
        })
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Reads the pods once. The caller sets the deadline.
    pub(super) async fn pods(&self) -> Result<PodTable, FetchError> {
        let failed = |error| FetchError::Connect {
            address: self.address(),
            error,
        };
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(failed)?;
        let body = match &self.tls {
            None => self.get(tcp).await?,
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let tls = connector.connect(name.clone(), tcp).await.map_err(failed)?;
                self.get(tls).await?
            }
        };
        Ok(PodTable::parse(&body)?)
    }

    async fn get(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Bytes, FetchError> {
        let failed = |error| FetchError::Http {
            address: self.address(),
            error,
        };
        let mut request = Request::get("/pods")
            .header(header::HOST, self.address())
            .header(header::ACCEPT, "application/json");
        if let Some(path) = &self.token {
            request = request.header(header::AUTHORIZATION, bearer(path)?);
        }
        let unlikely = |_| FetchError::Body;
        let request = request.body(Empty::<Bytes>::new()).map_err(unlikely)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            let status = response.status();
            if status != StatusCode::OK {
                return Err(FetchError::Status {
                    address: self.address(),
                    status,
                });
            }
            let body = Limited::new(response.into_body(), MAX_BODY_BYTES);
            let whole = body.collect().await.map_err(|_| FetchError::Body)?;
            Ok(whole.to_bytes())
        };
        // Both are driven here: nothing of the connection outlives the request.
        tokio::pin!(exchange, connection);
        tokio::select! {
            biased;
            body = &mut exchange => body,
            ended = &mut connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(failed(error)),
            },
        }
    }
}

fn bearer(path: &Path) -> Result<header::HeaderValue, FetchError> {
    let failed = |error| FetchError::Token {
        path: path.to_owned(),
        error,
    };
    let bytes = bounded::read_path(path, MAX_TOKEN_BYTES).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| failed(io::Error::other(error)))?;
    let mut value = header::HeaderValue::from_str(&format!("Bearer {}", text.trim()))
        .map_err(|error| failed(io::Error::other(error)))?;
    value.set_sensitive(true);
    Ok(value)
}

fn client_config(ca: &Path) -> Result<ClientConfig, EndpointError> {
    let wrong = |text: String| EndpointError::Ca {
        path: ca.to_owned(),
        text,
    };
    let pem = bounded::read_path(ca, MAX_CA_BYTES).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
