//! Opening the next generation of the log over the entries that were kept.

use std::{io, path::Path, sync::Arc};

use affiant_proto::tlog::Origin;
use affiant_report::head::Head;
use affiant_report::segment::{Builder, Entry};

use super::{
    check,
    disk::{Access, Disk as _, LocalDisk},
    kept::{Idle, Kept, NotKept, PublishedNote},
    lock::{FileLock, Lock as _},
    places::Places,
    refusal::{OpenError, at},
    repair,
    replay::Recovery,
    wal::Wal,
};

/// Tells which log the lock of a directory is of; `None` without a lock.
pub fn locked_origin(directory: &Path) -> Result<Option<Origin>, OpenError> {
    let lock = FileLock::new(&Places::new(directory).lock(), Arc::new(LocalDisk));
    Ok(lock.read()?.map(|head| head.origin))
}

/// Puts the first segment of a new generation after the entries that were kept, and sets the lock
/// to it, in the place of whatever lock there is. `entries` begin with the `succession`.
///
/// Nothing counts before the lock is set; [`settle`] finishes the rest.
pub fn succeed(
    _idle: &Idle,
    kept: &Kept,
    origin: Origin,
    entries: &[Entry],
    clock: u64,
) -> Result<(), OpenError> {
    let disk = Arc::new(LocalDisk);
    let (places, segments) = (&kept.places, kept.places.segments());
    let mut lock = FileLock::new(&places.lock(), disk.clone());
    let found = lock.read()?;
    let mut edge = kept.edge.clone();
    let mut builder = Builder::new(edge.size(), clock).map_err(at(&segments))?;
    for entry in entries {
        builder.push(entry).map_err(at(&segments))?;
        edge.push(entry.digest(), |_| {});
    }
    let (name, file) = builder.finish(0).map_err(at(&segments))?;
    let path = segments.join(name.to_string());
    match disk.create(&path, &file) {
        // Made by a run that was cut off: the name says that it holds these bytes.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        done => done.map_err(at(&path))?,
    }
    let next = Head {
        origin,
        epoch: found
            .as_ref()
            .map_or(0, |head| head.epoch)
            .saturating_add(1),
        size: name.end(),
        root: edge.root(),
        segment: name,
    };
    match &found {
        Some(found) => lock.swap(found, &next)?,
        None => lock.create(&next)?,
    }
    Ok(())
}

/// Takes away what belongs to the generation before the lock's: segments that were not kept, the
/// write-ahead file and its newest checkpoint, all of which go to `swept/`. What a run before has done already is left.
pub fn settle(_idle: &Idle, directory: &Path, origin: &Origin) -> Result<(), OpenError> {
    let places = Places::new(directory);
    let public = places.public().checkpoint();
    match PublishedNote::of(directory) {
        // The new generation has published: a verifier may have written since.
        Ok(note) if note.checkpoint().origin() == origin => return Ok(()),
        // It may have been damaged; aside it stays evidence.
        Ok(_) | Err(_) => {}
    }
    let lock = FileLock::new(&places.lock(), Arc::new(LocalDisk));
    let Some(head) = lock.read()? else {
        return Err(OpenError::NoLedger(directory.to_owned()));
    };
    let names = check::segments(&places, head.segment)?;
    repair::sweep(&places, &LocalDisk, &names, &mut Recovery::default())?;
    let swept = places.swept();
    // The checkpoint goes last: until then no ledger opens here.
    let wal = places.wal();
    let aside = swept.join(format!("wal-before-{}", file_name(origin)));
    if wal.exists() && !aside.exists() {
        LocalDisk.rename(&wal, &aside).map_err(at(&wal))?;
    }
    Wal::start(&wal, Arc::new(LocalDisk), &[]).map_err(at(&wal))?;
    if public.exists() {
        let aside = swept.join(format!("checkpoint-before-{}", file_name(origin)));
        LocalDisk.rename(&public, &aside).map_err(at(&public))?;
    }
    for directory in [&swept, &places.public().0] {
        if directory.exists() {
            LocalDisk.sync_directory(directory).map_err(at(directory))?;
        }
    }
    Ok(())
}

/// An origin as a file may be named.
fn file_name(origin: &Origin) -> String {
    origin.as_str().replace('/', "-")
}

/// Puts the checkpoint of a backup into a restored directory, where it tells how far the log was
/// published; the last step of a restore.
pub fn put_checkpoint(directory: &Path, note: &PublishedNote) -> Result<(), NotKept> {
    let public = Places::new(directory).public();
    let path = public.checkpoint();
    let put = LocalDisk
        .make_directories(&public.0, Access::Public)
        .and_then(|()| LocalDisk.replace(&path, note.note(), Access::Public))
        .and_then(|()| LocalDisk.sync_directory(directory));
    put.map_err(|source| NotKept::Io { path, source })
}
