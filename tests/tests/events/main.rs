//! What happens to hosts in their lives, each to the auditor's verdict on it: enrolled anew,
//! replaced, retired, away by plan, restored from an image, and devices that are carried about.
#![allow(missing_docs, clippy::unwrap_used)]

mod declared;
mod devices;
mod enrolling;
mod image;
mod silence;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use affiant_tests::{Deployment, Host, Outcome};

/// Longest that a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(120);

/// A machine that is busy with other tests makes no host silent: that is not what is looked for.
const PATIENT: &str = "gap_grace_ms = 3600000\nnot_observed_grace_ms = 3600000\n";

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

async fn enrolled(deployment: &Deployment, name: &str) -> Host {
    let token = deployment.token(name, "1h");
    let host = Host::enrol(name, &deployment.address(), &deployment.ca(), &token).await;
    host.unwrap()
}

/// Seals so many records, and sends all that is not in the log.
async fn report(deployment: &Deployment, host: &mut Host, records: usize) {
    for _ in 0..records {
        host.seal_usage();
    }
    let outcome = host.send(&deployment.address(), &deployment.ca()).await;
    assert_eq!(outcome, Outcome::Included, "{}", host.name);
}

/// The verifier's refusal of one more record, which names this reason.
async fn refused(deployment: &Deployment, host: &mut Host, reason: &str) {
    host.seal_usage();
    let outcome = host.send(&deployment.address(), &deployment.ca()).await;
    assert!(
        matches!(&outcome, Outcome::Broken(why) if why.contains(reason)),
        "{outcome:?}"
    );
}
