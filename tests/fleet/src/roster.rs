//! Who the simulated hosts are, kept on disk between enrolment and load.
//!
//! Keys derive from one secret, so 125,000 hosts are one small file and not as many: these keys sign
//! for nobody but a bench.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use affiant_proto::{Digest, Ed25519Signer, digest};
use serde::{Deserialize, Serialize};

/// A fleet on disk.
#[derive(Debug)]
pub struct Roster {
    directory: PathBuf,
    fleet: Fleet,
    /// Boots counted so far, by host: every run of the generator is one.
    boots: Vec<u32>,
    chains: Vec<Digest>,
    certificates: Vec<Certificate>,
    relays: Vec<Relay>,
}

/// A relay.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// Its chain.
    pub chain: [u8; 32],
    /// Its certificate.
    pub certificate: Certificate,
}

/// What is the same for all hosts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// From which the hosts' keys derive.
    pub secret: [u8; 32],
    /// Devices of each.
    pub gpus: u32,
}

/// A certificate with its key, both PEM.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Leaf first.
    pub certificates: String,
    /// The leaf's key.
    pub key: String,
}

/// A fleet that could not be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RosterError {
    /// The file system said no.
    #[error("{path}: {source}; make a fleet with `affiant-fleet enrol`")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Files that do not belong together.
    #[error("{0}: is not a fleet that was enrolled; remove the directory and enrol one anew")]
    Content(PathBuf),
    /// More hosts or connections than there are.
    #[error("{asked} {what} were asked for and {kept} are kept")]
    TooFew {
        /// "hosts", "connections" or "relays".
        what: &'static str,
        /// How many were asked for.
        asked: usize,
        /// How many there are.
        kept: usize,
    },
}

impl Fleet {
    /// The name of a host.
    pub fn host(&self, number: usize) -> String {
        format!("gpu-{number:06}")
    }

    /// The name of a relay.
    pub fn relay(&self, number: usize) -> String {
        format!("relay-{number:02}")
    }

    /// The key of a relay.
    pub fn relay_signer(&self, number: usize) -> Ed25519Signer {
        self.derive(b"relay", number)
    }

    /// The record key of a host.
    pub fn signer(&self, number: usize) -> Ed25519Signer {
        self.derive(b"host", number)
    }

    fn derive(&self, whose: &[u8], number: usize) -> Ed25519Signer {
        let seed = digest(&[self.secret.as_slice(), whose, &number.to_be_bytes()].concat());
        // Any 32 bytes are the seed of a key.
        Ed25519Signer::from_seed(seed.as_bytes()).unwrap_or_else(|_| unreachable!())
    }
}

impl Roster {
    /// Keeps a fleet that was enrolled.
    pub fn create(
        directory: &Path,
        fleet: Fleet,
        chains: Vec<Digest>,
        certificates: Vec<Certificate>,
        relays: Vec<Relay>,
    ) -> Result<Self, RosterError> {
        let boots = vec![0; chains.len()];
        let io = |source| RosterError::Io {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(io)?;
        let roster = Self {
            directory: directory.to_owned(),
            fleet,
            boots,
            chains,
            certificates,
            relays,
        };
        let text = |value: serde_json::Result<Vec<u8>>| value.map_err(|error| io(error.into()));
        roster.write(
            "certificates.json",
            &text(serde_json::to_vec(&roster.certificates))?,
        )?;
        roster.write("relays.json", &text(serde_json::to_vec(&roster.relays))?)?;
        let chains: Vec<u8> = roster
            .chains
            .iter()
            .flat_map(|chain| *chain.as_bytes())
            .collect();
        roster.write("chains", &chains)?;
        roster.write_boots()?;
        roster.write("fleet.json", &text(serde_json::to_vec(&roster.fleet))?)?;
        Ok(roster)
    }

    /// Reads it back.
    pub fn open(directory: &Path) -> Result<Self, RosterError> {
        let read = |name: &str| {
            let path = directory.join(name);
            fs::read(&path).map_err(|source| RosterError::Io { path, source })
        };
        let content = || RosterError::Content(directory.to_owned());
        let fleet = serde_json::from_slice(&read("fleet.json")?).map_err(|_| content())?;
        let certificates = serde_json::from_slice(&read("certificates.json")?);
        let relays = serde_json::from_slice(&read("relays.json")?);
        let (chains, boots) = (read("chains")?, read("boots")?);
        let (chains, boots) = (chains.as_chunks::<32>(), boots.as_chunks::<4>());
        if chains.0.len() != boots.0.len() || !chains.1.is_empty() || !boots.1.is_empty() {
            return Err(content());
        }
        Ok(Self {
            directory: directory.to_owned(),
            fleet,
            boots: boots
                .0
                .iter()
                .map(|bytes| u32::from_be_bytes(*bytes))
                .collect(),
            chains: chains.0.iter().map(|bytes| Digest::new(*bytes)).collect(),
            certificates: certificates.map_err(|_| content())?,
            relays: relays.map_err(|_| content())?,
        })
    }

    /// What is the same for all hosts.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The chains of the first `hosts` hosts.
    pub fn chains(&self, hosts: usize) -> Result<&[Digest], RosterError> {
        self.chains.get(..hosts).ok_or(RosterError::TooFew {
            what: "hosts",
            asked: hosts,
            kept: self.chains.len(),
        })
    }

    /// The certificates of the first `count` connections.
    pub fn certificates(&self, count: usize) -> Result<&[Certificate], RosterError> {
        self.certificates.get(..count).ok_or(RosterError::TooFew {
            what: "connections",
            asked: count,
            kept: self.certificates.len(),
        })
    }

    /// The first `count` relays.
    pub fn relays(&self, count: usize) -> Result<&[Relay], RosterError> {
        self.relays.get(..count).ok_or(RosterError::TooFew {
            what: "relays",
            asked: count,
            kept: self.relays.len(),
        })
    }

    /// Counts one more boot of the first `hosts` hosts, and keeps that before anything is sent: a
    /// boot that was used must never be used again.
    pub fn boot(&mut self, hosts: usize) -> Result<&[u32], RosterError> {
        for boots in self.boots.iter_mut().take(hosts) {
            *boots = boots.saturating_add(1);
        }
        self.write_boots()?;
        Ok(&self.boots)
    }

    fn write_boots(&self) -> Result<(), RosterError> {
        let boots: Vec<u8> = self
            .boots
            .iter()
            .flat_map(|boots| boots.to_be_bytes())
            .collect();
        self.write("boots", &boots)
    }

    /// Writes a file of mode 0600 in one step.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RosterError> {
        let path = self.directory.join(name);
        let part = path.with_extension("part");
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(true).mode(0o600);
        let written = open.open(&part).and_then(|mut file| file.write_all(bytes));
        let written = written.and_then(|()| fs::rename(&part, &path));
        written.map_err(|source| RosterError::Io { path, source })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::Signer as _;

    use super::*;

    #[test]
    fn a_fleet_reads_back_and_never_boots_twice_under_one_number() {
        let dir = tempfile::tempdir().unwrap();
        let fleet = Fleet {
            secret: [7; 32],
            gpus: 8,
        };
        let chains: Vec<_> = (0..3_u8).map(|n| digest(&[n])).collect();
        Roster::create(dir.path(), fleet, chains.clone(), Vec::new(), Vec::new()).unwrap();
        for run in 1..3 {
            let mut roster = Roster::open(dir.path()).unwrap();
            assert_eq!(roster.chains(3).unwrap(), chains);
            assert_eq!(roster.boot(2).unwrap(), [run, run, 0]);
        }
        let roster = Roster::open(dir.path()).unwrap();
        let keys: Vec<_> = (0..2)
            .map(|n| roster.fleet().signer(n).public_key().clone())
            .collect();
        assert_ne!(keys[0], keys[1]);
        assert!(roster.chains(4).is_err() && roster.certificates(1).is_err());
        fs::write(dir.path().join("chains"), [0; 33]).unwrap();
        assert!(matches!(
            Roster::open(dir.path()),
            Err(RosterError::Content(_))
        ));
    }
}
