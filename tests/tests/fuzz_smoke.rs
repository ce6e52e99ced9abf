//! The fuzz targets over mutated vectors, for a bounded number of rounds and from a fixed seed, so
//! that every run of the tests exercises them on the stable compiler.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

// The functions of the fuzz package, which is a workspace of its own.
#[path = "../fuzz/src/choices.rs"]
mod choices;
#[path = "../fuzz/src/daemons.rs"]
mod daemons;
#[path = "../fuzz/src/files.rs"]
mod files;
#[path = "../fuzz/src/raw.rs"]
mod raw;
#[path = "../fuzz/src/structured.rs"]
mod structured;
#[path = "../fuzz/src/structured_log.rs"]
mod structured_log;
#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::{fs, path::Path};

use daemons::DAEMONS;
use targets::TARGETS;

/// Rounds of one target. A round is some 1 to 10 µs, of a structured one, which has a sixteenth of
/// them, up to 10 ms: 25 targets take some five seconds.
const ROUNDS: u64 = 8_000;

/// Rounds of one target that writes files: a round is some 4 ms, of the spool, which syncs, 50.
const FILE_ROUNDS: u64 = 200;
const SPOOL_ROUNDS: u64 = 40;

/// xorshift64*: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit.max(1) as u64).unwrap()
    }
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Every byte string and text of the vectors.
fn corpus() -> Vec<Vec<u8>> {
    let mut out = vec![Vec::new()];
    let refused = fs::read_dir(folder().join("refused")).unwrap();
    let mut files: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .chain(refused)
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    for file in files.iter().filter(|file| file.is_file()) {
        let text = fs::read_to_string(file).unwrap();
        for json in serde_json::Deserializer::from_str(&text)
            .into_iter::<serde_json::Value>()
            .map_while(Result::ok)
        {
            strings(&json, &mut out);
        }
    }
    out.extend(read_by_auditors());
    // A policy of witnesses over a key of the vectors, which no vector is.
    let keys = fs::read_to_string(folder().join("notes.json")).unwrap();
    let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
    let (log, witness) = (&keys["log_vkey"], &keys["witness_vkey"]);
    let policy = format!(
        "log {}\nwitness W {} http://w.example\ngroup G any W\nquorum G\n",
        log.as_str().unwrap(),
        witness.as_str().unwrap()
    );
    out.push(policy.into_bytes());
    out.sort();
    out.dedup();
    out
}

/// Files of the auditor and the verifier that no vector is of.
fn read_by_auditors() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let devices = fs::read(root.join("verifier/judge/devices.csv")).unwrap();
    let texts = include_str!("../fuzz/samples/auditors.txt").split("\n----\n");
    let mut out: Vec<Vec<u8>> = texts.map(|text| format!("{text}\n").into_bytes()).collect();
    out.push(devices);
    // Thrice, for most of what is done to a pack ends before its policies are read.
    let pack = affiant_judge::policy::shipped_files().unwrap().to_bytes();
    out.extend([pack.clone(), pack.clone(), pack]);
    out.extend([1_usize, 2, 7, 256].map(|width| vec![0xab; 32 * width]));
    out.push(segment_of(&out[0]));
    out.extend(filed());
    out
}

/// A filed segment over the records of the vectors, and the block in it.
fn filed() -> [Vec<u8>; 2] {
    use affiant_report::segment::{Builder, Entry, Layout, blocks};
    let read = strings_of("host.json").into_iter();
    let read = read.filter_map(|bytes| affiant_proto::Envelope::parse(&bytes).ok());
    let both = |it: affiant_proto::Envelope| [Entry::of(&it), Entry::of(&it.without_lines())];
    let entries: Vec<Entry> = read.flat_map(both).collect();
    assert!(entries.len() > 4, "the vectors of a host have no envelopes");
    let mut builder = Builder::laid_out(Layout::Filed, 0, 1).unwrap();
    entries.iter().for_each(|it| builder.push(it).unwrap());
    let count = u8::try_from(entries.len()).unwrap();
    let block = [&[count], blocks::pack(&entries).as_slice()].concat();
    [builder.finish(1).unwrap().1, block]
}

/// A segment of one entry.
fn segment_of(content: &[u8]) -> Vec<u8> {
    use affiant_report::segment::{Builder, Entry};
    let envelope = affiant_proto::v1::Envelope {
        statement: content.to_vec(),
        ..Default::default()
    };
    let entry = Entry::parse(prost::Message::encode_to_vec(&envelope)).unwrap();
    let mut builder = Builder::new(0, 1).unwrap();
    builder.push(&entry).unwrap();
    builder.finish(0).unwrap().1
}

fn strings(json: &serde_json::Value, out: &mut Vec<Vec<u8>>) {
    match json {
        serde_json::Value::String(text) => {
            let digits = text.len().is_multiple_of(2)
                && text
                    .bytes()
                    .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
            let unhexed = digits.then(|| {
                (0..text.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
                    .collect()
            });
            out.extend(unhexed);
            out.push(text.clone().into_bytes());
        }
        serde_json::Value::Array(all) => all.iter().for_each(|one| strings(one, out)),
        serde_json::Value::Object(all) => all.values().for_each(|one| strings(one, out)),
        _ => {}
    }
}

/// Files and texts of the kinds that daemons read: examples of the repository, and some written
/// here.
fn samples() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let deployed = [
        "agent.toml",
        "verifier.toml",
        "registry.toml",
        "demo/registry.toml",
    ];
    let mut out: Vec<Vec<u8>> = deployed
        .iter()
        .map(|name| fs::read(root.join("deploy").join(name)).unwrap())
        .collect();
    let traces = ["h100.jsonl", "l4.jsonl"];
    out.extend(traces.map(|name| fs::read(root.join("deploy/demo/traces").join(name)).unwrap()));
    let host = include_str!("../fuzz/samples/daemons.txt");
    out.extend(host.split("\n----\n").map(|text| text.as_bytes().to_vec()));
    // Frames of a pipe are a length and JSON; a write-ahead file begins with its mark.
    let framed = |text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&length, text.as_bytes()].concat()
    };
    out.extend(host.split("\n----\n").map(framed));
    // What a witness remembers of a log.
    let notes = fs::read_to_string(folder().join("notes.json")).unwrap();
    let notes: serde_json::Value = serde_json::from_str(&notes).unwrap();
    let seen = serde_json::json!({ "note": notes["cosigned_note"] });
    let state = serde_json::json!({ "version": 1, "logs": [seen] });
    out.push(state.to_string().into_bytes());
    let genesis = strings_of("host.json");
    out.extend(genesis.into_iter().take(8));
    out
}

fn strings_of(name: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    let mut out = Vec::new();
    strings(&serde_json::from_str(&text).unwrap(), &mut out);
    out
}

fn mutated(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = corpus[dice.below(corpus.len())].clone();
    for _ in 0..dice.below(5) {
        let at = dice.below(bytes.len() + 1);
        let byte = dice.roll().to_le_bytes()[0];
        match dice.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 => {
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len() + 1);
                bytes.splice(at.., other[from..].iter().copied());
            }
            _ => {
                if let Some(changed) = bytes.get_mut(at) {
                    *changed ^= 1 << (byte & 7);
                }
            }
        }
    }
    bytes
}

#[test]
fn no_reader_of_foreign_bytes_panics_or_takes_two_spellings() {
    let corpus = corpus();
    assert!(
        corpus.len() > 300,
        "the vectors were not read: {}",
        corpus.len()
    );
    let files = samples();
    let daemons = DAEMONS.map(|(name, target)| {
        let rounds = if name == "spool" {
            SPOOL_ROUNDS
        } else {
            FILE_ROUNDS
        };
        (name, target, rounds, &files)
    });
    let targets = TARGETS.map(|(name, target)| {
        // A list is indexed before it is asked, some 100 µs.
        let rounds = if name.starts_with("structured_") || name.starts_with("screening_") {
            ROUNDS / 16
        } else {
            ROUNDS
        };
        (name, target, rounds, &corpus)
    });
    for (name, target, rounds, corpus) in targets.into_iter().chain(daemons) {
        let mut dice = Dice(0x5eed_0000_0000_0001);
        // Whatever bytes are, a structured target makes of them what it likes.
        if !name.starts_with("structured_") {
            corpus.iter().for_each(|bytes| target(bytes));
        }
        for round in 0..rounds {
            let bytes = mutated(corpus, &mut dice);
            let run = std::panic::catch_unwind(|| target(&bytes));
            assert!(run.is_ok(), "{name}, round {round}: {bytes:02x?}");
        }
    }
}

#[test]
fn structured_targets_come_as_far_as_admission() {
    let mut dice = Dice(0x5eed_0000_0000_0003);
    let admitted: usize = (0..ROUNDS / 8)
        .map(|_| {
            (0..200)
                .map(|_| dice.roll().to_le_bytes()[0])
                .collect::<Vec<_>>()
        })
        .map(|bytes| structured::admitted_records(&bytes))
        .sum();
    assert!(
        admitted > 50,
        "only {admitted} records were admitted: the target checks nothing"
    );
}

#[test]
fn structured_targets_hold_for_choices_at_random() {
    let mut dice = Dice(0x5eed_0000_0000_0002);
    for (name, target) in TARGETS
        .iter()
        .filter(|(name, _)| name.starts_with("structured_"))
    {
        for round in 0..ROUNDS / 32 {
            let bytes: Vec<u8> = (0..dice.below(400))
                .map(|_| dice.roll().to_le_bytes()[0])
                .collect();
            let run = std::panic::catch_unwind(|| target(&bytes));
            assert!(run.is_ok(), "{name}, round {round}: {bytes:02x?}");
        }
    }
}

#[test]
fn every_target_is_a_fuzz_binary_and_every_binary_a_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut names: Vec<String> = fs::read_dir(fuzz.join("fuzz_targets"))
        .unwrap()
        .map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    names.sort();
    let mut due: Vec<&str> = TARGETS
        .iter()
        .chain(&DAEMONS)
        .map(|(name, _)| *name)
        .collect();
    due.sort_unstable();
    assert_eq!(names, due);
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in names {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} has no binary"
        );
    }
}
