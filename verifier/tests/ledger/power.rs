//! Power cuts: what was not synced is dropped, torn or reordered, and the promises hold.
//!
//! `AFFIANT_SEEDS` sets how many seeds are played (200), `AFFIANT_SEED` the first; a failure prints
//! its own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use affiant_verifier::ledger::{
    Access, AppendError, Disk, Entry, Ledger, LocalDisk, OpenError, Replay,
};

use super::fixture::{Faults, House, assert_one_history, entry};

/// Bytes that a disk writes in one piece.
const SECTOR: usize = 512;

/// A xorshift generator: a schedule replays from its seed.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn of_seed(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 8).unwrap() % limit
    }
}

/// A directory in memory where there is one: what is durable here is for [`Power`] to say.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Directory,
    File(usize),
}

/// What a file holds for certain, and what it was made to hold since.
#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    since: Vec<Vec<u8>>,
    /// Set while a cut is not synced. File systems log the new length first, so a cut happens
    /// wholly or not at all.
    cut: bool,
}

impl Content {
    fn newest(&self) -> &Vec<u8> {
        self.since.last().unwrap_or(&self.synced)
    }
}

#[derive(Debug)]
struct State {
    random: Random,
    root: PathBuf,
    /// Operations until the power fails.
    left: usize,
    off: bool,
    files: Vec<Content>,
    /// Which file a number of the file system stands for now.
    numbers: BTreeMap<u64, usize>,
    /// For each name what stood under it, from when its directory was last synced on.
    names: BTreeMap<PathBuf, Vec<Option<Node>>>,
}

/// A disk that keeps what is synced, until its power is cut.
#[derive(Clone, Debug)]
struct Power(Arc<Mutex<State>>);

impl State {
    /// Counts an operation; the power fails before one, or just after it.
    fn step(&mut self) -> io::Result<bool> {
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        if self.left > 0 {
            self.left -= 1;
            return Ok(false);
        }
        self.off = true;
        match self.random.below(2) {
            0 => Err(io::Error::other("the power failed")),
            _ => Ok(true),
        }
    }

    fn name(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap().to_owned()
    }

    fn now(&self, name: &Path) -> Option<Node> {
        self.names
            .get(name)
            .and_then(|history| *history.last().unwrap())
    }

    fn set(&mut self, name: PathBuf, node: Option<Node>) {
        let history = self.names.entry(name).or_insert_with(|| vec![None]);
        history.push(node);
    }

    fn file(&mut self, file: &File) -> &mut Content {
        let number = file.metadata().unwrap().ino();
        &mut self.files[self.numbers[&number]]
    }

    /// What stands on the disk when the power comes back: of each name and of each piece of a file
    /// anything that it was since it was last synced.
    fn fall(&mut self, to: &Path) {
        let State {
            random,
            files,
            names,
            ..
        } = self;
        let torn: Vec<_> = files.iter().map(|file| tear(file, random)).collect();
        for (name, history) in names.iter() {
            let at = to.join(name);
            let stands = at.parent().is_some_and(Path::is_dir);
            match history[random.below(history.len())] {
                Some(Node::Directory) if stands => fs::create_dir(at).unwrap(),
                Some(Node::File(file)) if stands => fs::write(at, &torn[file]).unwrap(),
                _ => {}
            }
        }
    }
}

/// Mixes what is synced with what came since, sector by sector.
fn tear(content: &Content, random: &mut Random) -> Vec<u8> {
    if content.since.is_empty() {
        return content.synced.clone();
    }
    let versions = || std::iter::once(&content.synced).chain(&content.since);
    let count = content.since.len() + 1;
    let whole = versions().nth(random.below(count)).unwrap().clone();
    if content.cut || random.below(3) == 0 {
        return whole;
    }
    let mut bytes = whole;
    for at in (0..bytes.len()).step_by(SECTOR) {
        let end = bytes.len().min(at + SECTOR);
        // A sector that was synced and is not written again stays as it is.
        let synced = content.synced.get(at..end);
        if versions().all(|version| version.get(at..end) == synced) {
            continue;
        }
        let chosen = versions().nth(random.below(count)).unwrap();
        match chosen.get(at..end) {
            Some(sector) => bytes[at..end].copy_from_slice(sector),
            None => {
                // Beyond its end: allocated and never written.
                let known = chosen.len().clamp(at, end);
                let begun = chosen.get(at..known).unwrap_or_default();
                bytes[at..known].copy_from_slice(begun);
                bytes[known..end].fill(0);
            }
        }
    }
    if random.below(3) == 0 && bytes.len() > content.synced.len() {
        let more = bytes.len() - content.synced.len();
        bytes.truncate(content.synced.len() + random.below(more));
    }
    bytes
}

impl Power {
    /// A disk over an empty directory, or over what a cut left there.
    fn over(root: &Path, random: Random, left: usize) -> Self {
        let mut state = State {
            random,
            root: root.to_owned(),
            left,
            off: false,
            files: Vec::new(),
            numbers: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        state.take(root);
        Self(Arc::new(Mutex::new(state)))
    }

    fn calm(&self) {
        self.0.lock().unwrap().left = usize::MAX;
    }

    fn is_off(&self) -> bool {
        self.0.lock().unwrap().off
    }

    /// Cuts the power, if it is not off yet, and comes back on in a directory of its own.
    fn cut(self, to: &Path, left: usize) -> Self {
        let mut state = self.0.lock().unwrap();
        state.fall(to);
        let random = Random(state.random.0);
        drop(state);
        Self::over(to, random, left)
    }

    fn run<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        let last = state.step()?;
        let done = act(&mut state);
        match last {
            true => Err(io::Error::other("the power failed")),
            false => done,
        }
    }
}

impl State {
    fn take(&mut self, directory: &Path) {
        for found in fs::read_dir(directory).unwrap() {
            let path = found.unwrap().path();
            let node = if path.is_dir() {
                self.take(&path);
                Node::Directory
            } else {
                let number = fs::metadata(&path).unwrap().ino();
                self.numbers.insert(number, self.files.len());
                let synced = fs::read(&path).unwrap();
                self.files.push(Content {
                    synced,
                    ..Content::default()
                });
                Node::File(self.files.len() - 1)
            };
            let name = self.name(&path);
            self.names.insert(name, vec![Some(node)]);
        }
    }
}

impl Disk for Power {
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.run(|state| {
            LocalDisk.append(file, bytes)?;
            let content = state.file(file);
            let longer = [content.newest().as_slice(), bytes].concat();
            content.since.push(longer);
            Ok(())
        })
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.run(|state| {
            let content = state.file(file);
            content.synced = content.newest().clone();
            content.since.clear();
            content.cut = false;
            Ok(())
        })
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        self.run(|state| {
            file.set_len(length)?;
            let content = state.file(file);
            let mut shorter = content.newest().clone();
            shorter.truncate(usize::try_from(length).unwrap());
            content.since.push(shorter);
            content.cut = true;
            Ok(())
        })?;
        self.sync(file)
    }

    fn write(&self, path: &Path, bytes: &[u8], access: Access) -> io::Result<File> {
        self.run(|state| {
            let file = LocalDisk.write(path, bytes, access)?;
            let name = state.name(path);
            let at = match state.now(&name) {
                Some(Node::File(at)) => at,
                _ => {
                    state.files.push(Content::default());
                    let at = state.files.len() - 1;
                    state.set(name, Some(Node::File(at)));
                    at
                }
            };
            state.numbers.insert(file.metadata()?.ino(), at);
            state.files[at].since.push(bytes.to_vec());
            Ok(file)
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(|state| {
            LocalDisk.link(from, to)?;
            let node = state.now(&state.name(from));
            state.set(state.name(to), node);
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(|state| {
            LocalDisk.rename(from, to)?;
            let node = state.now(&state.name(from));
            state.set(state.name(to), node);
            state.set(state.name(from), None);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(|state| {
            LocalDisk.remove(path)?;
            state.set(state.name(path), None);
            Ok(())
        })
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.run(|state| {
            LocalDisk.remove_directory(path)?;
            let name = state.name(path);
            for (under, history) in &mut state.names {
                if under.starts_with(&name) {
                    history.push(None);
                }
            }
            Ok(())
        })
    }

    fn make_directories(&self, path: &Path, access: Access) -> io::Result<()> {
        self.run(|state| {
            LocalDisk.make_directories(path, access)?;
            let name = state.name(path);
            for directory in name.ancestors().filter(|name| name.file_name().is_some()) {
                if state.now(directory).is_none() {
                    state.set(directory.to_owned(), Some(Node::Directory));
                }
            }
            Ok(())
        })
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.run(|state| {
            let directory = state.name(path);
            for (name, history) in &mut state.names {
                if name.parent() == Some(&directory) {
                    history.drain(..history.len() - 1);
                }
            }
            Ok(())
        })
    }

    fn available(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// What the log must hold: all that was answered, then perhaps one group that was not.
#[derive(Default)]
struct Promised {
    answered: Vec<Entry>,
    unanswered: Vec<Entry>,
    included: usize,
    numbers: u64,
}

impl Promised {
    fn group(&mut self, count: usize) -> Vec<Entry> {
        let first = self.numbers;
        self.numbers += count as u64;
        (first..self.numbers).map(entry).collect()
    }

    /// Holds what was found against what was answered, and goes on from there.
    fn hold(&mut self, replay: Replay, case: &str) {
        let mut found = Vec::new();
        for (index, read) in (0..).zip(replay) {
            let read = read.unwrap();
            assert_eq!(read.index, index, "{case}");
            assert!(
                read.included || found.len() >= self.included,
                "{case}: entry {index} was included"
            );
            found.push(read.entry);
        }
        let with = [self.answered.as_slice(), &self.unanswered].concat();
        assert!(
            found == self.answered || found == with,
            "{case}: {} entries of {} answered and {} not",
            found.len(),
            self.answered.len(),
            self.unanswered.len()
        );
        self.answered = found;
        self.unanswered.clear();
    }

    /// Appends and closes until the power fails.
    fn live(&mut self, case: &str, house: &mut House, ledger: &mut Ledger, random: &mut Random) {
        loop {
            if random.below(3) == 0 {
                match ledger.close_segment() {
                    Ok(signed) => {
                        self.included = self.answered.len();
                        assert_eq!(signed.checkpoint().size(), self.included as u64, "{case}");
                    }
                    Err(_) => return,
                }
                continue;
            }
            let large = random.below(8) == 0;
            let count = 1 + random.below(if large { 300 } else { 12 });
            let group = self.group(count);
            match ledger.append(&group, house.now()) {
                Ok(_) => self.answered.extend(group),
                Err(AppendError::Fatal(_)) => {
                    self.unanswered = group;
                    return;
                }
                Err(other) => panic!("{case}: {other}"),
            }
        }
    }
}

/// Comes back on after a cut, in a directory of its own, with the same key and the same clock.
fn back_on(house: &House, power: Power, left: usize) -> (House, Power) {
    let dir = directory();
    let power = power.cut(dir.path(), left);
    let mut back = House::on(dir, Arc::new(power.clone()), house.faults.clone());
    back.clock = house.clock;
    (back, power)
}

fn play(seed: u64) {
    let case = format!("AFFIANT_SEED={seed} AFFIANT_SEEDS=1");
    let mut random = Random::of_seed(seed);
    let dir = directory();
    let left = match random.below(4) {
        0 => random.below(40),
        _ => usize::MAX,
    };
    let mut power = Power::over(dir.path(), Random::of_seed(!seed), left);
    let mut house = House::on(dir, Arc::new(power.clone()), Faults::default());
    let mut promised = Promised::default();
    let first = promised.group(3);
    let origin = "log.example/1".parse().unwrap();
    let clock = house.now();
    let made = Ledger::create_in(house.store(), origin, house.key(), &first, clock);
    match made {
        Ok(_) => {
            promised.answered = first;
            promised.included = promised.answered.len();
        }
        Err(error) => {
            assert!(power.is_off(), "{case}: {error}");
            promised.unanswered = first;
        }
    }
    for life in 0..3 {
        let case = format!("{case}, life {life}");
        (house, power) = back_on(&house, power, usize::MAX);
        // A second cut, in the middle of the recovery from the first, and perhaps a third.
        for _ in 0..random.below(3) {
            power.0.lock().unwrap().left = random.below(30);
            match house.try_open() {
                Ok((_, replay)) => promised.hold(replay, &case),
                Err(OpenError::NoLedger(_)) if promised.answered.is_empty() => return,
                Err(error) => assert!(power.is_off(), "{case}: {error}"),
            }
            (house, power) = back_on(&house, power, usize::MAX);
        }
        let (mut ledger, replay) = match house.try_open() {
            Ok(opened) => opened,
            // The power failed while the ledger was made, and nobody was told that it was.
            Err(OpenError::NoLedger(_)) if promised.answered.is_empty() => return,
            Err(error) => panic!("{case}: {error}"),
        };
        promised.hold(replay, &case);
        power.0.lock().unwrap().left = random.below(120);
        promised.live(&case, &mut house, &mut ledger, &mut random);
        assert!(
            power.is_off(),
            "{case}: only the power keeps it from going on"
        );
    }
    (house, power) = back_on(&house, power, usize::MAX);
    power.calm();
    let (mut ledger, replay) = house.try_open().unwrap_or_else(|e| panic!("{case}: {e}"));
    promised.hold(replay, &case);
    let closed = ledger.close_segment().unwrap();
    assert_eq!(closed.checkpoint().size(), promised.answered.len() as u64);
    assert_one_history(&house, &ledger, &closed);
}

fn setting(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn power_cuts_lose_nothing_that_was_answered_and_contradict_nothing_that_was_signed() {
    let (first, seeds) = (setting("AFFIANT_SEED", 1), setting("AFFIANT_SEEDS", 200));
    for seed in first..first + seeds {
        play(seed);
    }
}

/// Keeps the model honest: a name that was not synced goes, one that was stays.
#[test]
fn only_what_was_synced_survives_every_cut() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 1..60 {
        let (dir, to) = (directory(), directory());
        let power = Power::over(dir.path(), Random::of_seed(seed), usize::MAX);
        power.create(&dir.path().join("durable"), b"1").unwrap();
        power
            .publish(&dir.path().join("loose"), &[7; 3 * SECTOR])
            .unwrap();
        power.cut(to.path(), 0);
        assert_eq!(fs::read(to.path().join("durable")).unwrap(), b"1");
        match fs::read(to.path().join("loose")) {
            Ok(bytes) if bytes == [7; 3 * SECTOR] => kept += 1,
            _ => lost += 1,
        }
    }
    assert!(kept > 0 && lost > 0, "{kept} kept, {lost} lost or torn");
}
