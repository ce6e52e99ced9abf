//! Enrolment tokens: one use, one host or relay, an end.
//!
//! Only digests are kept. Whether a token is used follows from the log, where each enrolment
//! cites the digest of its token; so a restored token file cannot let a token work twice.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use affiant_proto::{Digest, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::pki::Role;

/// Most tokens that are kept: a fleet of 125,000 hosts, eight times over.
const MAX_TOKENS: usize = 1_000_000;

/// Longest life of a token: 30 days.
pub const MAX_LIFE_MS: u64 = 30 * 86_400_000;

/// Leads every token, so that one is recognised in a leak.
const PREFIX: &str = "affiant-token-";

/// Why a token does not admit. What the asker is told is always the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadToken {
    /// Never issued here.
    #[error("token is not one of this verifier's")]
    Unknown,
    /// Past its end.
    #[error("token has expired; ask the operator for a new one")]
    Expired,
    /// Issued for another host, or for a relay.
    #[error("token was issued for another host or relay")]
    OtherHost,
    /// An enrolment has spent it.
    #[error("token was used already; ask the operator for a new one")]
    Used,
}

/// The token file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A line that is no token.
    #[error("{path}: line {line} is not a token entry; restore the file or remove the line")]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// The system gave no randomness.
    #[error("the system gave no randomness for a token")]
    Random,
    /// More than [`MAX_TOKENS`].
    #[error("{0} tokens are kept already; remove old lines from the token file")]
    TooMany(usize),
}

/// What is known of one token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Issued {
    digest: String,
    host: String,
    site: String,
    expires_unix_ms: u64,
    /// Whether a relay of that name may enrol by it, and no host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    relay: bool,
}

/// All tokens issued.
pub struct Tokens {
    path: PathBuf,
    issued: BTreeMap<Digest, Issued>,
}

impl Tokens {
    /// Reads the token file; a missing one is empty.
    pub fn open(path: &Path) -> Result<Self, TokenFileError> {
        let io = |source| TokenFileError::Io {
            path: path.to_owned(),
            source,
        };
        let mut issued = BTreeMap::new();
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
            Ok(file) => {
                for (line, text) in (1..).zip(io::BufReader::new(file).lines()) {
                    let wrong = TokenFileError::Line {
                        path: path.to_owned(),
                        line,
                    };
                    let Ok(entry) = serde_json::from_str::<Issued>(&text.map_err(io)?) else {
                        return Err(wrong);
                    };
                    let Ok(named) = entry.digest.parse() else {
                        return Err(wrong);
                    };
                    issued.insert(named, entry);
                }
            }
        }
        Ok(Self {
            path: path.to_owned(),
            issued,
        })
    }

    /// Issues one token per host and makes them durable before it gives them out.
    pub fn issue(
        &mut self,
        hosts: &[String],
        site: &str,
        expires_unix_ms: u64,
    ) -> Result<Vec<String>, TokenFileError> {
        self.issue_for(Role::Host, hosts, site, expires_unix_ms)
    }

    /// The same for hosts, or for relays of a site.
    pub fn issue_for(
        &mut self,
        role: Role,
        hosts: &[String],
        site: &str,
        expires_unix_ms: u64,
    ) -> Result<Vec<String>, TokenFileError> {
        if self.issued.len() + hosts.len() > MAX_TOKENS {
            return Err(TokenFileError::TooMany(self.issued.len()));
        }
        let random = SystemRandom::new();
        let (mut tokens, mut lines, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for host in hosts {
            let mut secret = [0; 32];
            random
                .fill(&mut secret)
                .map_err(|_| TokenFileError::Random)?;
            let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
            let named = digest(token.as_bytes());
            let entry = Issued {
                digest: named.to_string(),
                host: host.clone(),
                site: site.to_owned(),
                expires_unix_ms,
                relay: role == Role::Relay,
            };
            serde_json::to_writer(&mut lines, &entry).map_err(|e| TokenFileError::Io {
                path: self.path.clone(),
                source: e.into(),
            })?;
            lines.push(b'\n');
            entries.push((named, entry));
            tokens.push(token);
        }
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)
            .and_then(|mut file| file.write_all(&lines).and_then(|()| file.sync_all()))
            .map_err(|source| TokenFileError::Io {
                path: self.path.clone(),
                source,
            })?;
        self.issued.extend(entries);
        Ok(tokens)
    }

    /// Tells whether `token` lets `host` enrol at `now_ms`; gives its digest and site.
    pub fn admits(&self, token: &str, host: &str, now_ms: u64) -> Result<(Digest, &str), BadToken> {
        self.admits_as(Role::Host, token, host, now_ms)
    }

    /// Tells whether `token` lets the host or relay `name` enrol at `now_ms`; gives its digest and
    /// site.
    ///
    /// Looked up by digest, so the time that it takes says nothing of a token's bytes. Whether it
    /// was used is for the log to say.
    pub fn admits_as(
        &self,
        role: Role,
        token: &str,
        name: &str,
        now_ms: u64,
    ) -> Result<(Digest, &str), BadToken> {
        let named = digest(token.as_bytes());
        let entry = self.issued.get(&named).ok_or(BadToken::Unknown)?;
        if entry.host != name || entry.relay != (role == Role::Relay) {
            return Err(BadToken::OtherHost);
        }
        if now_ms >= entry.expires_unix_ms {
            return Err(BadToken::Expired);
        }
        Ok((named, &entry.site))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_admits_its_host_until_its_end_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let mut tokens = Tokens::open(&path).unwrap();
        let issued = tokens
            .issue(&["a".into(), "b".into()], "site", 100)
            .unwrap();
        drop(tokens);
        let tokens = Tokens::open(&path).unwrap();
        assert_eq!(tokens.admits(&issued[0], "a", 99).unwrap().1, "site");
        assert_eq!(tokens.admits(&issued[0], "b", 99), Err(BadToken::OtherHost));
        assert_eq!(tokens.admits(&issued[0], "a", 100), Err(BadToken::Expired));
        assert_eq!(
            tokens.admits("affiant-token-guess", "a", 0),
            Err(BadToken::Unknown)
        );
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(
            !kept.contains(&issued[0]),
            "the file must not hold the token itself"
        );
    }

    #[test]
    fn a_hosts_token_makes_no_relay_and_a_relays_no_host() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let mut tokens = Tokens::open(&path).unwrap();
        let name = ["a".to_owned()];
        let host = tokens.issue(&name, "hall", 100).unwrap().remove(0);
        let relay = tokens.issue_for(Role::Relay, &name, "hall", 100).unwrap();
        let relay = &relay[0];
        let tokens = Tokens::open(&path).unwrap();
        assert_eq!(
            tokens.admits_as(Role::Relay, relay, "a", 1).unwrap().1,
            "hall"
        );
        assert!(tokens.admits(&host, "a", 1).is_ok());
        assert_eq!(tokens.admits(relay, "a", 1), Err(BadToken::OtherHost));
        let as_relay = tokens.admits_as(Role::Relay, &host, "a", 1);
        assert_eq!(as_relay, Err(BadToken::OtherHost));
    }

    #[test]
    fn a_spoilt_token_file_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        Tokens::open(&path)
            .unwrap()
            .issue(&["a".into()], "", 1)
            .unwrap();
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{}\n")
            .unwrap();
        assert!(matches!(
            Tokens::open(&path),
            Err(TokenFileError::Line { line: 2, .. })
        ));
    }
}
