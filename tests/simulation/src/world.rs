//! What a run knows beside its machines: what was promised to whom, and the trace.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use affiant_agent::spool::Cursor;
use affiant_proto::{Digest, digest};
use affiant_verifier::live::Live;
use tempfile::TempDir;

/// A record that an agent's disk took: its sequence, digest and true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Where it stands in its chain.
    pub sequence: u64,
    /// Which it is.
    pub digest: Digest,
    /// When it was known to be on disk, milliseconds of the run.
    pub at_ms: u64,
}

/// All that was seen from outside.
#[derive(Default)]
pub struct Seen {
    /// Records by host, in the order in which their appends returned.
    pub sealed: BTreeMap<String, Vec<Sealed>>,
    /// What hosts were told is INCLUDED.
    pub told: Vec<(String, Cursor)>,
    /// Checkpoints that were published, by what they say.
    pub published: Vec<String>,
    /// Hosts that ended in order, with nothing left to send.
    pub drained: BTreeMap<String, bool>,
    /// Promises that broke while the run went on.
    pub broken: Vec<String>,
    /// The verifier's judge as it last ran.
    pub live: Option<Live>,
    lines: Vec<String>,
}

/// The run's directory and what was seen.
pub struct World {
    directory: TempDir,
    seen: Mutex<Seen>,
}

impl World {
    /// Makes a directory for the run, in memory where there is such a place.
    pub fn new() -> std::io::Result<Self> {
        let shared = Path::new("/dev/shm");
        let directory = if shared.is_dir() {
            tempfile::Builder::new()
                .prefix("affiant-")
                .tempdir_in(shared)
        } else {
            tempfile::tempdir()
        };
        Ok(Self {
            directory: directory?,
            seen: Mutex::default(),
        })
    }

    /// Where a machine's files are.
    pub fn of(&self, machine: &str) -> PathBuf {
        self.directory.path().join(machine)
    }

    /// What was seen so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the trace: only what follows from the seed, no digest and no key.
    pub fn trace(&self, at_ms: u64, who: &str, what: &str) {
        self.seen()
            .lines
            .push(format!("{at_ms:>9} {who:<9} {what}"));
    }

    /// A promise broke.
    pub fn broken(&self, at_ms: u64, who: &str, what: &str) {
        self.trace(at_ms, who, what);
        self.seen().broken.push(format!("{who}: {what}"));
    }

    /// The whole trace as text.
    pub fn text(&self) -> String {
        self.seen()
            .lines
            .iter()
            .fold(String::new(), |mut text, line| {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{line}");
                text
            })
    }

    /// The trace in one digest.
    pub fn digest(&self) -> Digest {
        digest(self.text().as_bytes())
    }
}
