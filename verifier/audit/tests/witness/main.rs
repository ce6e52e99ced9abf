//! A witness as a process of its own, spoken to over loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

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

fn note(tree: &MemoryTree) -> Note {
    let size = tree.size();
    let checkpoint =
        Checkpoint::new(ORIGIN.parse().unwrap(), size, tree.root(size).unwrap()).unwrap();
    checkpoint.sign(&signer()).unwrap().into_note()
}

fn request(old: u64, tree: &MemoryTree) -> String {
    let proof = consistency_proof(tree, old, tree.size()).unwrap();
    AddCheckpoint::new(old, proof, note(tree))
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

struct Running {
    child: Child,
    port: u16,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let path = |name: &str| -> PathBuf { folder.join(name) };
        let port_file = path("port");
        let _ = fs::remove_file(&port_file);
        let log = signer().key().to_string();
        let child = audit(&[
            "--listen",
            "127.0.0.1:0",
            "--key",
            path("key").to_str().unwrap(),
            "--state",
            path("state").to_str().unwrap(),
            "--log",
            &log,
            "--port-file",
            port_file.to_str().unwrap(),
        ])
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

    /// Sends a body; gives status, the lower-case head and the body of the answer.
    fn send(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: witness\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
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
    let mut cosigned = note(&grown);
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
        let checkpoint: Checkpoint = note(&tree(&[0, 1])).text().parse().unwrap();
        let note = checkpoint.sign(&other).unwrap().into_note();
        AddCheckpoint::new(0, Vec::new(), note).unwrap().to_string()
    };
    assert_eq!(witness.add(&forged).0, 403);
    assert_eq!(witness.send("GET", "/add-checkpoint", "").0, 405);
    assert_eq!(witness.send("POST", "/elsewhere", &good).0, 404);
    assert_eq!(witness.add(&good).0, 200, "all of that changed nothing");
}

#[test]
fn a_caller_who_says_nothing_does_not_keep_the_witness_from_others() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let witness = Running::start(folder.path());
    let idle: Vec<TcpStream> = (0..8)
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
