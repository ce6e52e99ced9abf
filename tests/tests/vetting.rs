//! The life of many tenants: imported, reviewed, approved over the digest of a list, shown as they
//! stood at an instant.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fmt::Write as _,
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use affiant_proto::{Body, Envelope, v1::tenant_event};
use affiant_tests::{Deployment, binary, until};

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Runs a command that must fail with this code, and gives what it says.
fn fail(deployment: &Deployment, code: i32, arguments: &[&str]) -> String {
    let output = deployment.run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

fn import(deployment: &Deployment, name: &str, lines: &str) -> String {
    let file = deployment.path(name);
    fs::write(&file, lines).unwrap();
    let key = deployment.key("alice");
    deployment.succeed(&["tenant", "import", text(&file), "--key", text(&key)])
}

/// Tenants with a customer, its owner, and a binding.
fn tenants(count: usize) -> String {
    let mut lines = String::new();
    for n in 0..count {
        let seat = ["DE", "US", "SG"][n % 3];
        write!(
            lines,
            r#"{{"party": {{"id": "firm-{n}", "names": ["Firm {n} GmbH", "公司 {n}"], "incorporation": "{seat}", "headquarters": "{seat}"}}}}
{{"party": {{"id": "owner-{n}", "names": ["Owner {n}"], "incorporation": "unknown", "headquarters": "{seat}"}}}}
{{"edge": {{"from": "owner-{n}", "to": "firm-{n}", "kind": "owns", "share_min_percent": 51.5, "source": "register"}}}}
{{"tenant": {{"id": "t-{n}", "customer": "firm-{n}", "end_customer": "firm-{n}", "ultimate_parent": "owner-{n}", "conditions": {{"valid_to": "2030-01-01", "device_classes": ["3A090.a"]}}}}}}
{{"binding": {{"id": "b-{n}", "tenant": "t-{n}", "namespace": "ns-{n}"}}}}
"#
        )
        .unwrap();
    }
    lines
}

/// What is shown of a tenant by its dossier alone, up to its digest.
fn dossier(deployment: &Deployment, tenant: &str) -> String {
    let shown = deployment.succeed(&["tenant", "show", tenant]);
    let (dossier, _) = shown.split_once("\nstate ").unwrap();
    dossier.to_owned()
}

fn log_size(deployment: &Deployment) -> u64 {
    let status = deployment.json(&["status", "--json"]);
    status["log_size"].as_u64().unwrap()
}

/// How many tenants are in each state.
fn states(deployment: &Deployment) -> Vec<(String, usize)> {
    let tenants = deployment.json(&["tenant", "list", "--json"]);
    let mut states = std::collections::BTreeMap::<String, usize>::new();
    for tenant in tenants.as_array().unwrap() {
        let state = tenant["state"].as_str().unwrap();
        *states.entry(state.to_owned()).or_default() += 1;
    }
    states.into_iter().collect()
}

/// Writes a review list, and gives its digest as it was printed.
fn review(deployment: &Deployment, name: &str) -> (std::path::PathBuf, String) {
    let list = deployment.path(name);
    let said = deployment.succeed(&["tenant", "review", "--out", text(&list)]);
    assert_eq!(mode(&list), 0o600);
    let digest = said.lines().find_map(|line| line.strip_prefix("sha256  "));
    let digest = digest.unwrap().to_owned();
    let bytes = fs::read(&list).unwrap();
    assert_eq!(affiant_proto::digest(&bytes).to_string(), digest);
    (list, digest)
}

#[test]
fn three_thousand_tenants_are_imported_reviewed_and_approved_in_one_session() {
    let deployment = Deployment::new();
    let said = import(&deployment, "tenants.jsonl", &tenants(3_000));
    assert!(
        said.contains("15000 new, 0 changed, 0 stand already"),
        "{said}"
    );
    assert!(
        said.contains("signed 18000 statements, all logged"),
        "{said}"
    );
    assert_eq!(states(&deployment), [("applied".to_owned(), 3_000)]);
    let (list, digest) = review(&deployment, "review.txt");
    for officer in ["alice", "bob"] {
        let key = deployment.key(officer);
        let said = deployment.succeed(&[
            "tenant",
            "approve",
            "--reviewed",
            text(&list),
            "--digest",
            &digest,
            "--key",
            text(&key),
        ]);
        assert!(
            said.contains("approves 3000 tenants, as reviewed"),
            "{said}"
        );
        assert!(
            said.contains("headquarters     DE 2000, SG 2000, US 2000"),
            "{said}"
        );
    }
    assert_eq!(
        states(&deployment),
        [("approved_with_conditions".to_owned(), 3_000)]
    );
}

#[test]
fn what_is_exported_is_imported_elsewhere_as_the_same_dossiers_and_here_as_nothing_new() {
    let (here, there) = (Deployment::new(), Deployment::new());
    import(&here, "tenants.jsonl", &tenants(20));
    let out = here.path("export.jsonl");
    here.succeed(&["tenant", "export", "--out", text(&out)]);
    let lines = fs::read_to_string(&out).unwrap();
    assert_eq!(lines.lines().count(), 100);
    assert_eq!(mode(&out), 0o600, "it names every tenant");

    let before = log_size(&here);
    let said = import(&here, "again.jsonl", &lines);
    assert!(
        said.contains("0 new, 0 changed, 100 stand already"),
        "{said}"
    );
    let clocks = log_size(&here) - before;
    assert!(clocks < 10, "{clocks} entries were logged");

    import(&there, "tenants.jsonl", &lines);
    for n in 0..20 {
        let tenant = format!("t-{n}");
        let shown = dossier(&here, &tenant);
        assert!(shown.contains("digest"));
        assert_eq!(shown, dossier(&there, &tenant));
    }
    assert_eq!(there.succeed(&["tenant", "export"]), lines);
    let said = fail(&here, 74, &["tenant", "export", "--out", text(&out)]);
    assert!(said.contains("export.jsonl"), "{said}");
}

#[test]
fn an_edge_to_somebody_whom_nobody_stated_goes_into_an_empty_verifier_and_back() {
    let (here, there) = (Deployment::new(), Deployment::new());
    import(&here, "tenants.jsonl", &tenants(2));
    let file = here.path("ghost.toml");
    fs::write(
        &file,
        "[[edge]]\nfrom = \"ghost\"\nto = \"firm-0\"\nkind = \"owns\"\nshare_min_percent = 12.5\n",
    )
    .unwrap();
    let key = here.key("alice");
    let output = here.run(&["tenant", "apply", text(&file), "--key", text(&key)]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains(
            "ghost.toml, line 1: party `ghost` is stated neither in the file nor in the log"
        ),
        "{said}"
    );
    let lines = here.succeed(&["tenant", "export"]);
    assert!(
        lines.ends_with("{\"unstated\":{\"party\":\"ghost\"}}\n"),
        "{lines}"
    );
    import(&there, "tenants.jsonl", &lines);
    assert_eq!(there.succeed(&["tenant", "export"]), lines);
    for tenant in ["t-0", "t-1"] {
        assert_eq!(dossier(&here, tenant), dossier(&there, tenant));
    }
}

#[test]
fn a_file_with_one_fault_is_told_by_line_and_field_and_nothing_of_it_is_logged() {
    let deployment = Deployment::new();
    let mut lines = tenants(300);
    lines.push_str("{\"edge\": {\"from\": \"firm-1\", \"to\": \"nobody\", \"kind\": \"owns\"}}\n");
    let file = deployment.path("bad.jsonl");
    fs::write(&file, &lines).unwrap();
    let key = deployment.key("alice");
    let said = fail(
        &deployment,
        64,
        &["tenant", "import", text(&file), "--key", text(&key)],
    );
    assert!(
        said.contains("line 1501, edge.to: party `nobody` is stated neither"),
        "{said}"
    );
    assert!(said.contains("nothing was signed"), "{said}");
    assert_eq!(deployment.succeed(&["tenant", "export"]), "");
    // Without a key a good file is checked and not signed.
    fs::write(&file, tenants(3)).unwrap();
    let said = deployment.succeed(&["tenant", "import", text(&file)]);
    assert!(
        said.contains("15 new") && said.contains("nothing was signed"),
        "{said}"
    );
    assert_eq!(deployment.succeed(&["tenant", "export"]), "");
}

#[test]
fn a_list_is_signed_only_as_it_was_reviewed_and_while_every_tenant_stands_as_listed() {
    let deployment = Deployment::new();
    import(&deployment, "tenants.jsonl", &tenants(3));
    let (list, digest) = review(&deployment, "review.txt");
    let key = deployment.key("bob");
    let approve = |list: &std::path::Path, digest: &str| {
        let arguments = [
            "--reviewed",
            text(list),
            "--digest",
            digest,
            "--key",
            text(&key),
        ];
        deployment.run(&[&["tenant", "approve"], &arguments[..]].concat())
    };
    let refused = |list: &std::path::Path, digest: &str| {
        let output = approve(list, digest);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains("nothing was signed"), "{said}");
        said
    };
    let said = refused(&list, &"0".repeat(64));
    assert!(said.contains("is not what was reviewed"), "{said}");
    // Somebody makes a name look better, and gives out the digest of that.
    let kind = deployment.path("kind.txt");
    let altered = fs::read_to_string(&list)
        .unwrap()
        .replace("Firm 1 GmbH", "Charity");
    fs::write(&kind, &altered).unwrap();
    let said = refused(
        &kind,
        &affiant_proto::digest(altered.as_bytes()).to_string(),
    );
    assert!(
        said.contains("tenant `t-1`: the list says something else"),
        "{said}"
    );
    // A dossier changes between review and signature.
    import(
        &deployment,
        "moved.jsonl",
        "{\"party\": {\"id\": \"owner-2\", \"names\": [\"Owner 2\"], \"incorporation\": \"unknown\", \"headquarters\": \"CN\"}}",
    );
    let said = refused(&list, &digest);
    assert!(
        said.contains("1 of 3 tenants do not stand as listed"),
        "{said}"
    );
    assert!(said.contains("tenant `t-2`: its dossier changed"), "{said}");
    assert_eq!(states(&deployment), [("applied".to_owned(), 3)]);
    // Without the line of that tenant the others can be signed.
    let struck = deployment.path("struck.txt");
    let lines = fs::read_to_string(&list).unwrap();
    let lines: String = lines
        .lines()
        .filter(|line| !line.starts_with("t-2 "))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&struck, &lines).unwrap();
    assert!(
        approve(
            &struck,
            &affiant_proto::digest(lines.as_bytes()).to_string()
        )
        .status
        .success()
    );
}

#[test]
fn the_digest_of_the_list_stands_in_each_decision() {
    let mut deployment = Deployment::new();
    import(&deployment, "tenants.jsonl", &tenants(2));
    let (list, digest) = review(&deployment, "review.txt");
    let key = deployment.key("alice");
    deployment.succeed(&[
        "tenant",
        "approve",
        "--reviewed",
        text(&list),
        "--digest",
        &digest,
        "--key",
        text(&key),
    ]);
    deployment.stop();
    let mut reviewed = Vec::new();
    for entry in deployment.log_entries() {
        let envelope = Envelope::parse(&entry).unwrap();
        if let Body::Decision(decision) = envelope.statement().body() {
            reviewed.push(affiant_proto::Digest::try_from(decision.reviewed.as_slice()).unwrap());
        }
    }
    assert_eq!(reviewed.len(), 2);
    assert!(reviewed.iter().all(|one| one.to_string() == digest));
}

#[test]
fn a_tenant_is_shown_as_it_stood_as_known_then_and_as_known_now_with_who_said_so() {
    let deployment = Deployment::new();
    import(&deployment, "tenants.jsonl", &tenants(1));
    for (officer, reason) in [("alice", "seen"), ("bob", "papers are in order")] {
        let key = deployment.key(officer);
        deployment.succeed(&[
            "tenant",
            "approve",
            "t-0",
            "--key",
            text(&key),
            "--reason",
            reason,
        ]);
    }
    let approved = deployment.json(&["tenant", "show", "t-0", "--at", "2100-01-01", "--json"]);
    let since = approved["as_known_then"]["change"]["logged_unix_ms"]
        .as_u64()
        .unwrap();
    let at = since.to_string();
    // Suspended later, with effect from the approval on.
    let key = deployment.key("alice");
    let from = [
        "--effective",
        &at,
        "--reason",
        "listed since",
        "--key",
        text(&key),
    ];
    let suspend = || deployment.succeed(&[&["tenant", "suspend", "t-0"], &from[..]].concat());
    affiant_tests::until(
        "a second to pass",
        std::time::Duration::from_secs(10),
        || {
            (std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .ok()?
                .as_millis()
                > u128::from(since) + 1_000)
                .then_some(())
        },
    );
    suspend();
    let said = deployment.json(&["tenant", "show", "t-0", "--at", &at, "--json"]);
    assert_eq!(said["as_known_then"]["permitted"], true, "{said:#}");
    assert_eq!(said["as_known_then"]["state"], "approved_with_conditions");
    assert_eq!(said["as_known_later"]["permitted"], false);
    assert_eq!(said["as_known_later"]["state"], "suspended");
    let shown = deployment.succeed(&["tenant", "show", "t-0", "--at", &at]);
    for words in [
        "as known then",
        "state            approved_with_conditions",
        "might use        devices of 3A090.a",
        "because          papers are in order",
        "as known now",
        "state            suspended",
        "because          listed since",
        "headquarters     owner-0 DE",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let by = shown
        .lines()
        .find(|line| line.trim_start().starts_with("by "));
    assert!(
        by.unwrap().contains("alice (") && by.unwrap().contains("bob ("),
        "{shown}"
    );
    let known = deployment.json(&[
        "tenant", "show", "t-0", "--at", &at, "--known", &at, "--json",
    ]);
    assert_eq!(known["as_known_later"]["permitted"], true);
    let said = fail(&deployment, 64, &["tenant", "show", "nobody", "--at", &at]);
    assert!(said.contains("no tenant `nobody`"), "{said}");
}

#[test]
fn an_import_that_is_cut_off_says_what_is_logged_and_is_finished_by_running_it_again() {
    let mut deployment = Deployment::new();
    let file = deployment.path("tenants.jsonl");
    fs::write(&file, tenants(1_500)).unwrap();
    let key = deployment.key("alice");
    let mut import = Command::new(binary("affiant-verifier"));
    import.args(["tenant", "import", text(&file), "--key", text(&key)]);
    import.arg("--config").arg(deployment.path("verifier.toml"));
    let running = import.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let running = running.unwrap();
    until("the second batch", Duration::from_secs(60), || {
        (log_size(&deployment) > 1_000).then_some(())
    });
    deployment.kill();
    let ended = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(74), "{said}");
    assert!(
        said.contains("of 9000 statements are known to be logged"),
        "{said}"
    );
    assert!(said.contains("run the same command again"), "{said}");

    deployment.start();
    deployment.succeed(&["tenant", "import", text(&file), "--key", text(&key)]);
    let said = deployment.succeed(&["tenant", "import", text(&file), "--key", text(&key)]);
    assert!(
        said.contains("0 new, 0 changed, 7500 stand already"),
        "{said}"
    );
    assert_eq!(states(&deployment), [("applied".to_owned(), 1_500)]);
    deployment.stop();
    let (mut parties, mut edges, mut tenants, mut bindings) = (0, 0, 0, 0);
    for entry in deployment.log_entries() {
        let envelope = Envelope::parse(&entry).unwrap();
        match envelope.statement().body() {
            Body::BindingEvent(_) => bindings += 1,
            Body::TenantEvent(event) => match event.body {
                Some(tenant_event::Body::Party(_)) => parties += 1,
                Some(tenant_event::Body::Edge(_)) => edges += 1,
                Some(tenant_event::Body::Tenant(_)) => tenants += 1,
                _ => {}
            },
            _ => {}
        }
    }
    assert_eq!((parties, edges, bindings), (3_000, 1_500, 1_500));
    // The power may go between a tenant and its application: then both are said again.
    assert!((1_500..=1_501).contains(&tenants), "{tenants}");
}
