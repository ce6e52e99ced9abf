//! A running agent changes its record key: what the verifier takes, and what an auditor finds.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use affiant_proto::{Body, Envelope};
use affiant_tests::{Agent, Deployment, machine::fleet, until};

/// Longest that a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(60);

/// A machine that is busy with other tests makes no host silent: that is not what is looked for.
const PATIENT: &str = "gap_grace_ms = 3600000\nnot_observed_grace_ms = 3600000\n";

fn included(agent: &Agent) -> Option<u64> {
    agent.json(&["status"])["included"]["sequence"].as_u64()
}

fn until_included(agent: &Agent, sequence: u64) {
    until("further records in the log", LIMIT, || {
        (included(agent)? >= sequence).then_some(())
    });
}

/// Has the running agent change its key; gives the record that says so.
fn rotate(agent: &Agent) -> u64 {
    let out = agent.run(&["enroll", "--rotate-key"]);
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{error}");
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(said.contains("the running agent goes on with it"), "{said}");
    let (_, after) = said.split_once("from record ").unwrap();
    after.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_running_agent_changes_its_record_key_twice_and_the_auditor_finds_one_whole_chain() {
    let mut deployment = Deployment::judged_by(PATIENT);
    let machine = fleet(deployment.root(), 2);
    let mut agent = Agent::on_fleet(&deployment, "gpu-1", &machine, 1, 100);
    agent.start();
    until_included(&agent, 4);
    let kept = deployment.keep_checkpoint("kept");
    let process = agent.id();
    let first = rotate(&agent);
    until_included(&agent, first + 3);
    assert_eq!(agent.id(), process, "the same process goes on");
    assert!(!agent.data().join("record.key.old").exists(), "let go of");
    // The new key is the one that a start finds, and that is changed again.
    agent.kill();
    agent.start();
    until_included(&agent, first + 6);
    let second = rotate(&agent);
    until_included(&agent, second + 3);
    agent.stop();
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);
    deployment.stop();

    deployment.read_log();
    let (mut keys, mut changes, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
    let entries = deployment.log_entries();
    let statements = entries.iter().map(|bytes| Envelope::parse(bytes).unwrap());
    let statements: Vec<_> = statements.map(|it| it.statement().clone()).collect();
    let enrolled = statements
        .iter()
        .find(|it| matches!(it.body(), Body::Enrolment(_)))
        .unwrap();
    let chain = enrolled.digest();
    for statement in &statements {
        if statement.digest() != chain && statement.header().chain() != Some(chain) {
            continue;
        }
        let sequence = statement.header().sequence();
        sequences.push(sequence);
        if keys.last() != Some(&statement.key()) {
            keys.push(statement.key());
        }
        if matches!(statement.body(), Body::Key(_)) {
            changes.push(sequence);
        }
    }
    assert_eq!(changes, [first, second]);
    assert_eq!(
        keys.len(),
        3,
        "each key signs from its change on, and no other"
    );
    let due: Vec<u64> = (0..sequences.len() as u64).collect();
    assert_eq!(sequences, due, "nothing is lost or doubled");
}
