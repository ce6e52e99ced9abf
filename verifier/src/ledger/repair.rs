//! Putting a directory right once all that must hold of it does.

use affiant_proto::Digest;
use affiant_report::{
    edge::{Edge, Made},
    head::Head,
    segment::{Segment, SegmentName},
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    check::{Scan, each_entry},
    disk::{Access, Disk, TEMPORARY},
    places::Places,
    refusal::{OpenError, at},
    replay::Recovery,
};

/// Takes away what lies among the segments and is none of the log's.
pub(super) fn sweep(
    places: &Places,
    disk: &dyn Disk,
    names: &[SegmentName],
    recovery: &mut Recovery,
) -> Result<(), OpenError> {
    let (segments, swept) = (places.segments(), places.swept());
    disk.make_directories(&swept, Access::Private)
        .map_err(at(&swept))?;
    // In their order, so that those which were joined into one are asked for one after the other.
    let mut left: BTreeMap<(Option<SegmentName>, OsString), PathBuf> = BTreeMap::new();
    for found in fs::read_dir(&segments).map_err(at(&segments))? {
        let found = found.map_err(at(&segments))?;
        let name = found.file_name();
        let named = name.to_string_lossy().parse::<SegmentName>().ok();
        if named.is_none_or(|name| names.binary_search(&name).is_err()) {
            left.insert((named, name), found.path());
        }
    }
    let mut kept = Held::of(&segments, names);
    for ((named, name), path) in left {
        // A temporary file never had its name, so nothing can have relied on it; and what was
        // rewritten is here again, without the lines that are not to be kept.
        let temporary = name.to_string_lossy().ends_with(TEMPORARY);
        if temporary || named.is_some_and(|old| kept.hold(&segments, &old)) {
            disk.remove(&path).map_err(at(&path))?;
            continue;
        }
        let to = swept.join(&name);
        disk.rename(&path, &to).map_err(at(&path))?;
        recovery.swept.push(to);
    }
    // The new names first: a segment may be evidence, and must not lose both.
    for directory in [swept, segments] {
        disk.sync_directory(&directory).map_err(at(&directory))?;
    }
    Ok(())
}

/// Tells whether the segments `names` in `folder` hold every statement of the segment `old` in `at`,
/// at its place: then it is one of them, or was rewritten into them.
pub fn rewritten(at: &Path, old: &SegmentName, folder: &Path, names: &[SegmentName]) -> bool {
    Held::of(folder, names).hold(at, old)
}

/// What segments hold, asked for other segments one after the other.
struct Held<'a> {
    folder: &'a Path,
    names: &'a [SegmentName],
    /// The one that was read last, with the digests in it: it may have been joined of thousands.
    last: Option<(SegmentName, Vec<Digest>)>,
}

impl<'a> Held<'a> {
    fn of(folder: &'a Path, names: &'a [SegmentName]) -> Self {
        Self {
            folder,
            names,
            last: None,
        }
    }

    /// Tells whether they hold every statement of the segment `old` in `at`.
    fn hold(&mut self, at: &Path, old: &SegmentName) -> bool {
        let Ok(due) = digests(at, old) else {
            return false;
        };
        let mut due = due.iter();
        let first = self.names.partition_point(|name| name.end() <= old.start());
        let names = self.names.get(first..).unwrap_or_default();
        for name in names.iter().take_while(|name| name.start() < old.end()) {
            let Some(found) = self.digests(name) else {
                return false;
            };
            // Where the one begins in the other.
            let skipped = usize::try_from(old.start().saturating_sub(name.start()));
            let found = found
                .get(skipped.unwrap_or(usize::MAX)..)
                .unwrap_or_default();
            let mut pairs = found.iter().zip(due.by_ref().take(found.len()));
            if !pairs.all(|(found, due)| found == due) {
                return false;
            }
        }
        due.next().is_none()
    }

    fn digests(&mut self, name: &SegmentName) -> Option<&[Digest]> {
        let last = self.last.take().filter(|(last, _)| last == name);
        let read = match last {
            Some(read) => read,
            None => (*name, digests(self.folder, name).ok()?),
        };
        Some(&self.last.insert(read).1)
    }
}

fn digests(folder: &Path, name: &SegmentName) -> Result<Vec<Digest>, OpenError> {
    let segment = Segment::open(folder, name)?;
    segment.verify()?;
    let mut digests = Vec::new();
    each_entry(&segment, |entry| {
        digests.push(*entry.digest());
        Ok(())
    })?;
    Ok(digests)
}

/// Keeps the torn end of the write-ahead file: it was never answered, but it may be evidence.
pub(super) fn keep_torn(
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
pub(super) fn publish(
    places: &Places,
    disk: &dyn Disk,
    names: &[SegmentName],
    scan: &Scan,
    recovery: &mut Recovery,
) -> Result<(), OpenError> {
    let public = places.public();
    disk.make_directories(&public.0, Access::Public)
        .map_err(at(&public.0))?;
    // What stands in it holds the lock to account, so it must not go with its directory.
    disk.sync_directory(places.directory())
        .map_err(at(&public.0))?;
    let mut write = |made: &Made| {
        if public.holds(made) {
            return Ok(());
        }
        recovery.tiles_made += 1;
        public
            .write(disk, made)
            .map_err(at(&public.path(&made.path)))
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
