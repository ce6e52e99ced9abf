//! The data directory: which file is where, and who may change it.
//!
//! | file | what it is | who trusts it |
//! |---|---|---|
//! | `record.key` | signs every record; whoever has it can speak for this host | the verifier, by enrolment |
//! | `record.key.new`, `record.key.old` | the same, while the key changes | the verifier, while it does |
//! | `key-changes` | the statements by which the record key changed | nobody: they are signed |
//! | `tls.key` | opens connections; whoever has it can talk, not sign | the verifier's CA |
//! | `tls.key.new` | the same, until the certificate for it is here | nobody yet |
//! | `genesis` | the deployment, as it was when the host enrolled | this agent: checkpoints are held against it |
//! | `lineage` | by whom trust passed on since the genesis | nobody: it is signed |
//! | `enrolment` | the statement that opened this host's chain | nobody: it is signed |
//! | `certificates.pem` | what the verifier's CA gave for `tls.key` | nobody: TLS checks it |
//! | `boot` | which boot was counted last | this agent: a lost one counts a boot too many |
//! | `halt` | why sending stopped, for people | nobody |
//! | `pause` | the planned pause that lasts, so that a restart goes on with it | this agent: a lost one ends the pause |
//! | `devices` | the devices as they were known last | this agent, in a pause: only the driver's answer is signed as observed |
//! | `agent.sock` | where the running agent takes orders | the agent: it answers its own user and root |
//! | `anchor` | the checkpoint up to which the log was shown to be one | nobody: it is signed |
//! | `distrust` | why the log is not believed now, for people | nobody |
//! | `charges/` | checkpoints that contradict each other, for the auditor | nobody: they are signed |
//! | `next/` | a new enrolment, until the verifier has taken it | as their likes here |
//! | `former-*/` | what belonged to a chain that was enrolled again | nobody any more |
//! | `spool/` | sealed records and how far the log has them | nobody: records are signed |
//! | `spool.parted-*/` | records after which the log has others | nobody: records are signed |

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::durable::{self, FileError};

/// Begins the name of a spool that was set aside.
const PARTED: &str = "spool.parted-";

/// The data directory of one agent.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

/// The sole right to change a data directory; given back when dropped.
#[derive(Debug)]
pub struct DataLock(#[allow(dead_code)] File);

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or the directory itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another agent has it.
    #[error(
        "{0} is in use by another affiant-agent; stop that one, or give this one a directory of its own"
    )]
    InUse(PathBuf),
}

impl DataDir {
    /// Names the directory; nothing is looked at.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Makes the directory where there is none, and takes the sole right to change it.
    pub fn lock(&self) -> Result<DataLock, DataError> {
        durable::private_directory(&self.0)?;
        let path = self.0.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(FileError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(DataLock(file)),
            Err(TryLockError::WouldBlock) => Err(DataError::InUse(self.0.clone())),
            Err(TryLockError::Error(error)) => Err(FileError::io("lock", &path)(error).into()),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The key that signs records.
    pub fn record_key(&self) -> PathBuf {
        self.0.join("record.key")
    }

    /// The key that will sign records.
    pub fn new_record_key(&self) -> PathBuf {
        self.0.join("record.key.new")
    }

    /// The key that signed records, while the log still goes by it.
    pub fn old_record_key(&self) -> PathBuf {
        self.0.join("record.key.old")
    }

    /// The statements by which the record key changed.
    pub fn key_changes(&self) -> PathBuf {
        self.0.join("key-changes")
    }

    /// Where a new enrolment is made, while there is an old one.
    pub fn next(&self) -> Self {
        Self(self.0.join("next"))
    }

    /// The key of TLS connections.
    pub fn tls_key(&self) -> PathBuf {
        self.0.join("tls.key")
    }

    /// The key of TLS connections that the next certificate is for.
    pub fn new_tls_key(&self) -> PathBuf {
        self.0.join("tls.key.new")
    }

    /// The deployment's genesis.
    pub fn genesis(&self) -> PathBuf {
        self.0.join("genesis")
    }

    /// By whom trust passed on since the genesis.
    pub fn lineage(&self) -> PathBuf {
        self.0.join("lineage")
    }

    /// The checkpoint that was newest before the log's generation in force.
    pub fn former_anchor(&self) -> PathBuf {
        self.0.join("anchor.former")
    }

    /// The statement that opened this host's chain.
    pub fn enrolment(&self) -> PathBuf {
        self.0.join("enrolment")
    }

    /// The certificates for the TLS key.
    pub fn certificates(&self) -> PathBuf {
        self.0.join("certificates.pem")
    }

    /// The boot that was counted last.
    pub fn boot(&self) -> PathBuf {
        self.0.join("boot")
    }

    /// Why sending stopped.
    pub fn halt(&self) -> PathBuf {
        self.0.join("halt")
    }

    /// The planned pause that lasts.
    pub fn pause(&self) -> PathBuf {
        self.0.join("pause")
    }

    /// The devices as they were known last.
    pub fn devices(&self) -> PathBuf {
        self.0.join("devices")
    }

    /// Where the running agent takes orders.
    pub fn socket(&self) -> PathBuf {
        self.0.join("agent.sock")
    }

    /// The checkpoint up to which the log was shown to be one.
    pub fn anchor(&self) -> PathBuf {
        self.0.join("anchor")
    }

    /// Why the log is not believed now.
    pub fn distrust(&self) -> PathBuf {
        self.0.join("distrust")
    }

    /// Checkpoints that contradict each other.
    pub fn charges(&self) -> PathBuf {
        self.0.join("charges")
    }

    /// The directory of sealed records.
    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// Where a new run of records is made, until it takes the place of the spool.
    pub fn next_spool(&self) -> PathBuf {
        self.0.join("spool.next")
    }

    /// Where a spool is set aside at `wall_ms`.
    pub fn parted_spool(&self, wall_ms: u64) -> PathBuf {
        self.0.join(format!("{PARTED}{wall_ms:014}"))
    }

    /// The spools that were set aside, in no order; none when the directory cannot be listed.
    pub fn parted_spools(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let parted = entries.filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(PARTED))
        });
        parted.map(|entry| entry.path()).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_at_a_time_may_change_a_data_directory() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::at(directory.path().join("data"));
        let held = data.lock().unwrap();
        assert!(matches!(data.lock(), Err(DataError::InUse(_))));
        drop(held);
        data.lock().unwrap();
    }
}
