//! Whatever entries are filed, the same come back; whatever bytes are read, they are bounded.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use affiant_proto::{
    Digest, Ed25519Signer, Envelope, SaltedTree, Seed, Statement, digest, statement::Place, v1,
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::segment::{Builder, Entry, Layout, MAX_FRAME_ENTRIES, Segment, SegmentName};

/// The chain of a host, as far as it was written.
struct Host {
    key: Ed25519Signer,
    chain: Digest,
    sequence: u64,
    head: Digest,
    end: u64,
}

impl Host {
    fn new(seed: u8) -> Self {
        Self {
            key: Ed25519Signer::from_seed(&[seed; 32]).unwrap(),
            chain: digest(&[seed]),
            sequence: 0,
            head: digest(&[seed]),
            end: u64::from(seed) * 1_000_000,
        }
    }

    fn seal(&mut self, body: impl Into<affiant_proto::Body>, seen: bool) -> Statement {
        self.sequence += 1;
        let place = Place::Link {
            chain: self.chain,
            sequence: self.sequence,
            previous: self.head,
        };
        let time = v1::Time {
            unix_ms: 1_700_000_000_000 + self.end,
            clock: v1::ClockState::Synchronized.into(),
            max_error_ms: (!self.sequence.is_multiple_of(3)).then_some(7),
        };
        let seen = seen.then(|| v1::CheckpointRef {
            origin: "log.example/1".into(),
            size: 1 + self.sequence / 4,
            root: vec![9; 32],
        });
        let made = Statement::seal(body.into(), place, time, seen, &self.key).unwrap();
        self.head = made.digest();
        made
    }

    /// The next record, as a host makes it, over these lines.
    fn record(&mut self, lines: &[v1::UsageLine], totals: &v1::Totals) -> Envelope {
        let leaves = std::iter::once(totals.encode_to_vec());
        let leaves = leaves.chain(lines.iter().map(v1::UsageLine::encode_to_vec));
        let seed = digest(self.head.as_bytes()).as_bytes()[..16].try_into();
        let tree = SaltedTree::new(Seed::new(seed.unwrap()), leaves.collect()).unwrap();
        let usage = v1::Usage {
            boot: 1,
            start_ms: self.end,
            end_ms: self.end + 10_000,
            wall_start_ms: 1_700_000_000_000 + self.end,
            wall_end_ms: 1_700_000_010_000 + self.end,
            source: v1::SourceKind::Nvml.into(),
            inventory: 1,
            workloads: 2,
            usage_root: tree.root().as_bytes().to_vec(),
            usage_count: tree.count(),
            ..Default::default()
        };
        self.end += 10_000;
        let made = self.seal(usage, true);
        Envelope::join(made, Some(tree)).unwrap()
    }
}

/// Lines of eight devices that are all in use, and what they sum to.
fn busy(number: u64) -> (Vec<v1::UsageLine>, v1::Totals) {
    let line = |device: u32| v1::UsageLine {
        device,
        kind: v1::LineKind::Attributed.into(),
        workload: Some(0),
        time_ms: 10_000,
        allocated_ms: Some(10_000),
        busy_ms: Some(9_300 + number % 90),
        energy_mj: Some(5_000_000 + number * 7_919 % 900_000),
        memory_peak_bytes: Some(60 << 30),
        sm_permille: Some(800),
        samples: 10,
        ..Default::default()
    };
    let lines: Vec<_> = (0..8).map(line).collect();
    let total = |line: &v1::UsageLine| v1::DeviceTotals {
        attributed_ms: line.time_ms,
        energy_mj: line.energy_mj,
        ..Default::default()
    };
    let totals = v1::Totals {
        devices: lines.iter().map(total).collect(),
    };
    (lines, totals)
}

fn written(entries: &[Entry], layout: Layout, start: u64) -> (SegmentName, Vec<u8>) {
    let mut builder = Builder::laid_out(layout, start, 77).unwrap();
    for (number, entry) in entries.iter().enumerate() {
        builder.push(entry).unwrap();
        if number % 5 == 4 {
            builder.closed();
        }
    }
    builder.finish(3).unwrap()
}

fn read(name: &SegmentName, file: &[u8]) -> Segment {
    let segment = Segment::read(PathBuf::new(), name, file.to_vec()).unwrap();
    segment.verify().unwrap();
    segment
}

fn all(segment: &Segment) -> Vec<Entry> {
    let mut entries = Vec::new();
    for number in 0..segment.frames() {
        let (first, part) = segment.frame(number).unwrap();
        assert_eq!(first, segment.name().start() + entries.len() as u64);
        assert_eq!(segment.span(number), Some(first..first + part.len() as u64));
        assert_eq!(segment.frame_of(first), Some(number));
        assert!(part.len() <= MAX_FRAME_ENTRIES);
        entries.extend(part);
    }
    entries
}

/// A log of hosts that report in turn.
fn fleet(hosts: u8, records: u64) -> Vec<Entry> {
    let mut hosts: Vec<Host> = (1..=hosts).map(Host::new).collect();
    let mut entries = Vec::new();
    for number in 0..records {
        for host in &mut hosts {
            let (lines, totals) = busy(number + host.end);
            entries.push(Entry::of(&host.record(&lines, &totals)));
        }
    }
    entries
}

#[test]
fn a_filed_segment_gives_its_entries_in_the_order_of_the_log() {
    let entries = fleet(7, 90);
    let (name, file) = written(&entries, Layout::Filed, 40);
    let segment = read(&name, &file);
    assert_eq!(segment.layout(), Layout::Filed);
    assert_eq!((segment.clock(), segment.revision()), (77, 3));
    assert_eq!(all(&segment), entries);
    let closes: Vec<u64> = (0..segment.frames())
        .flat_map(|number| segment.closes(number).unwrap())
        .collect();
    let due: Vec<u64> = (1..=126).map(|fifth| 40 + 5 * fifth).collect();
    assert_eq!(closes, due);
    assert_eq!((segment.frame_of(39), segment.frame_of(670)), (None, None));
    assert!(segment.frame(3).is_err());
}

#[test]
fn records_that_repeat_along_their_chains_take_a_tenth_more_than_what_never_compresses() {
    let entries = fleet(7, 90);
    let (_, logged) = written(&entries, Layout::Logged, 0);
    let (_, filed) = written(&entries, Layout::Filed, 0);
    // Signature, root and seed of each.
    let least = 112 * entries.len();
    assert!(filed.len() < least * 11 / 10, "{} of {least}", filed.len());
    assert!(logged.len() > least * 3 / 2, "{} of {least}", logged.len());
}

#[test]
fn a_record_that_cannot_be_taken_apart_is_kept_as_it_is() {
    let mut host = Host::new(1);
    let (lines, totals) = busy(1);
    let whole = host.record(&lines, &totals);
    assert!(record::Record::apart(&whole.to_bytes()).is_some());
    // An envelope in another spelling, which no verifier takes and a segment may hold.
    let mut respelled = whole.to_bytes();
    respelled.extend([0x28, 0x00]);
    let opening = Statement::seal(
        v1::Usage::default().into(),
        Place::Opening,
        v1::Time::default(),
        None,
        &host.key,
    );
    for odd in [
        respelled,
        v1::Envelope {
            statement: b"no statement".to_vec(),
            ..Default::default()
        }
        .encode_to_vec(),
    ] {
        let entries = [Entry::parse(odd).unwrap(), Entry::of(&whole)];
        let (name, file) = written(&entries, Layout::Filed, 0);
        assert_eq!(all(&read(&name, &file)), entries);
    }
    assert!(opening.is_err() || Entry::bare(&opening.unwrap()).digest() != &host.chain);
}

#[test]
fn every_changed_bit_and_every_cut_of_a_filed_segment_is_seen() {
    let entries = fleet(2, 2);
    let (name, file) = written(&entries, Layout::Filed, 9);
    let seen = |bytes: &[u8]| {
        let read = Segment::read(PathBuf::new(), &name, bytes.to_vec());
        read.and_then(|segment| segment.verify()).is_err()
    };
    for at in 0..file.len() {
        assert!(seen(&file[..at]), "cut at {at}");
        let mut changed = file.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(seen(&changed), "byte {at}");
    }
    assert!(!seen(&file));
}

#[test]
fn of_a_block_that_is_damaged_the_entries_are_told() {
    let entries = fleet(3, 3_000);
    let (name, file) = written(&entries, Layout::Filed, 100);
    assert_eq!(read(&name, &file).damage(), None);
    // The first block: all of one host, and most of the second.
    let mut changed = file.clone();
    changed[60] ^= 1;
    let segment = Segment::read(PathBuf::new(), &name, changed).unwrap();
    assert!(segment.verify().is_err());
    let hit = segment.damage().unwrap();
    assert!(
        hit.start >= 100 && hit.end <= 9_100 && hit.end - hit.start > 8_000,
        "{hit:?}"
    );
    let refused = segment.frame(0).unwrap_err().to_string();
    assert!(refused.contains("block 0"), "{refused}");
}

/// The content of a block with all that can be in one.
fn content() -> (Vec<u8>, u32) {
    let mut host = Host::new(1);
    let mut items = Vec::new();
    for number in 0..6 {
        let (lines, mut totals) = busy(number);
        if number == 2 {
            totals.devices.pop();
        }
        let record = host.record(&lines, &totals);
        let record = if number == 3 {
            record.without_lines()
        } else {
            record
        };
        items.push(Item::new(number * 2, Entry::of(&record)));
        let clock = host.seal(v1::Clock::default(), false);
        items.push(Item::new(number * 2 + 1, Entry::bare(&clock)));
    }
    let content = pack(&items, 0).unwrap();
    assert!(holds(&content, &items, 0));
    (content, 12)
}

#[test]
fn a_changed_content_is_refused_or_gives_other_entries_and_never_more_than_a_segment() {
    let (content, count) = content();
    let mut refused = 0;
    for at in 0..content.len() {
        for value in [content[at] ^ 1, 0x00, 0x7f, 0xff] {
            let mut changed = content.clone();
            changed[at] = value;
            let mut bytes = 0;
            let room = &mut MAX_SEGMENT_BYTES.clone();
            let read = unpack(&changed, (count, 0), room, |_, envelope, _| {
                bytes += envelope.len() + 4;
                Ok(())
            });
            assert!(bytes <= MAX_SEGMENT_BYTES);
            refused += usize::from(read.is_err());
        }
    }
    assert!(refused > 500, "{refused}");
    for more in [count - 1, count + 1] {
        let read = unpack(
            &content,
            (more, 0),
            &mut MAX_SEGMENT_BYTES.clone(),
            |_, _, _| Ok(()),
        );
        assert!(read.is_err());
    }
}

#[test]
fn a_block_that_would_unpack_to_more_than_a_segment_is_refused() {
    let (content, count) = content();
    let room = &mut 4_000;
    let read = unpack(&content, (count, 0), room, |_, _, _| Ok(()));
    assert_eq!(read, Err(Misfiled::TooMuch));
}

#[test]
fn two_blocks_may_not_hold_one_index() {
    let entries = fleet(1, 4);
    let items: Vec<_> = (0..)
        .zip(&entries)
        .map(|(index, it)| Item::new(index, it.clone()))
        .collect();
    let twice: Vec<_> = [&items[..2], &items[..2]].concat();
    let content = pack(&twice, 0).unwrap();
    let mut there = [false; 4];
    let read = unpack(
        &content,
        (4, 0),
        &mut MAX_SEGMENT_BYTES.clone(),
        |index, _, _| {
            let there = &mut there[usize::try_from(index).unwrap()];
            match std::mem::replace(there, true) {
                true => Err(Misfiled::Index),
                false => Ok(()),
            }
        },
    );
    assert_eq!(read, Err(Misfiled::Index));
}

/// A number as fields have them: mostly small, now and then anything.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..3_u64, 3 => 0..20_000_u64, 1 => any::<u64>()]
}

fn line() -> impl Strategy<Value = v1::UsageLine> {
    let narrow = || prop_oneof![5 => 0..4_u32, 1 => any::<u32>()];
    let enumerated = || prop_oneof![6 => 0..5_i32, 1 => any::<i32>()];
    let head = (
        narrow(),
        enumerated(),
        prop::option::of(narrow()),
        enumerated(),
    );
    let times = (
        number(),
        prop::option::of(number()),
        prop::option::of(number()),
    );
    let rest = (
        prop::option::of(number()),
        prop::option::of(number()),
        prop::option::of(narrow()),
        prop::option::of(narrow()),
    );
    (head, times, rest, narrow(), narrow()).prop_map(|(head, times, rest, samples, missing)| {
        v1::UsageLine {
            device: head.0,
            kind: head.1,
            workload: head.2,
            reason: head.3,
            time_ms: times.0,
            allocated_ms: times.1,
            busy_ms: times.2,
            energy_mj: rest.0,
            memory_peak_bytes: rest.1,
            sm_permille: rest.2,
            tensor_permille: rest.3,
            samples,
            missing,
        }
    })
}

proptest! {
    #[test]
    fn any_list_of_entries_is_filed_and_comes_back_byte_for_byte(
        given in prop::collection::vec(
            (0..4_u8, 0..9_u8, prop::collection::vec(line(), 0..6), number()),
            1..40,
        ),
        start in prop_oneof![Just(0_u64), Just(u64::MAX - 100), any::<u32>().prop_map(u64::from)],
    ) {
        let mut hosts: Vec<Host> = (1..5).map(Host::new).collect();
        let mut entries = Vec::new();
        for (host, what, lines, number) in given {
            let host = &mut hosts[usize::from(host)];
            let summed = record::sum(&lines).unwrap_or_default();
            let entry = match what {
                0 => Entry::bare(&host.seal(v1::Clock::default(), number % 2 == 0)),
                1 => {
                    // The chain goes on elsewhere.
                    host.head = digest(&number.to_le_bytes());
                    host.sequence = host.sequence.wrapping_add(number % (1 << 40));
                    Entry::of(&host.record(&lines, &summed))
                }
                2 => Entry::of(&host.record(&lines, &summed).without_lines()),
                3 => {
                    let other = v1::Totals::default();
                    Entry::of(&host.record(&lines, &other))
                }
                4 => {
                    let mut bytes = host.record(&lines, &summed).to_bytes();
                    let at = usize::try_from(number).unwrap_or(0) % bytes.len();
                    bytes[at] ^= 1;
                    match Entry::parse(bytes) {
                        Ok(entry) => entry,
                        Err(_) => continue,
                    }
                }
                5 => {
                    let statement = number.to_le_bytes().to_vec();
                    let envelope = v1::Envelope { statement, ..Default::default() };
                    Entry::parse(envelope.encode_to_vec()).unwrap()
                }
                6 => {
                    host.end = number.min(u64::MAX >> 8);
                    Entry::of(&host.record(&lines, &summed))
                }
                _ => Entry::of(&host.record(&lines, &summed)),
            };
            entries.push(entry);
        }
        prop_assume!(!entries.is_empty());
        let (name, file) = written(&entries, Layout::Filed, start);
        let segment = read(&name, &file);
        prop_assert_eq!(all(&segment), entries.clone());
        let (_, logged) = written(&entries, Layout::Logged, start);
        prop_assert!(file.len() < logged.len() + 1_024 + 16 * entries.len());
    }

    #[test]
    fn any_bytes_read_as_a_block_are_bounded(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        count in any::<u32>(),
    ) {
        let mut entries = 0_u32;
        let _ = unpack(&bytes, (count, 0), &mut 100_000, |_, _, _| {
            entries += 1;
            Ok(())
        });
        prop_assert!(entries <= 25_000);
    }
}
