//! The tool at the officers' desk: what it refuses before anything is signed, what the server refuses too, and what it says
//! when nobody can read or nobody answers.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    fs::{self, OpenOptions},
    path::Path,
    process::{Command, Output, Stdio},
};

use affiant_proto::{Body, v1};
use affiant_tests::{Deployment, binary};
use affiant_verifier::{
    client::{Client, ClientError, Silence},
    clock::Clock,
    data::DataDir,
    keyfile::{self, OfficerKey},
};

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a command, and gives its exit code and what it says on either output.
fn said(output: Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code(), text)
}

fn refused(deployment: &Deployment, asked: &[&str]) -> String {
    let (code, text) = said(deployment.run(asked));
    assert_eq!(code, Some(64), "{asked:?}: {text}");
    text
}

fn log_size(deployment: &Deployment) -> u64 {
    let status = deployment.json(&["status", "--json"]);
    status["log_size"].as_u64().unwrap()
}

#[test]
fn a_full_disk_is_told_in_one_line_and_a_reader_that_went_away_changes_nothing() {
    let deployment = Deployment::new();
    let pack = deployment.path("pack");
    deployment.succeed(&["policy", "new", path(&pack)]);
    let config = deployment.path("verifier.toml");
    let run = |asked: &[&str], out: Stdio| {
        let mut command = Command::new(binary("affiant-verifier"));
        command.args(asked).arg("--config").arg(&config);
        command.stdout(out).stderr(Stdio::piped());
        said(command.spawn().unwrap().wait_with_output().unwrap())
    };
    for asked in [
        &["tenant", "list"][..],
        &["party", "list", "--json"],
        &["findings"],
        &["lists", "hits"],
        &["policy", "show"],
        &["policy", "check", path(&pack)],
        &["check-config"],
        &["status"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, text) = run(asked, full.into());
        assert_eq!(code, Some(74), "{asked:?}: {text}");
        assert!(
            text.starts_with("affiant-verifier: standard output: ") && text.lines().count() == 1,
            "{text}"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, text) = run(asked, writer.into());
        let whole = run(asked, Stdio::null()).0;
        assert_eq!((code, text.as_str()), (whole, ""), "{asked:?}");
    }
}

#[test]
fn a_server_that_stands_still_is_told_by_its_address_and_is_not_waited_for() {
    let deployment = Deployment::new();
    let signal = |signal: &str| {
        let mut kill = Command::new("kill");
        let sent = kill.arg(signal).arg(deployment.id().to_string()).status();
        assert!(sent.unwrap().success());
    };
    signal("-STOP");
    let asked = ["check", "--tenant", "t", "--class", "3A090.a"];
    let (code, text) = said(deployment.run(&asked));
    signal("-CONT");
    assert_eq!(code, Some(74), "{text}");
    let socket = DataDir::at(&deployment.data()).socket();
    assert!(
        text.contains(path(&socket)) && text.contains("answered nothing for 30 s"),
        "{text}"
    );
    assert!(text.contains("systemctl status"), "{text}");
    assert_eq!(said(deployment.run(&asked)).0, Some(1));
}

#[test]
fn nothing_is_known_of_a_tenant_where_no_list_is_in_force() {
    let deployment = Deployment::new();
    deployment.apply(
        "[[party]]\nid = \"a\"\nnames = [\"Alder Foundry\"]\nincorporation = \"DE\"\nheadquarters = \"DE\"\n\
         [[tenant]]\nid = \"a\"\ncustomer = \"a\"\nend_customer = \"a\"\nultimate_parent = \"a\"\n",
    );
    deployment.approve("a");
    let asked = ["check", "--tenant", "a", "--class", "uncontrolled"];
    let (code, text) = said(deployment.run(&asked));
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("no screening list is in force"), "{text}");
    let file = deployment.path("list.csv");
    fs::write(&file, "name,country\nBirch Works,FR\n").unwrap();
    deployment.succeed(
        &import(&deployment, &file, "1", "operator")
            .each_ref()
            .map(String::as_str),
    );
    let (code, text) = said(deployment.run(&asked));
    assert_eq!(code, Some(0), "{text}");
}

/// The words of an import as list `ours`.
fn import(deployment: &Deployment, file: &Path, version: &str, format: &str) -> [String; 11] {
    [
        "lists",
        "import",
        path(file),
        "--list",
        "ours",
        "--version",
        version,
        "--format",
        format,
        "--key",
        path(&deployment.key("alice")),
    ]
    .map(str::to_owned)
}

#[tokio::test]
async fn a_list_is_held_against_its_form_row_by_row_at_the_desk_and_by_the_server() {
    let deployment = Deployment::new();
    let file = deployment.path("list.csv");
    let run = |text: &str, version: &str, format: &str, more: &[&str]| {
        fs::write(&file, text).unwrap();
        let words = import(&deployment, &file, version, format);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        said(deployment.run(&[&words[..], more].concat()))
    };
    let before = log_size(&deployment);
    let bad = "name,country\nXenon Works,Germany\nGood Ltd,DE\nYork Ltd,ZZ\nX,DE\n";
    let (code, text) = run(bad, "1", "operator", &[]);
    assert_eq!(code, Some(64), "{text}");
    for due in [
        "3 things are wrong, and nothing was imported",
        "line 2, column country: \"Germany\" is no assigned code of ISO 3166-1 such as DE, and DE is",
        "line 4, column country: \"ZZ\"",
        "line 5, column name: the name \"X\" is too short",
    ] {
        assert!(text.contains(due), "{due}: {text}");
    }
    let (code, text) = run("Good morning\nthis is no list\n", "1", "aliases", &[]);
    assert_eq!(code, Some(64), "{text}");
    assert_eq!(log_size(&deployment), before, "nothing was imported");

    // Who signs elsewhere is refused by the server.
    let socket = DataDir::at(&deployment.data()).socket();
    let mut client = Client::connect(&socket, &Silence::default()).await.unwrap();
    let put = affiant_verifier::rpc::admin::PutExhibitRequest {
        content: bad.into(),
    };
    let put = client.calls().put_exhibit(put).await.unwrap().into_inner();
    let body = v1::ListImport {
        list: "ours".into(),
        version: "1".into(),
        rows: 4,
        digest: put.digest,
        format: "operator".into(),
        effective_unix_ms: 1,
        ..Default::default()
    };
    let key = deployment.key("alice");
    let officer = OfficerKey::read(&key.with_extension("pub")).unwrap();
    let signer = keyfile::read_signer(&key).unwrap();
    let body = Body::from(body);
    let clock = Clock::system();
    let signed = client.sign_and_submit(&officer, &signer, vec![body], &clock);
    let ClientError::Refused(why) = signed.await.unwrap_err() else {
        panic!("not refused");
    };
    assert!(why.message().contains("line 4, column country"), "{why}");
    assert_eq!(log_size(&deployment), before, "nothing was logged");

    // What others publish is taken as they write it.
    let theirs = "source,entity_number,name,country\nEL,1,Xenon Works,Atlantis\n";
    let (code, text) = run(theirs, "1", "consolidated", &[]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_version_that_is_there_is_not_taken_with_another_file_unless_that_is_meant() {
    let deployment = Deployment::new();
    deployment.apply(
        "[[party]]\nid = \"a\"\nnames = [\"Alder Foundry\"]\nincorporation = \"DE\"\nheadquarters = \"DE\"\n\
         [[party]]\nid = \"b\"\nnames = [\"Birch Works Holding\"]\nincorporation = \"FR\"\nheadquarters = \"FR\"\n",
    );
    let file = deployment.path("list.csv");
    let run = |text: &str, more: &[&str]| {
        fs::write(&file, text).unwrap();
        let words = import(&deployment, &file, "1", "operator");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        said(deployment.run(&[&words[..], more].concat()))
    };
    let both = "name,country\nAlder Foundry,DE\nBirch Works Holding,FR\n";
    let (code, text) = run(both, &[]);
    assert!(code == Some(0) && text.contains("2 new"), "{text}");
    let (code, text) = run(both, &[]);
    assert!(code == Some(0) && text.contains("0 new, 0 gone"), "{text}");
    let (code, text) = run("name,country\nAlder Foundry,US\n", &[]);
    assert_eq!(code, Some(64), "{text}");
    assert!(
        text.contains("as version 1 with another file") && text.contains("--replace"),
        "{text}"
    );
    let (code, text) = run("name,country\nAlder Foundry,US\n", &["--replace"]);
    assert_eq!(code, Some(0), "{text}");
    // One hit is gone, and one is less grave, for the country is another now.
    let gone = text.lines().find(|line| line.starts_with("- ")).unwrap();
    assert!(gone.contains("Birch Works Holding"), "{text}");
    let other = text.lines().find(|line| line.starts_with("~ ")).unwrap();
    assert!(
        other.contains("Alder Foundry") && other.ends_with("was exact"),
        "{text}"
    );
    assert!(text.contains("0 new, 1 gone, 1 of another class"), "{text}");
}

#[test]
fn what_restricts_says_why_and_a_hit_is_named_by_eight_digits() {
    let deployment = Deployment::new();
    deployment.apply(
        "[[party]]\nid = \"a\"\nnames = [\"Alder Foundry\"]\nincorporation = \"DE\"\nheadquarters = \"DE\"\n\
         [[tenant]]\nid = \"a\"\ncustomer = \"a\"\nend_customer = \"a\"\nultimate_parent = \"a\"\n",
    );
    let file = deployment.path("list.csv");
    fs::write(&file, "name,country\nAlder Foundry,DE\n").unwrap();
    let words = import(&deployment, &file, "1", "operator");
    deployment.succeed(&words.each_ref().map(String::as_str));
    let hits = deployment.json(&["lists", "hits", "--json"]);
    let id = hits["hits"][0]["id"].as_str().unwrap().to_owned();
    let keys = deployment.json(&["key", "list", "--json"]);
    let mut keys = keys.as_array().unwrap().iter();
    let bobs = keys.find(|it| it["whose"] == "bob").unwrap();
    let bobs = bobs["key"].as_str().unwrap().to_owned();
    let (key, before) = (deployment.key("alice"), log_size(&deployment));
    let key = path(&key);
    let finding = "0".repeat(32);
    for asked in [
        &["tenant", "suspend", "a"][..],
        &["tenant", "close", "a"],
        &["tenant", "reject", "a"],
        &["lists", "clear", &id],
        &["lists", "confirm", &id],
        &["findings", "resolve", &finding],
        &["officer", "revoke", "--revoked", &bobs],
    ] {
        for reason in ["", "  "] {
            let with = ["--reason", reason, "--key", key];
            let text = refused(&deployment, &[asked, &with].concat());
            assert!(text.contains("reason"), "{asked:?}: {text}");
        }
    }
    let revoke = [
        "key", "revoke", "--use", "officer", "--key", &bobs, "--reason", " ",
    ];
    let text = refused(&deployment, &revoke);
    assert!(text.contains("reason: it is blank"), "{text}");
    for digits in [&id[..1], &id[..7]] {
        let clear = [
            "lists", "clear", digits, "--reason", "another", "--key", key,
        ];
        refused(&deployment, &clear);
    }
    assert_eq!(log_size(&deployment), before, "nothing was logged");

    // Both officers are told whose word is due.
    let clear = |officer: &str| {
        let key = deployment.key(officer);
        let asked = [
            "lists",
            "clear",
            &id[..8],
            "--reason",
            "another",
            "--key",
            path(&key),
        ];
        deployment.succeed(&asked)
    };
    let told = clear("alice");
    assert!(told.contains("class exact takes two officers"), "{told}");
    let told = clear("alice");
    assert!(
        told.contains("changes nothing: you said so before"),
        "{told}"
    );
    assert!(clear("bob").contains("the hit is cleared"));
}

#[test]
fn a_pack_is_known_by_its_digest_and_no_version_has_two() {
    let deployment = Deployment::new();
    let pack = deployment.path("pack");
    deployment.succeed(&["policy", "new", path(&pack)]);
    let manifest = fs::read_to_string(pack.join("pack.toml")).unwrap();
    let activate = |name: Option<&str>, officer: &str| {
        let named = name.map_or_else(String::new, |name| format!("name = \"{name}\"\n"));
        let lines = manifest
            .lines()
            .filter(|line| name.is_none() || !line.starts_with("name "));
        let lines: Vec<&str> = lines.collect();
        fs::write(
            pack.join("pack.toml"),
            format!("{named}# ours\n{}", lines.join("\n")),
        )
        .unwrap();
        let key = deployment.key(officer);
        said(deployment.run(&["policy", "activate", path(&pack), "--key", path(&key)]))
    };
    let before = log_size(&deployment);
    let (code, text) = activate(None, "alice");
    assert_eq!(code, Some(64), "{text}");
    assert!(
        text.contains("is there with other files, of digest"),
        "{text}"
    );
    assert_eq!(log_size(&deployment), before, "nothing was signed");

    let (code, text) = activate(Some("ours"), "alice");
    assert_eq!(code, Some(0), "{text}");
    let told = text.lines().rev().take(3).collect::<Vec<_>>().join("\n");
    assert!(
        told.contains("digest   ") && told.contains(" enforced, "),
        "{told}"
    );
    let (_, text) = activate(Some("ours"), "alice");
    assert!(
        text.contains("that changes nothing: the same officer"),
        "{text}"
    );
    let (code, text) = activate(Some("ours"), "bob");
    assert!(
        code == Some(0) && text.contains("it judges what is logged"),
        "{text}"
    );

    let (_, text) = said(deployment.run(&["policy", "diff", path(&pack)]));
    let rows = ["digest    ", "policies  ", "          ours@"];
    for row in rows {
        assert!(
            text.lines().any(|line| line.starts_with(row)),
            "{row}: {text}"
        );
    }
}

#[tokio::test]
async fn the_server_takes_no_second_pack_of_a_name_and_version() {
    let deployment = Deployment::new();
    let pack = deployment.path("pack");
    deployment.succeed(&["policy", "new", path(&pack)]);
    let manifest = fs::read_to_string(pack.join("pack.toml")).unwrap();
    fs::write(pack.join("pack.toml"), format!("# another\n{manifest}")).unwrap();
    let files = fs::read_dir(&pack).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    let files = affiant_judge::policy::PackFiles::new(files).unwrap();
    let read = affiant_judge::policy::Pack::read(&files).unwrap();
    let socket = DataDir::at(&deployment.data()).socket();
    let mut client = Client::connect(&socket, &Silence::default()).await.unwrap();
    let put = affiant_verifier::rpc::admin::PutExhibitRequest {
        content: files.to_bytes(),
    };
    let put = client.calls().put_exhibit(put).await.unwrap().into_inner();
    let body = Body::from(v1::PolicyPack {
        header: None,
        pack: read.name().into(),
        version: read.version().into(),
        digest: put.digest,
    });
    let key = deployment.key("alice");
    let officer = OfficerKey::read(&key.with_extension("pub")).unwrap();
    let signer = keyfile::read_signer(&key).unwrap();
    let clock = Clock::system();
    let signed = client.sign_and_submit(&officer, &signer, vec![body], &clock);
    let ClientError::Refused(why) = signed.await.unwrap_err() else {
        panic!("not refused");
    };
    assert!(why.message().contains("is there with other files"), "{why}");
}

#[test]
fn a_place_that_is_no_plain_file_is_not_written_and_not_waited_for() {
    let mut deployment = Deployment::new();
    deployment.stop();
    let (pipe, plain) = (deployment.path("pipe"), deployment.path("plain"));
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    // Where it is written first, and where it is to be.
    fs::rename(&pipe, plain.with_extension("part")).unwrap();
    for place in [Path::new("/dev/full"), &plain] {
        let served = deployment.run(&["serve", "--accept-recorded", "--address-file", path(place)]);
        let (code, text) = said(served);
        assert_eq!(code, Some(74), "{text}");
        assert!(text.contains("not a plain file"), "{text}");
    }
    assert!(!plain.exists() && Path::new("/dev/full").exists());
}

#[test]
fn an_objection_to_a_class_that_is_none_is_not_signed() {
    let dir = tempfile::tempdir().unwrap();
    let (key, out) = (dir.path().join("t.key"), dir.path().join("objection"));
    let run = |class: &str| {
        let mut command = Command::new(binary("affiant-verifier"));
        command.args([
            "tenant",
            "object",
            "t",
            "--text",
            "not ours",
            "--from",
            "2026-11-01",
        ]);
        command.args([
            "--to",
            "2026-11-02",
            "--class",
            class,
            "--genesis",
            &"0".repeat(64),
        ]);
        command.arg("--data").arg(dir.path());
        command.arg("--key").arg(&key).arg("--out").arg(&out);
        said(command.output().unwrap())
    };
    keyfile::create_signer(&key).unwrap();
    let (code, text) = run("3a090a");
    assert_eq!(code, Some(64), "{text}");
    assert!(
        text.contains("write `3A090.a`?") && text.contains("nothing was signed"),
        "{text}"
    );
    assert!(!out.exists());
    assert_eq!(run("3A090.a").0, Some(0));
}
