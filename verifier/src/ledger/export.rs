//! Export: the public tree in a directory that any web server or bucket can publish.
//!
//! What a checkpoint needs is there before it is: tiles and bundles, then segments where they are
//! wanted, then the checkpoint. So a reader finds each tree whole at any moment, and an export that
//! was cut off is taken up by the next.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use affiant_proto::{
    digest,
    tlog::{TileKind, TilePath, new_tiles},
};

use affiant_report::{edge::Made, segment::SegmentName};

use super::{
    disk::{Access, Disk as _, LocalDisk},
    exhibits::{Exhibits, NotPut},
    kept::{NotKept, PublishedNote, published_segments},
    places::Places,
    tiles::Public,
};
use crate::target::stranger;

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotExported {
    /// The log.
    #[error(transparent)]
    Log(#[from] NotKept),
    /// A file, of the log or of the export.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory holds another log, or one that is ahead.
    #[error(
        "{path} holds the tree of {held} at size {size}, which this log does not go on from; keep \
         it, and export into another directory"
    )]
    Other {
        /// The export.
        path: PathBuf,
        /// Origin of its log.
        held: String,
        /// Its size.
        size: u64,
    },
    /// The directory holds something else, and no export that was begun.
    #[error(
        "{path} holds {found}, which no export writes, and no checkpoint of one; export into a new \
         directory, or an empty one"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// A segment whose bytes are not those that it is named by.
    #[error("{0} was changed since it was written; restore it from a backup")]
    Changed(PathBuf),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> NotExported {
    let path = path.to_owned();
    move |source| NotExported::Io { path, source }
}

/// What an export did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Leaves of the tree.
    pub size: u64,
    /// Tiles and bundles that were written.
    pub tiles: u64,
    /// Segments that were written.
    pub segments: u64,
}

/// Copies the published tree of the log in `directory` to `to`, or what is new of it, and with
/// `statements` the segments too. `progress` is told how many of how many segments are done.
pub fn export(
    directory: &Path,
    to: &Path,
    statements: bool,
    mut progress: impl FnMut(usize, usize),
) -> Result<Exported, NotExported> {
    let segments = Places::new(directory).segments();
    for _ in 1..TRIES {
        match once(directory, to, statements, &mut progress) {
            // Rewritten between being named and being read: named anew.
            Err(NotExported::Io { path, source })
                if source.kind() == io::ErrorKind::NotFound && path.parent() == Some(&segments) => {
            }
            done => return done,
        }
    }
    once(directory, to, statements, &mut progress)
}

/// How often the segments are named anew. They are rewritten once an hour at most.
const TRIES: usize = 5;

fn once(
    directory: &Path,
    to: &Path,
    statements: bool,
    progress: &mut impl FnMut(usize, usize),
) -> Result<Exported, NotExported> {
    let (published, names) = published_segments(directory)?;
    let (from, into) = (Places::new(directory).public(), Public(to.to_owned()));
    let size = published.checkpoint().size();
    let mut done = Exported {
        size,
        tiles: 0,
        segments: 0,
    };
    let old = earlier(&into, &published)?;
    for tile in new_tiles(old, size) {
        let bundle = matches!(tile.kind(), TileKind::Hashes { level: 0 })
            .then(|| TilePath::within(TileKind::Entries, tile.index(), size))
            .flatten();
        for path in [Some(tile), bundle].into_iter().flatten() {
            let read = from.within(&path, size).map_err(at(&from.path(&path)))?;
            let Some(bytes) = read else { continue };
            let written = into.write(&LocalDisk, &Made { path, bytes });
            written.map_err(at(&into.path(&path)))?;
            done.tiles += 1;
        }
    }
    if statements {
        exhibits(directory, to)?;
        done.segments = segments(&Places::new(directory), to, &names, progress)?;
    }
    let checkpoint = into.checkpoint();
    let written = LocalDisk.replace(&checkpoint, published.note(), Access::Public);
    written.map_err(at(&checkpoint))?;
    Ok(done)
}

/// The size up to which the directory holds this log's tree already.
fn earlier(into: &Public, published: &PublishedNote) -> Result<u64, NotExported> {
    let path = into.checkpoint();
    let held = match PublishedNote::read(&path) {
        Err(NotKept::NoCheckpoint(_)) => return foreign(&into.0).map(|()| 0),
        read => read?,
    };
    let (held, new) = (held.checkpoint(), published.checkpoint());
    let forked = held.size() == new.size() && held.root() != new.root();
    if held.origin() != new.origin() || held.size() > new.size() || forked {
        return Err(NotExported::Other {
            path: into.0.clone(),
            held: held.origin().to_string(),
            size: held.size(),
        });
    }
    Ok(held.size())
}

/// Refuses a directory without a checkpoint, unless it is empty or an export into it was cut off.
fn foreign(path: &Path) -> Result<(), NotExported> {
    const OWN: [&str; 4] = ["tile", "segments", "exhibits", "checkpoint"];
    match stranger(path, &OWN).map_err(at(path))? {
        None => Ok(()),
        Some(found) => Err(NotExported::Foreign {
            path: path.to_owned(),
            found,
        }),
    }
}

/// Copies the files that statements name, before the statements.
fn exhibits(from: &Path, to: &Path) -> Result<(), NotExported> {
    let (from, into) = (Exhibits::of(from), Exhibits::within(to));
    for named in from.all().map_err(at(to))? {
        let path = from.path(&named);
        let bytes = from.get(&named).map_err(at(&path))?;
        let bytes = bytes.ok_or(NotExported::Changed(path))?;
        into.copy(&bytes).map_err(|error| match error {
            NotPut::Io { path, source } => NotExported::Io { path, source },
            NotPut::TooLong => NotExported::Changed(from.path(&named)),
            full @ (NotPut::Full { .. } | NotPut::TooMany(_)) => NotExported::Io {
                path: into.path(&named),
                source: io::Error::other(full.to_string()),
            },
        })?;
    }
    Ok(())
}

/// Copies segments, and names them in `segments/index`, for a web server lists no directory.
fn segments(
    from: &Places,
    to: &Path,
    names: &[SegmentName],
    progress: &mut impl FnMut(usize, usize),
) -> Result<u64, NotExported> {
    let directory = to.join("segments");
    let made = LocalDisk.make_directories(&directory, Access::Private);
    made.map_err(at(&directory))?;
    let (mut written, mut index) = (0, String::new());
    for (number, name) in (1..).zip(names) {
        index.push_str(&format!("{name}\n"));
        let (source, target) = (
            from.segments().join(name.to_string()),
            directory.join(name.to_string()),
        );
        if !target.exists() {
            let bytes = fs::read(&source).map_err(at(&source))?;
            if digest(&bytes) != *name.digest() {
                return Err(NotExported::Changed(source));
            }
            let put = LocalDisk.replace(&target, &bytes, Access::Private);
            put.map_err(at(&target))?;
            written += 1;
        }
        progress(number, names.len());
    }
    let list = directory.join("index");
    let put = LocalDisk.replace(&list, index.as_bytes(), Access::Private);
    put.map_err(at(&list))?;
    // Lines that were erased do not outlive it here.
    for found in fs::read_dir(&directory).map_err(at(&directory))? {
        let found = found.map_err(at(&directory))?;
        let name = found.file_name().to_string_lossy().parse::<SegmentName>();
        if name.is_ok_and(|name| names.binary_search(&name).is_err()) {
            fs::remove_file(found.path()).map_err(at(&found.path()))?;
        }
    }
    Ok(written)
}
