//! The same trees, proofs, tiles and checkpoints by Cloudflare's port of Go's `sumdb/tlog`.

use std::{convert::Infallible, sync::LazyLock};

use proptest::{prelude::*, sample::Index};
use tlog_tiles::{HashReader, TileReader};

use super::{fixtures::*, *};

/// Leaves of the shared tree, whose first n are every smaller one.
const LEAVES: u64 = 100_000;

static TREE: LazyLock<MemoryTree> = LazyLock::new(|| tree(LEAVES));

/// Our nodes behind the interface that the other implementation reads.
struct Reader<N>(N);

impl<N: Nodes> HashReader for Reader<N> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let read = |index: &u64| {
            let (level, n) = tlog_tiles::split_stored_hash_index(*index);
            let found = self.0.node(level, n).map(|hash| theirs(&hash));
            found.map_err(|_| tlog_tiles::Error::IndexesNotInTree)
        };
        indexes.iter().map(read).collect()
    }
}

fn theirs(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(*hash.as_bytes())
}

fn all_theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().map(theirs).collect()
}

/// A tree whose every leaf is the same, so that it can be of any size.
struct Uniform(Vec<Hash>);

impl Uniform {
    fn new() -> Self {
        let mut levels = vec![leaf(0)];
        for level in 0..62 {
            let below: Hash = levels[level];
            levels.push(node_hash(&below, &below));
        }
        Self(levels)
    }
}

impl Nodes for Uniform {
    type Error = Infallible;

    fn node(&self, level: u8, _index: u64) -> Result<Hash, Infallible> {
        Ok(self.0[usize::from(level)])
    }
}

/// What may be wrong with a proof that somebody sends.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Flip(Index, u8),
    Drop(Index),
    Add(Index),
    Swap(Index, Index),
    Numbers(i8, i8),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::None),
        (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        any::<Index>().prop_map(Damage::Drop),
        any::<Index>().prop_map(Damage::Add),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Damage::Swap(a, b)),
        (-3..4_i8, -3..4_i8).prop_map(|(a, b)| Damage::Numbers(a, b)),
    ]
}

impl Damage {
    fn to(&self, proof: &mut Vec<Hash>, numbers: [&mut u64; 2]) {
        let length = proof.len();
        match self {
            Self::Flip(at, bit) if length > 0 => {
                let at = at.index(length);
                proof[at] = flipped(&proof[at], *bit);
            }
            Self::Drop(at) if length > 0 => drop(proof.remove(at.index(length))),
            Self::Add(at) => proof.insert(at.index(length + 1), leaf(1)),
            Self::Swap(a, b) if length > 0 => proof.swap(a.index(length), b.index(length)),
            Self::Numbers(first, second) => {
                for (number, by) in numbers.into_iter().zip([first, second]) {
                    *number = number.saturating_add_signed(i64::from(*by));
                }
            }
            _ => {}
        }
    }
}

/// Sizes of every order of magnitude up to 2^62, where their arithmetic still holds.
fn any_size() -> impl Strategy<Value = u64> {
    (0..62_u32, any::<u64>()).prop_map(|(bits, low)| (1 << bits) | (low & ((1 << bits) - 1)))
}

fn below(size: u64, at: u64) -> u64 {
    at % size
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn roots_and_proofs_of_trees_to_100_000_leaves_are_the_same(
        size in 1..=LEAVES, index in any::<u64>(), old in any::<u64>(),
    ) {
        let reader = Reader(&*TREE);
        let root = TREE.root(size).unwrap();
        prop_assert_eq!(theirs(&root), tlog_tiles::tree_hash(size, &reader).unwrap());

        let index = below(size, index);
        let proof = inclusion_proof(&*TREE, index, size).unwrap();
        let expected = tlog_tiles::prove_record(size, index, &reader).unwrap();
        prop_assert_eq!(all_theirs(&proof), expected);

        let old = 1 + below(size, old);
        let proof = consistency_proof(&*TREE, old, size).unwrap();
        let expected = tlog_tiles::prove_tree(size, old, &reader).unwrap();
        prop_assert_eq!(all_theirs(&proof), expected);
    }

    #[test]
    fn both_give_one_verdict_on_inclusion_proofs_right_and_wrong(
        size in 1..=LEAVES, index in any::<u64>(), damage in damage(), other in any::<bool>(),
    ) {
        let (mut size, mut index) = (size, below(size, index));
        let root = TREE.root(size).unwrap();
        let mut proof = inclusion_proof(&*TREE, index, size).unwrap();
        let leaf = leaf(if other { index + 1 } else { index });
        damage.to(&mut proof, [&mut index, &mut size]);
        let ours = verify_inclusion(&leaf, index, size, &root, &proof).is_ok();
        let proof = all_theirs(&proof);
        let checked = tlog_tiles::check_record(&proof, size, theirs(&root), index, theirs(&leaf));
        prop_assert_eq!(ours, checked.is_ok());
        if let Damage::None = damage {
            prop_assert_eq!(ours, !other);
        }
    }

    #[test]
    fn both_give_one_verdict_on_consistency_proofs_right_and_wrong(
        new in 1..=LEAVES, old in any::<u64>(), damage in damage(), other in any::<bool>(),
    ) {
        let (mut new, mut old) = (new, 1 + below(new, old));
        let new_root = TREE.root(new).unwrap();
        let mut old_root = TREE.root(old).unwrap();
        let mut proof = consistency_proof(&*TREE, old, new).unwrap();
        if other {
            old_root = flipped(&old_root, 7);
        }
        damage.to(&mut proof, [&mut old, &mut new]);
        // The empty tree is where the two part by design: RFC 9162 has no proof from it.
        prop_assume!(old > 0);
        let ours = verify_consistency(old, &old_root, new, &new_root, &proof).is_ok();
        let proof = all_theirs(&proof);
        let (old_root, new_root) = (theirs(&old_root), theirs(&new_root));
        let checked = tlog_tiles::check_tree(&proof, new, new_root, old, old_root);
        prop_assert_eq!(ours, checked.is_ok());
        if let Damage::None = damage {
            prop_assert_eq!(ours, !other);
        }
    }

    #[test]
    fn trees_of_any_size_have_the_same_roots_and_proofs_and_verdicts(
        size in any_size(), index in any::<u64>(), old in any::<u64>(), damage in damage(),
    ) {
        let (nodes, reader) = (Uniform::new(), Reader(Uniform::new()));
        let (mut size, mut index, mut old) = (size, below(size, index), 1 + below(size, old));
        let root = root_at(&nodes, size).unwrap();
        let old_root = root_at(&nodes, old).unwrap();
        prop_assert_eq!(theirs(&root), tlog_tiles::tree_hash(size, &reader).unwrap());

        let mut included = inclusion_proof(&nodes, index, size).unwrap();
        let expected = tlog_tiles::prove_record(size, index, &reader).unwrap();
        prop_assert_eq!(all_theirs(&included), expected);
        let mut grown = consistency_proof(&nodes, old, size).unwrap();
        let expected = tlog_tiles::prove_tree(size, old, &reader).unwrap();
        prop_assert_eq!(all_theirs(&grown), expected);

        let mut new = size;
        damage.to(&mut included, [&mut index, &mut size]);
        damage.to(&mut grown, [&mut old, &mut new]);
        let ours = verify_inclusion(&leaf(0), index, size, &root, &included).is_ok();
        let (root, first) = (theirs(&root), theirs(&leaf(0)));
        let checked = tlog_tiles::check_record(&all_theirs(&included), size, root, index, first);
        prop_assert_eq!(ours, checked.is_ok());
        prop_assume!(old > 0);
        let ours = verify_consistency(old, &old_root, new, &Hash::from_bytes(root.0), &grown);
        let checked = tlog_tiles::check_tree(&all_theirs(&grown), new, root, old, theirs(&old_root));
        prop_assert_eq!(ours.is_ok(), checked.is_ok());
    }

    #[test]
    fn a_multi_proof_is_what_the_single_proofs_have_without_what_the_leaves_give(
        size in 1..=LEAVES, picks in prop::collection::btree_set(any::<u64>(), 1..40),
        near in any::<bool>(), damage in damage(),
    ) {
        // Near each other they share subtrees, far apart they share little.
        let span = if near { size.min(64) } else { size };
        let picks: std::collections::BTreeSet<u64> =
            picks.into_iter().map(|pick| size - 1 - below(span, pick)).collect();
        let indices: Vec<u64> = picks.iter().copied().collect();
        let reader = Reader(&*TREE);
        let mut hidden = std::collections::BTreeMap::new();
        for index in &indices {
            let single = tlog_tiles::prove_record(size, *index, &reader).unwrap();
            for ((start, end), hash) in siblings(*index, size).into_iter().zip(single) {
                if picks.range(start..end).next().is_none() {
                    hidden.insert(start, Hash::from_bytes(hash.0));
                }
            }
        }
        let expected: Vec<Hash> = hidden.into_values().collect();
        let mut proof = multi_proof(&*TREE, &indices, size).unwrap();
        prop_assert_eq!(&proof, &expected);

        let leaves: Vec<(u64, Hash)> = indices.iter().map(|n| (*n, leaf(*n))).collect();
        let root = TREE.root(size).unwrap();
        prop_assert_eq!(verify_multi(&leaves, size, &root, &proof), Ok(()));
        let (mut first, mut second) = (0, 0);
        damage.to(&mut proof, [&mut first, &mut second]);
        prop_assert_eq!(verify_multi(&leaves, size, &root, &proof).is_ok(), proof == expected);
    }
}

/// The subtrees beside the path from leaf `index` to the root, as RFC 6962 section 2.1.1 lists
/// them: lowest first, each as its first leaf and the one after its last.
fn siblings(index: u64, size: u64) -> Vec<(u64, u64)> {
    let (mut start, mut end, mut out) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + (end - start).next_power_of_two() / 2;
        let (kept, beside) = if index < middle {
            ((start, middle), (middle, end))
        } else {
            ((middle, end), (start, middle))
        };
        out.push(beside);
        (start, end) = kept;
    }
    out.reverse();
    out
}

// ---- tiles ----

/// The tiles of a tree as they would be published: cut by our rules, found by our paths.
struct Published {
    size: u64,
}

impl TileReader for Published {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &tlog_tiles::Tile| {
            let path: TilePath = our_path(tile).parse().unwrap();
            let TileKind::Hashes { level } = path.kind() else {
                return Err(tlog_tiles::Error::InvalidTile);
            };
            let within = TilePath::within(path.kind(), path.index(), self.size).unwrap();
            assert_eq!(within, path, "a tile as wide as this tree has it");
            Ok(hashes_of(level, path))
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _tiles: &[tlog_tiles::Tile], _data: &[Vec<u8>]) {}
}

/// Their path names the height of tiles, which C2SP fixes at 8 and leaves out.
fn our_path(tile: &tlog_tiles::Tile) -> String {
    let path = tile.path().replacen("tile/8/", "tile/", 1);
    path.replacen("tile/data/", "tile/entries/", 1)
}

fn hashes_of(level: u8, path: TilePath) -> Vec<u8> {
    let first = path.index() * u64::from(TILE_WIDTH);
    (first..first + u64::from(path.width()))
        .flat_map(|n| *TREE.node(8 * level, n).unwrap().as_bytes())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn their_client_proves_entries_and_growth_from_our_tiles(
        size in 1..=LEAVES, index in any::<u64>(), old in any::<u64>(),
    ) {
        let root = theirs(&TREE.root(size).unwrap());
        let tiles = Published { size };
        let client = tlog_tiles::TileHashReader::new(size, root, &tiles);
        let index = below(size, index);
        let proof = tlog_tiles::prove_record(size, index, &client).unwrap();
        prop_assert_eq!(proof, all_theirs(&inclusion_proof(&*TREE, index, size).unwrap()));
        let old = 1 + below(size, old);
        let proof = tlog_tiles::prove_tree(size, old, &client).unwrap();
        prop_assert_eq!(proof, all_theirs(&consistency_proof(&*TREE, old, size).unwrap()));
    }

    #[test]
    fn the_same_tiles_are_new_when_a_tree_grows(old in 0..=LEAVES, more in 0..2_000_u64) {
        let new = (old + more).min(LEAVES);
        let expected: Vec<String> =
            tlog_tiles::Tile::new_tiles(8, old, new).iter().map(our_path).collect();
        let made: Vec<String> = new_tiles(old, new).map(|path| path.to_string()).collect();
        prop_assert_eq!(made, expected);
    }

    #[test]
    fn a_tile_is_cut_at_the_same_hashes_and_gives_the_same_nodes(
        level in 0..17_u8, index in any::<u64>(),
    ) {
        let index = below(LEAVES >> level, index);
        let stored = tlog_tiles::stored_hash_index(level, index);
        let least = tlog_tiles::Tile::from_index(8, stored);
        let place = node_place(level, index).unwrap();
        prop_assert_eq!((place.level, place.tile), (least.level(), least.level_index()));
        prop_assert_eq!(u32::from(place.first) + u32::from(place.count), least.width());

        let kind = TileKind::Hashes { level: place.level };
        let path = TilePath::within(kind, place.tile, LEAVES).unwrap();
        let bytes = hashes_of(place.level, path);
        let (level_, tile) = (least.level(), least.level_index());
        let whole = tlog_tiles::Tile::new(8, level_, tile, u32::from(path.width()), false);
        prop_assert_eq!(&whole.read_data(&Reader(&*TREE)).unwrap(), &bytes);
        let node = Tile::parse(&bytes).unwrap().node(&place).unwrap();
        prop_assert_eq!(theirs(&node), whole.hash_at_index(&bytes, stored).unwrap());
        prop_assert_eq!(node, TREE.node(level, index).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_tile_path_reads_as_the_same_tile_or_as_none(
        level in 0..70_u8, index in any::<u64>(), small in any::<bool>(), width in 0..300_u16,
        cut in any::<Index>(), put in "[0-9x./p]?",
    ) {
        let index = if small { index % 2_000_000 } else { index };
        let mut text = format!("tile/8/{level}/");
        let groups = format!("{index:021}");
        let groups = groups.trim_start_matches("000").as_bytes().chunks(3);
        let groups: Vec<String> =
            groups.map(|digits| String::from_utf8(digits.to_vec()).unwrap()).collect();
        let (last, leading) = groups.split_last().map_or(("000".to_owned(), Vec::new()), |(l, g)| {
            (l.clone(), g.to_vec())
        });
        for group in leading {
            text += &format!("x{group}/");
        }
        text += &last;
        if width > 0 {
            text += &format!(".p/{width}");
        }
        // Half of them with one character more.
        text.insert_str("tile/8/".len() + cut.index(text.len() - "tile/8/".len() + 1), &put);

        let ours = text.replacen("tile/8/", "tile/", 1).parse::<TilePath>();
        if they_panic(&text) {
            prop_assert!(ours.is_err());
            return Ok(());
        }
        let read = tlog_tiles::Tile::from_path(&text);
        match (ours, read) {
            (Ok(path), Ok(tile)) => {
                prop_assert_eq!(our_path(&tile), path.to_string());
                prop_assert_eq!(u32::from(path.width()), tile.width());
                prop_assert_eq!(path.index(), tile.level_index());
            }
            (Err(_), Err(_)) => {}
            (ours, read) => prop_assert!(false, "{text}: {ours:?}, {read:?}"),
        }
    }

    #[test]
    fn a_checkpoint_reads_as_the_same_claim_or_as_none(bytes in mutated(CHECKPOINT)) {
        let ours = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse::<Checkpoint>().ok());
        let read = tlog_tiles::Checkpoint::from_bytes(&bytes).ok();
        match (ours, read) {
            (Some(ours), Some(read)) => {
                prop_assert_eq!(ours.origin().as_str(), read.origin());
                prop_assert_eq!(ours.size(), read.size());
                prop_assert_eq!(theirs(ours.root()), *read.hash());
                let lines: String = ours.extensions().iter().map(|line| format!("{line}\n")).collect();
                prop_assert_eq!(lines, read.extension());
                prop_assert_eq!(ours.to_string().into_bytes(), read.to_bytes());
            }
            (None, None) => {}
            // Ours asks more: an origin that can name a key, a size that a tree can have, and
            // the one root that an empty tree has.
            (None, Some(read)) => prop_assert!(
                read.origin().parse::<Origin>().is_err()
                    || read.size() > MAX_SIZE
                    || read.size() == 0 && *read.hash() != tlog_tiles::EMPTY_HASH,
                "{:?}", String::from_utf8_lossy(&bytes)
            ),
            (ours, None) => prop_assert!(false, "only ours reads {ours:?}"),
        }
    }
}

/// Theirs ends the process at a level above 63 and at a width of 0, which no tile has.
fn they_panic(path: &str) -> bool {
    let level = path
        .split('/')
        .nth(2)
        .and_then(|level| level.parse::<u8>().ok());
    level.is_some_and(|level| level > 63) || path.contains(".p/0")
}

const CHECKPOINT: &str = "log.example/gpu/1\n9223372036854775\n\
    47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nextension line\n";
