//! Who a simulated host is: its keys and certificate, kept so that it enrols once.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use affiant_proto::{Digest, Ed25519Signer};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

/// Most bytes of a kept identity: two certificates and a key in PEM are some 3 KiB.
const MAX_BYTES: u64 = 64 * 1024;

/// What is kept of a host, in a file of mode 0600: these keys could sign for it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    host: String,
    /// Digest of the genesis under which it enrolled.
    genesis: String,
    chain: String,
    record_key: [u8; 32],
    tls_key: String,
    certificates: String,
    /// Boots counted so far: every run of the generator is one.
    boots: u32,
}

/// An identity that could not be made, kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file that is no identity.
    #[error("{path}: {fault}; remove the directory and enrol anew with fresh tokens")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// A key could not be made.
    #[error("could not make a key for {host}: {text}")]
    Make {
        /// For whom.
        host: String,
        /// Why.
        text: String,
    },
}

/// Keys that are not yet enrolled.
pub struct FreshKeys {
    host: String,
    record_key: [u8; 32],
    tls_key: KeyPair,
}

impl FreshKeys {
    /// Makes a record key and a TLS key (P-256) for `host`.
    pub fn make(host: &str) -> Result<Self, IdentityError> {
        let failed = |text: &dyn ToString| IdentityError::Make {
            host: host.to_owned(),
            text: text.to_string(),
        };
        let mut record_key = [0; 32];
        let filled = SystemRandom::new().fill(&mut record_key);
        filled.map_err(|_| failed(&"the system gave no randomness"))?;
        Ok(Self {
            host: host.to_owned(),
            record_key,
            tls_key: KeyPair::generate().map_err(|error| failed(&error))?,
        })
    }

    /// The host's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The record key.
    pub fn signer(&self) -> Result<Ed25519Signer, IdentityError> {
        signer(&self.host, &self.record_key)
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the TLS key.
    pub fn identity_key(&self) -> Digest {
        affiant_proto::digest(&self.tls_key.subject_public_key_info())
    }

    /// A PKCS #10 request in DER, signed by the TLS key.
    pub fn request(&self) -> Result<Vec<u8>, IdentityError> {
        let failed = |error: rcgen::Error| IdentityError::Make {
            host: self.host.clone(),
            text: error.to_string(),
        };
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.tls_key).map_err(failed)?;
        Ok(request.der().to_vec())
    }

    /// The identity of an enrolled host, with the certificates (DER, leaf first) it was given.
    pub fn enrolled(self, genesis: Digest, chain: Digest, certificates: &[Vec<u8>]) -> Identity {
        Identity {
            host: self.host,
            genesis: genesis.to_string(),
            chain: chain.to_string(),
            record_key: self.record_key,
            tls_key: self.tls_key.serialize_pem(),
            certificates: certificates.iter().map(|der| pem(der)).collect(),
            boots: 0,
        }
    }
}

impl Identity {
    /// Reads the identity of `host` in `directory`; `None` when there is none yet.
    ///
    /// One that is of another log than `genesis` opens is an error.
    pub fn load(
        directory: &Path,
        host: &str,
        genesis: Digest,
    ) -> Result<Option<Self>, IdentityError> {
        let path = place(directory, host);
        let io = |source| IdentityError::Io {
            path: path.clone(),
            source,
        };
        let content = |fault: &dyn ToString| IdentityError::Content {
            path: path.clone(),
            fault: fault.to_string(),
        };
        let mut text = String::new();
        match fs::File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
            Ok(file) => file.take(MAX_BYTES).read_to_string(&mut text).map_err(io)?,
        };
        let read: Self = serde_json::from_str(&text).map_err(|error| content(&error))?;
        if read.host != host || read.chain.parse::<Digest>().is_err() {
            return Err(content(&"is not this host's identity"));
        }
        if read.genesis != genesis.to_string() {
            return Err(content(&"was enrolled in another log"));
        }
        Ok(Some(read))
    }

    /// Keeps the identity in `directory`.
    pub fn save(&self, directory: &Path) -> Result<(), IdentityError> {
        let path = place(directory, &self.host);
        let io = |source| IdentityError::Io {
            path: path.clone(),
            source,
        };
        let part = path.with_extension("part");
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(true).mode(0o600);
        let mut file = open.open(&part).map_err(io)?;
        let text = serde_json::to_vec(self).map_err(|error| io(error.into()))?;
        file.write_all(&text).map_err(io)?;
        fs::rename(&part, &path).map_err(io)
    }

    /// Counts one more boot.
    #[must_use]
    pub fn booted(mut self) -> Self {
        self.boots = self.boots.saturating_add(1);
        self
    }

    /// The host's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Boots counted so far, this one included.
    pub fn boots(&self) -> u32 {
        self.boots
    }

    /// The digest of its enrolment.
    pub fn chain(&self) -> Result<Digest, IdentityError> {
        self.chain.parse().map_err(|_| IdentityError::Make {
            host: self.host.clone(),
            text: "its chain is not a digest".into(),
        })
    }

    /// The record key.
    pub fn signer(&self) -> Result<Ed25519Signer, IdentityError> {
        signer(&self.host, &self.record_key)
    }

    /// Its certificates and its TLS key, both PEM.
    pub fn tls(&self) -> (&str, &str) {
        (&self.certificates, &self.tls_key)
    }
}

/// The hosts of which an identity is kept in `directory`.
pub fn kept(directory: &Path) -> Result<Vec<String>, IdentityError> {
    stems(directory, "json")
}

/// The names of the files in `directory` that end in `.ending`, without it.
pub fn stems(directory: &Path, ending: &str) -> Result<Vec<String>, IdentityError> {
    let io = |source| IdentityError::Io {
        path: directory.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(ending));
        names.extend(
            name.and_then(|name| name.strip_suffix('.'))
                .map(str::to_owned),
        );
    }
    Ok(names)
}

fn place(directory: &Path, host: &str) -> PathBuf {
    directory.join(format!("{host}.json"))
}

fn signer(host: &str, seed: &[u8; 32]) -> Result<Ed25519Signer, IdentityError> {
    Ed25519Signer::from_seed(seed).map_err(|error| IdentityError::Make {
        host: host.to_owned(),
        text: error.to_string(),
    })
}

/// A certificate in the textual form of RFC 7468: base64 in lines of 64.
fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::{Signer as _, digest};

    use super::*;

    fn enrolled(host: &str) -> Identity {
        let keys = FreshKeys::make(host).unwrap();
        keys.enrolled(digest(b"genesis"), digest(b"chain"), &[vec![1; 100]])
    }

    #[test]
    fn a_kept_identity_comes_back_with_its_keys_and_its_boots() {
        let dir = tempfile::tempdir().unwrap();
        let made = enrolled("h").booted().booted();
        made.save(dir.path()).unwrap();
        let read = Identity::load(dir.path(), "h", digest(b"genesis"))
            .unwrap()
            .unwrap();
        assert_eq!(read.boots(), 2);
        assert_eq!(read.chain().unwrap(), digest(b"chain"));
        assert_eq!(read.tls(), made.tls());
        let public = |identity: &Identity| identity.signer().unwrap().public_key().clone();
        assert_eq!(public(&read), public(&made));
        assert_eq!(kept(dir.path()).unwrap(), ["h"]);
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(place(dir.path(), "h"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_identity_of_another_log_is_refused_and_one_that_is_not_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            Identity::load(dir.path(), "h", digest(b"genesis"))
                .unwrap()
                .is_none()
        );
        enrolled("h").save(dir.path()).unwrap();
        let other = Identity::load(dir.path(), "h", digest(b"other"));
        assert!(matches!(other, Err(IdentityError::Content { .. })));
        fs::rename(place(dir.path(), "h"), place(dir.path(), "i")).unwrap();
        let renamed = Identity::load(dir.path(), "i", digest(b"genesis"));
        assert!(matches!(renamed, Err(IdentityError::Content { .. })));
    }

    #[test]
    fn a_request_is_for_the_key_that_the_enrolment_names() {
        use rcgen::CertificateSigningRequestParams;
        let keys = FreshKeys::make("h").unwrap();
        let der = keys.request().unwrap();
        let read = CertificateSigningRequestParams::from_der(&der.as_slice().into()).unwrap();
        let named = digest(&read.public_key.subject_public_key_info());
        assert_eq!(named, keys.identity_key());
    }
}
