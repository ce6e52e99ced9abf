//! The daemon against a verifier that behaves, breaks off, refuses, or lies.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod fake;

use std::time::Duration;

use affiant_proto::{Body, ChainState, Statement, usage::Ended, v1};
use fake::{Fake, Host, Proving, eventually, file};

fn enrolled(fake: &Fake) -> Host {
    let host = Host::new(fake);
    let enrolled = host.enroll();
    assert!(
        enrolled.status.success(),
        "{}",
        String::from_utf8_lossy(&enrolled.stderr)
    );
    host
}

/// Follows the chain through what a verifier received; each record once, abutting in a boot.
fn check_chain(host: &Host, received: &[Statement]) {
    let opener = Statement::parse(&file(host, "enrolment")).unwrap();
    let mut chain = ChainState::open(opener).unwrap().0;
    let mut ended: Option<Ended> = None;
    for statement in received {
        let verified = chain.follow(statement.clone()).unwrap();
        if let Body::Usage(usage) = verified.body() {
            if let Some(ended) = ended {
                ended.abuts(usage).unwrap();
            }
            assert_eq!(usage.source(), v1::SourceKind::Recorded);
            ended = Some(Ended {
                boot: usage.boot,
                end_ms: usage.end_ms,
            });
        }
    }
    assert!(
        ended.is_some(),
        "no usage among {} statements",
        received.len()
    );
}

#[test]
fn what_is_measured_arrives_signed_in_order_and_a_drained_agent_leaves_nothing_waiting() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    let mut agent = host.start();
    eventually("a few records have come", || {
        fake.state().received.len() > 4
    });
    let (code, took) = agent.stop();
    assert_eq!(code, Some(0), "{}", agent.journal());
    assert!(took < Duration::from_secs(5), "{took:?}");
    let state = fake.state();
    check_chain(&host, &state.received);
    let kinds: Vec<String> = state
        .received
        .iter()
        .take(3)
        .map(|s| s.kind().name())
        .collect();
    assert_eq!(kinds, ["inventory.v1", "workloads.v1", "usage.v1"]);
    assert!(
        state
            .received
            .last()
            .unwrap()
            .header()
            .checkpoint()
            .is_some()
    );
    let spool = host.spool();
    assert_eq!(spool["waiting"], 0);
    assert_eq!(
        spool["last"],
        state.received.last().unwrap().header().sequence()
    );
}

#[test]
fn a_connection_that_breaks_after_every_record_loses_none_and_doubles_none() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    fake.state().close_after = Some(1);
    let mut agent = host.start();
    eventually("records came over many connections", || {
        let state = fake.state();
        state.received.len() > 5 && state.hellos.len() > 5
    });
    agent.stop();
    check_chain(&host, &fake.state().received);
}

#[test]
fn an_agent_that_is_killed_again_and_again_keeps_one_unbroken_chain() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    for round in 0..4 {
        let mut agent = host.start();
        let before = fake.state().received.len();
        eventually("the round brought records", || {
            fake.state().received.len() > before + 2
        });
        if round < 3 {
            agent.kill();
        } else {
            assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
        }
    }
    check_chain(&host, &fake.state().received);
    assert_eq!(host.spool()["waiting"], 0);
}

#[test]
fn without_a_verifier_records_wait_and_the_agent_ends_within_five_seconds_all_the_same() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    drop(fake);
    let mut agent = host.start();
    eventually("records are sealed", || {
        host.spool()["last"].as_u64() > Some(3)
    });
    let (code, took) = agent.stop();
    assert_eq!(code, Some(0), "{}", agent.journal());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(host.spool()["waiting"].as_u64() > Some(3));
}

#[test]
fn a_permanent_refusal_stops_sending_and_nothing_else() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    fake.state().refuse = Some((3, true));
    let mut agent = host.start();
    eventually("the refusal is on disk", || {
        !host.spool()["halted"].is_null()
    });
    let spool = host.spool();
    assert!(
        spool["halted"].as_str().unwrap().contains("not taken"),
        "{spool}"
    );
    let (sealed, hellos) = (spool["last"].as_u64().unwrap(), fake.state().hellos.len());
    eventually("sealing goes on", || {
        host.spool()["last"].as_u64().unwrap() > sealed + 2
    });
    assert_eq!(fake.state().hellos.len(), hellos, "it is not tried again");
    assert_eq!(agent.stop().0, Some(3), "{}", agent.journal());
    // The operator mends it; the next start goes on where it stopped.
    fake.state().refuse = None;
    let mut agent = host.start();
    eventually("records come again", || fake.state().received.len() > 5);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    assert!(host.spool()["halted"].is_null());
    check_chain(&host, &fake.state().received);
}

#[test]
fn a_refusal_for_now_is_tried_again() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    fake.state().refuse = Some((3, false));
    let mut agent = host.start();
    eventually("it was tried again", || fake.state().hellos.len() > 3);
    fake.state().refuse = None;
    eventually("records come", || fake.state().received.len() > 4);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    check_chain(&host, &fake.state().received);
}

#[test]
fn a_checkpoint_that_the_log_did_not_sign_is_not_believed() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    fake.state().forge = true;
    let mut agent = host.start();
    eventually("it was tried again", || fake.state().described > 3);
    assert!(fake.state().hellos.is_empty());
    assert!(host.spool()["included"].is_null(), "{}", host.spool());
    assert!(
        agent.journal().contains("did not sign"),
        "{}",
        agent.journal()
    );
    agent.stop();
}

/// Observations that the host signed, by rule.
fn observed(fake: &Fake, rule: &str) -> usize {
    let of_rule = |statement: &&Statement| match statement.body() {
        Body::Observation(body) => body.rule == rule,
        _ => false,
    };
    fake.state().received.iter().filter(of_rule).count()
}

/// Runs an agent against a log that changes behind its back, and then is what it was again.
fn a_log_that_changes_is_charged(rule: &str, change: impl FnOnce(&mut fake::State)) -> String {
    let fake = Fake::start();
    let host = enrolled(&fake);
    let mut agent = host.start();
    eventually("records come", || fake.state().received.len() > 3);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    let honest = fake.state().tree.clone();
    let before = {
        let mut state = fake.state();
        change(&mut state);
        state.received.len()
    };
    let mut agent = host.start();
    let told = host.path("data").join("distrust");
    eventually("the log is not believed", || told.exists());
    let sealed = host.spool()["last"].as_u64().unwrap();
    eventually("sealing goes on", || {
        host.spool()["last"].as_u64().unwrap() > sealed + 2
    });
    let asked = fake.state().described;
    eventually("it is tried again", || fake.state().described > asked + 2);
    assert_eq!(fake.state().received.len(), before, "no record leaves");
    assert!(host.spool()["halted"].is_null());
    assert!(host.spool()["distrust"].as_str().unwrap().contains(rule));
    assert!(agent.journal().contains(rule), "{}", agent.journal());
    let charges: Vec<_> = std::fs::read_dir(host.path("data").join("charges"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(charges.len(), 1, "one charge for one lie");
    let side = match rule {
        "LOG_LACKS_RECORD" => "-- seen before --",
        _ => "-- shown --",
    };
    let note = format!("{side}\nfake.example.org/1\n");
    assert!(charges[0].contains(&note), "{}", charges[0]);
    // What the operator mends is taken up without a hand on the host.
    {
        let mut state = fake.state();
        state.tree = honest;
        state.forge = false;
        state.proving = Proving::Honest;
    }
    eventually("the charge is in the log", || observed(&fake, rule) == 1);
    assert!(!told.exists());
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    check_chain(&host, &fake.state().received);
    charges.concat()
}

#[test]
fn a_log_that_went_back_gets_no_record_and_the_host_signs_that_it_did() {
    a_log_that_changes_is_charged("LOG_WENT_BACK", |state| {
        let whole = state.tree.clone();
        state.tree = fake::prefix(&whole, whole.size() - 1);
    });
}

#[test]
fn a_log_with_another_history_gets_no_record_and_the_host_signs_that_it_did() {
    a_log_that_changes_is_charged("LOG_FORKED", |state| {
        let size = state.tree.size();
        state.tree = fake::other(size + 3);
    });
}

#[test]
fn a_log_of_another_key_gets_no_record_and_the_host_signs_that_it_did() {
    a_log_that_changes_is_charged("LOG_FORKED", |state| state.forge = true);
}

/// Runs an agent against a log that does not show what it said it has.
fn a_record_that_is_not_shown_is_charged(proving: Proving) -> String {
    a_log_that_changes_is_charged("LOG_LACKS_RECORD", |state| state.proving = proving)
}

#[test]
fn a_log_without_a_proof_of_the_newest_record_gets_no_other_and_the_host_signs_that_it_did() {
    let charge = a_record_that_is_not_shown_is_charged(Proving::Nothing);
    assert!(charge.contains("no such entry"), "{charge}");
}

#[test]
fn a_log_with_a_wrong_proof_of_the_newest_record_gets_no_other_and_the_proof_is_kept() {
    let charge = a_record_that_is_not_shown_is_charged(Proving::Bent);
    assert!(charge.contains("-- shown --\na proof of "), "{charge}");
    a_record_that_is_not_shown_is_charged(Proving::Malformed);
}

#[test]
fn a_log_that_proves_another_record_in_place_of_the_newest_gets_no_other() {
    a_record_that_is_not_shown_is_charged(Proving::Another);
}

#[test]
fn at_each_connection_the_log_shows_the_newest_record_first() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    let mut agent = host.start();
    eventually("records come", || fake.state().received.len() > 3);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    let (had, proved) = {
        let state = fake.state();
        (state.received.len(), state.proved.len())
    };
    let mut agent = host.start();
    eventually("more records come", || fake.state().received.len() > had);
    assert_eq!(fake.state().proved[proved], had, "before it got more");
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
}

/// Lets a log lose what it had beyond `kept` entries, and gives what the hosts sent afterwards.
fn after_a_loss(fake: &Fake, host: &Host, last_less: u64) -> String {
    let mut agent = host.start();
    eventually("records come", || fake.state().received.len() > 8);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    let had = fake.state().received.clone();
    let size = fake.state().tree.size();
    fake.succeed(6, size - last_less);
    let mut agent = host.start();
    eventually("what was lost comes again, and more", || {
        fake.state().received.len() > had.len() + 2
    });
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    let received = fake.state().received.clone();
    assert_eq!(received[..had.len()], had, "the very same records");
    check_chain(host, &received);
    let newest = received.last().unwrap().header().checkpoint().unwrap();
    assert!(["fake.example.org/1", "fake.example.org/2"].contains(&newest.origin.as_str()));
    assert!(!host.path("data").join("distrust").exists());
    agent.journal()
}

#[test]
fn after_a_succession_what_the_log_lost_is_sent_again() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    let journal = after_a_loss(&fake, &host, 0);
    assert!(journal.contains("THE LOG LOST ENTRIES"), "{journal}");
    assert_eq!(observed(&fake, "LOG_WENT_BACK"), 0);
    // The next start knows the new generation from its own disk.
    let had = fake.state().received.len();
    fake.state().lineage.clear();
    let mut agent = host.start();
    eventually("records come", || fake.state().received.len() > had + 2);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    assert!(host.path("data").join("anchor.former").exists());
}

#[test]
fn a_succession_that_hides_what_a_host_has_seen_is_charged_in_the_log_that_it_opens() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    after_a_loss(&fake, &host, 2);
    assert_eq!(observed(&fake, "LOG_WENT_BACK"), 1);
    assert!(host.path("data").join("charges").exists());
}

#[test]
fn a_record_key_that_was_changed_while_all_certificates_ran_out_still_renews() {
    let fake = Fake::start();
    fake.state().life = Duration::from_millis(1);
    let host = enrolled(&fake);
    fake.state().life = Duration::from_secs(3_600);
    let mut agent = host.start();
    eventually("records come", || fake.state().received.len() > 2);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    std::fs::remove_file(host.path("data").join("certificates.pem")).unwrap();
    let old = file(&host, "record.key");
    let rotated = host.run(&["enroll", "--rotate-key"]);
    let text = String::from_utf8_lossy(&rotated.stderr).into_owned();
    assert!(rotated.status.success(), "{text}");
    assert_ne!(file(&host, "record.key"), old);
    assert_eq!(
        file(&host, "record.key.old"),
        old,
        "the log still goes by it"
    );
    let again = host.run(&["enroll", "--rotate-key"]);
    let text = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(text.contains("not in the log yet"), "{text}");
    let had = fake.state().received.len();
    let mut agent = host.start();
    eventually("records come under the new key", || {
        fake.state().received.len() > had + 3
    });
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    let received = fake.state().received.clone();
    let changes = received.iter().filter(|s| matches!(s.body(), Body::Key(_)));
    assert_eq!(changes.count(), 1);
    check_chain(&host, &received);
    let old = host.path("data").join("record.key.old");
    assert!(!old.exists(), "the log has the change");
}

#[test]
fn a_running_agent_changes_its_record_key_and_misses_no_interval() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    let mut agent = host.start();
    let first = file(&host, "record.key");
    let mut said = Vec::new();
    for changes in 1..=2 {
        let had = fake.state().received.len();
        eventually("records come", || fake.state().received.len() > had + 3);
        let rotated = host.run(&["enroll", "--rotate-key"]);
        let text = String::from_utf8_lossy(&rotated.stderr).into_owned();
        assert!(rotated.status.success(), "{text}");
        said.push(String::from_utf8_lossy(&rotated.stdout).into_owned());
        let old = host.path("data").join("record.key.old");
        eventually("the log has the change, and the old key goes", || {
            !old.exists()
        });
        let of_key = |s: &&Statement| matches!(s.body(), Body::Key(_));
        assert_eq!(fake.state().received.iter().filter(of_key).count(), changes);
        // An expired certificate is renewed by the key that the log goes by now, without a restart.
        assert_ne!(file(&host, "record.key"), first);
    }
    let had = fake.state().received.len();
    eventually("records come", || fake.state().received.len() > had + 3);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    // One chain; in one boot each interval begins where the one before it ended.
    let received = fake.state().received.clone();
    check_chain(&host, &received);
    let boots = received
        .iter()
        .filter_map(|statement| match statement.body() {
            Body::Usage(usage) => Some(usage.boot),
            _ => None,
        });
    assert_eq!(boots.collect::<std::collections::BTreeSet<_>>().len(), 1);
    let changes = received.iter().filter(|s| matches!(s.body(), Body::Key(_)));
    for (change, said) in changes.zip(said) {
        let named = format!("from record {} on", change.header().sequence());
        assert!(
            said.contains(&named) && said.contains("goes on with it"),
            "{said}"
        );
    }
    // What is on disk goes together: the next start goes on.
    let mut agent = host.start();
    eventually("records come", || {
        fake.state().received.len() > received.len() + 2
    });
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    check_chain(&host, &fake.state().received);
}

#[test]
fn an_agent_that_changed_its_record_key_renews_its_certificate_with_it_without_a_restart() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    // Two thirds of each life are over before it is given: every connection renews.
    fake.state().life = Duration::from_secs(1);
    fake.state().close_after = Some(1);
    std::fs::remove_file(host.path("data").join("certificates.pem")).unwrap();
    let mut agent = host.start();
    eventually("records come", || fake.state().received.len() > 1);
    assert!(host.run(&["enroll", "--rotate-key"]).status.success());
    let old = host.path("data").join("record.key.old");
    eventually("the log has the change", || !old.exists());
    let before = fake.state().certified.len();
    eventually("certificates are renewed by the new key", || {
        fake.state().certified.len() > before + 1
    });
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    let certified = fake.state().certified.clone();
    let different: std::collections::BTreeSet<_> = certified.iter().collect();
    assert_eq!(
        different.len(),
        certified.len(),
        "each has a TLS key of its own"
    );
    check_chain(&host, &fake.state().received);
}

#[test]
fn a_host_that_was_away_until_every_certificate_was_over_comes_back_by_itself() {
    let fake = Fake::start();
    fake.state().life = Duration::from_millis(1);
    let host = enrolled(&fake);
    fake.state().away = true;
    fake.valid_from_to((-20, -10));
    let mut agent = host.start();
    eventually("records wait", || {
        host.spool()["waiting"].as_u64() > Some(4)
    });
    // Meanwhile the server's certificate was renewed, by the next authority, of which this host
    // never heard.
    fake.pass_on();
    {
        let mut state = fake.state();
        state.life = Duration::from_secs(3_600);
        state.away = false;
    }
    eventually("all that waited has come", || {
        fake.state().received.len() > 4
    });
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    check_chain(&host, &fake.state().received);
    // From now on the host knows the next authority without what the first one said of it.
    fake.valid_from_to((-10, 3_600));
    let had = fake.state().received.len();
    let mut agent = host.start();
    eventually("records come", || fake.state().received.len() > had + 2);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    check_chain(&host, &fake.state().received);
}

#[test]
fn a_certificate_that_is_over_is_renewed_before_anything_is_sent() {
    let fake = Fake::start();
    fake.state().life = Duration::from_millis(1);
    let host = enrolled(&fake);
    fake.state().life = Duration::from_secs(3_600);
    let mut agent = host.start();
    eventually("records come", || fake.state().received.len() > 2);
    assert_eq!(fake.state().renewals, 1);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
}

#[test]
fn a_second_agent_on_the_same_data_is_turned_away() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    let mut agent = host.start();
    eventually("the first one seals", || {
        host.spool()["last"].as_u64() > Some(0)
    });
    let second = host.run(&["run"]);
    assert_eq!(second.status.code(), Some(74));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"));
    assert!(!agent.ended());
    agent.stop();
}

#[test]
fn a_host_without_a_driver_still_says_that_it_is_there() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    host.configure_source(&fake, "library = \"/nowhere/libnvidia-ml.so.1\"\n");
    let mut agent = host.start();
    eventually("heartbeats come", || fake.state().received.len() > 4);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    assert!(agent.journal().contains("/nowhere/libnvidia-ml.so.1"));
    let state = fake.state();
    let Body::Inventory(devices) = state.received[0].body() else {
        panic!("another statement");
    };
    assert_eq!(devices.count, 0);
}

#[test]
fn a_trace_that_is_over_ends_the_agent_with_everything_in_the_log() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    let trace = host.path("trace.jsonl");
    let source = format!("kind = \"recorded\"\ntrace = \"{}\"\n", trace.display());
    host.configure_source(&fake, &source);
    let ended = host.run(&["run"]);
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    check_chain(&host, &fake.state().received);
    assert_eq!(host.spool()["waiting"], 0);
}
