//! A witness as a process of its own, spoken to over loopback or by files.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod files;
mod kills;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use affiant_proto::{
    Ed25519Signer,
    tlog::{
        AddCheckpoint, Checkpoint, CosignerKey, MemoryTree, Note, NoteSigner, consistency_proof,
        leaf_hash, parse_signature_lines, verify_cosignature,
    },
};

const ORIGIN: &str = "log.example/1";

fn signer() -> NoteSigner<Ed25519Signer> {
    let key = Ed25519Signer::from_seed(&[1; 32]).unwrap();
    NoteSigner::new(ORIGIN.parse().unwrap(), key).unwrap()
}

fn tree(leaves: &[u8]) -> MemoryTree {
    leaves.iter().map(|leaf| leaf_hash(&[*leaf])).collect()
}

fn note_of(tree: &MemoryTree) -> Note {
    let size = tree.size();
    let checkpoint =
        Checkpoint::new(ORIGIN.parse().unwrap(), size, tree.root(size).unwrap()).unwrap();
    checkpoint.sign(&signer()).unwrap().into_note()
}

fn request(old: u64, tree: &MemoryTree) -> String {
    let proof = consistency_proof(tree, old, tree.size()).unwrap();
    AddCheckpoint::new(old, proof, note_of(tree))
        .unwrap()
        .to_string()
}

fn audit(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affiant-audit"));
    command.arg("witness").args(arguments);
    command
}

/// Makes a key in `folder`; gives its public half.
fn init(folder: &Path) -> CosignerKey {
    let key = folder.join("key");
    let made = audit(&[
        "--init",
        "--name",
        "witness.example",
        "--key",
        key.to_str().unwrap(),
    ])
    .output()
    .unwrap();
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout)
        .unwrap()
        .trim_end()
        .parse()
        .unwrap()
}

/// Sends a body; gives status, the lower-case head and the body of the answer, or nothing where the
/// witness went away before all of it was there.
fn send(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: witness\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let (status, head) = (head.split(' ').nth(1)?.parse().ok()?, head.to_lowercase());
    let length = head.split("content-length: ").nth(1)?.lines().next()?;
    (length.parse() == Ok(body.len())).then(|| (status, head, body.to_owned()))
}

/// Where a witness shows what it cosigned of a log.
fn shown_at(origin: &str) -> String {
    format!("/{}/checkpoint", affiant_proto::digest(origin.as_bytes()))
}

struct Running {
    child: Child,
    port: u16,
}

impl Running {
    fn start(folder: &Path) -> Self {
        Self::watching(folder, &["--log", &signer().key().to_string()])
    }

    fn watching(folder: &Path, logs: &[&str]) -> Self {
        let path = |name: &str| -> PathBuf { folder.join(name) };
        let port_file = path("port");
        let _ = fs::remove_file(&port_file);
        let child = audit(&[
            "--listen",
            "127.0.0.1:0",
            "--key",
            path("key").to_str().unwrap(),
            "--state",
            path("state").to_str().unwrap(),
            "--port-file",
            port_file.to_str().unwrap(),
        ])
        .args(logs)
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
        let mut running = Self { child, port: 0 };
        let give_up = Instant::now() + Duration::from_secs(20);
        while running.port == 0 {
            running.port = fs::read_to_string(&port_file)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0);
            assert!(Instant::now() < give_up, "the witness did not say its port");
            assert!(
                running.child.try_wait().unwrap().is_none(),
                "the witness ended"
            );
            sleep(Duration::from_millis(5));
        }
        running
    }

    fn send(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        send(self.port, method, path, body).unwrap()
    }

    fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.send("GET", path, "");
        (status, body)
    }

    fn add(&self, body: &str) -> (u16, String, String) {
        self.send("POST", "/add-checkpoint", body)
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    fn stop(mut self, name: &str) -> Option<i32> {
        self.signal(name);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_growing_log_is_cosigned_and_a_rolled_back_or_forked_one_refused_also_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let key = init(folder.path());
    let witness = Running::start(folder.path());
    let grown = tree(&[0, 1, 2, 3, 4]);
    let (status, _, body) = witness.add(&request(0, &grown));
    assert_eq!(status, 200, "{body}");
    let mut cosigned = note_of(&grown);
    for line in parse_signature_lines(body.as_bytes()).unwrap() {
        cosigned.add(line).unwrap();
    }
    verify_cosignature(&cosigned, &key).unwrap();
    // SIGKILL: what it cosigned, it remembers.
    assert_eq!(witness.stop("-KILL"), None);
    let witness = Running::start(folder.path());
    let (status, head, body) = witness.add(&request(0, &tree(&[0, 1, 2])));
    assert_eq!((status, body.as_str()), (409, "5\n"), "rolled back");
    assert!(head.contains("content-type: text/x.tlog.size"), "{head}");
    assert_eq!(
        witness.add(&request(5, &tree(&[0, 1, 9, 3, 4]))).0,
        409,
        "another tree of one size"
    );
    assert_eq!(
        witness.add(&request(5, &tree(&[0, 1, 9, 3, 4, 5]))).0,
        422,
        "forked"
    );
    assert_eq!(
        witness.add(&request(5, &tree(&[0, 1, 2, 3, 4, 5]))).0,
        200,
        "grown"
    );
    assert_eq!(witness.stop("-TERM"), Some(0), "SIGTERM ends it in order");
}

#[test]
fn strangers_and_nonsense_are_refused_by_the_codes_of_the_specification() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let witness = Running::start(folder.path());
    let good = request(0, &tree(&[0, 1]));
    assert_eq!(witness.add("old 0\n\nnonsense").0, 400);
    assert_eq!(
        witness.add(&good.replace("old 0", "old 7")).0,
        400,
        "an old size above the new"
    );
    assert_eq!(witness.add(&good.replace(ORIGIN, "other.example/1")).0, 404);
    let forged = {
        let other = NoteSigner::new(
            ORIGIN.parse().unwrap(),
            Ed25519Signer::from_seed(&[2; 32]).unwrap(),
        )
        .unwrap();
        let checkpoint: Checkpoint = note_of(&tree(&[0, 1])).text().parse().unwrap();
        let note = checkpoint.sign(&other).unwrap().into_note();
        AddCheckpoint::new(0, Vec::new(), note).unwrap().to_string()
    };
    assert_eq!(witness.add(&forged).0, 403);
    assert_eq!(witness.send("GET", "/add-checkpoint", "").0, 405);
    assert_eq!(witness.send("POST", "/elsewhere", &good).0, 404);
    assert_eq!(witness.add(&good).0, 200, "all of that changed nothing");
}

#[test]
fn several_logs_are_watched_and_everybody_can_read_what_was_cosigned() {
    let folder = tempfile::tempdir().unwrap();
    let key = init(folder.path());
    let other = NoteSigner::new(
        "second.example/7".parse().unwrap(),
        Ed25519Signer::from_seed(&[2; 32]).unwrap(),
    )
    .unwrap();
    let logs = folder.path().join("logs");
    fs::write(&logs, format!("# ours\nlog {}\n", other.key())).unwrap();
    let first = signer().key().to_string();
    let flags = ["--log", &first, "--logs", logs.to_str().unwrap()];
    let witness = Running::watching(folder.path(), &flags);
    let grown = tree(&[0, 1, 2]);
    assert_eq!(witness.add(&request(0, &grown)).0, 200);
    assert_eq!(
        witness.get(&shown_at("second.example/7")).0,
        404,
        "never asked"
    );
    let (status, note) = witness.get(&shown_at(ORIGIN));
    assert_eq!(status, 200);
    let signed = Checkpoint::open(note.as_bytes(), signer().key()).unwrap();
    assert_eq!(signed.checkpoint().size(), 3);
    verify_cosignature(signed.note(), &key).unwrap();
    let (_, page) = witness.get("/");
    for due in [&*key.to_string(), ORIGIN, "second.example/7", "never asked"] {
        assert!(page.contains(due), "{due}: {page}");
    }
    // Both logs at once, and two signed trees of one size are kept for everybody to see.
    let root = tree(&[5]).root(1).unwrap();
    let checkpoint = Checkpoint::new("second.example/7".parse().unwrap(), 1, root).unwrap();
    let asked = checkpoint.sign(&other).unwrap().into_note();
    let asked = AddCheckpoint::new(0, Vec::new(), asked).unwrap();
    assert_eq!(witness.add(&asked.to_string()).0, 200);
    let forked = note_of(&tree(&[0, 1, 9]));
    let body = AddCheckpoint::new(3, Vec::new(), forked.clone()).unwrap();
    let (status, _, known) = witness.add(&body.to_string());
    assert_eq!((status, known.as_str()), (409, "3\n"));
    assert_eq!(witness.stop("-KILL"), None);
    let witness = Running::watching(folder.path(), &flags);
    let (_, page) = witness.get("/");
    assert!(page.contains("signed two trees of one size"), "{page}");
    assert!(page.contains(&forked.to_string()), "{page}");
    // A log that is no longer watched is not forgotten.
    drop(witness);
    let witness = Running::watching(folder.path(), &["--logs", logs.to_str().unwrap()]);
    assert_eq!(witness.add(&request(3, &tree(&[0, 1, 2, 3]))).0, 404);
    drop(witness);
    let witness = Running::watching(folder.path(), &flags);
    assert_eq!(witness.add(&request(0, &tree(&[0, 1, 9]))).2, "3\n");
}

#[test]
fn a_caller_who_says_nothing_does_not_keep_the_witness_from_others() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let witness = Running::start(folder.path());
    let idle: Vec<TcpStream> = (0..80)
        .map(|_| TcpStream::connect(("127.0.0.1", witness.port)).unwrap())
        .collect();
    assert_eq!(witness.add(&request(0, &tree(&[0]))).0, 200);
    drop(idle);
}

#[test]
fn a_witness_that_lost_its_state_or_its_key_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let again = audit(&[
        "--init",
        "--name",
        "w",
        "--key",
        folder.path().join("key").to_str().unwrap(),
    ])
    .output()
    .unwrap();
    assert_eq!(again.status.code(), Some(74), "a key is never overwritten");
    drop(Running::start(folder.path()));
    fs::remove_file(folder.path().join("state")).unwrap();
    let log = signer().key().to_string();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, state) = (path("key"), path("state"));
    let start = audit(&[
        "--listen",
        "127.0.0.1:0",
        "--key",
        &key,
        "--state",
        &state,
        "--log",
        &log,
    ])
    .output()
    .unwrap();
    assert_eq!(start.status.code(), Some(74));
    assert!(String::from_utf8(start.stderr).unwrap().contains("missing"));
}

#[test]
fn a_port_file_that_is_no_plain_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    init(folder.path());
    let pipe = path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for place in [&pipe, Path::new("/dev/full")] {
        let output = audit(&[
            "--listen",
            "127.0.0.1:0",
            "--key",
            path("key").to_str().unwrap(),
            "--state",
            path("state").to_str().unwrap(),
            "--port-file",
            place.to_str().unwrap(),
            "--log",
            &signer().key().to_string(),
        ])
        .output()
        .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(74), "{said}");
        assert!(said.contains("not a plain file"), "{said}");
    }
    assert!(!path("pipe.new").exists());
}
