//! What happens to the spool when the disk fails at any of its steps.
//!
//! One story takes the spool through all that it does: appends, new segments, INCLUDED records,
//! lines and records let go of, restarts. It is told again with each step failing in each way.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeMap, io::ErrorKind, time::UNIX_EPOCH};

use super::*;
use crate::disk::power::{Fault, Random, TestDisk, directory};

/// Segments of 2 KiB.
pub(super) const LIMITS: Limits = Limits {
    max_bytes: 16 << 10,
    keep: Duration::from_secs(3_600),
    max_age: None,
    reserve: None,
};

/// What stands for lines.
const LINES: usize = 80;

/// What stands for a statement and its totals.
const TOTALS: usize = 80;

/// A record as it is sealed.
fn whole(sequence: u64) -> Vec<u8> {
    let mut entry = format!("record {sequence};").into_bytes();
    entry.resize(TOTALS, b't');
    entry.resize(TOTALS + LINES, b'l');
    entry
}

/// What says that lines or records went.
fn gap(kind: &str, first: u64, last: u64) -> Vec<u8> {
    format!("{kind} {first} {last}").into_bytes()
}

fn shorten(entry: &[u8]) -> Option<Vec<u8>> {
    let lines = entry.strip_suffix(&[b'l'; LINES])?;
    Some(lines.to_vec())
}

/// What the spool has promised to somebody who seals and sends.
pub(super) struct Teller {
    spool: Option<Spool>,
    directory: PathBuf,
    disk: TestDisk,
    /// Every record whose append returned.
    promised: Vec<Vec<u8>>,
    /// What an append that failed may have left.
    attempted: Vec<Vec<u8>>,
    /// Ranges whose lines were said to be gone.
    lines: Vec<(u64, u64)>,
    /// Ranges whose records were said to be gone, the last one perhaps.
    dropped: Vec<(u64, u64)>,
    included: Option<u64>,
    /// Every refusal, in words.
    pub(super) refusals: Vec<String>,
    /// Whether lines, and records, were let go of at all.
    pub(super) did: (bool, bool),
    hour: u64,
}

impl Teller {
    pub(super) fn new(disk: TestDisk, directory: &Path) -> Self {
        Self {
            spool: None,
            directory: directory.to_owned(),
            disk,
            promised: Vec::new(),
            attempted: Vec::new(),
            lines: Vec::new(),
            dropped: Vec::new(),
            included: None,
            refusals: Vec::new(),
            did: (false, false),
            hour: 0,
        }
    }

    fn open(&mut self) -> bool {
        let disk = Arc::new(self.disk.clone());
        match Spool::open_on(disk, &self.directory, LIMITS) {
            Ok(mut spool) => {
                spool.keep_from(u64::MAX);
                self.check(&mut spool);
                self.spool = Some(spool);
            }
            Err(error) => self.refusals.push(error.to_string()),
        }
        self.spool.is_some()
    }

    /// Holds what is there against what was promised.
    fn check(&mut self, spool: &mut Spool) {
        let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut next = spool.status().range.map_or(0, |(first, _)| first);
        loop {
            let read = spool.read(next, 300).unwrap();
            let Some((last, _)) = read.last() else { break };
            next = last + 1;
            found.extend(read);
        }
        let head = self.promised.len() as u64;
        let due: Vec<u64> = found.iter().map(|(sequence, _)| *sequence).collect();
        assert!(
            head == 0 || next >= head,
            "the head fell from {head} to {next}"
        );
        for pair in due.windows(2) {
            let hole = (pair[0] + 1, pair[1] - 1);
            let known = self.dropped.contains(&hole);
            assert!(
                hole.0 > hole.1 || known,
                "hole {hole:?} of {due:?}, said {:?}",
                self.dropped
            );
        }
        if let Some(first) = due.first() {
            let waits = self.included.map_or(0, |included| included + 1);
            let said = |(from, last): &(u64, u64)| *from <= waits && last + 1 == *first;
            assert!(
                *first <= waits || self.dropped.iter().any(said),
                "{first} is the oldest, {waits} waits"
            );
        }
        for (sequence, entry) in &found {
            let at = usize::try_from(*sequence).unwrap();
            let sealed = self.promised.get(at);
            let sealed = sealed.or_else(|| self.attempted.get(at - self.promised.len()));
            let sealed = sealed.unwrap_or_else(|| panic!("nobody sealed {sequence}"));
            let short = shorten(sealed).as_ref() == Some(entry);
            let said = |(first, last): &(u64, u64)| (first..=last).contains(&sequence);
            assert!(
                entry == sealed || (short && self.lines.iter().any(said)),
                "record {sequence}"
            );
        }
        // What is there now is what the chain goes on from, whoever remembers it.
        let more = next.saturating_sub(head);
        let attempted = self
            .attempted
            .drain(..)
            .take(usize::try_from(more).unwrap());
        self.promised.extend(attempted);
        self.attempted.clear();
        self.dropped.retain(|(_, last)| due.contains(&(last + 1)));
        let cursor = spool.cursor().map(|cursor| cursor.sequence);
        assert!(cursor <= self.included, "{cursor:?} {:?}", self.included);
    }

    /// Ends as the agent does when the disk fails: at the next step it starts again.
    fn failed(&mut self, error: &dyn std::fmt::Display) {
        self.refusals.push(error.to_string());
        self.spool = None;
    }

    fn append(&mut self, entries: Vec<Vec<u8>>, beyond: bool) -> bool {
        let Some(spool) = &mut self.spool else {
            return false;
        };
        let first = self.promised.len() as u64;
        let appended = match beyond {
            true => spool.append_beyond(first, &entries),
            false => spool.append(first, &entries),
        };
        match appended {
            Ok(()) => {
                self.promised.extend(entries);
                true
            }
            Err(error @ (AppendError::Full { .. } | AppendError::DiskFull { .. })) => {
                self.refusals.push(error.to_string());
                false
            }
            Err(error) => {
                self.attempted = entries;
                self.failed(&error);
                false
            }
        }
    }

    /// As the book does it.
    fn relieve(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        match spool.relief(UNIX_EPOCH + Duration::from_secs(self.hour * 3_600), shorten) {
            Err(error) => self.failed(&error),
            Ok(None) => {}
            Ok(Some(Relief::Lines(shortened))) => {
                let (first, last) = shortened.range;
                // From the attempt on it may have been said.
                self.lines.push((first, last));
                if self.append(vec![gap("lines", first, last)], true) {
                    let put = self.spool.as_mut().map(|spool| spool.put(shortened));
                    self.did.0 = true;
                    if let Some(Err(error)) = put {
                        self.failed(&error);
                    }
                } else if let Some(spool) = &self.spool
                    && let Err(error) = spool.leave(&shortened)
                {
                    self.failed(&error);
                }
            }
            Ok(Some(Relief::Records { first, .. })) => {
                let head = self.promised.len() as u64;
                let entries = vec![gap("records", first, head - 1)];
                self.dropped.push((first, head - 1));
                match spool.replace_from(first, head, &entries) {
                    Ok(()) => {
                        self.promised.extend(entries);
                        self.did.1 = true;
                        self.dropped
                            .retain(|(from, last)| *from < first || *last == head - 1);
                    }
                    Err(error @ AppendError::DiskFull { .. }) => {
                        self.refusals.push(error.to_string());
                        self.dropped.pop();
                    }
                    Err(error) => {
                        self.attempted = entries;
                        self.failed(&error);
                    }
                }
            }
        }
    }

    fn included(&mut self, sequence: u64) {
        let Some(spool) = &mut self.spool else { return };
        self.included = self.included.max(Some(sequence));
        self.hour += 1;
        let now = UNIX_EPOCH + Duration::from_secs(self.hour * 3_600);
        let cursor = Cursor {
            sequence,
            index: sequence,
            checkpoint: "note".into(),
        };
        if let Err(error) = spool.included(cursor, now) {
            self.refusals.push(error.to_string());
        }
    }

    /// Does one thing; false when the power is off.
    pub(super) fn act(&mut self, random: &mut Random) -> bool {
        if self.disk.off() {
            return false;
        }
        if self.spool.is_none() && !self.open() {
            return !self.disk.off();
        }
        let head = self.promised.len() as u64;
        match random.below(32) {
            0 => self.spool = None,
            1 | 2 if head > 0 => {
                let oldest = self.included.unwrap_or(0);
                self.included(oldest + random.below((head - oldest).div_ceil(4)));
            }
            _ => {
                self.relieve();
                let count = 1 + random.below(6);
                let head = self.promised.len() as u64;
                self.append((head..head + count).map(whole).collect(), false);
            }
        }
        true
    }

    /// Goes on elsewhere after the agent's end.
    pub(super) fn move_to(&mut self, disk: TestDisk, directory: &Path) {
        self.spool = None;
        self.disk = disk;
        self.directory = directory.to_owned();
    }

    /// Starts again on a disk that works, where it is now.
    pub(super) fn restart(&mut self, disk: TestDisk, directory: &Path) {
        self.move_to(disk, directory);
        assert!(self.open(), "{:?}", self.refusals.last());
        let head = self.promised.len() as u64;
        let count = self.promised.len();
        self.relieve();
        self.relieve();
        self.append(vec![whole(self.promised.len() as u64)], false);
        assert!(
            self.promised.len() > count || head == 0,
            "{:?}",
            self.refusals.last()
        );
    }
}

const KINDS: [Fault; 8] = [
    Fault::Unwritten(ErrorKind::Other),
    Fault::Written(ErrorKind::Other),
    Fault::Half(ErrorKind::Other),
    Fault::Unwritten(ErrorKind::StorageFull),
    Fault::Half(ErrorKind::StorageFull),
    Fault::Unwritten(ErrorKind::ReadOnlyFilesystem),
    Fault::Unwritten(ErrorKind::PermissionDenied),
    Fault::Written(ErrorKind::TimedOut),
];

/// Actions of the story: enough to let go of lines, and then of records.
const ACTIONS: usize = 120;

fn tell(disk: &TestDisk, seed: u64) -> (Teller, tempfile::TempDir) {
    let home = directory();
    let mut teller = Teller::new(disk.clone(), &home.path().join("spool"));
    let mut random = Random(seed);
    for _ in 0..ACTIONS {
        teller.act(&mut random);
    }
    (teller, home)
}

#[test]
fn whichever_step_fails_in_whichever_way_nothing_that_was_promised_is_lost() {
    let calm = TestDisk::default();
    let (teller, _home) = tell(&calm, 7);
    assert_eq!(teller.did, (true, true), "the story leaves something out");
    let steps = calm.steps();
    for kind in [
        "create",
        "write",
        "sync",
        "rename",
        "remove",
        "sync directory",
        "open",
    ] {
        assert!(steps.iter().any(|step| step.starts_with(kind)), "no {kind}");
    }
    // Most steps are those of one append after the other: of each three that follow each other in
    // one way, whichever records they are of, two examples.
    let class = |at: usize| -> String {
        let step = steps.get(at).map_or("", String::as_str);
        step.chars().filter(|it| !it.is_ascii_digit()).collect()
    };
    let mut told: BTreeMap<[String; 3], usize> = BTreeMap::new();
    let mut example = |at: &usize| {
        let count = told
            .entry([at.wrapping_sub(1), *at, at + 1].map(class))
            .or_default();
        *count += 1;
        *count <= 2
    };
    let table: Vec<usize> = (0..steps.len()).filter(|at| example(at)).collect();
    assert!(table.len() > 40, "{}", table.len());
    for at in table {
        for fault in KINDS {
            let disk = TestDisk::failing(at, fault);
            let (mut teller, home) = tell(&disk, 7);
            teller.restart(
                TestDisk::default().knows(home.path()),
                &home.path().join("spool"),
            );
        }
    }
}

#[test]
fn a_refusal_names_the_file_and_the_remedy() {
    for (kind, remedy) in [
        (ErrorKind::StorageFull, "make room"),
        (ErrorKind::ReadOnlyFilesystem, "remount it read-write"),
        (ErrorKind::PermissionDenied, "chown"),
    ] {
        let mut refusals = 0;
        for at in 0..40 {
            let disk = TestDisk::failing(at, Fault::Unwritten(kind));
            let (teller, home) = tell(&disk, 7);
            // The first one is of the fault; later ones may be of what it left.
            if let Some(refusal) = teller
                .refusals
                .first()
                .filter(|text| !text.contains("max_bytes"))
            {
                assert!(refusal.contains(remedy), "{refusal}");
                assert!(refusal.contains(home.path().to_str().unwrap()), "{refusal}");
                refusals += 1;
            }
        }
        assert!(refusals > 5, "{kind}: {refusals}");
    }
}

#[test]
fn a_disk_that_others_filled_up_takes_records_while_the_reserve_lasts() {
    let calm = TestDisk::default();
    let (_, _home) = tell(&calm, 7);
    let steps = calm.steps();
    let reserved = steps
        .iter()
        .position(|step| step == "sync reserve")
        .unwrap();
    let append = |at: &usize| {
        let step = &steps[*at];
        step.starts_with("write to") && step.ends_with("spool") && steps[at - 1].starts_with("sync")
    };
    let at = (reserved..steps.len()).find(append).unwrap();
    let disk = TestDisk::failing(at, Fault::Half(ErrorKind::StorageFull));
    let (teller, home) = tell(&disk, 7);
    assert_eq!(teller.refusals, [] as [&str; 0], "nobody notices");
    assert!(
        home.path().join("spool/reserve").exists(),
        "there is room again"
    );
    assert!(disk.steps().iter().any(|step| step == "remove reserve"));
}
