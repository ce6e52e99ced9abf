//! Screening lists in the log: imported by an officer, decided by two, carried by every copy of the log.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use affiant_tests::{Deployment, Host, Outcome, binary, until};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// A list of this test's own; the second version has it under another number.
const FIRST: &str = "name,aliases,country\nOrion Meridian Technology Institute,OMTI,CN\nSouthern Hydrographic Bureau,,RU\n";
const SECOND: &str = "name,aliases,country\nNorthern Lights Shipyard,,RU\nSouthern Hydrographic Bureau,,RU\nOrion Meridian Technology Institute,OMTI,CN\n";

const REGISTRY: &str = r#"
    [[party]]
    id = "orion"
    names = ["Orion Meridian Technology Institute"]
    incorporation = "SG"
    headquarters = "SG"
    [[tenant]]
    id = "orion"
    customer = "orion"
    end_customer = "orion"
    ultimate_parent = "orion"
"#;

fn key(deployment: &Deployment, name: &str) -> String {
    deployment.key(name).to_str().unwrap().to_owned()
}

fn import(deployment: &Deployment, text: &str, version: &str) -> String {
    let file = deployment.path(&format!("list-{version}.csv"));
    fs::write(&file, text).unwrap();
    let (file, key) = (file.to_str().unwrap(), key(deployment, "alice"));
    deployment.succeed(&[
        "lists",
        "import",
        file,
        "--list",
        "ours",
        "--version",
        version,
        "--format",
        "operator",
        "--key",
        &key,
    ])
}

fn hits(deployment: &Deployment) -> Vec<Value> {
    let all = deployment.json(&["lists", "hits", "--json"]);
    all["hits"].as_array().unwrap().clone()
}

fn decide(deployment: &Deployment, what: &str, id: &str, officer: &str) {
    let key = key(deployment, officer);
    let asked = [
        "lists",
        what,
        id,
        "--reason",
        "looked at the register",
        "--key",
        &key,
    ];
    deployment.succeed(&asked);
}

fn exhibits(directory: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(directory.join("exhibits")).unwrap();
    let mut found: Vec<_> = found.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn audit(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(binary("affiant-audit"))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let verdict = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        verdict.unwrap_or_else(|error| panic!("{error}: {said}")),
    )
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

fn check<'a>(verdict: &'a Value, name: &str) -> &'a Value {
    let checks = verdict["checks"].as_array().unwrap();
    checks
        .iter()
        .find(|check| check["name"] == name)
        .unwrap_or(&Value::Null)
}

#[test]
fn a_hit_is_decided_by_two_officers_and_stays_decided_in_the_next_version() {
    let mut deployment = Deployment::new();
    deployment.apply(REGISTRY);
    let said = import(&deployment, FIRST, "1");
    assert!(said.contains("1 new"), "{said}");
    let found = hits(&deployment);
    assert_eq!(found.len(), 1, "{found:?}");
    // Until it is decided the tenant is on hold, and everybody who looks is told until when.
    let (since, due) = (&found[0]["since_unix_ms"], &found[0]["due_unix_ms"]);
    let days = (due.as_u64().unwrap() - since.as_u64().unwrap()) / 86_400_000;
    assert_eq!(days, 5, "as the shipped pack gives");
    let shown = deployment.run(&["lists", "hits"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("hold: to be decided by 20"), "{shown}");
    let shown = deployment.succeed(&["tenant", "show", "orion"]);
    assert!(shown.contains("on hold          until 20"), "{shown}");
    let (list, bob) = (deployment.path("review"), key(&deployment, "bob"));
    let said = deployment.succeed(&["tenant", "review", "--out", list.to_str().unwrap()]);
    let line = fs::read_to_string(&list).unwrap();
    assert!(
        line.contains(" | HIT ")
            && line.contains(" on hold until 20")
            && line.contains("(strong), hit"),
        "{line}"
    );
    let named = said
        .lines()
        .find_map(|line| line.strip_prefix("sha256  "))
        .unwrap();
    let approves = [
        "tenant",
        "approve",
        "--reviewed",
        list.to_str().unwrap(),
        "--digest",
        named,
    ];
    deployment.succeed(&[&approves[..], &["--key", &bob]].concat());
    assert_eq!(
        (&found[0]["party"], &found[0]["list"]),
        (&"orion".into(), &"ours".into())
    );
    // Another country is stated, so the same name is strong and not exact.
    assert_eq!(found[0]["class"], "strong", "{found:?}");
    let id = found[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(deployment.run(&["lists", "hits"]).status.code(), Some(1));

    decide(&deployment, "clear", &id[..8], "alice");
    decide(&deployment, "clear", &id[..8], "alice");
    assert_eq!(
        hits(&deployment)[0]["disposition"],
        "undecided",
        "one officer twice"
    );
    decide(&deployment, "clear", &id, "bob");
    until("the hit to be cleared", PATIENCE, || {
        (hits(&deployment)[0]["disposition"] == "cleared").then_some(())
    });
    assert_eq!(deployment.run(&["lists", "hits"]).status.code(), Some(0));

    let said = import(&deployment, SECOND, "2");
    assert!(said.contains("0 new, 0 gone"), "{said}");
    let again = hits(&deployment);
    assert_eq!((again.len(), &again[0]["id"]), (1, &id.clone().into()));
    assert_eq!(again[0]["disposition"], "cleared");
    let lists = deployment.json(&["lists", "list", "--json"]);
    assert_eq!(
        (&lists[0]["version"], &lists[0]["rows"]),
        (&"2".into(), &3.into())
    );

    // All of it follows from the log and the files beside it.
    deployment.stop();
    deployment.start();
    assert_eq!(hits(&deployment), again);
    decide(&deployment, "confirm", &id, "bob");
    until("the hit to be confirmed", PATIENCE, || {
        (hits(&deployment)[0]["disposition"] == "confirmed").then_some(())
    });
}

#[test]
fn a_list_is_replaced_by_an_older_or_another_one_only_where_that_is_said() {
    let deployment = Deployment::new();
    deployment.apply(REGISTRY);
    import(&deployment, FIRST, "2");
    let alice = key(&deployment, "alice");
    let again = |text: &str, version: &str, format: &str, more: &[&str]| {
        let file = deployment.path("again");
        fs::write(&file, text).unwrap();
        let asked = [
            "lists",
            "import",
            file.to_str().unwrap(),
            "--list",
            "ours",
            "--version",
            version,
            "--format",
            format,
            "--key",
            &alice,
        ];
        let output = deployment.run(&[&asked[..], more].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let aliases = "Alpha Works,Beta Works\n";
    for (text, version, format, more, told) in [
        (
            FIRST,
            "1",
            "operator",
            &[][..],
            "version 2, format operator, and this is version 1",
        ),
        (
            aliases,
            "3",
            "aliases",
            &[],
            "format operator, and this is format aliases",
        ),
        (
            FIRST,
            "3",
            "operator",
            &["--effective", "2020-01-01"],
            "which is before it",
        ),
    ] {
        let (code, said) = again(text, version, format, more);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(told) && said.contains("--replace"), "{said}");
    }
    assert_eq!(hits(&deployment).len(), 1, "nothing was replaced");
    let (code, said) = again(FIRST, "1", "operator", &["--replace"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("1 hits on 1 parties: 0 new, 0 gone"),
        "{said}"
    );
    // One that takes effect later says so, and so does the list of lists.
    let (code, said) = again(SECOND, "4", "operator", &["--effective", "2100-01-01"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("in the future"), "{said}");
    let listed = deployment.succeed(&["lists", "list"]);
    assert!(
        listed.contains("ours version 4, operator, 3 entries: takes effect at 2100-01-01T00:00:00Z, IN THE FUTURE"),
        "{listed}"
    );
}

#[test]
fn a_file_that_is_no_list_is_refused_whole_with_its_place() {
    let deployment = Deployment::new();
    let size = || deployment.json(&["status", "--json"])["log_size"].clone();
    let (alice, before) = (key(&deployment, "alice"), size());
    for (text, format, told) in [
        (&b"title,country\nA,CN\n"[..], "operator", "name"),
        (b"name\nA\n\"B\n", "operator", "line"),
        (b"name\n\xff\xfe\n", "operator", "line 2"),
        (b"name\n", "operator", "an empty list would clear everybody"),
        (
            b"{\"list_id\":\"other\",\"entities\":[{\"name\":\"Acme Works\"}]}",
            "json",
            "list_id is other",
        ),
        (b"name\nA\n", "xml", "none of consolidated"),
    ] {
        let file = deployment.path("bad");
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let output = deployment.run(&[
            "lists",
            "import",
            file,
            "--list",
            "ours",
            "--version",
            "1",
            "--format",
            format,
            "--key",
            &alice,
        ]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(
            said.contains(told) && said.contains("nothing was imported"),
            "{said}"
        );
    }
    assert_eq!(
        deployment.json(&["lists", "list", "--json"]),
        Value::Array(Vec::new())
    );
    assert_eq!(size(), before, "nothing was logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_exports_and_backups_carry_the_lists_and_auditors_miss_them() {
    let mut deployment = Deployment::new();
    deployment.apply(REGISTRY);
    import(&deployment, FIRST, "1");
    let token = deployment.token("gpu-1", "1h");
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = Host::enrol("gpu-1", &address, &ca, &token).await.unwrap();
    host.seal_usage();
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);

    let report = deployment.path("report");
    let (from, to) = around_now();
    deployment.succeed(&[
        "report",
        "--from",
        &from,
        "--to",
        &to,
        "--out",
        report.to_str().unwrap(),
    ]);
    let export = deployment.path("export");
    deployment.succeed(&["export", export.to_str().unwrap(), "--statements"]);
    let backup = deployment.path("backup");
    deployment.succeed(&["backup", backup.to_str().unwrap()]);
    let trust = deployment.data().join("trust.toml");
    let trust = trust.to_str().unwrap();
    deployment.stop();
    let restored = deployment.path("restored");
    deployment.succeed(&[
        "restore",
        backup.to_str().unwrap(),
        "--data",
        restored.to_str().unwrap(),
    ]);

    let held = fs::read(&exhibits(&deployment.data().join("log"))[0]).unwrap();
    for copy in [&report, &export, &restored.join("log")] {
        assert_eq!(
            fs::read(&exhibits(copy)[0]).unwrap(),
            held,
            "{}",
            copy.display()
        );
    }
    let verify = |directory: &Path| {
        audit(&[
            "verify",
            directory.to_str().unwrap(),
            "--trust",
            trust,
            "--json",
        ])
    };
    let log = |directory: &Path| {
        audit(&[
            "log",
            directory.to_str().unwrap(),
            "--trust",
            trust,
            "--json",
        ])
    };
    for (name, (_, verdict)) in [("report", verify(&report)), ("export", log(&export))] {
        assert_ne!(verdict["verdict"], "broken", "{name}: {verdict:#}");
        let text = verdict.to_string();
        assert!(
            !text.contains("list-import"),
            "{name}: all was judged: {verdict:#}"
        );
    }
    // Gone, it is missed; changed, the evidence is broken.
    for (copy, is_report) in [(&report, true), (&export, false)] {
        let file = exhibits(copy).remove(0);
        let look = || if is_report { verify(copy) } else { log(copy) };
        fs::remove_file(&file).unwrap();
        let (_, verdict) = look();
        assert!(verdict.to_string().contains("list-import"), "{verdict:#}");
        let mut changed = held.clone();
        changed[10] ^= 1;
        fs::write(&file, changed).unwrap();
        let (code, verdict) = look();
        assert_eq!(code, Some(2), "{verdict:#}");
        assert_eq!(check(&verdict, "exhibits")["ok"], false, "{verdict:#}");
    }
}
