//! Who may read, submit or ask: a token each, of which the configuration holds the digest.

use std::{collections::BTreeSet, sync::Arc};

use affiant_proto::{Digest, digest};
use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::SecureRandom;
use serde::Deserialize;

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
    /// What it is good for.
    pub may: BTreeSet<Right>,
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// To read statements and lists.
    Read,
    /// To hand in what officers signed.
    Submit,
    /// To ask whether a tenant may.
    Ask,
    /// To hand in what tenants signed against what is said of them.
    Object,
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
    /// Good for nothing.
    #[error("may is empty; it has one or more of read, submit, ask, object")]
    Nothing,
    /// A name that is empty or too long.
    #[error("name must have 1 to 100 characters")]
    Name,
}

impl Entitled {
    /// Reads what the configuration says of one reader.
    pub fn new(name: &str, token_sha256: &str, may: &[Right]) -> Result<Self, BadReader> {
        if name.is_empty() || name.chars().count() > 100 {
            return Err(BadReader::Name);
        }
        if may.is_empty() {
            return Err(BadReader::Nothing);
        }
        Ok(Self {
            name: name.to_owned(),
            token: token_sha256.parse().map_err(|_| BadReader::Digest)?,
            may: may.iter().copied().collect(),
        })
    }

    /// Whether his token is good for this.
    pub fn may(&self, right: Right) -> bool {
        self.may.contains(&right)
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
    pub(crate) fn who(&self, token: &str) -> Option<Entitled> {
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
                found = Some(reader.clone());
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
