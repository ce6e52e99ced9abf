//! Officers come, lose keys and leave; what they signed stays, and so does the office.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use affiant_tests::Deployment;

/// A customer with a tenant of the same name.
fn customer(deployment: &Deployment, id: &str) {
    deployment.apply(&format!(
        "[[party]]\nid = \"{id}\"\nnames = [\"{id} GmbH\"]\nincorporation = \"DE\"\nheadquarters = \"DE\"\n\
         [[tenant]]\nid = \"{id}\"\ncustomer = \"{id}\"\nend_customer = \"{id}\"\nultimate_parent = \"{id}\"\n"
    ));
}

fn own(deployment: &Deployment, name: &str) -> String {
    deployment.key(name).to_str().unwrap().to_owned()
}

fn approve(deployment: &Deployment, tenant: &str, by: &[&str]) {
    for name in by {
        let key = own(deployment, name);
        deployment.succeed(&["tenant", "approve", tenant, "--key", &key]);
    }
}

fn state(deployment: &Deployment, tenant: &str) -> String {
    let listed = deployment.json(&["tenant", "list", "--json"]);
    let mut listed = listed.as_array().unwrap().iter();
    let of = listed.find(|it| it["id"] == tenant).unwrap();
    of["state"].as_str().unwrap().to_owned()
}

/// Has an officer say that another's key is over.
fn revoke(deployment: &Deployment, name: &str, by: &str, reason: &str) {
    let keys = deployment.json(&["key", "list", "--json"]);
    let of = |key: &&serde_json::Value| key["use"] == "officer" && key["whose"] == name;
    let key = keys.as_array().unwrap().iter().find(of);
    let id = key.unwrap_or_else(|| panic!("{name} in {keys}"))["key"].clone();
    let (id, key) = (id.as_str().unwrap(), own(deployment, by));
    deployment.succeed(&[
        "officer",
        "revoke",
        "--key",
        &key,
        "--revoked",
        id,
        "--reason",
        reason,
    ]);
}

fn may_sign(deployment: &Deployment, name: &str) -> bool {
    let key = own(deployment, name);
    let output = deployment.run(&[
        "tenant", "suspend", "first", "--reason", "a trial", "--key", &key,
    ]);
    output.status.success()
}

#[test]
fn an_office_outlives_a_lost_key_and_a_leaver_by_a_key_that_lies_in_a_safe() {
    let deployment = Deployment::new();
    customer(&deployment, "first");
    customer(&deployment, "second");
    deployment.officer("recovery");
    deployment.admit("recovery", &["alice", "bob"]).unwrap();
    approve(&deployment, "first", &["alice", "bob"]);

    // Alice loses her machine: what she signed before stands, and the key signs nothing more.
    revoke(&deployment, "alice", "bob", "her machine was lost");
    assert!(!may_sign(&deployment, "alice"));
    assert_eq!(state(&deployment, "first"), "approved");

    // She comes back under her name with a new key, by Bob and the key from the safe.
    deployment.officer_key("alice", "alice-2");
    let alone = deployment.admit("alice-2", &["bob"]).unwrap_err();
    assert!(alone.contains("two"), "{alone}");
    deployment.admit("alice-2", &["bob", "recovery"]).unwrap();

    // Bob leaves.
    revoke(&deployment, "bob", "alice-2", "left the company");
    assert!(!may_sign(&deployment, "bob"));
    approve(&deployment, "second", &["alice-2", "recovery"]);
    assert_eq!(state(&deployment, "second"), "approved");
    assert_eq!(state(&deployment, "first"), "approved");
}

#[test]
fn a_second_key_of_one_person_is_no_second_person_and_the_desk_says_so() {
    let deployment = Deployment::new();
    deployment.officer_key("alice", "alice-2");
    let (candidate, key) = (deployment.path("alice-2.pub"), own(&deployment, "bob"));
    let out = deployment.path("approval");
    let warned = deployment.run(&[
        "officer",
        "approve",
        "--candidate",
        candidate.to_str().unwrap(),
        "--key",
        &key,
        "--out",
        out.to_str().unwrap(),
    ]);
    let warned = String::from_utf8(warned.stderr).unwrap();
    assert!(warned.contains("count as one person"), "{warned}");
    deployment.admit("alice-2", &["alice", "bob"]).unwrap();
    deployment.officer("mallory");
    let refused = deployment
        .admit("mallory", &["alice", "alice-2"])
        .unwrap_err();
    assert!(refused.contains("two persons"), "{refused}");
    deployment.admit("mallory", &["alice-2", "bob"]).unwrap();
}

#[test]
fn who_was_approved_under_one_name_is_not_added_under_another() {
    let deployment = Deployment::new();
    deployment.officer("carol");
    let public = deployment.path("carol.pub");
    let approved = std::fs::read_to_string(&public).unwrap();
    let approval = deployment.path("approval");
    deployment.succeed(&[
        "officer",
        "approve",
        "--candidate",
        public.to_str().unwrap(),
        "--key",
        &own(&deployment, "alice"),
        "--out",
        approval.to_str().unwrap(),
    ]);
    std::fs::write(&public, approved.replace("carol", "dora")).unwrap();
    let refused = deployment.run(&[
        "officer",
        "add",
        "--key",
        &own(&deployment, "carol"),
        "--approval",
        approval.to_str().unwrap(),
    ]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert!(said.contains("approves this key as `carol`"), "{said}");
}

#[test]
fn a_slip_in_a_key_revokes_nothing_and_an_office_of_one_is_told_of() {
    let deployment = Deployment::new();
    let revoke_id = |id: &str, by: &str| {
        let key = own(&deployment, by);
        deployment.run(&[
            "officer",
            "revoke",
            "--key",
            &key,
            "--revoked",
            id,
            "--reason",
            "left",
        ])
    };
    let nobody = revoke_id(&"00".repeat(16), "bob");
    let said = String::from_utf8(nobody.stderr).unwrap();
    assert_eq!(nobody.status.code(), Some(64), "{said}");
    assert!(said.contains("no officer has or had key 0000"), "{said}");
    let short = revoke_id("00", "bob");
    let said = String::from_utf8(short.stderr).unwrap();
    assert!(said.contains("--revoked: `00`"), "{said}");

    let listed = deployment.json(&["officer", "list", "--json"]);
    let alice = &listed.as_array().unwrap()[0];
    assert_eq!(alice["name"], "alice");
    let left = revoke_id(alice["key"].as_str().unwrap(), "alice");
    let said = String::from_utf8(left.stderr).unwrap();
    assert!(said.contains("1 of 2 persons"), "{said}");
    assert_eq!(deployment.findings(), [], "who leaves is no suspect");
    let status = deployment.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    let said = String::from_utf8(status.stdout).unwrap();
    assert!(said.contains("1 of 2 persons"), "{said}");
}

#[test]
fn officers_are_listed_by_name_with_how_their_keys_stand_those_who_never_signed_too() {
    let deployment = Deployment::new();
    let listed = || {
        let listed = deployment.json(&["officer", "list", "--json"]);
        let line = |it: &serde_json::Value| {
            (
                it["name"].clone(),
                it["chain"].is_null(),
                it["state"].clone(),
            )
        };
        let listed = listed.as_array().unwrap().iter().map(line);
        let mut listed: Vec<_> = listed
            .map(|(name, never, state)| format!("{name} {never} {state}"))
            .collect();
        listed.sort();
        listed
    };
    let names = |of: &[(&str, bool, &str)]| -> Vec<String> {
        of.iter()
            .map(|(name, never, state)| format!("{name:?} {never} {state:?}"))
            .collect()
    };
    assert_eq!(
        listed(),
        names(&[("alice", true, "in force"), ("bob", true, "in force")])
    );
    deployment.officer("carol");
    deployment.admit("carol", &["alice", "bob"]).unwrap();
    revoke(&deployment, "alice", "carol", "lost before she ever signed");
    assert_eq!(
        listed(),
        names(&[
            ("alice", true, "revoked"),
            ("bob", true, "in force"),
            ("carol", false, "in force")
        ])
    );
}
