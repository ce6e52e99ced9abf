//! What a reader trusts, got by another channel than the bundle: keys, fingerprints, witnesses.
//!
//! ```toml
//! quorum = 1                       # witnesses that must have cosigned; absent: all that are listed
//! ca = "6b86…"                     # SHA-256 of the authority's certificate
//! officers = ["d75a…", "3d40…"]    # public keys (64 digits) or their identifiers (32 digits)
//! accept_recorded = false          # true believes recorded traces and simulated libraries too
//!
//! [log]
//! origin = "log.example/1"
//! key = "log.example/1+ab12cd34+AT…"
//! genesis = "9f86…"                # digest of the statement that opened the deployment
//!
//! [[witness]]
//! key = "witness.example+0011aabb+BL…"
//!
//! # or, in place of quorum and [[witness]], a policy of groups (C2SP tlog-policy):
//! # witness_policy = '''
//! # witness A a.example+0011aabb+BL…
//! # witness B b.example+2233ccdd+BL…
//! # group both all A B
//! # quorum both
//! # '''
//!
//! [parameters]                     # absent: the rules' parameters as shipped
//! ```

use std::fmt::Write as _;

use affiant_judge::Parameters;
use affiant_proto::{
    Body, Digest, PublicKey, Statement,
    keys::BadKey,
    tlog::{
        BadPolicy, BadPolicyFile, CosignerKey, MalformedKey, NotAnOrigin, NoteKey, Origin, Policy,
        PolicyFile,
    },
    v1,
};
use serde::{Deserialize, Serialize};

/// Most bytes of a trust file: a witness policy of 64 KiB, 100 officers of 70 bytes, and parameters.
pub const MAX_TRUST_BYTES: u64 = 128 * 1024;

/// A reader's trust in one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    log: NoteKey,
    genesis: Digest,
    ca: Digest,
    officers: Vec<OfficerMark>,
    witnesses: Option<Policy>,
    /// The policy's text, where it was written as one.
    policy: Option<String>,
    parameters: Parameters,
    accept_recorded: bool,
}

/// How a trusted officer is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OfficerMark {
    Key(PublicKey),
    Id([u8; 16]),
}

/// Why a text is not a trust file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadTrust {
    /// Not TOML of the known keys.
    #[error("trust file: {0}")]
    Toml(#[from] toml::de::Error),
    /// The log's origin.
    #[error("trust file, log.origin: {0}")]
    Origin(#[from] NotAnOrigin),
    /// A vkey.
    #[error("trust file, {place}: {source}")]
    Key {
        /// Which key.
        place: &'static str,
        /// Why.
        source: MalformedKey,
    },
    /// The log's key has another name than its origin.
    #[error("trust file, log.key is of {key}, not of the origin {origin}")]
    Name {
        /// Name of the key.
        key: String,
        /// The origin.
        origin: String,
    },
    /// A digest.
    #[error("trust file, {0} is not 64 hexadecimal digits in lower case")]
    Digest(&'static str),
    /// An officer.
    #[error(
        "trust file, officers: {0:?} is neither a public key (64 digits) nor an identifier (32)"
    )]
    Officer(String),
    /// An officer's key that is refused.
    #[error("trust file, officers: {0}")]
    OfficerKey(#[from] BadKey),
    /// Witnesses and quorum.
    #[error("trust file, witnesses: {0}")]
    Policy(#[from] BadPolicy),
    /// The text of a policy.
    #[error("trust file, witness_policy: {0}")]
    PolicyText(#[from] BadPolicyFile),
    /// A policy of other logs.
    #[error("trust file, witness_policy lists logs, and {0} is not one of them; add its log line")]
    PolicyLog(String),
    /// Witnesses in both forms.
    #[error(
        "trust file has witness_policy beside [[witness]] tables or a quorum; give one of both"
    )]
    TwoPolicies,
    /// A quorum without witnesses.
    #[error("trust file asks for a quorum of witnesses and lists none; add [[witness]] tables")]
    Quorum,
    /// Not a genesis.
    #[error("a trust file is made from a genesis statement, not from a {0} statement")]
    NotAGenesis(String),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    quorum: Option<usize>,
    ca: String,
    officers: Vec<String>,
    #[serde(default)]
    accept_recorded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    witness_policy: Option<String>,
    log: Log,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    witness: Vec<Witness>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Log {
    origin: String,
    key: String,
    genesis: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Witness {
    key: String,
}

impl Trust {
    /// Reads a trust file; unknown keys are refused.
    pub fn parse(text: &str) -> Result<Self, BadTrust> {
        let file: File = toml::from_str(text)?;
        let origin: Origin = file.log.origin.parse()?;
        let log: NoteKey = file.log.key.parse().map_err(|source| BadTrust::Key {
            place: "log.key",
            source,
        })?;
        if *log.name() != origin.key_name() {
            let (key, origin) = (log.name().to_string(), origin.to_string());
            return Err(BadTrust::Name { key, origin });
        }
        let keys = file.witness.iter().map(|witness| {
            witness
                .key
                .parse::<CosignerKey>()
                .map_err(|source| BadTrust::Key {
                    place: "witness.key",
                    source,
                })
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let witnesses = match (keys.is_empty(), file.quorum, &file.witness_policy) {
            (true, None, Some(text)) => written(text, &log)?,
            (_, _, Some(_)) => return Err(BadTrust::TwoPolicies),
            (true, None | Some(0), None) => None,
            (false, quorum, None) => {
                let all = keys.len();
                Some(Policy::new(keys, quorum.unwrap_or(all))?)
            }
            (true, Some(_), None) => return Err(BadTrust::Quorum),
        };
        Ok(Self {
            log,
            genesis: file
                .log
                .genesis
                .parse()
                .map_err(|_| BadTrust::Digest("log.genesis"))?,
            ca: file.ca.parse().map_err(|_| BadTrust::Digest("ca"))?,
            officers: file
                .officers
                .iter()
                .map(|text| OfficerMark::parse(text))
                .collect::<Result<_, _>>()?,
            witnesses,
            policy: file.witness_policy,
            parameters: file.parameters.unwrap_or_default(),
            accept_recorded: file.accept_recorded,
        })
    }

    /// Takes everything that a genesis says as trusted: for its own operator, who writes the file
    /// that readers then get by another channel.
    pub fn of_genesis(genesis: &Statement) -> Result<Self, BadTrust> {
        let Body::Genesis(body) = genesis.body() else {
            return Err(BadTrust::NotAGenesis(genesis.kind().name()));
        };
        let officers = body
            .officers
            .iter()
            .map(|officer| PublicKey::ed25519(&officer.key));
        let officers = officers
            .map(|key| key.map(OfficerMark::Key))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            log: log_key(body)?,
            genesis: genesis.digest(),
            ca: Digest::try_from(body.ca.as_slice()).map_err(|_| BadTrust::Digest("ca"))?,
            officers,
            witnesses: None,
            policy: None,
            parameters: Parameters::default(),
            accept_recorded: false,
        })
    }

    /// Sets the key that signs checkpoints now, in the log's newest generation.
    #[must_use]
    pub fn with_log(self, log: NoteKey) -> Self {
        Self { log, ..self }
    }

    /// Asks for no witness.
    #[must_use]
    pub fn without_witnesses(self) -> Self {
        Self {
            witnesses: None,
            policy: None,
            ..self
        }
    }

    /// Asks for `quorum` of these witnesses.
    pub fn with_witnesses(self, keys: Vec<CosignerKey>, quorum: usize) -> Result<Self, BadTrust> {
        Ok(Self {
            witnesses: Some(Policy::new(keys, quorum)?),
            policy: None,
            ..self
        })
    }

    /// Asks for the witnesses of a policy's text (C2SP tlog-policy).
    pub fn with_policy(self, text: &str) -> Result<Self, BadTrust> {
        Ok(Self {
            witnesses: written(text, &self.log)?,
            policy: Some(text.to_owned()),
            ..self
        })
    }

    /// Sets the parameters by which the reader wants to see uses judged.
    #[must_use]
    pub fn with_parameters(self, parameters: Parameters) -> Self {
        Self { parameters, ..self }
    }

    /// Sets whether recorded traces and simulated libraries are believed.
    #[must_use]
    pub fn with_recorded(self, accept_recorded: bool) -> Self {
        Self {
            accept_recorded,
            ..self
        }
    }

    /// Writes the file that [`Trust::parse`] reads.
    pub fn print(&self) -> Result<String, toml::ser::Error> {
        // What was written as a policy is written as that again, word by word.
        let witnesses = self.witnesses.as_ref().filter(|_| self.policy.is_none());
        let file = File {
            quorum: witnesses.and_then(Policy::count),
            ca: self.ca.to_string(),
            officers: self.officers.iter().map(OfficerMark::print).collect(),
            accept_recorded: self.accept_recorded,
            witness_policy: self.policy.clone(),
            log: Log {
                origin: self.log.name().to_string(),
                key: self.log.to_string(),
                genesis: self.genesis.to_string(),
            },
            witness: witnesses
                .map(|policy| {
                    policy
                        .witnesses()
                        .iter()
                        .map(|key| Witness {
                            key: key.to_string(),
                        })
                        .collect()
                })
                .unwrap_or_default(),
            parameters: (self.parameters != Parameters::default()).then(|| self.parameters.clone()),
        };
        let mut text = String::from(
            "# What is trusted of this log. Get this file, or compare its fingerprints, by another\n\
             # channel than the bundles that are verified with it.\n\n",
        );
        text.push_str(&toml::to_string(&file)?);
        Ok(text)
    }

    /// The key that signs checkpoints.
    pub fn log(&self) -> &NoteKey {
        &self.log
    }

    /// Digest of the genesis.
    pub fn genesis(&self) -> Digest {
        self.genesis
    }

    /// SHA-256 of the certificate authority's certificate.
    pub fn ca(&self) -> Digest {
        self.ca
    }

    /// Tells whether an officer's key is listed.
    pub fn knows(&self, key: &PublicKey) -> bool {
        self.officers.iter().any(|mark| match mark {
            OfficerMark::Key(known) => known == key,
            OfficerMark::Id(id) => key.id().as_bytes() == id,
        })
    }

    /// The witnesses and how many of them must have cosigned; none when the reader has none.
    pub fn witnesses(&self) -> Option<&Policy> {
        self.witnesses.as_ref()
    }

    /// The parameters by which the reader wants to see uses judged.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Tells whether recorded traces and simulated libraries are believed.
    pub fn accepts_recorded(&self) -> bool {
        self.accept_recorded
    }
}

/// Reads a policy; none where it asks for no witness.
fn written(text: &str, log: &NoteKey) -> Result<Option<Policy>, BadTrust> {
    let file = PolicyFile::parse(text.as_bytes())?;
    let mut logs = file.logs().iter();
    if !file.logs().is_empty() && !logs.any(|listed| listed.key == *log) {
        return Err(BadTrust::PolicyLog(log.to_string()));
    }
    Ok(file.policy())
}

/// Names the log's key as checkpoints are signed by it.
pub fn log_key(genesis: &v1::Genesis) -> Result<NoteKey, BadTrust> {
    let origin: Origin = genesis.origin.parse()?;
    let key = PublicKey::ed25519(&genesis.log_key)?;
    NoteKey::new(origin.key_name(), key).map_err(|source| BadTrust::Key {
        place: "genesis",
        source,
    })
}

impl OfficerMark {
    fn parse(text: &str) -> Result<Self, BadTrust> {
        let bad = || BadTrust::Officer(text.chars().take(80).collect());
        match text.len() {
            64 => {
                let key: Digest = text.parse().map_err(|_| bad())?;
                Ok(Self::Key(PublicKey::ed25519(key.as_bytes())?))
            }
            32 => {
                // An identifier is half a digest long, and is spelled alike.
                let doubled: Digest = text.repeat(2).parse().map_err(|_| bad())?;
                let id = doubled.as_bytes().first_chunk().ok_or_else(bad)?;
                Ok(Self::Id(*id))
            }
            _ => Err(bad()),
        }
    }

    fn print(&self) -> String {
        let bytes: &[u8] = match self {
            Self::Key(key) => key.as_bytes(),
            Self::Id(id) => id,
        };
        bytes.iter().fold(String::new(), |mut out, byte| {
            // Writing into a string cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::{Ed25519Signer, Signer as _};

    use super::*;

    fn key(seed: u8) -> PublicKey {
        Ed25519Signer::from_seed(&[seed; 32])
            .unwrap()
            .public_key()
            .clone()
    }

    fn trust() -> Trust {
        let witness = CosignerKey::new("witness.example".parse().unwrap(), key(4)).unwrap();
        Trust {
            log: NoteKey::new("log.example/1".parse().unwrap(), key(1)).unwrap(),
            genesis: affiant_proto::digest(b"genesis"),
            ca: affiant_proto::digest(b"ca"),
            officers: vec![
                OfficerMark::Key(key(2)),
                OfficerMark::Id(*key(3).id().as_bytes()),
            ],
            witnesses: Some(Policy::new(vec![witness], 1).unwrap()),
            policy: None,
            parameters: Parameters {
                interval_ms: 1_000,
                ..Parameters::default()
            },
            accept_recorded: true,
        }
    }

    #[test]
    fn a_trust_file_reads_back_what_was_printed() {
        for trust in [
            trust(),
            trust().with_policy(&policy()).unwrap(),
            trust()
                .without_witnesses()
                .with_parameters(Parameters::default())
                .with_recorded(false),
        ] {
            let text = trust.print().unwrap();
            assert_eq!(Trust::parse(&text).unwrap(), trust, "{text}");
        }
    }

    /// Three witnesses in two groups.
    fn policy() -> String {
        let witness = |name: &str, seed| {
            let key = CosignerKey::new(format!("{name}.example").parse().unwrap(), key(seed));
            format!("witness {name} {}\n", key.unwrap())
        };
        let listed = witness("a", 5) + &witness("b", 6) + &witness("c", 7);
        format!(
            "# ours\nlog {}\n{listed}group ab 1 a b\ngroup all all ab c\nquorum all\n",
            trust().log
        )
    }

    #[test]
    fn a_policy_of_groups_takes_the_place_of_witnesses_and_is_of_this_log() {
        let trust = trust().with_policy(&policy()).unwrap();
        let rule = trust.witnesses().unwrap();
        assert_eq!(
            rule.words(),
            "all of (1 of a.example, b.example), c.example"
        );
        let none = trust.with_policy("quorum none\n").unwrap();
        assert_eq!(none.witnesses(), None, "asks for no witness");
        let text = none.print().unwrap();
        let both = text.replace("[log]", "quorum = 1\n[log]");
        assert!(matches!(Trust::parse(&both), Err(BadTrust::TwoPolicies)));
        let foreign = NoteKey::new("log.example/2".parse().unwrap(), key(1)).unwrap();
        let foreign = format!("log {foreign}\nquorum none\n");
        let refused = none.with_policy(&foreign).unwrap_err();
        assert!(matches!(refused, BadTrust::PolicyLog(_)), "{refused}");
    }

    #[test]
    fn officers_are_known_by_key_or_by_identifier() {
        assert!(trust().knows(&key(2)) && trust().knows(&key(3)));
        assert!(!trust().knows(&key(4)));
    }

    #[test]
    fn unknown_keys_and_a_quorum_that_cannot_be_had_are_refused() {
        let text = trust().print().unwrap();
        assert!(matches!(
            Trust::parse(&text.replace("ca =", "cA =")),
            Err(BadTrust::Toml(_))
        ));
        let all = Trust::parse(&text.replace("quorum = 1\n", "")).unwrap();
        assert_eq!(
            all.witnesses().unwrap().count(),
            Some(1),
            "all that are listed"
        );
        let none = text.split("[[witness]]").next().unwrap();
        assert!(matches!(Trust::parse(none), Err(BadTrust::Quorum)));
        assert!(matches!(
            Trust::parse(&text.replace("quorum = 1", "quorum = 2")),
            Err(BadTrust::Policy(_))
        ));
        let other = text.replace("origin = \"log.example/1\"", "origin = \"log.example/2\"");
        assert!(matches!(Trust::parse(&other), Err(BadTrust::Name { .. })));
    }
}
