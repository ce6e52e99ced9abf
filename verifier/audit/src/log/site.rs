//! A log behind HTTP: an export on a web server, or a verifier's address for readers.
//!
//! Plain HTTP/1.1: what comes is held against what the reader trusts, so TLS would protect no verdict,
//! only a token and who reads what. No redirect is followed.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::{Request, StatusCode, Uri, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Runtime};

use super::{
    places::{INDEX, MAX_INDEX},
    store::{Store, Unread},
};

/// How long one answer may take: a segment has 64 MiB at the most, so this asks for 9 Mbit/s.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most bytes of an answer's head.
const MAX_HEAD: usize = 16 * 1024;

/// Most connections that are kept for the next request.
const MAX_IDLE: usize = 16;

/// Where the segments lie.
const SEGMENTS: &str = "segments/";

/// A log at `http://HOST[:PORT][/PREFIX]`.
pub struct Site {
    host: String,
    port: u16,
    authority: String,
    prefix: String,
    bearer: Option<header::HeaderValue>,
    idle: Mutex<Vec<Connection>>,
}

/// A connection, with the runtime that drives it.
struct Connection {
    runtime: Runtime,
    send: http1::SendRequest<Empty<Bytes>>,
}

/// Why a URL is none of a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotASite {
    /// Not of the form.
    #[error("`{0}` is not http://HOST[:PORT][/PREFIX]")]
    Url(String),
    /// This tool speaks no TLS.
    #[error(
        "`{0}`: this tool speaks no TLS; copy the log with a web client that does and audit the \
         copy, or put a TLS client such as stunnel before it"
    )]
    Tls(String),
    /// A token that no header can carry.
    #[error("the token is not one line of visible characters")]
    Token,
}

impl Site {
    /// Tells whether an argument is meant as a URL.
    pub fn is_meant(text: &str) -> bool {
        text.contains("://")
    }

    /// Reads a URL; `token` is shown to the server with every request.
    pub fn parse(url: &str, token: Option<&str>) -> Result<Self, NotASite> {
        let bad = || NotASite::Url(url.chars().take(200).collect());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(NotASite::Tls(url.chars().take(200).collect())),
            _ => return Err(bad()),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        let authority = uri.authority().ok_or_else(bad)?.as_str();
        if uri.query().is_some() || authority.contains('@') {
            return Err(bad());
        }
        let bearer = token.map(|token| {
            let mut value = header::HeaderValue::from_str(&format!("Bearer {}", token.trim()))?;
            value.set_sensitive(true);
            Ok::<_, header::InvalidHeaderValue>(value)
        });
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            authority: authority.to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            bearer: bearer.transpose().map_err(|_| NotASite::Token)?,
            idle: Mutex::default(),
        })
    }

    fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Unread> {
        let url = || format!("http://{}{}/{path}", self.authority, self.prefix);
        let unread = |source| Unread::NoAnswer { url: url(), source };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.pop();
        drop(idle);
        // The server may have closed one that was kept: then once more, on a new one.
        let answer = match kept.map(|kept| self.ask(kept, path, limit)) {
            Some(Ok(answer)) => answer,
            Some(Err(Lost::TooLong)) => return Err(too_long(path, limit)),
            Some(Err(Lost::Io(_))) | None => {
                let fresh = self.connect().map_err(unread)?;
                match self.ask(fresh, path, limit) {
                    Ok(answer) => answer,
                    Err(Lost::TooLong) => return Err(too_long(path, limit)),
                    Err(Lost::Io(source)) => return Err(unread(source)),
                }
            }
        };
        match answer {
            (StatusCode::OK, body) => Ok(Some(body)),
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Ok(None),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Err(Unread::NoToken(url())),
            (status, _) => Err(Unread::Refused {
                url: url(),
                status: status.to_string(),
            }),
        }
    }

    fn connect(&self) -> io::Result<Connection> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let send = runtime.block_on(async {
            let connected = async {
                let socket = TcpStream::connect((&*self.host, self.port)).await?;
                let mut http = http1::Builder::new();
                let made = http.max_buf_size(MAX_HEAD).handshake(TokioIo::new(socket));
                made.await.map_err(io::Error::other)
            };
            let (send, connection) = tokio::time::timeout(PATIENCE, connected).await??;
            // How it ends, the one who waits for the answer is told.
            tokio::spawn(connection);
            Ok::<_, io::Error>(send)
        })?;
        Ok(Connection { runtime, send })
    }

    fn ask(
        &self,
        mut on: Connection,
        path: &str,
        limit: u64,
    ) -> Result<(StatusCode, Vec<u8>), Lost> {
        let mut request = Request::get(format!("{}/{path}", self.prefix))
            .header(header::HOST, &self.authority)
            .body(Empty::new())
            .map_err(lost)?;
        if let Some(bearer) = &self.bearer {
            let headers = request.headers_mut();
            headers.insert(header::AUTHORIZATION, bearer.clone());
        }
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let Connection { runtime, send } = &mut on;
        let exchange = async {
            send.ready().await.map_err(lost)?;
            let answer = send.send_request(request).await.map_err(lost)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), most).collect().await;
            let body = body.map_err(|error| match error.is::<LengthLimitError>() {
                true => Lost::TooLong,
                false => Lost::Io(io::Error::other(error)),
            })?;
            Ok((status, body.to_bytes().to_vec()))
        };
        // Within the runtime, whose clock it is.
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange).await });
        let answer = answer.map_err(|_| Lost::Io(io::ErrorKind::TimedOut.into()))??;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(on);
        }
        Ok(answer)
    }
}

/// Why an answer did not come.
enum Lost {
    TooLong,
    Io(io::Error),
}

fn lost(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Lost {
    Lost::Io(io::Error::other(error))
}

fn too_long(path: &str, limit: u64) -> Unread {
    let path = path.to_owned();
    Unread::TooLong { path, limit }
}

impl Store for Site {
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Unread> {
        self.get(path, limit)
    }

    /// A web server lists no folder: segments are named by a file, and which tiles there are is what
    /// the checkpoint says.
    fn names(&self, folder: &str) -> Result<Option<Vec<String>>, Unread> {
        if folder != SEGMENTS {
            return Ok(None);
        }
        let Some(list) = self.get(&format!("{SEGMENTS}{INDEX}"), MAX_INDEX as u64)? else {
            return Ok(None);
        };
        let mut names: Vec<String> = String::from_utf8_lossy(&list)
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        Ok(Some(names))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_of_plain_http_and_names_no_user_and_no_query() {
        let read = |url: &str| Site::parse(url, None).map(|site| (site.port, site.prefix));
        assert_eq!(read("http://log.example"), Ok((80, String::new())));
        assert_eq!(
            read("http://[::1]:7481/a/b/"),
            Ok((7481, "/a/b".to_owned()))
        );
        assert!(matches!(read("https://log.example"), Err(NotASite::Tls(_))));
        for bad in [
            "ftp://log.example",
            "http://",
            "http://me@log.example",
            "http://a/?b",
            "://",
        ] {
            assert!(matches!(read(bad), Err(NotASite::Url(_))), "{bad}");
        }
        let token = |token| Site::parse("http://log.example", Some(token)).err();
        assert_eq!(token("abc\n"), None);
        assert_eq!(token("a\nb"), Some(NotASite::Token));
    }
}
