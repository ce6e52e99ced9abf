//! The name of the host.

use std::{fmt, path::Path, str::FromStr};

use crate::durable::{self, Secrecy};

/// Where the kernel tells the host's name.
const KERNEL: &str = "/proc/sys/kernel/hostname";

/// 1 to 253 letters, digits, hyphens and dots, as RFC 1123 has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

/// Text that is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host name: 1 to 253 letters, digits, hyphens and dots are due")]
pub struct NotAHostName(pub String);

impl HostName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Asks the kernel; `None` when it has no name that can be used.
    pub fn of_this_host() -> Option<Self> {
        let name = durable::read(Path::new(KERNEL), 1_024, Secrecy::Public).ok()??;
        std::str::from_utf8(&name).ok()?.trim().parse().ok()
    }
}

impl FromStr for HostName {
    type Err = NotAHostName;

    fn from_str(text: &str) -> Result<Self, NotAHostName> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let fits = (1..=253).contains(&text.len()) && text.bytes().all(plain);
        if !fits || text.starts_with(['.', '-']) {
            return Err(NotAHostName(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_are_taken_and_others_refused() {
        for name in ["gpu-01", "gpu-01.example.org", "7"] {
            assert_eq!(name.parse::<HostName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "gpu 01",
            "gpu_01",
            ".gpu",
            "-gpu",
            "gpu/01",
            &"a".repeat(254),
        ] {
            assert!(name.parse::<HostName>().is_err(), "{name}");
        }
    }
}
