//! Each key stolen, from the theft to the auditor's verdict: the thief has a copy of exactly one key
//! and does the worst that it allows; the theft is noticed; the honest go on.
#![allow(missing_docs, clippy::unwrap_used)]

mod authority;
mod log;
mod officer;
mod operator;
mod record;
mod tls;

use std::time::Duration;

use affiant_tests::{Deployment, Host, Outcome, until};

/// Longest that a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ten minutes of records: no story here lasts so long that a host would seem silent.
const RECORDS: usize = 60;

async fn enrolled(deployment: &Deployment, name: &str) -> Host {
    let token = deployment.token(name, "1h");
    let host = Host::enrol(name, &deployment.address(), &deployment.ca(), &token).await;
    let mut host = host.unwrap();
    for _ in 0..RECORDS {
        host.seal_usage();
    }
    assert_eq!(sends(deployment, &mut host).await, Outcome::Included);
    host
}

async fn sends(deployment: &Deployment, host: &mut Host) -> Outcome {
    host.seal_usage();
    host.send(&deployment.address(), &deployment.ca()).await
}

/// The one session of the deployment, which stays open; ends with what its host was told.
async fn stays(deployment: &Deployment, mut host: Host) -> tokio::task::JoinHandle<String> {
    let (address, ca) = (deployment.address(), deployment.ca());
    let connected = |due: u64| {
        until("sessions to begin and end", PATIENCE, || {
            let status = deployment.json(&["status", "--json"]);
            (status["fleet"]["connected"] == due).then_some(())
        });
    };
    connected(0);
    let session = tokio::spawn(async move { host.stay(&address, &ca).await });
    connected(1);
    session
}

async fn ended(session: tokio::task::JoinHandle<String>) -> String {
    let ended = tokio::time::timeout(PATIENCE, session).await;
    ended.unwrap().unwrap()
}

/// How many entries the log has.
fn size(deployment: &Deployment) -> u64 {
    let status = deployment.json(&["status", "--json"]);
    status["log_size"].as_u64().unwrap()
}

/// Revokes a key as the operator.
fn revoke(deployment: &Deployment, used: &str, key: &str, from: u64) {
    let from = from.to_string();
    let named = ["--use", used, "--key", key, "--from-index", &from];
    deployment.succeed(&[&["key", "revoke", "--reason", "stolen"], &named[..]].concat());
}
