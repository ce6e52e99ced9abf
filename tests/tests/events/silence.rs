//! Silences: which are gaps, and which an operator's word excuses.

use affiant_tests::Deployment;

use crate::{LIMIT, enrolled, refused, report};

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_a_gap_unless_its_host_is_retired_transferred_or_in_maintenance() {
    let deployment = Deployment::judged_by("");
    let mut beating = enrolled(&deployment, "beating").await;
    report(&deployment, &mut beating, 1).await;
    let kept = deployment.keep_checkpoint("kept");
    let events: [(&str, &[&str]); 6] = [
        ("gone", &["retire", "gone"]),
        ("sold", &["transfer", "sold"]),
        ("resting", &["maintenance", "resting", "--reason", "fans"]),
        ("until", &["maintenance", "until", "--until", "1h"]),
        ("overdue", &["maintenance", "overdue", "--until", "1s"]),
        ("silent", &["list"]),
    ];
    let mut hosts = Vec::new();
    for (name, event) in events {
        // The event is in the log before the host is missed.
        let mut host = enrolled(&deployment, name).await;
        report(&deployment, &mut host, 1).await;
        deployment.succeed(&[&["host"], event].concat());
        report(&deployment, &mut beating, 1).await;
        hosts.push(host);
    }
    refused(&deployment, &mut hosts[0], "retired").await;
    refused(&deployment, &mut hosts[1], "transferred").await;

    // The log's clock goes on with what others send.
    let waiting = std::time::Instant::now();
    while deployment.findings().len() < 2 {
        assert!(waiting.elapsed() < LIMIT, "{:?}", deployment.findings());
        report(&deployment, &mut beating, 1).await;
    }
    let told = deployment.audit(&kept);
    told.assert(1, "findings", "kept", &["USAGE_GAP", "USAGE_GAP"]);
    let items = told.said["findings"]["items"].as_array().unwrap();
    let mut hosts: Vec<_> = items.iter().map(|one| one["host"].as_str()).collect();
    hosts.sort_unstable();
    assert_eq!(hosts, [Some("overdue"), Some("silent")], "{items:#?}");
}
