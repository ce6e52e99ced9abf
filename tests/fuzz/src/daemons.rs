//! What agent, verifier and witness read from their hosts and from their own disks.
//!
//! Their readers take paths, so a round writes a file or two: these come with fewer rounds.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use affiant_agent::{
    deployment::Deployment,
    enrol::Token,
    source::recorded::Trace,
    spool::{Limits, Spool},
};
use affiant_verifier::{dossier_file, import, ledger, pki, review, token::Tokens};

use crate::targets::Target;

/// Every target of these by its name. They write a file or two a round.
pub const DAEMONS: [(&str, Target); 8] = [
    ("agent_files", agent_files),
    ("deployment", deployment),
    ("host", host),
    ("log", log),
    ("spool", spool),
    ("trace", trace),
    ("verifier_files", verifier_files),
    ("witness_memory", witness_memory),
];

use super::choices::Choices;

/// Runs `read` on a file of these bytes that nobody else can read.
fn with_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    put(&path, bytes);
    read(&path);
}

fn put(path: &Path, bytes: &[u8]) {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).unwrap().write_all(bytes).unwrap();
}

/// `agent.toml`, and a token file.
pub fn agent_files(bytes: &[u8]) {
    with_file(bytes, |path| {
        let config = affiant_agent::config::Config::load(path);
        assert!(config.is_ok() || !config.unwrap_err().to_string().is_empty());
        let _ = affiant_agent::config::Measuring::load(Some(path));
        let _ = Token::read(path);
    });
}

/// A recorded trace.
pub fn trace(bytes: &[u8]) {
    let _ = Trace::parse(bytes);
}

/// Frames of the NVML child; what the kernel, the kubelet and Slurm say of a process.
pub fn host(bytes: &[u8]) {
    affiant_agent::source::nvml::read_any(bytes);
    affiant_agent::workload::read_any(bytes);
}

/// The genesis that a verifier tells an agent.
pub fn deployment(bytes: &[u8]) {
    if let Ok(told) = Deployment::of(bytes) {
        let _ = told.open(bytes);
    }
}

const LIMITS: Limits = Limits {
    max_bytes: 1 << 20,
    keep: Duration::from_secs(3_600),
    max_age: None,
    reserve: None,
};

fn record(sequence: u64) -> Vec<u8> {
    format!("record {sequence}").into_bytes()
}

/// A spool whose files were damaged: what it still gives is what was put into it, and opened again
/// it gives the same.
pub fn spool(bytes: &[u8]) {
    let choices = &mut Choices::of(bytes);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("spool");
    let mut whole = Spool::open(&place, LIMITS).unwrap();
    for sequence in 0..1 + u64::from(choices.byte() % 12) {
        whole.append(sequence, &[record(sequence)]).unwrap();
    }
    drop(whole);
    let mut files: Vec<PathBuf> = fs::read_dir(&place)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let file = &files[usize::from(choices.byte()) % files.len()];
    let mut changed = fs::read(file).unwrap();
    for _ in 0..1 + choices.byte() % 3 {
        let at = usize::try_from(choices.below(changed.len() as u64 + 1)).unwrap();
        match choices.byte() % 4 {
            0 => changed.truncate(at),
            1 => changed.insert(at, choices.byte()),
            _ => {
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= 1 << (choices.byte() & 7);
                }
            }
        }
    }
    put(file, &changed);
    let first = given(&place);
    assert_eq!(given(&place), first, "opened again it gives something else");
}

/// What a spool gives; none where it is refused.
fn given(place: &Path) -> Option<Vec<u64>> {
    let mut spool = Spool::open(place, LIMITS).ok()?;
    let Some((first, last)) = spool.status().range else {
        return Some(Vec::new());
    };
    let (mut next, mut out) = (first, Vec::new());
    while next <= last {
        for (sequence, bytes) in spool.read(next, 20).ok()? {
            assert_eq!(bytes, record(sequence), "a record that nobody appended");
            out.push(sequence);
            next = sequence + 1;
        }
    }
    Some(out)
}

/// `verifier.toml`, the officers' file, their JSON lines and review list, the token file, a certificate
/// request.
pub fn verifier_files(bytes: &[u8]) {
    with_file(bytes, |path| {
        let _ = affiant_verifier::config::Config::load(Some(path));
        let _ = affiant_verifier::config::Config::data_of(Some(path));
        if let Ok(application) = dossier_file::read(path, 1) {
            let _ = application.check(&import::Standing::default());
            assert!(application.into_bodies().len() <= bytes.len());
        }
        let _ = Tokens::open(path);
    });
    let _ = pki::HostRequest::parse(bytes);
    match import::plan(bytes, 1, &import::Standing::default()) {
        Ok(plan) => assert!(plan.parts.len() <= bytes.len()),
        Err(faults) => assert!((1..=import::MAX_FAULTS + 1).contains(&faults.len())),
    }
    if let Ok(listed) = std::str::from_utf8(bytes)
        .map_err(drop)
        .and_then(|text| review::read(text).map_err(drop))
    {
        assert!(listed.iter().all(|one| one.line.starts_with(&one.tenant)));
    }
}

/// The write-ahead file, and paths that are asked for over HTTP.
pub fn log(bytes: &[u8]) {
    ledger::read_any(bytes);
    affiant_verifier::http::read_any(bytes);
}

/// What a witness remembers.
pub fn witness_memory(bytes: &[u8]) {
    with_file(bytes, |path| {
        let first = affiant_audit::witness::FileMemory::open(path).is_ok();
        let again = affiant_audit::witness::FileMemory::open(path).is_ok();
        assert_eq!(first, again);
    });
}
