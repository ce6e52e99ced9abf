//! Who may enrol, who may send, and what ends that.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{fs, time::Duration};

use affiant_proto::tlog::{Checkpoint, Hash, Note, leaf_hash, verify_inclusion};
use affiant_tests::{Deployment, Host, Outcome, until};

async fn enrolled(deployment: &Deployment, name: &str) -> Host {
    let token = deployment.token(name, "1h");
    Host::enrol(name, &deployment.address(), &deployment.ca(), &token)
        .await
        .unwrap()
}

async fn refused(deployment: &Deployment, name: &str, token: &str) -> String {
    match Host::enrol(name, &deployment.address(), &deployment.ca(), token).await {
        Ok(_) => panic!("{name} was enrolled"),
        Err(status) => status.message().to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_works_once_for_its_host_and_until_its_end() {
    let deployment = Deployment::new();
    let token = deployment.token("gpu-1", "1h");
    let used = token.clone();
    assert!(
        refused(&deployment, "gpu-1", "affiant-token-wrong")
            .await
            .contains("not accepted")
    );
    assert!(
        refused(&deployment, "gpu-2", &token)
            .await
            .contains("not accepted")
    );
    Host::enrol("gpu-1", &deployment.address(), &deployment.ca(), &token)
        .await
        .unwrap();
    assert!(
        refused(&deployment, "gpu-1", &used)
            .await
            .contains("not accepted"),
        "used"
    );

    let brief = deployment.token("gpu-3", "1s");
    until("the token to expire", Duration::from_secs(20), || {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis();
        let listed = std::fs::read_to_string(deployment.data().join("tokens.jsonl")).unwrap();
        let last: serde_json::Value = serde_json::from_str(listed.lines().last().unwrap()).unwrap();
        (now > u128::from(last["expires_unix_ms"].as_u64().unwrap())).then_some(())
    });
    assert!(
        refused(&deployment, "gpu-3", &brief)
            .await
            .contains("not accepted"),
        "expired"
    );
    let journal = deployment.journal();
    for reason in [
        "not one of this verifier's",
        "for another host",
        "used already",
        "has expired",
    ] {
        assert!(journal.contains(reason), "{reason} in {journal}");
    }
    assert!(
        !journal.contains(&used) && !journal.contains(&brief),
        "a token must not reach the journal"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_still_used_after_a_restart() {
    let mut deployment = Deployment::new();
    let token = deployment.token("gpu-1", "1h");
    Host::enrol("gpu-1", &deployment.address(), &deployment.ca(), &token)
        .await
        .unwrap();
    deployment.kill();
    deployment.start();
    assert!(
        refused(&deployment, "gpu-1", &token)
            .await
            .contains("not accepted")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_an_enrolled_host_are_included() {
    let mut deployment = Deployment::new();
    let mut host = enrolled(&deployment, "gpu-1").await;
    for _ in 0..20 {
        host.seal_usage();
    }
    assert_eq!(
        host.send(&deployment.address(), &deployment.ca()).await,
        Outcome::Included
    );
    deployment.stop();
    let log = deployment.read_log();
    assert_eq!(
        log.hosts
            .get(&host.chain())
            .unwrap()
            .included()
            .unwrap()
            .sequence,
        21
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_shown_in_any_tree_that_a_host_may_hold_and_in_no_other() {
    let deployment = Deployment::new();
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = enrolled(&deployment, "gpu-1").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        host.seal_usage();
        assert_eq!(host.send(&address, &ca).await, Outcome::Included);
        let note = fs::read_to_string(deployment.data().join("log/public/checkpoint")).unwrap();
        let text = Note::parse(note.as_bytes()).unwrap().text().to_owned();
        held.push(text.parse::<Checkpoint>().unwrap());
    }
    // The host's enrolment is early in the log, its chain's digest the entry.
    let record = leaf_hash(host.chain().as_bytes());
    for held in &held {
        let mut shown = 0;
        for index in 0..held.size() {
            let reply = host
                .prove((index, held.size()), &address, &ca)
                .await
                .unwrap();
            let path = reply
                .path
                .iter()
                .map(|hash| Hash::try_from(hash.as_slice()).unwrap());
            let path: Vec<Hash> = path.collect();
            let (size, root) = (held.size(), held.root());
            shown += u32::from(verify_inclusion(&record, index, size, root, &path).is_ok());
        }
        assert_eq!(shown, 1, "at its place and at no other");
    }
    let newest = held.last().unwrap().size();
    for (index, size) in [(newest, newest), (0, newest + 1_000_000), (u64::MAX, 0)] {
        let denied = host.prove((index, size), &address, &ca).await.unwrap_err();
        assert_eq!(
            denied.code(),
            tonic::Code::NotFound,
            "{index} in {size}: {denied}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_enrolled_cannot_send() {
    let deployment = Deployment::new();
    let other = Deployment::new();
    let mut stranger = enrolled(&other, "gpu-1").await;
    stranger.seal_usage();
    let outcome = stranger.send(&deployment.address(), &deployment.ca()).await;
    assert!(
        matches!(outcome, Outcome::Broken(_)),
        "its certificate is another authority's: {outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evicted_host_may_return_by_approval_and_a_banned_one_never() {
    let deployment = Deployment::new();
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = enrolled(&deployment, "gpu-1").await;
    host.seal_usage();
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);

    deployment.succeed(&["host", "evict", "gpu-1", "--reason", "test"]);
    host.seal_usage();
    let outcome = host.send(&address, &ca).await;
    assert!(
        matches!(&outcome, Outcome::Broken(why) if why.contains("evicted")),
        "{outcome:?}"
    );
    assert!(
        host.renew(&address, &ca)
            .await
            .unwrap_err()
            .message()
            .contains("evicted")
    );

    let mut again = enrolled(&deployment, "gpu-1").await;
    assert!(
        again.is_pending(),
        "a name that was evicted waits for approval"
    );
    deployment.succeed(&["host", "approve", "gpu-1"]);
    again.renew(&address, &ca).await.unwrap();
    again.seal_usage();
    assert_eq!(again.send(&address, &ca).await, Outcome::Included);

    deployment.succeed(&["host", "ban", "gpu-1"]);
    again.seal_usage();
    let outcome = again.send(&address, &ca).await;
    assert!(
        matches!(&outcome, Outcome::Broken(why) if why.contains("banned")),
        "{outcome:?}"
    );
    let token = deployment.token("gpu-1", "1h");
    assert!(
        refused(&deployment, "gpu-1", &token)
            .await
            .contains("banned")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_proves_its_old_chain_goes_on_at_once_and_the_old_chain_ends() {
    let deployment = Deployment::new();
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut old = enrolled(&deployment, "gpu-1").await;
    old.seal_usage();
    assert_eq!(old.send(&address, &ca).await, Outcome::Included);
    let token = deployment.token("gpu-1", "1h");
    let mut new = old.enrol_again(&address, &ca, &token, true).await.unwrap();
    assert!(!new.is_pending());
    new.seal_usage();
    assert_eq!(new.send(&address, &ca).await, Outcome::Included);
    old.seal_usage();
    let outcome = old.send(&address, &ca).await;
    assert!(
        matches!(&outcome, Outcome::Broken(why) if why.contains("continued by another")),
        "{outcome:?}"
    );
    let listed = deployment.json(&["host", "list", "--json"]);
    let line = |chain: &str| {
        let lines = listed.as_array().unwrap().iter();
        lines.clone().find(|line| line["chain"] == chain).unwrap()
    };
    let (before, after) = (old.chain().to_string(), new.chain().to_string());
    assert_eq!(line(&before)["standing"], "replaced");
    assert_eq!(line(&before)["continued_by"], after.as_str());
    assert_eq!(line(&after)["continues"], before.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_proves_nothing_waits_and_its_approval_ends_the_old_chain() {
    let deployment = Deployment::new();
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut old = enrolled(&deployment, "gpu-1").await;
    let token = deployment.token("gpu-1", "1h");
    let mut new = old.enrol_again(&address, &ca, &token, false).await.unwrap();
    assert!(new.is_pending());
    old.seal_usage();
    assert_eq!(
        old.send(&address, &ca).await,
        Outcome::Included,
        "until then"
    );
    deployment.succeed(&["host", "approve", "gpu-1"]);
    new.renew(&address, &ca).await.unwrap();
    new.seal_usage();
    assert_eq!(new.send(&address, &ca).await, Outcome::Included);
    old.seal_usage();
    assert!(matches!(old.send(&address, &ca).await, Outcome::Broken(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_by_a_key_that_was_rotated_since_is_found_after_a_restart_too() {
    let mut deployment = Deployment::new();
    let mut forger = enrolled(&deployment, "gpu-1").await;
    forger.seal_usage();
    let (address, ca) = (deployment.address(), deployment.ca());
    assert_eq!(forger.send(&address, &ca).await, Outcome::Included);
    // A twin of the newest record, by the same key; then the key changes.
    let at = forger.sealed.len() - 1;
    let kept = forger.sealed.clone();
    let state = forger.state().clone();
    forger.fork();
    let second = forger.sealed[at].clone();
    forger.restore(kept, state);
    forger.rotate_record_key();
    forger.seal_usage();
    assert_eq!(forger.send(&address, &ca).await, Outcome::Included);
    deployment.kill();
    deployment.start();
    let outcome = forger
        .send_one(second, &deployment.address(), &deployment.ca())
        .await;
    assert_eq!(outcome, Outcome::Refused("frozen".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_who_is_silent_and_why_and_maintenance_excuses_it() {
    let mut deployment = Deployment::new();
    let judge = deployment.path("judge.toml");
    std::fs::write(&judge, "gap_grace_ms = 1\n").unwrap();
    let config = deployment.path("verifier.toml");
    let more = std::fs::read_to_string(&config).unwrap() + &format!("judge = {judge:?}\n");
    std::fs::write(&config, more).unwrap();
    deployment.stop();
    deployment.start();
    assert_eq!(deployment.run(&["status"]).status.code(), Some(0));

    let mut host = enrolled(&deployment, "gpu-1").await;
    let silent = |expected: &str| {
        until(expected, Duration::from_secs(60), || {
            let status = deployment.json(&["status", "--json"]);
            let why = status["fleet"]["silent"][0]["why"].as_str()?.to_owned();
            why.contains(expected).then_some(())
        });
    };
    silent("never reported");
    assert_eq!(deployment.run(&["status"]).status.code(), Some(1));
    host.seal_usage();
    let (address, ca) = (deployment.address(), deployment.ca());
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    silent("connection lost");
    deployment.succeed(&["host", "maintenance", "gpu-1", "--until", "1h"]);
    silent("planned maintenance until");
    assert_eq!(deployment.run(&["status"]).status.code(), Some(0));
    let screen = deployment.succeed(&["status"]);
    assert!(screen.contains("1 silent, 1 of them planned"), "{screen}");
    for wrong in ["61d", "2020-01-01"] {
        let refused = deployment.run(&["host", "maintenance", "gpu-1", "--until", wrong]);
        assert_eq!(refused.status.code(), Some(64), "{wrong}");
    }
    deployment.kill();
    assert_eq!(deployment.run(&["status"]).status.code(), Some(74));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_hangup_the_configuration_is_read_again_and_a_bad_one_changes_nothing() {
    let deployment = Deployment::new();
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = enrolled(&deployment, "gpu-1").await;
    host.seal_usage();
    let config = deployment.path("verifier.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    let told = |what: &str| {
        until(what, Duration::from_secs(60), || {
            deployment.journal().contains(what).then_some(())
        });
    };
    std::fs::write(&config, format!("{good}nmes = []\n")).unwrap();
    deployment.hang_up();
    told("nmes: is not a key");
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    std::fs::write(&config, format!("{good}names = [\"elsewhere.example\"]\n")).unwrap();
    deployment.hang_up();
    told("the configuration was read again");
    host.seal_usage();
    let outcome = host.send(&address, &ca).await;
    assert!(
        matches!(outcome, Outcome::Broken(_)),
        "its certificate names another place: {outcome:?}"
    );
    std::fs::write(&config, &good).unwrap();
    deployment.hang_up();
    until("the old name", Duration::from_secs(60), || {
        (deployment.journal().matches("was read again").count() == 2).then_some(())
    });
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
}

#[test]
fn serve_on_a_directory_that_is_none_says_what_to_do() {
    let deployment = Deployment::new();
    let nowhere = deployment.path("nowhere");
    let output = deployment.run(&["serve", "--data", nowhere.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(74));
    assert!(error.contains("affiant-verifier init"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_drains_a_backlog_takes_its_share_of_the_queue_and_no_more() {
    let deployment = Deployment::new();
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut late = enrolled(&deployment, "gpu-1").await;
    let mut live = enrolled(&deployment, "gpu-2").await;
    for _ in 0..600 {
        late.seal_usage();
    }
    let drained = {
        let (address, ca) = (address.clone(), ca.clone());
        tokio::spawn(async move { late.send(&address, &ca).await })
    };
    live.seal_usage();
    assert_eq!(live.send(&address, &ca).await, Outcome::Included);
    assert_eq!(drained.await.unwrap(), Outcome::Included);
    let status = deployment.json(&["status", "--json"]);
    let most = status["fleet"]["most_in_flight"].as_u64().unwrap();
    assert!((2..=256).contains(&most), "{most} of one stream at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_records_at_one_sequence_are_a_fork_and_freeze_the_chain() {
    let mut deployment = Deployment::new();
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = enrolled(&deployment, "gpu-1").await;
    host.seal_usage();
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    let upto = host.sealed.len() - 1;
    host.fork();
    let forged = host.sealed[upto].clone();
    let outcome = host.send_one(forged, &address, &ca).await;
    assert_eq!(outcome, Outcome::Refused("frozen".into()));
    host.seal_usage();
    let outcome = host.send(&address, &ca).await;
    assert!(
        matches!(outcome, Outcome::Refused(_)),
        "nothing more of it is taken: {outcome:?}"
    );
    deployment.stop();
    let kinds: Vec<String> = deployment
        .log_entries()
        .iter()
        .map(|bytes| {
            affiant_proto::Envelope::parse(bytes)
                .unwrap()
                .statement()
                .kind()
                .name()
        })
        .collect();
    assert!(kinds.contains(&"fork.v1".to_owned()), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_by_the_longest_statement_does_not_stop_the_verifier() {
    let deployment = Deployment::new();
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = enrolled(&deployment, "gpu-1").await;
    host.seal_usage();
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    let upto = host.sealed.len() - 1;
    // With its wrapper and header it is just below the 64 KiB that a statement may have.
    host.fork_by_observation(65_000);
    let forged = host.sealed[upto].clone();
    let outcome = host.send_one(forged, &address, &ca).await;
    assert_eq!(outcome, Outcome::Refused("frozen".into()));
    let mut other = enrolled(&deployment, "gpu-2").await;
    other.seal_usage();
    assert_eq!(
        other.send(&address, &ca).await,
        Outcome::Included,
        "the others go on"
    );
}

#[test]
fn a_second_serve_on_one_directory_is_refused_and_the_first_goes_on() {
    let deployment = Deployment::new();
    let output = deployment.run(&["serve"]);
    assert_eq!(output.status.code(), Some(74));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains(&deployment.id().to_string()),
        "names the one that has it: {error}"
    );
    deployment.succeed(&["status"]);
}

#[test]
fn a_report_on_a_tenant_that_nobody_knows_is_refused() {
    let deployment = Deployment::new();
    let out = deployment.path("report");
    let arguments = [
        "report",
        "--from",
        "2026-01-01",
        "--to",
        "2026-02-01",
        "--tenant",
        "nosuch",
    ];
    let output = deployment.run(&[&arguments[..], &["--out", out.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nosuch"));
}

#[test]
fn init_makes_the_directory_that_the_configuration_names() {
    let deployment = Deployment::new();
    let config = deployment.path("other.toml");
    let data = deployment.path("elsewhere");
    std::fs::write(&config, format!("data = {data:?}\n")).unwrap();
    let status = std::process::Command::new(affiant_tests::binary("affiant-verifier"))
        .args([
            "init",
            "--origin",
            "test.example/affiant/2",
            "--operator",
            "Test",
            "--officer",
        ])
        .arg(deployment.path("alice.pub"))
        .arg("--officer")
        .arg(deployment.path("bob.pub"))
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    assert!(
        status.status.success(),
        "{}",
        String::from_utf8_lossy(&status.stderr)
    );
    assert!(data.join("trust.toml").exists());
}

#[test]
fn init_never_overwrites() {
    let deployment = Deployment::new();
    let (alice, bob) = (deployment.path("alice.pub"), deployment.path("bob.pub"));
    let output = deployment.run(&[
        "init",
        "--data",
        deployment.data().to_str().unwrap(),
        "--origin",
        "test.example/affiant/2",
        "--operator",
        "Test",
        "--officer",
        alice.to_str().unwrap(),
        "--officer",
        bob.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(74));
    deployment.succeed(&["status"]);
}

#[test]
fn an_unknown_configuration_key_is_refused_with_its_name() {
    let deployment = Deployment::new();
    let config = deployment.path("wrong.toml");
    std::fs::write(&config, "data = \"/x\"\nlisen = 1\n").unwrap();
    let output = std::process::Command::new(affiant_tests::binary("affiant-verifier"))
        .args(["check-config", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("lisen"));
}
