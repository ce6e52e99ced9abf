//! Two histories of one log, signed by its one key, each shown to another party.

use affiant_tests::{Deployment, Witness, copy};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_equivocating_verifier_fits_no_anchor_and_passes_without_one() {
    let mut deployment = Deployment::judged_by(PATIENT);
    let mut mine = enrolled(&deployment, "gpu-1").await;
    let mut yours = enrolled(&deployment, "gpu-2").await;
    sends(&deployment, &mut mine, 10).await;
    sends(&deployment, &mut yours, 10).await;
    let witness = Witness::of(&deployment, "w");
    deployment.stop();
    let (data, image) = (deployment.data(), deployment.path("image"));
    copy(&data, &image);
    let config = deployment.path("verifier.toml");
    let alone = fs::read_to_string(&config).unwrap();

    // The first party is shown a log in which gpu-1 goes on, and which the witness cosigns.
    deployment.configure(&witness.table());
    deployment.start();
    sends(&deployment, &mut mine, 30).await;
    let first_agent = agent(&deployment, &mine).await;
    let first_kept = deployment.keep_checkpoint("first.note");
    let first = deployment.report("first");
    deployment.stop();
    let cosigned = witness.known();
    assert!(cosigned > size(&first_kept), "the report has a cosignature");

    // The second party is shown one in which it does not.
    copy(&data, &deployment.path("first-history"));
    copy(&image, &data);
    fs::write(&config, alone).unwrap();
    deployment.start();
    sends(&deployment, &mut yours, 5).await;
    let second_agent = agent(&deployment, &yours).await;
    let second_kept = deployment.keep_checkpoint("second.note");
    grow_beyond(&deployment, &mut yours, cosigned).await;
    let second = deployment.report("second");

    // Witness: has cosigned the first, and refuses the second.
    assert_eq!(witnessed(&witness, &deployment), 422);
    // Agent: one that saw the first charges the second; one that saw the second alone cannot.
    assert_eq!(
        charged(&first_agent, &mine, &deployment).await,
        "LOG_FORKED"
    );
    assert_eq!(charged(&second_agent, &yours, &deployment).await, "");
    // Auditor with an anchor: whoever kept one history refuses the other.
    let verify = |report, kept, policy: &str| deployment.verify(report, kept, policy);
    for (report, other) in [(&first, &second_kept), (&second, &first_kept)] {
        let told = verify(report, Some(other), "");
        assert_eq!(
            (told.exit, &*told.verdict),
            (2, "broken"),
            "{:#}",
            told.said
        );
    }
    let policy = asking(&witness);
    assert_eq!(
        said(&verify(&first, None, &policy)),
        (0, "clean", "witnessed")
    );
    assert_eq!(
        said(&verify(&second, None, &policy)),
        (3, "incomplete", "none")
    );
    // Auditor without one: each history is clean, and says that it has no anchor.
    for report in [&first, &second] {
        assert_eq!(said(&verify(report, None, "")), (0, "clean", "none"));
    }
    // Whoever has one of the whole logs sees the same.
    deployment.stop();
    let first = deployment.path("first-history");
    let log = |data, kept, policy: &str| deployment.audit_log(data, kept, policy);
    for (data, other) in [(&first, &second_kept), (&data, &first_kept)] {
        let told = log(data, Some(other), "");
        let got = (told.exit, told.verdict.as_str());
        assert_eq!(got, (2, "broken"), "{:#}", told.said);
        assert_eq!(said(&log(data, None, "")), (0, "clean", "none"));
    }
    let witnessed = log(&first, None, &policy);
    assert_eq!(said(&witnessed), (0, "clean", "witnessed"));
    let unwitnessed = log(&data, None, &policy);
    assert_eq!(said(&unwitnessed), (3, "incomplete", "none"));
}
