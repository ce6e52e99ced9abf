//! Opening a ledger: what is on disk must be what the lock names, and a crash is finished.

use std::{path::Path, sync::Arc};

use affiant_proto::{Signer, tlog::NoteSigner};

use affiant_report::head::Head;

use super::{
    check::{not_ahead, probe, published, scan, segments},
    disk::{Access, Disk, LocalDisk},
    hold::Hold,
    kept::PublishedNote,
    lock::{FileLock, Lock},
    places::Places,
    reader::{Published, Reader},
    refusal::{OpenError, at},
    repair::{keep_torn, publish, sweep},
    replay::{Recovery, Replay},
    wal::{self, BadWal, Group, Wal},
    writer::{Ledger, LogKey, sign},
};

/// Where a ledger lies and through what it is written.
#[derive(Debug)]
pub struct Store {
    pub(super) places: Places,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) lock: Box<dyn Lock>,
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

impl Ledger {
    /// Opens the ledger in a directory; see [`Ledger::open_in`].
    pub fn open(directory: &Path, signer: Box<dyn Signer>) -> Result<(Self, Replay), OpenError> {
        Self::open_in(Store::local(directory), signer)
    }

    /// Opens a ledger for writing, checks all of it, and finishes what a crash cut off.
    ///
    /// Checked: that no other process has it; that the file system keeps create-only puts; every
    /// segment up to the one that the lock names, whole, and their root against the lock's; that no published checkpoint is ahead of the lock or disagrees; the write-ahead
    /// file. Until all that holds, nothing in the directory is changed but the probe's file.
    ///
    /// Then: segments that the lock does not name go to `swept/` (a crash may leave one whose
    /// entries are also in the write-ahead file; but were the lock a wrong one it would be
    /// evidence, so it is never deleted), the lock's epoch grows by one, the write-ahead file is
    /// written anew, missing tiles are made and the checkpoint of the lock's head is published.
    pub fn open_in(store: Store, signer: Box<dyn Signer>) -> Result<(Self, Replay), OpenError> {
        // Before the hold, whose file would make an empty directory look like a ledger begun.
        let head = locked(&store)?;
        let signer = NoteSigner::new(head.origin.key_name(), LogKey(signer))?;
        let hold = Hold::take(&store.places.holder())?;
        open(store, hold, signer)
    }
}

/// Refuses a directory that has no lock, and so no ledger that may be written to.
pub fn check_lock(directory: &Path) -> Result<(), OpenError> {
    locked(&Store::local(directory)).map(|_| ())
}

fn locked(store: &Store) -> Result<Head, OpenError> {
    if let Some(head) = store.lock.read()? {
        return Ok(head);
    }
    let directory = store.places.directory();
    Err(match PublishedNote::of(directory) {
        Ok(note) => OpenError::NoLock {
            path: store.places.lock(),
            size: note.checkpoint().size(),
        },
        Err(_) => OpenError::NoLedger(directory.to_owned()),
    })
}

pub(super) fn open(
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
    let names = segments(&places, head.segment)?;
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
    not_ahead(&places, &head, &names, &tail)?;

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
    sweep(&places, &*disk, &names, &mut recovery)?;
    keep_torn(&places, &*disk, &head, &tail.torn, &mut recovery)?;
    let wal =
        Wal::start(&places.wal(), Arc::clone(&disk), &tail.groups).map_err(at(&places.wal()))?;
    publish(&places, &*disk, &names, &scan, &mut recovery)?;
    let checkpoint = match published {
        Some(published) if published.checkpoint().size() == head.size => published,
        _ => {
            recovery.published = true;
            let signed = sign(&claimed, &signer)?;
            let path = places.public().checkpoint();
            let note = signed.note().to_string();
            disk.replace(&path, note.as_bytes(), Access::Public)
                .map_err(at(&path))?;
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
        let included = self.reader.entries(0..self.head.size);
        Ok(Replay::new(included, pending, recovery))
    }
}
