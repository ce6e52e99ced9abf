//! A ledger in a temporary directory, on a disk and with a key that fail when told to.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use affiant_proto::{
    Ed25519Signer, PublicKey, Signer,
    keys::SignError,
    tlog::{
        Checkpoint, MemoryTree, SignedCheckpoint, TileKind, TilePath, new_tiles, tile_path,
        verify_consistency,
    },
    v1,
};
use affiant_verifier::ledger::{
    Access, Disk, Entry, FileLock, Ledger, LocalDisk, Lock as _, OpenError, Replay, Replayed, Store,
};
use prost::Message as _;

/// The steps of the write order, as the disk and the key see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Append,
    Sync,
    Segment,
    Swap,
    Sign,
    Tiles,
    Checkpoint,
    Reset,
    /// What only making and opening do: the write-ahead file made anew, the probe.
    Other,
}

pub(crate) const WRITE_ORDER: [Step; 8] = [
    Step::Append,
    Step::Sync,
    Step::Segment,
    Step::Swap,
    Step::Sign,
    Step::Tiles,
    Step::Checkpoint,
    Step::Reset,
];

/// What a failing step leaves behind. The ledger sees the same error each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    Nothing,
    All,
    /// Where bytes are appended or synced: the power failed in the middle of them.
    Part,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// The next time that step comes.
    At(Step),
    /// After that many steps of any kind.
    After(usize),
}

#[derive(Debug, Default)]
struct Plan {
    fault: Option<(When, Leaves)>,
    /// Set when the fault has struck: nothing more is written, as after a crash.
    crashed: bool,
    free: Option<u64>,
    /// What the operating system says when the fault strikes.
    errno: Option<i32>,
    /// Faults strike again until healed, and nothing else does.
    lasting: bool,
    ignores_create_only: bool,
    /// Length of the write-ahead file when it was last synced.
    synced: u64,
    appends: usize,
    syncs: usize,
    signed: Vec<String>,
}

/// The shared plan of a disk and a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<Plan>>);

enum Verdict {
    Do,
    FailAfter,
    FailPart,
    FailBefore,
}

impl Faults {
    pub(crate) fn arm(&self, when: When, leaves: Leaves) {
        self.0.lock().unwrap().fault = Some((when, leaves));
    }

    /// From now on that step fails with this error of the operating system, and leaves nothing.
    pub(crate) fn refuse(&self, step: Step, errno: i32) {
        let mut plan = self.0.lock().unwrap();
        plan.fault = Some((When::At(step), Leaves::Nothing));
        plan.errno = Some(errno);
        plan.lasting = true;
    }

    pub(crate) fn heal(&self) {
        let mut plan = self.0.lock().unwrap();
        plan.errno = None;
        plan.lasting = false;
        plan.fault = None;
        plan.crashed = false;
    }

    pub(crate) fn struck(&self) -> bool {
        self.0.lock().unwrap().crashed
    }

    pub(crate) fn set_free(&self, free: u64) {
        self.0.lock().unwrap().free = Some(free);
    }

    pub(crate) fn ignore_create_only(&self) {
        self.0.lock().unwrap().ignores_create_only = true;
    }

    /// The text of every checkpoint that was ever signed, published or not.
    pub(crate) fn signed(&self) -> Vec<Checkpoint> {
        let plan = self.0.lock().unwrap();
        plan.signed
            .iter()
            .map(|text| text.parse().unwrap())
            .collect()
    }

    /// How many times the write-ahead file was appended to, and how many times synced.
    pub(crate) fn appends_and_syncs(&self) -> (usize, usize) {
        let plan = self.0.lock().unwrap();
        (plan.appends, plan.syncs)
    }

    fn judge(&self, step: Step) -> Verdict {
        let mut plan = self.0.lock().unwrap();
        plan.appends += usize::from(step == Step::Append);
        plan.syncs += usize::from(step == Step::Sync);
        if plan.crashed {
            return Verdict::FailBefore;
        }
        let leaves = match &mut plan.fault {
            Some((When::At(at), leaves)) if *at == step => *leaves,
            Some((When::After(0), leaves)) => *leaves,
            Some((When::After(left), _)) => {
                *left -= 1;
                return Verdict::Do;
            }
            _ => return Verdict::Do,
        };
        plan.crashed = !plan.lasting;
        match leaves {
            Leaves::Nothing => Verdict::FailBefore,
            Leaves::All => Verdict::FailAfter,
            Leaves::Part => Verdict::FailPart,
        }
    }

    fn error(&self, otherwise: &str) -> io::Error {
        match self.0.lock().unwrap().errno {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::other(otherwise.to_owned()),
        }
    }

    fn pass(&self, step: Step, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let injected = || Err(self.error(&format!("injected at {step:?}")));
        match self.judge(step) {
            Verdict::Do => write(),
            Verdict::FailAfter => write().and_then(|()| injected()),
            Verdict::FailPart | Verdict::FailBefore => injected(),
        }
    }
}

fn step_of(path: &Path) -> Step {
    let name = path.file_name().unwrap().to_string_lossy();
    match name.as_ref() {
        "lock" => Step::Swap,
        "checkpoint" => Step::Checkpoint,
        name if name.ends_with(".seg") => Step::Segment,
        _ => Step::Other,
    }
}

impl Disk for Faults {
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        match self.judge(Step::Append) {
            Verdict::FailPart => {
                LocalDisk.append(file, &bytes[..bytes.len() / 2])?;
                Err(io::Error::other("injected in the middle of an append"))
            }
            Verdict::Do => LocalDisk.append(file, bytes),
            Verdict::FailAfter => {
                LocalDisk.append(file, bytes)?;
                Err(io::Error::other("injected after an append"))
            }
            Verdict::FailBefore => Err(self.error("injected before an append")),
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        match self.judge(Step::Sync) {
            Verdict::FailPart => {
                let synced = self.0.lock().unwrap().synced;
                let length = file.metadata()?.len();
                file.set_len(synced.min(length) + length.saturating_sub(synced) / 2)?;
                Err(io::Error::other("injected: the power failed before a sync"))
            }
            Verdict::FailBefore => Err(self.error("injected before a sync")),
            verdict => {
                LocalDisk.sync(file)?;
                self.0.lock().unwrap().synced = file.metadata()?.len();
                match verdict {
                    Verdict::FailAfter => Err(io::Error::other("injected after a sync")),
                    _ => Ok(()),
                }
            }
        }
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        self.pass(Step::Reset, || {
            self.0.lock().unwrap().synced = length;
            LocalDisk.cut(file, length)
        })
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.pass(step_of(path), || {
            if self.0.lock().unwrap().ignores_create_only {
                return LocalDisk.replace(path, bytes, Access::Private);
            }
            LocalDisk.create(path, bytes)
        })
    }

    fn replace(&self, path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
        self.pass(step_of(path), || {
            if path.ends_with("wal") {
                self.0.lock().unwrap().synced = bytes.len() as u64;
            }
            LocalDisk.replace(path, bytes, access)
        })
    }

    fn publish(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.pass(Step::Tiles, || LocalDisk.publish(path, bytes))
    }

    // Creating, replacing and publishing are one step each here, so these are what opening does.
    fn write(&self, path: &Path, bytes: &[u8], access: Access) -> io::Result<File> {
        self.pass(Step::Other, || Ok(()))?;
        LocalDisk.write(path, bytes, access)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(Step::Other, || LocalDisk.link(from, to))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(Step::Other, || LocalDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass(Step::Other, || LocalDisk.remove(path))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        // Of partial tiles, as a part of putting the full one.
        LocalDisk.remove_directory(path)
    }

    fn make_directories(&self, path: &Path, access: Access) -> io::Result<()> {
        // No step of its own: a directory that is there already is no change.
        match self.struck() {
            true => Err(io::Error::other("injected before")),
            false => LocalDisk.make_directories(path, access),
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.pass(Step::Other, || LocalDisk.sync_directory(path))
    }

    fn available(&self, path: &Path) -> io::Result<u64> {
        match self.0.lock().unwrap().free {
            Some(free) => Ok(free),
            None => LocalDisk.available(path),
        }
    }
}

struct Key {
    inner: Ed25519Signer,
    faults: Faults,
}

impl Signer for Key {
    fn public_key(&self) -> &PublicKey {
        self.inner.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let failed = SignError(self.inner.public_key().id());
        let note = || {
            let text = String::from_utf8(message.to_vec()).unwrap();
            self.faults.0.lock().unwrap().signed.push(text);
        };
        match self.faults.judge(Step::Sign) {
            Verdict::Do => {
                note();
                self.inner.sign(message)
            }
            Verdict::FailAfter => {
                note();
                Err(failed)
            }
            Verdict::FailBefore | Verdict::FailPart => Err(failed),
        }
    }
}

/// A ledger's directory with its faults and the time of its writer.
pub(crate) struct House {
    pub(crate) faults: Faults,
    pub(crate) clock: u64,
    disk: Arc<dyn Disk>,
    _dir: tempfile::TempDir,
    path: PathBuf,
}

pub(crate) fn entry(number: u64) -> Entry {
    let message = v1::Envelope {
        statement: format!("statement {number}").into_bytes(),
        leaves: vec![number.to_be_bytes().to_vec(); 3],
        seed: vec![1; 16],
        totals: None,
    };
    Entry::parse(message.encode_to_vec()).unwrap()
}

/// Entries by number: the entry at index i of an undisturbed log is number i.
pub(crate) fn entries(numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(entry).collect()
}

impl House {
    pub(crate) fn new() -> Self {
        let faults = Faults::default();
        let disk = Arc::new(faults.clone());
        Self::on(tempfile::tempdir().unwrap(), disk, faults)
    }

    /// A house in this directory, written through `disk`; `faults` keeps what was signed.
    pub(crate) fn on(dir: tempfile::TempDir, disk: Arc<dyn Disk>, faults: Faults) -> Self {
        Self {
            faults,
            clock: 1_000,
            disk,
            path: dir.path().join("ledger"),
            _dir: dir,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn at(&self, place: &str) -> PathBuf {
        self.path.join(place)
    }

    pub(crate) fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub(crate) fn store(&self) -> Store {
        Store::on(&self.path, Arc::clone(&self.disk))
    }

    pub(crate) fn key(&self) -> Box<dyn Signer> {
        Box::new(Key {
            inner: Ed25519Signer::from_seed(&[5; 32]).unwrap(),
            faults: self.faults.clone(),
        })
    }

    /// Makes a ledger with entries `0..count`.
    pub(crate) fn create(&mut self, count: u64) -> Ledger {
        let origin = "log.example/1".parse().unwrap();
        let clock = self.now();
        Ledger::create_in(self.store(), origin, self.key(), &entries(0..count), clock).unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<(Ledger, Replay), OpenError> {
        Ledger::open_in(self.store(), self.key())
    }

    /// Opens it and gives all that it replays.
    pub(crate) fn open(&self) -> (Ledger, Vec<Replayed>) {
        let (ledger, replay) = self.try_open().unwrap();
        let replayed = replay.map(Result::unwrap).collect();
        (ledger, replayed)
    }

    pub(crate) fn append(&mut self, ledger: &mut Ledger, numbers: std::ops::Range<u64>) {
        let clock = self.now();
        let given = ledger.append(&entries(numbers.clone()), clock).unwrap();
        assert_eq!(given, numbers);
    }

    /// The one segment file whose name begins so.
    pub(crate) fn segment(&self, start: &str) -> PathBuf {
        let files = std::fs::read_dir(self.at("segments")).unwrap();
        files
            .map(|file| file.unwrap().path())
            .find(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                name.starts_with(start) && name.ends_with(".seg")
            })
            .expect("no such segment")
    }
}

/// Holds every checkpoint that was ever signed, and the proofs that the log gives, against a tree
/// made of the very entries that the log gives now.
pub(crate) fn assert_one_history(house: &House, ledger: &Ledger, newest: &SignedCheckpoint) {
    let reader = ledger.reader();
    let tree: MemoryTree = reader
        .entries(0..u64::MAX)
        .map(|read| read.unwrap().1.leaf())
        .collect();
    let newest = newest.checkpoint();
    assert_eq!(newest.size(), tree.size());
    assert_eq!(*newest.root(), tree.root(tree.size()).unwrap());
    for signed in house.faults.signed() {
        assert!(
            signed.size() <= newest.size(),
            "signed {} of {}",
            signed.size(),
            newest.size()
        );
        let proof = reader
            .consistency_proof(signed.size(), newest.size())
            .unwrap();
        verify_consistency(
            signed.size(),
            signed.root(),
            newest.size(),
            newest.root(),
            &proof,
        )
        .unwrap_or_else(|error| panic!("checkpoint of size {}: {error}", signed.size()));
    }
    let published = std::fs::read(house.at("public/checkpoint")).unwrap();
    assert_eq!(*published, *reader.checkpoint());
}

/// Holds what a crash left, before anybody opens it, against the order of a write: what is
/// published has its tiles, what is signed is in the lock, what the lock names is there.
pub(crate) fn assert_order_was_kept(house: &House, case: &str) {
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
    let lock = FileLock::new(&house.at("lock"), disk)
        .read()
        .unwrap()
        .unwrap();
    assert!(
        house.at("segments").join(lock.segment.to_string()).exists(),
        "{case}"
    );
    for signed in house.faults.signed() {
        assert!(
            signed.size() <= lock.size,
            "{case}: signed before it was locked"
        );
    }
    let note = std::fs::read_to_string(house.at("public/checkpoint")).unwrap();
    let (text, _) = note.split_once("\n\n").unwrap();
    let published: Checkpoint = format!("{text}\n").parse().unwrap();
    assert!(
        published.size() <= lock.size,
        "{case}: published before it was locked"
    );
    for tile in new_tiles(0, published.size()) {
        let path = tile_path(level_of(&tile), tile.index(), None).unwrap();
        let full = house.at("public").join(path);
        let partial = house.at("public").join(tile.to_string());
        assert!(
            full.exists() || partial.exists(),
            "{case}: {tile} is published late"
        );
    }
}

fn level_of(tile: &TilePath) -> u8 {
    match tile.kind() {
        TileKind::Hashes { level } => level,
        TileKind::Entries => panic!("a bundle among hash tiles"),
    }
}
