//! An auditor's desk: a bundle, the log that it is of, a trust file, and the shipped binary.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use affiant_report::{Period, Scope};

use crate::support::{World, played};

/// How long the binary may take: nothing here takes a second, and a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Desk {
    folder: tempfile::TempDir,
    pub world: World,
}

impl Desk {
    /// Writes a bundle and a trust file into a folder.
    pub fn new(scope: Scope) -> Self {
        Self::of(played(), scope)
    }

    /// The same of another log.
    pub fn of((mut world, period): (World, Period), scope: Scope) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bundle = world.report(period, scope);
        write(&folder.path().join("report"), &bundle);
        fs::write(folder.path().join("trust"), world.trust().print().unwrap()).unwrap();
        Self { folder, world }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn verify(&self, flags: &[&str]) -> (i32, String, String) {
        let report = self.path("report");
        run(&[&["verify", text(&report)], flags].concat())
    }
}

/// Writes files below a folder.
pub fn write(at: &Path, files: &std::collections::BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        let path = at.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Runs the binary; gives its exit code, output and errors. One that hangs is ended, and fails.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_affiant-audit"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    // Its output is read below: a pipe holds more than what is said before it ends.
    let mut said = None;
    std::thread::scope(|scope| {
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let reads = [
            scope.spawn(move || std::io::read_to_string(out).unwrap()),
            scope.spawn(move || std::io::read_to_string(err).unwrap()),
        ];
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > until {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("it hangs: {arguments:?}");
            }
            sleep(Duration::from_millis(2));
        }
        said = Some(reads.map(|read| read.join().unwrap()));
    });
    let status = child.wait().unwrap();
    let [stdout, stderr] = said.unwrap();
    (status.code().unwrap(), stdout, stderr)
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
