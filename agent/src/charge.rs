//! Charges against the log: both checkpoints kept on disk, and a state that `status` can show.
//!
//! Whoever runs the verifier cannot take them back: they are in the host's own directory, and each
//! is also signed into the host's chain, so that whatever log comes later has it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use affiant_proto::digest;

use crate::{
    anchor::Charge,
    data::DataDir,
    durable::{self, FileError},
};

/// Most files of charges. The oldest half of them stays, for the first lie tells most; of the
/// rest the newest. At an hour between two ([`AGAIN_MS`]) that is half a day of new ones.
const MAX_CHARGES: usize = 24;

/// Most bytes of a note that are kept: a checkpoint with a hundred cosignatures has some 12 KiB.
const MAX_NOTE: usize = 64 << 10;

/// Least time between two charges under one rule, milliseconds: a verifier that lies at every
/// connection fills neither the disk nor the chain.
const AGAIN_MS: u64 = 3_600_000;

/// The charges of one host.
#[derive(Debug)]
pub struct Charges {
    directory: PathBuf,
    state: PathBuf,
    last: Option<(&'static str, u64)>,
}

impl Charges {
    /// Names the files; nothing is looked at.
    pub fn at(data: &DataDir) -> Self {
        Self {
            directory: data.charges(),
            state: data.distrust(),
            last: None,
        }
    }

    /// Keeps a charge that was brought at `wall_ms`, `boot_ms` after the boot. True when it is to
    /// be signed into the chain: under this rule there was none within the hour.
    pub fn bring(
        &mut self,
        charge: &Charge,
        wall_ms: u64,
        boot_ms: u64,
    ) -> Result<bool, FileError> {
        let again = |(rule, ms): (&str, u64)| {
            rule == charge.rule && boot_ms.saturating_sub(ms) < AGAIN_MS && boot_ms >= ms
        };
        if self.last.is_some_and(again) {
            return Ok(false);
        }
        // Also when the disk is full: the chain then has it, and the journal.
        self.last = Some((charge.rule, boot_ms));
        durable::replace(
            &self.state,
            format!("{}: {}\n", charge.rule, charge.text).as_bytes(),
        )?;
        durable::private_directory(&self.directory)?;
        let [seen, shown] = &charge.notes;
        let cut = |note: &[u8]| {
            String::from_utf8_lossy(note.get(..MAX_NOTE).unwrap_or(note)).into_owned()
        };
        let text = format!(
            "{}\n{}\n\n-- seen before --\n{}\n-- shown --\n{}\n",
            charge.rule,
            charge.text,
            cut(seen),
            cut(shown)
        );
        let mark = digest(text.as_bytes()).to_string();
        let mark = mark.get(..8).unwrap_or_default();
        let name = format!("{wall_ms:014}-{}-{mark}.txt", charge.rule);
        durable::replace(&self.directory.join(name), text.as_bytes())?;
        prune(&self.directory)?;
        Ok(true)
    }

    /// Takes note that the log was shown to be one again. The charges stay.
    pub fn cleared(&mut self) {
        self.last = None;
        if self.state.exists() {
            tracing::info!("the log continues what this host has seen of it");
            let _ = fs::remove_file(&self.state);
        }
    }
}

fn prune(directory: &Path) -> Result<(), FileError> {
    let entries = fs::read_dir(directory).map_err(FileError::io("list", directory))?;
    let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    all.sort();
    while all.len() > MAX_CHARGES {
        let path = all.remove(MAX_CHARGES / 2);
        fs::remove_file(&path).map_err(FileError::io("remove", &path))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn charge(n: u64) -> Charge {
        Charge {
            rule: "LOG_FORKED",
            text: format!("number {n}"),
            notes: [b"seen\n".to_vec(), b"shown\n".to_vec()],
        }
    }

    #[test]
    fn a_charge_keeps_both_notes_and_is_signed_once_an_hour() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::at(directory.path());
        let mut charges = Charges::at(&data);
        assert!(charges.bring(&charge(0), 1, 1_000).unwrap());
        assert!(!charges.bring(&charge(1), 2, 2_000).unwrap());
        assert!(charges.bring(&charge(2), 3, 1_000 + AGAIN_MS).unwrap());
        let mut other = charge(3);
        other.rule = "LOG_WENT_BACK";
        assert!(charges.bring(&other, 4, 1_001 + AGAIN_MS).unwrap());
        let files: Vec<PathBuf> = fs::read_dir(data.charges())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 3);
        let text = fs::read_to_string(&files[0]).unwrap();
        assert!(
            text.contains("seen\n") && text.contains("shown\n"),
            "{text}"
        );
        assert!(
            fs::read_to_string(data.distrust())
                .unwrap()
                .contains("LOG_WENT_BACK")
        );
        charges.cleared();
        assert!(!data.distrust().exists());
    }

    #[test]
    fn a_verifier_that_lies_for_ever_fills_no_disk_and_washes_the_first_charges_away_never() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::at(directory.path());
        let mut charges = Charges::at(&data);
        for n in 0..100 {
            assert!(charges.bring(&charge(n), n, n * AGAIN_MS).unwrap());
        }
        let mut files: Vec<PathBuf> = fs::read_dir(data.charges())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert_eq!(files.len(), MAX_CHARGES);
        let text = |path: &PathBuf| fs::read_to_string(path).unwrap();
        assert!(text(&files[0]).contains("number 0\n"));
        assert!(text(&files[MAX_CHARGES - 1]).contains("number 99\n"));
    }
}
