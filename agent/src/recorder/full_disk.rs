//! A change of the record key on a disk that is full at any of its steps.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{io::ErrorKind, path::Path, sync::Arc, time::Duration};

use affiant_proto::{
    Body, ChainState, Ed25519Signer, Envelope, Signer, Statement, statement::Place, v1,
};

use ring::{rand::SystemRandom, signature::Ed25519KeyPair};

use super::{Book, Opening};
use crate::{
    boot::Boot,
    clock::Clock,
    data::DataDir,
    disk::power::{Fault, TestDisk, directory},
    durable,
    meter::{Holding, Pace},
    recover::recover,
    rotation,
    sample::{Instant, Inventory, Reading, Sample},
    seal::Now,
    spool::{Limits, Spool},
};

fn now() -> Now {
    Now {
        header: crate::clock::header_time(),
        boot_ms: 0,
    }
}

fn limits(reserve: u64) -> Limits {
    Limits {
        max_bytes: 64 << 20,
        keep: Duration::from_secs(3_600),
        max_age: None,
        reserve: Some(reserve),
    }
}

/// A host whose changes go through `disk`, and where its chain was opened.
fn host(disk: &TestDisk, root: &Path, reserve: u64) -> (Book, ChainState) {
    let data = DataDir::at(root);
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let signer = Ed25519Signer::from_pkcs8(key.as_ref()).unwrap();
    let body = v1::Enrolment {
        record_key: signer.public_key().as_bytes().to_vec(),
        ..v1::Enrolment::default()
    };
    let time = now().header;
    let enrolment = Statement::seal(body.into(), Place::Opening, time, None, &signer).unwrap();
    let opened = ChainState::open(enrolment.clone()).unwrap().0;
    durable::replace_on(disk, &data.record_key(), key.as_ref()).unwrap();
    let disk = Arc::new(disk.clone());
    let mut spool = Spool::open_on(disk, &data.spool(), limits(reserve)).unwrap();
    Book::begin(&mut spool, &enrolment).unwrap();
    let opening = Opening {
        recovered: recover(&mut spool, &opened).unwrap(),
        spool,
        boot: Boot {
            number: 1,
            same: false,
        },
        pace: Pace::new(1_000, 10_000).unwrap(),
        seen: None,
        clock: Clock::of(now),
        data,
    };
    let mut book = Book::open(opening, Arc::new(signer));
    let device = v1::Device {
        uuid: "GPU-0".into(),
        ..v1::Device::default()
    };
    let inventory = Inventory {
        source: v1::SourceKind::Nvml,
        library: String::new(),
        library_digest: [0; 32],
        driver_version: String::new(),
        devices: vec![device],
    };
    book.inventory(inventory).unwrap();
    (book, opened)
}

fn tick(book: &mut Book, second: u64) {
    let at = Instant {
        boot_ms: second * 1_000,
        wall_ms: 1_800_000_000_000 + second * 1_000,
        slept_ms: 0,
    };
    let devices = vec![Ok(Reading::default())];
    book.sample(&Sample { at, devices }, &[Holding::Known(Vec::new())])
        .unwrap();
}

/// Rotates after 20 s and measures on until 60 s; tells whether the key was changed, and the length of
/// the longest record.
fn story(disk: &TestDisk, root: &Path, reserve: u64) -> (bool, u64) {
    let (mut book, opened) = host(disk, root, reserve);
    (0..=20).for_each(|second| tick(&mut book, second));
    let began = disk.steps().len();
    let rotated = book.rotate().unwrap();
    let ended = disk.steps().len();
    assert!(began < ended);
    (21..=60).for_each(|second| tick(&mut book, second));
    let mut chain = opened.clone();
    let (mut unseen, mut end, mut changed) = (0, 0, false);
    for (_, bytes) in book.read(1, 1 << 20).unwrap() {
        let envelope = Envelope::parse(&bytes).unwrap();
        let verified = chain.follow(envelope.into_parts().0).unwrap();
        match verified.body() {
            Body::Usage(usage) => {
                unseen = unseen.max(usage.end_ms - usage.start_ms);
                end = usage.end_ms;
            }
            Body::Key(_) => changed = true,
            _ => {}
        }
    }
    assert!(end > 50_000, "it measures on: {end}");
    assert_eq!(changed, rotated.is_ok());
    drop(book);
    // The next start has one key, which is the chain's.
    let data = DataDir::at(root);
    rotation::settle(&data, limits(reserve)).unwrap();
    let key = std::fs::read(data.record_key()).unwrap();
    let key = Ed25519Signer::from_pkcs8(&key).unwrap();
    assert_eq!(chain.key(), key.public_key());
    let chain = rotation::follow(&data, opened).unwrap();
    assert_eq!(chain.key(), key.public_key());
    assert!(!data.new_record_key().exists());
    (changed, unseen)
}

/// The steps that a change takes on a disk with room, but for syncs of the spool: after one that
/// failed nobody knows what is on the disk. And after which of them the change is sealed.
fn steps(reserve: u64) -> (Vec<usize>, usize) {
    let (disk, home) = (TestDisk::default(), directory());
    let (mut book, _) = host(&disk, home.path(), reserve);
    (0..=20).for_each(|second| tick(&mut book, second));
    let began = disk.steps().len();
    book.rotate().unwrap().unwrap();
    let steps = disk.steps();
    let spool = |at: &usize| steps[*at].starts_with("sync") && steps[*at].ends_with("spool");
    let sealed = (began..steps.len()).rfind(spool).expect("it is sealed");
    let others = (began..steps.len()).filter(|at| !spool(at));
    (others.collect(), sealed)
}

#[test]
fn a_disk_that_is_full_at_any_step_of_a_change_of_the_key_ends_no_measuring() {
    let (all, sealed) = steps(0);
    let (mut refused, mut waited) = (0, 0);
    for at in all {
        // Once, or until the third time that somebody looks.
        let full = ErrorKind::StorageFull;
        for (times, fault) in [
            (1, Fault::Unwritten(full)),
            (1, Fault::Half(full)),
            (3, Fault::Unwritten(full)),
        ] {
            if times > 1 && at < sealed {
                continue;
            }
            let disk = TestDisk::failing_in(at..at + times, fault);
            let home = directory();
            let (changed, longest) = {
                let told = std::panic::catch_unwind(|| story(&disk, home.path(), 0));
                told.unwrap_or_else(|_| panic!("at {at}: {:?}", disk.steps().get(at)))
            };
            assert_eq!(changed, at > sealed, "{at}");
            refused += usize::from(!changed);
            waited += usize::from(longest > 10_000);
        }
    }
    assert!(
        refused > 3,
        "{refused}: before the change is sealed nothing changes"
    );
    assert!(waited > 3, "{waited}: what is sealed next waits for room");
}

#[test]
fn the_reserve_finishes_a_change_of_the_key_on_a_full_disk() {
    let (all, _) = steps(64 << 10);
    let (disk, home) = (TestDisk::default(), directory());
    story(&disk, home.path(), 64 << 10);
    let writes = |at: &usize| disk.steps()[*at] == "write to key-changes.tmp";
    let at = all.into_iter().find(writes).expect("changes are written");
    let disk = TestDisk::failing(at, Fault::Half(ErrorKind::StorageFull));
    let home = directory();
    assert_eq!(story(&disk, home.path(), 64 << 10), (true, 10_000));
    assert!(disk.steps().iter().any(|step| step == "remove reserve"));
}
