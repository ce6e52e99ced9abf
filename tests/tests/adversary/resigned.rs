//! The whole log signed again without one record, by one who has every key of the verifier.

use std::process::Command;

use affiant_tests::{Deployment, Witness, binary, copy};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_signed_again_with_all_keys_fits_no_anchor_and_passes_without_one() {
    let mut deployment = Deployment::judged_by(PATIENT);
    let mut victim = enrolled(&deployment, "gpu-1").await;
    let mut other = enrolled(&deployment, "gpu-2").await;
    sends(&deployment, &mut other, 10).await;
    sends(&deployment, &mut victim, 20).await;
    let witness = Witness::of(&deployment, "w");
    let kept = deployment.keep_checkpoint("kept.note");
    assert_eq!(witness.asked(0, Vec::new(), &note(&kept)), 200);
    let seen = agent(&deployment, &victim).await;
    deployment.stop();

    let data = deployment.data();
    let (honest, forged) = (deployment.path("honest"), deployment.path("forged"));
    copy(&data, &honest);
    let insider = Command::new(binary("affiant-insider"))
        .arg(&data)
        .arg(&forged)
        .output()
        .unwrap();
    assert!(insider.status.success(), "{insider:?}");
    copy(&forged, &data);
    deployment.start();

    // Witness: the log is smaller than what it cosigned; grown again, it is another one.
    assert!(size(&data.join("log/public/checkpoint")) < size(&kept));
    let shrunk = note(&data.join("log/public/checkpoint"));
    assert_eq!(witness.asked(0, Vec::new(), &shrunk), 409);
    // Agent: the log went back, and then is another one.
    let went_back = charged(&seen, &victim, &deployment).await;
    assert_eq!(went_back, "LOG_WENT_BACK");
    grow_beyond(&deployment, &mut other, size(&kept)).await;
    assert_eq!(witnessed(&witness, &deployment), 422);
    assert_eq!(charged(&seen, &victim, &deployment).await, "LOG_FORKED");
    let report = deployment.report("report");
    // Auditor with an anchor: broken by what he kept, incomplete by the witness who is missing.
    let told = deployment.verify(&report, Some(&kept), "");
    assert_eq!(
        (told.exit, &*told.verdict),
        (2, "broken"),
        "{:#}",
        told.said
    );
    let told = deployment.verify(&report, None, &asking(&witness));
    assert_eq!(said(&told), (3, "incomplete", "none"));
    // Auditor without one: clean, and it says that it has no anchor.
    let told = deployment.verify(&report, None, "");
    assert_eq!(said(&told), (0, "clean", "none"));
    // Whoever has the whole log sees the same.
    deployment.stop();
    let log = |kept, policy: &str| deployment.audit_log(&data, kept, policy);
    let told = log(Some(&kept), "");
    let got = (told.exit, told.verdict.as_str());
    assert_eq!(got, (2, "broken"), "{:#}", told.said);
    let told = log(None, &asking(&witness));
    assert_eq!(said(&told), (3, "incomplete", "none"));
    assert_eq!(said(&log(None, "")), (0, "clean", "none"));
}
