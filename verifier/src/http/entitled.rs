//! Who may read statements: a token each, of which the configuration holds the digest.

use std::sync::Arc;

use affiant_proto::{Digest, digest};
use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::SecureRandom;

use crate::config::Config;

/// Leads every reader's token, so that one is recognised in a leak.
const PREFIX: &str = "affiant-reader-";

/// Longest token that is looked at: the prefix and 32 bytes in base64.
const MAX_TOKEN_BYTES: usize = PREFIX.len() + 43;

/// Most readers: each request is held against all of them, 100 digests of 32 bytes.
pub const MAX_READERS: usize = 100;

/// One reader as the configuration names him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitled {
    /// For the journal.
    pub name: String,
    /// SHA-256 of his token.
    pub token: Digest,
}

/// Why a reader cannot be named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadReader {
    /// No SHA-256.
    #[error(
        "token_sha256 is not 64 hexadecimal digits; `affiant-verifier token --reader` prints it"
    )]
    Digest,
    /// A name that is empty or too long.
    #[error("name must have 1 to 100 characters")]
    Name,
}

impl Entitled {
    /// Reads what the configuration says of one reader.
    pub fn new(name: &str, token_sha256: &str) -> Result<Self, BadReader> {
        if name.is_empty() || name.chars().count() > 100 {
            return Err(BadReader::Name);
        }
        Ok(Self {
            name: name.to_owned(),
            token: token_sha256.parse().map_err(|_| BadReader::Digest)?,
        })
    }
}

/// Those of the configuration in force.
#[derive(Clone)]
pub struct Readers(Arc<ArcSwap<Config>>);

impl Readers {
    /// Those that `config` names, whenever it changes.
    pub fn of(config: Arc<ArcSwap<Config>>) -> Self {
        Self(config)
    }

    /// Names the reader whose token this is.
    ///
    /// Digests are compared, all of them and each to its end: how long it takes says nothing of a
    /// token.
    pub(super) fn who(&self, token: &str) -> Option<String> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let shown = digest(token.as_bytes());
        let mut found = None;
        for reader in &self.0.load().readers {
            let differs = reader
                .token
                .as_bytes()
                .iter()
                .zip(shown.as_bytes())
                .fold(0, |differs, (a, b)| differs | (a ^ b));
            if differs == 0 {
                found = Some(reader.name.clone());
            }
        }
        found
    }
}

/// Makes a token of 32 random bytes; gives it with its digest.
pub fn make(random: &dyn SecureRandom) -> Option<(String, Digest)> {
    let mut secret = [0; 32];
    random.fill(&mut secret).ok()?;
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    let named = digest(token.as_bytes());
    Some((token, named))
}
