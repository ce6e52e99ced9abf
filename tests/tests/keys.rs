//! Keys change hands and are stolen: what goes on, what ends, and who is told why.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{fs, time::Duration};

use affiant_tests::{Deployment, Host, Outcome, until};

const PATIENCE: Duration = Duration::from_secs(60);

async fn enrolled(deployment: &Deployment, name: &str) -> Host {
    let token = deployment.token(name, "1h");
    Host::enrol(name, &deployment.address(), &deployment.ca(), &token)
        .await
        .unwrap()
}

async fn sends(deployment: &Deployment, host: &mut Host) -> Outcome {
    host.seal_usage();
    host.send(&deployment.address(), &deployment.ca()).await
}

/// A session that stays open; ends with what the host was told.
async fn stays(deployment: &Deployment, mut host: Host) -> tokio::task::JoinHandle<String> {
    host.seal_usage();
    let (address, ca) = (deployment.address(), deployment.ca());
    let session = tokio::spawn(async move { host.stay(&address, &ca).await });
    until("the host to be connected", PATIENCE, || {
        let status = deployment.json(&["status", "--json"]);
        (status["fleet"]["connected"] == 1).then_some(())
    });
    session
}

async fn ended(session: tokio::task::JoinHandle<String>) -> String {
    tokio::time::timeout(PATIENCE, session)
        .await
        .unwrap()
        .unwrap()
}

fn key(deployment: &Deployment, used: &str, state: &str) -> String {
    let keys = deployment.json(&["key", "list", "--json"]);
    let found = keys.as_array().unwrap().iter();
    let mut found = found.filter(|key| key["use"] == used && key["state"] == state);
    found.next().unwrap()["key"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_session_of_a_banned_host_ends_with_the_reason() {
    let deployment = Deployment::new();
    let host = enrolled(&deployment, "gpu-1").await;
    let session = stays(&deployment, host).await;
    deployment.succeed(&["host", "ban", "gpu-1", "--reason", "test"]);
    assert!(ended(session).await.contains("banned"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_record_key_is_refused_its_session_ends_and_the_host_comes_back_by_approval() {
    let mut deployment = Deployment::new();
    let host = enrolled(&deployment, "gpu-1").await;
    let id = host.record_key_id();
    let (address, ca) = (deployment.address(), deployment.ca());
    deployment.succeed(&[
        "key", "revoke", "--use", "record", "--key", &id, "--reason", "stolen",
    ]);
    let token = deployment.token("gpu-1", "1h");
    let mut again = host.enrol_again(&address, &ca, &token, true).await.unwrap();
    assert!(again.is_pending(), "a revoked key proves nothing");

    let mut stolen = host;
    let outcome = sends(&deployment, &mut stolen).await;
    assert!(
        matches!(&outcome, Outcome::Broken(why) if why.contains("revoked: stolen")),
        "{outcome:?}"
    );
    let renewed = stolen.renew(&address, &ca).await.unwrap_err();
    assert!(renewed.message().contains("revoked"), "{renewed}");
    deployment.succeed(&["host", "approve", "gpu-1"]);
    again.renew(&address, &ca).await.unwrap();
    assert_eq!(sends(&deployment, &mut again).await, Outcome::Included);

    deployment.stop();
    deployment.start();
    let outcome = sends(&deployment, &mut stolen).await;
    assert!(matches!(outcome, Outcome::Broken(_)), "after a restart too");
    assert_eq!(sends(&deployment, &mut again).await, Outcome::Included);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_session_of_a_revoked_record_key_ends() {
    let deployment = Deployment::new();
    let host = enrolled(&deployment, "gpu-1").await;
    let id = host.record_key_id();
    let session = stays(&deployment, host).await;
    deployment.succeed(&[
        "key", "revoke", "--use", "record", "--key", &id, "--reason", "stolen",
    ]);
    assert!(ended(session).await.contains("revoked: stolen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_tls_key_is_shut_out_and_the_host_goes_on_with_another() {
    let deployment = Deployment::new();
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = enrolled(&deployment, "gpu-1").await;
    assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);
    let id = host.tls_key_id();
    deployment.succeed(&[
        "key", "revoke", "--use", "tls", "--key", &id, "--reason", "stolen",
    ]);
    let outcome = sends(&deployment, &mut host).await;
    assert!(matches!(outcome, Outcome::Broken(_)), "{outcome:?}");
    until("the refusal in the journal", PATIENCE, || {
        let journal = deployment.journal();
        (journal.contains("connection refused") && journal.contains("stolen")).then_some(())
    });
    let same = host.renew(&address, &ca).await.unwrap_err();
    assert!(same.message().contains("revoked"), "{same}");
    host.replace_tls_key();
    host.renew(&address, &ca).await.unwrap();
    assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_key_changes_and_the_log_goes_on_over_a_restart() {
    let mut deployment = Deployment::new();
    let mut host = enrolled(&deployment, "gpu-1").await;
    let before = key(&deployment, "operator", "in force");
    for _ in 0..2 {
        deployment.succeed(&["key", "rotate", "operator"]);
        assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);
    }
    let after = key(&deployment, "operator", "in force");
    assert_ne!(before, after);
    deployment.kill();
    deployment.start();
    assert_eq!(key(&deployment, "operator", "in force"), after);
    assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);
    deployment.stop();
    deployment.read_log();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_changes_without_a_gap_and_the_old_one_counts_until_it_is_revoked() {
    let mut deployment = Deployment::new();
    let address = deployment.address();
    let mut old = enrolled(&deployment, "gpu-1").await;
    let first_ca = deployment.path("first-ca.pem");
    fs::copy(deployment.ca(), &first_ca).unwrap();
    let first = key(&deployment, "ca", "in force");
    deployment.succeed(&["key", "rotate", "ca"]);
    assert_ne!(key(&deployment, "ca", "in force"), first);
    assert_eq!(key(&deployment, "ca", "counts still"), first);

    // Who has the first authority alone still trusts the server; its certificate still counts.
    old.seal_usage();
    assert_eq!(old.send(&address, &first_ca).await, Outcome::Included);
    let mut new = enrolled(&deployment, "gpu-2").await;
    assert_eq!(sends(&deployment, &mut new).await, Outcome::Included);
    deployment.kill();
    deployment.start();
    let address = deployment.address();
    old.seal_usage();
    assert_eq!(old.send(&address, &first_ca).await, Outcome::Included);

    let in_force = key(&deployment, "ca", "in force");
    let refused = deployment.run(&[
        "key", "revoke", "--use", "ca", "--key", &in_force, "--reason", "test",
    ]);
    assert_eq!(refused.status.code(), Some(64), "none would count");
    let session = stays(&deployment, old).await;
    deployment.succeed(&[
        "key", "revoke", "--use", "ca", "--key", &first, "--reason", "stolen",
    ]);
    assert!(ended(session).await.contains("revoked: stolen"));
    assert_eq!(sends(&deployment, &mut new).await, Outcome::Included);
}

#[test]
fn an_officer_is_added_by_two_others_changes_his_key_and_loses_one() {
    let deployment = Deployment::new();
    let path = |name: &str| deployment.path(name).to_str().unwrap().to_owned();
    for name in ["carol", "carol-2"] {
        deployment.officer(name);
    }
    let (carol, carol_2) = (path("carol.key"), path("carol-2.key"));
    let alone = deployment.admit("carol", &["alice", "alice"]);
    assert!(alone.is_err(), "one officer twice is one officer");
    deployment.admit("carol", &["alice", "bob"]).unwrap();
    deployment.succeed(&["officer", "rotate", "--key", &carol, "--new", &carol_2]);
    let registry = path("registry.toml");
    let seat = |seat: &str| {
        let party = format!(
            "[[party]]\nid = \"p\"\nnames = [\"P\"]\nincorporation = \"GB\"\nheadquarters = \"{seat}\"\n"
        );
        fs::write(&registry, party).unwrap();
    };
    seat("GB");
    let apply = |key: &str| deployment.run(&["tenant", "apply", &registry, "--key", key]);
    assert!(!apply(&carol).status.success(), "the old key is over");
    assert!(apply(&carol_2).status.success());

    let keys = deployment.json(&["key", "list", "--json"]);
    let mut officers = keys.as_array().unwrap().iter();
    let hers = officers.find(|key| key["use"] == "officer" && key["whose"] == "carol");
    let id = hers.unwrap()["key"].as_str().unwrap().to_owned();
    deployment.succeed(&[
        "officer",
        "revoke",
        "--key",
        &path("alice.key"),
        "--revoked",
        &id,
        "--reason",
        "lost",
    ]);
    // What stands already nobody has to sign.
    seat("DE");
    let refused = apply(&carol_2);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("revoked: lost"), "{error}");
}

#[test]
fn an_approval_of_something_else_than_was_reviewed_is_not_signed() {
    let deployment = Deployment::new();
    let tenant = |use_: &str| {
        format!(
            "[[party]]\nid = \"p\"\nnames = [\"P\"]\nincorporation = \"GB\"\nheadquarters = \"GB\"\n\
             [[tenant]]\nid = \"t\"\ncustomer = \"p\"\nend_customer = \"p\"\nultimate_parent = \"p\"\n\
             declared_use = \"{use_}\"\n"
        )
    };
    let digest = || {
        until("the tenant", PATIENCE, || {
            let shown = deployment.run(&["tenant", "show", "t"]);
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            let line = shown.lines().find(|line| line.starts_with("digest"))?;
            Some(line.split_whitespace().last()?.to_owned())
        })
    };
    deployment.apply(&tenant("weather"));
    let reviewed = digest();
    deployment.apply(&tenant("something else"));
    until("the change", PATIENCE, || {
        (digest() != reviewed).then_some(())
    });
    let key = deployment.key("alice");
    let key = key.to_str().unwrap();
    let approve = |digest: &str| {
        deployment.run(&["tenant", "approve", "t", "--key", key, "--dossier", digest])
    };
    assert_eq!(approve(&reviewed).status.code(), Some(64));
    assert!(approve(&digest()).status.success());
}

#[test]
fn a_private_key_in_the_place_of_a_public_one_is_told_so() {
    let deployment = Deployment::new();
    let key = deployment.key("alice");
    let output = deployment.run(&[
        "init",
        "--origin",
        "test.example/affiant/2",
        "--operator",
        "Test",
        "--officer",
        key.to_str().unwrap(),
        "--officer",
        deployment.path("bob.pub").to_str().unwrap(),
        "--data",
        deployment.path("new").to_str().unwrap(),
    ]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("alice.pub"), "{error}");
}
