//! A host's TLS key: it opens the host's connections and signs nothing.

use affiant_tests::{Deployment, Loot, Outcome, until};

use crate::{PATIENCE, ended, enrolled, revoke, sends, size, stays};

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_tls_key_opens_the_hosts_session_and_puts_nothing_into_its_chain() {
    let deployment = Deployment::judged_by("");
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = enrolled(&deployment, "gpu-1").await;
    let kept = deployment.keep_checkpoint("kept");

    let mut thief = host.stolen(Loot::TlsKey);
    let forged = thief.forge();
    let outcome = thief.send_one(forged, &address, &ca).await;
    assert_eq!(outcome, Outcome::Refused("signature".into()));
    let renewed = thief.renew(&address, &ca).await.unwrap_err();
    assert!(renewed.message().contains("signature"), "{renewed}");
    // What he can do is come between: a new session ends the one before. The host comes back.
    let session = stays(&deployment, host.stolen(Loot::TlsKey)).await;
    assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);
    assert!(ended(session).await.contains("newer session"));

    let session = stays(&deployment, thief.stolen(Loot::TlsKey)).await;
    revoke(&deployment, "tls", &host.tls_key_id(), size(&deployment));
    assert!(ended(session).await.contains("revoked: stolen"));
    let forged = thief.forge();
    let outcome = thief.send_one(forged, &address, &ca).await;
    assert!(matches!(outcome, Outcome::Broken(_)), "{outcome:?}");
    until("the reason in the journal", PATIENCE, || {
        let journal = deployment.journal();
        (journal.contains("connection refused") && journal.contains("stolen")).then_some(())
    });

    host.replace_tls_key();
    host.renew(&address, &ca).await.unwrap();
    assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);
    // The key signed nothing, so nothing is suspect, and no record is missing.
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);
}
