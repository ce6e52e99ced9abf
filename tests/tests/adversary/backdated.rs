//! The verifier runs by a clock that is behind, so that the log says that everything was earlier.

use affiant_tests::{Deployment, Witness, until};

use super::*;

/// An hour.
const BEHIND_MS: u64 = 3_600_000;

/// Between the log's time and a host's lies that hour: as a hole it is not what is looked for here.
/// The hosts of tests count their intervals faster than time goes by, by minutes at most.
const PATIENT: &str = "gap_grace_ms = 36000000\nnot_observed_grace_ms = 3600000\n\
                       late_record_ms = 36000000\nclock_tolerance_ms = 600000\n";

/// A deployment that is an hour behind from its first entry on, and its witness, who is not; one
/// host has reported in it. `honest` is whether that host says the true time, `asked` whether the
/// verifier asks the witness.
async fn played(honest: bool, asked: bool) -> (Deployment, Witness, Host) {
    let mut deployment = Deployment::backdated(BEHIND_MS);
    deployment.stop();
    fs::write(deployment.path("judge.toml"), PATIENT).unwrap();
    let judge = format!("judge = {:?}\n", deployment.path("judge.toml"));
    let witness = if asked {
        Witness::of(&deployment, "w")
    } else {
        Witness::by_hand(&deployment, "w")
    };
    let table = asked.then(|| witness.table());
    deployment.configure(&(judge + &table.unwrap_or_default()));
    deployment.start();
    let token = deployment.token("gpu-1", "1h");
    let (address, ca) = (deployment.address(), deployment.ca());
    let behind = if honest { 0 } else { BEHIND_MS };
    let host = Host::enrol_behind("gpu-1", &address, &ca, &token, behind).await;
    let mut host = host.unwrap();
    sends(&deployment, &mut host, 3).await;
    (deployment, witness, host)
}

/// Waits until the log holds a cosignature, and has gone on since.
async fn cosigned(deployment: &Deployment, witness: &Witness, host: &mut Host) {
    deployment.report("first");
    until("a cosignature", LIMIT, || {
        witness.answer(deployment)["cosigned_size"].as_u64()
    });
    sends(deployment, host, 1).await;
}

/// The auditor's witness had cosigned what the log says it logged earlier.
fn disproved(told: &Audit) {
    let got = (told.exit, told.verdict.as_str());
    assert_eq!(got, (2, "broken"), "{:#}", told.said);
    let clock = check(told, "clock");
    assert!(clock.contains("back-dated"), "{clock}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_witness_each_disprove_a_back_dated_log() {
    let (mut deployment, witness, mut host) = played(true, true).await;
    let seen = agent(&deployment, &host).await;
    cosigned(&deployment, &witness, &mut host).await;
    let kept = deployment.keep_checkpoint("kept.note");
    sends(&deployment, &mut host, 1).await;
    let report = deployment.report("report");
    // Witness: cosigns, for the log only grew; its time stands beside the log's.
    let answer = witness.answer(&deployment);
    assert_eq!(answer["error"], serde_json::Value::Null, "{answer}");
    // Agent: the log is no other; what it signs has its own time.
    assert_eq!(charged(&seen, &host, &deployment).await, "");
    // Auditor with a witness: the log holds a cosignature from its own future.
    let told = deployment.verify(&report, None, &asking(&witness));
    disproved(&told);
    // With a kept checkpoint, or without an anchor: the host's times are after the log's.
    let told = deployment.verify(&report, Some(&kept), "");
    told.assert(1, "findings", "kept", &["CLOCK_OUT_OF_BOUNDS"]);
    let told = deployment.verify(&report, None, "");
    told.assert(1, "findings", "none", &["CLOCK_OUT_OF_BOUNDS"]);
    // Whoever has the whole log sees the same.
    deployment.stop();
    let log = |kept, policy: &str| deployment.audit_log(&deployment.data(), kept, policy);
    disproved(&log(None, &asking(&witness)));
    log(Some(&kept), "").assert(1, "findings", "kept", &["CLOCK_OUT_OF_BOUNDS"]);
    log(None, "").assert(1, "findings", "none", &["CLOCK_OUT_OF_BOUNDS"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_hosts_lie_with_the_verifier_the_witness_alone_disproves_it() {
    let (mut deployment, witness, mut host) = played(false, true).await;
    let seen = agent(&deployment, &host).await;
    cosigned(&deployment, &witness, &mut host).await;
    let kept = deployment.keep_checkpoint("kept.note");
    sends(&deployment, &mut host, 1).await;
    let report = deployment.report("report");
    assert_eq!(charged(&seen, &host, &deployment).await, "");
    disproved(&deployment.verify(&report, None, &asking(&witness)));
    let clean = |anchor| (0, "clean", anchor);
    let verify = |kept| deployment.verify(&report, kept, "");
    assert_eq!(said(&verify(Some(&kept))), clean("kept"));
    assert_eq!(said(&verify(None)), clean("none"));
    // Whoever has the whole log sees the same.
    deployment.stop();
    let log = |kept, policy: &str| deployment.audit_log(&deployment.data(), kept, policy);
    disproved(&log(None, &asking(&witness)));
    assert_eq!(said(&log(Some(&kept), "")), clean("kept"));
    assert_eq!(said(&log(None, "")), clean("none"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_logs_no_cosignature_is_held_to_the_time_at_its_end_alone() {
    let (mut deployment, witness, mut host) = played(false, false).await;
    let seen = agent(&deployment, &host).await;
    let kept = deployment.keep_checkpoint("kept.note");
    sends(&deployment, &mut host, 1).await;
    let report = deployment.report("report");
    assert_eq!(charged(&seen, &host, &deployment).await, "");
    // Witness: cosigns, with its own time.
    let (checkpoint, public) = (
        report.join("checkpoint"),
        deployment.data().join("log/public"),
    );
    let done = witness.once(&checkpoint, Some(&public), &checkpoint);
    assert!(done.status.success(), "{done:?}");
    // Auditor with a witness: the log's clock ends an hour before that; whether the log is
    // back-dated or was cosigned late, he cannot tell.
    let told = deployment.verify(&report, None, &asking(&witness));
    assert_eq!(said(&told), (3, "incomplete", "witnessed"));
    let clock = check(&told, "clock");
    assert!(clock.contains("min before your quorum stood"), "{clock}");
    let clean = |anchor| (0, "clean", anchor);
    let verify = |kept| deployment.verify(&report, kept, "");
    assert_eq!(said(&verify(Some(&kept))), clean("kept"));
    assert_eq!(said(&verify(None)), clean("none"));
    // The same of the whole log, whose newest checkpoint is cosigned.
    deployment.stop();
    let newest = public.join("checkpoint");
    let done = witness.once(&public, None, &newest);
    assert!(done.status.success(), "{done:?}");
    let log = |kept, policy: &str| deployment.audit_log(&deployment.data(), kept, policy);
    let told = log(None, &asking(&witness));
    assert_eq!(said(&told), (3, "incomplete", "witnessed"));
    assert_eq!(said(&log(Some(&kept), "")), clean("kept"));
    assert_eq!(said(&log(None, "")), clean("none"));
}
