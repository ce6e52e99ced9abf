use affiant_judge::{Parameters, registry::stands::Waiting};
use affiant_proto::v1::tenant_event::Body;

use super::*;

fn shown(dossier: &v1::Dossier) -> String {
    lines(dossier, affiant_proto::digest(b""), &Beside::default())
}

#[test]
fn an_officer_reads_every_condition_that_he_signs() {
    let conditions = v1::Conditions {
        valid_from_unix_ms: Some(86_400_000),
        valid_to_unix_ms: Some(172_800_000),
        device_classes: vec!["3A090.a".into()],
        sites: vec!["ashburn".into()],
        max_gpus: Some(11),
        max_aggregate_tpp: Some(222_222),
        max_gpu_hours_month: Some(3_333),
    };
    let tenant = v1::Tenant {
        conditions: Some(conditions),
        ..Default::default()
    };
    let shown = shown(&v1::Dossier {
        tenant: Some(tenant),
        ..Default::default()
    });
    for due in [
        "valid from       1970-01-02T00:00:00Z",
        "valid until      1970-01-03T00:00:00Z",
        "device classes   3A090.a",
        "sites            ashburn",
        "at once          11 GPUs",
        "at once          222222 TPP",
        "in a month       3333 GPU-hours",
    ] {
        assert!(shown.contains(due), "{shown}");
    }
}

#[test]
fn nothing_that_others_named_moves_the_cursor_of_an_officer_who_reads_what_he_signs() {
    let evil = "Firm\u{1b}[2K\r\nultimate parent  Charity \u{202e}\0";
    let party = v1::Party {
        id: "p".into(),
        names: vec![v1::PartyName {
            text: evil.into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let tenant = v1::Tenant {
        customer: "p".into(),
        declared_use: evil.into(),
        ..Default::default()
    };
    let shown = shown(&v1::Dossier {
        tenant: Some(tenant),
        parties: vec![party],
        ..Default::default()
    });
    let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!shown.contains(hidden), "{shown:?}");
    let parents = shown
        .lines()
        .filter(|line| line.starts_with("ultimate parent"));
    assert_eq!(parents.count(), 1, "{shown}");
}

#[test]
fn owners_are_shown_with_their_shares_and_one_whom_nobody_stated_too() {
    let owns = |from: &str, min: Option<u32>, max: Option<u32>| v1::Edge {
        from: from.into(),
        to: "p".into(),
        kind: EdgeKind::Owns.into(),
        share_min_bp: min,
        share_max_bp: max,
        ..Default::default()
    };
    let shown = shown(&v1::Dossier {
        tenant: Some(v1::Tenant {
            customer: "p".into(),
            ..Default::default()
        }),
        parties: Vec::new(),
        edges: vec![
            owns("a", Some(5_150), None),
            owns("b", None, None),
            owns("c", Some(1_000), Some(2_000)),
        ],
    });
    for due in [
        "behind them      NOT STATED (a, headquarters unknown)",
        "ties             a owns at least 51.50 % of p",
        "ties             b owns an UNKNOWN share of p",
        "ties             c owns 10.00 % to 20.00 % of p",
        "conditions       NONE: all device classes, without end",
    ] {
        assert!(shown.contains(due), "{due}: {shown}");
    }
}

/// A judge with a tenant whose conditions end at an instant.
fn judge(valid_to_unix_ms: u64) -> Judge {
    let mut judge = Judge::new(Parameters::default());
    let tenant = v1::Tenant {
        id: "t".into(),
        customer: "p".into(),
        conditions: Some(v1::Conditions {
            valid_to_unix_ms: Some(valid_to_unix_ms),
            device_classes: vec!["3A090.a".into()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let officer = v1::Officer {
        name: "Ann".into(),
        ..Default::default()
    };
    judge.officer(1, [1; 32], &officer);
    say(&mut judge, 2, 0, Body::Tenant(tenant));
    judge
}

fn say(judge: &mut Judge, index: u64, effective_unix_ms: u64, body: Body) {
    let event = v1::TenantEvent {
        effective_unix_ms,
        body: Some(body),
        ..Default::default()
    };
    judge.tenant_event(index, [1; 32], &event);
}

fn state(state: v1::TenantState) -> Body {
    Body::State(v1::TenantStateChange {
        tenant: "t".into(),
        state: state.into(),
        ..Default::default()
    })
}

fn told(judge: &Judge, now: u64) -> String {
    let parts = beside(judge, "t", now).parts;
    let lines: Vec<String> = parts.iter().map(Part::line).collect();
    lines.join("\n")
}

#[test]
fn beside_a_dossier_stand_the_state_what_is_to_come_and_who_signed() {
    let mut judge = judge(100_000_000);
    judge.clock(3, 1_000);
    say(&mut judge, 4, 0, state(v1::TenantState::Applied));
    let dossier = judge.registry().dossier_digest("t").unwrap();
    let decision = v1::Decision {
        tenant: "t".into(),
        dossier: dossier.as_bytes().to_vec(),
        verdict: v1::Verdict::Approve.into(),
        ..Default::default()
    };
    judge.decision(5, [1; 32], &decision);
    let now = told(&judge, 2_000);
    for due in [
        "state            applied since 1970-01-01T00:00:01Z",
        "signed by        Ann (01010101) at log index 5; another has still to approve",
        "screening        NOBODY is screened: no list is in force",
    ] {
        assert!(now.contains(due), "{due}: {now}");
    }
    assert!(
        !now.contains("EXPIRED") && !now.contains("to come"),
        "{now}"
    );
    let later = told(&judge, 100_000_001);
    assert!(
        later.contains("conditions       EXPIRED: they ended 1970-01-02T03:46:40Z"),
        "{later}"
    );
    judge.decision(6, [2; 32], &decision);
    let suspended = state(v1::TenantState::Suspended);
    say(&mut judge, 7, 50_000_000, suspended);
    let beside = beside(&judge, "t", 2_000);
    assert_eq!(beside.stands.signed, [] as [Waiting; 0]);
    let now = told(&judge, 2_000);
    for due in [
        "state            approved since 1970-01-01T00:00:01Z",
        "to come          from 1970-01-01T13:53:20Z: suspended",
    ] {
        assert!(now.contains(due), "{due}: {now}");
    }
    assert_eq!(beside.barred(), None);
}

#[test]
fn of_a_tenant_that_was_closed_it_is_said_that_nobody_can_approve_it() {
    let mut judge = judge(100_000_000);
    say(&mut judge, 4, 0, state(v1::TenantState::Closed));
    let now = beside(&judge, "t", 2_000);
    assert!(now.barred().unwrap().contains("it was closed"));
    let now = told(&judge, 2_000);
    assert!(
        now.contains("approval         NOBODY can approve it: it was closed"),
        "{now}"
    );
    say(&mut judge, 5, 0, state(v1::TenantState::Applied));
    assert_eq!(beside(&judge, "t", 2_000).barred(), None);
}
