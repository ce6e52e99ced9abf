//! The agent's binary against the verifier's: use is found in time, a sick driver is told as it
//! is, and a kill at any moment costs nothing that was INCLUDED.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use affiant_proto::{Body, Envelope, v1};
use affiant_tests::{
    Agent, Deployment,
    machine::{control, fleet},
    until,
};
use prost::Message as _;

/// Longest that a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(60);

fn included(deployment: &Deployment, host: &str) -> u64 {
    let hosts = deployment.json(&["host", "list", "--json"]);
    let line = hosts
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["host"] == host)
        .cloned()
        .unwrap_or_default();
    line["included_sequence"].as_u64().unwrap_or(0)
}

/// The usage records of the log, in order, with their totals. The verifier must be stopped.
fn records(deployment: &Deployment) -> Vec<(v1::Usage, v1::Totals)> {
    let mut found = Vec::new();
    for bytes in deployment.log_entries() {
        let envelope = Envelope::parse(&bytes).unwrap();
        if let (Body::Usage(usage), Some(tree)) = (envelope.statement().body(), envelope.tree()) {
            found.push((
                usage.clone(),
                v1::Totals::decode(tree.leaves()[0].as_slice()).unwrap(),
            ));
        }
    }
    found
}

/// Device time that the verifier has counted as idle so far.
fn idle_ms(deployment: &Deployment) -> u64 {
    let status = deployment.json(&["status", "--json"]);
    let classes = status["device_time"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    classes
        .iter()
        .map(|class| class["idle_ms"].as_u64().unwrap_or(0))
        .sum()
}

fn user() -> String {
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(name).unwrap().trim().to_owned()
}

#[test]
fn use_by_an_unvetted_tenant_is_a_finding_within_two_intervals() {
    const INTERVAL: u32 = 10;
    let deployment = Deployment::new();
    deployment.apply(&format!(
        "[[party]]\nid = \"someone\"\nnames = [\"Someone Ltd.\"]\nincorporation = \"GB\"\nheadquarters = \"GB\"\n\
         [[tenant]]\nid = \"someone\"\ncustomer = \"someone\"\nend_customer = \"someone\"\nultimate_parent = \"someone\"\n\
         [[binding]]\nid = \"by-user\"\ntenant = \"someone\"\nuser = \"{}\"\n",
        user(),
    ));
    let machine = fleet(deployment.root(), 2);
    let mut agent = Agent::on_fleet(&deployment, "gpu-1", &machine, INTERVAL, 1_000);
    agent.start();
    until("the first record", LIMIT, || {
        (included(&deployment, "gpu-1") >= 3).then_some(())
    });
    assert_eq!(
        deployment.findings(),
        [],
        "an idle device is nobody's use: {}",
        agent.journal()
    );

    let pid = std::process::id();
    control(
        deployment.root(),
        &format!(
            "[[process]]\ndevice = 0\npid = {pid}\nmemory_mib = 4096\n\
             [[load]]\ndevice = 0\nutilization = 95\nwatts = 650\n"
        ),
    );
    let began = Instant::now();
    let found = until("the finding", LIMIT, || {
        deployment.findings().into_iter().next()
    });
    let took = began.elapsed();
    assert_eq!(
        (found.0.as_str(), found.1.as_str()),
        ("USE_UNVETTED", "someone")
    );
    // The promise of the product, not of this machine's speed: it has 8 s of room here.
    assert!(
        took < Duration::from_secs(2 * u64::from(INTERVAL)),
        "took {took:?}"
    );
    agent.stop();
}

#[test]
fn the_verifier_shows_what_a_host_says_of_its_spool_and_when_its_certificate_ends() {
    let deployment = Deployment::new();
    let machine = fleet(deployment.root(), 2);
    let mut agent = Agent::on_fleet(&deployment, "gpu-1", &machine, 1, 100);
    agent.start();
    until("the first record", LIMIT, || {
        (included(&deployment, "gpu-1") >= 3).then_some(())
    });
    let own = agent.json(&["status"]);
    let shown = deployment.json(&["status", "--json"]);
    let seen = &shown["fleet"]["seen"][0];
    assert_eq!(seen["host"], "gpu-1", "{shown:#}");
    assert_eq!(seen["connected"], true);
    assert_eq!(seen["chain"], own["chain"]);
    assert_eq!(
        seen["certificate_ends_unix_ms"],
        own["certificate_not_after_unix_ms"]
    );
    let spool = &seen["spool"];
    assert_eq!(spool["max_bytes"], own["spool"]["max_bytes"]);
    let (told, now) = (spool["bytes"].as_u64(), own["spool"]["bytes"].as_u64());
    assert!(told > Some(0) && told <= now, "{told:?} of {now:?}");
    let screen = deployment.succeed(&["status"]);
    let first = "of the connected hosts first gpu-1 ";
    assert!(screen.contains(first), "{screen}");
    agent.stop();
}

#[test]
fn a_driver_that_hangs_as_a_whole_or_crashes_is_not_observed_and_comes_back() {
    let mut deployment = Deployment::new();
    let machine = fleet(deployment.root(), 8);
    let mut agent = Agent::on_fleet(&deployment, "gpu-1", &machine, 1, 100);
    agent.start();
    for (fault, last) in [("hang", false), ("segfault", true)] {
        let idle = idle_ms(&deployment);
        // A reader that was started while the driver hung has a minute to open it before another is.
        until("records of a healthy driver", 2 * LIMIT, || {
            (idle_ms(&deployment) > idle + 16_000).then_some(())
        });
        control(
            deployment.root(),
            &format!("[[fault]]\nkind = \"{fault}\"\n"),
        );
        let sick = included(&deployment, "gpu-1");
        until("heartbeats of a sick driver", LIMIT, || {
            (included(&deployment, "gpu-1") >= sick + 5).then_some(())
        });
        if !last {
            control(deployment.root(), "");
        }
    }
    let took = agent.stop();
    assert!(
        took < Duration::from_secs(5),
        "SIGTERM took {took:?} while the driver was down"
    );
    deployment.stop();

    let all = records(&deployment);
    let parts = |totals: &v1::Totals| {
        let sum = |part: fn(&v1::DeviceTotals) -> u64| totals.devices.iter().map(part).sum::<u64>();
        (sum(|d| d.idle_ms), sum(|d| d.not_observed_ms))
    };
    let shape: Vec<_> = all.iter().map(|(_, totals)| parts(totals)).collect();
    let down: Vec<usize> = (0..all.len())
        .filter(|n| shape[*n].0 == 0 && shape[*n].1 > 0)
        .collect();
    let up: Vec<usize> = (0..all.len())
        .filter(|n| shape[*n].1 == 0 && shape[*n].0 > 0)
        .collect();
    assert!(
        down.len() >= 4,
        "whole intervals are not observed, none of it idle: {shape:?}"
    );
    let first_down = down[0];
    assert!(
        up.iter().any(|n| *n < first_down),
        "healthy before: {shape:?}"
    );
    assert!(
        up.iter().any(|n| *n > first_down),
        "the reader came back: {shape:?}"
    );
    for pair in all.windows(2) {
        assert_eq!(
            pair[0].0.end_ms, pair[1].0.start_ms,
            "intervals abut throughout"
        );
    }
}

#[test]
fn an_agent_killed_at_random_moments_keeps_one_unbroken_chain() {
    let rounds: u64 = std::env::var("AFFIANT_ROUNDS")
        .ok()
        .and_then(|t| t.parse().ok())
        .unwrap_or(10);
    let seed: u64 = std::env::var("AFFIANT_SEED")
        .ok()
        .and_then(|t| t.parse().ok())
        .unwrap_or(0xa6e27);
    println!("{rounds} rounds, AFFIANT_SEED={seed}");
    let mut state = seed.max(1);
    let mut deployment = Deployment::new();
    let mut agent = Agent::on_trace(&deployment, "gpu-1", "h100.jsonl", 1);
    for round in 0..rounds {
        agent.start();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // The moment is the point: before the first record, between fsync and send, after INCLUDED.
        std::thread::sleep(Duration::from_millis(300 + state % 3_000));
        let before = included(&deployment, "gpu-1");
        agent.kill();
        println!("round {round}: included {before}");
        let after = included(&deployment, "gpu-1");
        assert!(after >= before, "seed {seed}: the watermark went back");
    }
    let before = included(&deployment, "gpu-1");
    agent.start();
    until("records after the last kill", LIMIT, || {
        (included(&deployment, "gpu-1") > before + 1).then_some(())
    });
    agent.stop();
    let last = included(&deployment, "gpu-1");
    deployment.stop();

    // Admits everything again: one chain, each sequence once, intervals that abut.
    let log = deployment.read_log();
    assert_eq!(log.hosts.count(), 1);
    let mut all = BTreeSet::new();
    let mut sequences = Vec::new();
    for bytes in deployment.log_entries() {
        let envelope = Envelope::parse(&bytes).unwrap();
        assert!(
            all.insert(envelope.statement().digest()),
            "seed {seed}: an entry stands twice"
        );
        let host = log.hosts.named("gpu-1").first().map(|host| host.chain());
        if envelope.statement().header().chain() == host {
            sequences.push(envelope.statement().header().sequence());
        }
    }
    assert_eq!(sequences, (1..=last).collect::<Vec<_>>(), "seed {seed}");
    let records = records(&deployment);
    for pair in records.windows(2) {
        assert_eq!(
            pair[0].0.end_ms, pair[1].0.start_ms,
            "seed {seed}: what lies between is said"
        );
    }
}
