//! Enrolling again: a new chain for a host that has one which is over, was evicted, or whose key
//! or records were lost.
//!
//! ```text
//! what the old chain may still send ─ next/: keys, enrolment ─ verifier ─ next/accepted
//!   └─ old files ─▶ former-CHAIN/ ─ next/moved ─ next/* ─▶ the data directory
//! ```
//! Until the verifier has taken the new enrolment nothing of the old one is touched, and nothing
//! is ever deleted: the old spool may hold records that no log has.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use affiant_proto::{
    ChainState, Digest, Ed25519Signer, PublicKey, Signer as _, Statement,
    predecessor::reenrolment_bytes, statement::MAX_STATEMENT_BYTES, v1,
};
use tokio::{sync::watch, time::timeout};

use crate::{
    boot::BOOT_ID,
    config::Config,
    data::{DataDir, DataError},
    durable::{self, FileError, Secrecy},
    enrol::{EnrolError, Outcome, Token, attempt},
    identity::{Identity, Keys},
    link::Link,
    outside::Outside,
    recorder::{self, Book, Recorder},
    recover::recover,
    rotation,
    run::{self, RunError},
    spool::Spool,
    upload::Uploader,
};

/// Time in which the old chain may send what it still has: at 256 records a second a day's backlog
/// takes 34 s; what is left is kept aside.
const DELIVER: Duration = Duration::from_secs(120);

/// Most characters of the reason.
pub const MAX_REASON: usize = 500;

/// What belongs to one enrolment, and goes with it.
const FILES: [&str; 16] = [
    "record.key",
    "record.key.new",
    "record.key.old",
    "key-changes",
    "tls.key",
    "tls.key.new",
    "enrolment",
    "certificates.pem",
    "genesis",
    "lineage",
    "boot",
    "halt",
    "distrust",
    "spool",
    "spool.next",
    "anchor",
];

/// Those of [`FILES`] that tell of the log: they go only where the deployment is another.
const OF_THE_LOG: [&str; 2] = ["anchor", "lineage"];

/// Why the host did not enrol again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgainError {
    /// The data directory.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file of it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The new enrolment.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// Nothing to go on from.
    #[error("there is no enrolment in {0} that a new one could follow; enrol without --again")]
    First(PathBuf),
}

/// The chain that the new one follows.
pub(crate) struct Before {
    chain: Digest,
    sequence: u64,
    head: Digest,
    reason: String,
    key: Option<Arc<Ed25519Signer>>,
}

impl Before {
    /// Spells it as the new enrolment names it, with the old key's proof where that key is here.
    pub(crate) fn name(&self, genesis: Digest, record_key: &PublicKey) -> v1::Predecessor {
        let place = (self.chain, self.sequence, self.head);
        let bytes = reenrolment_bytes(genesis, place, record_key);
        let proof = self.key.as_ref().and_then(|key| key.sign(&bytes).ok());
        v1::Predecessor {
            chain: self.chain.as_bytes().to_vec(),
            sequence: self.sequence,
            head: self.head.as_bytes().to_vec(),
            reason: self.reason.clone(),
            proof: proof.map(|proof| proof.to_vec()).unwrap_or_default(),
        }
    }
}

/// Enrols the host of a stopped agent again; gives where its old files are kept now.
pub async fn again(
    config: &Config,
    token: &Token,
    reason: &str,
    outside: &Outside,
) -> Result<(Outcome, PathBuf), AgainError> {
    let data = DataDir::at(&config.data);
    let _lock = data.lock()?;
    settle(&data)?;
    let before = before(config, &data, reason, outside).await?;
    let former = former(&data, before.chain);
    let next = data.next();
    durable::private_directory(next.path())?;
    let outcome = attempt(config, &next, token, Some(&before), outside).await?;
    let name = former.file_name().unwrap_or_default();
    durable::replace(&accepted(&next), name.as_encoded_bytes())?;
    settle(&data)?;
    Ok((outcome, former))
}

/// Finishes the change from one enrolment to the next; before anything of either is read.
pub fn settle(data: &DataDir) -> Result<(), FileError> {
    let next = data.next();
    if let Some(name) = durable::read(&accepted(&next), 256, Secrecy::Public)? {
        let name = String::from_utf8_lossy(&name).into_owned();
        // Our own name for it; whatever else stands there leads nowhere else.
        let name = Path::new(&name).file_name().unwrap_or("former".as_ref());
        let former = data.path().join(name);
        durable::private_directory(&former)?;
        let read =
            |path: PathBuf| durable::read(&path, MAX_STATEMENT_BYTES as u64, Secrecy::Public);
        // It may have been set aside before a crash.
        let genesis = match read(data.genesis())? {
            None => read(former.join("genesis"))?,
            here => here,
        };
        let same = genesis == read(next.genesis())?;
        for name in FILES {
            if same && OF_THE_LOG.contains(&name) {
                continue;
            }
            let to = former.join(name);
            if !to.exists() {
                rename(&data.path().join(name), &to)?;
            }
        }
        durable::sync_directory_of(&former.join("."))?;
        rename(&accepted(&next), &moved(&next))?;
        durable::sync_directory_of(&moved(&next))?;
    }
    if moved(&next).exists() {
        for name in FILES {
            rename(&next.path().join(name), &data.path().join(name))?;
        }
        durable::sync_directory_of(&data.genesis())?;
        fs::remove_dir_all(next.path()).map_err(FileError::io("remove", next.path()))?;
        durable::sync_directory_of(&data.genesis())?;
    }
    Ok(())
}

fn accepted(next: &DataDir) -> PathBuf {
    next.path().join("accepted")
}

fn moved(next: &DataDir) -> PathBuf {
    next.path().join("moved")
}

fn former(data: &DataDir, chain: Digest) -> PathBuf {
    let chain = chain.to_string();
    let short = chain.get(..16).unwrap_or(&chain);
    data.path().join(format!("former-{short}"))
}

/// Renames what is there.
fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::io("rename to", to)(error))
        }
        _ => Ok(()),
    }
}

/// Looks at the old chain, as far as its files still tell of it, and lets it send what it has.
async fn before(
    config: &Config,
    data: &DataDir,
    reason: &str,
    outside: &Outside,
) -> Result<Before, AgainError> {
    let reason = reason.chars().take(MAX_REASON).collect();
    let first = || AgainError::First(data.path().to_owned());
    let enrolment = durable::read(
        &data.enrolment(),
        MAX_STATEMENT_BYTES as u64,
        Secrecy::Public,
    )?;
    let enrolment = enrolment.and_then(|bytes| Statement::parse(&bytes).ok());
    let chain = enrolment.ok_or_else(first)?.digest();
    match whole(config, data, outside).await {
        Ok((state, identity)) => Ok(Before {
            chain,
            sequence: state.sequence(),
            head: state.head(),
            reason,
            key: Some(identity.keys().record_arc()),
        }),
        Err(error) => {
            tracing::warn!(%error, "the old chain sends nothing more from here");
            Ok(Before {
                chain,
                sequence: 0,
                head: chain,
                reason,
                key: Keys::read(data)
                    .ok()
                    .flatten()
                    .map(|keys| keys.record_arc()),
            })
        }
    }
}

/// Reads an old chain that is whole, and lets it send what it has.
async fn whole(
    config: &Config,
    data: &DataDir,
    outside: &Outside,
) -> Result<(ChainState, Arc<Identity>), Box<dyn std::error::Error + Send + Sync>> {
    recorder::settle(data)?;
    rotation::settle(data, config.spool)?;
    let identity = Arc::new(Identity::load(data)?);
    let mut spool = Spool::open(&data.spool(), config.spool)?;
    Book::begin(&mut spool, identity.enrolment())?;
    if spool.status().waiting() > 0 {
        if let Err(error) = deliver(config, data, &identity, spool, outside).await {
            tracing::warn!(%error, "what waits in the old spool is not sent; it is kept aside");
        }
        spool = Spool::open(&data.spool(), config.spool)?;
        if spool.status().waiting() > 0 {
            let waiting = spool.status().waiting();
            tracing::warn!(
                waiting,
                "records of the old chain were not taken; they are kept aside"
            );
        }
    }
    let state = recover(&mut spool, identity.opened())?.chain;
    Ok((state, identity))
}

/// Sends what waits, for a while.
async fn deliver(
    config: &Config,
    data: &DataDir,
    identity: &Arc<Identity>,
    spool: Spool,
    outside: &Outside,
) -> Result<(), RunError> {
    let cursor = spool.cursor().cloned();
    let book = run::open(
        config,
        identity,
        spool,
        config.interval,
        Path::new(BOOT_ID),
        outside,
    )?;
    let last = book.head().0;
    let system = |error| RunError::System {
        what: "a thread",
        error,
    };
    let (recorder, ended) = Recorder::start(book).map_err(system)?;
    // It waits for the last record to be INCLUDED, and then ends.
    let (drain, draining) = watch::channel(Some(last));
    let (link, _seen) = watch::channel(Link::Connecting {
        since_unix_ms: outside.clock.wall_ms(),
    });
    let uploader = Uploader {
        verifier: config.verifier.clone(),
        ca: config.ca.clone(),
        identity: Arc::clone(identity),
        data: data.clone(),
        recorder: recorder.clone(),
        cursor,
        reconnect_max: Duration::from_secs(5),
        drain: draining,
        sent: 0,
        link,
        outside: outside.clone(),
    };
    // What was not sent in that time is kept aside.
    let _ = timeout(DELIVER, uploader.run_until_refused()).await;
    drop((recorder, drain));
    ended.await.map_err(|_| RunError::RecorderDied)??;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
    }

    /// Old files, new files, and the verifier's word that it took the new enrolment.
    fn between() -> (tempfile::TempDir, DataDir) {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::at(directory.path());
        for name in [
            "record.key",
            "tls.key",
            "enrolment",
            "boot",
            "anchor",
            "lineage",
        ] {
            write(&data.path().join(name), "old");
        }
        fs::create_dir(data.spool()).unwrap();
        write(&data.spool().join("0.spool"), "old");
        durable::private_directory(data.next().path()).unwrap();
        for name in ["record.key", "tls.key", "enrolment"] {
            write(&data.next().path().join(name), "new");
        }
        for genesis in [data.genesis(), data.next().genesis()] {
            write(&genesis, "genesis");
        }
        write(&accepted(&data.next()), "former-abc");
        (directory, data)
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_crash_at_any_step_loses_no_file_of_either_enrolment() {
        // Every prefix of the renames, in the order in which they are made.
        let moves: Vec<(bool, &str)> = FILES
            .iter()
            .filter(|name| !OF_THE_LOG.contains(name))
            .map(|name| (false, *name))
            .chain([(true, "")])
            .chain(FILES.iter().map(|name| (true, *name)))
            .collect();
        for done in 0..=moves.len() {
            let (_directory, data) = between();
            let former = data.path().join("former-abc");
            durable::private_directory(&former).unwrap();
            for (new, name) in moves.iter().take(done) {
                let next = data.next();
                match (new, *name) {
                    (true, "") => rename(&accepted(&next), &moved(&next)).unwrap(),
                    (true, name) => {
                        rename(&next.path().join(name), &data.path().join(name)).unwrap();
                    }
                    (false, name) => {
                        rename(&data.path().join(name), &former.join(name)).unwrap();
                    }
                }
            }
            settle(&data).unwrap();
            settle(&data).unwrap();
            for name in ["record.key", "tls.key", "enrolment"] {
                assert_eq!(text(&data.path().join(name)), "new", "{name} after {done}");
                assert_eq!(text(&former.join(name)), "old", "{name} after {done}");
            }
            assert_eq!(text(&former.join("spool/0.spool")), "old");
            assert!(!data.spool().exists() && !data.boot().exists());
            assert_eq!(
                text(&data.anchor()),
                "old",
                "what was seen of the log stays"
            );
            assert!(!data.next().path().exists());
        }
    }

    #[test]
    fn an_enrolment_that_the_verifier_has_not_taken_changes_nothing() {
        let (_directory, data) = between();
        fs::remove_file(accepted(&data.next())).unwrap();
        settle(&data).unwrap();
        assert_eq!(text(&data.record_key()), "old");
        assert!(data.spool().exists());
    }
}
