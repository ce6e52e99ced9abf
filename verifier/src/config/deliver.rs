//! Receivers of findings in `verifier.toml`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use affiant_judge::Severity;
use serde::Deserialize;

use super::witnesses::MAX_AUTHORITIES_BYTES;
use crate::{
    deliver::{Kind, Receiver, bearer, secret, severity},
    keyfile,
    outgoing::Place,
    tls::Client,
};

/// Most receivers. Each has a task and a request on its way: sixteen are a few megabytes.
const MAX_RECEIVERS: usize = 16;

/// Where systems keep the authorities that they trust; the first that is there.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliverEntry {
    name: String,
    kind: Kind,
    url: String,
    token_file: Option<PathBuf>,
    secret_file: Option<PathBuf>,
    least: Option<String>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    plaintext: bool,
}

/// Checks all of them, and tells every fault with its key.
pub(super) fn check(entries: &[DeliverEntry], faults: &mut Vec<String>) -> Vec<Receiver> {
    if entries.len() > MAX_RECEIVERS {
        let count = entries.len();
        faults.push(format!(
            "deliver: {count} where at most {MAX_RECEIVERS} are"
        ));
    }
    let (mut names, mut receivers) = (BTreeSet::new(), Vec::new());
    for (n, entry) in entries.iter().take(MAX_RECEIVERS).enumerate() {
        let mut found = Vec::new();
        let receiver = one(entry, &mut found);
        if !names.insert(entry.name.as_str()) {
            found.push("name: stands twice; what each was told is kept by its name".into());
        }
        faults.extend(
            found
                .into_iter()
                .map(|fault| format!("deliver[{n}].{fault}")),
        );
        receivers.extend(receiver);
    }
    receivers
}

fn one(entry: &DeliverEntry, faults: &mut Vec<String>) -> Option<Receiver> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if entry.name.is_empty() || entry.name.len() > 64 || !entry.name.chars().all(is_word) {
        faults.push("name: not of 1 to 64 small letters, digits and hyphens".into());
    }
    let place = place(entry).map_err(|fault| faults.push(fault)).ok();
    if let Some(path) = &entry.token_file
        && let Err(error) = bearer(path)
    {
        faults.push(format!("token_file: {error}"));
    }
    if let Some(path) = &entry.secret_file {
        if entry.kind == Kind::Alertmanager {
            faults.push("secret_file: Alertmanager checks no signature; use token_file".into());
        } else if let Err(error) = secret(path) {
            faults.push(format!("secret_file: {error}"));
        }
    }
    let least = match entry.least.as_deref() {
        None => Some(Severity::Low),
        Some(text) => severity(text),
    };
    if least.is_none() {
        faults.push("least: not low, medium, high or critical".into());
    }
    Some(Receiver {
        name: entry.name.clone(),
        kind: entry.kind,
        place: place?,
        token_file: entry.token_file.clone(),
        secret_file: entry.secret_file.clone(),
        least: least?,
    })
}

fn place(entry: &DeliverEntry) -> Result<Place, String> {
    let tls = match entry.url.starts_with("https://") {
        true => Some(authorities(entry.ca_file.as_deref())?),
        false => None,
    };
    let place = Place::parse(&entry.url, tls.as_ref()).map_err(|e| format!("url: {e}"))?;
    if !place.is_encrypted() && !place.is_loopback() && !entry.plaintext {
        return Err(format!(
            "url: {place} would carry findings over a network in clear; name an https URL, or say \
             `plaintext = true`"
        ));
    }
    Ok(place)
}

fn authorities(file: Option<&Path>) -> Result<Client, String> {
    let system = || SYSTEM.map(Path::new).into_iter().find(|path| path.exists());
    let path = file.or_else(system).ok_or(
        "ca_file: this system has no file of authorities where it is looked for; name one",
    )?;
    let read = keyfile::read_bounded(path, MAX_AUTHORITIES_BYTES);
    let pem = read.map_err(|error| format!("ca_file: {error}"))?;
    Client::trusting(&pem).map_err(|error| format!("ca_file: {}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::super::tests::load;
    use super::*;

    fn fault(text: &str) -> String {
        load(text).unwrap_err().to_string()
    }

    #[test]
    fn a_receiver_on_a_network_is_told_in_clear_only_where_that_is_said() {
        let with = |url: &str, more: &str| {
            format!("[[deliver]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"{url}\"\n{more}")
        };
        for url in [
            "http://127.0.0.1:9/x",
            "http://[::1]:9/x",
            "http://localhost/x",
        ] {
            let config = load(&with(url, "")).unwrap();
            assert_eq!(config.deliver[0].place.to_string(), url);
            assert_eq!(config.deliver[0].least, Severity::Low);
        }
        assert!(fault(&with("http://10.0.0.1/x", "")).contains("plaintext = true"));
        assert!(load(&with("http://10.0.0.1/x", "plaintext = true")).is_ok());
        for url in [
            "ftp://a.example",
            "http://u:p@127.0.0.1/x",
            "http://127.0.0.1/x?token=1",
        ] {
            assert!(fault(&with(url, "")).contains("deliver[0].url"), "{url}");
        }
        assert!(fault(&with("http://127.0.0.1/", "least = \"grave\"")).contains("least"));
        assert!(fault(&with("http://127.0.0.1/", "tokn = 1")).contains("deliver"));
        let missing = fault(&with("https://a.example", "ca_file = \"/nowhere\""));
        assert!(missing.contains("deliver[0].ca_file"), "{missing}");
        let twice = with("http://127.0.0.1/", "") + &with("http://127.0.0.1/", "");
        assert!(fault(&twice).contains("deliver[1].name"));
    }

    #[test]
    fn secrets_of_receivers_are_private_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
        let with = |key: &str, kind: &str| {
            format!(
                "[[deliver]]\nname = \"ops\"\nkind = \"{kind}\"\nurl = \"http://127.0.0.1/\"\n{key} = {file:?}"
            )
        };
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(&file, open).unwrap();
        assert!(fault(&with("token_file", "webhook")).contains("others can read"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(load(&with("token_file", "webhook")).is_ok());
        assert!(load(&with("secret_file", "webhook")).is_ok());
        assert!(fault(&with("secret_file", "alertmanager")).contains("token_file"));
        fs::write(&file, "short\n").unwrap();
        assert!(fault(&with("secret_file", "webhook")).contains("16 bytes"));
    }
}
