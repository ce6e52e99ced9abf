//! The verifier takes one host's records only when it likes.

use affiant_tests::{Deployment, Witness, until};

use super::*;

/// Records may come 25 s late; without work the log's clock itself goes on every 10 s only.
const STRICT: &str =
    "gap_grace_ms = 3600000\nnot_observed_grace_ms = 3600000\nlate_record_ms = 25000\n";

/// How long the verifier lets the host wait, milliseconds.
const DELAY_MS: u64 = 32_000;

/// The log's time now, milliseconds since 1970.
fn log_time(deployment: &Deployment) -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let status = deployment.json(&["status", "--json"]);
    let age = status["log"]["checkpoint_age_ms"].as_u64().unwrap();
    u64::try_from(now).unwrap() - age
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_host_shows_as_late_to_every_auditor_and_the_log_stays_sound() {
    let mut deployment = Deployment::judged_by(STRICT);
    let witness = Witness::of(&deployment, "w");
    deployment.stop();
    deployment.configure(&witness.table());
    deployment.start();
    let mut delayed = enrolled(&deployment, "gpu-1").await;
    let mut prompt = enrolled(&deployment, "gpu-2").await;
    for host in [&mut delayed, &mut prompt] {
        host.sees(&deployment.data().join("log/public/checkpoint"));
        sends(&deployment, host, 1).await;
    }
    let seen = agent(&deployment, &delayed).await;

    // The host says what it did, and the verifier lets it wait.
    delayed.sees(&deployment.data().join("log/public/checkpoint"));
    delayed.seal_usage();
    let sealed = log_time(&deployment);
    until("the log's clock to go on", LIMIT, || {
        (log_time(&deployment) > sealed + DELAY_MS).then_some(())
    });
    prompt.sees(&deployment.data().join("log/public/checkpoint"));
    sends(&deployment, &mut prompt, 1).await;
    // Agent: what is not INCLUDED is kept and counted as waiting; the log itself is no other.
    let head = delayed.state().sequence();
    assert!(delayed.included.unwrap().0 < head, "it still waits");
    assert_eq!(charged(&seen, &delayed, &deployment).await, "");
    let kept = deployment.keep_checkpoint("kept.note");
    sends(&deployment, &mut delayed, 0).await;

    // Witness: cosigns, for the log only grew.
    let report = deployment.report("report");
    let answer = witness.answer(&deployment);
    assert_eq!(answer["error"], serde_json::Value::Null, "{answer}");
    // Auditor, with an anchor or without: late, and that host alone.
    let policy = asking(&witness);
    let anchors = [
        (Some(kept.as_path()), "", "kept"),
        (None, policy.as_str(), "witnessed"),
        (None, "", "none"),
    ];
    for (kept, policy, anchor) in anchors {
        let told = deployment.verify(&report, kept, policy);
        told.assert(1, "findings", anchor, &["LATE_RECORD"]);
        let late = told.said["findings"]["items"][0].to_string();
        assert!(late.contains("gpu-1") && !late.contains("gpu-2"), "{late}");
    }
    // Whoever has the whole log sees the same.
    deployment.stop();
    for (kept, policy, anchor) in anchors {
        let told = deployment.audit_log(&deployment.data(), kept, policy);
        told.assert(1, "findings", anchor, &["LATE_RECORD"]);
    }
}
