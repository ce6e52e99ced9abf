//! One exchange with somebody else's server over HTTP or HTTPS, a witness's or a receiver's of
//! findings: bounded, no redirect followed, and no connection kept.

use std::{convert::Infallible, fmt, future::pending, net::IpAddr, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{HOST, HeaderMap, HeaderValue},
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::tls::Client;

/// Most bytes of an answer: a hundred cosignature lines of 200 bytes, and room.
const MAX_ANSWER: usize = 64 * 1024;

/// Most bytes of a refusal that are read, and for how long: enough to say why.
const MAX_REFUSAL: usize = 4 * 1024;
const REFUSAL: Duration = Duration::from_secs(2);

/// Most bytes of an answer's head.
const MAX_HEAD: usize = 16 * 1024;

/// Where a server can be asked.
#[derive(Clone, Debug)]
pub struct Place {
    url: String,
    host: String,
    port: u16,
    tls: Option<Client>,
}

/// Why a URL is none of a server that can be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAPlace {
    /// Not of the form.
    #[error("`{0}` is not http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]")]
    Url(String),
    /// HTTPS without authorities.
    #[error(
        "`{0}` needs `witness_ca`, a PEM file of the authorities by which witnesses' certificates \
         are checked, such as /etc/ssl/certs/ca-certificates.crt"
    )]
    Authorities(String),
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// No connection, no trust in its certificate, or a connection that broke.
    #[error("could not be reached: {0}")]
    Unreachable(String),
    /// An answer that is longer than any that is looked for.
    #[error("answered with more than 64 KiB")]
    TooMuch,
}

impl Place {
    /// Reads the URL of a server, or what its URLs begin with.
    pub fn parse(url: &str, tls: Option<&Client>) -> Result<Self, NotAPlace> {
        let bad = || NotAPlace::Url(url.chars().take(200).collect());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => {
                let tls = tls.ok_or_else(|| NotAPlace::Authorities(url.to_owned()))?;
                (Some(tls.clone()), 443)
            }
            _ => return Err(bad()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        if uri.query().is_some() || uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(bad());
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(port),
            url: url.to_owned(),
            tls,
        })
    }

    /// Whether it is on this machine by its very address, so that nothing of it is on a network.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// Whether what goes there is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Sends a request below this place, and takes the answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(StatusCode, Bytes), NoAnswer> {
        let url = format!("{}/{path}", self.url);
        self.exchange(method, &url, HeaderMap::new(), body.into(), Wanted::Whole)
            .await
    }

    /// Posts to the place itself, and takes the status: of a success nothing else, of a refusal how it
    /// begins, as far as that comes.
    pub(crate) async fn post(
        &self,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), NoAnswer> {
        let wanted = Wanted::Status;
        self.exchange(Method::POST, &self.url, headers, body.into(), wanted)
            .await
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        mut headers: HeaderMap,
        body: Bytes,
        wanted: Wanted,
    ) -> Result<(StatusCode, Bytes), NoAnswer> {
        let uri: Uri = url.parse().map_err(lost)?;
        let host = uri.authority().map_or(&*self.host, |a| a.as_str());
        headers.insert(HOST, HeaderValue::from_str(host).map_err(lost)?);
        let mut request = Request::builder()
            .method(method)
            .uri(uri.path())
            .body(Full::new(body))
            .map_err(lost)?;
        *request.headers_mut() = headers;
        let socket = TcpStream::connect((&*self.host, self.port)).await;
        let socket = socket.map_err(lost)?;
        match &self.tls {
            None => exchange(TokioIo::new(socket), request, wanted).await,
            Some(tls) => {
                let secured = tls.connect(&self.host, socket).await.map_err(lost)?;
                exchange(TokioIo::new(secured), request, wanted).await
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// What of an answer is waited for.
#[derive(Clone, Copy)]
enum Wanted {
    Whole,
    Status,
}

/// The connection lives no longer than this call: a server that is given up on keeps nothing open.
async fn exchange<S: Read + Write + Unpin>(
    stream: S,
    request: Request<Full<Bytes>>,
    wanted: Wanted,
) -> Result<(StatusCode, Bytes), NoAnswer> {
    let (mut send, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(stream)
        .await
        .map_err(lost)?;
    let answered = async {
        let answer = send.send_request(request).await.map_err(lost)?;
        let status = answer.status();
        let body = match wanted {
            Wanted::Whole => whole(answer.into_body()).await?,
            // It was taken: what else is said changes nothing of that.
            Wanted::Status if status.is_success() => Bytes::new(),
            Wanted::Status => beginning(answer.into_body()).await,
        };
        Ok((status, body))
    };
    let driven = async {
        // How it ends, the one who waits for the answer is told.
        let _ = connection.await;
        pending::<Infallible>().await
    };
    tokio::select! {
        answered = answered => answered,
        never = driven => match never {},
    }
}

async fn whole(body: Incoming) -> Result<Bytes, NoAnswer> {
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            NoAnswer::TooMuch
        } else {
            lost(error)
        }
    })?;
    Ok(body.to_bytes())
}

/// How a body begins, as far as it comes in a short while.
async fn beginning(mut body: Incoming) -> Bytes {
    let mut read = Vec::new();
    let reading = async {
        while read.len() < MAX_REFUSAL
            && let Some(Ok(frame)) = body.frame().await
        {
            let part = frame.into_data().unwrap_or_default();
            let room = MAX_REFUSAL.saturating_sub(read.len());
            read.extend(part.into_iter().take(room));
        }
    };
    // What came until then is enough.
    let _ = tokio::time::timeout(REFUSAL, reading).await;
    read.into()
}

fn lost(error: impl fmt::Display) -> NoAnswer {
    NoAnswer::Unreachable(error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use rcgen::{CertificateParams, Issuer, KeyPair};
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::{
        io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn answers(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
        let mut asked = Vec::new();
        while !asked.ends_with(b"body") {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).await.unwrap_or(0);
            asked.extend_from_slice(&part[..read]);
            if read == 0 {
                return;
            }
        }
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
    }

    async fn ask(place: &Place) -> Result<(StatusCode, Bytes), NoAnswer> {
        let sent = place.send(Method::POST, "add-checkpoint", "body".into());
        tokio::time::timeout(LIMIT, sent).await.unwrap()
    }

    /// A server that gives one answer to whoever asks.
    async fn plain(answer: Vec<u8>) -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/w", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                answers(socket, &answer).await;
            }
        });
        Place::parse(&url, None).unwrap()
    }

    #[tokio::test]
    async fn what_is_more_than_an_answer_can_be_is_not_taken_in() {
        let ok = plain(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes".to_vec()).await;
        assert_eq!(
            ask(&ok).await.unwrap(),
            (StatusCode::OK, Bytes::from("yes"))
        );
        let most = vec![b'x'; MAX_ANSWER + 1];
        let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        let exact = plain([&head[..], &most[..MAX_ANSWER]].concat()).await;
        assert_eq!(ask(&exact).await.unwrap().1.len(), MAX_ANSWER);
        let huge = plain([head, most].concat()).await;
        assert!(matches!(ask(&huge).await, Err(NoAnswer::TooMuch)));
        let header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(MAX_HEAD));
        let header = plain(header.into_bytes()).await;
        assert!(matches!(ask(&header).await, Err(NoAnswer::Unreachable(_))));
        let redirect = plain(b"HTTP/1.1 302 Found\r\nlocation: /y\r\n\r\n".to_vec()).await;
        assert_eq!(ask(&redirect).await.unwrap().0, StatusCode::FOUND);
    }

    #[tokio::test]
    async fn what_was_taken_is_taken_whatever_else_is_said_and_a_refusal_is_read_as_far_as_it_comes()
     {
        let post = async |answer: Vec<u8>| {
            let place = plain(answer).await;
            let posted = place.post(HeaderMap::new(), b"body".to_vec());
            tokio::time::timeout(LIMIT, posted).await.unwrap().unwrap()
        };
        let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        let long = [&head[..], &vec![b'x'; MAX_ANSWER + 1]].concat();
        assert_eq!(post(long).await, (StatusCode::OK, Bytes::new()));
        let broken = b"HTTP/1.1 202 Accepted\r\ncontent-length: 9\r\n\r\nyes".to_vec();
        assert_eq!(post(broken).await.0, StatusCode::ACCEPTED);
        let head = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
        let long = [&head[..], &vec![b'n'; MAX_ANSWER + 1]].concat();
        let (status, why) = post(long).await;
        assert_eq!((status, why.len()), (StatusCode::BAD_REQUEST, MAX_REFUSAL));
        let broken = b"HTTP/1.1 413 Too Large\r\ncontent-length: 9\r\n\r\nno".to_vec();
        let (status, why) = post(broken).await;
        assert_eq!(
            (status, &why[..]),
            (StatusCode::PAYLOAD_TOO_LARGE, &b"no"[..])
        );
    }

    #[tokio::test]
    async fn a_witness_over_https_is_who_its_certificate_says() {
        crate::tls::install_provider();
        let key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root_pem = root.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(root, key);
        let own = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&own, &issuer).unwrap();
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der()));
        let server = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], secret)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(socket).await {
                    answers(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes").await;
                }
            }
        });
        let trusted = Client::trusting(root_pem.as_bytes()).unwrap();
        let place = |host: &str, tls: &Client| {
            Place::parse(&format!("https://{host}:{port}"), Some(tls)).unwrap()
        };
        let answer = ask(&place("localhost", &trusted)).await.unwrap();
        assert_eq!(answer, (StatusCode::OK, Bytes::from("yes")));
        let other_name = ask(&place("127.0.0.1", &trusted)).await;
        assert!(matches!(other_name, Err(NoAnswer::Unreachable(_))));
        let stranger = CertificateParams::new(Vec::new()).unwrap();
        let stranger = stranger.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let distrusts = Client::trusting(stranger.pem().as_bytes()).unwrap();
        let refused = ask(&place("localhost", &distrusts)).await;
        assert!(matches!(refused, Err(NoAnswer::Unreachable(_))));
        assert!(Client::trusting(b"no certificate").is_err());
    }
}
