//! A dishonest verifier, by what it does: what the witness, the hosts' agents and the auditor each
//! say of it, the auditor with an anchor outside of the operator and without. The table in
//! SECURITY.md has a row for each module here, and a cell for each assertion.
#![allow(missing_docs, clippy::unwrap_used)]

mod backdated;
mod delayed;
mod equivocating;
mod resigned;

use std::{fs, path::Path, time::Duration};

use affiant_agent::{anchor::Anchor, deployment};
use affiant_proto::tlog::{Checkpoint, Hash, Note};
use affiant_tests::{
    Audit, Deployment, Host, Outcome, Witness,
    host::{describe, looks},
};

/// Longest that a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(120);

/// A machine that is busy with other tests is no hole: these are not what is looked for here.
const PATIENT: &str =
    "gap_grace_ms = 3600000\nnot_observed_grace_ms = 3600000\nlate_record_ms = 3600000\n";

async fn enrolled(deployment: &Deployment, name: &str) -> Host {
    let token = deployment.token(name, "1h");
    let host = Host::enrol(name, &deployment.address(), &deployment.ca(), &token).await;
    host.unwrap()
}

/// Seals so many records, and sends all that is not in the log.
async fn sends(deployment: &Deployment, host: &mut Host, records: usize) {
    for _ in 0..records {
        host.seal_usage();
    }
    let outcome = host.send(&deployment.address(), &deployment.ca()).await;
    assert_eq!(outcome, Outcome::Included, "{}", host.name);
}

/// An agent of this deployment, which has seen the log as it is now.
async fn agent(deployment: &Deployment, host: &Host) -> Anchor {
    let told = describe(&deployment.address(), &deployment.ca()).await;
    let known = deployment::Deployment::of(&told.genesis).unwrap();
    let mut anchor = Anchor::new(known, None, None);
    looks(&mut anchor, host, deployment).await.unwrap();
    anchor
}

/// The rule under which an agent charges the log that it is shown now; "" where it has no charge.
async fn charged(anchor: &Anchor, host: &Host, deployment: &Deployment) -> String {
    let mut anchor = anchor.clone();
    match looks(&mut anchor, host, deployment).await {
        Ok(()) => String::new(),
        Err(refused) => refused.charge().unwrap().rule.to_string(),
    }
}

fn note(path: &Path) -> Note {
    Note::parse(&fs::read(path).unwrap()).unwrap()
}

fn size(path: &Path) -> u64 {
    note(path).text().parse::<Checkpoint>().unwrap().size()
}

/// Grows the log until its published checkpoint has more than this many entries.
async fn grow_beyond(deployment: &Deployment, host: &mut Host, entries: u64) {
    while size(&deployment.data().join("log/public/checkpoint")) <= entries {
        sends(deployment, host, 5).await;
    }
}

/// What a witness says of the log as it is now, larger than what it cosigned: an HTTP status of C2SP
/// tlog-witness. The proof is one that cannot hold, as none can.
fn witnessed(witness: &Witness, deployment: &Deployment) -> u16 {
    let old = witness.known();
    let shown = note(&deployment.data().join("log/public/checkpoint"));
    let proof = vec![Hash::from_bytes([7; 32])];
    witness.asked(old, proof, &shown)
}

/// An auditor's policy: this witness must have cosigned.
fn asking(witness: &Witness) -> String {
    format!("witness W {}\nquorum W\n", witness.key())
}

/// Exit code, verdict and anchor.
fn said(audit: &Audit) -> (i32, &str, &str) {
    (audit.exit, audit.verdict.as_str(), audit.anchor.as_str())
}

/// What a check of the verdict found.
fn check(audit: &Audit, name: &str) -> String {
    let mut checks = audit.said["checks"].as_array().unwrap().iter();
    let found = checks.find(|check| check["name"] == name);
    found.unwrap()["detail"].as_str().unwrap().to_owned()
}
