//! The log that `prepare` made, repacked by the verifier's own code: what it takes then.

use std::{fs, path::Path, sync::Arc, time::Instant};

use affiant_proto::{Ed25519Signer, v1};
use affiant_verifier::ledger::{Entry, Ledger, LocalDisk, Repacker};
use prost::Message as _;
use serde::Serialize;

use crate::prepared::{NotPrepared, log_key, wrong};

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// Entries of the log.
    pub entries: u64,
    /// Segments that were joined, and those in their place.
    pub joined: u64,
    /// Segments that stand in their place.
    pub made: u64,
    /// Bytes of those that were joined.
    pub bytes_before: u64,
    /// Bytes of those in their place.
    pub bytes_after: u64,
    /// The same by the entries in the log.
    pub bytes_per_entry_before: f64,
    /// The same by the entries in the log.
    pub bytes_per_entry_after: f64,
    /// Wall-clock time of it, on one thread, in microseconds an entry.
    pub us_per_entry: f64,
}

/// Repacks the log under `out`, whose keys are of `seed`: all of its hours that are over.
pub fn repack(out: &Path, seed: u64) -> Result<Figures, NotPrepared> {
    let log = out.join("log");
    give_wal(out, &log)?;
    let key = Box::new(log_key(seed)?);
    let (ledger, _) = Ledger::open(&log, key).map_err(wrong)?;
    let repacker = Repacker::new(ledger.reader(), Arc::new(LocalDisk));
    let begun = Instant::now();
    let done = repacker.repack(&|| false).map_err(wrong)?;
    let spent = begun.elapsed();
    let entries = ledger.reader().size();
    let each = |sum: f64| sum / entries.max(1) as f64;
    Ok(Figures {
        entries,
        joined: done.joined,
        made: done.made,
        bytes_before: done.bytes_before,
        bytes_after: done.bytes_after,
        bytes_per_entry_before: each(done.bytes_before as f64),
        bytes_per_entry_after: each(done.bytes_after as f64),
        us_per_entry: each(spent.as_secs_f64() * 1e6),
    })
}

/// Gives the log the write-ahead file that a ledger has, empty as in one that was just made.
pub(crate) fn give_wal(out: &Path, log: &Path) -> Result<(), NotPrepared> {
    let wal = log.join("wal");
    if wal.exists() {
        return Ok(());
    }
    let another = out.join("another");
    let envelope = v1::Envelope {
        statement: b"of another log".to_vec(),
        ..Default::default()
    };
    let entry = Entry::parse(envelope.encode_to_vec()).map_err(wrong)?;
    let key = Ed25519Signer::from_seed(&[1; 32]).map_err(wrong)?;
    let origin = "another.example/1".parse().map_err(wrong)?;
    drop(Ledger::create(&another, origin, Box::new(key), &[entry], 1).map_err(wrong)?);
    fs::copy(another.join("wal"), wal).map_err(wrong)?;
    fs::remove_dir_all(another).map_err(wrong)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::prepared::Prepared;

    #[test]
    fn all_but_the_newest_second_of_a_prepared_log_is_repacked() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("made");
        let prepared = Prepared {
            out: out.clone(),
            hosts: 3,
            gpus: 8,
            interval_ms: 10_000,
            seconds: 100,
            seed: 5,
        };
        let entries = prepared.make().unwrap();
        let figures = repack(&out, 5).unwrap();
        assert_eq!(
            (figures.entries, figures.joined, figures.made),
            (entries, 100, 1)
        );
        assert!(
            figures.bytes_after < figures.bytes_before / 2,
            "{figures:?}"
        );
        let again = repack(&out, 5).unwrap();
        assert_eq!((again.joined, again.made), (0, 0));
    }
}
