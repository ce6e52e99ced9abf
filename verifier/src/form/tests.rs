use super::*;

fn told(of: impl FnOnce(&mut Faults)) -> Vec<String> {
    let mut faults = Faults::new();
    of(&mut faults);
    faults.iter().map(Fault::to_string).collect()
}

fn acme() -> v1::Party {
    v1::Party {
        id: "acme".into(),
        names: vec![v1::PartyName {
            text: "Acme GmbH \u{963f}\u{514b}\u{6885}".into(),
            ..Default::default()
        }],
        incorporation: "XK".into(),
        headquarters: "unknown".into(),
        ..Default::default()
    }
}

fn named_by(text: &str) -> Vec<String> {
    let mut other = acme();
    other.names[0].text = text.into();
    told(|faults| party(&other, faults))
}

#[test]
fn a_name_that_nobody_can_read_is_refused_and_one_in_any_script_is_not() {
    assert_eq!(told(|faults| party(&acme(), faults)), [] as [&str; 0]);
    for good in ["O'Neill & Søns", "شرکت نمونه\u{200c}ای", "a\u{301}"] {
        assert_eq!(named_by(good), [] as [&str; 0], "{good:?}");
    }
    assert_eq!(
        named_by(" \u{3000}"),
        ["names[0]: it is blank; write it, or leave the entry out"]
    );
    for (bad, code) in [
        ("Acme\u{1b}[2K", "character 5 is U+001B"),
        ("Acme\nGmbH", "character 5 is U+000A"),
        ("Acme \u{202e}x", "character 6 is U+202E"),
        ("\u{feff}Acme", "character 1 is U+FEFF"),
        ("Acme\u{85}", "character 5 is U+0085"),
        ("A\u{ad}cme", "character 2 is U+00AD"),
        ("A\u{61c}cme", "character 2 is U+061C"),
        ("A\u{180e}cme", "character 2 is U+180E"),
        ("A\u{200e}cme", "character 2 is U+200E"),
        ("A\u{200f}cme", "character 2 is U+200F"),
        ("A\u{2060}cme", "character 2 is U+2060"),
        ("A\u{2065}cme", "character 2 is U+2065"),
        ("A\u{206f}cme", "character 2 is U+206F"),
        ("A\u{e0001}cme", "character 2 is U+E0001"),
        ("A\u{e0041}cme", "character 2 is U+E0041"),
    ] {
        let said = named_by(bad);
        assert!(said.len() == 1 && said[0].contains(code), "{said:?}");
    }
}

#[test]
fn a_country_that_no_table_has_is_refused_with_the_one_that_is_meant() {
    let seat = |code: &str| {
        let other = v1::Party {
            headquarters: code.into(),
            ..acme()
        };
        told(|faults| party(&other, faults)).join("\n")
    };
    for code in ["XX", "ZZ", "Germany", " ", "EU"] {
        assert!(seat(code).starts_with("headquarters: `"), "{code}");
    }
    assert!(seat("UK").ends_with("write `GB`?"), "{}", seat("UK"));
    assert!(seat("de").ends_with("write `DE`?"), "{}", seat("de"));
    assert_eq!(seat("DE"), "");
}

#[test]
fn conditions_that_nobody_can_meet_are_refused_and_hard_ones_are_not() {
    let hard = v1::Conditions {
        valid_from_unix_ms: Some(5),
        valid_to_unix_ms: Some(5),
        device_classes: vec!["3A090.a".into()],
        sites: vec!["hall-2".into()],
        max_gpus: Some(1),
        max_aggregate_tpp: Some(1),
        max_gpu_hours_month: Some(1),
    };
    let with = |change: fn(&mut v1::Conditions)| {
        let mut it = hard.clone();
        change(&mut it);
        let other = v1::Tenant {
            id: "t".into(),
            customer: "acme".into(),
            conditions: Some(it),
            ..Default::default()
        };
        told(|faults| tenant(&other, faults))
    };
    assert_eq!(with(|_| {}), [] as [&str; 0]);
    type Case = (fn(&mut v1::Conditions), &'static str);
    let cases: [Case; 7] = [
        (|it| it.max_gpus = Some(0), "conditions.max_gpus: it is 0"),
        (
            |it| it.max_aggregate_tpp = Some(0),
            "conditions.max_aggregate_tpp: it is 0",
        ),
        (
            |it| it.max_gpu_hours_month = Some(0),
            "conditions.max_gpu_hours_month: it is 0",
        ),
        (
            |it| it.device_classes.clear(),
            "conditions.device_classes: there is none",
        ),
        (
            |it| it.device_classes = vec!["3A090.A".into()],
            "conditions.device_classes[0]: `3A090.A` is none of 3A090.a, 3A090.b, uncontrolled, unknown; \
             write `3A090.a`?",
        ),
        (
            |it| it.sites = vec![" ".into()],
            "conditions.sites[0]: it is blank",
        ),
        (
            |it| it.valid_to_unix_ms = Some(4),
            "conditions.valid_to: it is before conditions.valid_from",
        ),
    ];
    for (change, due) in cases {
        let said = with(change);
        assert!(
            said.len() == 1 && said[0].starts_with(due),
            "{due}: {said:?}"
        );
    }
}

#[test]
fn shares_times_selectors_and_reasons_are_held_against_what_they_can_be() {
    let owns = |min, max, since, until| {
        let edge_of = v1::Edge {
            from: "a".into(),
            to: "b".into(),
            share_min_bp: min,
            share_max_bp: max,
            since_unix_ms: since,
            until_unix_ms: until,
            ..Default::default()
        };
        told(|faults| edge(&edge_of, faults)).len()
    };
    assert_eq!(owns(Some(5_000), Some(5_000), Some(1), Some(1)), 0);
    assert_eq!(owns(Some(5_001), Some(5_000), None, None), 1);
    assert_eq!(owns(Some(10_001), None, None, None), 1);
    assert_eq!(owns(None, None, Some(2), Some(1)), 1);
    let bound = |namespace: &str, from, to| {
        let binding_of = v1::Binding {
            id: "b".into(),
            tenant: "t".into(),
            namespace: namespace.into(),
            from_unix_ms: from,
            to_unix_ms: to,
            ..Default::default()
        };
        told(|faults| binding(&binding_of, faults)).len()
    };
    assert_eq!(bound("lab", Some(1), Some(2)), 0);
    assert_eq!(bound("lab", Some(2), Some(1)), 1);
    assert_eq!((bound("", None, None), bound(" lab", None, None)), (1, 1));
    let because = |text: &str| told(|faults| reason(text, faults)).len();
    assert_eq!((because(""), because(&"x".repeat(MAX_REASON))), (0, 0));
    assert_eq!(
        (because("a\tb"), because(&"x".repeat(MAX_REASON + 1))),
        (1, 1)
    );
}

#[test]
fn a_withdrawal_of_what_was_once_taken_is_always_taken() {
    let event = v1::BindingEvent {
        binding: Some(v1::Binding {
            id: "Old One".into(),
            ..Default::default()
        }),
        withdrawn: true,
        ..Default::default()
    };
    assert_eq!(body(&event.clone().into()), []);
    let stated = v1::BindingEvent {
        withdrawn: false,
        ..event
    };
    assert_eq!(body(&stated.into()).len(), 3);
}

#[test]
fn an_edge_from_a_party_to_itself_is_refused_and_one_to_another_is_not() {
    let said = |to: &str| {
        let body = v1::TenantEvent {
            body: Some(tenant_event::Body::Edge(v1::Edge {
                from: "acme".into(),
                to: to.into(),
                kind: v1::EdgeKind::Owns.into(),
                ..Default::default()
            })),
            ..Default::default()
        };
        let faults = body_faults(body.into());
        faults.join("\n")
    };
    assert_eq!(said("acme"), "to: `acme` is on both ends; name two parties");
    assert_eq!(said("acme-2"), "");
}

fn body_faults(it: Body) -> Vec<String> {
    body(&it).iter().map(Fault::to_string).collect()
}

#[test]
fn what_restricts_or_clears_says_why_and_what_permits_need_not() {
    use v1::{TenantState, Verdict};
    let decision = |verdict: Verdict, reason: &str| {
        body(&Body::from(v1::Decision {
            verdict: verdict.into(),
            reason: reason.into(),
            ..Default::default()
        }))
    };
    let blank = "reason: it is blank; say why: it is logged for the auditor";
    for verdict in [
        Verdict::Reject,
        Verdict::Clear,
        Verdict::Confirm,
        Verdict::Acknowledge,
        Verdict::Resolve,
        Verdict::Withdraw,
    ] {
        for reason in ["", " ", "\u{3000}\u{a0}"] {
            let said = decision(verdict, reason);
            assert_eq!(said[0].to_string(), blank, "{verdict:?}");
        }
        assert!(decision(verdict, "x").is_empty());
    }
    assert!(decision(Verdict::Approve, "").is_empty());
    let state = |state: TenantState| {
        let change = v1::TenantStateChange {
            tenant: "t".into(),
            state: state.into(),
            reason: " ".into(),
        };
        body(&Body::from(v1::TenantEvent {
            body: Some(tenant_event::Body::State(change)),
            ..Default::default()
        }))
    };
    for closing in [TenantState::Suspended, TenantState::Closed] {
        assert_eq!(state(closing)[0].to_string(), blank);
    }
    assert!(state(TenantState::Applied).is_empty());
    let revoked = body(&Body::from(v1::Revocation::default()));
    assert_eq!(revoked[0].to_string(), blank);
}

#[test]
fn an_objection_to_figures_of_no_class_is_refused_with_the_class_that_is_meant() {
    let of = |class: &str| {
        let objection = v1::Objection {
            device_class: class.into(),
            ..Default::default()
        };
        body(&Body::from(objection))
    };
    assert!(of("").is_empty() && of("3A090.a").is_empty());
    let said = of("3a090a")[0].to_string();
    assert!(
        said.starts_with("class: `3a090a`") && said.ends_with("write `3A090.a`?"),
        "{said}"
    );
}
