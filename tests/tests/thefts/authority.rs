//! The key of the certificate authority: it opens connections, as any host and as the verifier.

use std::{fs, os::unix::net::UnixStream, sync::Arc, thread, time::Duration};

use affiant_agent::{certificate::Authority, deployment};
use affiant_tests::{Deployment, Loot, Outcome};
use affiant_verifier::{
    clock::Clock,
    data::DataDir,
    pki::{Ca, HostRequest, Identity},
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::{ended, enrolled, revoke, sends, size, stays};

const HOUR: Duration = Duration::from_secs(3_600);

/// Whether an agent that believes these authorities takes this for its verifier.
fn believed(trusted: &Authority, server: Identity) -> bool {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    for certificate in trusted.certificates() {
        roots.add(certificate.clone()).unwrap();
    }
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(server.chain, server.key)
        .unwrap();
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let other = thread::spawn(move || {
        // Refused or taken: the other side says which.
        let _ = server.complete_io(&mut there);
    });
    let taken = client.complete_io(&mut here).is_ok();
    drop(here);
    other.join().unwrap();
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_authority_poses_as_host_and_verifier_until_it_is_revoked_and_signs_no_record() {
    let deployment = Deployment::judged_by("");
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = enrolled(&deployment, "gpu-1").await;
    let kept = deployment.keep_checkpoint("kept");
    let data = DataDir::at(&deployment.data());
    let key = fs::read_to_string(data.ca_key()).unwrap();
    let certificate = fs::read_to_string(data.ca_certificate()).unwrap();
    let stolen = Ca::load(&key, &certificate, None).unwrap();
    let now = || Clock::system().now_ms();
    let names = ["localhost".to_owned()];
    let first = deployment.path("first-ca.pem");
    fs::copy(&ca, &first).unwrap();
    let configured = Authority::read(&first).unwrap();
    let told = affiant_tests::host::describe(&address, &first).await;
    let mut known = deployment::Deployment::read(&told, &configured).unwrap();

    // As a host: the thief's own key under the host's chain.
    let mut thief = host.stolen(Loot::Nothing);
    let request = HostRequest::parse(&thief.csr()).unwrap();
    let issued = stolen
        .issue_host(&request, host.chain(), HOUR, now())
        .unwrap();
    thief.show(issued.iter().map(|der| der.to_vec()).collect());
    let forged = thief.forge();
    let outcome = thief.send_one(forged, &address, &ca).await;
    assert_eq!(outcome, Outcome::Refused("signature".into()));
    // As the verifier: agents take him for it.
    let server = || stolen.issue_server(&names, now()).unwrap();
    assert!(believed(&known.trusted(&configured).unwrap(), server()));

    // Another authority takes over; agents hear of it, and the stolen one counts until it is revoked.
    let id = affiant_proto::authority::certifier_id(affiant_proto::digest(stolen.certificate()));
    deployment.succeed(&["key", "rotate", "ca"]);
    let told = affiant_tests::host::describe(&address, &first).await;
    known.learn(&told).unwrap();
    let session = stays(&deployment, thief.stolen(Loot::TlsKey)).await;
    revoke(&deployment, "ca", &id.to_string(), size(&deployment));
    assert!(ended(session).await.contains("revoked: stolen"));
    let forged = thief.forge();
    let outcome = thief.send_one(forged, &address, &ca).await;
    assert!(matches!(outcome, Outcome::Broken(_)), "{outcome:?}");
    let told = affiant_tests::host::describe(&address, &ca).await;
    known.learn(&told).unwrap();
    let trusted = known.trusted(&configured).unwrap();
    assert!(
        !believed(&trusted, server()),
        "the thief is no verifier now"
    );
    let key = fs::read_to_string(data.ca_key()).unwrap();
    let certificate = fs::read_to_string(data.ca_certificate()).unwrap();
    let real = Ca::load(&key, &certificate, None).unwrap();
    assert!(believed(
        &trusted,
        real.issue_server(&names, now()).unwrap()
    ));

    // The host's own certificate was of the stolen authority: its record key renews it.
    host.renew(&address, &ca).await.unwrap();
    assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);
}
