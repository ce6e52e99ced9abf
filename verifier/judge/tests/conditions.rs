//! What an approval allows beside classes of device: sites, how many devices and how much performance at
//! once, how much device time in a month; and what the policy pack allows where an approval says nothing.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Judge, Parameters, Rule};
use affiant_proto::v1;
use log::{Log, with_limits};

const MODELS: [&str; 4] = ["NVIDIA H100 80GB HBM3"; 4];

fn approved(conditions: v1::Conditions) -> Log {
    approved_by(Judge::new(Parameters::default()), &MODELS, conditions)
}

fn approved_by(judge: Judge, models: &[&str], conditions: v1::Conditions) -> Log {
    let mut log = Log::with(judge, models);
    log.party("t", "Harbour Analytics", "DE");
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "t".into(),
        end_customer: "t".into(),
        ultimate_parent: "t".into(),
        declared_use: "weather".into(),
        conditions: Some(v1::Conditions {
            device_classes: vec!["3A090.a".into(), "unknown".into()],
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
        ["4.0 GPUs at once in one record; approved: 3 GPUs"]
    );
    assert_eq!(with(0).rules(), [Rule::GpuCap], "none at all is a cap too");
}

fn with_tpp(models: &[&str], max_aggregate_tpp: u64) -> Log {
    let conditions = v1::Conditions {
        max_aggregate_tpp: Some(max_aggregate_tpp),
        ..Default::default()
    };
    let mut log = approved_by(Judge::new(Parameters::default()), models, conditions);
    log.work(0);
    log
}

#[test]
fn four_h100_are_within_their_own_performance_and_beyond_one_less() {
    assert_eq!(with_tpp(&MODELS, 4 * 15_832).rules(), []);
    let log = with_tpp(&MODELS, 4 * 15_832 - 1);
    assert_eq!(log.rules(), [Rule::TppCap]);
    let found = log.findings().pop().unwrap();
    assert_eq!(
        found.details,
        ["63328.0 TPP at once in one record; approved: 63327 TPP"]
    );
}

#[test]
fn a_device_whose_performance_is_not_known_makes_a_lower_bound_and_that_is_said() {
    let models = ["NVIDIA H100 80GB HBM3", "NVIDIA L4"];
    let log = with_tpp(&models, 15_831);
    assert_eq!(log.of(Rule::TppCap).len(), 1);
    let found = log.of(Rule::TppCap).pop().unwrap();
    assert_eq!(
        found.details,
        ["15832.0 TPP at least at once in one record; approved: 15831 TPP"]
    );
    let log = with_tpp(&models, 15_832);
    assert_eq!(log.of(Rule::TppCap), []);
    let notes = log.judge.figures().notes;
    assert!(
        notes
            .iter()
            .any(|note| note.contains("TPP of some devices is not known")),
        "{notes:?}"
    );
}

#[test]
fn device_hours_are_counted_by_calendar_month() {
    const QUARTER: u64 = 900_000;
    let all = [(0, 0, 50), (1, 0, 50), (2, 0, 50), (3, 0, 50)];
    let conditions = v1::Conditions {
        max_gpu_hours_month: Some(2),
        ..Default::default()
    };
    let mut log = approved(conditions);
    log.spend(QUARTER, &all);
    log.spend(QUARTER, &all);
    assert_eq!(log.rules(), [], "two hours");
    // The first of September begins; the log was quiet until then.
    let september = 1_725_148_800_000 - QUARTER;
    log.tick(september - log.now);
    log.spend(QUARTER, &[]);
    log.spend(QUARTER, &all);
    log.spend(QUARTER, &all);
    assert_eq!(log.of(Rule::HoursCap), [], "two hours again");
    log.spend(QUARTER, &[(0, 0, 0)]);
    let found = log.of(Rule::HoursCap).pop().unwrap();
    assert_eq!(
        found.details,
        ["more than 2 GPU-hours in 2024-09; approved: 2 GPU-hours a month"]
    );
    assert_eq!(found.evidence.count, 1);
}

#[test]
fn the_pack_in_force_caps_those_whose_approval_states_no_cap() {
    let pack = |max_gpus| with_limits(&[("max_gpus", max_gpus)]);
    let by = |judge, max_gpus| {
        let conditions = v1::Conditions {
            max_gpus,
            ..Default::default()
        };
        let mut log = approved_by(judge, &MODELS, conditions);
        log.work(0);
        log
    };
    assert_eq!(by(pack(4), None).rules(), []);
    assert_eq!(by(pack(3), Some(4)).rules(), [], "approved for more");
    let log = by(pack(3), None);
    assert_eq!(log.rules(), [Rule::GpuCap]);
    let found = log.findings().pop().unwrap();
    assert_eq!(
        found.details,
        ["4.0 GPUs at once in one record; policy pack default@2026-11-28 allows 3 GPUs"]
    );
    for (limit, most) in [("max_aggregate_tpp", 63_327), ("max_gpu_hours_month", 0)] {
        let log = by(with_limits(&[(limit, most)]), None);
        assert_eq!(log.rules().len(), 1, "{limit}");
        assert_eq!(by(with_limits(&[(limit, most + 1)]), None).rules(), []);
    }
}
