//! Where the verifier is.

use std::{fmt, str::FromStr};

use rustls_pki_types::ServerName;

/// Port of a URL that names none.
const DEFAULT_PORT: u16 = 7443;

/// `https://HOST[:PORT]`: no path, no user, no query, for gRPC has no use for them. The
/// certificate of the server must name HOST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierUrl {
    host: String,
    port: u16,
    name: ServerName<'static>,
}

/// Text that is no such URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not https://HOST or https://HOST:PORT")]
pub struct NotAVerifierUrl(pub String);

impl VerifierUrl {
    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server's certificate must name.
    pub fn server_name(&self) -> &ServerName<'static> {
        &self.name
    }
}

impl FromStr for VerifierUrl {
    type Err = NotAVerifierUrl;

    fn from_str(text: &str) -> Result<Self, NotAVerifierUrl> {
        let parse = || {
            let rest = text.strip_prefix("https://")?;
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            let (host, port) = match rest.strip_prefix('[') {
                Some(rest) => {
                    let (host, after) = rest.split_once(']')?;
                    let port = match after {
                        "" => None,
                        after => Some(after.strip_prefix(':')?),
                    };
                    (host, port)
                }
                None => match rest.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (rest, None),
                },
            };
            let port = match port {
                None => DEFAULT_PORT,
                Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            };
            let name = ServerName::try_from(host.to_owned()).ok()?;
            Some(Self {
                host: host.to_owned(),
                port,
                name,
            })
        };
        parse().ok_or_else(|| NotAVerifierUrl(text.to_owned()))
    }
}

impl fmt::Display for VerifierUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "https://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "https://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_or_without_port_is_taken() {
        for (text, printed) in [
            (
                "https://verifier.example.org",
                "https://verifier.example.org:7443",
            ),
            (
                "https://verifier.example.org/",
                "https://verifier.example.org:7443",
            ),
            ("https://10.0.0.1:1", "https://10.0.0.1:1"),
            ("https://[::1]:8000", "https://[::1]:8000"),
            ("https://[::1]", "https://[::1]:7443"),
        ] {
            let url: VerifierUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), printed);
            assert_eq!(printed.parse(), Ok(url));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "verifier.example.org",
            "http://verifier.example.org",
            "https://",
            "https://user@verifier.example.org",
            "https://verifier.example.org/path",
            "https://verifier.example.org?query",
            "https://verifier.example.org:",
            "https://verifier.example.org:0",
            "https://verifier.example.org:65536",
            "https://[::1]8000",
            "https://a b",
        ] {
            assert!(text.parse::<VerifierUrl>().is_err(), "{text}");
        }
    }
}
