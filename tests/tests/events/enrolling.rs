//! Hosts that are enrolled anew.

use affiant_tests::{Deployment, Host};

use crate::{PATIENT, enrolled, refused, report};

/// Records in a row.
const SOME: usize = 5;

async fn again(deployment: &Deployment, old: &Host, proved: bool) -> Host {
    let token = deployment.token(&old.name, "1h");
    let (address, ca) = (deployment.address(), deployment.ca());
    old.enrol_again(&address, &ca, &token, proved)
        .await
        .unwrap()
}

async fn renew(deployment: &Deployment, host: &mut Host) {
    let (address, ca) = (deployment.address(), deployment.ca());
    host.renew(&address, &ca).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_enrolled_anew_by_its_old_key_reports_at_once_and_the_auditor_is_told() {
    let deployment = Deployment::judged_by(PATIENT);
    let mut old = enrolled(&deployment, "gpu-1").await;
    report(&deployment, &mut old, SOME).await;
    let kept = deployment.keep_checkpoint("kept");
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);
    let mut new = again(&deployment, &old, true).await;
    assert!(!new.is_pending());
    report(&deployment, &mut new, SOME).await;
    refused(&deployment, &mut old, "continued by another").await;
    let told = deployment.audit(&kept);
    told.assert(1, "findings", "kept", &["RE_ENROLLED"]);
    let detail = told.said["findings"]["items"][0].to_string();
    assert!(detail.contains("proved by the old chain's key"), "{detail}");
    assert!(detail.contains(&old.chain().to_string()), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_enrolled_anew_without_its_old_key_waits_and_its_approval_is_what_is_told() {
    let deployment = Deployment::judged_by(PATIENT);
    let mut old = enrolled(&deployment, "gpu-1").await;
    report(&deployment, &mut old, SOME).await;
    let kept = deployment.keep_checkpoint("kept");
    let mut new = again(&deployment, &old, false).await;
    assert!(new.is_pending());
    report(&deployment, &mut old, 1).await;
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);
    deployment.succeed(&["host", "approve", "gpu-1", "--reason", "ticket 4711"]);
    renew(&deployment, &mut new).await;
    report(&deployment, &mut new, SOME).await;
    refused(&deployment, &mut old, "continued by another").await;
    let told = deployment.audit(&kept);
    told.assert(1, "findings", "kept", &["RE_ENROLLED"]);
    let detail = told.said["findings"]["items"][0].to_string();
    assert!(detail.contains("approved by an operator"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evicted_host_comes_back_by_approval_without_a_finding_and_a_banned_one_never() {
    let deployment = Deployment::judged_by(PATIENT);
    let mut old = enrolled(&deployment, "gpu-1").await;
    report(&deployment, &mut old, SOME).await;
    let kept = deployment.keep_checkpoint("kept");
    deployment.succeed(&["host", "evict", "gpu-1", "--reason", "moved to the annex"]);
    refused(&deployment, &mut old, "evicted").await;
    // What it signed before does not free a host that was sent away.
    let mut new = again(&deployment, &old, true).await;
    assert!(new.is_pending());
    deployment.succeed(&["host", "approve", "gpu-1"]);
    renew(&deployment, &mut new).await;
    report(&deployment, &mut new, SOME).await;
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);

    deployment.succeed(&["host", "ban", "gpu-1"]);
    refused(&deployment, &mut new, "banned").await;
    let token = deployment.token("gpu-1", "1h");
    let (address, ca) = (deployment.address(), deployment.ca());
    for host in [&old, &new] {
        let back = host.enrol_again(&address, &ca, &token, true).await;
        assert!(back.err().unwrap().message().contains("banned"));
    }
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_hardware_under_an_old_name_is_told_unless_the_old_was_retired_first() {
    let deployment = Deployment::judged_by(PATIENT);
    for name in ["gpu-1", "gpu-2"] {
        let mut old = enrolled(&deployment, name).await;
        report(&deployment, &mut old, SOME).await;
    }
    let kept = deployment.keep_checkpoint("kept");
    deployment.succeed(&["host", "retire", "gpu-1"]);
    let mut new = enrolled(&deployment, "gpu-1").await;
    assert!(!new.is_pending(), "its name is free");
    report(&deployment, &mut new, SOME).await;
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);

    let mut new = enrolled(&deployment, "gpu-2").await;
    assert!(new.is_pending(), "its name is another's");
    deployment.succeed(&["host", "approve", "gpu-2"]);
    renew(&deployment, &mut new).await;
    report(&deployment, &mut new, SOME).await;
    let told = deployment.audit(&kept);
    told.assert(1, "findings", "kept", &["RE_ENROLLED"]);
    assert_eq!(told.said["findings"]["items"][0]["host"], "gpu-2");
}
