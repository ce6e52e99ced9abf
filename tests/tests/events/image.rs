//! Real agents that lose their disk, or get an old one back.

use std::{collections::BTreeSet, fs};

use affiant_proto::{Body, Envelope};
use affiant_tests::{Agent, Deployment, copy, machine::fleet, until};

use crate::{LIMIT, PATIENT};

/// Enrols an agent on a machine of two idle devices.
fn enrolled(deployment: &Deployment) -> Agent {
    let machine = fleet(deployment.root(), 2);
    Agent::on_fleet(deployment, "gpu-1", &machine, 1, 100)
}

/// Runs the agent until so many more of its statements are in the log.
fn run(agent: &mut Agent, more: u64) {
    let included = |agent: &Agent| agent.json(&["status"])["included"]["sequence"].as_u64();
    let before = included(agent).unwrap_or(0);
    agent.start();
    until("further records", LIMIT, || {
        (included(agent)? >= before + more).then_some(())
    });
    agent.stop();
}

/// Spans of wall time that records in the log tell of, in their order. Every statement stands there
/// once, and every chain is whole. The verifier must be stopped.
fn spans(deployment: &Deployment) -> Vec<(u64, u64)> {
    deployment.read_log();
    let (mut seen, mut spans) = (BTreeSet::new(), Vec::new());
    for bytes in deployment.log_entries() {
        let envelope = Envelope::parse(&bytes).unwrap();
        assert!(seen.insert(envelope.statement().digest()), "an entry twice");
        if let Body::Usage(usage) = envelope.statement().body() {
            spans.push((usage.wall_start_ms, usage.wall_end_ms));
        }
    }
    spans
}

#[test]
fn an_agent_restored_from_an_image_goes_on_from_the_log_and_no_time_counts_twice() {
    let mut deployment = Deployment::judged_by(PATIENT);
    let mut agent = enrolled(&deployment);
    run(&mut agent, 3);
    let (data, image) = (agent.data(), deployment.path("image"));
    copy(&data, &image);
    run(&mut agent, 5);
    let kept = deployment.keep_checkpoint("kept");
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);
    copy(&image, &data);
    run(&mut agent, 10);
    let told = deployment.audit(&kept);
    told.assert(1, "findings", "kept", &["CHAIN_RESTART"]);
    // It is known from then on: nothing restarts twice.
    run(&mut agent, 3);
    let told = deployment.audit(&kept);
    told.assert(1, "findings", "kept", &["CHAIN_RESTART"]);
    deployment.stop();
    let mut spans = spans(&deployment);
    spans.sort_unstable();
    for pair in spans.windows(2) {
        // Wall clock and boot clock are read one after the other.
        assert!(pair[1].0 + 2 >= pair[0].1, "{pair:?} overlap");
    }
}

#[test]
fn an_agent_that_lost_its_disk_is_enrolled_anew_by_approval_and_the_auditor_is_told() {
    let mut deployment = Deployment::judged_by(PATIENT);
    let mut agent = enrolled(&deployment);
    run(&mut agent, 3);
    let kept = deployment.keep_checkpoint("kept");
    fs::remove_dir_all(agent.data()).unwrap();
    let token = deployment.path("second-token");
    let token = token.to_str().unwrap();
    deployment.succeed(&["token", "--host", "gpu-1", "--out", token]);
    let waits = agent.run(&["enroll", "--token-file", token]);
    let said = String::from_utf8_lossy(&waits.stderr).into_owned();
    assert_eq!(waits.status.code(), Some(3), "{said}");
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);
    deployment.succeed(&["host", "approve", "gpu-1", "--reason", "disk lost"]);
    run(&mut agent, 3);
    let told = deployment.audit(&kept);
    told.assert(1, "findings", "kept", &["RE_ENROLLED"]);
    deployment.stop();
    assert_eq!(deployment.read_log().hosts.count(), 2, "chains");
    assert!(spans(&deployment).len() >= 2, "a record of each");
}
