//! A host's record key: it signs in the host's name.

use affiant_tests::{Deployment, Host, Loot, Outcome};

use crate::{ended, enrolled, revoke, sends, stays};

/// The host enrols anew; a revoked key proves nothing, so the operator approves.
async fn comes_back(deployment: &Deployment, host: &Host) -> Host {
    let (address, ca) = (deployment.address(), deployment.ca());
    let token = deployment.token(&host.name, "1h");
    let again = host.enrol_again(&address, &ca, &token, true).await;
    let mut again = again.unwrap();
    assert!(again.is_pending());
    deployment.succeed(&["host", "approve", &host.name]);
    again.renew(&address, &ca).await.unwrap();
    again
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stolen_record_key_forged_is_suspect_once_it_is_revoked_and_more_is_refused() {
    let deployment = Deployment::judged_by("");
    let (address, ca) = (deployment.address(), deployment.ca());
    let host = enrolled(&deployment, "gpu-1").await;
    let (_, honest) = host.included.unwrap();
    let kept = deployment.keep_checkpoint("kept");

    // The record key alone renews the certificate, for a TLS key of the thief's own, and signs.
    let mut thief = host.stolen(Loot::RecordKey);
    thief.renew(&address, &ca).await.unwrap();
    assert_eq!(sends(&deployment, &mut thief).await, Outcome::Included);
    let (_, forged) = thief.included.unwrap();
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);

    // The host finds a head in the log that it never signed; its operator revokes from there.
    let thief_again = thief.stolen(Loot::RecordKey);
    let session = stays(&deployment, thief).await;
    revoke(&deployment, "record", &host.record_key_id(), honest + 1);
    assert!(ended(session).await.contains("revoked: stolen"));
    let mut thief = thief_again;
    let renewed = thief.renew(&address, &ca).await.unwrap_err();
    assert!(renewed.message().contains("revoked: stolen"), "{renewed}");

    let mut again = comes_back(&deployment, &host).await;
    for _ in 0..crate::RECORDS {
        again.seal_usage();
    }
    assert_eq!(sends(&deployment, &mut again).await, Outcome::Included);

    let audit = deployment.audit(&kept);
    // The revocation had ended the old chain, so that a new one is due and no finding of its own.
    audit.assert(1, "findings", "kept", &["KEY_SUSPECT (later)"]);
    let items = audit.said["findings"]["items"].as_array().unwrap();
    let evidence = &items[0]["evidence"];
    assert_eq!(
        evidence["first_index"],
        honest + 1,
        "what came before stands"
    );
    assert!(evidence["last_index"].as_u64().unwrap() >= forged);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_histories_under_a_stolen_record_key_are_both_kept_and_end_the_chain() {
    let deployment = Deployment::judged_by("");
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = enrolled(&deployment, "gpu-1").await;
    let (_, honest) = host.included.unwrap();
    let kept = deployment.keep_checkpoint("kept");
    let mut thief = host.stolen(Loot::RecordKey);
    thief.renew(&address, &ca).await.unwrap();
    assert_eq!(sends(&deployment, &mut thief).await, Outcome::Included);

    // The host sends what it sealed itself at that place.
    host.seal_usage();
    let own = host.sealed.last().cloned().unwrap();
    let outcome = host.send_one(own, &address, &ca).await;
    assert_eq!(outcome, Outcome::Refused("frozen".into()));
    let outcome = sends(&deployment, &mut thief).await;
    assert_eq!(outcome, Outcome::Refused("frozen".into()), "for both");
    deployment
        .audit(&kept)
        .assert(1, "findings", "kept", &["CHAIN_FORK"]);

    revoke(&deployment, "record", &host.record_key_id(), honest + 1);
    let outcome = sends(&deployment, &mut thief).await;
    assert!(
        matches!(&outcome, Outcome::Broken(why) if why.contains("revoked: stolen")),
        "{outcome:?}"
    );
    let mut again = comes_back(&deployment, &host).await;
    for _ in 0..crate::RECORDS {
        again.seal_usage();
    }
    assert_eq!(sends(&deployment, &mut again).await, Outcome::Included);
    let due = ["CHAIN_FORK", "KEY_SUSPECT (later)"];
    deployment.audit(&kept).assert(1, "findings", "kept", &due);
}
