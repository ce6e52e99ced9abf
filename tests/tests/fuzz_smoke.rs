//! The fuzz targets over mutated vectors, for a bounded number of rounds and from a fixed seed, so
//! that every run of the tests exercises them on the stable compiler.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

// The functions of the fuzz package, which is a workspace of its own.
#[path = "../fuzz/src/choices.rs"]
mod choices;
#[path = "../fuzz/src/raw.rs"]
mod raw;
#[path = "../fuzz/src/structured.rs"]
mod structured;

use std::{fs, path::Path};

type Target = fn(&[u8]);

/// Rounds of one target. A round is some 20 to 300 µs: thirteen targets take ten seconds.
const ROUNDS: u64 = 4_000;

const TARGETS: [(&str, Target); 13] = [
    ("add_checkpoint", raw::add_checkpoint),
    ("checkpoint", raw::checkpoint),
    ("consistency", raw::consistency),
    ("envelope", raw::envelope),
    ("evidence", raw::evidence),
    ("keys", raw::keys),
    ("note", raw::note),
    ("statement", raw::statement),
    ("structured_disclosure", structured::disclosure),
    ("structured_note", structured::note),
    ("structured_record", structured::record),
    ("structured_statement", structured::statement),
    ("usage_leaves", raw::usage_leaves),
];

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
    out.sort();
    out.dedup();
    out
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
    for (name, target) in TARGETS {
        let mut dice = Dice(0x5eed_0000_0000_0001);
        for bytes in &corpus {
            target(bytes);
        }
        for round in 0..ROUNDS {
            let bytes = mutated(&corpus, &mut dice);
            let run = std::panic::catch_unwind(|| target(&bytes));
            assert!(run.is_ok(), "{name}, round {round}: {bytes:02x?}");
        }
    }
}

#[test]
fn structured_targets_come_as_far_as_admission() {
    let mut dice = Dice(0x5eed_0000_0000_0003);
    let admitted: usize = (0..ROUNDS / 4)
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
        for round in 0..ROUNDS / 4 {
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
    assert_eq!(names, TARGETS.map(|(name, _)| name));
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in names {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} has no binary"
        );
    }
}
