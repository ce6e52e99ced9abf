//! The log over HTTP and as exported files: what anybody may read, what a reader's token opens.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Duration,
};

use affiant_proto::{
    Envelope,
    tlog::{Checkpoint, CompactRange, Hash, Note, TilePath, leaf_hash, new_tiles},
};
use affiant_tests::{Deployment, Host, Outcome, binary, until};

const PATIENCE: Duration = Duration::from_secs(30);

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn ask(site: &str, request: &str) -> Answer {
    let mut socket = TcpStream::connect(site).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: answer[end + 4..].to_vec(),
    }
}

fn get(site: &str, path: &str) -> Answer {
    get_with(site, path, "")
}

fn get_with(site: &str, path: &str, more: &str) -> Answer {
    ask(
        site,
        &format!("GET {path} HTTP/1.1\r\nhost: log\r\nconnection: close\r\n{more}\r\n"),
    )
}

fn checkpoint(note: &[u8]) -> Checkpoint {
    Note::parse(note).unwrap().text().parse().unwrap()
}

/// A deployment in whose log is a host with some 300 records, so that there is a full tile.
async fn filled() -> Deployment {
    let deployment = Deployment::new();
    let token = deployment.token("gpu-1", "1h");
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = Host::enrol("gpu-1", &address, &ca, &token).await.unwrap();
    for _ in 0..300 {
        host.seal_usage();
    }
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    deployment
}

/// The newest checkpoint once nothing comes any more that would change it meanwhile.
fn settled(site: &str) -> Checkpoint {
    checkpoint(&get(site, "/checkpoint").body)
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_can_build_the_tree_of_the_checkpoint_from_what_is_served() {
    let deployment = filled().await;
    let site = deployment.site("http");
    let answer = get(&site, "/checkpoint");
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .head
            .contains("content-type: text/plain; charset=utf-8"),
        "{}",
        answer.head
    );
    assert!(answer.head.contains("max-age=1"), "{}", answer.head);
    let tree = checkpoint(&answer.body);
    assert!(tree.size() > 256);
    let mut range = CompactRange::default();
    for bundle in 0..tree.size().div_ceil(256) {
        let kind = affiant_proto::tlog::TileKind::Entries;
        let path = TilePath::within(kind, bundle, tree.size()).unwrap();
        let answer = get(&site, &format!("/{path}"));
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.head.contains("immutable"), "{}", answer.head);
        assert!(
            answer.head.contains("application/octet-stream"),
            "{}",
            answer.head
        );
        for entry in answer.body.chunks(34) {
            assert_eq!(entry[..2], [0, 32]);
            range.push(leaf_hash(&entry[2..]), |_, _, _| {});
        }
    }
    assert_eq!((range.size(), range.root()), (tree.size(), *tree.root()));
    for path in new_tiles(0, tree.size()) {
        let answer = get(&site, &format!("/{path}"));
        assert_eq!(
            (answer.status, answer.body.len()),
            (200, 32 * usize::from(path.width()))
        );
    }
    // A partial tile that was dropped when it was full is still what an old checkpoint needs.
    let (full, part) = (get(&site, "/tile/0/000"), get(&site, "/tile/0/000.p/17"));
    assert_eq!(part.body, full.body[..17 * 32]);
    assert_eq!(get(&site, "/tile/entries/000.p/17").body.len(), 17 * 34);
    let head = ask(
        &site,
        "HEAD /tile/0/000 HTTP/1.1\r\nhost: log\r\nconnection: close\r\n\r\n",
    );
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_public_tree_is_not_served_to_the_public() {
    let deployment = Deployment::new();
    let site = deployment.site("http");
    for path in [
        "/",
        "/lock",
        "/../lock",
        "/tile/../../lock",
        "/tile/0/%2e%2e/lock",
        "/tile/0/999",
        "/tile/63/000",
        "/statement/0",
        "/segments/index",
    ] {
        assert_eq!(get(&site, path).status, 404, "{path}");
    }
    let posted = ask(
        &site,
        "POST /checkpoint HTTP/1.1\r\nhost: log\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    );
    assert_eq!(posted.status, 405);
    let long = format!("GET /{} HTTP/1.1\r\nhost: log\r\n\r\n", "a".repeat(20_000));
    assert!([414, 431].contains(&ask(&site, &long).status));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_with_a_token_reads_statements_until_he_is_taken_out_of_the_configuration() {
    let deployment = filled().await;
    let site = deployment.site("api");
    let refused = get(&site, "/statement/0");
    assert_eq!(refused.status, 401);
    assert!(
        refused.head.contains("www-authenticate: bearer"),
        "{}",
        refused.head
    );
    let out = deployment.path("auditor.token");
    let said = deployment.succeed(&[
        "token",
        "--reader",
        "auditor",
        "--out",
        out.to_str().unwrap(),
    ]);
    let token = fs::read_to_string(&out).unwrap().trim().to_owned();
    assert!(!said.contains(&token), "the token is in its file only");
    let bearer = format!("authorization: Bearer {token}\r\n");
    assert_eq!(
        get_with(&site, "/statement/0", &bearer).status,
        401,
        "not yet named"
    );
    let named: String = said
        .lines()
        .skip_while(|line| *line != "[[reader]]")
        .take(3)
        .map(|line| format!("{line}\n"))
        .collect();
    let before = fs::read_to_string(deployment.path("verifier.toml")).unwrap();
    deployment.configure(&named);
    deployment.hang_up();
    until("the token to open statements", PATIENCE, || {
        (get_with(&site, "/statement/0", &bearer).status == 200).then_some(())
    });
    let size = settled(&site).size();
    let bundle = get(&site, "/tile/entries/000").body;
    for index in [0, 1, 100, 255] {
        let answer = get_with(&site, &format!("/statement/{index}"), &bearer);
        assert!(answer.head.contains("private"), "{}", answer.head);
        let envelope = Envelope::parse(&answer.body).unwrap();
        let entry = &bundle[index * 34 + 2..index * 34 + 34];
        assert_eq!(envelope.statement().digest().as_bytes(), entry);
    }
    assert_eq!(
        get_with(&site, &format!("/statement/{}", size + 1_000), &bearer).status,
        404
    );
    let names = get_with(&site, "/segments/index", &bearer).text();
    let first = names.lines().next().unwrap();
    let segment = get_with(&site, &format!("/segments/{first}"), &bearer);
    assert_eq!((segment.status, &segment.body[..6]), (200, &b"AFFSEG"[..]));
    // The auditor's tool reads the same: all of it with the token, nothing without.
    let audit = |more: &[&str]| {
        let audit = Command::new(binary("affiant-audit"))
            .args(["log", &format!("http://{site}"), "--json"])
            .args(more)
            .output();
        audit.unwrap()
    };
    let whole = audit(&["--token-file", out.to_str().unwrap()]);
    let verdict: serde_json::Value = serde_json::from_slice(&whole.stdout).unwrap();
    let checks = verdict["checks"].as_array().unwrap();
    for name in ["segments", "statements", "tiles", "checkpoint", "lines"] {
        let check = checks.iter().find(|check| check["name"] == name);
        assert_eq!(check.unwrap()["ok"], true, "{name}: {verdict:#}");
    }
    let refused = audit(&[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(74), "{said}");
    assert!(said.contains("--token-file"), "{said}");
    let wrong = format!("authorization: Bearer {}x\r\n", &token[..token.len() - 1]);
    assert_eq!(get_with(&site, "/statement/0", &wrong).status, 401);

    fs::write(deployment.path("verifier.toml"), before).unwrap();
    deployment.hang_up();
    until("the token to open nothing", PATIENCE, || {
        (get_with(&site, "/statement/0", &bearer).status == 401).then_some(())
    });
    assert!(
        !deployment.journal().contains(&token),
        "no token is told to the journal"
    );
}

fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap();
                found.push(name.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_what_is_served_and_the_next_one_adds_what_is_new() {
    let mut deployment = filled().await;
    let to = deployment.path("www");
    let export = |deployment: &Deployment, more: &[&str]| {
        let mut arguments = vec!["export", to.to_str().unwrap()];
        arguments.extend(more);
        deployment.succeed(&arguments)
    };
    export(&deployment, &[]);
    let first = checkpoint(&fs::read(to.join("checkpoint")).unwrap());
    assert!(
        files(&to)
            .iter()
            .all(|name| name == "checkpoint" || name.starts_with("tile/"))
    );
    let token = deployment.token("gpu-2", "1h");
    let (address, ca) = (deployment.address(), deployment.ca());
    let mut host = Host::enrol("gpu-2", &address, &ca, &token).await.unwrap();
    for _ in 0..200 {
        host.seal_usage();
    }
    assert_eq!(host.send(&address, &ca).await, Outcome::Included);
    export(&deployment, &["--statements"]);
    let second = checkpoint(&fs::read(to.join("checkpoint")).unwrap());
    assert!(second.size() > first.size());
    let site = deployment.site("http");
    for path in new_tiles(0, second.size()) {
        let held = fs::read(to.join(path.to_string())).unwrap();
        assert_eq!(get(&site, &format!("/{path}")).body, held, "{path}");
    }
    let tile = fs::read(to.join("tile/0/000")).unwrap();
    let hashes = tile
        .chunks(32)
        .map(|hash| Hash::from_bytes(hash.try_into().unwrap()));
    assert_eq!(hashes.count(), 256);
    let names = fs::read_to_string(to.join("segments/index")).unwrap();
    assert!(names.lines().count() > 1);
    for name in names.lines() {
        let theirs = fs::read(deployment.data().join("log/segments").join(name)).unwrap();
        assert_eq!(fs::read(to.join("segments").join(name)).unwrap(), theirs);
    }
    let again = export(&deployment, &["--statements"]);
    assert!(again.contains("segments are new"), "{again}");
    deployment.stop();

    // Another log's export is not written over, and neither is a directory of somebody else.
    let other = Deployment::new();
    let foreign = deployment.path("home");
    fs::create_dir_all(foreign.join("segments")).unwrap();
    fs::write(foreign.join("diary"), "dear").unwrap();
    let output = other.run(&["export", foreign.to_str().unwrap(), "--statements"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("holds diary"));
    assert_eq!(files(&foreign), ["diary"]);
    let output = other.run(&["export", to.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(74));
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not go on from"));
    assert_eq!(
        checkpoint(&fs::read(to.join("checkpoint")).unwrap()),
        second
    );
}
