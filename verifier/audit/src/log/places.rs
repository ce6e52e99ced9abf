//! Which files a log has, and which segments make it up.

use std::collections::BTreeMap;

use affiant_proto::{
    Digest,
    tlog::{Checkpoint, MAX_NOTE_BYTES, Note},
};
use affiant_report::{
    head::{Head, MAX_HEAD_BYTES},
    segment::{MAX_FILE_BYTES, Segment, SegmentName, cover},
    verify::Checks,
};

use super::{Failure, store::Store, tiles::Listed};

/// Where the parts of a log lie below the directory that was named.
///
/// ```text
/// verifier's data   log/lock  log/segments/  log/exhibits/  log/public/checkpoint  log/public/tile/
/// its log           lock      segments/      exhibits/      public/checkpoint      public/tile/
/// an export                   segments/      exhibits/      checkpoint             tile/
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The lock; none in an export.
    lock: Option<String>,
    segments: String,
    exhibits: String,
    public: String,
}

impl Places {
    /// Finds out what the directory is.
    pub fn find(store: &dyn Store) -> Result<Self, Failure> {
        for before in ["log/", ""] {
            let names = store.names(before)?.unwrap_or_default();
            let has = |name: &str| {
                names
                    .iter()
                    .any(|found| found.trim_end_matches('/') == name)
            };
            // Of a verifier's log, whatever else is gone from it: that is then for the checks to say.
            let own = match before {
                "" => has("public") || has("lock") && has("segments"),
                _ => has("public") || has("lock") || has("segments"),
            };
            if own {
                return Ok(Self {
                    lock: Some(format!("{before}lock")),
                    segments: format!("{before}segments/"),
                    exhibits: format!("{before}exhibits/"),
                    public: format!("{before}public/"),
                });
            }
        }
        if store.names("segments/")?.is_some() {
            return Ok(Self {
                lock: None,
                segments: "segments/".to_owned(),
                exhibits: "exhibits/".to_owned(),
                public: String::new(),
            });
        }
        Err(Failure::NoLog)
    }

    /// Where the lock lies, where there is one.
    pub fn lock(&self) -> Option<&str> {
        self.lock.as_deref()
    }

    /// Where the segments lie.
    pub fn segments(&self) -> &str {
        &self.segments
    }

    /// Where a segment lies.
    pub fn segment(&self, name: &SegmentName) -> String {
        format!("{}{name}", self.segments)
    }

    /// Where an exhibit lies.
    pub fn exhibit(&self, named: &Digest) -> String {
        format!("{}{named}", self.exhibits)
    }

    /// Before the path of a tile, and before that of the checkpoint.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Where the newest checkpoint lies.
    pub fn checkpoint(&self) -> String {
        format!("{}checkpoint", self.public)
    }
}

/// The file in which an export names its segments, one a line.
pub(super) const INDEX: &str = "index";

/// Most bytes of it: a million segments, of 110 bytes a name. A verifier that closes one each second
/// has as many after two weeks; a longer log is audited where it lies.
pub(super) const MAX_INDEX: usize = 128 * 1024 * 1024;

/// What there is to be audited.
pub struct Found {
    /// Where it is.
    pub places: Places,
    /// The tiles, named before anything else was read.
    pub tiles: Listed,
    /// The published checkpoint as it is stored.
    pub note: Option<Vec<u8>>,
    /// What the lock says, where it could be read.
    pub head: Option<Head>,
    /// The segments in their order; they abut, and begin at 0 where nothing is missing.
    pub segments: Vec<SegmentName>,
}

impl Found {
    /// Names all files that count.
    ///
    /// A verifier may write meanwhile. It changes lock, tiles and checkpoint in this order, so they are
    /// read in the other one: then all that is found is under the lock. A segment never changes, but
    /// may be rewritten under another name.
    pub fn of(store: &dyn Store, checks: &mut Checks) -> Result<Self, Failure> {
        let places = Places::find(store)?;
        let tiles = Listed::of(store, places.public())?;
        let note = whole(
            store,
            checks,
            "checkpoint",
            &places.checkpoint(),
            MAX_NOTE_BYTES,
        )?;
        let head = lock(store, checks, &places)?;
        let names = listed(store, &places, head.as_ref())?;
        let mut by_end: BTreeMap<u64, Vec<SegmentName>> = BTreeMap::new();
        let mut strange = Vec::new();
        for name in names {
            match name.parse::<SegmentName>() {
                // A web server lists no directory, so an export names its segments in a file.
                Err(_) if places.lock.is_none() && name == INDEX => {}
                Ok(name) => by_end.entry(name.end()).or_default().push(name),
                Err(_) => strange.push(name),
            }
        }
        let size = head.as_ref().map(|head| head.size).or_else(|| size(&note));
        let newest = match (&head, size) {
            (Some(head), _) => Some(head.segment),
            (None, Some(size)) => by_end.get(&size).and_then(|of| of.first().copied()),
            (None, None) => by_end
                .values()
                .next_back()
                .and_then(|of| of.first().copied()),
        };
        let Some(newest) = newest else {
            let text = match size {
                Some(size) => format!(
                    "{}: no segment ends at {size}, the size that is published",
                    places.segments
                ),
                None => format!("{}: there is no segment", places.segments),
            };
            checks.fail("segments", text);
            let segments = Vec::new();
            return Ok(Self {
                places,
                tiles,
                note,
                head,
                segments,
            });
        };
        let all = by_end.values().flatten().copied();
        let mut segments = cover(all, newest.start(), |name| revision(store, &places, name))?;
        match segments.last().map_or(0, SegmentName::end) {
            held if held == newest.start() => segments.push(newest),
            held => {
                let text = format!(
                    "{}: no segment holds log index {held}, and the log goes on to {}",
                    places.segments,
                    newest.end()
                );
                checks.fail("segments", text);
                segments.clear();
            }
        }
        index(store, checks, &places, &segments)?;
        // What comes after the newest is not yet under the lock; a verifier puts it there first. Where one is
        // missing, which of the others are the log's is not known.
        let known = !segments.is_empty();
        let before = by_end.values().flatten();
        let before = before.filter(|name| name.start() < newest.end() && !segments.contains(name));
        let before = before.filter(|_| known);
        strange.extend(before.map(ToString::to_string));
        if let Some(first) = strange.first() {
            checks.unknown(
                "files",
                format!(
                    "{}{first} is none of the log's segments{}; the verifier moves such files away \
                     when it starts: ask why they are there",
                    places.segments,
                    match strange.len() - 1 {
                        0 => String::new(),
                        more => format!(", and {more} more"),
                    }
                ),
            );
        }
        Ok(Self {
            places,
            tiles,
            note,
            head,
            segments,
        })
    }

    /// How many entries the segments hold.
    pub fn entries(&self) -> u64 {
        self.segments.last().map_or(0, SegmentName::end)
    }
}

/// How often a folder is listed in which something does not fit.
const LISTINGS: usize = 5;

/// Names what is among the segments.
///
/// A verifier that repacks an hour puts one file and removes hundreds, and a list is not made at one
/// instant. So where the segments do not fit under the lock they are listed again, until that gives
/// what it gave before.
fn listed(store: &dyn Store, places: &Places, head: Option<&Head>) -> Result<Vec<String>, Failure> {
    let list = || Ok::<_, Failure>(store.names(&places.segments)?.unwrap_or_default());
    let mut names = list()?;
    let Some(head) = head else {
        return Ok(names);
    };
    for _ in 1..LISTINGS {
        if fit(store, places, &names, &head.segment)? {
            break;
        }
        let again = list()?;
        if again == names {
            break;
        }
        names = again;
    }
    Ok(names)
}

/// Tells whether there is a segment over every entry before the newest, and none beside them.
fn fit(
    store: &dyn Store,
    places: &Places,
    names: &[String],
    newest: &SegmentName,
) -> Result<bool, Failure> {
    let names = names.iter().filter_map(|name| name.parse().ok());
    let before: Vec<SegmentName> = names
        .filter(|name: &SegmentName| name.start() < newest.start())
        .collect();
    let chosen = cover(before.iter().copied(), newest.start(), |name| {
        revision(store, places, name)
    })?;
    let end = chosen.last().map_or(0, SegmentName::end);
    Ok(end == newest.start() && chosen.len() == before.len())
}

/// How often a segment was rewritten, as it says; one that cannot be read counts as never.
fn revision(store: &dyn Store, places: &Places, name: &SegmentName) -> Result<u64, Failure> {
    let path = places.segment(name);
    let bytes = store.read(&path, MAX_FILE_BYTES)?;
    let read = bytes.and_then(|bytes| Segment::read(path.into(), name, bytes).ok());
    Ok(read.map_or(0, |segment| segment.revision()))
}

/// Holds the list of an export against its segments, where it has one.
fn index(
    store: &dyn Store,
    checks: &mut Checks,
    places: &Places,
    segments: &[SegmentName],
) -> Result<(), Failure> {
    if places.lock.is_some() {
        return Ok(());
    }
    let path = format!("{}{INDEX}", places.segments);
    let due: String = segments.iter().map(|name| format!("{name}\n")).collect();
    let found = whole(store, checks, "files", &path, MAX_INDEX)?;
    if found.is_some_and(|found| !lists(&found, &due, segments)) {
        checks.fail(
            "files",
            format!("{path} does not name the segments that make up the log"),
        );
    }
    Ok(())
}

/// Tells whether a list names these segments, one a line, and after them only later ones: a log that
/// is served goes on meanwhile.
fn lists(found: &[u8], due: &str, segments: &[SegmentName]) -> bool {
    let Some(more) = found.strip_prefix(due.as_bytes()) else {
        return false;
    };
    let mut end = segments.last().map_or(0, SegmentName::end);
    let mut lines = more.split_inclusive(|byte| *byte == b'\n');
    lines.all(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or_default();
        let name = str::from_utf8(line).ok();
        let name = name.and_then(|name| name.parse::<SegmentName>().ok());
        let follows = name.filter(|name| name.start() == end);
        end = follows.map_or(end, |name| name.end());
        follows.is_some()
    })
}

fn size(note: &Option<Vec<u8>>) -> Option<u64> {
    let note = Note::parse(note.as_ref()?).ok()?;
    Some(note.text().parse::<Checkpoint>().ok()?.size())
}

fn lock(store: &dyn Store, checks: &mut Checks, places: &Places) -> Result<Option<Head>, Failure> {
    let Some(path) = &places.lock else {
        return Ok(None);
    };
    let Some(bytes) = whole(store, checks, "lock", path, MAX_HEAD_BYTES)? else {
        if checks.holds() {
            let text = format!(
                "{path} is missing, as in what was restored; the verifier does not serve this"
            );
            checks.unknown("lock", text);
        }
        return Ok(None);
    };
    match Head::parse(&bytes) {
        Ok(head) => Ok(Some(head)),
        Err(fault) => {
            checks.fail("lock", format!("{path}: {fault}"));
            Ok(None)
        }
    }
}

/// Reads a small file; one that is too long fails the check `name`.
fn whole(
    store: &dyn Store,
    checks: &mut Checks,
    name: &'static str,
    path: &str,
    limit: usize,
) -> Result<Option<Vec<u8>>, Failure> {
    match store.read(path, limit as u64) {
        Ok(found) => Ok(found),
        Err(wrong) if wrong.is_told_of_the_log() => {
            checks.fail(name, wrong.to_string());
            Ok(None)
        }
        Err(io) => Err(io.into()),
    }
}
