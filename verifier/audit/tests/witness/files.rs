//! Witnessing by exchange of files: no socket, the same promises.

use affiant_proto::tlog::{Nodes as _, TileKind, new_tiles};

use super::*;

/// A log's public directory (C2SP tlog-tiles), as far as a witness reads it.
fn publish(folder: &Path, tree: &MemoryTree) -> PathBuf {
    let public = folder.join(format!("public-{}", tree.size()));
    for path in new_tiles(0, tree.size()) {
        let TileKind::Hashes { level } = path.kind() else {
            continue;
        };
        let first = path.index() * 256;
        let hashes = (first..first + u64::from(path.width()))
            .map(|n| *tree.node(level * 8, n).unwrap().as_bytes());
        let file = public.join(path.to_string());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, hashes.collect::<Vec<_>>().concat()).unwrap();
    }
    fs::write(public.join("checkpoint"), note_of(tree).to_string()).unwrap();
    public
}

fn leaves(count: u64, last: &[u8]) -> MemoryTree {
    let first = (0..count - 1).map(|n| leaf_hash(&n.to_be_bytes()));
    first.chain([leaf_hash(last)]).collect()
}

struct Once {
    code: Option<i32>,
    said: String,
    out: PathBuf,
}

fn once(folder: &Path, asked: &Path, more: &[&str]) -> Once {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let out = folder.join("cosigned.note");
    let _ = fs::remove_file(&out);
    let done = audit(&[
        "--once",
        asked.to_str().unwrap(),
        "--out",
        &path("cosigned.note"),
    ])
    .args(["--key", &path("key"), "--state", &path("state")])
    .args(["--log", &signer().key().to_string()])
    .args(more)
    .output()
    .unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    Once {
        code: done.status.code(),
        said,
        out,
    }
}

/// The size of the checkpoint that was cosigned.
fn cosigned(once: &Once, key: &CosignerKey) -> u64 {
    assert_eq!(once.code, Some(0), "{}", once.said);
    let note = fs::read(&once.out).unwrap();
    let signed = Checkpoint::open(&note, signer().key()).unwrap();
    verify_cosignature(signed.note(), key).unwrap();
    signed.checkpoint().size()
}

#[test]
fn a_copy_of_the_public_directory_is_cosigned_as_long_as_the_log_only_grows() {
    let folder = tempfile::tempdir().unwrap();
    let key = init(folder.path());
    let at = folder.path();
    // Over tile borders: the proof is made from full and partial tiles of two levels.
    for size in [3, 300, 66_000] {
        let public = publish(at, &leaves(size, &(size - 1).to_be_bytes()));
        assert_eq!(cosigned(&once(at, &public, &[]), &key), size);
        assert_eq!(cosigned(&once(at, &public, &[]), &key), size, "and again");
    }
    let older = once(at, &at.join("public-300"), &[]);
    assert_eq!(older.code, Some(3), "{}", older.said);
    assert!(older.said.contains("66000"), "{}", older.said);
    let contradicts = publish(at, &leaves(66_000, b"other"));
    let contradicts = once(at, &contradicts, &[]);
    assert_eq!(contradicts.code, Some(2), "{}", contradicts.said);
    let forked = publish(at, &leaves(66_001, b"other"));
    // The tree goes on from another one of 66,000 entries.
    fs::remove_dir_all(&forked).unwrap();
    let mut other: Vec<_> = (0..66_001_u64)
        .map(|n| leaf_hash(&n.to_be_bytes()))
        .collect();
    other[65_999] = leaf_hash(b"other");
    let forked = once(at, &publish(at, &other.into_iter().collect()), &[]);
    assert_eq!(forked.code, Some(2), "{}", forked.said);
    assert!(
        forked.said.contains("rewritten or forked"),
        "{}",
        forked.said
    );
    assert!(!forked.out.exists());
}

#[test]
fn a_request_or_a_reports_checkpoint_is_cosigned_too() {
    let folder = tempfile::tempdir().unwrap();
    let key = init(folder.path());
    let at = folder.path();
    let whole: Vec<_> = (0..700_u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let tree = |size: usize| -> MemoryTree { whole[..size].iter().copied().collect() };
    let asked = at.join("request");
    fs::write(&asked, request(0, &tree(5))).unwrap();
    assert_eq!(cosigned(&once(at, &asked, &[]), &key), 5);
    // A checkpoint alone, such as the one in a report, needs the tiles of a log that is as long.
    let checkpoint = at.join("checkpoint");
    fs::write(&checkpoint, note_of(&tree(300)).to_string()).unwrap();
    let alone = once(at, &checkpoint, &[]);
    assert_eq!(alone.code, Some(3), "{}", alone.said);
    assert!(alone.said.contains("--tiles"), "{}", alone.said);
    let short = publish(at, &tree(299));
    let short = once(at, &checkpoint, &["--tiles", short.to_str().unwrap()]);
    assert_eq!(short.code, Some(74), "{}", short.said);
    let public = publish(at, &tree(700));
    let tiles = ["--tiles", public.to_str().unwrap()];
    assert_eq!(cosigned(&once(at, &checkpoint, &tiles), &key), 300);
    // A partial tile that was dropped meanwhile is read from the full one.
    fs::remove_dir_all(public.join("tile/0/002.p")).unwrap();
    let full: Vec<_> = (512..768_u64)
        .map(|n| *leaf_hash(&n.to_be_bytes()).as_bytes())
        .collect();
    fs::write(public.join("tile/0/002"), full.concat()).unwrap();
    // A tile that was changed is found out by the proof that it breaks.
    let tile = public.join("tile/0/001");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[40 * 32] ^= 1;
    fs::write(&tile, bytes).unwrap();
    let changed = once(at, &public, &[]);
    assert_eq!(changed.code, Some(2), "{}", changed.said);
    // A server that runs on this state is not got around.
    let running = Running::start(at);
    let both = once(at, &asked, &[]);
    assert_eq!(both.code, Some(74), "{}", both.said);
    assert!(both.said.contains("in use"), "{}", both.said);
    drop(running);
    fs::write(&asked, "nonsense").unwrap();
    assert_eq!(once(at, &asked, &[]).code, Some(64));
}

#[test]
fn a_checkpoint_whose_signature_does_not_hold_is_evidence_that_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    init(at);
    let public = publish(at, &leaves(5, b"last"));
    let note = note_of(&leaves(5, b"last")).to_string();
    let root = note.lines().nth(2).unwrap();
    let other = note_of(&leaves(5, b"other")).to_string();
    // The root of one tree under the signature of another.
    let forged = note.replace(root, other.lines().nth(2).unwrap());
    fs::write(public.join("checkpoint"), forged).unwrap();
    let refused = once(at, &public, &[]);
    assert_eq!(refused.code, Some(2), "{}", refused.said);
    assert!(refused.said.contains("not cosigned"), "{}", refused.said);
    assert!(!refused.out.exists());
    // Under no signature of the log's at all: neither is it the log's.
    let unsigned = note.replace("log.example/1 ", "log.example/2 ");
    fs::write(public.join("checkpoint"), unsigned).unwrap();
    assert_eq!(once(at, &public, &[]).code, Some(2));
}

#[test]
fn an_answer_is_not_written_over_the_witnesss_own_key_or_state() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path());
    let public = publish(dir.path(), &leaves(3, b"c"));
    let asked = public.join("checkpoint");
    assert_eq!(once(dir.path(), &asked, &[]).code, Some(0));
    for name in ["key", "state"] {
        let kept = fs::read(dir.path().join(name)).unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let done = audit(&["--once", asked.to_str().unwrap(), "--out", &path(name)])
            .args(["--key", &path("key"), "--state", &path("state")])
            .args(["--log", &signer().key().to_string()])
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(64), "{name}");
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), kept, "{name}");
    }
}
