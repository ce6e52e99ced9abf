//! Devices that officers declare for a site, against what hosts have.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Finding, Judge, Parameters, Rule};
use affiant_proto::{Reenrolment, v1};
use log::{ANN, BO, HOST, Log};

const DAY: u64 = 86_400_000;
const MODELS: [&str; 2] = ["NVIDIA H100 80GB HBM3"; 2];

fn device(uuid: &str, serial: &str) -> v1::DeclaredDevice {
    v1::DeclaredDevice {
        uuid: uuid.into(),
        serial: serial.into(),
        model: "H100".into(),
    }
}

fn declare(log: &mut Log, devices: &[v1::DeclaredDevice]) -> u64 {
    part(log, ANN, (0, 0), devices)
}

fn part(
    log: &mut Log,
    officer: [u8; 32],
    (part, parts): (u32, u32),
    devices: &[v1::DeclaredDevice],
) -> u64 {
    let body = v1::InventoryDeclaration {
        header: None,
        site: "ashburn".into(),
        devices: devices.to_vec(),
        part,
        parts,
    };
    let index = log.next();
    log.judge.inventory_declaration(index, officer, &body);
    index
}

/// The host has these devices from now on.
fn inventory(log: &mut Log, sequence: u64, devices: &[(&str, &str)]) {
    let devices = devices.iter().map(|(uuid, serial)| {
        Some(v1::Device {
            uuid: (*uuid).into(),
            serial: (!serial.is_empty()).then(|| (*serial).into()),
            ..Default::default()
        })
    });
    let devices = devices.collect();
    let index = log.next();
    log.judge.inventory(index, HOST, sequence, devices);
}

fn missing(log: &Log) -> Vec<Finding> {
    log.of(Rule::InventoryMissing)
}

fn unexpected(log: &Log) -> Vec<Finding> {
    log.of(Rule::InventoryUnexpected)
}

#[test]
fn a_site_that_has_what_is_declared_and_no_more_has_no_finding() {
    let mut log = Log::new(&MODELS);
    declare(&mut log, &[device("gpu-0", "S0"), device("GPU-1", "")]);
    log.tick(9 * DAY);
    assert_eq!((missing(&log), unexpected(&log)), (Vec::new(), Vec::new()));
    let site = log.judge.declared().pop().unwrap();
    let counts = (site.declared, site.seen, site.missing, site.unexpected);
    assert_eq!(counts, (2, 2, 0, 0));
    assert_eq!(log.judge.figures().inventory, [site]);
}

#[test]
fn a_declared_device_that_no_host_has_is_missing_after_a_day_and_found_again_stays_on_record() {
    let mut log = Log::new(&MODELS);
    let all = [device("GPU-0", ""), device("GPU-1", ""), device("", "S9")];
    let index = declare(&mut log, &all);
    log.tick(DAY - 1);
    assert_eq!(missing(&log), []);
    log.tick(1);
    let found = missing(&log).pop().unwrap();
    assert_eq!(found.device.as_deref(), Some("S9"));
    assert_eq!(found.evidence.first_index, index);
    assert_eq!(found.opened_unix_ms, log.now - DAY);
    assert!(found.open);
    // Declared again, and in a host at last.
    declare(&mut log, &all);
    assert_eq!(missing(&log)[0].id, found.id);
    inventory(
        &mut log,
        9,
        &[("GPU-0", ""), ("GPU-1", ""), ("GPU-9", "s9")],
    );
    log.tick(DAY);
    let after = missing(&log).pop().unwrap();
    assert_eq!((after.id, after.open), (found.id, false));
    assert_eq!(log.judge.declared()[0].missing, 0);
    assert_eq!(
        unexpected(&log),
        [],
        "it is the one with that serial number"
    );
}

#[test]
fn a_device_that_leaves_its_host_is_missing_a_day_later_wherever_it_was_before() {
    let mut log = Log::new(&MODELS);
    declare(&mut log, &[device("GPU-0", ""), device("GPU-1", "")]);
    log.tick(5 * DAY);
    inventory(&mut log, 9, &[("GPU-0", "")]);
    log.tick(DAY - 1);
    assert_eq!(missing(&log), []);
    log.tick(1);
    assert_eq!(missing(&log)[0].device.as_deref(), Some("GPU-1"));
    let mut log = Log::new(&MODELS);
    declare(&mut log, &[device("GPU-0", ""), device("GPU-1", "")]);
    log.host_event(v1::HostEventKind::Retire);
    log.tick(DAY);
    assert_eq!(missing(&log).len(), 2, "the host is no more");
}

#[test]
fn a_device_that_the_declaration_of_its_site_lacks_is_unexpected_until_it_is_declared() {
    let mut log = Log::new(&MODELS);
    log.tick(1_000);
    assert_eq!(unexpected(&log), [], "nobody declared anything");
    declare(&mut log, &[device("GPU-0", "")]);
    let found = unexpected(&log).pop().unwrap();
    assert_eq!(
        (found.device.as_deref(), found.host.as_deref()),
        (Some("GPU-1"), Some("gpu-01"))
    );
    log.tick(DAY);
    declare(&mut log, &[device("GPU-0", ""), device("GPU-1", "")]);
    log.tick(DAY);
    let after = unexpected(&log).pop().unwrap();
    assert_eq!((after.id, after.open), (found.id, false));
    assert_eq!(after.last_unix_ms - after.opened_unix_ms, DAY);
}

#[test]
fn a_device_in_a_host_of_another_site_is_not_missing_and_there_it_is_unexpected_only_where_that_declares()
 {
    let mut log = Log::new(&MODELS);
    let host = v1::Enrolment {
        host: "gpu-02".into(),
        site: "berlin".into(),
        ..Default::default()
    };
    let index = log.next();
    log.judge
        .enrolment(index, [0xbb; 32], &host, Reenrolment::First);
    let device_7 = v1::Device {
        uuid: "GPU-7".into(),
        ..Default::default()
    };
    let index = log.next();
    log.judge
        .inventory(index, [0xbb; 32], 1, vec![Some(device_7)]);
    let all = [
        device("GPU-0", ""),
        device("GPU-1", ""),
        device("GPU-7", ""),
    ];
    declare(&mut log, &all);
    log.tick(2 * DAY);
    assert_eq!((missing(&log), unexpected(&log)), (Vec::new(), Vec::new()));
}

#[test]
fn a_list_in_parts_counts_when_the_last_of_one_officer_is_said() {
    let mut log = Log::new(&MODELS);
    part(&mut log, ANN, (1, 2), &[device("GPU-0", "")]);
    part(&mut log, BO, (2, 2), &[device("GPU-1", "")]);
    assert_eq!(log.judge.declared(), [], "another officer's part");
    part(&mut log, ANN, (1, 2), &[device("GPU-0", "")]);
    assert_eq!(log.judge.declared(), []);
    part(&mut log, ANN, (2, 2), &[device("GPU-1", "")]);
    assert_eq!(log.judge.declared()[0].seen, 2);
    assert_eq!(unexpected(&log), []);
}

#[test]
fn what_is_said_after_the_period_makes_nothing_of_it_missing() {
    let end = log::START + 2 * DAY;
    let judge = Judge::over(Parameters::default(), 0, end);
    let mut log = Log::with(judge, &MODELS);
    declare(&mut log, &[device("GPU-0", ""), device("GPU-1", "")]);
    log.tick(2 * DAY + 1);
    declare(&mut log, &[device("GPU-0", "")]);
    inventory(&mut log, 9, &[]);
    log.tick(9 * DAY);
    assert_eq!((missing(&log), unexpected(&log)), (Vec::new(), Vec::new()));
}

#[test]
fn of_very_many_the_first_have_a_finding_each_and_the_rest_one_together() {
    let mut log = Log::new(&MODELS);
    let all: Vec<_> = (0..300)
        .map(|number| device("", &format!("S{number:03}")))
        .collect();
    declare(&mut log, &all);
    log.tick(DAY);
    let found = missing(&log);
    assert_eq!(found.len(), 257);
    let rest: Vec<_> = found.iter().filter(|one| one.device.is_none()).collect();
    assert_eq!(
        rest[0].details,
        ["44 more, beside those that have a finding each"]
    );
    assert_eq!(log.judge.declared()[0].missing, 300);
}

#[test]
fn a_device_that_is_declared_again_otherwise_is_missing_all_the_same() {
    let mut log = Log::new(&MODELS);
    declare(&mut log, &[device("GPU-0", ""), device("GPU-7", "")]);
    log.tick(2 * DAY);
    let found = missing(&log).pop().unwrap();
    assert_eq!(found.device.as_deref(), Some("GPU-7"));
    // With a serial number, and in another case.
    for again in [device("GPU-7", "S7"), device("gpu-7", "s7")] {
        declare(&mut log, &[device("GPU-0", ""), again]);
        let still = missing(&log);
        assert!(still.iter().any(|it| it.id == found.id), "{still:?}");
        assert!(still.iter().any(|it| it.open), "no new grace: {still:?}");
    }
}
