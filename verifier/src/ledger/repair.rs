//! Putting a directory right once all that must hold of it does.

use affiant_proto::Digest;
use affiant_report::{
    edge::{Edge, Made},
    head::Head,
    segment::{Segment, SegmentName},
};
use std::{collections::VecDeque, fs, io, path::Path};

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
    for found in fs::read_dir(&segments).map_err(at(&segments))? {
        let found = found.map_err(at(&segments))?;
        let name = found.file_name();
        let text = name.to_string_lossy();
        let named = text.parse::<SegmentName>();
        if named.is_ok_and(|name| names.binary_search(&name).is_ok()) {
            continue;
        }
        // A temporary file never had its name, so nothing can have relied on it; and what was
        // rewritten is here again, without the lines that are not to be kept.
        let rewritten = || named.is_ok_and(|old| rewritten(&segments, &old, &segments, names));
        if text.ends_with(TEMPORARY) || rewritten() {
            disk.remove(&found.path()).map_err(at(&found.path()))?;
            continue;
        }
        let to = swept.join(&name);
        disk.rename(&found.path(), &to).map_err(at(&found.path()))?;
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
    let digests = |folder: &Path, name: &SegmentName| -> Result<Vec<Digest>, OpenError> {
        let segment = Segment::open(folder, name)?;
        segment.verify()?;
        let mut digests = Vec::new();
        each_entry(&segment, |entry| {
            digests.push(*entry.digest());
            Ok(())
        })?;
        Ok(digests)
    };
    let Ok(mut left) = digests(at, old).map(VecDeque::from) else {
        return false;
    };
    let over = |name: &&SegmentName| name.start() < old.end() && old.start() < name.end();
    for name in names.iter().filter(over) {
        let Ok(found) = digests(folder, name) else {
            return false;
        };
        let skipped = usize::try_from(old.start().saturating_sub(name.start())).unwrap_or(0);
        for digest in found.iter().skip(skipped) {
            match left.pop_front() {
                Some(due) if due == *digest => {}
                Some(_) => return false,
                None => break,
            }
        }
    }
    left.is_empty()
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
