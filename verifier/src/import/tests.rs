use super::*;

const GOOD: &str = r#"
{"party": {"id": "acme", "names": ["Acme GmbH", {"text": "阿克梅", "script": "Hans", "language": "zh"}], "identifiers": [{"scheme": "lei", "value": "X"}], "incorporation": "DE", "headquarters": "DE", "addresses": ["Street 1"], "evidence": ["0000000000000000000000000000000000000000000000000000000000000001"]}}
{"party": {"id": "holding", "kind": "government", "names": ["Holding"], "incorporation": "unknown", "headquarters": "SG"}}
{"edge": {"from": "holding", "to": "acme", "kind": "owns", "share_min_percent": 33.34, "share_max_percent": 66.67, "since": "2026-01-01", "until": "1795407660123", "source": "register"}}
{"tenant": {"id": "acme", "customer": "acme", "intermediaries": ["holding"], "end_customer": "acme", "ultimate_parent": "holding", "declared_use": "proteins", "training_declared": false, "conditions": {"valid_from": "2026-01-01T08:00:01Z", "device_classes": ["3A090.a"], "sites": ["x"], "max_gpus": 8, "max_aggregate_tpp": 90000, "max_gpu_hours_month": 400}}}
{"binding": {"id": "acme-ns", "tenant": "acme", "namespace": "acme", "to": "2027-01-01"}}
"#;

fn stands_after(bodies: Vec<Vec<Body>>) -> Standing {
    let mut stands = Standing::default();
    for body in bodies.into_iter().flatten() {
        match body {
            Body::TenantEvent(event) => match event.body.unwrap() {
                v1::tenant_event::Body::Party(it) => {
                    stands.parties.insert(it.id.clone(), it);
                }
                v1::tenant_event::Body::Edge(it) => {
                    let id = (it.from.clone(), it.to.clone(), it.kind);
                    stands.edges.insert(id, it);
                }
                v1::tenant_event::Body::Tenant(it) => {
                    stands.tenants.insert(it.id.clone(), (it, "draft".into()));
                }
                v1::tenant_event::Body::State(it) => {
                    stands.tenants.get_mut(&it.tenant).unwrap().1 = "applied".into();
                }
            },
            Body::BindingEvent(event) => {
                let it = event.binding.unwrap();
                stands.bindings.insert(it.id.clone(), it);
            }
            other => panic!("{other:?}"),
        }
    }
    stands
}

fn planned(text: &str, stands: &Standing) -> Result<Plan, Vec<String>> {
    plan(text.as_bytes(), 5, stands)
}

fn faults(text: &str) -> Vec<String> {
    planned(text, &Standing::default()).unwrap_err()
}

#[test]
fn what_is_exported_is_imported_as_it_stood() {
    let plan = planned(GOOD, &Standing::default()).unwrap();
    assert_eq!((plan.new, plan.changed, plan.same), (5, 0, 0));
    let stands = stands_after(plan.parts);
    let text = write(&stands).unwrap();
    let again = stands_after(planned(&text, &Standing::default()).unwrap().parts);
    assert_eq!(again.parties, stands.parties);
    assert_eq!(again.edges, stands.edges);
    assert_eq!(again.tenants, stands.tenants);
    assert_eq!(again.bindings, stands.bindings);
    assert_eq!(write(&again).unwrap(), text);
    assert_eq!(stands.parties["acme"].names[1].script, "Hans");
    assert_eq!(
        stands.edges.values().next().unwrap().share_min_bp,
        Some(3_334)
    );
    assert_eq!(
        stands.edges.values().next().unwrap().until_unix_ms,
        Some(1_795_407_660_123)
    );
}

#[test]
fn what_nobody_ever_stated_is_exported_as_such_and_imported_as_it_stood() {
    let mut stands = stands_after(planned(GOOD, &Standing::default()).unwrap().parts);
    let edge = v1::Edge {
        from: "ghost".into(),
        to: "acme".into(),
        kind: v1::EdgeKind::Owns.into(),
        ..Default::default()
    };
    let id = (edge.from.clone(), edge.to.clone(), edge.kind);
    stands.edges.insert(id, edge);
    let bound = v1::Binding {
        id: "nobodys".into(),
        tenant: "nobody".into(),
        user: "x".into(),
        ..Default::default()
    };
    stands.bindings.insert(bound.id.clone(), bound);
    let text = write(&stands).unwrap();
    assert!(text.ends_with(
        "{\"unstated\":{\"party\":\"ghost\"}}\n{\"unstated\":{\"tenant\":\"nobody\"}}\n"
    ));
    let plan = planned(&text, &Standing::default()).unwrap();
    assert_eq!(plan.warnings.len(), 2, "{:?}", plan.warnings);
    let again = stands_after(plan.parts);
    assert_eq!(again.edges, stands.edges);
    assert_eq!(again.bindings, stands.bindings);
    assert_eq!(write(&again).unwrap(), text);
    // Without the word of it, it is a slip.
    let cut: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("unstated"))
        .collect();
    let told = faults(&cut.join("\n"));
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn a_file_of_another_kind_is_told_as_such_and_a_mark_in_front_is_no_fault() {
    for (text, due) in [
        ("\n[[party]]\nid = \"a\"\n", "line 2, the line: it is TOML"),
        (
            "effective = \"2026-01-01\"\n",
            "line 1, the line: it is TOML",
        ),
        (
            "# a comment\n",
            "line 1, the line: it is TOML, or a comment",
        ),
        ("[{\"party\": {}}]", "line 1, the line: it is a JSON array"),
        (
            "{\n  \"party\": {}\n}\n",
            "line 1, the line: an object goes over several lines",
        ),
        (
            "{}",
            "line 1, the line: it has no entry; write one of {\"party\"",
        ),
        ("{ }\n", "line 1, the line: it has no entry"),
    ] {
        let told = faults(text);
        assert!(
            told.len() == 1 && told[0].starts_with(due),
            "{text:?}: {told:?}"
        );
    }
    let marked = format!("\u{feff}{}", GOOD.trim_start());
    assert_eq!(planned(&marked, &Standing::default()).unwrap().new, 5);
}

#[test]
fn a_binding_of_what_is_another_tenants_is_refused_with_line_field_and_his_name() {
    let stands = stands_after(planned(GOOD, &Standing::default()).unwrap().parts);
    let other = r#"{"tenant": {"id": "evil", "customer": "acme"}}"#;
    let bound = |more: &str| {
        format!(
            r#"{other}
{{"binding": {{"id": "evil-ns", "tenant": "evil", "namespace": "acme"{more}}}}}"#
        )
    };
    let told = planned(&bound(""), &stands).unwrap_err();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with(
            "line 2, binding.namespace: namespace `acme` is tenant `acme`'s by binding `acme-ns`, \
             until 2027-01-01T00:00:00Z"
        ),
        "{told:?}"
    );
    assert!(planned(&bound(r#", "from": "2027-01-01""#), &stands).is_ok());
    let plan = planned(GOOD, &stands).unwrap();
    assert_eq!(plan.same, 5, "what stands is no fault");
}

#[test]
fn an_empty_list_of_sites_is_no_list_of_all_of_them() {
    let told = faults(&GOOD.replace("\"sites\": [\"x\"]", "\"sites\": []"));
    assert_eq!(
        told,
        [
            "line 5, tenant.conditions.sites: there is none; leave it out where every site is allowed"
        ]
    );
}

#[test]
fn what_stands_already_is_not_signed_again_and_what_changed_is() {
    let stands = stands_after(planned(GOOD, &Standing::default()).unwrap().parts);
    let plan = planned(GOOD, &stands).unwrap();
    assert_eq!((plan.new, plan.changed, plan.same), (0, 0, 5));
    assert!(plan.parts.is_empty());
    let moved = GOOD.replace("\"headquarters\": \"DE\"", "\"headquarters\": \"CH\"");
    let plan = planned(&moved, &stands).unwrap();
    assert_eq!((plan.new, plan.changed, plan.same), (0, 1, 4));
    assert_eq!(plan.parts.len(), 1);
    let mut approved = stands;
    approved.tenants.get_mut("acme").unwrap().1 = "approved".into();
    approved.approved.insert("acme".into());
    for (what, lapses) in [(GOOD, false), (&moved, true)] {
        let plan = planned(what, &approved).unwrap();
        assert_eq!(!plan.lapsing.is_empty(), lapses, "{what}");
    }
    let other = GOOD.replace("proteins", "weather");
    let plan = planned(&other, &approved).unwrap();
    assert_eq!(plan.lapsing, ["acme"]);
    // One that was closed applies anew by the very same words.
    approved.approved.clear();
    for state in ["draft", "rejected", "closed"] {
        approved.tenants.get_mut("acme").unwrap().1 = state.into();
        let plan = planned(GOOD, &approved).unwrap();
        assert_eq!((plan.same, plan.parts.len()), (5, 1), "{state}");
    }
}

#[test]
fn every_fault_is_told_at_once_with_its_line_and_field() {
    let told = faults(
        &[
            r#"{"party": {"id": "Acme!", "names": [], "incorporation": "DE", "headquarters": "Germany"}}"#,
            r#"{"party": {"id": "b", "names": ["B"], "incorporation": "DE", "headquarters": 5}}"#,
            r#"{"party": {"id": "c", "names": ["C"], "incorporation": "DE", "headquarters": "DE", "boss": "x"}}"#,
            r#"{"firm": {"id": "d"}}"#,
            "not JSON",
            "",
            r#"{"edge": {"from": "e", "to": "f", "kind": "likes", "share_min_percent": 101}}"#,
            r#"{"tenant": {"id": "t", "customer": "nobody", "intermediaries": ["g"]}}"#,
            r#"{"binding": {"id": "b", "tenant": "u"}}"#,
            r#"{"binding": {"id": "c", "tenant": "t", "user": "x", "from": "yesterday"}} {}"#,
            r#"{"party": {"id": "h", "names": [7], "incorporation": "DE", "headquarters": "DE"}}"#,
        ]
        .join("\n"),
    );
    let due = [
        ("line 1, party.id:", "`Acme!`"),
        ("line 1, party.names:", "there is none"),
        ("line 1, party.headquarters:", "`Germany` is neither"),
        ("line 2, party.headquarters:", "expected a string"),
        ("line 3, party.boss:", "unknown field"),
        ("line 4, ", "unknown variant `firm`"),
        ("line 5, the line:", "expected"),
        (
            "line 7, edge.share_min_percent:",
            "101 is not from 0 to 100",
        ),
        ("line 7, edge.kind:", "`likes` is none of owns"),
        ("line 7, edge.from:", "party `e` is stated neither"),
        ("line 7, edge.to:", "party `f`"),
        ("line 8, tenant.customer:", "party `nobody`"),
        ("line 8, tenant.intermediaries[0]:", "party `g`"),
        ("line 9, binding.namespace:", "has no selector"),
        ("line 9, binding.tenant:", "tenant `u` is stated neither"),
        ("line 10, the line:", "more than one object"),
        ("line 11, party.names[0]:", "a name is a text"),
    ];
    for (place, text) in due {
        let is_told = |told: &String| told.starts_with(place) && told.contains(text);
        assert!(told.iter().any(is_told), "{place} {text}: {told:#?}");
    }
    assert_eq!(told.len(), due.len(), "{told:#?}");
}

#[test]
fn faults_beyond_what_anybody_reads_are_counted() {
    let text = "x\n".repeat(1_000);
    let told = faults(&text);
    assert_eq!(told.len(), MAX_FAULTS + 1);
    assert_eq!(told.last().unwrap(), "and 900 more");
    assert_eq!(
        faults(""),
        ["line 1, the file: it has no party, edge, tenant or binding"]
    );
    let broken = plan(b"{\"party\": \xff}", 5, &Standing::default()).unwrap_err();
    assert!(broken[0].starts_with("line 1, the line: it is not UTF-8"));
}

#[test]
fn an_entry_that_stands_twice_names_both_lines() {
    let party =
        r#"{"party": {"id": "a", "names": ["A"], "incorporation": "DE", "headquarters": "DE"}}"#;
    let edge = r#"{"edge": {"from": "a", "to": "b", "kind": "controls"}}"#;
    let told = faults(&[party, edge, party, edge, &parties(&["b"])].join("\n"));
    assert_eq!(
        told,
        [
            "line 3, party.id: `a` stands in line 1 already; keep one of the two",
            "line 4, edge.kind: `from a to b` stands in line 2 already; keep one of the two",
        ]
    );
}

fn parties(ids: &[&str]) -> String {
    let line = |id: &&str| {
        format!(
            r#"{{"party": {{"id": "{id}", "names": ["{id}"], "incorporation": "DE", "headquarters": "DE"}}}}"#
        )
    };
    ids.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn owns(from: &str, to: &str, percent: f64) -> String {
    format!(
        r#"{{"edge": {{"from": "{from}", "to": "{to}", "kind": "owns", "share_min_percent": {percent}}}}}"#
    )
}

#[test]
fn shares_of_more_than_all_are_refused_with_the_edges_also_those_that_are_logged() {
    let first = [parties(&["a", "b", "c", "d"]), owns("a", "c", 60.0)].join("\n");
    let stands = stands_after(planned(&first, &Standing::default()).unwrap().parts);
    let told = planned(&owns("b", "c", 40.01), &stands).unwrap_err();
    assert_eq!(
        told,
        [
            "line 1, edge.share_min_percent: the least shares of `c` come to 100.01 %, more than all: \
          a 60.00 % (logged), b 40.01 % (line 1)"
        ]
    );
    assert!(planned(&owns("b", "c", 40.0), &stands).is_ok());
    let sold = [owns("a", "c", 10.0), owns("b", "c", 90.0)].join("\n");
    assert!(
        planned(&sold, &stands).is_ok(),
        "the file's edge takes the logged one's place"
    );
}

#[test]
fn a_circle_of_ownership_is_allowed_and_told() {
    let text = [
        parties(&["a", "b", "c"]),
        owns("a", "b", 50.0),
        owns("b", "c", 50.0),
        owns("c", "a", 50.0),
    ]
    .join("\n");
    let plan = planned(&text, &Standing::default()).unwrap();
    assert_eq!(
        plan.warnings,
        ["line 4: a → b → c → a own each other in a circle; shares count as they come round"]
    );
    let straight = [parties(&["a", "b"]), owns("a", "b", 50.0)].join("\n");
    assert!(
        planned(&straight, &Standing::default())
            .unwrap()
            .warnings
            .is_empty()
    );
}

#[test]
fn a_tenant_and_its_application_are_of_one_batch() {
    let mut text = parties(&["a"]);
    for n in 0..10 {
        text.push_str(&format!(
            "\n{{\"tenant\": {{\"id\": \"t{n}\", \"customer\": \"a\"}}}}"
        ));
    }
    let batches = planned(&text, &Standing::default()).unwrap().batches(4);
    let sizes: Vec<_> = batches.iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 4, 4, 4, 4, 2]);
}

#[test]
fn an_entry_that_no_statement_has_room_for_is_told_before_anything_is_signed() {
    let long = |length: usize| {
        let name = "x".repeat(length);
        format!(
            r#"{{"party": {{"id": "a", "names": ["{name}"], "incorporation": "DE", "headquarters": "DE"}}}}"#
        )
    };
    assert!(planned(&long(MAX_ENTRY_BYTES - 100), &Standing::default()).is_ok());
    let told = faults(&long(MAX_ENTRY_BYTES));
    assert!(
        told[0].starts_with("line 1, party.*: it is 63") && told.len() == 1,
        "{told:?}"
    );
}

#[test]
fn an_export_of_what_was_taken_before_today_s_checks_says_what_an_import_refuses() {
    let party = |id: &str, seat: &str| v1::Party {
        id: id.into(),
        kind: v1::PartyKind::Organisation.into(),
        names: vec![v1::PartyName {
            text: "Firm".into(),
            ..Default::default()
        }],
        incorporation: "DE".into(),
        headquarters: seat.into(),
        ..Default::default()
    };
    let mut stands = Standing {
        now_ms: 1,
        ..Standing::default()
    };
    stands.parties.insert("a".into(), party("a", "DE"));
    assert_eq!(refused(&write(&stands).unwrap(), 1), [] as [&str; 0]);
    stands.parties.insert("b".into(), party("b", "ZZ"));
    let said = refused(&write(&stands).unwrap(), 1);
    assert!(
        said.len() == 1 && said[0].starts_with("line 2, "),
        "{said:?}"
    );
    assert!(said[0].contains("headquarters: `ZZ`"), "{said:?}");
}
