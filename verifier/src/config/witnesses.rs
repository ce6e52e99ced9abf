//! Witnesses in `verifier.toml`: tables of one each, or a policy (C2SP tlog-policy), or both.

use std::{collections::BTreeSet, path::PathBuf};

use affiant_proto::tlog::{CosignerKey, MAX_POLICY_BYTES, Policy, PolicyFile};
use serde::Deserialize;

use crate::{
    keyfile,
    outgoing::{NotAPlace, Place},
    tls::Client,
    witness::WitnessAddress,
};

/// Most bytes of a file of authorities: those that a system trusts are 150 of 1.5 kB in PEM.
pub(super) const MAX_AUTHORITIES_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WitnessEntry {
    /// Without one its cosignatures come by hand.
    url: Option<String>,
    key: String,
}

/// What the file says of witnesses.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) tables: Vec<WitnessEntry>,
    pub(super) policy: Option<PathBuf>,
    pub(super) authorities: Option<PathBuf>,
}

/// Whom to ask, and who of them must have cosigned.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    pub(super) listed: Vec<WitnessAddress>,
    pub(super) quorum: Option<Policy>,
}

impl Entries {
    /// Checks all of it, and tells every fault with its key.
    pub(super) fn check(&self, faults: &mut Vec<String>) -> Witnesses {
        let tls = self.authorities.as_ref().and_then(|path| {
            let read = keyfile::read_bounded(path, MAX_AUTHORITIES_BYTES);
            let read = read.map_err(|error| error.to_string());
            let made = read.and_then(|pem| Client::trusting(&pem).map_err(|e| e.to_string()));
            made.map_err(|error| faults.push(format!("witness_ca: {error}")))
                .ok()
        });
        let mut listed: Vec<WitnessAddress> = Vec::new();
        for (n, entry) in self.tables.iter().enumerate() {
            let place = place(entry.url.as_deref(), tls.as_ref())
                .map_err(|error| faults.push(format!("witness[{n}].url: {error}")));
            let key = entry
                .key
                .parse::<CosignerKey>()
                .map_err(|error| faults.push(format!("witness[{n}].key: {error}")));
            if let (Ok(place), Ok(key)) = (place, key) {
                listed.push(WitnessAddress { place, key });
            }
        }
        let mut quorum = None;
        if let Some(file) = self.read_policy(faults) {
            for witness in file.witnesses() {
                match place(witness.url.as_deref(), tls.as_ref()) {
                    Ok(place) => listed.push(WitnessAddress {
                        place,
                        key: witness.key.clone(),
                    }),
                    Err(error) => faults.push(format!("witness_policy: {error}")),
                }
            }
            quorum = file.policy();
        } else if self.policy.is_none() && !listed.is_empty() {
            // Without a policy any one of them is better than none.
            let keys = listed.iter().map(|witness| witness.key.clone()).collect();
            match Policy::new(keys, 1) {
                Ok(policy) => quorum = Some(policy),
                Err(error) => faults.push(format!("witness: {error}")),
            }
        }
        let mut keys = BTreeSet::new();
        for witness in &listed {
            if !keys.insert(witness.key.public_key()) {
                let called = witness.called();
                faults.push(format!("witness {called}: its key is listed twice"));
            }
        }
        Witnesses { listed, quorum }
    }

    fn read_policy(&self, faults: &mut Vec<String>) -> Option<PolicyFile> {
        let path = self.policy.as_ref()?;
        let read = keyfile::read_bounded(path, MAX_POLICY_BYTES as u64);
        let read = read.map_err(|error| error.to_string());
        let parsed = read.and_then(|bytes| {
            let file = PolicyFile::parse(&bytes);
            file.map_err(|error| format!("{}: {error}", path.display()))
        });
        parsed
            .map_err(|error| faults.push(format!("witness_policy: {error}")))
            .ok()
    }
}

/// Reads a witness's submission prefix (C2SP tlog-witness).
fn place(url: Option<&str>, tls: Option<&Client>) -> Result<Option<Place>, NotAPlace> {
    let url = url.map(|url| url.trim_end_matches('/'));
    url.map(|url| Place::parse(url, tls)).transpose()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Config, tests::load};

    const A: &str = "witness.example+d831bcf1+BOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";

    fn with_policy(policy: &str, more: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy");
        std::fs::write(&path, policy).unwrap();
        load(&format!("witness_policy = {path:?}\n{more}")).map_err(|e| e.to_string())
    }

    #[test]
    fn a_policy_names_witnesses_with_and_without_an_address_and_the_quorum() {
        let policy = format!("witness A {A} http://a.example/w/\nquorum A\n");
        let config = with_policy(&policy, "").unwrap();
        assert_eq!(config.witnesses[0].called(), "http://a.example/w");
        assert_eq!(config.quorum.unwrap().words(), "witness.example");
        let by_hand = with_policy(&format!("witness A {A}\nquorum none\n"), "").unwrap();
        assert_eq!(by_hand.witnesses[0].called(), "witness.example");
        assert!(by_hand.quorum.is_none(), "none is asked for");
    }

    #[test]
    fn tables_alone_ask_for_any_one_of_them() {
        let config = load(&format!("[[witness]]\nkey = \"{A}\"\n")).unwrap();
        assert_eq!(config.quorum.unwrap().count(), Some(1));
        assert!(config.witnesses[0].place.is_none(), "cosigns by hand");
        assert!(load("").unwrap().quorum.is_none());
    }

    #[test]
    fn faults_of_witnesses_name_their_key_and_the_remedy() {
        let table = |url: &str| load(&format!("[[witness]]\nurl = \"{url}\"\nkey = \"{A}\"\n"));
        for url in [
            "ftp://a.example",
            "http:///w",
            "a.example",
            "http://u:p@a.example",
            "http://a.example?x",
        ] {
            let error = table(url).unwrap_err().to_string();
            assert!(error.contains("witness[0].url"), "{url}: {error}");
        }
        let error = table("https://a.example").unwrap_err().to_string();
        assert!(error.contains("witness_ca"), "{error}");
        let error = with_policy("quorum A\n", "").unwrap_err();
        assert!(error.contains("witness_policy"), "{error}");
        assert!(error.contains("line 1"), "{error}");
        let twice = format!("[[witness]]\nkey = \"{A}\"\n");
        let error = with_policy(&format!("witness A {A}\nquorum A\n"), &twice).unwrap_err();
        assert!(error.contains("twice"), "{error}");
    }
}
