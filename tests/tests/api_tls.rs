//! The API over TLS: who may connect, by which certificate, and what a renewed one takes.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    sync::Arc,
    time::Duration,
};

use affiant_tests::{Deployment, until};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};

const LIMIT: Duration = Duration::from_secs(30);

/// An authority of the test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = root.self_signed(&key).unwrap();
        Self {
            pem: made.pem(),
            der: made.der().clone(),
            issuer: Issuer::new(root, key),
        }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (leaf.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// Puts a certificate where the configuration names it.
fn show(deployment: &Deployment, authority: &Authority) {
    let (leaf, key) = authority.issue("localhost");
    fs::write(deployment.path("api.pem"), leaf.pem()).unwrap();
    fs::write(deployment.path("api.key"), key.serialize_pem()).unwrap();
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(deployment.path("api.key"), private).unwrap();
}

/// The status of an answer to somebody who trusts an authority and has a certificate, or has none; none
/// where there is no connection.
fn ask(
    deployment: &Deployment,
    trusted: &Authority,
    own: Option<&(rcgen::Certificate, KeyPair)>,
    version: &'static rustls::SupportedProtocolVersion,
) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let config = ClientConfig::builder_with_protocol_versions(&[version]);
    let config = config.with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some((leaf, key)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            config
                .with_client_auth_cert(vec![leaf.der().clone()], key)
                .unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(deployment.site("api-tls")).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut stream = StreamOwned::new(client, socket);
    let request = "GET /v1/findings HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    // Some end without a goodbye, after the answer.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1)?;
    Some(status.to_owned())
}

#[test]
fn the_api_over_tls_is_for_those_whom_its_authorities_vouch_for() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls13 = &rustls::version::TLS13;
    let mut deployment = Deployment::new();
    deployment.stop();
    let (own, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    show(&deployment, &own);
    fs::write(deployment.path("clients.pem"), &clients.pem).unwrap();
    let config = fs::read_to_string(deployment.path("verifier.toml")).unwrap();
    let config = config.replace("api = \"127.0.0.1:0\"\n", "");
    let table = format!(
        "[api]\nplain = \"127.0.0.1:0\"\nlisten = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\n",
        deployment.path("api.pem"),
        deployment.path("api.key"),
        deployment.path("clients.pem")
    );
    fs::write(deployment.path("verifier.toml"), config + &table).unwrap();
    deployment.start();

    let (known, unknown) = (clients.issue("scheduler"), stranger.issue("scheduler"));
    let refused = Some("401".to_owned());
    assert_eq!(
        ask(&deployment, &own, Some(&known), tls13),
        refused,
        "a token is due too"
    );
    assert_eq!(
        ask(&deployment, &own, None, tls13),
        None,
        "without a certificate"
    );
    assert_eq!(
        ask(&deployment, &own, Some(&unknown), tls13),
        None,
        "of a stranger"
    );
    assert_eq!(
        ask(&deployment, &stranger, Some(&known), tls13),
        None,
        "who it is"
    );
    // In clear it is on loopback still, and answers the same.
    let mut plain = TcpStream::connect(deployment.site("api")).unwrap();
    let request = "GET /v1/findings HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n";
    plain.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    // Who does not finish a handshake holds nobody up.
    let silent = TcpStream::connect(deployment.site("api-tls")).unwrap();
    assert_eq!(ask(&deployment, &own, Some(&known), tls13), refused);
    drop(silent);

    // A certificate of another authority counts from the next reading of the configuration.
    let renewed = Authority::new();
    show(&deployment, &renewed);
    deployment.hang_up();
    until("the renewed certificate", LIMIT, || {
        (ask(&deployment, &renewed, Some(&known), tls13) == refused).then_some(())
    });
    deployment.stop();
}
