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

    // She comes back with a new key, by Bob and the key from the safe.
    deployment.officer("alice-2");
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
