//! The log and the disk of the host have parted: nothing is lost that was logged, nothing is
//! counted twice, and one chain goes on.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod fake;

use std::{path::Path, process::Command};

use affiant_proto::{Body, ChainState, Statement};
use fake::{Fake, Host, eventually, file};

fn enrolled(fake: &Fake) -> Host {
    let host = Host::new(fake);
    let out = host.enroll();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    host
}

fn run_until(fake: &Fake, host: &Host, records: usize) {
    let mut agent = host.start();
    eventually("records come", || fake.state().received.len() >= records);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let copied = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(copied.success());
}

/// Follows the chain through all that was received, and gives it with every usage's wall time.
fn follow(host: &Host, received: &[Statement]) -> Vec<(u64, u64)> {
    let opener = Statement::parse(&file(host, "enrolment")).unwrap();
    let mut chain = ChainState::open(opener).unwrap().0;
    let mut spans = Vec::new();
    for statement in received {
        let verified = chain.follow(statement.clone()).unwrap();
        if let Body::Usage(usage) = verified.body() {
            spans.push((usage.wall_start_ms, usage.wall_end_ms));
        }
    }
    spans
}

/// No time is told of twice; clocks read a millisecond apart.
fn nothing_is_doubled(mut spans: Vec<(u64, u64)>) {
    spans.sort_unstable();
    for pair in spans.windows(2) {
        assert!(pair[1].0 + 2 >= pair[0].1, "{pair:?} overlap");
    }
}

fn restarts(received: &[Statement]) -> Vec<affiant_proto::v1::ChainRestart> {
    let restart = |statement: &Statement| match statement.body() {
        Body::ChainRestart(body) => Some(body.clone()),
        _ => None,
    };
    received.iter().filter_map(restart).collect()
}

#[test]
fn a_host_restored_from_an_image_goes_on_from_the_logs_head() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    run_until(&fake, &host, 4);
    copy(&host.path("data"), &host.path("image"));
    let image = host.spool()["last"].as_u64().unwrap();
    let had = fake.state().received.len();
    run_until(&fake, &host, had + 4);
    let logged = fake.state().received.last().unwrap().clone();
    copy(&host.path("image"), &host.path("data"));
    let had = fake.state().received.len();
    run_until(&fake, &host, had + 4);
    let received = fake.state().received.clone();
    let spans = follow(&host, &received);
    let restarts = restarts(&received);
    assert_eq!(restarts.len(), 1);
    assert!(restarts[0].restored_sequence >= image);
    assert_eq!(restarts[0].adopted_sequence, logged.header().sequence());
    assert_eq!(restarts[0].adopted_head, logged.digest().as_bytes());
    nothing_is_doubled(spans);
    assert_eq!(host.spool()["waiting"], 0);
    // The old run is set aside, and the next start knows of nothing.
    let had = received.len();
    run_until(&fake, &host, had + 3);
    follow(&host, &fake.state().received.clone());
    let aside = |name: &str| name.starts_with("spool.parted-");
    let entries = std::fs::read_dir(host.path("data")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| aside(name)).count(), 1);
}

#[test]
fn what_a_restored_host_measured_before_it_met_the_log_is_not_lost() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    run_until(&fake, &host, 4);
    copy(&host.path("data"), &host.path("image"));
    let had = fake.state().received.len();
    run_until(&fake, &host, had + 4);
    copy(&host.path("image"), &host.path("data"));
    // The verifier is away while the restored host begins to measure.
    fake.state().away = true;
    let mut agent = host.start();
    let image = host.spool()["last"].as_u64().unwrap();
    eventually("records are sealed", || {
        host.spool()["last"].as_u64().unwrap() > image + 6
    });
    let met = std::time::SystemTime::now();
    let met = met.duration_since(std::time::UNIX_EPOCH).unwrap();
    let met = u64::try_from(met.as_millis()).unwrap();
    let had = fake.state().received.len();
    fake.state().away = false;
    eventually("records come", || fake.state().received.len() > had + 8);
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    let received = fake.state().received.clone();
    let spans = follow(&host, &received);
    assert_eq!(restarts(&received).len(), 1);
    let carried = received[had..]
        .iter()
        .filter(
            |statement| matches!(statement.body(), Body::Usage(usage) if usage.wall_end_ms < met),
        )
        .count();
    assert!(carried >= 2, "{carried} of those records were sent again");
    nothing_is_doubled(spans);
}

#[test]
fn a_head_that_the_log_does_not_show_is_not_gone_on_from() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    run_until(&fake, &host, 3);
    let last = host.spool()["last"].as_u64().unwrap();
    for head in [(1_000, vec![7; 32]), (last, vec![7; 32]), (0, vec![7; 32])] {
        let before = {
            let mut state = fake.state();
            state.welcome = Some(head.clone());
            (state.received.len(), state.hellos.len())
        };
        let mut agent = host.start();
        eventually("it was tried again", || {
            fake.state().hellos.len() > before.1 + 2
        });
        assert_eq!(fake.state().received.len(), before.0, "{head:?}");
        assert!(
            agent.journal().contains("DOES NOT SHOW"),
            "{}",
            agent.journal()
        );
        agent.kill();
    }
    fake.state().welcome = None;
    let had = fake.state().received.len();
    run_until(&fake, &host, had + 3);
    let received = fake.state().received.clone();
    follow(&host, &received);
    assert!(restarts(&received).is_empty());
}
