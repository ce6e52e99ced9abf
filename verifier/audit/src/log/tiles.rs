//! Stored tiles and entry bundles, held against the tree as it grows.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::tlog::{TILE_WIDTH, TileKind, TilePath, new_tiles};
use affiant_report::{
    edge::{Edge, MAX_TILE_BYTES, Made, TEMPORARY},
    verify::Checks,
};

use super::{
    Failure,
    store::{Store, Unread},
};

/// Folders below `tile/`: level, and six groups of three digits, and a width.
const MAX_DEPTH: usize = 8;

/// The tiles that are stored, by what they are of.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    widths: BTreeMap<(TileKind, u64), BTreeSet<u16>>,
    strange: Vec<String>,
}

impl Listed {
    /// Names all that lie below `public`.
    pub fn of(store: &dyn Store, public: &str) -> Result<Self, Failure> {
        let mut listed = Self::default();
        listed.walk(store, public, "tile/", MAX_DEPTH)?;
        Ok(listed)
    }

    fn walk(
        &mut self,
        store: &dyn Store,
        public: &str,
        at: &str,
        deep: usize,
    ) -> Result<(), Failure> {
        for name in store.names(&format!("{public}{at}"))?.unwrap_or_default() {
            let path = format!("{at}{name}");
            if path.ends_with('/') && deep > 0 {
                self.walk(store, public, &path, deep - 1)?;
            } else if let Ok(tile) = path.parse::<TilePath>() {
                let place = (tile.kind(), tile.index());
                self.widths.entry(place).or_default().insert(tile.width());
            } else if !path.ends_with(TEMPORARY) {
                self.strange.push(path);
            }
        }
        Ok(())
    }
}

/// The comparison so far.
pub(super) struct Tiles<'a> {
    store: &'a dyn Store,
    public: &'a str,
    listed: Listed,
    /// Size of the published tree: its tiles must be there.
    published: u64,
    compared: u64,
    wrong: Vec<String>,
    io: Option<Unread>,
}

impl<'a> Tiles<'a> {
    /// Begins; `published` is the size of the checkpoint, as far as there is one.
    pub(super) fn new(
        store: &'a dyn Store,
        public: &'a str,
        listed: Listed,
        published: u64,
    ) -> Self {
        Self {
            store,
            public,
            listed,
            published,
            compared: 0,
            wrong: Vec::new(),
            io: None,
        }
    }

    /// Compares a full tile, and its partial ones from when it was not.
    pub(super) fn full(&mut self, made: &Made) {
        let path = made.path;
        let widths = self.listed.widths.remove(&(path.kind(), path.index()));
        for width in widths.unwrap_or_default() {
            if width < TILE_WIDTH {
                self.compare(made, width, false);
            }
        }
        let level = match path.kind() {
            TileKind::Hashes { level } => level,
            TileKind::Entries => 0,
        };
        let covered = u64::from(TILE_WIDTH).checked_pow(u32::from(level) + 1);
        let end = covered.and_then(|leaves| (path.index() + 1).checked_mul(leaves));
        let due = end.is_some_and(|end| end <= self.published);
        self.compare(made, TILE_WIDTH, due);
    }

    /// Ends with the tree whole, and says what was found.
    pub(super) fn finish(mut self, edge: &Edge, checks: &mut Checks) -> Result<(), Failure> {
        for made in edge.partial(0) {
            let place = (made.path.kind(), made.path.index());
            let mut widths = self.listed.widths.remove(&place).unwrap_or_default();
            let beyond = widths.split_off(&(made.path.width() + 1));
            widths
                .into_iter()
                .for_each(|width| self.compare(&made, width, false));
            if !beyond.is_empty() {
                self.listed.widths.insert(place, beyond);
            }
        }
        self.due()?;
        if let Some(io) = self.io {
            return Err(io.into());
        }
        let beyond = self
            .listed
            .widths
            .iter()
            .flat_map(|((kind, index), widths)| {
                let partial = |width: &u16| (*width < TILE_WIDTH).then_some(*width);
                widths
                    .iter()
                    .filter_map(move |width| TilePath::new(*kind, *index, partial(width)).ok())
            });
        let beyond =
            beyond.map(|path| format!("{}{path}: of no tree that this log has", self.public));
        let strange = self.listed.strange.iter();
        let strange = strange.map(|path| {
            format!(
                "{}{path}: neither a tile nor a folder of tiles (links among tiles are not followed; \
                 where one stands for a folder, put the folder there)",
                self.public
            )
        });
        self.wrong.extend(beyond.chain(strange));
        match self.wrong.first() {
            None => checks.fine(
                "tiles",
                format!(
                    "{} tiles and entry bundles are those of the tree",
                    self.compared
                ),
            ),
            Some(first) if self.wrong.len() == 1 => checks.fail("tiles", first.clone()),
            Some(first) => {
                checks.fail(
                    "tiles",
                    format!("{first} (and {} more)", self.wrong.len() - 1),
                );
            }
        }
        Ok(())
    }

    /// Looks for the partial tiles of the published tree. One that is full by now is there as that.
    fn due(&mut self) -> Result<(), Failure> {
        let partial = new_tiles(0, self.published).filter(|path| path.partial().is_some());
        let due = partial.flat_map(|path| {
            let bundle = TilePath::new(TileKind::Entries, path.index(), path.partial());
            let lowest = path.kind() == TileKind::Hashes { level: 0 };
            [Some(path), bundle.ok().filter(|_| lowest)]
        });
        let due: Vec<TilePath> = due.flatten().collect();
        for path in due {
            let full = TilePath::new(path.kind(), path.index(), None).unwrap_or(path);
            let mut found = false;
            for path in [path, full] {
                let path = format!("{}{path}", self.public);
                let read = self.store.read(&path, MAX_TILE_BYTES as u64);
                found |= match &read {
                    Ok(read) => read.is_some(),
                    Err(wrong) => wrong.is_told_of_the_log(),
                };
                if let Err(wrong) = read
                    && !wrong.is_told_of_the_log()
                {
                    return Err(wrong.into());
                }
            }
            if !found {
                self.wrong.push(format!("{}{path}: missing", self.public));
            }
        }
        Ok(())
    }

    /// Compares the stored tile of that width with the beginning of the one that was made.
    fn compare(&mut self, made: &Made, width: u16, due: bool) {
        let partial = (width < TILE_WIDTH).then_some(width);
        let Ok(path) = TilePath::new(made.path.kind(), made.path.index(), partial) else {
            return;
        };
        let each = made.bytes.len() / usize::from(made.path.width()).max(1);
        let bytes = made
            .bytes
            .get(..each * usize::from(width))
            .unwrap_or(&made.bytes);
        let at = format!("{}{path}", self.public);
        let stored = match self.store.read(&at, MAX_TILE_BYTES as u64) {
            Ok(Some(stored)) => stored,
            Ok(None) if due => return self.wrong.push(format!("{at}: missing")),
            // A partial tile may have given way to the full one since it was named.
            Ok(None) => return,
            Err(wrong) if wrong.is_told_of_the_log() => return self.wrong.push(wrong.to_string()),
            Err(io) => {
                self.io.get_or_insert(io);
                return;
            }
        };
        self.compared += 1;
        if stored == bytes {
            return;
        }
        let differs = stored
            .iter()
            .zip(bytes)
            .position(|(found, due)| found != due);
        let place = differs
            .map(|at| at / each.max(1))
            .and_then(|place| u64::try_from(place).ok());
        let wrong = match place {
            None => format!(
                "{at}: {} bytes, where {} are due",
                stored.len(),
                bytes.len()
            ),
            Some(place) => format!(
                "{at}: what stands there of {} is not what the log has",
                records(&path, place)
            ),
        };
        self.wrong.push(wrong);
    }
}

/// The records that one hash or entry of a tile is of.
fn records(path: &TilePath, place: u64) -> String {
    let level = match path.kind() {
        TileKind::Hashes { level } => level,
        TileKind::Entries => 0,
    };
    let hash = path
        .index()
        .saturating_mul(TILE_WIDTH.into())
        .saturating_add(place);
    match u64::from(TILE_WIDTH).checked_pow(level.into()) {
        Some(1) | None => format!("log index {hash}"),
        Some(leaves) => {
            let first = hash.saturating_mul(leaves);
            format!(
                "log indices {first} to {}",
                first.saturating_add(leaves - 1)
            )
        }
    }
}
