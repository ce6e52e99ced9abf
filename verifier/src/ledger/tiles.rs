//! The public tree: tiles and entry bundles as C2SP tlog-tiles lays them out.
//!
//! Not trusted: opening the log makes every tile again from the segments and compares, and a
//! [`super::Reader`] holds each tile that it reads against the level above, up to hashes in memory.
//! So tiles are written in one step but without fsync: whoever loses them loses nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use affiant_proto::tlog::{TileKind, TilePath};
use affiant_report::edge::{MAX_TILE_BYTES, Made};

use super::disk::{self, Disk};

/// The directory that holds the public tree.
#[derive(Clone, Debug)]
pub(super) struct Public(pub(super) PathBuf);

impl Public {
    /// Writes a tile; a full one takes the place of its partial ones.
    pub(super) fn write(&self, disk: &dyn Disk, made: &Made) -> io::Result<()> {
        let path = self.path(&made.path);
        disk.publish(&path, &made.bytes)?;
        if made.path.partial().is_some() {
            return Ok(());
        }
        let mut partial = path.into_os_string();
        partial.push(".p");
        match disk.remove_directory(Path::new(&partial)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells whether the tile on disk is the one that was made.
    pub(super) fn holds(&self, made: &Made) -> bool {
        matches!(self.read(&made.path), Ok(Some(bytes)) if bytes == made.bytes)
    }

    /// Reads a tile's bytes; `None` where there is none.
    pub(super) fn read(&self, path: &TilePath) -> io::Result<Option<Vec<u8>>> {
        disk::read(&self.path(path), MAX_TILE_BYTES)
    }

    /// Reads a tile as it is in a tree of `size` leaves; `None` where that tree has no such tile.
    /// A partial one that was dropped once its tile was wider or full is cut from that.
    pub(super) fn within(&self, path: &TilePath, size: u64) -> io::Result<Option<Vec<u8>>> {
        let widest = TilePath::within(path.kind(), path.index(), size);
        let Some(widest) = widest.filter(|widest| widest.width() >= path.width()) else {
            return Ok(None);
        };
        let full = TilePath::new(path.kind(), path.index(), None).unwrap_or(widest);
        let each = match path.kind() {
            TileKind::Hashes { .. } => 32,
            TileKind::Entries => 34,
        };
        for held in [*path, widest, full] {
            let Some(mut bytes) = self.read(&held)? else {
                continue;
            };
            if bytes.len() == usize::from(held.width()) * each {
                bytes.truncate(usize::from(path.width()) * each);
                return Ok(Some(bytes));
            }
        }
        let file = self.path(&widest).display().to_string();
        let fault = format!("{file} is missing or cut; restart the verifier, which makes it again");
        Err(io::Error::new(io::ErrorKind::InvalidData, fault))
    }

    /// Where a tile lies.
    pub(super) fn path(&self, path: &TilePath) -> PathBuf {
        self.0.join(path.to_string())
    }

    /// Where the newest checkpoint lies.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ledger::disk::LocalDisk;
    use affiant_proto::{
        digest,
        tlog::{MemoryTree, Nodes as _, Tile, TileKind, TilePath, leaf_hash, new_tiles},
    };
    use affiant_report::edge::Edge;

    /// Publishes a tree that grows by `steps`, and gives the tree in memory beside the edge.
    fn grow(public: &Public, steps: &[u64]) -> (MemoryTree, Edge) {
        let (mut tree, mut edge) = (MemoryTree::new(), Edge::default());
        for step in steps {
            let old = edge.size();
            let mut made = Vec::new();
            for number in old..old + step {
                let digest = digest(&number.to_be_bytes());
                tree.push(leaf_hash(digest.as_bytes()));
                edge.push(&digest, |full| made.push(full));
            }
            made.extend(edge.partial(old));
            made.iter()
                .for_each(|made| public.write(&LocalDisk, made).unwrap());
        }
        (tree, edge)
    }

    #[test]
    fn every_tile_of_every_level_holds_the_hashes_of_its_subtrees() {
        let dir = tempfile::tempdir().unwrap();
        let public = Public(dir.path().to_owned());
        let (tree, edge) = grow(&public, &[1, 254, 1, 1, 300, 65_200, 100]);
        let size = tree.size();
        assert_eq!(edge.root(), tree.root(size).unwrap());
        for path in new_tiles(0, size) {
            let TileKind::Hashes { level } = path.kind() else {
                panic!("a bundle among hash tiles");
            };
            let tile = Tile::parse(&public.read(&path).unwrap().unwrap()).unwrap();
            assert_eq!(tile.hashes().len(), usize::from(path.width()));
            for (position, hash) in (path.index() * 256..).zip(tile.hashes()) {
                assert_eq!(*hash, tree.node(8 * level, position).unwrap());
                let held = edge.at(level, position);
                assert_eq!(held, path.partial().map(|_| *hash));
            }
            let bundle = TilePath::new(TileKind::Entries, path.index(), path.partial());
            if level == 0 {
                let bundle = public.read(&bundle.unwrap()).unwrap().unwrap();
                for (entry, hash) in bundle.chunks(34).zip(tile.hashes()) {
                    assert_eq!(entry[..2], [0, 32]);
                    assert_eq!(leaf_hash(&entry[2..]), *hash);
                }
            }
        }
    }

    #[test]
    fn a_full_tile_takes_the_place_of_its_partial_ones() {
        let dir = tempfile::tempdir().unwrap();
        let public = Public(dir.path().to_owned());
        grow(&public, &[5, 6]);
        for tile in ["tile/0/000.p/5", "tile/0/000.p/11", "tile/entries/000.p/11"] {
            assert!(
                dir.path().join(tile).exists(),
                "{tile}: an older checkpoint needs it"
            );
        }
        grow(&public, &[5, 6, 245]);
        for (gone, full) in [
            ("tile/0/000.p", "tile/0/000"),
            ("tile/entries/000.p", "tile/entries/000"),
        ] {
            assert!(!dir.path().join(gone).exists() && dir.path().join(full).exists());
        }
        assert!(dir.path().join("tile/1/000.p/1").exists());
    }
}
