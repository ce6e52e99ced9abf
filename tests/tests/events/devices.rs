//! Devices that are carried from host to host, or counted in two.

use affiant_tests::{Deployment, Host};

use crate::{enrolled, now_ms, report};

/// Hosts may be silent for ten minutes, and a device be in two for as long.
const GRACE: &str = "gap_grace_ms = 600000\n";

/// Records of more than that.
const RECORDS: usize = 70;

async fn two(deployment: &Deployment) -> (Host, Host) {
    let one = enrolled(deployment, "gpu-1").await;
    (one, enrolled(deployment, "gpu-2").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_in_another_host_afterwards_has_moved() {
    let deployment = Deployment::judged_by(GRACE);
    let (mut one, mut other) = two(&deployment).await;
    let begin = now_ms() - 300_000;
    one.set_wall(begin);
    report(&deployment, &mut one, 6).await;
    one.seal_inventory("GPU-spare");
    report(&deployment, &mut one, RECORDS).await;
    let kept = deployment.keep_checkpoint("kept");
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);
    other.set_wall(begin + 120_000);
    other.seal_inventory("GPU-gpu-1");
    report(&deployment, &mut other, RECORDS).await;
    let told = deployment.audit(&kept);
    told.assert(1, "findings", "kept", &["DEVICE_MOVED"]);
    let finding = &told.said["findings"]["items"][0];
    assert_eq!(finding["severity"], "low");
    assert!(finding.to_string().contains("GPU-gpu-1"), "{finding}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_a_retired_host_moves_to_the_next_one() {
    let deployment = Deployment::judged_by(GRACE);
    let (mut one, mut other) = two(&deployment).await;
    let begin = now_ms() - 300_000;
    one.set_wall(begin);
    report(&deployment, &mut one, 6).await;
    let kept = deployment.keep_checkpoint("kept");
    deployment.succeed(&["host", "retire", "gpu-1"]);
    other.set_wall(begin + 120_000);
    other.seal_inventory("GPU-gpu-1");
    report(&deployment, &mut other, RECORDS).await;
    let told = deployment.audit(&kept);
    told.assert(1, "findings", "kept", &["DEVICE_MOVED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_two_hosts_count_at_once_is_doubled() {
    let deployment = Deployment::judged_by(GRACE);
    let (mut one, mut other) = two(&deployment).await;
    let begin = now_ms() - 300_000;
    one.set_wall(begin);
    report(&deployment, &mut one, RECORDS).await;
    let kept = deployment.keep_checkpoint("kept");
    other.set_wall(begin);
    other.seal_inventory("GPU-gpu-1");
    report(&deployment, &mut other, RECORDS).await;
    let told = deployment.audit(&kept);
    told.assert(1, "findings", "kept", &["DEVICE_DUPLICATE"]);
    let finding = &told.said["findings"]["items"][0];
    assert_eq!(finding["severity"], "high");
    for host in ["gpu-1", "gpu-2"] {
        assert!(finding.to_string().contains(host), "{finding}");
    }
}
