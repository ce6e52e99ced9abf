//! A log on disk as the verifier's own ledger writes it, and its files.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::{collections::BTreeMap, fs, path::Path};

use affiant_proto::Body;
use affiant_verifier::ledger::{Entry, Ledger};

use crate::support::{ORIGIN, World, signer};

/// Files by their path below a directory.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Has the ledger write the log of a world. `begins` is asked, with the index, the one at which the
/// last segment began and what is said there, whether another one begins.
pub(crate) fn written(
    world: &World,
    dir: &Path,
    begins: impl Fn(usize, Option<usize>, &Body) -> bool,
) {
    let entries = world.log.iter();
    let entries: Vec<Entry> = entries
        .map(|one| Entry::parse(one.to_bytes()).unwrap())
        .collect();
    let mut starts: Vec<usize> = Vec::new();
    for (at, one) in world.log.iter().enumerate() {
        if begins(at, starts.last().copied(), one.statement().body()) {
            starts.push(at);
        }
    }
    starts.push(entries.len());
    // A cosigned statement is of the second of the clock before it; segments are apart by a millisecond.
    let time = |at: usize| at as u64 + world.log[at].statement().header().time().unix_ms;
    let origin = ORIGIN.parse().unwrap();
    let key = Box::new(signer(2));
    let mut ledger = Ledger::create(dir, origin, key, &entries[..starts[0]], 1).unwrap();
    for span in starts.windows(2) {
        ledger
            .append(&entries[span[0]..span[1]], time(span[0]))
            .unwrap();
        ledger.close_segment().unwrap();
    }
}

/// Tells whether a segment of some `entries` begins at a clock; the genesis and who follow it come first.
pub(crate) fn clock_after(entries: usize, at: usize, last: Option<usize>, body: &Body) -> bool {
    matches!(body, Body::Clock(_)) && at >= last.map_or(6, |last| last + entries)
}

/// All files below a directory.
pub(crate) fn files(dir: &Path) -> Files {
    fn walk(dir: &Path, before: &str, files: &mut Files) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{before}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{path}/"), files);
            } else {
                files.insert(path, fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut all = Files::new();
    walk(dir, "", &mut all);
    all
}
