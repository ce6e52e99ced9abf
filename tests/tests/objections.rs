//! A tenant's objection from its own machine into the log, the report and the auditor's hands; and what
//! the server takes from nobody.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use affiant_proto::digest;
use affiant_tests::{Deployment, Host, Outcome, binary, until};
use affiant_verifier::data::DataDir;

const LIMIT: Duration = Duration::from_secs(120);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A day before and a day after now, milliseconds since 1970.
fn around_now() -> (String, String) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let day = 86_400_000;
    ((now - day).to_string(), (now + day).to_string())
}

fn stated(deployment: &Deployment, key: &str) {
    deployment.apply(&format!(
        "[[party]]\nid = \"acme\"\nnames = [\"Acme GmbH\"]\nincorporation = \"DE\"\nheadquarters = \"DE\"\n\
         [[tenant]]\nid = \"acme\"\ncustomer = \"acme\"\nend_customer = \"acme\"\nultimate_parent = \"acme\"\n\
         objection_keys = [\"{key}\"]\n\
         [[binding]]\nid = \"acme-user\"\ntenant = \"acme\"\nuser = \"carol\"\n"
    ));
}

/// Makes an objection on a machine that knows no server.
fn made(deployment: &Deployment, name: &str, tenant: &str, genesis: &str, more: &[&str]) -> String {
    let out = deployment.path(&format!("{name}.objection"));
    let key = deployment.path(&format!("{name}.key"));
    let mut command = Command::new(binary("affiant-verifier"));
    command.args([
        "--data",
        "/nonexistent",
        "tenant",
        "object",
        tenant,
        "--key",
        text(&key),
    ]);
    command.args([
        "--from",
        "2026-01-01",
        "--to",
        "2036-01-01",
        "--genesis",
        genesis,
    ]);
    let made = command.args(more).arg("--out").arg(&out).output().unwrap();
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{said}");
    text(&out).to_owned()
}

fn refused(deployment: &Deployment, file: &str, why: &str) {
    let output = deployment.run(&["tenant", "object", "--file", file]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(64) && said.contains(why),
        "{why}: {said}"
    );
}

fn explain(deployment: &Deployment, place: &Path, finding: &str) -> String {
    let mut command = Command::new(binary("affiant-audit"));
    command.arg("explain").arg(place).arg(finding);
    command
        .arg("--trust")
        .arg(DataDir::at(&deployment.data()).trust());
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_signs_against_a_finding_stands_beside_it_wherever_it_is_shown() {
    let mut deployment =
        Deployment::judged_by("gap_grace_ms = 3600000\nnot_observed_grace_ms = 3600000\n");
    for name in ["acme", "mallory"] {
        let out = deployment.path(&format!("{name}.key"));
        deployment.succeed(&["officer", "new", "--name", name, "--out", text(&out)]);
    }
    let public = fs::read_to_string(deployment.path("acme.pub")).unwrap();
    let key = public.trim().split(' ').nth(1).unwrap().to_owned();
    stated(&deployment, &key);
    let shown = deployment.succeed(&["tenant", "show", "acme"]);
    assert!(
        shown.contains(&format!("may object by    {key}")),
        "{shown}"
    );
    let exported = deployment.succeed(&["tenant", "export"]);
    assert!(
        exported.contains(&format!("\"objection_keys\":[\"{key}\"]")),
        "{exported}"
    );

    let token = deployment.token("gpu-1", "1h");
    let mut host = Host::enrol("gpu-1", &deployment.address(), &deployment.ca(), &token)
        .await
        .unwrap();
    host.seal_use("carol");
    let outcome = host.send(&deployment.address(), &deployment.ca()).await;
    assert_eq!(outcome, Outcome::Included);
    let finding = until("the finding", LIMIT, || {
        let all = deployment.json(&["findings", "--json"]);
        let all = all.as_array().unwrap().clone();
        let found = all.iter().find(|it| it["rule"] == "USE_UNVETTED")?;
        Some(found["id"].as_str().unwrap().to_owned())
    });

    let status = deployment.run(&["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    let genesis = status
        .lines()
        .find_map(|line| line.strip_prefix("genesis      "));
    let genesis = genesis.unwrap().to_owned();
    let against = [
        "--finding",
        &finding,
        "--text",
        "Approved on paper; \u{1b}[2J<b>see</b> annex 2",
    ];
    let file = made(&deployment, "acme", "acme", &genesis, &against);
    // What is not the tenant's own word is not taken.
    let forged = made(&deployment, "mallory", "acme", &genesis, &against);
    refused(&deployment, &forged, "none of its objection keys");
    // Nothing is looked up for what nobody signed.
    let mut spoilt = fs::read(&forged).unwrap();
    *spoilt.last_mut().unwrap() ^= 1;
    let unsigned = deployment.path("unsigned");
    fs::write(&unsigned, &spoilt).unwrap();
    refused(&deployment, text(&unsigned), "signature");
    fs::remove_file(&forged).unwrap();
    let unknown = made(&deployment, "mallory", "mallory", &genesis, &against[2..]);
    refused(&deployment, &unknown, "no event stated");
    let elsewhere = {
        let kept = fs::read(&file).unwrap();
        let other = made_elsewhere(&deployment);
        assert_ne!(kept, fs::read(&other).unwrap());
        other
    };
    refused(&deployment, &elsewhere, "another genesis");
    let mut spoilt = fs::read(&file).unwrap();
    *spoilt.last_mut().unwrap() ^= 1;
    let broken = deployment.path("spoilt");
    fs::write(&broken, &spoilt).unwrap();
    refused(&deployment, text(&broken), "signature");

    let said = deployment.succeed(&["tenant", "object", "--file", &file]);
    let again = deployment.succeed(&["tenant", "object", "--file", &file]);
    assert_eq!(said, again, "the same statement, the same receipt");
    let shown = deployment.succeed(&["tenant", "show", "acme"]);
    assert!(
        shown.contains(&format!("objects to       finding {finding}")),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'), "{shown:?}");

    // A restart knows it still, and the log holds it once.
    deployment.stop();
    let logged = digest(&fs::read(&file).unwrap());
    let read = deployment.read_log();
    assert!(read.judge.objection_index(&logged).is_some());
    assert_eq!(read.judge.objections().len(), 1);
    deployment.start();
    assert_eq!(
        said,
        deployment.succeed(&["tenant", "object", "--file", &file])
    );

    let out = deployment.path("report");
    let (from, to) = around_now();
    let arguments = [
        "report", "--from", &from, "--to", &to, "--tenant", "acme", "--out",
    ];
    let reported = deployment.run(&[&arguments[..], &[text(&out)]].concat());
    assert!(
        out.join("report.json").is_file(),
        "{}",
        String::from_utf8_lossy(&reported.stderr)
    );
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
    let objections = report["objections"].as_array().unwrap();
    assert_eq!(objections.len(), 1, "{objections:?}");
    assert_eq!(objections[0]["finding"], finding.as_str());
    assert_eq!(objections[0]["id"], logged.to_string());
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        page.contains("Approved on paper") && !page.contains("<b>see</b>"),
        "escaped"
    );
    let mut verify = Command::new(binary("affiant-audit"));
    verify
        .arg("verify")
        .arg(&out)
        .arg("--trust")
        .arg(DataDir::at(&deployment.data()).trust());
    let verified = verify.output().unwrap();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    // Incomplete by what a test is: recorded, and judged by parameters of its own. Nothing is broken.
    assert_eq!(verified.status.code(), Some(3), "{said}");
    assert!(
        !said.contains("FAIL") && said.contains("ok  judged"),
        "{said}"
    );
    for place in [out, deployment.data()] {
        let explained = explain(&deployment, &place, &finding);
        assert!(
            explained.contains("disputed by"),
            "{}: {explained}",
            place.display()
        );
        assert!(explained.contains("Approved on paper"), "{explained}");
    }
    // The time of a finding is the server's to say; one that nobody found is not disputed.
    let key = deployment.path("acme.key");
    let object = |finding: &str| {
        let arguments = [
            "tenant",
            "object",
            "acme",
            "--key",
            text(&key),
            "--finding",
            finding,
        ];
        deployment.run(&[&arguments[..], &["--text", "once more"]].concat())
    };
    let nowhere = "ab".repeat(16);
    let unknown = object(&nowhere);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(64), "{said}");
    assert!(said.contains("no finding"), "{said}");
    fs::copy(&key, deployment.path("acme-3.key")).unwrap();
    let against = ["--finding", &nowhere, "--text", "of nothing"];
    let file = made(&deployment, "acme-3", "acme", &genesis, &against);
    refused(&deployment, &file, "no finding");
    let known = object(&finding);
    let said = String::from_utf8_lossy(&known.stderr).into_owned();
    assert!(known.status.success(), "{said}");
    let shown = deployment.succeed(&["tenant", "show", "acme"]);
    assert!(shown.contains("once more"), "{shown}");
    deployment.stop();
}

/// An objection of another deployment, by the tenant's own key.
fn made_elsewhere(deployment: &Deployment) -> String {
    let (key, other) = (deployment.path("acme.key"), deployment.path("acme-2.key"));
    fs::copy(&key, &other).unwrap();
    let genesis = "ab".repeat(32);
    made(
        deployment,
        "acme-2",
        "acme",
        &genesis,
        &["--text", "of another log"],
    )
}
