//! Reading while the writer writes, with every proof verified.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use affiant_proto::tlog::{
    Checkpoint, Nodes as _, NoteKey, TreeError, verify_consistency, verify_inclusion, verify_multi,
};
use affiant_verifier::ledger::{Entry, ReadError};

use super::fixture::{House, entry};

#[test]
fn readers_verify_every_proof_while_the_log_grows() {
    let mut house = House::new();
    let mut ledger = house.create(1);
    let key = NoteKey::new(
        "log.example/1".parse().unwrap(),
        house.key().public_key().clone(),
    )
    .unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (reader, key, done) = (ledger.reader(), key.clone(), &done);
                scope.spawn(move || {
                    let mut old = reader.signed_checkpoint().checkpoint().clone();
                    let mut rounds = 0_u64;
                    // One more round after the writer is done, so the last tree is seen too.
                    let mut last = false;
                    while !last {
                        last = done.load(Ordering::SeqCst);
                        let new = Checkpoint::open(&reader.checkpoint(), &key).unwrap();
                        let new = new.checkpoint();
                        let proof = reader.consistency_proof(old.size(), new.size()).unwrap();
                        verify_consistency(old.size(), old.root(), new.size(), new.root(), &proof)
                            .unwrap();
                        let index = rounds * 7919 % new.size();
                        let read = reader.entry(index).unwrap().unwrap();
                        let leaf = Entry::parse(read).unwrap().leaf();
                        let proof = reader.inclusion_proof(index, new.size()).unwrap();
                        verify_inclusion(&leaf, index, new.size(), new.root(), &proof).unwrap();
                        old = new.clone();
                        rounds += 1;
                    }
                    (old.size(), rounds)
                })
            })
            .collect();
        let mut next = 1;
        for round in 0..40 {
            let count = 1 + round * 37 % 200;
            house.append(&mut ledger, next..next + count);
            next += count;
            ledger.close_segment().unwrap();
        }
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            let (size, rounds) = reader.join().unwrap();
            assert_eq!(size, next);
            assert!(rounds > 1);
        }
    });
}

#[test]
fn proofs_hold_at_every_published_size_and_across_tile_borders() {
    let mut house = House::new();
    let mut ledger = house.create(255);
    let mut published = vec![ledger.reader().signed_checkpoint()];
    let mut next = 255;
    // Level 1 fills at 65,536.
    for count in [1, 1, 254, 1, 65_000, 23, 1, 1, 700] {
        house.append(&mut ledger, next..next + count);
        next += count;
        published.push(ledger.close_segment().unwrap());
    }
    let reader = ledger.reader();
    for old in &published {
        for new in published
            .iter()
            .filter(|new| new.checkpoint().size() >= old.checkpoint().size())
        {
            let (old, new) = (old.checkpoint(), new.checkpoint());
            let proof = reader.consistency_proof(old.size(), new.size()).unwrap();
            verify_consistency(old.size(), old.root(), new.size(), new.root(), &proof).unwrap();
        }
        let old = old.checkpoint();
        let some: Vec<u64> = [0, 1, 254, 255, 256, 511, 512, 65_535, 65_536, 66_000]
            .into_iter()
            .filter(|index| *index < old.size())
            .collect();
        let leaves: Vec<_> = some
            .iter()
            .map(|index| (*index, entry(*index).leaf()))
            .collect();
        for (index, leaf) in &leaves {
            let proof = reader.inclusion_proof(*index, old.size()).unwrap();
            verify_inclusion(leaf, *index, old.size(), old.root(), &proof).unwrap();
        }
        let proof = reader.multi_proof(&some, old.size()).unwrap();
        verify_multi(&leaves, old.size(), old.root(), &proof).unwrap();
    }
    let partial = std::fs::read_dir(house.at("public/tile/0/x065")).map(Iterator::count);
    assert!(partial.is_err(), "no tile of level 0 is that far");
    assert!(house.at("public/tile/1/000").exists());
    assert!(
        !house.at("public/tile/1/000.p").exists(),
        "superseded by the full tile"
    );
    assert!(!house.at("public/tile/0/000.p").exists());
    assert!(!house.at("public/tile/entries/000.p").exists());
}

#[test]
fn nothing_beyond_what_is_published_is_read() {
    let mut house = House::new();
    let mut ledger = house.create(3);
    house.append(&mut ledger, 3..8);
    let reader = ledger.reader();
    assert_eq!((reader.size(), ledger.next_index()), (3, 8));
    assert_eq!(reader.entry(2).unwrap().unwrap(), entry(2).envelope());
    for index in [3, 7, 8, u64::MAX] {
        assert!(reader.entry(index).unwrap().is_none(), "{index}");
    }
    assert_eq!(reader.entries(1..u64::MAX).count(), 2);
    let (high, low) = (5, 2);
    assert_eq!(reader.entries(high..low).count(), 0);
    for size in [4, 8, u64::MAX] {
        assert!(reader.inclusion_proof(0, size).is_err(), "{size}");
        assert!(reader.consistency_proof(1, size).is_err(), "{size}");
        assert!(reader.multi_proof(&[0], size).is_err(), "{size}");
    }
    for (level, index) in [
        (0, 3),
        (1, 1),
        (2, 0),
        (63, 0),
        (64, 0),
        (255, u64::MAX),
        (0, u64::MAX),
    ] {
        let refused = reader.node(level, index);
        assert!(
            matches!(refused, Err(ReadError::Beyond { size: 3, .. })),
            "{level} {index}"
        );
    }
    assert!(matches!(
        reader.inclusion_proof(3, 3),
        Err(TreeError::Outside { .. })
    ));
    ledger.close_segment().unwrap();
    assert_eq!(reader.entry(7).unwrap().unwrap(), entry(7).envelope());
}
