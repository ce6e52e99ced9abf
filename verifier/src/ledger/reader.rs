//! Reading the log while it is being written.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    vec,
};

use affiant_proto::tlog::{
    Hash, Nodes, SignedCheckpoint, TILE_WIDTH, Tile, TileKind, TilePath, TreeError,
    consistency_proof, inclusion_proof, multi_proof, node_place, root_of,
};
use affiant_report::{
    edge::Edge,
    segment::{BadSegment, Entry, Segment, SegmentName},
};

use super::tiles::Public;

/// Most full tiles kept in memory: 1,024 of 8 KiB are 8 MiB, the lowest level of the newest
/// 262,144 entries or 20 seconds of full load.
const CACHED_TILES: usize = 1024;

/// Most segments kept open: one that is read from end to end, and one of which single entries are
/// asked for meanwhile. A filed one is unpacked, at most 64 MiB of entries and 16 bytes for each: so
/// 132 MiB.
const OPEN_SEGMENTS: usize = 2;

/// A handle for reading the log as far as it is published; clones share one cache.
///
/// Each call sees one published tree; a later call may see a larger one, which extends it.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    segments_at: PathBuf,
    public: Public,
    published: RwLock<Arc<Published>>,
    /// The names of all published segments, in order.
    segments: RwLock<Vec<SegmentName>>,
    tiles: Mutex<Cache>,
    /// Lately read, the newest last.
    open: Mutex<VecDeque<Arc<Segment>>>,
}

/// What the newest checkpoint says, with the edge of its tree.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) checkpoint: SignedCheckpoint,
    pub(super) note: Arc<[u8]>,
    pub(super) edge: Edge,
}

impl Published {
    pub(super) fn new(checkpoint: SignedCheckpoint, edge: Edge) -> Self {
        let note = checkpoint.note().to_string().into_bytes().into();
        Self {
            checkpoint,
            note,
            edge,
        }
    }
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A segment.
    #[error(transparent)]
    Segment(#[from] BadSegment),
    /// A tile or exhibit that could not be read.
    #[error("{path} cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A tile that is missing, cut or changed.
    #[error("tile {0} is missing or was changed; restart the verifier, which makes it again")]
    Tile(PathBuf),
    /// An entry or subtree beyond the published tree.
    #[error("the published log has {size} entries; {asked} is beyond them")]
    Beyond {
        /// The first index or size that is too high.
        asked: u64,
        /// How many entries are published.
        size: u64,
    },
    /// An entry that no segment holds, although the tree is that large.
    #[error("no segment holds entry {0}; restart the verifier, which checks them all")]
    Unheld(u64),
}

impl Reader {
    pub(super) fn new(
        segments_at: PathBuf,
        public: Public,
        published: Published,
        segments: Vec<SegmentName>,
    ) -> Self {
        Self(Arc::new(Shared {
            segments_at,
            public,
            published: RwLock::new(Arc::new(published)),
            segments: RwLock::new(segments),
            tiles: Mutex::default(),
            open: Mutex::default(),
        }))
    }

    /// Shows a larger tree to all handles.
    pub(super) fn show(&self, published: Published, segment: SegmentName) {
        let mut segments = self
            .0
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        segments.push(segment);
        drop(segments);
        let mut current = self
            .0
            .published
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(published);
    }

    fn published(&self) -> Arc<Published> {
        let published = self
            .0
            .published
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&published)
    }

    /// Where the segments lie.
    pub(super) fn folder(&self) -> &Path {
        &self.0.segments_at
    }

    /// Shows one segment in the place of others over the same entries; refuses where those are not
    /// all there, one after the other.
    pub(super) fn replace(&self, old: &[SegmentName], new: SegmentName) -> bool {
        let segments = self.0.segments.write();
        let mut segments = segments.unwrap_or_else(PoisonError::into_inner);
        let place = old
            .first()
            .and_then(|first| segments.binary_search(first).ok());
        let place = place.map(|from| from..from.saturating_add(old.len()));
        match place.filter(|place| segments.get(place.clone()) == Some(old)) {
            Some(place) => {
                segments.splice(place, [new]);
                // What may have been erased is not kept, and the disk gets its room back.
                let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
                open.retain(|segment| !old.contains(segment.name()));
                true
            }
            None => false,
        }
    }

    /// How many entries are published.
    pub fn size(&self) -> u64 {
        self.published().edge.size()
    }

    /// The newest published checkpoint, as the bytes of its note.
    pub fn checkpoint(&self) -> Arc<[u8]> {
        Arc::clone(&self.published().note)
    }

    /// The newest published checkpoint.
    pub fn signed_checkpoint(&self) -> SignedCheckpoint {
        self.published().checkpoint.clone()
    }

    /// Reads the encoded envelope at `index`; `None` at and beyond [`Reader::size`].
    pub fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, ReadError> {
        if index >= self.size() {
            return Ok(None);
        }
        let Some((_, entry)) = self.entries(index..index + 1).next().transpose()? else {
            return Err(ReadError::Unheld(index));
        };
        Ok(Some(entry.into_envelope()))
    }

    /// Reads the entries of a range in order, as far as they are published; holds one frame in
    /// memory, or one filed segment. Ends after the first error.
    pub fn entries(&self, range: Range<u64>) -> Entries {
        Entries {
            next: range.start,
            end: range.end.min(self.size()),
            reader: self.clone(),
            segment: None,
            frame: Vec::new().into_iter(),
        }
    }

    /// Proves that entry `index` is in the tree of `size` entries.
    pub fn inclusion_proof(
        &self,
        index: u64,
        size: u64,
    ) -> Result<Vec<Hash>, TreeError<ReadError>> {
        inclusion_proof(self, index, size)
    }

    /// Proves that the tree of `new` entries extends that of `old`.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, TreeError<ReadError>> {
        consistency_proof(self, old, new)
    }

    /// Proves that the entries at `indices`, strictly rising, are in the tree of `size` entries.
    pub fn multi_proof(
        &self,
        indices: &[u64],
        size: u64,
    ) -> Result<Vec<Hash>, TreeError<ReadError>> {
        multi_proof(self, indices, size)
    }

    /// Reads the bytes of a tile or entry bundle; `None` where the published tree has no such tile.
    pub fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>, ReadError> {
        let read = self.0.public.within(path, self.size());
        read.map_err(|source| ReadError::Io {
            path: self.0.public.path(path),
            source,
        })
    }

    /// The names of all published segments, in order.
    pub fn segments(&self) -> Vec<SegmentName> {
        let segments = self.0.segments.read();
        segments.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads a published segment whole; `None` where there is none of that name.
    pub fn segment(&self, name: &SegmentName) -> Result<Option<Vec<u8>>, ReadError> {
        let path = self.0.segments_at.join(name.to_string());
        // Held while the file is opened: a segment that was rewritten goes once nobody is shown it.
        let published = self.0.segments.read();
        let published = published.unwrap_or_else(PoisonError::into_inner);
        if published.binary_search(name).is_err() {
            return Ok(None);
        }
        let file = std::fs::File::open(&path);
        drop(published);
        let read = file.and_then(|mut file| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map(|_| bytes)
        });
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(source) => Err(BadSegment::Io { path, source }.into()),
        }
    }

    /// The segment that holds an entry. A filed one is unpacked when it is first read: so it is kept for
    /// the next entry.
    fn segment_of(&self, index: u64) -> Result<Arc<Segment>, ReadError> {
        let segments = self
            .0
            .segments
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let at = segments.partition_point(|name| name.end() <= index);
        let name = segments.get(at).ok_or(ReadError::Unheld(index))?;
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let held = open.iter().position(|segment| segment.name() == name);
        let segment = match held.and_then(|at| open.remove(at)) {
            Some(segment) => segment,
            // While the names are held: a segment that was rewritten goes once nobody is shown it.
            None => Arc::new(Segment::open(&self.0.segments_at, name)?),
        };
        while open.len() >= OPEN_SEGMENTS {
            open.pop_front();
        }
        open.push_back(Arc::clone(&segment));
        Ok(segment)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.0.tiles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a full tile and holds it against the hash that the level above has for it.
    fn full_tile(&self, edge: &Edge, level: u8, index: u64) -> Result<Arc<Tile>, ReadError> {
        if let Some(tile) = self.cache().get(level, index) {
            return Ok(tile);
        }
        let beyond = || ReadError::Beyond {
            asked: index,
            size: edge.size(),
        };
        let path = TilePath::new(TileKind::Hashes { level }, index, None).map_err(|_| beyond())?;
        let file = self.0.public.path(&path);
        let bytes = match self.0.public.read(&path) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(source) => return Err(ReadError::Io { path: file, source }),
        };
        let Ok(tile) = Tile::parse(&bytes) else {
            return Err(ReadError::Tile(file));
        };
        // Each step goes up eight tree levels, so this ends at the edge after at most eight.
        let above = match edge.at(level + 1, index) {
            Some(hash) => hash,
            None => {
                let width = u64::from(TILE_WIDTH);
                let parent = self.full_tile(edge, level + 1, index / width)?;
                let inside = usize::try_from(index % width).unwrap_or(0);
                *parent.hashes().get(inside).ok_or_else(beyond)?
            }
        };
        if tile.hashes().len() != usize::from(TILE_WIDTH) || root_of(tile.hashes()) != above {
            return Err(ReadError::Tile(file));
        }
        let tile = Arc::new(tile);
        self.cache().put(level, index, Arc::clone(&tile));
        Ok(tile)
    }
}

impl Nodes for Reader {
    type Error = ReadError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, ReadError> {
        let published = self.published();
        let edge = &published.edge;
        let size = edge.size();
        let end = index
            .checked_add(1)
            .and_then(|end| end.checked_mul(1_u64.checked_shl(level.into())?));
        let place = node_place(level, index).filter(|_| end.is_some_and(|end| end <= size));
        let Some(place) = place else {
            let asked = end.unwrap_or(u64::MAX);
            return Err(ReadError::Beyond { asked, size });
        };
        let full;
        let hashes = match edge.tile(place.level, place.tile) {
            Some(hashes) => hashes,
            None => {
                full = self.full_tile(edge, place.level, place.tile)?;
                full.hashes()
            }
        };
        let first = usize::from(place.first);
        match hashes.get(first..first + usize::from(place.count)) {
            Some(hashes) => Ok(root_of(hashes)),
            None => Err(ReadError::Beyond {
                asked: end.unwrap_or(u64::MAX),
                size,
            }),
        }
    }
}

/// Iterates over published entries; see [`Reader::entries`].
#[derive(Debug)]
pub struct Entries {
    reader: Reader,
    next: u64,
    end: u64,
    segment: Option<Arc<Segment>>,
    frame: vec::IntoIter<Entry>,
}

impl Entries {
    /// Loads the frame that holds the next entry, up to that entry.
    fn load(&mut self) -> Result<(), ReadError> {
        let held = self
            .segment
            .take()
            .filter(|segment| segment.frame_of(self.next).is_some());
        let segment = match held {
            Some(segment) => segment,
            None => self.reader.segment_of(self.next)?,
        };
        let unheld = ReadError::Unheld(self.next);
        let Some(number) = segment.frame_of(self.next) else {
            return Err(unheld);
        };
        let (first, entries) = segment.frame(number)?;
        self.frame = entries.into_iter();
        for _ in first..self.next {
            self.frame.next();
        }
        self.segment = Some(segment);
        Ok(())
    }
}

impl Iterator for Entries {
    type Item = Result<(u64, Entry), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        if self.frame.len() == 0
            && let Err(error) = self.load()
        {
            self.next = self.end;
            return Some(Err(error));
        }
        let index = self.next;
        self.next += 1;
        self.frame.next().map(|entry| Ok((index, entry)))
    }
}

/// Full tiles lately read; the oldest goes first.
#[derive(Debug, Default)]
struct Cache {
    tiles: HashMap<(u8, u64), Arc<Tile>>,
    order: VecDeque<(u8, u64)>,
}

impl Cache {
    fn get(&self, level: u8, index: u64) -> Option<Arc<Tile>> {
        self.tiles.get(&(level, index)).cloned()
    }

    fn put(&mut self, level: u8, index: u64, tile: Arc<Tile>) {
        if self.tiles.insert((level, index), tile).is_none() {
            self.order.push_back((level, index));
        }
        if self.order.len() > CACHED_TILES
            && let Some(oldest) = self.order.pop_front()
        {
            self.tiles.remove(&oldest);
        }
    }
}
