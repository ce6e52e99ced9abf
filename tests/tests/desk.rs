//! The compliance officer's desk: what an officer is told before he signs, what is refused there, and what he
//! can look back at.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{fs, time::Duration};

use affiant_tests::{Deployment, Host, Outcome, until};
use serde_json::Value;

const REGISTRY: &str = r#"
    [[party]]
    id = "acme"
    names = ["Acme GmbH"]
    incorporation = "DE"
    headquarters = "DE"
    [[party]]
    id = "holding"
    names = ["Holding AG"]
    incorporation = "CH"
    headquarters = "CH"
    [[edge]]
    from = "holding"
    to = "acme"
    kind = "owns"
    share_min_percent = 51.5
    [[tenant]]
    id = "acme"
    customer = "acme"
    end_customer = "acme"
    ultimate_parent = "holding"
    [[binding]]
    id = "acme-ns"
    tenant = "acme"
    namespace = "acme"
"#;

fn key(deployment: &Deployment, name: &str) -> String {
    deployment.key(name).to_str().unwrap().to_owned()
}

/// Runs a command that must be refused as misuse, and gives what it says.
fn refused(deployment: &Deployment, arguments: &[&str]) -> String {
    let output = deployment.run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
    said
}

fn apply(deployment: &Deployment, text: &str) -> String {
    let path = deployment.path("applied.toml");
    fs::write(&path, text).unwrap();
    let alice = key(deployment, "alice");
    deployment.succeed(&["tenant", "apply", path.to_str().unwrap(), "--key", &alice])
}

fn say(deployment: &Deployment, what: &str, officer: &str, more: &[&str]) -> String {
    let key = key(deployment, officer);
    let said = [
        "tenant",
        what,
        "acme",
        "--key",
        &key,
        "--reason",
        "as agreed",
    ];
    deployment.succeed(&[&said, more].concat())
}

fn tenant(deployment: &Deployment) -> Value {
    deployment.json(&["tenant", "list", "--json"])[0].clone()
}

#[test]
fn a_suspension_to_come_is_told_as_such_wherever_a_state_is_shown() {
    let deployment = Deployment::new();
    apply(&deployment, REGISTRY);
    deployment.approve("acme");
    let said = say(
        &deployment,
        "suspend",
        "alice",
        &["--effective", "2100-01-01T12:00:00Z"],
    );
    let to_come = "from 2100-01-01T12:00:00Z: suspended";
    assert!(
        said.contains(&format!("tenant acme is approved; {to_come}")),
        "{said}"
    );
    let listed = tenant(&deployment);
    assert_eq!(
        (&listed["state"], &listed["to_come"]),
        (&"approved".into(), &to_come.into())
    );
    assert_eq!(listed["stands"]["to_come"][0]["state"], "suspended");
    let shown = deployment.succeed(&["tenant", "list"]);
    assert!(
        shown.contains("to come") && shown.contains(to_come),
        "{shown}"
    );
    let shown = deployment.succeed(&["tenant", "show", "acme"]);
    for words in [
        "state            approved since 20".to_owned(),
        format!("to come          {to_come}"),
    ] {
        assert!(shown.contains(&words), "{words}: {shown}");
    }
    // One that works by now is no more to come.
    say(&deployment, "suspend", "bob", &[]);
    let listed = tenant(&deployment);
    assert_eq!(
        (&listed["state"], &listed["to_come"]),
        (&"suspended".into(), &Value::Null)
    );
}

#[test]
fn what_stands_already_is_not_applied_for_again_and_an_approval_that_ends_is_told_first() {
    let deployment = Deployment::new();
    assert!(apply(&deployment, REGISTRY).contains("5 new, 0 changed, 0 stand already"));
    deployment.approve("acme");
    let said = apply(&deployment, REGISTRY);
    assert!(
        said.contains("5 stand already") && said.contains("nothing was signed"),
        "{said}"
    );
    assert_eq!(tenant(&deployment)["state"], "approved");
    let moved = REGISTRY.replace("headquarters = \"CH\"", "headquarters = \"CN\"");
    let said = apply(&deployment, &moved);
    assert!(
        said.contains("this ENDS the approval of tenant acme"),
        "{said}"
    );
    assert!(said.contains("signed 1 statements"), "{said}");
    assert_eq!(tenant(&deployment)["state"], "under_review");
}

#[test]
fn an_approver_is_shown_owners_state_hits_and_who_signed_before_he_signs() {
    let deployment = Deployment::new();
    apply(
        &deployment,
        &REGISTRY.replace("ultimate_parent = \"holding\"", ""),
    );
    let said = say(&deployment, "approve", "alice", &[]);
    assert!(!said.contains("signed by"), "{said}");
    let list = deployment.path("review.txt");
    deployment.succeed(&["tenant", "review", "--out", list.to_str().unwrap()]);
    let line = fs::read_to_string(&list).unwrap();
    let shown = deployment.succeed(&["tenant", "show", "acme"]);
    let told = say(&deployment, "approve", "bob", &[]);
    for (label, words) in [
        ("ultimate parent", "UNRESOLVED"),
        ("behind them", "Holding AG (holding, headquarters CH)"),
        ("ties", "holding owns at least 51.50 % of acme"),
        ("conditions", "NONE: all device classes, without end"),
        ("state", "applied since 20"),
        ("signed by", "alice ("),
        ("screening", "NOBODY is screened: no list is in force"),
    ] {
        let on_a_line = format!("{label:<16} {words}");
        assert!(shown.contains(&on_a_line), "{on_a_line}: {shown}");
        assert!(told.contains(&on_a_line), "{on_a_line}: {told}");
        assert!(line.contains(&format!("{label} {words}")), "{line}");
    }
    assert!(told.contains("tenant acme is approved"), "{told}");
}

#[test]
fn what_was_closed_is_approved_by_nobody_until_it_applies_anew_by_the_same_words() {
    let deployment = Deployment::new();
    apply(&deployment, REGISTRY);
    let list = deployment.path("review.txt");
    let list = list.to_str().unwrap();
    let said = deployment.succeed(&["tenant", "review", "--out", list]);
    let digest = said.lines().find_map(|line| line.strip_prefix("sha256  "));
    let digest = digest.unwrap().to_owned();
    for what in ["close", "reject"] {
        say(&deployment, what, "alice", &[]);
        let bob = key(&deployment, "bob");
        let one = ["tenant", "approve", "acme", "--key", &bob];
        let reviewed = [
            "tenant",
            "approve",
            "--reviewed",
            list,
            "--digest",
            &digest,
            "--key",
            &bob,
        ];
        for approve in [&one[..], &reviewed[..]] {
            let said = refused(&deployment, approve);
            assert!(
                said.contains("has to apply anew") && said.contains("nothing was signed"),
                "{said}"
            );
        }
        let said = apply(&deployment, REGISTRY);
        assert!(
            said.contains("1 to apply anew, 4 stand already")
                && said.contains("signed 2 statements"),
            "{said}"
        );
        assert_eq!(tenant(&deployment)["state"], "applied");
    }
    deployment.approve("acme");
    assert_eq!(tenant(&deployment)["state"], "approved");
}

#[test]
fn an_application_before_a_closing_that_is_to_come_says_that_it_ends_the_approval() {
    let deployment = Deployment::new();
    apply(&deployment, REGISTRY);
    deployment.approve("acme");
    let ahead = ["--effective", "2100-01-01"];
    say(&deployment, "close", "alice", &ahead);
    assert_eq!(tenant(&deployment)["state"], "approved");
    let said = apply(&deployment, REGISTRY);
    assert!(said.contains("ENDS the approval of tenant acme"), "{said}");
    assert_eq!(tenant(&deployment)["state"], "applied");
}

#[test]
fn now_is_an_instant_and_json_needs_none() {
    let deployment = Deployment::new();
    apply(&deployment, REGISTRY);
    deployment.approve("acme");
    for more in [&["--json"][..], &["--at", "now", "--json"]] {
        let said = deployment.json(&[&["tenant", "show", "acme"], more].concat());
        assert_eq!(said["in_the_future"], false, "{said}");
        for view in ["as_known_then", "as_known_later"] {
            assert_eq!(said[view]["state"], "approved", "{said}");
        }
    }
    let shown = deployment.succeed(&["tenant", "show", "acme", "--at", "now"]);
    assert!(
        shown.contains("as known now") && !shown.contains("in the future"),
        "{shown}"
    );
    let said = deployment.json(&["tenant", "show", "acme", "--known", "now", "--json"]);
    assert_eq!(said["as_known_later"]["permitted"], true);
    refused_by_clap(&deployment, "Now");
}

fn refused_by_clap(deployment: &Deployment, at: &str) {
    let output = deployment.run(&["tenant", "show", "acme", "--at", at]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("nor `now`"),
        "{said}"
    );
}

#[test]
fn the_history_of_a_tenant_tells_each_event_with_who_when_and_what_changed() {
    let deployment = Deployment::new();
    apply(&deployment, REGISTRY);
    deployment.approve("acme");
    let moved = REGISTRY.replace("headquarters = \"CH\"", "headquarters = \"CN\"");
    apply(&deployment, &moved);
    let since = ["--effective", "2020-01-01"];
    say(&deployment, "suspend", "bob", &since);
    let events = deployment.json(&["tenant", "history", "acme", "--json"]);
    let events = events.as_array().unwrap();
    let indices: Vec<u64> = events
        .iter()
        .map(|it| it["index"].as_u64().unwrap())
        .collect();
    assert!(indices.is_sorted(), "{indices:?}");
    let told: Vec<String> = events
        .iter()
        .map(|it| {
            let field = |key: &str| it[key].as_str().unwrap_or("-").to_owned();
            format!("{} {}: {}", field("name"), field("about"), field("what"))
        })
        .collect();
    for (place, due) in [
        (0, "alice party acme: "),
        (2, "alice edge from holding to acme: "),
        (4, "alice tenant acme: applies"),
        (6, "alice tenant acme: an officer approves it"),
        (
            7,
            "bob tenant acme: an officer approves it; with that it is approved",
        ),
        (8, "alice party holding: headquarters CH → CN"),
        (
            9,
            "- tenant acme: is under_review: the dossier changed after it was approved",
        ),
        (10, "bob tenant acme: is suspended: as agreed"),
    ] {
        assert!(told[place].starts_with(due), "{due}: {told:#?}");
    }
    assert_eq!(told.len(), 11, "{told:#?}");
    assert_eq!(events[10]["effective_unix_ms"], 1_577_836_800_000_u64);
    let shown = deployment.succeed(&["tenant", "history", "acme"]);
    assert_eq!(shown.lines().count(), 22, "{shown}");
    assert!(
        shown.contains(", effective 2020-01-01T00:00:00Z  bob ("),
        "{shown}"
    );
    let said = refused(&deployment, &["tenant", "history", "nobody"]);
    assert!(said.contains("no tenant `nobody`"), "{said}");
}

#[test]
fn a_binding_is_withdrawn_once_and_is_still_shown_with_what_it_selected() {
    let deployment = Deployment::new();
    apply(&deployment, REGISTRY);
    let alice = key(&deployment, "alice");
    let withdraw = ["binding", "withdraw", "acme-ns", "--key", &alice];
    let said = deployment.succeed(&withdraw);
    assert!(said.contains("namespace=acme"), "{said}");
    let listed = deployment.json(&["binding", "list", "--json"]);
    assert_eq!(
        (&listed[0]["selects"], &listed[0]["withdrawn"]),
        (&"namespace=acme".into(), &true.into())
    );
    let said = refused(&deployment, &withdraw);
    assert!(said.contains("is withdrawn already"), "{said}");
    // Stated anew it holds again, and can be withdrawn again.
    assert!(apply(&deployment, REGISTRY).contains("1 new, 0 changed, 4 stand already"));
    let listed = deployment.json(&["binding", "list", "--json"]);
    assert_eq!(listed[0]["withdrawn"], false);
    deployment.succeed(&withdraw);
}

#[test]
fn a_party_owns_itself_neither_in_a_file_of_an_application_nor_in_an_import() {
    let deployment = Deployment::new();
    let alice = key(&deployment, "alice");
    let toml = deployment.path("self.toml");
    let edge = "[[edge]]\nfrom = \"acme\"\nto = \"acme\"\nkind = \"owns\"\n";
    fs::write(&toml, edge).unwrap();
    let lines = deployment.path("self.jsonl");
    let edge = "{\"edge\": {\"from\": \"acme\", \"to\": \"acme\", \"kind\": \"owns\"}}\n";
    fs::write(&lines, edge).unwrap();
    for (how, path) in [("apply", &toml), ("import", &lines)] {
        let path = path.to_str().unwrap();
        let said = refused(&deployment, &["tenant", how, path, "--key", &alice]);
        assert!(
            said.contains("`acme` is on both ends") && said.contains("nothing was signed"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_officers_withdrew_one_alone_does_not_take_back() {
    let parameters = "gap_grace_ms = 3600000\nnot_observed_grace_ms = 3600000\n";
    let deployment = Deployment::judged_by(parameters);
    let token = deployment.token("gpu-1", "1h");
    let (address, ca) = (deployment.address(), deployment.ca());
    let host = Host::enrol("gpu-1", &address, &ca, &token).await;
    let mut host = host.unwrap();
    host.seal_use("carol");
    let outcome = host.send(&address, &ca).await;
    assert_eq!(outcome, Outcome::Included);
    let found = || {
        let all = deployment.json(&["findings", "--json"]);
        let mut all = all.as_array().unwrap().clone().into_iter();
        all.find(|it| it["rule"] == "USE_UNATTRIBUTED")
    };
    let finding = until("the finding", Duration::from_secs(60), found);
    let id = finding["id"].as_str().unwrap();
    let act = |officer: &str, what: &'static str| -> Vec<String> {
        let key = key(&deployment, officer);
        let all = ["findings", what, id, "--reason", "a test", "--key", &key];
        all.map(str::to_owned).to_vec()
    };
    for officer in ["alice", "bob"] {
        let all = act(officer, "withdraw");
        deployment.succeed(&all.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for what in ["resolve", "acknowledge"] {
        let all = act("alice", what);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let said = refused(&deployment, &all);
        assert!(
            said.contains("withdrawn by alice and bob") && said.contains("nothing was logged"),
            "{said}"
        );
    }
    assert_eq!(found().unwrap()["handling"]["state"], "withdrawn");
}
