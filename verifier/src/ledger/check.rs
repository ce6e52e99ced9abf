//! What must hold of a directory before a ledger in it is opened. Nothing here changes it but the
//! probe, which leaves nothing.

use std::{fs, io};

use affiant_proto::tlog::{Checkpoint, MAX_NOTE_BYTES, NoteKey, SignedCheckpoint};
use affiant_report::{
    edge::Edge,
    head::Head,
    segment::{Entry, Segment, SegmentName, cover},
};

use super::{
    disk::{self, Disk},
    places::Places,
    refusal::{OpenError, at},
    wal::{Group, Tail},
};

/// Puts a file twice. A store that takes the second would let two writers both believe that their
/// segment is the one.
pub(super) fn probe(places: &Places, disk: &dyn Disk) -> Result<(), OpenError> {
    let path = places.directory().join("probe");
    match disk.remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
        _ => {}
    }
    disk.create(&path, b"first\n").map_err(at(&path))?;
    let second = disk.create(&path, b"second\n");
    disk.remove(&path).map_err(at(&path))?;
    match second {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(at(&path)(error)),
        Ok(()) => Err(OpenError::NotCreateOnly(places.directory().to_owned())),
    }
}

/// Names the segments of the log in order: `newest`, and before it whatever holds all entries from
/// the first on. That they are the right ones, their root says.
pub(super) fn segments(
    places: &Places,
    newest: SegmentName,
) -> Result<Vec<SegmentName>, OpenError> {
    let folder = places.segments();
    let mut found = Vec::new();
    for file in fs::read_dir(&folder).map_err(at(&folder))? {
        let name = file.map_err(at(&folder))?.file_name();
        found.extend(name.to_string_lossy().parse::<SegmentName>());
    }
    let revision =
        |name: &SegmentName| Segment::open(&folder, name).map(|segment| segment.revision());
    let mut names = cover(found, newest.start(), revision)?;
    let held = names.last().map_or(0, SegmentName::end);
    if held != newest.start() {
        let path = places.segments();
        let end = newest.start();
        return Err(OpenError::Hole { path, held, end });
    }
    names.push(newest);
    Ok(names)
}

pub(super) fn published(
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

/// Refuses a lock that segments show to be an old one.
///
/// A segment that the lock does not name is put before the swap and while the write-ahead file
/// holds all its entries, and the next one after the swap. So a crash leaves one at most, and none
/// that goes on further than that file.
pub(super) fn not_ahead(
    places: &Places,
    head: &Head,
    names: &[SegmentName],
    tail: &Tail,
) -> Result<(), OpenError> {
    let at_segments = places.segments();
    let written = tail.groups.last().map_or(head.size, Group::end);
    for found in fs::read_dir(&at_segments).map_err(at(&at_segments))? {
        let found = found.map_err(at(&at_segments))?;
        let Ok(name) = found.file_name().to_string_lossy().parse::<SegmentName>() else {
            continue;
        };
        let behind = names.binary_search(&name).is_ok() || name.start() < head.size;
        if !behind && (name.start() > head.size || name.end() > written) {
            return Err(OpenError::SegmentAhead {
                path: found.path(),
                end: name.end(),
                locked: head.size,
            });
        }
    }
    Ok(())
}

/// What one pass over all segments gives.
pub(super) struct Scan {
    pub(super) edge: Edge,
    /// The first clock of the last segment.
    pub(super) clock: u64,
    /// How many full tiles and bundles are not on disk as they should be.
    pub(super) wrong_tiles: u64,
}

/// Reads every segment whole, holds it against its name, and builds the tree.
pub(super) fn scan(
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
        if scan.edge.size() > 0 && segment.clock() <= scan.clock {
            return Err(OpenError::Clock(*name));
        }
        scan.clock = segment.clock();
        each_entry(&segment, |entry| {
            scan.edge.push(entry.digest(), |made| {
                scan.wrong_tiles += u64::from(!public.holds(&made));
            });
            let checkpoint = published.map(SignedCheckpoint::checkpoint);
            match checkpoint.filter(|checkpoint| checkpoint.size() == scan.edge.size()) {
                Some(checkpoint) if *checkpoint.root() != scan.edge.root() => {
                    Err(OpenError::Forked {
                        path: public.checkpoint(),
                        size: checkpoint.size(),
                    })
                }
                _ => Ok(()),
            }
        })?;
    }
    Ok(scan)
}

pub(super) fn each_entry(
    segment: &Segment,
    mut visit: impl FnMut(&Entry) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    for number in 0..segment.frames() {
        let (_, entries) = segment.frame(number)?;
        entries.iter().try_for_each(&mut visit)?;
    }
    Ok(())
}
