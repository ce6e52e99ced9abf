//! Linked tenants: what they use together, and what links them.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Finding, Rule};
use affiant_proto::v1::{self, tenant_event::Body};
use log::Log;

const MODELS: [&str; 8] = ["NVIDIA H100 80GB HBM3"; 8];
const SPAN: u64 = 600_000;

/// A firm, with what it is linked by.
fn firm(id: &str, address: &str, number: &str) -> Body {
    let Body::Party(firm) = log::party(id, id, "DE") else {
        unreachable!()
    };
    let identifier = v1::Identifier {
        scheme: "HRB".into(),
        value: number.into(),
        country: "DE".into(),
    };
    Body::Party(v1::Party {
        addresses: vec![address.into()],
        identifiers: vec![identifier],
        ..firm
    })
}

fn tenant(id: &str, parent: &str, conditions: v1::Conditions) -> v1::Tenant {
    v1::Tenant {
        id: id.into(),
        customer: format!("{id}-firm"),
        end_customer: format!("{id}-firm"),
        ultimate_parent: parent.into(),
        declared_use: "weather".into(),
        conditions: Some(v1::Conditions {
            device_classes: vec!["3A090.a".into()],
            ..conditions
        }),
        ..Default::default()
    }
}

fn four() -> v1::Conditions {
    v1::Conditions {
        max_gpus: Some(4),
        ..Default::default()
    }
}

/// Two tenants with parents, approved on conditions; `said` comes before.
fn case(said: Vec<Body>, parents: (&str, &str), conditions: v1::Conditions) -> Log {
    let mut log = Log::new(&MODELS);
    assert_eq!(log.now % SPAN, 0, "records fill whole spans");
    for body in [
        firm("a-firm", "Hafenstr. 1, 20457 Hamburg", "1001"),
        firm("b-firm", "Marienplatz 8, Munich", "2002"),
        firm("c-firm", "Domplatz 4, 50667 Cologne", "3003"),
        log::party("p", "Parent", "DE"),
        log::party("q", "Another", "DE"),
    ] {
        log.say(body);
    }
    for body in said {
        log.say(body);
    }
    for (id, parent, namespace) in [("a", parents.0, "szu"), ("b", parents.1, "clear")] {
        log.tenant(tenant(id, parent, conditions.clone()));
        log.bind(id, id, namespace);
        log.approve(id);
    }
    log
}

/// `a` has so many devices and `b` so many for ten minutes.
fn work(log: &mut Log, a: usize, b: usize) {
    let of_a = (0..a).map(|device| (device, 0, 90));
    let of_b = (a..a + b).map(|device| (device, 1, 90));
    let used: Vec<_> = of_a.chain(of_b).collect();
    log.spend(SPAN, &used);
}

fn structuring(log: &Log) -> Vec<Finding> {
    log.of(Rule::Structuring)
}

fn found(said: Vec<Body>, parents: (&str, &str)) -> usize {
    let mut log = case(said, parents, four());
    work(&mut log, 3, 3);
    structuring(&log).len()
}

#[test]
fn two_of_one_parent_exceed_together_what_neither_does_alone() {
    let mut log = case(Vec::new(), ("p", "p"), four());
    work(&mut log, 2, 2);
    assert_eq!(log.rules(), [], "four together");
    work(&mut log, 3, 3);
    assert_eq!(log.rules(), [Rule::Structuring]);
    let finding = structuring(&log).pop().unwrap();
    assert_eq!(finding.tenant.as_deref(), Some("a"));
    assert_eq!(finding.tenants, ["a", "b"]);
    assert_eq!(finding.details[0], "linked: party p links a, b");
    let total = &finding.details[1];
    assert!(total.starts_with("together 6.0 GPUs on average"), "{total}");
    assert!(
        total.ends_with("(a 3.0, b 3.0); cap of tenant a, approved: 4 GPUs"),
        "{total}"
    );
}

#[test]
fn a_cap_that_one_exceeds_alone_is_its_own_matter_and_strangers_have_none() {
    let mut log = case(Vec::new(), ("p", "p"), four());
    work(&mut log, 5, 2);
    assert_eq!(log.rules(), [Rule::GpuCap]);
    assert_eq!(found(Vec::new(), ("p", "q")), 0);
    assert_eq!(
        found(Vec::new(), ("", "")),
        0,
        "two unresolved parents are not one"
    );
}

fn owns(from: &str, to: &str, share: Option<u32>) -> Body {
    Body::Edge(v1::Edge {
        share_min_bp: share,
        from: from.into(),
        to: to.into(),
        kind: v1::EdgeKind::Owns.into(),
        ..Default::default()
    })
}

fn controls(from: &str, to: &str) -> Body {
    Body::Edge(v1::Edge {
        from: from.into(),
        to: to.into(),
        kind: v1::EdgeKind::Controls.into(),
        ..Default::default()
    })
}

#[test]
fn half_of_both_or_control_links_and_less_or_a_share_nobody_stated_does_not() {
    let both = |a, b| vec![owns("x", "a-firm", a), owns("x", "b-firm", b)];
    assert_eq!(found(both(Some(5_000), Some(10_000)), ("p", "q")), 1);
    assert_eq!(found(both(Some(4_999), Some(10_000)), ("p", "q")), 0);
    assert_eq!(found(both(None, Some(10_000)), ("p", "q")), 0);
    let through = vec![
        owns("x", "y", Some(6_000)),
        controls("y", "a-firm"),
        owns("x", "b-firm", Some(6_000)),
    ];
    assert_eq!(found(through, ("p", "q")), 1);
    let parent = vec![owns("p", "b-firm", Some(5_100))];
    assert_eq!(
        found(parent, ("p", "q")),
        1,
        "the parent of one owns the other"
    );
}

#[test]
fn one_address_however_it_is_written_or_one_number_links() {
    let address = vec![firm("b-firm", "HAFENSTR 1 - 20457 hamburg", "2002")];
    assert_eq!(found(address, ("p", "q")), 1);
    let other = vec![firm("b-firm", "Hafenstr. 2, 20457 Hamburg", "2002")];
    assert_eq!(found(other, ("p", "q")), 0);
    let number = vec![firm("b-firm", "Marienplatz 8, Munich", "10 01")];
    assert_eq!(found(number, ("p", "q")), 1);
    let city = vec![
        firm("a-firm", "Hamburg", "1001"),
        firm("b-firm", "Hamburg", "2002"),
    ];
    assert_eq!(found(city, ("p", "q")), 0, "a city is no address");
}

#[test]
fn a_link_counts_from_when_it_is_known_and_its_finding_keeps_its_id_while_others_join() {
    let mut log = case(Vec::new(), ("p", "q"), four());
    for _ in 0..3 {
        work(&mut log, 3, 3);
    }
    log.tick(60_000);
    assert_eq!(structuring(&log), []);
    log.say(owns("p", "b-firm", Some(9_000)));
    log.approve("b");
    work(&mut log, 3, 3);
    let first = structuring(&log).pop().unwrap();
    assert_eq!(
        first.evidence.count, 1,
        "what was before stays as it was known"
    );
    log.tenant(tenant("c", "p", four()));
    log.bind("c", "c", "stray");
    log.approve("c");
    for _ in 0..2 {
        log.spend(
            SPAN,
            &[(0, 2, 90), (1, 0, 90), (2, 1, 90), (3, 1, 90), (4, 1, 90)],
        );
    }
    log.tick(120_000);
    let now = structuring(&log);
    assert_eq!(now.len(), 1);
    assert_eq!(now[0].id, first.id);
    assert_eq!(now[0].tenants, ["a", "b", "c"]);
}

#[test]
fn performance_and_hours_are_summed_as_devices_are() {
    let tpp = |most| v1::Conditions {
        max_aggregate_tpp: Some(most),
        ..Default::default()
    };
    let hours = |most| v1::Conditions {
        max_gpu_hours_month: Some(most),
        ..Default::default()
    };
    let rules = |conditions| {
        let mut log = case(Vec::new(), ("p", "p"), conditions);
        work(&mut log, 3, 3);
        log.rules()
    };
    assert_eq!(rules(tpp(3 * 15_832)), [Rule::Structuring]);
    assert_eq!(rules(tpp(6 * 15_832)), []);
    // Half an hour each.
    assert_eq!(rules(hours(1)), []);
    assert_eq!(rules(hours(0)), [Rule::HoursCap]);
    let mut log = case(Vec::new(), ("p", "p"), hours(1));
    work(&mut log, 3, 3);
    work(&mut log, 3, 3);
    assert_eq!(log.rules(), [Rule::Structuring]);
}
