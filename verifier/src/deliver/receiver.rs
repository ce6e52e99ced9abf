//! One receiver as the configuration names it.

use std::path::{Path, PathBuf};

use affiant_judge::Severity;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use ring::hmac;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    keyfile::{self, KeyFileError},
    outgoing::Place,
};

/// Least bytes of a secret that signs bodies: what nobody guesses.
const LEAST_SECRET: usize = 16;

/// What a receiver understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A JSON event for each change.
    Webhook,
    /// Alertmanager's API, version 2.
    Alertmanager,
}

/// One receiver.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// What it is called here; what it was told is kept under this name.
    pub name: String,
    /// What it understands.
    pub kind: Kind,
    /// Where it is. Not trusted: nothing that it answers is believed but that it took something.
    pub place: Place,
    /// File of the bearer token. Read for each request: a new one counts at once.
    pub token_file: Option<PathBuf>,
    /// File of the secret that signs bodies, read for each request.
    pub secret_file: Option<PathBuf>,
    /// Findings that are less grave are none of its.
    pub least: Severity,
}

impl Receiver {
    /// Whether it is asked for what another configuration asks for.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.name, self.kind, self.place.to_string(), self.least)
            == (
                &other.name,
                other.kind,
                other.place.to_string(),
                other.least,
            )
            && (&self.token_file, &self.secret_file) == (&other.token_file, &other.secret_file)
    }

    /// Reads the bearer token into a header, where one is asked for.
    pub fn authorize(&self, headers: &mut HeaderMap) -> Result<(), KeyFileError> {
        let Some(path) = &self.token_file else {
            return Ok(());
        };
        headers.insert(AUTHORIZATION, bearer(path)?);
        Ok(())
    }

    /// Signs a body with its time, where a secret is named: HMAC-SHA-256 over the time in seconds
    /// since 1970, in decimal digits, a full stop, and the body.
    pub fn sign(&self, now_ms: u64, body: &[u8]) -> Result<Option<(u64, String)>, KeyFileError> {
        let Some(path) = &self.secret_file else {
            return Ok(None);
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret(path)?);
        let seconds = now_ms / 1_000;
        let mut context = hmac::Context::with_key(&key);
        context.update(format!("{seconds}.").as_bytes());
        context.update(body);
        let tag = context.sign();
        let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Some((seconds, hex)))
    }
}

/// Reads the file of a bearer token.
pub fn bearer(path: &Path) -> Result<HeaderValue, KeyFileError> {
    let text = line(path)?;
    let fault = "is not one line of a token in printable ASCII";
    let wrong = || KeyFileError::Content {
        path: path.to_owned(),
        fault: fault.into(),
    };
    if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
        return Err(wrong());
    }
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", &**text].concat());
    if let Ok(value) = &mut value {
        value.set_sensitive(true);
    }
    value.map_err(|_| wrong())
}

/// Reads the file of a secret.
pub fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let bytes = line(path)?;
    if bytes.len() < LEAST_SECRET {
        return Err(KeyFileError::Content {
            path: path.to_owned(),
            fault: format!("is shorter than {LEAST_SECRET} bytes; make one of 32 random ones"),
        });
    }
    Ok(bytes)
}

/// A private file without the white space at its end, which editors leave.
fn line(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let bytes = keyfile::read_private(path)?;
    Ok(Zeroizing::new(bytes.trim_ascii_end().to_vec()))
}
