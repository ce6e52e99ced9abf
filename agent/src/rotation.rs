//! A new record key for the chain that there is: the old key signs a `key` statement, and the new
//! key's own proof is inside.
//!
//! ```text
//! record.key.new ─ `key` statement in the spool ─ key-changes ─ record.key.old ─ record.key
//! ```
//! Each step is on disk before the next; whatever the last one was, the next start finishes it or
//! finds that nothing happened. The old key stays until the log has the statement, for until then
//! the verifier believes no other when an expired certificate must be renewed.

use std::path::{Path, PathBuf};

use affiant_proto::{
    Body, Broken, ChainState, Ed25519Signer, Envelope, KeyId, Malformed, Signer as _, Statement,
    chain::key_change_bytes, envelope::BadEnvelope, keys::BadPrivateKey, statement::SealError, v1,
};
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};

use crate::{
    clock::Clock,
    config::Config,
    data::{DataDir, DataError},
    disk::{Disk, LocalDisk},
    durable::{self, FileError, Secrecy},
    identity::{Identity, IdentityError, MAX_KEY},
    recorder::{self, Book, BookError},
    recover::{RecoverError, recover},
    spool::{AppendError, Limits, Spool, SpoolError, look, look_at},
};

/// Most bytes of the changes that are kept: of 300 bytes each, one a day for nine years.
const MAX_CHANGES: u64 = 1 << 20;

/// Bytes of changes up to which there is another: the longest statement and its length, 64 KiB and
/// four, fit behind them, so that what is written is always read.
const MOST_BEFORE: u64 = MAX_CHANGES - (64 << 10) - 4;

/// Why the key was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotationError {
    /// The data directory.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file of it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The identity on disk.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The chain in the spool.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The first record of the spool.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The record could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The system's randomness.
    #[error("a record key could not be made; look at the system's source of randomness")]
    Make,
    /// The new key.
    #[error("the new record key cannot be used: {0}")]
    Key(#[from] BadPrivateKey),
    /// The statement.
    #[error("could not sign the change: {0}")]
    Seal(#[from] SealError),
    /// The statement as a record.
    #[error("could not sign the change: {0}")]
    Envelope(#[from] BadEnvelope),
    /// The change before is not in the log.
    #[error(
        "the last change of the record key, record {0}, is not in the log yet; run the agent until \
         it is, then change the key again"
    )]
    NotIncluded(u64),
    /// So many that no more are kept.
    #[error(
        "{path} has {bytes} bytes, and with more than {MOST_BEFORE} of them the record key of a \
         chain is not changed again; begin a new chain with `affiant-agent enroll --again`"
    )]
    TooMany {
        /// The file of changes.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The spool, or its disk, is full.
    #[error(
        "the spool has no room for the change; let the verifier take what waits, or make room on \
         its disk, then change the key again"
    )]
    NoRoom,
    /// The changes on disk do not read.
    #[error(
        "the file of key changes is damaged: {0}; restore the data directory, or enrol again with --again"
    )]
    Malformed(#[from] Malformed),
    /// Or are not of this chain.
    #[error(
        "the file of key changes is not of this chain: {0}; restore all files of the data directory together"
    )]
    Broken(#[from] Broken),
}

/// Changes the record key of a stopped agent; gives the record that says so, and the new key's id.
pub fn rotate(config: &Config, clock: &Clock) -> Result<(u64, KeyId), RotationError> {
    let data = DataDir::at(&config.data);
    let _lock = data.lock()?;
    recorder::settle(&data)?;
    settle(&data, config.spool)?;
    let identity = Identity::load(&data)?;
    let mut spool = Spool::open(&data.spool(), config.spool)?;
    Book::begin(&mut spool, identity.enrolment())?;
    let included = spool.cursor().map_or(0, |cursor| cursor.sequence);
    let last = identity.opened().sequence();
    if included < last {
        return Err(RotationError::NotIncluded(last));
    }
    let chain = recover(&mut spool, identity.opened())?.chain;
    if spool.budget_used() {
        return Err(RotationError::NoRoom);
    }
    let (new, body) = prepare(&LocalDisk, &data, &chain)?;
    let sequence = chain.sequence().saturating_add(1);
    let time = clock.read().header;
    let old = identity.keys().record();
    let statement = Statement::seal(body.into(), chain.next_place(), time, None, old)?;
    let entry = Envelope::join(statement, None)?.to_bytes();
    spool.append(sequence, &[entry])?;
    settle_in(&data, &mut spool)?;
    Ok((sequence, new.public_key().id()))
}

/// Makes the next key of `chain`, durable beside the one in force, and what is to be signed of it.
pub(crate) fn prepare(
    disk: &dyn Disk,
    data: &DataDir,
    chain: &ChainState,
) -> Result<(Ed25519Signer, v1::Key), RotationError> {
    let path = data.key_changes();
    let bytes = durable::read(&path, MAX_CHANGES, Secrecy::Public)?;
    let bytes = bytes.map_or(0, |bytes| bytes.len() as u64);
    if bytes > MOST_BEFORE {
        return Err(RotationError::TooMany { path, bytes });
    }
    let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
    let made = made.map_err(|_| RotationError::Make)?;
    let new = Ed25519Signer::from_pkcs8(made.as_ref())?;
    durable::replace_on(disk, &data.new_record_key(), made.as_ref())?;
    let sequence = chain.sequence().saturating_add(1);
    let bytes = key_change_bytes(chain.chain(), sequence, chain.head(), new.public_key());
    let proof = new.sign(&bytes).map_err(SealError::from)?;
    let body = v1::Key {
        header: None,
        new_key: new.public_key().as_bytes().to_vec(),
        proof: proof.to_vec(),
        ca: Vec::new(),
    };
    Ok((new, body))
}

/// Finishes a change that a crash cut short, or forgets one that came to nothing; before the
/// identity is read. Lets go of an old key that the log no longer goes by. Where the disk is full,
/// the spool makes room for it.
pub fn settle(data: &DataDir, limits: Limits) -> Result<(), RotationError> {
    match settle_on(&LocalDisk, data) {
        Err(RotationError::File(error)) if error.is_full() => {
            settle_in(data, &mut Spool::open(&data.spool(), limits)?)
        }
        done => done,
    }
}

/// Does as [`settle`] does, with the spool that is open.
pub(crate) fn settle_in(data: &DataDir, spool: &mut Spool) -> Result<(), RotationError> {
    loop {
        match settle_on(&*spool.disk(), data) {
            Err(RotationError::File(error)) if error.is_full() && spool.free_disk()? => {}
            done => return done,
        }
    }
}

fn settle_on(disk: &dyn Disk, data: &DataDir) -> Result<(), RotationError> {
    let status = look(&data.spool())?;
    if let Some(new) = durable::read(&data.new_record_key(), MAX_KEY, Secrecy::Private)? {
        let new_key = Ed25519Signer::from_pkcs8(&new)?;
        let last = status.range.map(|(_, last)| last);
        let entry = last.and_then(|last| look_at(&data.spool(), last).transpose());
        let sealed = match entry.transpose()?.map(|bytes| Envelope::parse(&bytes)) {
            Some(Ok(envelope)) => Some(envelope.statement().clone()),
            Some(Err(_)) | None => None,
        };
        let hands_over = |statement: &Statement| match statement.body() {
            Body::Key(change) => change.new_key == new_key.public_key().as_bytes(),
            _ => false,
        };
        if let Some(change) = sealed.filter(hands_over) {
            let mut changes = changes(data)?;
            if changes.last().map(Statement::digest) != Some(change.digest()) {
                changes.push(change);
                durable::replace_on(disk, &data.key_changes(), &spell(&changes))?;
            }
            // Until the new key has its name, the one of that name is the old one.
            let current = durable::read(&data.record_key(), MAX_KEY, Secrecy::Private)?;
            if let Some(old) = current.filter(|current| **current != *new) {
                durable::replace_on(disk, &data.old_record_key(), &old)?;
            }
            let path = data.record_key();
            disk.rename(&data.new_record_key(), &path)
                .map_err(FileError::io("rename to", &path))?;
        } else {
            // It never signed anything.
            durable::remove_leftover(disk, &data.new_record_key())?;
        }
    }
    if data.old_record_key().exists() {
        // Before anything is signed by the new key; when this failed before, its name is there.
        let path = data.record_key();
        let directory = path.parent().unwrap_or(Path::new("/"));
        disk.sync_directory(directory)
            .map_err(FileError::io("sync", directory))?;
    }
    let included = status.cursor.map(|cursor| cursor.sequence);
    let last = changes(data)?
        .last()
        .map(|change| change.header().sequence());
    if last.is_some() && included >= last {
        durable::remove_leftover(disk, &data.old_record_key())?;
    }
    Ok(())
}

/// The chain at the last change of its key.
pub fn follow(data: &DataDir, opened: ChainState) -> Result<ChainState, RotationError> {
    let mut chain = opened;
    for change in changes(data)? {
        chain.skip_to(change)?;
    }
    Ok(chain)
}

/// One after the other, the length of each before it in four bytes, big-endian.
fn spell(changes: &[Statement]) -> Vec<u8> {
    let spelled = changes.iter().flat_map(|change| {
        let bytes = change.as_bytes();
        // A statement has at most 64 KiB.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        [&length.to_be_bytes(), bytes].concat()
    });
    spelled.collect()
}

fn changes(data: &DataDir) -> Result<Vec<Statement>, RotationError> {
    let bytes = durable::read(&data.key_changes(), MAX_CHANGES, Secrecy::Public)?;
    let mut rest = bytes.as_ref().map_or(&[][..], |bytes| bytes.as_slice());
    let mut changes = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (bytes, after) = after.split_at_checked(length).unwrap_or((after, &[]));
        changes.push(Statement::parse(bytes)?);
        rest = after;
    }
    Ok(changes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use affiant_proto::statement::Place;
    use std::{fs, time::Duration};

    fn signer() -> (Vec<u8>, Ed25519Signer) {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let bytes = made.as_ref().to_vec();
        let signer = Ed25519Signer::from_pkcs8(&bytes).unwrap();
        (bytes, signer)
    }

    /// A host in the middle of a change: which of its files are there, is for the test to say.
    struct Change {
        _directory: tempfile::TempDir,
        data: DataDir,
        opened: ChainState,
        old: Vec<u8>,
        new: Vec<u8>,
        statement: Statement,
    }

    fn change() -> Change {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::at(directory.path());
        let ((old, old_key), (new, new_key)) = (signer(), signer());
        let time = crate::clock::header_time();
        let body = v1::Enrolment {
            record_key: old_key.public_key().as_bytes().to_vec(),
            ..v1::Enrolment::default()
        };
        let enrolment = Statement::seal(body.into(), Place::Opening, time, None, &old_key).unwrap();
        let opened = ChainState::open(enrolment.clone()).unwrap().0;
        let mut spool = Spool::open(&data.spool(), limits()).unwrap();
        Book::begin(&mut spool, &enrolment).unwrap();
        durable::replace(&data.record_key(), &old).unwrap();
        let bytes = key_change_bytes(opened.chain(), 1, opened.head(), new_key.public_key());
        let body = v1::Key {
            new_key: new_key.public_key().as_bytes().to_vec(),
            proof: new_key.sign(&bytes).unwrap().to_vec(),
            ..v1::Key::default()
        };
        let place = opened.next_place();
        let statement = Statement::seal(body.into(), place, time, None, &old_key).unwrap();
        Change {
            _directory: directory,
            data,
            opened,
            old,
            new,
            statement,
        }
    }

    fn limits() -> Limits {
        Limits {
            max_bytes: 64 << 20,
            keep: Duration::from_secs(3_600),
            max_age: None,
            reserve: None,
        }
    }

    fn seal(change: &Change) {
        let mut spool = Spool::open(&change.data.spool(), limits()).unwrap();
        let entry = Envelope::join(change.statement.clone(), None).unwrap();
        spool.append(1, &[entry.to_bytes()]).unwrap();
    }

    fn there(path: &Path) -> Option<Vec<u8>> {
        fs::read(path).ok()
    }

    #[test]
    fn a_crash_at_any_step_leaves_one_key_that_is_the_chains() {
        type Step = fn(&Change);
        let steps: [Step; 5] = [
            |c| durable::replace(&c.data.new_record_key(), &c.new).unwrap(),
            seal,
            |c| {
                let changes = spell(std::slice::from_ref(&c.statement));
                durable::replace(&c.data.key_changes(), &changes).unwrap();
            },
            |c| durable::replace(&c.data.old_record_key(), &c.old).unwrap(),
            |c| fs::rename(c.data.new_record_key(), c.data.record_key()).unwrap(),
        ];
        for done in 0..=steps.len() {
            let change = change();
            steps.iter().take(done).for_each(|step| step(&change));
            // Twice: a start that was itself cut short is followed by another.
            settle(&change.data, limits()).unwrap();
            settle(&change.data, limits()).unwrap();
            let changed = done >= 2;
            let chain = follow(&change.data, change.opened.clone()).unwrap();
            let key = there(&change.data.record_key()).unwrap();
            let held = Ed25519Signer::from_pkcs8(&key).unwrap();
            assert_eq!(chain.key(), held.public_key(), "after {done} steps");
            assert_eq!(key == change.new, changed, "after {done} steps");
            assert!(there(&change.data.new_record_key()).is_none());
            let old = there(&change.data.old_record_key());
            assert_eq!(old.is_some(), changed, "the log still goes by it");
            let mut spool = Spool::open(&change.data.spool(), limits()).unwrap();
            let recovered = recover(&mut spool, &chain).unwrap();
            assert_eq!(recovered.chain.sequence(), u64::from(changed));
            assert_eq!(recovered.chain.key(), held.public_key());
        }
    }

    #[test]
    fn the_old_key_goes_when_the_log_has_the_change() {
        let change = change();
        durable::replace(&change.data.new_record_key(), &change.new).unwrap();
        seal(&change);
        settle(&change.data, limits()).unwrap();
        assert!(change.data.old_record_key().exists());
        let mut spool = Spool::open(&change.data.spool(), limits()).unwrap();
        let cursor = crate::spool::Cursor {
            sequence: 1,
            index: 9,
            checkpoint: String::new(),
        };
        spool
            .included(cursor, std::time::SystemTime::now())
            .unwrap();
        settle(&change.data, limits()).unwrap();
        assert!(!change.data.old_record_key().exists());
    }

    #[test]
    fn no_key_is_changed_so_often_that_the_next_start_refuses_the_changes() {
        let change = change();
        let one = spell(std::slice::from_ref(&change.statement)).len();
        let most = usize::try_from(MOST_BEFORE).unwrap() / one;
        let changes = |count| spell(&vec![change.statement.clone(); count]);
        let laid = |count| durable::replace(&change.data.key_changes(), &changes(count)).unwrap();
        laid(most + 1);
        let refused = prepare(&LocalDisk, &change.data, &change.opened);
        let Err(error @ RotationError::TooMany { .. }) = refused else {
            panic!("{:?}", refused.err());
        };
        assert!(error.to_string().contains("enroll --again"), "{error}");
        assert!(there(&change.data.new_record_key()).is_none());
        laid(most);
        prepare(&LocalDisk, &change.data, &change.opened).unwrap();
        // The longest statement behind these is read again.
        let longest = (64 << 10) + 4;
        assert!((changes(most).len() + longest) as u64 <= MAX_CHANGES);
        assert_eq!(super::changes(&change.data).unwrap().len(), most);
    }

    #[test]
    fn changes_that_were_cut_are_refused_and_not_passed_over() {
        let change = change();
        let mut bytes = spell(std::slice::from_ref(&change.statement));
        bytes.pop();
        durable::replace(&change.data.key_changes(), &bytes).unwrap();
        assert!(follow(&change.data, change.opened.clone()).is_err());
    }
}
