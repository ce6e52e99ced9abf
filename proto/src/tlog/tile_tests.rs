//! Promises of tiles, their paths and what they hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn hashes(level: u8) -> TileKind {
    TileKind::Hashes { level }
}

#[test]
fn paths_are_spelled_as_the_specification_shows() {
    for (made, want) in [
        (tile_path(0, 1_234_067, None), "tile/0/x001/x234/067"),
        (tile_path(0, 0, None), "tile/0/000"),
        (tile_path(1, 999, Some(17)), "tile/1/999.p/17"),
        (tile_path(63, 1_000, Some(255)), "tile/63/x001/000.p/255"),
        (entries_path(1_000_000, None), "tile/entries/x001/x000/000"),
        (
            entries_path(u64::MAX, Some(1)),
            "tile/entries/x018/x446/x744/x073/x709/x551/615.p/1",
        ),
    ] {
        let made = made.unwrap();
        assert_eq!(made, want);
        assert_eq!(made.parse::<TilePath>().unwrap().to_string(), want);
    }
}

#[test]
fn levels_and_widths_that_no_tile_has_are_refused() {
    assert_eq!(tile_path(64, 0, None), Err(MalformedTile::Level(64)));
    for width in [0, 256, u16::MAX] {
        assert_eq!(
            tile_path(0, 0, Some(width)),
            Err(MalformedTile::Width(width))
        );
        assert_eq!(
            entries_path(0, Some(width)),
            Err(MalformedTile::Width(width))
        );
    }
}

#[test]
fn a_path_has_one_spelling() {
    for bad in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile/00/000",
        "tile/64/000",
        "tile/256/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/xx01/000",
        "tile/0/../000",
        "tile/0/000.p/0",
        "tile/0/000.p/00",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.p",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(bad.parse::<TilePath>(), Err(MalformedTile::Path), "{bad}");
    }
}

#[test]
fn a_tree_of_70_000_leaves_has_the_tiles_that_the_specification_counts() {
    let mut count: BTreeMap<(u8, u16), u64> = BTreeMap::new();
    for path in new_tiles(0, 70_000) {
        let TileKind::Hashes { level } = path.kind() else {
            panic!("entries among the hash tiles");
        };
        *count.entry((level, path.width())).or_default() += 1;
    }
    assert_eq!(
        count.into_iter().collect::<Vec<_>>(),
        [
            ((0, 112), 1),
            ((0, 256), 273),
            ((1, 17), 1),
            ((1, 256), 1),
            ((2, 1), 1)
        ]
    );
    let names: Vec<String> = new_tiles(255, 256).map(|path| path.to_string()).collect();
    assert_eq!(names, ["tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(new_tiles(256, 256).count(), 0);
    assert_eq!(new_tiles(u64::MAX, 0).count(), 0);
}

#[test]
fn a_tile_beyond_the_tree_is_not_within_it() {
    for (kind, index, size) in [
        (hashes(0), 0, 0),
        (hashes(0), 1, 256),
        (hashes(1), 0, 255),
        (hashes(8), 0, u64::MAX),
        (hashes(255), 0, u64::MAX),
        (hashes(0), u64::MAX, u64::MAX),
        (TileKind::Entries, 2, 512),
    ] {
        assert_eq!(TilePath::within(kind, index, size), None);
    }
    let half = TilePath::within(TileKind::Entries, 2, 640).unwrap();
    assert_eq!(half.to_string(), "tile/entries/002.p/128");
}

#[test]
fn a_tile_of_no_or_too_many_or_broken_hashes_is_refused() {
    for length in [0, 31, 33, 257 * 32] {
        assert_eq!(
            Tile::parse(&vec![0; length]),
            Err(MalformedTile::Length(length))
        );
    }
    assert_eq!(Tile::parse(&[0; 8_192]).unwrap().hashes().len(), 256);
    let one = Tile::parse(&[0; 32]).unwrap();
    assert_eq!(one.node(&node_place(1, 0).unwrap()), None);
}

/// Reads nodes from tiles alone.
struct Tiles(BTreeMap<TilePath, Tile>, u64);

impl Nodes for Tiles {
    type Error = (u8, u64);

    fn node(&self, level: u8, index: u64) -> Result<Hash, (u8, u64)> {
        let missing = (level, index);
        let place = node_place(level, index).ok_or(missing)?;
        let path = TilePath::within(hashes(place.level), place.tile, self.1).ok_or(missing)?;
        let tile = self.0.get(&path).ok_or(missing)?;
        tile.node(&place).ok_or(missing)
    }
}

#[test]
fn tiles_give_every_node_and_root_of_the_tree_they_were_cut_from() {
    let size = 66_000;
    let mut tree = MemoryTree::new();
    let mut edge = CompactRange::new();
    let mut nodes = Vec::new();
    for n in 0..size {
        let leaf = leaf_hash(&u64::to_be_bytes(n));
        tree.push(leaf);
        edge.push(leaf, |level, index, hash| nodes.push((level, index, hash)));
    }
    let mut tiles = Tiles(BTreeMap::new(), size);
    for path in new_tiles(0, size) {
        let TileKind::Hashes { level } = path.kind() else {
            continue;
        };
        let first = path.index() * 256;
        let bytes: Vec<u8> = (first..first + u64::from(path.width()))
            .flat_map(|index| *tree.node(8 * level, index).unwrap().as_bytes())
            .collect();
        tiles.0.insert(path, Tile::parse(&bytes).unwrap());
    }
    for (level, index, hash) in nodes {
        assert_eq!(tiles.node(level, index), Ok(hash), "level {level}, {index}");
    }
    assert_eq!(root_at(&tiles, size).unwrap(), edge.root());
}

#[test]
fn a_node_that_no_tree_reaches_has_no_place() {
    for (level, index) in [
        (64, 0),
        (255, 0),
        (0, u64::MAX),
        (63, 1),
        (0, MAX_SIZE),
        (1, MAX_SIZE / 2),
    ] {
        assert_eq!(node_place(level, index), None, "{level} {index}");
    }
    let last = node_place(0, MAX_SIZE - 1).unwrap();
    assert_eq!((last.level, last.first, last.count), (0, 255, 1));
    assert_eq!(node_place(63, 0).unwrap().count, 128);
}

proptest! {
    #[test]
    fn every_path_reads_back(
        level in 0_u8..64, entries in any::<bool>(), index in any::<u64>(),
        width in proptest::option::of(1_u16..256),
    ) {
        let kind = if entries { TileKind::Entries } else { hashes(level) };
        let path = TilePath::new(kind, index, width).unwrap();
        prop_assert_eq!(path.to_string().parse::<TilePath>(), Ok(path));
    }

    #[test]
    fn what_reads_as_a_path_prints_as_it_was(
        text in "(tile|til)/([0-9]{1,2}|entries|x)/(x[0-9]{3}/){0,3}[0-9]{2,3}(\\.p/[0-9]{1,3})?",
    ) {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn growing_in_steps_writes_the_tiles_of_growing_at_once(
        a in 0_u64..70_000, b in 0_u64..70_000,
    ) {
        let (middle, size) = (a.min(b), a.max(b));
        let mut stepped: BTreeMap<(TileKind, u64), u16> = BTreeMap::new();
        for path in new_tiles(0, middle).chain(new_tiles(middle, size)) {
            let before = stepped.insert((path.kind(), path.index()), path.width());
            prop_assert!(before.unwrap_or(0) < path.width());
        }
        let at_once: BTreeMap<(TileKind, u64), u16> = new_tiles(0, size)
            .map(|path| ((path.kind(), path.index()), path.width()))
            .collect();
        prop_assert_eq!(stepped, at_once);
    }
}
