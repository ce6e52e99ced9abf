//! Enrolment against a verifier: once, cut short, refused, pending.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod fake;

use std::os::unix::fs::PermissionsExt;

use affiant_proto::{Body, Statement, digest};
use fake::{Fake, Host, eventually, file};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_host_enrols_once_and_its_keys_are_its_own() {
    let fake = Fake::start();
    let host = Host::new(&fake);
    let enrolled = host.enroll();
    assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
    let mode =
        |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(host.path("data")), 0o700);
    for key in ["record.key", "tls.key"] {
        assert_eq!(mode(host.path("data").join(key)), 0o600);
    }
    let enrolment = Statement::parse(&file(&host, "enrolment")).unwrap();
    let Body::Enrolment(body) = enrolment.body() else {
        panic!("another statement")
    };
    assert_eq!(
        (body.host.as_str(), body.token.as_slice()),
        ("gpu-01", &digest(b"first-token").as_bytes()[..])
    );
    assert_eq!(
        enrolment.header().checkpoint().unwrap().size,
        1,
        "the checkpoint of describe"
    );
    let again = host.enroll();
    assert!(again.status.success());
    assert!(
        text(&again.stdout).contains("already"),
        "{}",
        text(&again.stdout)
    );
    assert_eq!(fake.state().enrolments.len(), 1);
}

#[test]
fn after_a_lost_reply_the_very_same_statement_is_sent_again() {
    let fake = Fake::start();
    let host = Host::new(&fake);
    fake.state().lose_reply = true;
    let lost = host.enroll();
    assert_eq!(lost.status.code(), Some(74), "{}", text(&lost.stderr));
    fake.state().lose_reply = false;
    assert!(host.enroll().status.success());
    let state = fake.state();
    assert_eq!(state.enrolments.len(), 2);
    assert_eq!(state.enrolments[0], state.enrolments[1]);
}

#[test]
fn after_a_lost_reply_another_token_finds_the_enrolment_that_was_taken() {
    let fake = Fake::start();
    let host = Host::new(&fake);
    fake.state().lose_reply = true;
    host.enroll();
    fake.state().lose_reply = false;
    host.token("second-token");
    let enrolled = host.enroll();
    assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
    let state = fake.state();
    assert_eq!((state.enrolments.len(), state.renewals), (1, 1));
}

#[test]
fn a_crash_at_any_step_before_sending_is_finished_by_the_next_attempt() {
    let fake = Fake::start();
    for kept in [
        &[][..],
        &["record.key"],
        &["record.key", "tls.key"],
        &["record.key", "tls.key", "genesis"],
    ] {
        let host = Host::new(&fake);
        host.enroll();
        for name in [
            "record.key",
            "tls.key",
            "genesis",
            "enrolment",
            "certificates.pem",
        ] {
            if !kept.contains(&name) {
                std::fs::remove_file(host.path("data").join(name)).unwrap();
            }
        }
        let enrolled = host.enroll();
        assert!(
            enrolled.status.success(),
            "{kept:?}: {}",
            text(&enrolled.stderr)
        );
    }
}

#[test]
fn a_refused_token_leaves_nothing_behind_and_the_next_one_works() {
    let fake = Fake::start();
    let host = Host::new(&fake);
    fake.state().no_token = true;
    let refused = host.enroll();
    assert_eq!(refused.status.code(), Some(74));
    assert!(
        text(&refused.stderr).contains("token is not accepted"),
        "{}",
        text(&refused.stderr)
    );
    assert!(
        !host.path("data").join("record.key").exists(),
        "a key has one use"
    );
    fake.state().no_token = false;
    host.token("second-token");
    assert!(host.enroll().status.success());
}

#[test]
fn a_host_that_waits_for_approval_says_so_and_sends_once_it_has_it() {
    let fake = Fake::start();
    let host = Host::new(&fake);
    fake.state().pending = true;
    let pending = host.enroll();
    assert_eq!(pending.status.code(), Some(3));
    assert!(
        text(&pending.stdout).contains("approve"),
        "{}",
        text(&pending.stdout)
    );
    let mut agent = host.start();
    eventually("the agent asks whether it is approved", || {
        fake.state().renewals > 1
    });
    eventually("records are sealed meanwhile", || {
        host.spool()["last"].as_u64() > Some(2)
    });
    assert!(
        fake.state().hellos.is_empty(),
        "nothing is sent without a certificate"
    );
    fake.state().pending = false;
    eventually("records come", || fake.state().received.len() > 2);
    agent.stop();
}

#[test]
fn a_verifier_of_another_authority_is_not_believed() {
    let (fake, other) = (Fake::start(), Fake::start());
    let host = Host::new(&fake);
    host.configure(&other);
    let refused = host.enroll();
    assert_eq!(refused.status.code(), Some(74));
    assert!(
        text(&refused.stderr).contains("certificate"),
        "{}",
        text(&refused.stderr)
    );
    assert!(other.state().enrolments.is_empty());
    assert!(!host.path("data").join("record.key").exists());
}

#[test]
fn a_host_that_never_enrolled_does_not_run_and_makes_no_key() {
    let fake = Fake::start();
    let host = Host::new(&fake);
    let refused = host.run(&["run"]);
    assert_eq!(refused.status.code(), Some(74));
    assert!(
        text(&refused.stderr).contains("affiant-agent enroll"),
        "{}",
        text(&refused.stderr)
    );
    assert!(!host.path("data").join("record.key").exists());
}

#[test]
fn where_a_certificate_and_the_clock_do_not_go_together_the_error_names_the_remedy() {
    let fake = Fake::start();
    let host = Host::new(&fake);
    for validity in [(-7_200, -3_600), (3_600, 7_200)] {
        fake.valid_from_to(validity);
        let refused = host.enroll();
        assert_eq!(refused.status.code(), Some(74));
        let said = text(&refused.stderr);
        assert!(said.contains("`timedatectl`"), "{validity:?}: {said}");
    }
    assert!(!host.path("data").join("record.key").exists());
    fake.valid_from_to((-10, 3_600));
    assert!(host.enroll().status.success());
}

/// Enrols again with a fresh token.
fn again(host: &Host, token: &str) -> std::process::Output {
    host.token(token);
    let file = host.path("token");
    host.run(&[
        "enroll",
        "--again",
        "--reason",
        "board replaced",
        "--token-file",
        file.to_str().unwrap(),
    ])
}

fn predecessor(fake: &Fake) -> (Statement, affiant_proto::v1::Predecessor) {
    let bytes = fake.state().enrolments.last().unwrap().1.clone();
    let statement = Statement::parse(&bytes).unwrap();
    let Body::Enrolment(body) = statement.body().clone() else {
        panic!("another statement")
    };
    (statement, body.predecessor.unwrap())
}

#[test]
fn a_host_that_enrols_again_sends_what_it_has_and_proves_whose_it_was() {
    let fake = Fake::start();
    let host = Host::new(&fake);
    assert!(host.enroll().status.success());
    let first = Statement::parse(&file(&host, "enrolment")).unwrap();
    fake.state().away = true;
    let mut agent = host.start();
    eventually("records wait", || host.spool()["last"].as_u64() > Some(4));
    agent.stop();
    fake.state().away = false;
    let last = host.spool()["last"].as_u64().unwrap();
    let enrolled = again(&host, "second-token");
    assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
    assert!(
        text(&enrolled.stdout).contains("former-"),
        "{}",
        text(&enrolled.stdout)
    );
    assert_eq!(
        fake.state().received.len() as u64,
        last,
        "all that waited was sent"
    );
    let (second, said) = predecessor(&fake);
    assert_eq!(second, Statement::parse(&file(&host, "enrolment")).unwrap());
    assert_eq!(
        (said.sequence, said.reason.as_str(), said.chain.as_slice()),
        (last, "board replaced", &first.digest().as_bytes()[..])
    );
    let mut old = affiant_proto::ChainState::open(first).unwrap().0;
    for statement in fake.state().received.clone() {
        old.follow(statement).unwrap();
    }
    let Body::Enrolment(body) = second.body() else {
        panic!("another statement")
    };
    let proved = affiant_proto::Reenrolment::of(body, Some(&old));
    assert_eq!(proved, affiant_proto::Reenrolment::Proved);
    let mut agent = host.start();
    eventually("the new chain comes", || {
        let state = fake.state();
        let of_new = |s: &&Statement| s.header().chain() == Some(second.digest());
        state.received.iter().filter(of_new).count() > 2
    });
    agent.stop();
}

#[test]
fn an_evicted_host_enrols_again_and_what_it_could_not_send_is_kept() {
    let fake = Fake::start();
    let host = Host::new(&fake);
    assert!(host.enroll().status.success());
    let first = Statement::parse(&file(&host, "enrolment"))
        .unwrap()
        .digest();
    fake.state().evicted = Some(first);
    let mut agent = host.start();
    eventually("records wait", || host.spool()["last"].as_u64() > Some(4));
    agent.stop();
    let keys = file(&host, "record.key");
    // A token that is refused changes nothing, and the next one is taken.
    fake.state().no_token = true;
    assert_eq!(again(&host, "bad-token").status.code(), Some(74));
    assert_eq!(file(&host, "record.key"), keys);
    fake.state().no_token = false;
    fake.state().pending = true;
    let pending = again(&host, "good-token");
    assert_eq!(pending.status.code(), Some(3), "{}", text(&pending.stderr));
    assert!(fake.state().received.is_empty());
    let former = format!("former-{}", &first.to_string()[..16]);
    assert!(host.path("data").join(&former).join("spool").is_dir());
    assert_eq!(file(&host, &format!("{former}/record.key")), keys);
    fake.state().pending = false;
    let mut agent = host.start();
    eventually("the new chain comes", || fake.state().received.len() > 2);
    agent.stop();
}

#[test]
fn a_host_that_lost_its_key_enrols_again_without_a_proof() {
    let fake = Fake::start();
    let host = Host::new(&fake);
    assert!(host.enroll().status.success());
    std::fs::remove_file(host.path("data").join("record.key")).unwrap();
    let enrolled = again(&host, "second-token");
    assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
    let (_, said) = predecessor(&fake);
    assert!(said.proof.is_empty());
    assert_eq!(said.chain, said.head);
}

#[test]
fn wrong_use_exits_64_and_a_token_never_stands_on_the_command_line() {
    let fake = Fake::start();
    let host = Host::new(&fake);
    assert_eq!(host.run(&["enroll"]).status.code(), Some(64));
    assert_eq!(
        host.run(&["enroll", "--token", "x"]).status.code(),
        Some(64)
    );
    std::fs::write(host.path("agent.toml"), "lisen = 1\ninterval = 0\n").unwrap();
    let refused = host.run(&["check-config"]);
    assert_eq!(refused.status.code(), Some(64));
    for key in ["lisen", "interval", "verifier", "ca"] {
        assert!(
            text(&refused.stderr).contains(key),
            "{key}: {}",
            text(&refused.stderr)
        );
    }
}
