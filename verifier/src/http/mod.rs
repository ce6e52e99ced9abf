//! What is read over HTTP: the public tree for everybody, statements for readers with a token.
//!
//! The public tree is C2SP tlog-tiles. Nothing here changes anything, nobody is asked who he is on
//! the public address, and whoever reads holds what he got against a checkpoint that he trusts.
//!
//! ```text
//! GET /checkpoint              the newest, short-lived
//! GET /tile/L/N[.p/W]          hashes; never change
//! GET /tile/entries/N[.p/W]    entries: digests of statements; never change
//! GET /statement/INDEX         a statement with its leaves      with a reader's token, on the
//! GET /segments/index          names of the log's segments      second address only
//! GET /segments/NAME           one of them
//! GET /exhibits/SHA256         a file that a statement names
//! /v1/…                        the API, see api/mod.rs
//! ```

mod entitled;
mod places;
mod resource;
mod sent;
mod server;

pub use entitled::{BadReader, Entitled, MAX_READERS, Readers, Right, make};
pub use server::{Limits, serve};

use hyper::{
    Method, Response, StatusCode,
    body::Bytes,
    header::{
        ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE,
    },
};
use resource::Resource;

use crate::ledger::{Exhibits, ReadError, Reader};

/// A tile or segment that was once published never changes (RFC 8246).
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// For what is not everybody's: it never changes, but its lines may be erased, and are then to be gone
/// from caches too.
const FOR_AN_HOUR_PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=3600");
/// The log publishes a checkpoint a second.
const FOR_A_SECOND: HeaderValue = HeaderValue::from_static("public, max-age=1");
/// What was refused today may be there tomorrow.
const NEVER: HeaderValue = HeaderValue::from_static("no-store");

/// How a caller shows his token.
const SCHEME: HeaderValue = HeaderValue::from_static("Bearer");

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Reads bytes as the path of a request: for fuzz targets.
#[doc(hidden)]
pub fn read_any(bytes: &[u8]) {
    if let Ok(path) = std::str::from_utf8(bytes) {
        let _ = Resource::parse(path);
    }
}

/// What one address answers.
#[derive(Clone)]
pub struct Site {
    log: Reader,
    /// `None` on the public address.
    private: Option<Private>,
}

/// What is read with a token only.
#[derive(Clone)]
struct Private {
    exhibits: Exhibits,
    readers: Readers,
}

impl Site {
    /// Answers with the public tree only.
    pub fn public(log: Reader) -> Self {
        Self { log, private: None }
    }

    /// Answers with statements too, to `readers`.
    pub fn with_statements(log: Reader, exhibits: Exhibits, readers: Readers) -> Self {
        Self {
            log,
            private: Some(Private { exhibits, readers }),
        }
    }

    /// Tells whether this caller gets an answer that takes long to read and to send.
    fn is_long(&self, path: &str, headers: &HeaderMap) -> bool {
        Resource::parse(path).is_some_and(|it| it.is_long()) && self.refusal(headers).is_none()
    }

    /// Answers one request; reads the disk.
    pub fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Bytes> {
        if method != Method::GET && method != Method::HEAD {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "send a GET\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            refused.headers_mut().insert(ALLOW, allowed);
            return refused;
        }
        let Some(resource) = Resource::parse(path) else {
            return text(
                StatusCode::NOT_FOUND,
                "here are /checkpoint, /tile/LEVEL/INDEX and /tile/entries/INDEX (C2SP tlog-tiles)\n",
            );
        };
        if resource.is_private()
            && let Some(refused) = self.refusal(headers)
        {
            return refused;
        }
        match self.read(resource) {
            Ok(Some((bytes, kind, cache))) => {
                let mut response = Response::new(bytes);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response.headers_mut().insert(CACHE_CONTROL, cache);
                response
            }
            Ok(None) => text(StatusCode::NOT_FOUND, "the log has no such part yet\n"),
            Err(error) => {
                tracing::warn!(path, %error, "a part of the log cannot be read");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "this part of the log cannot be read; its operator sees why in the journal\n",
                )
            }
        }
    }

    /// Why this caller reads no statements; none where he may.
    fn refusal(&self, headers: &HeaderMap) -> Option<Response<Bytes>> {
        let Some(Private { readers, .. }) = &self.private else {
            return Some(text(
                StatusCode::NOT_FOUND,
                "statements are served on the verifier's api address, to readers with a token\n",
            ));
        };
        let token = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        match token.and_then(|token| readers.who(token)) {
            Some(reader) if reader.may(Right::Read) => {
                tracing::debug!(reader = reader.name, "reads statements");
                None
            }
            Some(_) => Some(text(
                StatusCode::FORBIDDEN,
                "this token may not read; verifier.toml says what each may\n",
            )),
            None => {
                let mut refused = text(
                    StatusCode::UNAUTHORIZED,
                    "a reader's token is due: Authorization: Bearer TOKEN\n",
                );
                refused.headers_mut().insert(WWW_AUTHENTICATE, SCHEME);
                Some(refused)
            }
        }
    }

    #[allow(clippy::type_complexity, reason = "body, type and life of one answer")]
    fn read(
        &self,
        resource: Resource,
    ) -> Result<Option<(Bytes, HeaderValue, HeaderValue)>, ReadError> {
        Ok(match resource {
            Resource::Checkpoint => {
                let note = self.log.checkpoint().to_vec();
                Some((note.into(), TEXT, FOR_A_SECOND))
            }
            Resource::Tile(path) => {
                let tile = self.log.tile(&path)?;
                tile.map(|bytes| (bytes.into(), BYTES, FOR_EVER))
            }
            Resource::Statement(index) => {
                let envelope = self.log.entry(index)?;
                envelope.map(|bytes| (bytes.into(), BYTES, FOR_AN_HOUR_PRIVATE))
            }
            Resource::Exhibit(named) => {
                let exhibits = self.private.as_ref().map(|private| &private.exhibits);
                let read = exhibits.map(|exhibits| {
                    exhibits.get(&named).map_err(|source| ReadError::Io {
                        path: exhibits.path(&named),
                        source,
                    })
                });
                let bytes = read.transpose()?.flatten();
                bytes.map(|bytes| (bytes.into(), BYTES, FOR_AN_HOUR_PRIVATE))
            }
            Resource::Segments => {
                let names: String = self
                    .log
                    .segments()
                    .iter()
                    .map(|name| format!("{name}\n"))
                    .collect();
                Some((names.into(), TEXT, NEVER))
            }
            Resource::Segment(name) => {
                let segment = self.log.segment(&name)?;
                segment.map(|bytes| (bytes.into(), BYTES, FOR_AN_HOUR_PRIVATE))
            }
        })
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response.headers_mut().insert(CACHE_CONTROL, NEVER);
    response
}
