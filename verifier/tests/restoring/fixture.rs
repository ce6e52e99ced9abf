//! A deployment without a server: its data directory, its officers and its log.

use std::path::{Path, PathBuf};

use affiant_proto::{Authorities, Statement};
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

/// Has the operator say `count` things, in one segment.
pub(crate) fn speak(data: &DataDir, count: u64) {
    let mut ledger = open(data);
    let reader = ledger.reader();
    let operator = keyfile::read_signer(&data.operator_key()).unwrap();
    let (mut authorities, next) = authorities(reader.entries(0..reader.size()).map(|read| {
        let (_, entry) = read.unwrap();
        entry
    }));
    let clock = ledger.clock() + 1;
    let mut entries = Vec::new();
    for index in next..next + count {
        let time = affiant_proto::v1::Time {
            unix_ms: clock,
            clock: affiant_proto::v1::ClockState::Unknown.into(),
            max_error_ms: None,
        };
        let body = affiant_proto::v1::Clock::default();
        let place = authorities.operator().next_place();
        let made = Statement::seal(body.into(), place, time, None, &operator).unwrap();
        let envelope = affiant_proto::v1::Envelope {
            statement: made.as_bytes().to_vec(),
            ..Default::default()
        };
        authorities.admit(Some(index), made, false).unwrap();
        entries.push(Entry::parse(envelope.encode_to_vec()).unwrap());
    }
    ledger.append(&entries, clock).unwrap();
    ledger.close_segment().unwrap();
}

/// Who speaks for the deployment by these entries, and how many there are.
pub(crate) fn authorities(entries: impl Iterator<Item = Entry>) -> (Authorities, u64) {
    let mut found: Option<Authorities> = None;
    let mut next = 0;
    for (index, entry) in (0..).zip(entries) {
        let envelope = affiant_proto::v1::Envelope::decode(entry.envelope()).unwrap();
        let statement = Statement::parse(&envelope.statement).unwrap();
        match &mut found {
            None => found = Some(Authorities::open(statement).unwrap().0),
            Some(found) => {
                found.admit(Some(index), statement, false).unwrap();
            }
        }
        next = index + 1;
    }
    (found.unwrap(), next)
}

/// The authorities of a whole log on the disk.
pub(crate) fn authorities_of(data: &DataDir) -> Authorities {
    let ledger = open(data);
    let reader = ledger.reader();
    let entries = reader.entries(0..reader.size());
    authorities(entries.map(|read| read.unwrap().1)).0
}

/// Copies a directory with all in it into `to`, over what is there.
pub(crate) fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    std::fs::create_dir_all(to).unwrap();
    for found in std::fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        copy(&found.path(), &to.join(found.file_name()));
    }
}
