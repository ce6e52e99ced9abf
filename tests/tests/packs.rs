//! A policy pack of one's own: made, checked, put into force by two officers, carried by reports.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use affiant_tests::{Deployment, binary};
use serde_json::Value;

/// Writes a report over now, and gives its directory with what it says of the pack.
fn report(deployment: &Deployment, name: &str) -> (PathBuf, Value) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let (from, to) = (
        (now - 86_400_000).to_string(),
        (now + 86_400_000).to_string(),
    );
    let dir = deployment.path(name);
    let out = dir.to_str().unwrap();
    deployment.succeed(&["report", "--from", &from, "--to", &to, "--out", out]);
    let said: Value = serde_json::from_slice(&fs::read(dir.join("report.json")).unwrap()).unwrap();
    let pack = said["rules"]["pack"].clone();
    (dir, pack)
}

#[test]
fn a_pack_judges_once_two_officers_put_it_into_force_and_an_auditor_reads_it_again() {
    let deployment = Deployment::new();
    let pack = deployment.path("pack");
    let dir = pack.to_str().unwrap();
    deployment.succeed(&["policy", "new", dir]);
    let manifest = fs::read_to_string(pack.join("pack.toml")).unwrap();
    let lines = manifest
        .lines()
        .map(|line| match line.split('=').next().map(str::trim) {
            Some("name") => "name = \"ours\"",
            Some("version") => "version = \"7\"",
            _ => line,
        });
    fs::write(pack.join("pack.toml"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    let activate = |officer: &str| {
        let key = deployment.key(officer);
        deployment.run(&["policy", "activate", dir, "--key", key.to_str().unwrap()])
    };

    // A policy with a slip says where; one that is gone fails the examples. Neither is signed.
    let policies = fs::read_to_string(pack.join("policies.cedar")).unwrap();
    let slip = policies.replacen("principal.screened", "principal.screend", 1);
    fs::write(pack.join("policies.cedar"), slip).unwrap();
    let refused = activate("alice");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert!(
        said.contains("policies.cedar") && said.contains("screend"),
        "{said}"
    );
    let start = policies.find("@id(\"chain-too-deep\")").unwrap();
    let end = start + policies[start..].find("};").unwrap() + 2;
    let without = format!("{}{}", &policies[..start], &policies[end..]);
    fs::write(pack.join("policies.cedar"), without).unwrap();
    let refused = activate("alice");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert_eq!(report(&deployment, "none").1["name"], "default");
    fs::write(pack.join("policies.cedar"), &policies).unwrap();

    let done = activate("alice");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(activate("alice").status.success());
    assert_eq!(
        report(&deployment, "one").1["name"],
        "default",
        "one officer is not enough"
    );
    assert!(activate("bob").status.success());
    let (dir, said) = report(&deployment, "two");
    assert_eq!(
        (&said["name"], &said["version"]),
        (&"ours".into(), &"7".into())
    );

    let trust = deployment.data().join("trust.toml");
    let verify = || {
        let mut audit = Command::new(binary("affiant-audit"));
        audit
            .arg("verify")
            .arg(&dir)
            .args(["--json", "--trust"])
            .arg(&trust);
        let output = audit.output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let verdict = verify();
    assert_ne!(verdict["verdict"], "broken", "{verdict:#}");
    assert!(
        !verdict.to_string().contains("policy-pack"),
        "all was judged: {verdict:#}"
    );
    for exhibit in fs::read_dir(dir.join("exhibits")).unwrap() {
        fs::remove_file(exhibit.unwrap().path()).unwrap();
    }
    let verdict = verify();
    assert!(verdict.to_string().contains("policy-pack"), "{verdict:#}");
}
