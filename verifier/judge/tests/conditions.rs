//! What an approval allows beside classes of device: sites, and how many devices at once.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::Rule;
use affiant_proto::v1;
use log::Log;

const MODELS: [&str; 4] = ["NVIDIA H100 80GB HBM3"; 4];

fn approved(conditions: v1::Conditions) -> Log {
    let mut log = Log::new(&MODELS);
    log.party("t", "Harbour Analytics", "DE");
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "t".into(),
        end_customer: "t".into(),
        ultimate_parent: "t".into(),
        declared_use: "weather".into(),
        conditions: Some(v1::Conditions {
            device_classes: vec!["3A090.a".into()],
            ..conditions
        }),
        ..Default::default()
    });
    log.bind("b", "t", "szu");
    log.approve("t");
    log
}

fn at(sites: &[&str]) -> Log {
    let mut log = approved(v1::Conditions {
        sites: sites.iter().map(|site| (*site).to_owned()).collect(),
        ..Default::default()
    });
    log.work(0);
    log
}

fn with(max_gpus: u32) -> Log {
    let mut log = approved(v1::Conditions {
        max_gpus: Some(max_gpus),
        ..Default::default()
    });
    for _ in 0..3 {
        log.work(0);
    }
    log
}

#[test]
fn a_site_that_the_approval_does_not_name_is_a_finding_and_none_named_is_all() {
    assert_eq!(at(&[]).rules(), []);
    assert_eq!(at(&["ashburn", "berlin"]).rules(), []);
    let log = at(&["berlin"]);
    assert_eq!(log.rules(), [Rule::SiteNotAllowed]);
    let found = log.findings().pop().unwrap();
    assert_eq!(found.details, ["site ashburn; approved: berlin"]);
}

#[test]
fn four_devices_at_once_are_within_a_cap_of_four_and_beyond_one_of_three() {
    assert_eq!(with(4).rules(), []);
    let log = with(3);
    assert_eq!(log.rules(), [Rule::GpuCap]);
    let found = log.findings().pop().unwrap();
    assert_eq!(found.evidence.count, 3);
    assert_eq!(
        found.details,
        ["4.0 GPUs at once in one record; approved: 3"]
    );
    assert_eq!(with(0).rules(), [Rule::GpuCap], "none at all is a cap too");
}
