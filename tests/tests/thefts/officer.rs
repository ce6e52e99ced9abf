//! An officer's key: one of the two that an approval takes.

use std::fs;

use affiant_tests::{Deployment, Outcome, until};

use crate::{PATIENCE, enrolled, size};

/// A tenant whose party and binding by user have its name.
fn apply(deployment: &Deployment, tenant: &str) {
    deployment.apply(&format!(
        "[[party]]\nid = \"{tenant}\"\nnames = [\"{tenant} Ltd.\"]\nincorporation = \"GB\"\nheadquarters = \"GB\"\n\
         [[tenant]]\nid = \"{tenant}\"\ncustomer = \"{tenant}\"\nend_customer = \"{tenant}\"\nultimate_parent = \"{tenant}\"\n\
         [[binding]]\nid = \"{tenant}\"\ntenant = \"{tenant}\"\nuser = \"{tenant}\"\n"
    ));
    until("the tenant", PATIENCE, || {
        let shown = deployment.run(&["tenant", "show", tenant]);
        shown.status.success().then_some(())
    });
}

fn approve(deployment: &Deployment, tenant: &str, key: &str) -> Result<(), String> {
    let key = deployment.key(key);
    let key = key.to_str().unwrap();
    let output = deployment.run(&["tenant", "approve", tenant, "--key", key]);
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Makes an officer's key, and has two officers admit it.
fn admit(deployment: &Deployment, name: &str, by: [&str; 2]) {
    let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let key = text(deployment.key(name));
    deployment.succeed(&["officer", "new", "--name", name, "--out", &key]);
    let mut add = vec!["officer".to_owned(), "add".into(), "--key".into(), key];
    let public = text(deployment.path(&format!("{name}.pub")));
    for officer in by {
        let own = text(deployment.key(officer));
        let out = text(deployment.path(&format!("{name}-by-{officer}")));
        let from = ["--candidate", &public, "--key", &own, "--out", &out];
        deployment.succeed(&[&["officer", "approve"], &from[..]].concat());
        add.extend(["--approval".into(), out]);
    }
    let add: Vec<&str> = add.iter().map(String::as_str).collect();
    deployment.succeed(&add);
}

fn officers_key(deployment: &Deployment, name: &str) -> String {
    let keys = deployment.json(&["key", "list", "--json"]);
    let mut keys = keys.as_array().unwrap().iter();
    let found = keys.find(|key| key["use"] == "officer" && key["whose"] == name);
    found.unwrap()["key"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_officers_key_approves_nothing_alone_and_what_it_helped_to_approve_ends() {
    let deployment = Deployment::judged_by("");
    let (address, ca) = (deployment.address(), deployment.ca());
    apply(&deployment, "honest");
    apply(&deployment, "lone");
    apply(&deployment, "joined");
    admit(&deployment, "carol", ["alice", "bob"]);
    for officer in ["alice", "bob"] {
        approve(&deployment, "honest", officer).unwrap();
    }
    let mut host = enrolled(&deployment, "gpu-1").await;
    host.seal_use("honest");
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    let kept = deployment.keep_checkpoint("kept");
    let stolen = officers_key(&deployment, "alice");
    let theft = size(&deployment);

    // The thief approves in alice's name; bob is taken in once.
    for ending in ["key", "pub"] {
        let [from, to] =
            ["alice", "thief"].map(|name| deployment.path(&format!("{name}.{ending}")));
        fs::copy(from, to).unwrap();
    }
    approve(&deployment, "lone", "thief").unwrap();
    approve(&deployment, "joined", "thief").unwrap();
    approve(&deployment, "joined", "bob").unwrap();
    host.seal_use("joined");
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);
    host.seal_use("lone");
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    let lone = deployment.audit(&kept);
    lone.assert(1, "findings", "kept", &["USE_UNVETTED"]);
    assert_eq!(lone.said["findings"]["items"][0]["tenant"], "lone");

    // Bob finds out, and says from where.
    let (bob, from) = (deployment.key("bob"), theft.to_string());
    let by = ["--key", bob.to_str().unwrap(), "--revoked", &stolen];
    let since = ["--from-index", &from, "--reason", "stolen"];
    deployment.succeed(&[&["officer", "revoke"], &by[..], &since[..]].concat());
    let refused = approve(&deployment, "lone", "thief").unwrap_err();
    assert!(refused.contains("revoked: stolen"), "{refused}");

    // Alice is admitted anew by the two others; what she approved before the theft stands.
    admit(&deployment, "alice-2", ["bob", "carol"]);
    host.seal_use("honest");
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    let due = [
        "KEY_SUSPECT (later)",
        "USE_UNVETTED",
        "USE_UNVETTED (later)",
    ];
    let audit = deployment.audit(&kept);
    audit.assert(1, "findings", "kept", &due);
    let items = audit.said["findings"]["items"].as_array().unwrap();
    let later = items
        .iter()
        .find(|item| item["known"] == "later" && item["tenant"] == "joined");
    assert!(later.is_some(), "{items:#?}");

    // And approved again by keys that are trusted, it may be used again.
    for officer in ["alice-2", "bob"] {
        approve(&deployment, "joined", officer).unwrap();
    }
    host.seal_use("joined");
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    deployment.audit(&kept).assert(1, "findings", "kept", &due);
}
