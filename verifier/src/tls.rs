//! TLS: the one place that names rustls. TLS 1.3 only, ring only.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore,
    ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, ring},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    pki::{Ca, Identity},
};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Handshakes at one time. Each costs some 0.3 ms of CPU and 20 KiB: 256 bound a reconnecting
/// fleet to what two cores do, and 5 MiB.
pub const HANDSHAKES: usize = 256;

/// Connections given to a thread that it has not taken yet; more wait in the kernel.
const GIVEN: usize = 16;

/// Connections that are through their handshake and wait to be served.
const READY: usize = 256;

/// The TLS side could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("tls: {0}")]
pub struct TlsError(String);

/// Makes ring the process's provider; the first line of `main`.
pub fn install_provider() {
    // A second call finds the same provider in place.
    let _ = ring::default_provider().install_default();
}

/// Goes to servers whose certificates the authorities of a file vouch for.
#[derive(Clone)]
pub struct Client(TlsConnector);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Trusts the authorities of a PEM file; those among them that are no certificates of one are
    /// left out, as in every system's file there are some.
    pub fn trusting(pem: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| TlsError(error.to_string()))?;
            // Counted below: none at all is an error.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() {
            return Err(TlsError("no certificate of an authority in PEM".into()));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| TlsError(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Makes a connection one to this host, or refuses who is at its other end.
    pub async fn connect(
        &self,
        host: &str,
        socket: TcpStream,
    ) -> std::io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        self.0.connect(name, socket).await
    }
}

/// What a server shows whose certificate is the operator's own, and whom it lets connect.
#[derive(Clone)]
pub struct Server(TlsAcceptor);

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    /// Shows a certificate with those above it, in PEM, by its key. With authorities of clients, only who
    /// has a certificate of one may connect.
    pub fn showing(
        certificates: &[u8],
        key: &[u8],
        clients: Option<&[u8]>,
    ) -> Result<Self, TlsError> {
        let read = |pem: &[u8]| -> Result<Vec<CertificateDer<'static>>, TlsError> {
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            read.map_err(|error| TlsError(error.to_string()))
        };
        let chain = read(certificates)?;
        if chain.is_empty() {
            return Err(TlsError("no certificate in PEM".into()));
        }
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|error| TlsError(format!("key: {error}")))?;
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| TlsError(error.to_string()))?;
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in read(pem)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| TlsError(format!("client_ca: {error}")))?;
                }
                let roots = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = roots.build();
                let none = |error| TlsError(format!("client_ca: {error}"));
                config.with_client_cert_verifier(verifier.map_err(none)?)
            }
        };
        let mut config = config
            .with_single_cert(chain, key)
            .map_err(|error| TlsError(error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // As for agents: every connection shows its certificate anew.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Finishes a handshake in time; none where it did not.
    pub async fn accept(&self, socket: TcpStream) -> Option<TlsStream<TcpStream>> {
        match tokio::time::timeout(HANDSHAKE, self.0.accept(socket)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
            Err(_) => tracing::debug!("handshake took longer than 5 s"),
        }
        None
    }
}

/// Tells whether the key of a certificate was revoked; the certificate comes in DER.
pub type Revoked = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// A server that shows `identity` and takes client certificates of the authorities that count, or
/// none: which calls need one is for the services to say. A revoked key is refused with TLS's own
/// alert for that.
pub fn server_config(
    ca: &Ca,
    identity: Identity,
    revoked: Revoked,
    clock: &Clock,
) -> Result<ServerConfig, TlsError> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in ca.accepted() {
        roots
            .add(certificate.clone())
            .map_err(|e| TlsError(e.to_string()))?;
    }
    let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| TlsError(e.to_string()))?;
    let clients = Arc::new(Clients { inner, revoked });
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| TlsError(e.to_string()))?
        .with_client_cert_verifier(clients)
        .with_single_cert(identity.chain, identity.key)
        .map_err(|e| TlsError(e.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Every connection shows its certificate anew, and nothing is kept of those that are gone: a
    // session that is resumed would not be held against revocations.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Verifies clients by the web's rules, and then by the log's revocations.
struct Clients {
    inner: Arc<dyn ClientCertVerifier>,
    revoked: Revoked,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(leaf, above, now)?;
        if (self.revoked)(leaf) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Where connections come from: TCP, but in a simulation.
pub trait Listen: Send + 'static {
    /// A connection's bytes, before TLS.
    type Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next one, and tells who it is.
    fn accept(
        &mut self,
    ) -> impl Future<Output = std::io::Result<(Self::Socket, std::net::SocketAddr)>> + Send;
}

impl Listen for TcpListener {
    type Socket = TcpStream;

    async fn accept(&mut self) -> std::io::Result<(TcpStream, std::net::SocketAddr)> {
        let (socket, peer) = TcpListener::accept(self).await?;
        // A record must not wait for a full packet.
        let _ = socket.set_nodelay(true);
        Ok((socket, peer))
    }
}

/// Connections that the listener's thread gave to this one. A socket belongs to the thread that
/// registered it, so it comes here before.
pub struct Given(mpsc::Receiver<(std::net::TcpStream, std::net::SocketAddr)>);

impl Listen for Given {
    type Socket = TcpStream;

    async fn accept(&mut self) -> std::io::Result<(TcpStream, std::net::SocketAddr)> {
        match self.0.recv().await {
            Some((socket, peer)) => Ok((TcpStream::from_std(socket)?, peer)),
            // The listener is gone: nothing more comes.
            None => std::future::pending().await,
        }
    }
}

/// Gives connections to threads in turn, before their handshake; one that has no room holds the
/// others up, and then the kernel's queue does.
pub async fn spread(
    listener: TcpListener,
    threads: Vec<mpsc::Sender<(std::net::TcpStream, std::net::SocketAddr)>>,
) {
    for thread in threads.iter().cycle() {
        let Ok(place) = thread.reserve().await else {
            return;
        };
        loop {
            let accepted = TcpListener::accept(&listener)
                .await
                .and_then(|(socket, peer)| {
                    // A record must not wait for a full packet.
                    socket.set_nodelay(true)?;
                    Ok((socket.into_std()?, peer))
                });
            match accepted {
                Ok(accepted) => break place.send(accepted),
                Err(error) => refused(&error).await,
            }
        }
    }
}

/// What one thread is given by [`spread`].
pub fn given() -> (
    mpsc::Sender<(std::net::TcpStream, std::net::SocketAddr)>,
    Given,
) {
    let (give, given) = mpsc::channel(GIVEN);
    (give, Given(given))
}

/// A connection could not be accepted.
async fn refused(error: &std::io::Error) {
    // Out of file descriptors, most likely: give others time to close.
    tracing::warn!(%error, "could not accept a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Accepts connections and hands on those that finish their handshake in time, at most `at_once` of
/// them at one time.
pub fn accept<L: Listen>(
    mut listener: L,
    config: Arc<ArcSwap<ServerConfig>>,
    at_once: usize,
    stop: CancellationToken,
) -> mpsc::Receiver<std::io::Result<TlsStream<L::Socket>>> {
    let (ready, served) = mpsc::channel(READY);
    let room = Arc::new(Semaphore::new(at_once));
    tokio::spawn(async move {
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            let (socket, peer) = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        refused(&error).await;
                        continue;
                    }
                },
            };
            let acceptor = TlsAcceptor::from(config.load_full());
            let ready = ready.clone();
            tokio::spawn(async move {
                let _permit = permit;
                match tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await {
                    // The server is stopping when nobody takes it.
                    Ok(Ok(stream)) => drop(ready.send(Ok(stream)).await),
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "handshake failed"),
                    Err(_) => tracing::debug!(%peer, "handshake took longer than 5 s"),
                }
            });
        }
    });
    served
}
