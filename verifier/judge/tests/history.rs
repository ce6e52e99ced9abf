//! The history of a tenant: every event of it and of the parties of its dossier, in the order of the log.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod log;

use affiant_judge::registry::history::What;
use affiant_proto::v1::{self, Verdict};
use log::{BO, Log};

fn acme() -> v1::Tenant {
    v1::Tenant {
        id: "t".into(),
        customer: "acme".into(),
        end_customer: "acme".into(),
        ultimate_parent: "acme".into(),
        ..Default::default()
    }
}

/// What happened, in a word each, with the log index and who said so.
fn told(log: &Log) -> Vec<(u64, String, Option<String>)> {
    let events = log.judge.history("t").unwrap().into_iter();
    let word = |what: What| match what {
        What::Party(before, after) => {
            let before = before.map_or("new".into(), |before| before.headquarters);
            format!("party {} {before} {}", after.id, after.headquarters)
        }
        What::Edge(before, after) => format!("edge {} {}", after.from, before.is_some()),
        What::Tenant(before, _) => format!("tenant {}", before.is_some()),
        What::Binding(before, after) => format!("binding {} {}", after.id, before.is_some()),
        What::Withdrawn(binding) => format!("withdrawn {binding}"),
        What::State(state, _, vain) => format!("{} {}", state.as_str_name(), vain.is_some()),
        What::Decision(verdict, _, made) => format!("{} {made:?}", verdict.as_str_name()),
        What::Hit { party, cleared, .. } => format!("hit {party} {cleared}"),
        What::Ended(state, _) => format!("ended {state}"),
    };
    events
        .map(|event| {
            let officer = event.officer.map(|chain| chain[..2].to_owned());
            (event.index, word(event.what), officer)
        })
        .collect()
}

#[test]
fn the_life_of_a_tenant_is_told_in_order_with_who_said_what_and_what_followed() {
    let mut log = Log::new(&[]);
    let begun = log.index;
    log.party("acme", "Acme", "DE");
    log.party("stranger", "Nobody of ours", "FR");
    log.tenant(acme());
    log.state_since(log.now, "t", v1::TenantState::Applied);
    log.approve("t");
    log.bind("b", "t", "lab");
    log.party("acme", "Acme", "CN");
    log.state_since(5, "t", v1::TenantState::Closed);
    log.decide("t", BO);
    let (ann, bo) = (Some("01".to_owned()), Some("02".to_owned()));
    let told = told(&log);
    let due: Vec<(u64, &str, &Option<String>)> = vec![
        (1, "party acme new DE", &ann),
        (3, "tenant false", &ann),
        (4, "TENANT_STATE_APPLIED false", &ann),
        (5, "VERDICT_APPROVE Ok(None)", &ann),
        (6, "VERDICT_APPROVE Ok(Some(\"approved\"))", &bo),
        (7, "binding b false", &ann),
        (8, "party acme DE CN", &ann),
        (8, "ended under_review", &None),
        (9, "TENANT_STATE_CLOSED false", &ann),
    ];
    for (told, (index, words, officer)) in told.iter().zip(due) {
        assert_eq!(
            (told.0 - begun, told.1.as_str(), &told.2),
            (index, words, officer)
        );
    }
    let (_, last, officer) = told.last().unwrap();
    assert!(
        last.starts_with("VERDICT_APPROVE Err(\"decision about tenant t, which was closed"),
        "{last}"
    );
    assert_eq!((told.len(), officer), (10, &bo));
    let events = log.judge.history("t").unwrap();
    let closed = &events[8];
    assert_eq!(
        (closed.effective_unix_ms, closed.logged_unix_ms),
        (5, log.now)
    );
    assert_eq!(log.judge.history("nobody"), None);
}

#[test]
fn a_hit_that_was_decided_and_an_owner_who_came_later_are_of_it() {
    let mut log = Log::new(&[]);
    log.party("acme", "Acme", "DE");
    log.tenant(acme());
    log.party("owner", "Owner", "DE");
    assert!(!told(&log).iter().any(|(_, it, _)| it.contains("owner")));
    log.say(v1::tenant_event::Body::Edge(v1::Edge {
        from: "owner".into(),
        to: "acme".into(),
        kind: v1::EdgeKind::Owns.into(),
        ..Default::default()
    }));
    let decision = v1::Decision {
        verdict: Verdict::Clear.into(),
        reason: "another".into(),
        hit: Some(v1::HitDecision {
            party: "owner".into(),
            name: "Owner".into(),
            list: "el".into(),
            listed: "Owner Co".into(),
            class: "possible".into(),
        }),
        ..Default::default()
    };
    let index = log.next();
    log.judge.decision(index, BO, &decision);
    let told: Vec<String> = told(&log).into_iter().map(|(_, it, _)| it).collect();
    assert_eq!(
        told,
        [
            "party acme new DE",
            "tenant false",
            "party owner new DE",
            "edge owner false",
            "hit owner true"
        ]
    );
}
