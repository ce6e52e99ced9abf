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
