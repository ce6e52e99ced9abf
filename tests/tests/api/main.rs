//! The API over HTTP: what each token opens, vetting by statements signed elsewhere, asking before it runs.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use affiant_proto::{
    Body, Digest, Signer as _, Statement, digest,
    statement::Place,
    v1::{self, tenant_event},
};
use affiant_tests::{Deployment, until};
use affiant_verifier::keyfile;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

const ACME: &str = r#"
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
    id = "acme"
    tenant = "acme"
    cluster = "c-1"
    namespace = "acme"
"#;

/// A deployment with a token for each right: `read`, `submit` and `ask`.
fn deployment() -> Deployment {
    let mut config = String::new();
    for right in ["read", "submit", "ask"] {
        let named = digest(token(right).as_bytes());
        config += &format!(
            "[[reader]]\nname = \"{right}er\"\ntoken_sha256 = \"{named}\"\nmay = [\"{right}\"]\n"
        );
    }
    Deployment::with_config(&config)
}

fn token(right: &str) -> String {
    format!("affiant-reader-{right}")
}

fn ask(deployment: &Deployment, request: &str, right: &str, body: &str) -> (u16, Value) {
    let site = deployment.site("api");
    let mut socket = TcpStream::connect(&site).unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-length: {}\r\n\
         authorization: Bearer {}\r\n\r\n{body}",
        body.len(),
        token(right)
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(
        status == 401,
        head.to_ascii_lowercase()
            .contains("www-authenticate: bearer"),
        "{head}"
    );
    assert!(
        head.to_ascii_lowercase().contains("application/json"),
        "{head}"
    );
    (status, serde_json::from_str(body).unwrap())
}

/// Signs bodies as an officer on a machine of his own, and hands them in.
fn hand_in(deployment: &Deployment, officer: &str, bodies: Vec<Body>) -> (u16, Value) {
    let signer = keyfile::read_signer(&deployment.key(officer)).unwrap();
    let key = signer.public_key().as_bytes().to_vec();
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let (status, head) = ask(
        deployment,
        &format!("GET /v1/officers/{hex}/head"),
        "read",
        "",
    );
    assert_eq!(status, 200, "{head}");
    let named = |field: &str| head[field].as_str().unwrap().parse::<Digest>().unwrap();
    let time = v1::Time {
        unix_ms: 1,
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    };
    let mut statements = Vec::new();
    let (chain, mut sequence, mut previous) = if head["chain"] == "" {
        let opening = v1::Officer {
            genesis: named("genesis").as_bytes().to_vec(),
            name: officer.into(),
            key,
            ..Default::default()
        };
        let made = Statement::seal(opening.into(), Place::Opening, time, None, &signer).unwrap();
        statements.push(BASE64.encode(made.as_bytes()));
        (made.digest(), 0, made.digest())
    } else {
        (
            named("chain"),
            head["sequence"].as_u64().unwrap(),
            named("head"),
        )
    };
    for body in bodies {
        sequence += 1;
        let place = Place::Link {
            chain,
            sequence,
            previous,
        };
        let made = Statement::seal(body, place, time, None, &signer).unwrap();
        previous = made.digest();
        statements.push(BASE64.encode(made.as_bytes()));
    }
    let body = json!({ "statements": statements }).to_string();
    ask(deployment, "POST /v1/statements", "submit", &body)
}

fn approval(deployment: &Deployment, tenant: &str) -> Body {
    let path = format!("GET /v1/tenants/{tenant}/dossier");
    // What is logged is judged a moment later.
    let dossier = until("the dossier", PATIENCE, || {
        let (status, dossier) = ask(deployment, &path, "read", "");
        (status == 200).then_some(dossier)
    });
    // What is signed is computed here, from the bytes.
    let bytes = BASE64.decode(dossier["dossier"].as_str().unwrap()).unwrap();
    assert_eq!(dossier["digest"], digest(&bytes).to_string());
    v1::Decision {
        tenant: tenant.into(),
        dossier: digest(&bytes).as_bytes().to_vec(),
        verdict: v1::Verdict::Approve.into(),
        ..Default::default()
    }
    .into()
}

fn state(deployment: &Deployment, tenant: &str) -> Value {
    let (status, tenants) = ask(deployment, "GET /v1/tenants", "read", "");
    assert_eq!(status, 200);
    let tenants = tenants.as_array().unwrap();
    let found = tenants.iter().find(|it| it["id"] == tenant);
    found.map_or(Value::Null, |it| it["state"].clone())
}

#[test]
fn a_tenant_is_vetted_over_http_by_what_officers_signed_elsewhere() {
    let deployment = deployment();
    let event = |body| -> Body {
        v1::TenantEvent {
            body: Some(body),
            ..Default::default()
        }
        .into()
    };
    let party = v1::Party {
        id: "acme".into(),
        names: vec![v1::PartyName {
            text: "Acme GmbH".into(),
            ..Default::default()
        }],
        headquarters: "DE".into(),
        ..Default::default()
    };
    let tenant = v1::Tenant {
        id: "acme".into(),
        customer: "acme".into(),
        ..Default::default()
    };
    let bodies = vec![
        event(tenant_event::Body::Party(party)),
        event(tenant_event::Body::Tenant(tenant)),
    ];
    let (status, logged) = hand_in(&deployment, "alice", bodies);
    assert_eq!(
        (status, logged["indices"].as_array().unwrap().len()),
        (200, 3),
        "{logged}"
    );
    for officer in ["alice", "bob"] {
        let decision = approval(&deployment, "acme");
        let (status, logged) = hand_in(&deployment, officer, vec![decision]);
        assert_eq!(status, 200, "{logged}");
    }
    until("the approval to be heard", PATIENCE, || {
        (state(&deployment, "acme") == "approved").then_some(())
    });
    // The same statement again is not taken, and says why.
    let body = json!({ "statements": [BASE64.encode(b"no statement")] }).to_string();
    let (status, why) = ask(&deployment, "POST /v1/statements", "submit", &body);
    assert_eq!(status, 400);
    assert!(
        why["error"].as_str().unwrap().contains("statement 1"),
        "{why}"
    );
}

#[test]
fn what_cannot_be_is_refused_at_intake_with_what_is_wrong_and_what_to_do() {
    let deployment = deployment();
    deployment.apply(ACME);
    let why = |(status, said): (u16, Value)| {
        assert_eq!(status, 400, "{said}");
        said["error"].as_str().unwrap().to_owned()
    };
    let party = v1::Party {
        id: "evil".into(),
        names: vec![v1::PartyName {
            text: "Evil\u{1b}[2K GmbH".into(),
            ..Default::default()
        }],
        headquarters: "ZZ".into(),
        ..Default::default()
    };
    let event = v1::TenantEvent {
        body: Some(tenant_event::Body::Party(party)),
        ..Default::default()
    };
    let said = why(hand_in(&deployment, "alice", vec![event.into()]));
    assert!(
        said.contains("names[0]: character 5 is U+001B") && said.contains("nothing was logged"),
        "{said}"
    );
    // The namespace is another tenant's already; with its end stated it goes over.
    let bind = |id: &str, tenant: &str, from: Option<u64>, to: Option<u64>| -> Body {
        let binding = v1::Binding {
            id: id.into(),
            tenant: tenant.into(),
            cluster: "c-1".into(),
            namespace: "acme".into(),
            from_unix_ms: from,
            to_unix_ms: to,
            ..Default::default()
        };
        v1::BindingEvent {
            binding: Some(binding),
            ..Default::default()
        }
        .into()
    };
    let said = why(hand_in(
        &deployment,
        "alice",
        vec![bind("evil", "evil", None, None)],
    ));
    assert!(
        said.contains("namespace `acme` is tenant `acme`'s by binding `acme`"),
        "{said}"
    );
    let far = Some(4_000_000_000_000);
    let moved = vec![
        bind("acme", "acme", None, far),
        bind("evil", "evil", far, None),
    ];
    let (status, said) = hand_in(&deployment, "alice", moved);
    assert_eq!(status, 200, "{said}");
    for class in ["not shown", "3A090.A"] {
        let question = json!({ "tenant": "acme", "class": class }).to_string();
        let said = why(ask(&deployment, "POST /v1/check", "ask", &question));
        assert!(
            said.contains(&format!("class `{class}` is none of 3A090.a, 3A090.b")),
            "{said}"
        );
        assert_eq!(
            said.matches("not shown").count(),
            usize::from(class == "not shown")
        );
    }
    let (status, packs) = ask(&deployment, "GET /v1/packs", "read", "");
    assert_eq!((status, &packs[0]["stands"]), (200, &json!("in_force")));
}

#[test]
fn each_token_opens_what_it_is_good_for_and_nothing_else() {
    let deployment = deployment();
    let question = json!({ "tenant": "acme", "class": "3A090.a" }).to_string();
    for (request, body, right) in [
        ("GET /v1/findings", "", "read"),
        ("GET /v1/hits", "", "read"),
        ("POST /v1/statements", r#"{"statements":[]}"#, "submit"),
        ("POST /v1/exhibits", "a file", "submit"),
        ("POST /v1/check", &question, "ask"),
    ] {
        for other in ["read", "submit", "ask"] {
            let due = if other == right { 200 } else { 403 };
            let (status, said) = ask(&deployment, request, other, body);
            assert_eq!(status, due, "{request} with a token to {other}: {said}");
        }
        let (status, said) = ask(&deployment, request, "steal", body);
        assert_eq!(status, 401, "{request}: {said}");
    }
    let (status, document) = ask(&deployment, "GET /v1/openapi.json", "none", "");
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    let (status, _) = ask(&deployment, "GET /v1/nothing", "read", "");
    assert_eq!(status, 404);
    let (status, why) = ask(&deployment, "POST /v1/check", "ask", "{}");
    assert_eq!(status, 400, "{why}");
    let journal = deployment.journal();
    assert!(
        !journal.contains(&token("read")),
        "no token is told to the journal"
    );
}

#[test]
fn a_pod_is_let_in_by_what_the_log_says_and_check_says_the_same() {
    let deployment = deployment();
    deployment.apply(ACME);
    let recorded = include_str!("pod.json");
    let review = |query: &str| {
        let request = format!("POST /v1/admission{query}");
        let (status, said) = ask(&deployment, &request, "ask", recorded);
        assert_eq!(status, 200, "{said}");
        assert_eq!(
            said["response"]["uid"],
            "0df28fbd-5f5f-11e8-bc74-36e6bb280816"
        );
        said["response"].clone()
    };
    let check = || {
        let asked = ["check", "--tenant", "acme", "--class", "3A090.a", "--json"];
        deployment.run(&asked).status.code()
    };
    let refused = review("?cluster=c-1&unknown=deny");
    assert_eq!(refused["allowed"], false);
    let why = refused["status"]["message"].as_str().unwrap();
    assert!(why.contains("USE_UNVETTED: tenant acme"), "{why}");
    assert_eq!(check(), Some(1));

    deployment.approve("acme");
    until("the approval to be heard", PATIENCE, || {
        // Nobody was screened, so not all is known.
        (check() == Some(3)).then_some(())
    });
    assert_eq!(review("?cluster=c-1&unknown=deny")["allowed"], true);

    // Another cluster is bound to nobody: it fails open, and the journal says that it did.
    let open = review("?cluster=c-2");
    assert_eq!(open["allowed"], true);
    assert_eq!(open["warnings"].as_array().unwrap().len(), 1);
    until("the journal to say so", PATIENCE, || {
        deployment
            .journal()
            .contains("a pod was let in of which it cannot be told")
            .then_some(())
    });
    assert_eq!(review("?cluster=c-2&unknown=deny")["allowed"], false);
}

#[test]
fn edges_the_past_and_the_history_of_a_tenant_are_told_over_http_as_at_the_desk() {
    let deployment = deployment();
    deployment.apply(ACME);
    let owned = "[[party]]\nid = \"top\"\nnames = [\"Top\"]\nincorporation = \"DE\"\nheadquarters = \"DE\"\n\
                 [[edge]]\nfrom = \"top\"\nto = \"acme\"\nkind = \"owns\"\nshare_min_percent = 60\n";
    deployment.apply(owned);
    deployment.approve("acme");
    let read = |path: &str| ask(&deployment, &format!("GET /v1/{path}"), "read", "");
    let (status, edges) = read("edges");
    assert_eq!(status, 200);
    assert_eq!(
        edges,
        json!([{ "from": "top", "to": "acme", "kind": "owns", "share_min_percent": 60.0, "ended": false }])
    );
    let (status, now) = read("tenants/acme");
    assert_eq!(
        (status, &now["as_known_later"]["state"]),
        (200, &json!("approved"))
    );
    assert_eq!(now["in_the_future"], false);
    let (status, then) = read("tenants/acme?at=2020-01-01T00%3A00%3A00Z&known=now");
    assert_eq!(
        (status, &then["as_known_then"]["state"]),
        (200, &json!("draft"))
    );
    let (status, history) = read("tenants/acme/history");
    assert_eq!(status, 200);
    let cli = deployment.json(&["tenant", "history", "acme", "--json"]);
    assert_eq!(history, cli);
    let last = history.as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["name"], &last["what"]),
        (
            &json!("bob"),
            &json!("an officer approves it; with that it is approved")
        )
    );
    let (status, dossier) = read("tenants/acme/dossier");
    assert_eq!(status, 200);
    assert_eq!(dossier["beside"]["stands"]["state"], "approved");
    for (path, due) in [
        ("tenants/nobody", 404),
        ("tenants/nobody/history", 404),
        ("tenants/acme?at=x", 400),
    ] {
        let (status, why) = read(path);
        assert_eq!(status, due, "{path}: {why}");
    }
}

#[test]
fn who_sends_slowly_holds_up_nobody_with_another_right() {
    let deployment = deployment();
    let site = deployment.site("api");
    let begun = Instant::now();
    let slow: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut socket = TcpStream::connect(&site).unwrap();
            let head = format!(
                "POST /v1/exhibits HTTP/1.1\r\nhost: api\r\ncontent-length: 1000\r\n\
                 authorization: Bearer {}\r\n\r\n",
                token("submit")
            );
            socket.write_all(head.as_bytes()).unwrap();
            socket
        })
        .collect();
    let question = json!({ "tenant": "acme", "class": "3A090.a" }).to_string();
    for (request, right, body) in [
        ("GET /v1/findings", "read", ""),
        ("POST /v1/check", "ask", &question),
        ("POST /v1/admission", "ask", include_str!("pod.json")),
    ] {
        let (status, said) = ask(&deployment, request, right, body);
        assert_eq!(status, 200, "{request}: {said}");
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    drop(slow);
}

#[test]
fn a_file_that_was_given_before_a_restart_serves_every_statement_that_names_it() {
    let mut deployment = deployment();
    let text = "name,country\nSouthern Hydrographic Bureau,RU\n";
    let (status, put) = ask(&deployment, "POST /v1/exhibits", "submit", text);
    let named = digest(text.as_bytes());
    assert_eq!((status, &put["sha256"]), (200, &json!(named.to_string())));
    deployment.stop();
    deployment.start();
    let import = |list: &str| -> Body {
        v1::ListImport {
            list: list.into(),
            version: "1".into(),
            rows: 1,
            digest: named.as_bytes().to_vec(),
            format: "operator".into(),
            effective_unix_ms: 1,
            ..Default::default()
        }
        .into()
    };
    let bodies = vec![import("ours"), import("theirs")];
    let (status, said) = hand_in(&deployment, "alice", bodies);
    assert_eq!(status, 200, "{said}");
    let (_, figures) = ask(&deployment, "GET /v1/figures", "read", "");
    assert_eq!(figures["not_judged"], json!({}), "{figures}");
    let (_, lists) = ask(&deployment, "GET /v1/lists", "read", "");
    assert_eq!(lists.as_array().unwrap().len(), 2, "{lists}");
}
