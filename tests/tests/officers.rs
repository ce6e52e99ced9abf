//! The officer's desk: what a slip is refused as, with which code, and what an officer is told of what he did.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;

use affiant_tests::Deployment;

const REGISTRY: &str = r#"
    [[party]]
    id = "acme"
    names = ["Acme GmbH"]
    incorporation = "DE"
    headquarters = "DE"
    [[tenant]]
    id = "acme"
    customer = "acme"
    end_customer = "acme"
    ultimate_parent = "acme"
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

fn file(deployment: &Deployment, name: &str, text: &str) -> String {
    let path = deployment.path(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_a_rule_refuses_ends_with_the_code_of_misuse_and_says_why() {
    let deployment = Deployment::new();
    deployment.apply(REGISTRY);
    let alice = key(&deployment, "alice");
    let size = || deployment.json(&["status", "--json"])["log_size"].clone();
    let before = size();
    let mallory = key(&deployment, "mallory");
    deployment.succeed(&["officer", "new", "--name", "mallory", "--out", &mallory]);
    refused(
        &deployment,
        &[
            "tenant", "suspend", "acme", "--key", &mallory, "--reason", "x",
        ],
    );
    let long = "x".repeat(1_001);
    for (reason, told) in [
        (long.as_str(), "reason: it has 1001 bytes, of at most 1000"),
        ("seen\u{1b}[2J", "reason: character 5 is U+001B"),
    ] {
        let said = refused(
            &deployment,
            &[
                "tenant", "suspend", "acme", "--key", &alice, "--reason", reason,
            ],
        );
        assert!(
            said.contains(told) && said.contains("nothing was signed"),
            "{said}"
        );
        let hold = ["hold", "place", "--key", &alice, "--reason", reason];
        assert!(refused(&deployment, &hold).contains(told));
    }
    let out = deployment.path("review");
    let out = out.to_str().unwrap();
    let said = refused(
        &deployment,
        &["tenant", "review", "--state", "nonsense", "--out", out],
    );
    assert!(
        said.contains("`nonsense` is none of draft, applied"),
        "{said}"
    );
    // What is written wrong is told with file, line and field.
    let bad = file(
        &deployment,
        "bad.toml",
        &REGISTRY.replace("headquarters = \"DE\"", "headquarters = \"XX\""),
    );
    let said = refused(&deployment, &["tenant", "apply", &bad, "--key", &alice]);
    assert!(
        said.contains(
            "bad.toml, line 2, party `acme`, headquarters: `XX` is neither an assigned code"
        ),
        "{said}"
    );
    let taken = file(
        &deployment,
        "taken.toml",
        "[[binding]]\nid = \"evil\"\ntenant = \"evil\"\nnamespace = \"acme\"\n",
    );
    let said = refused(&deployment, &["tenant", "apply", &taken, "--key", &alice]);
    assert!(
        said.contains(
            "taken.toml, line 1, binding `evil`, namespace: namespace `acme` is tenant `acme`'s"
        ),
        "{said}"
    );
    let log = |value: serde_json::Value| value.as_u64().unwrap();
    assert!(log(size()) - log(before) < 20, "clocks alone were logged");
    let held = deployment.json(&["hold", "list", "--json"]);
    assert_eq!(held, serde_json::json!([]));
}

#[test]
fn the_second_officer_is_told_that_a_pack_judges_and_everybody_sees_which_and_by_whom() {
    let deployment = Deployment::new();
    let pack = deployment.path("pack");
    let dir = pack.to_str().unwrap();
    deployment.succeed(&["policy", "new", dir]);
    let manifest = fs::read_to_string(pack.join("pack.toml")).unwrap();
    let named = manifest.replacen("name = \"default\"", "name = \"ours\"", 1);
    fs::write(
        pack.join("pack.toml"),
        named.replacen("hit_days = 5", "hit_days = 0", 1),
    )
    .unwrap();
    let said = refused(&deployment, &["policy", "check", dir]);
    assert!(
        said.contains("pack.toml, line ") && said.contains("hit_days is 0; write 1 to 3650"),
        "{said}"
    );
    fs::write(pack.join("pack.toml"), named).unwrap();
    let activate = |officer: &str| {
        let key = key(&deployment, officer);
        deployment.succeed(&["policy", "activate", dir, "--key", &key])
    };
    let shown = deployment.succeed(&["policy", "show"]);
    assert!(shown.starts_with("pack       default "), "{shown}");
    assert!(shown.contains("by nobody: the log begins with"), "{shown}");
    let said = activate("alice");
    assert!(
        said.contains("it does once a second officer says the same"),
        "{said}"
    );
    let status = String::from_utf8(deployment.run(&["status"]).stdout).unwrap();
    assert!(
        status.contains("\npolicy       default ")
            && status.contains("1 wait for a second officer"),
        "{status}"
    );
    let said = activate("bob");
    assert!(
        said.contains("it judges what is logged from index"),
        "{said}"
    );
    assert!(!said.contains("second officer"), "{said}");
    let shown = deployment.succeed(&["policy", "show"]);
    assert!(
        shown.starts_with("pack       ours ") && shown.contains("IN FORCE"),
        "{shown}"
    );
    assert!(
        shown.contains("signed     by alice (") && shown.contains("signed     by bob ("),
        "{shown}"
    );
    let packs = deployment.json(&["policy", "show", "--json"]);
    assert_eq!(packs.as_array().unwrap().len(), 2);
    let said = |officer: &str| {
        let key = key(&deployment, officer);
        deployment.succeed(&["tenant", "approve", "acme", "--key", &key])
    };
    deployment.apply(REGISTRY);
    assert!(said("alice").contains("approved once another person says the same"));
    assert!(said("bob").contains("tenant acme is approved\n"));
    let shown = deployment.succeed(&["tenant", "show", "acme", "--at", "2100-01-01"]);
    assert!(shown.contains("that is in the future"), "{shown}");
}

#[test]
fn a_receivers_bad_secret_stops_no_client_and_a_first_start_has_lost_nothing() {
    let secret = tempfile::tempdir().unwrap();
    let secret = secret.path().join("secret");
    let mut deployment = Deployment::with_config(
        "[[deliver]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\n",
    );
    assert!(
        !deployment.journal().contains("is lost"),
        "{}",
        deployment.journal()
    );
    deployment.configure(&format!("secret_file = {secret:?}\n"));
    deployment.apply(REGISTRY);
    deployment.approve("acme");
    let said = refused(&deployment, &["check-config"]);
    assert!(said.contains("deliver[0].secret_file"), "{said}");
    deployment.stop();
}
