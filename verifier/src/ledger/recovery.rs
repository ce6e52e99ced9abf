//! Making a ledger, and opening one: what is on disk must be what the lock names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    vec,
};

use affiant_proto::{
    Signer,
    tlog::{self, Checkpoint, MAX_NOTE_BYTES, MalformedKey, NoteKey, NoteSigner, Origin, SignedCheckpoint},
};

use super::{
    disk::{self, Access, Disk, LocalDisk, TEMPORARY},
    entry::Entry,
    hold::{Hold, NotHeld},
    lock::{FileLock, Head, Lock, LockError},
    places::Places,
    reader::{Entries, Published, ReadError, Reader},
    segment::{BadSegment, Builder, Segment, SegmentName},
    tiles::{Edge, Made},
    wal::{self, BadWal, Group, Wal},
    writer::{Fatal, Ledger, LogKey, sign},
};

/// Where a ledger lies and through what it is written.
#[derive(Debug)]
pub struct Store {
    places: Places,
    disk: Arc<dyn Disk>,
    lock: Box<dyn Lock>,
}

impl Store {
    /// A directory of this machine's disk, with the lock in a file there.
    pub fn local(directory: &Path) -> Self {
        Self::on(directory, Arc::new(LocalDisk))
    }

    /// A directory written through `disk`, with the lock in a file there.
    pub fn on(directory: &Path, disk: Arc<dyn Disk>) -> Self {
        let places = Places::new(directory);
        let lock = FileLock::new(&places.lock(), Arc::clone(&disk));
        Self {
            lock: Box::new(lock),
            places,
            disk,
        }
    }
}

/// Why a ledger could not be made or opened. Whatever it is, no history was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// The directory to make it in is not empty.
    #[error("{0} is not empty; make the ledger elsewhere, or open the one that is there")]
    Exists(PathBuf),
    /// There is no ledger.
    #[error("{0} holds no ledger: it has no lock; make one, or look for the right directory")]
    NoLedger(PathBuf),
    /// A log begins with entries, and none were given.
    #[error("a ledger is made with its first entries, genesis among them, and none were given")]
    NoGenesis,
    /// More first entries than a segment holds.
    #[error("{0} first entries are more than a segment holds; append the others later")]
    TooManyGenesis(usize),
    /// The file system breaks a promise.
    #[error("the file system of {0} puts a file where one is; keep the ledger on a local disk")]
    NotCreateOnly(PathBuf),
    /// Something in the directory could not be read or written.
    #[error("{path} cannot be read or written: {source}")]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A segment that the lock names, itself or through later ones.
    #[error(transparent)]
    Segment(#[from] BadSegment),
    /// Segments whose clocks do not advance.
    #[error("segment {0} does not begin later than the one before it; restore the segments")]
    Clock(SegmentName),
    /// The segments do not give the root that the lock holds.
    #[error("the segments under {path} give root {found} where the lock holds {due}; restore lock or segments")]
    Root {
        /// The directory.
        path: PathBuf,
        /// The root of the segments.
        found: tlog::Hash,
        /// The root in the lock.
        due: tlog::Hash,
    },
    /// The write-ahead file.
    #[error(transparent)]
    Wal(#[from] BadWal),
    /// The published checkpoint is not one of this log and key.
    #[error("published checkpoint {path}: {fault}; if only this file is damaged, delete it and it is made again")]
    Published {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: tlog::OpenError,
    },
    /// The published checkpoint is of another log.
    #[error("published checkpoint {path} is of {found} where the lock is of {due}; restore the lock")]
    OtherLog {
        /// The file.
        path: PathBuf,
        /// Its origin.
        found: Origin,
        /// The lock's origin.
        due: Origin,
    },
    /// The published checkpoint is ahead of the lock: the lock was turned back.
    #[error("{path} was published at size {published} and the lock holds {locked}: the lock is an old one; find the newest, going on from here would fork the log")]
    Ahead {
        /// The file.
        path: PathBuf,
        /// Its size.
        published: u64,
        /// The lock's size.
        locked: u64,
    },
    /// The published checkpoint has another root than the log has at its size.
    #[error("{path} was published with another root at size {size} than the segments give; this is not the log that was published")]
    Forked {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// The key cannot sign under the origin.
    #[error("the log's key: {0}")]
    Key(#[from] MalformedKey),
    /// Recovery could not finish what a crash cut off.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// What opening a ledger found and put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Where segments that the lock does not name, and torn ends, were taken.
    pub swept: Vec<PathBuf>,
    /// Bytes of a last group that was never wholly written, cut from the write-ahead file.
    pub torn_bytes: usize,
    /// Tiles and bundles that were missing or changed and were made again.
    pub tiles_made: u64,
    /// Whether the newest checkpoint had to be signed or published again.
    pub published: bool,
}

/// One entry of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Its index.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// Whether a published segment holds it. The others are pending: the next
    /// [`Ledger::close_segment`] includes them.
    pub included: bool,
}

/// Gives every entry of an opened ledger in the order of its index; see [`Ledger::open`].
#[derive(Debug)]
pub struct Replay {
    included: Entries,
    pending: vec::IntoIter<Entry>,
    next: u64,
    failed: bool,
    recovery: Recovery,
}

impl Replay {
    /// What opening found and put right.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }
}

impl Iterator for Replay {
    type Item = Result<Replayed, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let (entry, included) = match self.included.next() {
            Some(Ok((_, entry))) => (entry, true),
            Some(Err(error)) => {
                // What comes after a hole is not the log.
                self.failed = true;
                return Some(Err(error));
            }
            None => (self.pending.next()?, false),
        };
        let index = self.next;
        self.next += 1;
        Some(Ok(Replayed {
            index,
            entry,
            included,
        }))
    }
}

impl Ledger {
    /// Makes a ledger in a directory that is empty or does not exist, with its first entries
    /// included; see [`Ledger::create_in`].
    pub fn create(
        directory: &Path,
        origin: Origin,
        signer: Box<dyn Signer>,
        entries: &[Entry],
        clock: u64,
    ) -> Result<Self, OpenError> {
        Self::create_in(Store::local(directory), origin, signer, entries, clock)
    }

    /// Makes a ledger: first segment, then lock, then all that opening makes.
    ///
    /// `clock` is the writer's time in milliseconds since 1970 UTC. A crash before the lock leaves
    /// a directory that holds no ledger; the remedy is to delete it.
    pub fn create_in(
        mut store: Store,
        origin: Origin,
        signer: Box<dyn Signer>,
        entries: &[Entry],
        clock: u64,
    ) -> Result<Self, OpenError> {
        let places = store.places.clone();
        let directory = places.directory().to_owned();
        // A key that cannot sign for the origin is found out before anything is written.
        let signer = NoteSigner::new(origin.key_name(), LogKey(signer))?;
        if entries.is_empty() {
            return Err(OpenError::NoGenesis);
        }
        disk::create_directories(&directory, Access::Private).map_err(at(&directory))?;
        let mut found = fs::read_dir(&directory).map_err(at(&directory))?;
        if found.next().is_some() {
            return Err(OpenError::Exists(directory));
        }
        let hold = Hold::take(&places.holder())?;
        for private in [places.segments(), places.swept()] {
            disk::create_directories(&private, Access::Private).map_err(at(&private))?;
        }
        let wal = places.wal();
        Wal::start(&wal, Arc::clone(&store.disk), &[]).map_err(at(&wal))?;

        let segments = places.segments();
        let mut builder = Builder::new(0, clock).map_err(at(&segments))?;
        let bytes = entries.iter().map(|entry| entry.envelope().len() + 4).sum();
        if !builder.has_room(entries.len(), bytes) {
            return Err(OpenError::TooManyGenesis(entries.len()));
        }
        let mut edge = Edge::default();
        for entry in entries {
            builder.push(entry).map_err(at(&segments))?;
            edge.push(entry.digest(), |_| {});
        }
        let (name, file) = builder.finish(None).map_err(at(&segments))?;
        let path = segments.join(name.to_string());
        store.disk.create(&path, &file).map_err(at(&path))?;
        store.lock.create(&Head {
            origin,
            epoch: 0,
            size: name.end(),
            root: edge.root(),
            segment: name,
        })?;
        disk::sync_directory_of(&directory).map_err(at(&directory))?;
        Ok(open(store, hold, signer)?.0)
    }

    /// Opens the ledger in a directory; see [`Ledger::open_in`].
    pub fn open(directory: &Path, signer: Box<dyn Signer>) -> Result<(Self, Replay), OpenError> {
        Self::open_in(Store::local(directory), signer)
    }

    /// Opens a ledger for writing, checks all of it, and finishes what a crash cut off.
    ///
    /// Checked: that no other process has it; that the file system keeps create-only puts; every
    /// segment from the one that the lock names back to the start, whole, and their root against
    /// the lock's; that no published checkpoint is ahead of the lock or disagrees; the write-ahead
    /// file. Until all that holds, nothing in the directory is changed but the probe's file.
    ///
    /// Then: segments that the lock does not name go to `swept/` (a crash may leave one whose
    /// entries are also in the write-ahead file; but were the lock a wrong one it would be
    /// evidence, so it is never deleted), the lock's epoch grows by one, the write-ahead file is
    /// written anew, missing tiles are made and the checkpoint of the lock's head is published.
    pub fn open_in(store: Store, signer: Box<dyn Signer>) -> Result<(Self, Replay), OpenError> {
        let places = &store.places;
        let directory = places.directory();
        if !directory.is_dir() {
            return Err(OpenError::NoLedger(directory.to_owned()));
        }
        let hold = Hold::take(&places.holder())?;
        let Some(head) = store.lock.read()? else {
            return Err(OpenError::NoLedger(directory.to_owned()));
        };
        let signer = NoteSigner::new(head.origin.key_name(), LogKey(signer))?;
        open(store, hold, signer)
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}

fn open(
    store: Store,
    hold: Hold,
    signer: NoteSigner<LogKey>,
) -> Result<(Ledger, Replay), OpenError> {
    let Store {
        places,
        disk,
        mut lock,
    } = store;
    let Some(head) = lock.read()? else {
        return Err(OpenError::NoLedger(places.directory().to_owned()));
    };
    probe(&places, &*disk)?;
    let names = chain(&places, &head)?;
    let published = published(&places, &head, signer.key())?;
    let scan = scan(&places, &names, published.as_ref())?;
    if scan.edge.root() != head.root {
        return Err(OpenError::Root {
            path: places.directory().to_owned(),
            found: scan.edge.root(),
            due: head.root,
        });
    }
    let tail = wal::read(&places.wal(), head.size)?;
    if !tail.fits_a_segment_after(scan.clock) {
        return Err(BadWal::NoSegment(places.wal()).into());
    }

    // All checks hold; from here on the directory changes.
    let mut recovery = Recovery {
        torn_bytes: tail.torn.len(),
        ..Recovery::default()
    };
    let claimed = Head {
        epoch: head.epoch.saturating_add(1),
        ..head.clone()
    };
    lock.swap(&head, &claimed)?;
    sweep(&places, &names, &mut recovery)?;
    keep_torn(&places, &*disk, &head, &tail.torn, &mut recovery)?;
    let wal = Wal::start(&places.wal(), Arc::clone(&disk), &tail.groups).map_err(at(&places.wal()))?;
    publish(&places, &*disk, &names, &scan, &mut recovery)?;
    let checkpoint = match published {
        Some(published) if published.checkpoint().size() == head.size => published,
        _ => {
            recovery.published = true;
            let signed = sign(&claimed, &signer)?;
            let path = places.public().checkpoint();
            let note = signed.note().to_string();
            disk.replace(&path, note.as_bytes(), Access::Public).map_err(at(&path))?;
            signed
        }
    };
    let reader = Reader::new(
        places.segments(),
        places.public(),
        Published::new(checkpoint, scan.edge.clone()),
        names,
    );
    let mut ledger = Ledger {
        places,
        disk,
        lock,
        signer,
        wal,
        head: claimed,
        clock: scan.clock,
        edge: scan.edge,
        reader,
        pending: None,
        digests: Vec::new(),
        failed: false,
        _hold: hold,
    };
    let replay = ledger.replay(tail.groups, recovery)?;
    Ok((ledger, replay))
}

impl Ledger {
    /// Takes up what the write-ahead file held.
    fn replay(&mut self, groups: Vec<Group>, recovery: Recovery) -> Result<Replay, OpenError> {
        let mut pending = Vec::new();
        for group in groups {
            let gathered = self.gather(&group.entries, group.clock);
            gathered.map_err(at(&self.places.wal()))?;
            pending.extend(group.entries);
        }
        Ok(Replay {
            included: self.reader.entries(0..self.head.size),
            pending: pending.into_iter(),
            next: 0,
            failed: false,
            recovery,
        })
    }
}

/// Puts a file twice. A store that takes the second would let two writers both believe that their
/// segment is the one.
fn probe(places: &Places, disk: &dyn Disk) -> Result<(), OpenError> {
    let path = places.directory().join("probe");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
        _ => {}
    }
    disk.create(&path, b"first\n").map_err(at(&path))?;
    let second = disk.create(&path, b"second\n");
    fs::remove_file(&path).map_err(at(&path))?;
    match second {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(at(&path)(error)),
        Ok(()) => Err(OpenError::NotCreateOnly(places.directory().to_owned())),
    }
}

/// Follows the names from the lock's segment back to the first; gives them in order.
fn chain(places: &Places, head: &Head) -> Result<Vec<SegmentName>, OpenError> {
    let mut names = Vec::new();
    let mut next = Some(head.segment);
    let mut later: Option<(SegmentName, u64)> = None;
    // Each ends where the later one starts and none is empty, so this ends.
    while let Some(name) = next {
        let segment = Segment::open(&places.segments(), &name)?;
        if let Some((later, clock)) = later
            && clock <= segment.clock()
        {
            return Err(OpenError::Clock(later));
        }
        later = Some((name, segment.clock()));
        names.push(name);
        next = segment.previous().copied();
    }
    names.reverse();
    Ok(names)
}

fn published(
    places: &Places,
    head: &Head,
    key: &NoteKey,
) -> Result<Option<SignedCheckpoint>, OpenError> {
    let path = places.public().checkpoint();
    let Some(note) = disk::read(&path, MAX_NOTE_BYTES).map_err(at(&path))? else {
        return Ok(None);
    };
    let signed = match Checkpoint::open(&note, key) {
        Ok(signed) => signed,
        Err(fault) => return Err(OpenError::Published { path, fault }),
    };
    let checkpoint = signed.checkpoint();
    if *checkpoint.origin() != head.origin {
        return Err(OpenError::OtherLog {
            path,
            found: checkpoint.origin().clone(),
            due: head.origin.clone(),
        });
    }
    if checkpoint.size() > head.size {
        return Err(OpenError::Ahead {
            path,
            published: checkpoint.size(),
            locked: head.size,
        });
    }
    Ok(Some(signed))
}

/// What one pass over all segments gives.
struct Scan {
    edge: Edge,
    /// The first clock of the last segment.
    clock: u64,
    /// How many full tiles and bundles are not on disk as they should be.
    wrong_tiles: u64,
}

/// Reads every segment whole, holds it against its name, and builds the tree.
fn scan(
    places: &Places,
    names: &[SegmentName],
    published: Option<&SignedCheckpoint>,
) -> Result<Scan, OpenError> {
    let public = places.public();
    let mut scan = Scan {
        edge: Edge::default(),
        clock: 0,
        wrong_tiles: 0,
    };
    for name in names {
        let segment = Segment::open(&places.segments(), name)?;
        segment.verify()?;
        scan.clock = segment.clock();
        each_entry(&segment, |entry| {
            scan.edge.push(entry.digest(), |made| {
                scan.wrong_tiles += u64::from(!public.holds(&made));
            });
            let checkpoint = published.map(SignedCheckpoint::checkpoint);
            match checkpoint.filter(|checkpoint| checkpoint.size() == scan.edge.size()) {
                Some(checkpoint) if *checkpoint.root() != scan.edge.root() => Err(OpenError::Forked {
                    path: public.checkpoint(),
                    size: checkpoint.size(),
                }),
                _ => Ok(()),
            }
        })?;
    }
    Ok(scan)
}

fn each_entry(
    segment: &Segment,
    mut visit: impl FnMut(&Entry) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    for number in 0..segment.frames() {
        let (_, entries) = segment.frame(number)?;
        entries.iter().try_for_each(&mut visit)?;
    }
    Ok(())
}

/// Takes away what lies among the segments and is not named by the lock.
fn sweep(places: &Places, names: &[SegmentName], recovery: &mut Recovery) -> Result<(), OpenError> {
    let (segments, swept) = (places.segments(), places.swept());
    disk::create_directories(&swept, Access::Private).map_err(at(&swept))?;
    for found in fs::read_dir(&segments).map_err(at(&segments))? {
        let found = found.map_err(at(&segments))?;
        let name = found.file_name();
        let text = name.to_string_lossy();
        let named = text.parse::<SegmentName>();
        if named.is_ok_and(|name| names.binary_search(&name).is_ok()) {
            continue;
        }
        if text.ends_with(TEMPORARY) {
            // Never had its name, so nothing can have relied on it.
            fs::remove_file(found.path()).map_err(at(&found.path()))?;
            continue;
        }
        let to = swept.join(&name);
        fs::rename(found.path(), &to).map_err(at(&found.path()))?;
        recovery.swept.push(to);
    }
    disk::sync_directory_of(&segments.join("any")).map_err(at(&segments))
}

/// Keeps the torn end of the write-ahead file: it was never answered, but it may be evidence.
fn keep_torn(
    places: &Places,
    disk: &dyn Disk,
    head: &Head,
    torn: &[u8],
    recovery: &mut Recovery,
) -> Result<(), OpenError> {
    if torn.is_empty() {
        return Ok(());
    }
    let name = format!("wal-{}-{}.torn", head.size, affiant_proto::digest(torn));
    let path = places.swept().join(name);
    match disk.create(&path, torn) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(&path)(error)),
        _ => {
            recovery.swept.push(path);
            Ok(())
        }
    }
}

/// Makes the tiles that are missing or changed. A second pass over the segments is made only where
/// a full one is.
fn publish(
    places: &Places,
    disk: &dyn Disk,
    names: &[SegmentName],
    scan: &Scan,
    recovery: &mut Recovery,
) -> Result<(), OpenError> {
    let public = places.public();
    disk::create_directories(&public.0, Access::Public).map_err(at(&public.0))?;
    let mut write = |made: &Made| {
        if public.holds(made) {
            return Ok(());
        }
        recovery.tiles_made += 1;
        public.write(disk, made).map_err(at(&public.path(&made.path)))
    };
    if scan.wrong_tiles > 0 {
        let mut edge = Edge::default();
        for name in names {
            each_entry(&Segment::open(&places.segments(), name)?, |entry| {
                let mut tiles = Vec::new();
                edge.push(entry.digest(), |made| tiles.push(made));
                tiles.iter().try_for_each(&mut write)
            })?;
        }
    }
    scan.edge.partial(0).iter().try_for_each(write)
}
