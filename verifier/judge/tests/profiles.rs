//! What is known of a tenant against what it used: new ones, declarations, thresholds, and tenants in step.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Judge, Parameters, Rule, Severity};
use affiant_proto::v1;
use log::{Log, with_limits};

const MODELS: [&str; 8] = ["NVIDIA H100 80GB HBM3"; 8];
const SPAN: u64 = 600_000;
const DAY: u64 = 144 * SPAN;

fn tenants(judge: Judge, models: &[&str], training_declared: Option<bool>, parent: &str) -> Log {
    let mut log = Log::with(judge, models);
    assert_eq!(log.now % DAY, 0, "records fill whole days");
    for (id, parent, namespace) in [("a", parent, "szu"), ("b", "b", "clear")] {
        log.party(id, id, "DE");
        log.tenant(v1::Tenant {
            id: id.into(),
            customer: id.into(),
            end_customer: id.into(),
            ultimate_parent: parent.into(),
            declared_use: "inference".into(),
            training_declared,
            ..Default::default()
        });
        log.bind(id, id, namespace);
        log.approve(id);
    }
    log
}

/// The first `count` devices, of a workload, busy for so many percent.
fn first(count: usize, workload: u32, busy: u64) -> Vec<(usize, u32, u64)> {
    (0..count).map(|device| (device, workload, busy)).collect()
}

const RAMP: [(&str, u32); 2] = [("new_tenant_days", 2), ("new_tenant_gpus", 8)];

#[test]
fn many_devices_within_days_of_the_first_use_are_a_ramp_and_later_or_fewer_are_not() {
    let log = || tenants(with_limits(&RAMP), &MODELS, None, "a");
    let mut new = log();
    new.spend(SPAN, &first(7, 0, 50));
    assert_eq!(new.of(Rule::RampNewTenant), [], "one less");
    new.spend(SPAN, &first(8, 0, 50));
    let found = new.of(Rule::RampNewTenant).pop().unwrap();
    assert_eq!(
        (found.severity, found.tenant.as_deref()),
        (Severity::Medium, Some("a"))
    );
    assert!(
        found.details[0].starts_with("8.0 GPUs on average"),
        "{:?}",
        found.details
    );
    let mut old = log();
    old.spend(SPAN, &first(1, 0, 50));
    for _ in 0..2 {
        old.spend(DAY, &[]);
    }
    old.spend(SPAN, &first(8, 0, 50));
    assert_eq!(old.of(Rule::RampNewTenant), [], "two days later");
}

#[test]
fn in_a_part_of_the_log_a_tenant_is_new_only_where_that_is_sure() {
    let pack = || with_limits(&RAMP);
    let begin = log::START + DAY;
    let part = |stated_before| {
        let from = if stated_before { begin + DAY } else { 1 };
        let judge = Judge::over(Parameters::default(), from, u64::MAX);
        let judge = judge.with_pack(std::sync::Arc::new(pack().pack().clone()));
        let mut log = tenants(judge, &MODELS, None, "a");
        log.tick(2 * DAY);
        log.spend(SPAN, &first(8, 0, 50));
        log.of(Rule::RampNewTenant).len()
    };
    assert_eq!(part(false), 1, "stated within the period");
    assert_eq!(part(true), 0, "perhaps it used devices before");
}

const MISMATCH: [(&str, u32); 3] = [
    ("mismatch_days", 2),
    ("mismatch_gpus", 8),
    ("mismatch_busy_percent", 90),
];

fn days(training: Option<bool>, days: u64, busy: u64, devices: usize) -> usize {
    let mut log = tenants(with_limits(&MISMATCH), &MODELS, training, "a");
    for _ in 0..days {
        log.spend(DAY, &first(devices, 0, busy));
    }
    log.tick(SPAN);
    log.tick(SPAN);
    log.of(Rule::UseMismatch).len()
}

#[test]
fn whole_hosts_busy_for_days_are_not_what_a_tenant_declared_that_trains_nothing() {
    assert_eq!(days(Some(false), 2, 95, 8), 1);
    assert_eq!(days(None, 2, 95, 8), 1, "declared as inference");
    assert_eq!(days(Some(true), 2, 95, 8), 0, "declared to train");
    assert_eq!(days(Some(false), 1, 95, 8), 0, "a day only");
    assert_eq!(days(Some(false), 2, 85, 8), 0, "not that busy");
    assert_eq!(days(Some(false), 2, 95, 7), 0, "not the whole host");
}

fn threshold(report_operations_1e20: u32, models: &[&str], parent: &str) -> Log {
    let limits = [
        ("report_operations_1e20", report_operations_1e20),
        ("report_months", 2),
        ("operation_bits", 16),
        ("operation_percent", 50),
    ];
    tenants(with_limits(&limits), models, None, parent)
}

#[test]
fn operations_reach_a_threshold_surely_or_possibly_or_not() {
    // Eight H100 at 989.5 tera-operations for a day are 6.84 × 10^20; busy for 80 %, of which half counts,
    // 2.73 × 10^20.
    let by = |units| {
        let mut log = threshold(units, &MODELS, "a");
        log.spend(DAY, &first(8, 0, 80));
        log.of(Rule::ComputeThreshold)
    };
    assert_eq!(by(7), []);
    let possible = by(6).pop().unwrap();
    assert_eq!(possible.severity, Severity::Medium);
    assert_eq!(
        possible.details,
        [
            "2e20 to 7e20 operations at 16 bits in 2 months to 2024-08, 50 % of busy time counted for the lower; threshold 6e20"
        ]
    );
    assert_eq!(by(3).pop().unwrap().severity, Severity::Medium);
    assert_eq!(by(2).pop().unwrap().severity, Severity::High);
}

#[test]
fn operations_of_linked_tenants_are_summed_and_devices_of_unknown_performance_named() {
    let half = |workload| first(4, workload, 80);
    let both: Vec<_> = half(0)
        .into_iter()
        .chain(
            half(1)
                .into_iter()
                .map(|(device, workload, busy)| (device + 4, workload, busy)),
        )
        .collect();
    let by = |parent| {
        let mut log = threshold(6, &MODELS, parent);
        log.spend(DAY, &both);
        log.of(Rule::ComputeThreshold)
    };
    assert_eq!(by("a"), [], "each has half");
    let found = by("b").pop().unwrap();
    assert_eq!(found.tenants, ["a", "b"]);
    assert!(
        found
            .details
            .iter()
            .any(|it| it == "linked: party b links a, b")
    );
    let mut log = threshold(1, &["NVIDIA H100 80GB HBM3", "NVIDIA L4"], "a");
    log.spend(2 * DAY, &first(2, 0, 80));
    let found = log.of(Rule::ComputeThreshold).pop().unwrap();
    assert!(
        found
            .details
            .iter()
            .any(|it| it.starts_with("not counted: 4e1 hours")),
        "{:?}",
        found.details
    );
}

/// A day in which `a` works in bursts, and `b` does, so many spans later.
fn bursts(apart: u64, parent: &str) -> Vec<affiant_judge::Finding> {
    let limits = [("correlated_percent", 95), ("correlated_gpus", 1)];
    let mut log = tenants(with_limits(&limits), &MODELS, None, parent);
    let works = |span: u64| [0, 1, 2, 7, 8, 15].contains(&(span % 24));
    for span in 0..144 {
        let mut used = Vec::new();
        if works(span + 24) {
            used.extend((0..4).map(|device| (device, 0, 90)));
        }
        if works(span + 24 - apart) {
            used.extend((4..8).map(|device| (device, 1, 80)));
        }
        log.spend(SPAN, &used);
    }
    log.tick(SPAN);
    log.tick(6 * SPAN);
    log.of(Rule::CorrelatedTenants)
}

#[test]
fn two_that_start_and_stop_together_are_in_step_unless_they_are_known_to_be_linked() {
    let found = bursts(0, "a").pop().unwrap();
    assert_eq!((found.severity, found.tenants.len()), (Severity::Low, 2));
    assert!(
        found.details[0].starts_with("busy time correlates by 100 %"),
        "{:?}",
        found.details
    );
    assert_eq!(bursts(5, "a"), [], "one is half an hour and more later");
    assert_eq!(bursts(0, "b"), [], "linked by a parent");
}
