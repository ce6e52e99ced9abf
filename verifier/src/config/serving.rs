//! Where the API is served: in clear on loopback, and over TLS where a certificate is named.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use super::address;
use crate::{keyfile, tls::Server};

/// Most bytes of a chain of certificates, or of authorities.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// `api`, as an address or as a table.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "it is \"ADDRESS:PORT\", \"none\", or a table with listen, certificate, key and perhaps client_ca and plain"
)]
pub(super) enum ApiEntry {
    Plain(String),
    Secured(Secured),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secured {
    #[serde(default = "plain")]
    plain: String,
    listen: SocketAddr,
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

fn plain() -> String {
    "127.0.0.1:7481".into()
}

impl Default for ApiEntry {
    fn default() -> Self {
        Self::Plain(plain())
    }
}

/// The API over TLS.
#[derive(Clone, Debug)]
pub struct ApiTls {
    /// Where.
    pub listen: SocketAddr,
    /// What is shown there, and to whom. Read again on SIGHUP.
    pub server: Server,
}

/// Gives where it is served in clear, and over TLS.
pub(super) fn check(
    entry: &ApiEntry,
    faults: &mut Vec<String>,
) -> (Option<SocketAddr>, Option<ApiTls>) {
    let secured = match entry {
        ApiEntry::Plain(text) => return (address("api", text, faults), None),
        ApiEntry::Secured(secured) => secured,
    };
    let plain = address("api.plain", &secured.plain, faults);
    if plain.is_some_and(|plain| !plain.ip().is_loopback()) {
        faults.push(
            "api.plain: not an address of the loopback; beside TLS it is that or \"none\"".into(),
        );
    }
    let read = |path: &PathBuf| {
        let read = keyfile::read_bounded(path, MAX_PEM_BYTES);
        read.map_err(|error| error.to_string())
    };
    let made = || -> Result<Server, String> {
        let certificates = read(&secured.certificate)?;
        let key = keyfile::read_private(&secured.key).map_err(|error| error.to_string())?;
        let clients = secured.client_ca.as_ref().map(read).transpose()?;
        let made = Server::showing(&certificates, &key, clients.as_deref());
        made.map_err(|error| error.to_string())
    };
    let server = made().map_err(|error| faults.push(format!("api: {error}")));
    let tls = server.ok().map(|server| ApiTls {
        listen: secured.listen,
        server,
    });
    (plain, tls)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use rcgen::{CertificateParams, KeyPair};

    use super::super::tests::load;

    fn files(dir: &Path) -> String {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let made = made.self_signed(&key).unwrap();
        fs::write(dir.join("cert.pem"), made.pem()).unwrap();
        fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
        fs::set_permissions(dir.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
        let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        format!("[api]\nlisten = \"0.0.0.0:7482\"\ncertificate = {certificate:?}\nkey = {key:?}\n")
    }

    #[test]
    fn beside_tls_the_plain_address_is_on_loopback_alone() {
        let dir = tempfile::tempdir().unwrap();
        let table = files(dir.path());
        let config = load(&table).unwrap();
        assert_eq!(config.api.unwrap().port(), 7481);
        assert_eq!(config.api_tls.unwrap().listen.port(), 7482);
        let fault = load(&format!("{table}plain = \"0.0.0.0:7481\"\n")).unwrap_err();
        assert!(fault.to_string().contains("api.plain"), "{fault}");
        let none = load(&format!("{table}plain = \"none\"\n")).unwrap();
        assert!(none.api.is_none() && none.api_tls.is_some());
        assert!(
            load("api = \"0.0.0.0:7481\"").unwrap().api_tls.is_none(),
            "as ever"
        );
        let fault = load("[api]\nlisten = \"0.0.0.0:7482\"\n").unwrap_err();
        assert!(fault.to_string().contains("certificate"), "{fault}");
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_of_the_certificates_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let table = files(dir.path());
        let key = dir.path().join("key.pem");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        let fault = load(&table).unwrap_err().to_string();
        assert!(fault.contains("others can read"), "{fault}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(load(&table).unwrap_err().to_string().contains("api: tls"));
        fs::write(&key, "no key").unwrap();
        assert!(
            load(&table)
                .unwrap_err()
                .to_string()
                .contains("api: tls: key")
        );
    }
}
