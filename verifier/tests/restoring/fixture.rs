//! A deployment without a server: its data directory, its officers and its log.

use std::path::{Path, PathBuf};

use affiant_verifier::{
    cli::Init,
    clock::Clock,
    data::DataDir,
    init::init,
    keyfile::{self, OfficerKey},
    ledger::{Entry, Ledger},
};
use prost::Message as _;

/// A data directory with two officers, alice and bob.
pub(crate) struct Deployment {
    dir: tempfile::TempDir,
}

impl Deployment {
    pub(crate) fn new() -> Self {
        let made = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let officers = ["alice", "bob"].map(|name| {
            OfficerKey::create(name, &made.at(&format!("{name}.key"))).unwrap();
            made.at(&format!("{name}.pub"))
        });
        let options = Init {
            origin: "test.example/affiant/1".into(),
            operator: "Test".into(),
            officers: officers.to_vec(),
        };
        init(&options, &made.at("data"), &clock(1_000)).unwrap();
        made
    }

    pub(crate) fn at(&self, place: &str) -> PathBuf {
        self.dir.path().join(place)
    }

    pub(crate) fn data(&self) -> DataDir {
        DataDir::at(&self.at("data"))
    }
}

pub(crate) fn clock(now: u64) -> Clock {
    Clock::of(move || now)
}

/// Opens the log of a data directory for writing.
pub(crate) fn open(data: &DataDir) -> Ledger {
    let signer = keyfile::read_signer(&data.log_key()).unwrap();
    Ledger::open(&data.ledger(), Box::new(signer)).unwrap().0
}

/// Publishes one more segment of `count` entries that no judge would take.
pub(crate) fn grow(ledger: &mut Ledger, count: u64) {
    let next = ledger.next_index();
    let entries: Vec<_> = (next..next + count).map(entry).collect();
    ledger.append(&entries, ledger.clock() + 1).unwrap();
    ledger.close_segment().unwrap();
}

pub(crate) fn entry(number: u64) -> Entry {
    let message = affiant_proto::v1::Envelope {
        statement: format!("statement {number}").into_bytes(),
        ..Default::default()
    };
    Entry::parse(message.encode_to_vec()).unwrap()
}

/// Every file under `directory`, as it is named from there.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let under = files(&path);
            found.extend(under.into_iter().map(|file| format!("{name}/{file}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}
