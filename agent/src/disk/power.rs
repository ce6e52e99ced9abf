//! A disk that fails where it is told to, and that loses power.
//!
//! The running program sees every change at once. What a sync has not covered is kept, dropped or
//! torn at random when the power goes: sectors of a write and names of a directory each for
//! itself, in no order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::{Append, Disk};

/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What happens at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails and changes nothing.
    Unwritten(io::ErrorKind),
    /// It is done, and said to have failed.
    Written(io::ErrorKind),
    /// Half of a write is done; other steps change nothing.
    Half(io::ErrorKind),
    /// The power goes while it is under way.
    PowerCut,
}

/// Random numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// How many seeds a test tries: AFFIANT_SEEDS, or as many as are told here; or the one of
/// AFFIANT_SEED.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("AFFIANT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("AFFIANT_SEEDS").unwrap_or(usual),
    }
}

/// A directory in memory, where there is one.
pub(crate) fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

#[derive(Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Cut(u64),
}

#[derive(Debug)]
enum Naming {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    synced: BTreeMap<PathBuf, usize>,
    since: Vec<Naming>,
    steps: Vec<String>,
    fault: Option<(Range<usize>, Fault)>,
    off: bool,
}

/// The disk. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestDisk(Arc<Mutex<State>>);

impl TestDisk {
    /// A disk on which `fault` happens at step number `at`.
    pub(crate) fn failing(at: usize, fault: Fault) -> Self {
        Self::failing_in(at..at + 1, fault)
    }

    /// A disk on which `fault` happens at each of these steps.
    pub(crate) fn failing_in(steps: Range<usize>, fault: Fault) -> Self {
        let state = State {
            fault: Some((steps, fault)),
            ..State::default()
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Takes what lies under `root` as synced long ago.
    pub(crate) fn knows(self, root: &Path) -> Self {
        let mut folders = vec![root.to_owned()];
        let mut state = self.0.lock().unwrap();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let file = state.files.len();
                state.files.push(Content {
                    synced: fs::read(&path).unwrap(),
                    since: Vec::new(),
                });
                state.names.insert(path.clone(), file);
                state.synced.insert(path, file);
            }
        }
        drop(state);
        self
    }

    /// The steps that were taken, in words.
    pub(crate) fn steps(&self) -> Vec<String> {
        self.0.lock().unwrap().steps.clone()
    }

    /// Whether the power is off.
    pub(crate) fn off(&self) -> bool {
        self.0.lock().unwrap().off
    }

    /// Puts into `to` what is left of `from` after the power went.
    pub(crate) fn left(&self, random: &mut Random, from: &Path, to: &Path) {
        let state = self.0.lock().unwrap();
        let mut names = state.synced.clone();
        // A file system with a journal keeps the order of names, others need not.
        let journal = random.one_in(2);
        let kept = random.below(state.since.len() as u64 + 1);
        for (at, naming) in (0..).zip(&state.since) {
            if journal && at >= kept {
                break;
            }
            if !journal && random.one_in(2) {
                continue;
            }
            match naming {
                Naming::Link(path, file) => {
                    names.insert(path.clone(), *file);
                }
                Naming::Unlink(path) => {
                    names.remove(path);
                }
                Naming::Rename(from, to, file) => {
                    if names.get(from) == Some(file) {
                        names.remove(from);
                    }
                    names.insert(to.clone(), *file);
                }
            }
        }
        let contents: Vec<Vec<u8>> = state.files.iter().map(|file| file.left(random)).collect();
        for (path, file) in names {
            let path = to.join(path.strip_prefix(from).unwrap());
            let folder = path.parent().unwrap();
            fs::create_dir_all(folder).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
            fs::write(&path, &contents[file]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    /// Takes a step: `full` does it, `half` what a write does of it by half.
    fn step<T>(
        &self,
        words: String,
        full: impl FnOnce(&mut State) -> io::Result<T>,
        half: impl FnOnce(&mut State),
    ) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        if state.off {
            return Err(io::Error::other("the power is off"));
        }
        let at = state.steps.len();
        state.steps.push(words);
        let due = state.fault.as_ref().filter(|(due, _)| due.contains(&at));
        match due.map(|(_, fault)| *fault) {
            None => full(&mut state),
            Some(Fault::Unwritten(kind)) => Err(kind.into()),
            Some(Fault::Written(kind)) => {
                full(&mut state)?;
                Err(kind.into())
            }
            Some(Fault::Half(kind)) => {
                half(&mut state);
                Err(kind.into())
            }
            Some(Fault::PowerCut) => {
                // Whether it was done is for chance to say: it is not synced in any case.
                half(&mut state);
                state.off = true;
                Err(io::Error::other("the power went"))
            }
        }
    }
}

impl Content {
    fn left(&self, random: &mut Random) -> Vec<u8> {
        let mut left = self.synced.clone();
        for change in &self.since {
            match change {
                Change::Cut(length) if random.one_in(2) => {
                    left.truncate(usize::try_from(*length).unwrap());
                }
                Change::Cut(_) => {}
                Change::Write(at, bytes) => {
                    let at = usize::try_from(*at).unwrap();
                    match random.below(4) {
                        0 => {}
                        1 => put(&mut left, at, bytes),
                        2 => {
                            let end = usize::try_from(random.below(bytes.len() as u64 + 1));
                            put(&mut left, at, &bytes[..end.unwrap()]);
                        }
                        _ => {
                            for (sector, bytes) in bytes.chunks(SECTOR).enumerate() {
                                if random.one_in(2) {
                                    put(&mut left, at + sector * SECTOR, bytes);
                                }
                            }
                        }
                    }
                }
            }
        }
        left
    }

    fn sync(&mut self) {
        for change in self.since.drain(..) {
            match change {
                Change::Cut(length) => self.synced.truncate(usize::try_from(length).unwrap()),
                Change::Write(at, bytes) => {
                    put(&mut self.synced, usize::try_from(at).unwrap(), &bytes);
                }
            }
        }
    }
}

/// Writes over what is there, after zeros where the file does not reach so far.
fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

struct TestFile {
    disk: TestDisk,
    file: usize,
    real: fs::File,
    name: String,
    at: u64,
}

impl Disk for TestDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        let create = |state: &mut State| {
            let mut options = OpenOptions::new();
            let real = options.write(true).create_new(true).open(path)?;
            real.set_permissions(fs::Permissions::from_mode(0o600))?;
            let file = state.files.len();
            state.files.push(Content::default());
            state.names.insert(path.to_owned(), file);
            state.since.push(Naming::Link(path.to_owned(), file));
            Ok((file, real))
        };
        let (file, real) = self.step(format!("create {}", name(path)), create, |_| {})?;
        Ok(Box::new(TestFile {
            disk: self.clone(),
            file,
            real,
            name: name(path),
            at: 0,
        }))
    }

    fn open(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn Append>> {
        let open = |state: &mut State| {
            let real = OpenOptions::new().write(true).open(path)?;
            Ok((state.names[path], real))
        };
        let (file, real) = self.step(format!("open {}", name(path)), open, |_| {})?;
        Ok(Box::new(TestFile {
            disk: self.clone(),
            file,
            real,
            name: name(path),
            at: bytes,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let words = format!("rename {} to {}", name(from), name(to));
        let rename = |state: &mut State| {
            fs::rename(from, to)?;
            let file = state.names.remove(from).unwrap();
            state.names.insert(to.to_owned(), file);
            let (from, to) = (from.to_owned(), to.to_owned());
            state.since.push(Naming::Rename(from, to, file));
            Ok(())
        };
        let cut = |state: &mut State| {
            let (from, to) = (from.to_owned(), to.to_owned());
            let file = state.names[&from];
            state.since.push(Naming::Rename(from, to, file));
        };
        self.step(words, rename, cut)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        // Most removals are of leftovers that are not there.
        if !path.exists() && !self.off() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let remove = |state: &mut State| {
            fs::remove_file(path)?;
            state.names.remove(path);
            state.since.push(Naming::Unlink(path.to_owned()));
            Ok(())
        };
        let cut = |state: &mut State| state.since.push(Naming::Unlink(path.to_owned()));
        self.step(format!("remove {}", name(path)), remove, cut)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let sync = |state: &mut State| {
            state.since.clear();
            state.synced = state.names.clone();
            Ok(())
        };
        self.step(format!("sync directory {}", name(directory)), sync, |_| {})
    }
}

impl TestFile {
    fn change(&self, state: &mut State, change: Change) {
        state.files[self.file].since.push(change);
    }
}

impl Append for TestFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let disk = self.disk.clone();
        let at = self.at;
        let write = |bytes: &[u8], state: &mut State| {
            self.real.write_all_at(bytes, at).unwrap();
            self.change(state, Change::Write(at, bytes.to_vec()));
        };
        let full = |state: &mut State| {
            write(bytes, state);
            Ok(())
        };
        let half = |state: &mut State| write(&bytes[..bytes.len() / 2], state);
        disk.step(format!("write to {}", self.name), full, half)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let sync = |state: &mut State| {
            state.files[self.file].sync();
            Ok(())
        };
        self.disk.step(format!("sync {}", self.name), sync, |_| {})
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        let disk = self.disk.clone();
        let cut = |state: &mut State| {
            self.real.set_len(bytes).unwrap();
            self.change(state, Change::Cut(bytes));
            state.files[self.file].sync();
            Ok(())
        };
        let half = |state: &mut State| self.change(state, Change::Cut(bytes));
        disk.step(format!("cut {}", self.name), cut, half)?;
        self.at = bytes;
        Ok(())
    }
}

/// What [`crate::durable::replace`] writes: keys, certificates, the count of boots, the cursor.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable;

    #[test]
    fn after_a_power_cut_a_replaced_file_is_the_old_or_the_new_one_and_after_its_return_the_new() {
        for seed in seeds(400) {
            let mut random = Random(seed);
            let (home, left) = (directory(), directory());
            let path = home.path().join("record.key");
            let (old, new) = (vec![1; 700], vec![2; 1_500]);
            durable::replace(&path, &old).unwrap();
            let at = usize::try_from(random.below(6)).unwrap();
            let disk = TestDisk::failing(at, Fault::PowerCut).knows(home.path());
            let replaced = durable::replace_on(&disk, &path, &new);
            disk.left(&mut random, home.path(), left.path());
            let found = fs::read(left.path().join("record.key")).unwrap();
            assert!(
                found == new || (replaced.is_err() && found == old),
                "AFFIANT_SEED={seed}: {:?}",
                disk.steps()
            );
        }
    }

    #[test]
    fn a_replacement_that_fails_at_any_step_leaves_one_whole_file_and_the_next_one_works() {
        for at in 0..5 {
            for fault in [
                Fault::Unwritten(io::ErrorKind::Other),
                Fault::Written(io::ErrorKind::Other),
                Fault::Half(io::ErrorKind::StorageFull),
                Fault::Unwritten(io::ErrorKind::ReadOnlyFilesystem),
                Fault::Unwritten(io::ErrorKind::PermissionDenied),
            ] {
                let home = directory();
                let path = home.path().join("boot");
                durable::replace(&path, b"old").unwrap();
                let disk = TestDisk::failing(at, fault).knows(home.path());
                let refused = durable::replace_on(&disk, &path, b"new").unwrap_err();
                let found = fs::read(&path).unwrap();
                assert!(found == b"old" || found == b"new", "{refused}");
                let text = refused.to_string();
                match fault {
                    Fault::Unwritten(io::ErrorKind::ReadOnlyFilesystem) => {
                        assert!(text.contains("remount"), "{text}");
                    }
                    Fault::Unwritten(io::ErrorKind::PermissionDenied) => {
                        assert!(text.contains("chown"), "{text}");
                    }
                    Fault::Half(_) => assert!(text.contains("make room"), "{text}"),
                    _ => {}
                }
                durable::replace_on(&disk, &path, b"next").unwrap();
                assert_eq!(fs::read(&path).unwrap(), b"next");
            }
        }
    }

    #[test]
    fn the_model_itself_loses_what_was_not_synced() {
        let (mut lost, mut torn) = (0, 0);
        for seed in 0..200 {
            let (home, left) = (directory(), directory());
            let disk = TestDisk::default();
            let path = home.path().join("file");
            let mut file = disk.create(&path).unwrap();
            file.write(&[7; 2_000]).unwrap();
            disk.left(&mut Random(seed), home.path(), left.path());
            match fs::read(left.path().join("file")) {
                Err(_) => lost += 1,
                Ok(content) if content != [7; 2_000] => torn += 1,
                Ok(_) => {}
            }
        }
        assert!(lost > 20 && torn > 20, "{lost} {torn}");
    }
}
