//! Damage to each file is found at open or on read, and what may be refused is refused.

use std::fs;

use affiant_proto::{Ed25519Signer, tlog::TreeError};
use affiant_verifier::ledger::{
    BadSegment, BadWal, Ledger, LockError, NotHeld, OpenError, ReadError,
};

use super::fixture::{House, assert_one_history, entries};

/// A ledger of three segments, with full and partial tiles, closed and shut.
fn grown() -> House {
    let mut house = House::new();
    let mut ledger = house.create(3);
    house.append(&mut ledger, 3..600);
    ledger.close_segment().unwrap();
    house.append(&mut ledger, 600..700);
    ledger.close_segment().unwrap();
    house
}

fn flip(path: &std::path::Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn refusal(house: &House) -> OpenError {
    house.try_open().map(|_| ()).unwrap_err()
}

#[test]
fn a_changed_bit_anywhere_in_any_named_segment_is_refused() {
    let house = grown();
    for start in ["0-", "3-", "600-"] {
        let path = house.segment(start);
        let kept = fs::read(&path).unwrap();
        let step = kept.len() / 12;
        for at in (0..kept.len()).step_by(step) {
            flip(&path, at);
            let refused = refusal(&house);
            assert!(
                matches!(refused, OpenError::Segment(_)),
                "byte {at}: {refused}"
            );
            fs::write(&path, &kept).unwrap();
        }
    }
    house.open();
}

#[test]
fn a_missing_segment_is_refused_and_named() {
    let house = grown();
    for start in ["0-", "3-", "600-"] {
        let path = house.segment(start);
        let aside = house.at("aside");
        fs::rename(&path, &aside).unwrap();
        let refused = refusal(&house);
        let named = match &refused {
            // Only the newest has its name in the lock.
            OpenError::Segment(BadSegment::Missing(missing)) => *missing == path,
            OpenError::Hole { held, .. } => start == format!("{held}-"),
            _ => false,
        };
        assert!(named, "{refused}");
        fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn a_changed_or_missing_lock_is_refused() {
    let house = grown();
    let path = house.at("lock");
    let kept = fs::read(&path).unwrap();
    for at in (0..kept.len()).step_by(20) {
        flip(&path, at);
        let refused = refusal(&house);
        assert!(
            matches!(refused, OpenError::Lock(LockError::Damaged { .. })),
            "byte {at}: {refused}"
        );
        fs::write(&path, &kept).unwrap();
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        refusal(&house),
        OpenError::NoLock { size: 700, .. }
    ));
}

#[test]
fn a_published_checkpoint_ahead_of_the_lock_is_refused_and_nothing_is_touched() {
    let mut house = grown();
    let old = fs::read(house.at("lock")).unwrap();
    let (mut ledger, _) = house.open();
    house.append(&mut ledger, 700..710);
    ledger.close_segment().unwrap();
    drop(ledger);
    fs::write(house.at("lock"), old).unwrap();
    let refused = refusal(&house);
    assert!(
        matches!(
            refused,
            OpenError::Ahead {
                published: 710,
                locked: 700,
                ..
            }
        ),
        "{refused}"
    );
    assert!(
        house.segment("700-").exists(),
        "evidence is left where it is"
    );
}

#[test]
fn a_lock_turned_back_below_the_write_ahead_file_is_refused() {
    let mut house = grown();
    let old = fs::read(house.at("lock")).unwrap();
    let (mut ledger, _) = house.open();
    house.append(&mut ledger, 700..710);
    ledger.close_segment().unwrap();
    house.append(&mut ledger, 710..711);
    drop(ledger);
    fs::write(house.at("lock"), old).unwrap();
    fs::remove_file(house.at("public/checkpoint")).unwrap();
    assert!(matches!(
        refusal(&house),
        OpenError::Wal(BadWal::Gap { .. })
    ));
}

#[test]
fn segments_of_another_history_are_refused_by_root_and_by_checkpoint() {
    let house = grown();
    let other = grown_otherwise();
    let keep = fs::read(house.at("public/checkpoint")).unwrap();
    // All of the other log but the checkpoint that was published: same key, same sizes.
    fs::write(other.at("public/checkpoint"), keep).unwrap();
    let refused = refusal(&other);
    assert!(
        matches!(refused, OpenError::Forked { size: 700, .. }),
        "{refused}"
    );
}

fn grown_otherwise() -> House {
    let mut house = House::new();
    let mut ledger = house.create(3);
    let clock = house.now();
    ledger.append(&entries(4..601), clock).unwrap();
    ledger.close_segment().unwrap();
    let clock = house.now();
    ledger.append(&entries(601..701), clock).unwrap();
    ledger.close_segment().unwrap();
    house
}

#[test]
fn a_changed_published_checkpoint_is_refused_and_a_deleted_one_is_made_again() {
    let house = grown();
    let path = house.at("public/checkpoint");
    let kept = fs::read(&path).unwrap();
    for at in (0..kept.len()).step_by(11) {
        flip(&path, at);
        let refused = refusal(&house);
        assert!(
            matches!(refused, OpenError::Published { .. }),
            "byte {at}: {refused}"
        );
        fs::write(&path, &kept).unwrap();
    }
    fs::remove_file(&path).unwrap();
    let (_, replay) = house.try_open().unwrap();
    assert!(replay.recovery().published);
    assert_eq!(
        fs::read(&path).unwrap(),
        kept,
        "a signature of ed25519 is always the same"
    );
}

#[test]
fn a_checkpoint_of_another_key_is_refused() {
    let house = grown();
    let other = Ed25519Signer::from_seed(&[6; 32]).unwrap();
    let refused = Ledger::open_in(house.store(), Box::new(other))
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(refused, OpenError::Published { .. }), "{refused}");
}

#[test]
fn damage_inside_the_write_ahead_file_is_refused_and_its_torn_end_is_cut_and_kept() {
    let mut house = grown();
    let (mut ledger, _) = house.open();
    house.append(&mut ledger, 700..703);
    let first_ends = fs::read(house.at("wal")).unwrap().len();
    house.append(&mut ledger, 703..704);
    drop(ledger);
    let path = house.at("wal");
    let kept = fs::read(&path).unwrap();
    for at in (0..first_ends).step_by(9) {
        flip(&path, at);
        assert!(matches!(refusal(&house), OpenError::Wal(_)), "byte {at}");
        fs::write(&path, &kept).unwrap();
    }
    let aside = house.at("aside");
    fs::rename(&path, &aside).unwrap();
    assert!(matches!(
        refusal(&house),
        OpenError::Wal(BadWal::Missing(_))
    ));
    fs::rename(&aside, &path).unwrap();

    fs::write(&path, &kept[..kept.len() - 1]).unwrap();
    let (mut ledger, replay) = house.try_open().unwrap();
    let recovery = replay.recovery().clone();
    assert_eq!(recovery.torn_bytes, kept.len() - 1 - first_ends);
    assert_eq!(
        fs::read(&recovery.swept[0]).unwrap(),
        kept[first_ends..kept.len() - 1]
    );
    assert_eq!(replay.count(), 703);
    let closed = ledger.close_segment().unwrap();
    assert_one_history(&house, &ledger, &closed);
}

#[test]
fn a_changed_tile_is_an_error_to_its_reader_and_is_made_again_at_the_next_open() {
    let house = grown();
    let (ledger, _) = house.open();
    let path = house.at("public/tile/0/001");
    let kept = fs::read(&path).unwrap();
    for at in (0..kept.len()).step_by(999) {
        flip(&path, at);
        let reader = ledger.reader();
        let refused = reader.inclusion_proof(256, 700).unwrap_err();
        assert!(
            matches!(&refused, TreeError::Node { source: ReadError::Tile(tile), .. } if *tile == path),
            "{refused}"
        );
        assert!(
            reader.inclusion_proof(3, 700).is_ok(),
            "other tiles are still read"
        );
        fs::write(&path, &kept).unwrap();
    }
    drop(ledger);
    let tiles = [
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/188",
        "tile/1/000.p/2",
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/188",
    ];
    let kept = tiles.map(|tile| fs::read(house.at("public").join(tile)).unwrap());
    for tile in tiles {
        flip(&house.at("public").join(tile), 40);
    }
    let (_, replay) = house.try_open().unwrap();
    assert_eq!(replay.recovery().tiles_made, 7);
    assert_eq!(
        tiles.map(|tile| fs::read(house.at("public").join(tile)).unwrap()),
        kept
    );
    drop(replay);
    fs::remove_dir_all(house.at("public")).unwrap();
    let (_, replay) = house.try_open().unwrap();
    assert_eq!(replay.recovery().tiles_made, 7);
    assert_eq!(
        tiles.map(|tile| fs::read(house.at("public").join(tile)).unwrap()),
        kept
    );
}

#[test]
fn a_segment_that_the_lock_does_not_name_is_swept_and_not_deleted() {
    let house = grown();
    let stray = house.segment("600-");
    let name = stray
        .file_name()
        .unwrap()
        .to_string_lossy()
        .replace("600-700", "600-650");
    fs::copy(&stray, house.at("segments").join(&name)).unwrap();
    fs::write(house.at("segments/700-801.seg.part"), b"half").unwrap();
    let (_, replay) = house.try_open().unwrap();
    assert_eq!(replay.recovery().swept, [house.at("swept").join(&name)]);
    assert_eq!(
        fs::read(house.at("swept").join(&name)).unwrap(),
        fs::read(&stray).unwrap()
    );
    assert_eq!(fs::read_dir(house.at("segments")).unwrap().count(), 3);
}

#[test]
fn a_second_ledger_on_the_directory_is_refused_and_told_by_whom() {
    let house = grown();
    let (ledger, _) = house.open();
    let refused = refusal(&house);
    let pid = std::process::id();
    assert!(
        matches!(refused, OpenError::NotHeld(NotHeld::Busy { pid: Some(found), .. }) if found == pid),
        "{refused}"
    );
    drop(ledger);
    house.open();
}

#[test]
fn a_ledger_is_made_only_where_nothing_is() {
    let mut house = House::new();
    fs::create_dir(house.path()).unwrap();
    assert!(matches!(refusal(&house), OpenError::NoLedger(_)));
    assert_eq!(fs::read_dir(house.path()).unwrap().count(), 0, "left empty");
    fs::remove_dir(house.path()).unwrap();
    assert!(matches!(refusal(&house), OpenError::NoLedger(_)));
    fs::create_dir(house.path()).unwrap();
    fs::write(house.at("anything"), b"").unwrap();
    let origin = || "log.example/1".parse().unwrap();
    let again = Ledger::create_in(house.store(), origin(), house.key(), &entries(0..1), 9);
    assert!(matches!(again, Err(OpenError::Exists(_))));
    fs::remove_file(house.at("anything")).unwrap();
    let none = Ledger::create_in(house.store(), origin(), house.key(), &[], 9);
    assert!(matches!(none, Err(OpenError::NoGenesis)));
    drop(house.create(1));
    let again = Ledger::create_in(house.store(), origin(), house.key(), &entries(0..1), 9);
    assert!(matches!(again, Err(OpenError::Exists(_))));
}

#[test]
fn only_the_public_tree_is_open_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut house = grown();
    let (mut ledger, _) = house.open();
    house.append(&mut ledger, 700..701);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for private in ["", "segments", "swept"] {
        assert_eq!(mode(&house.at(private)), 0o700, "{private}");
    }
    for private in ["lock", "wal", "writer.pid"] {
        assert_eq!(mode(&house.at(private)), 0o600, "{private}");
    }
    assert_eq!(mode(&house.segment("3-")), 0o600);
    assert_eq!(mode(&house.at("public/checkpoint")) & 0o444, 0o444);
    assert_eq!(mode(&house.at("public/tile/0/000")) & 0o444, 0o444);
}
