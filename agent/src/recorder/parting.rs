//! Where the log and the disk part, and the new run of records that goes on from the log's head.
//!
//! A host that was restored from an image has less than the log, or other records at the same
//! places; a log that went on by a succession may lack records that this host no longer keeps. In
//! either case a new spool begins beside the old one, opened by a `chain-restart` or a `gap`, with
//! the measurements of records that the log surely does not have sealed again; then the two change
//! places. Before that nothing of the new one was sent, and afterwards nothing of the old one is.
//!
//! ```text
//! spool ─────────────────────────────▶ spool.parted-TIME     (first, and synced)
//! spool.next (whole and synced) ─────▶ spool                 (then)
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use affiant_proto::{Body, Digest, Envelope, envelope::Leaves, statement::Place, v1};
use ring::rand::SystemRandom;

use super::{
    Head,
    book::{Book, BookError, DRAFT_BYTES},
};
use crate::{
    boot,
    clock::Clock,
    data::DataDir,
    durable::{self, FileError},
    recover::RecoverError,
    seal::{Draft, NotSealed, Sealer},
    spool::{AppendError, Spool},
};

/// Bytes that are read from the old spool at a time.
const READ: usize = 1 << 20;

/// Records that are looked back for the last usage before the parting: of every seven hundred one
/// is no usage, so that the first look nearly always finds it.
const LOOK_BACK: u64 = 64;

/// Least time between two new runs, milliseconds: ten minutes. A verifier that tells another head
/// at every connection, or a second host with this one's keys, fills no disk.
const AGAIN_MS: u64 = 600_000;

/// Most old spools that are kept beside the one in use. Together they take no more than the one in
/// use may, by `max_bytes`, and the newest always stays.
const MAX_PARTED: usize = 8;

/// What the verifier says of this chain.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its head.
    pub head: Head,
    /// The digests before it, newest first.
    pub recent: Vec<Digest>,
    /// The last record that was sent by this process, 0 when none was: beyond it, and beyond what
    /// was on disk when the process began, no log can have what this host has.
    pub sent: u64,
}

/// How the verifier's head stands to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// It is a record of this host; what follows it can be sent.
    Agreed,
    /// It is none, or this host has not come so far.
    Differs,
    /// It lies before the oldest record that is still kept, and records between are lost.
    Lacks,
}

/// Why there is no new run now; nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRejoined {
    /// There was one just now.
    #[error(
        "the verifier's head of this chain is again not this host's, and the chain went on from \
         such a head within {} min: does another host use its keys? if so, enrol one of them again",
        AGAIN_MS / 60_000
    )]
    Again,
    /// The key changed after the place where they part, or the log has a change that this host
    /// does not.
    #[error(
        "the chain cannot go on from record {0}, the verifier's last of it, for the record key was \
         changed after it: the log does not know the key of today. enrol anew with `affiant-agent \
         enroll --again`"
    )]
    Key(u64),
    /// The disk has no room for the files of a change of the key.
    #[error(
        "the record key was changed and its files are not whole, for the disk of the data directory \
         is full; make room there"
    )]
    Unsettled,
    /// Nothing could be sealed.
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
    /// It did not fit on the disk.
    #[error("the chain cannot go on from the log's head: {0}")]
    Append(AppendError),
    /// For good: the agent must start again.
    #[error(transparent)]
    Book(#[from] BookError),
}

impl From<RecoverError> for NotRejoined {
    fn from(error: RecoverError) -> Self {
        Self::Book(error.into())
    }
}

impl From<FileError> for NotRejoined {
    fn from(error: FileError) -> Self {
        Self::Book(error.into())
    }
}

/// Finishes or undoes what a crash cut short; before the spool is opened.
pub fn settle(data: &DataDir) -> Result<(), FileError> {
    let (spool, next) = (data.spool(), data.next_spool());
    if !next.exists() {
        return Ok(());
    }
    if spool.exists() {
        // The old one was not yet set aside, so nothing of the new one was ever sent.
        return fs::remove_dir_all(&next).map_err(FileError::io("remove", &next));
    }
    fs::rename(&next, &spool).map_err(FileError::io("rename to", &spool))?;
    durable::sync_directory_of(&spool)
}

/// What of the old records goes into the new run.
struct Carried {
    sealer: Sealer,
    draft: Draft,
    spool: Spool,
    clock: Clock,
    /// Boot of the last record in the new run.
    boot: u32,
    /// Boot and end of the last usage that was carried, as it was in the old run.
    ended: Option<(u32, u64)>,
    /// The old sequences of the tables in force.
    tables: (Option<u64>, Option<u64>),
    carried: u64,
    left: u64,
}

impl Book {
    /// Holds the verifier's head against the disk.
    pub fn meet(&mut self, told: &Told) -> Result<Met, BookError> {
        let ((theirs, digest), (ours, head)) = (told.head, self.head());
        if theirs >= ours {
            let same = theirs == ours && digest == head;
            return Ok(if same { Met::Agreed } else { Met::Differs });
        }
        let known = match self.kept(theirs)? {
            Some(envelope) => Some(envelope.statement().digest()),
            None => self.kept(theirs.saturating_add(1))?.and_then(|next| {
                match next.statement().header().place() {
                    Place::Link { previous, .. } => Some(previous),
                    Place::Opening => None,
                }
            }),
        };
        Ok(match known {
            Some(known) if known == digest => Met::Agreed,
            Some(_) => Met::Differs,
            None => Met::Lacks,
        })
    }

    /// Begins the new run that goes on from the verifier's head; does nothing when that agrees.
    pub fn rejoin(&mut self, told: &Told) -> Result<(), NotRejoined> {
        let met = self.meet(told)?;
        if met == Met::Agreed {
            return Ok(());
        }
        let now_ms = self.clock.read().boot_ms;
        if self
            .rejoined_ms
            .is_some_and(|last| now_ms.saturating_sub(last) < AGAIN_MS)
        {
            return Err(NotRejoined::Again);
        }
        if !self.settled()? {
            return Err(NotRejoined::Unsettled);
        }
        let ((theirs, digest), (ours, head)) = (told.head, self.head());
        // Restart and gap alike are signed by the chain's key as of the verifier's head.
        let unknown = match met {
            Met::Agreed => false,
            Met::Differs => theirs <= self.opened.sequence() && theirs > 0,
            Met::Lacks => theirs < self.opened.sequence(),
        };
        if unknown {
            return Err(NotRejoined::Key(theirs));
        }
        let boot = self.sealer.boot().saturating_add(1);
        let random = || Box::new(SystemRandom::new());
        let (sealer, opener, place, from) = if met == Met::Lacks {
            let sealer = self
                .sealer
                .anew(self.sealer.chain().clone(), boot, random());
            let gap = v1::Gap {
                header: None,
                first: theirs.saturating_add(1),
                last: ours,
                last_digest: head.as_bytes().to_vec(),
                reason: "the log lost them, and this host no longer keeps all of them".into(),
                lines: false,
            };
            let place = sealer.chain().next_place();
            (sealer, Body::from(gap), place, theirs.saturating_add(1))
        } else {
            let sealer = self.sealer.anew(self.opened.clone(), boot, random());
            let restart = v1::ChainRestart {
                header: None,
                restored_sequence: ours,
                restored_head: head.as_bytes().to_vec(),
                adopted_sequence: theirs,
                adopted_head: digest.as_bytes().to_vec(),
                reason: "the log's head of this chain was not on the host's disk".into(),
            };
            let place = Place::Link {
                chain: self.opened.chain(),
                sequence: theirs.saturating_add(1),
                previous: digest,
            };
            (sealer, Body::from(restart), place, self.unlogged(told)?)
        };
        let next = self.data.next_spool();
        clear(&next)?;
        let draft = sealer.begin(opener, place, self.clock.read())?;
        let mut carried = Carried {
            draft,
            spool: Spool::open(&next, self.spool.limits()).map_err(BookError::from)?,
            sealer,
            clock: self.clock.clone(),
            boot,
            ended: None,
            tables: (None, None),
            carried: 0,
            left: 0,
        };
        // The time of this record is the log's as well, under whatever record it has there.
        let common = match met {
            Met::Lacks => None,
            _ => Some(self.usage_before(from)?),
        };
        let result = self.carry(&mut carried, from, common);
        if let Err(error) = result.and_then(|()| carried.flush()) {
            clear(&next)?;
            return Err(error);
        }
        self.change_over(carried, theirs)?;
        self.rejoined_ms = Some(now_ms);
        Ok(())
    }

    /// The first record of which the log surely has nothing.
    fn unlogged(&mut self, told: &Told) -> Result<u64, NotRejoined> {
        let (theirs, ours) = (told.head.0, self.head().0);
        let first = self.spool.status().range.map_or(0, |(first, _)| first);
        let end = theirs.min(ours.saturating_add(1));
        let mut next = theirs.saturating_sub(told.recent.len() as u64).max(first);
        let mut common = None;
        while next < end {
            let read = self.spool.read(next, READ).map_err(BookError::from)?;
            let Some((last, _)) = read.last() else { break };
            next = last.saturating_add(1);
            for (sequence, bytes) in read.into_iter().filter(|(at, _)| *at < end) {
                let envelope = Envelope::parse(&bytes)
                    .map_err(|error| RecoverError::Record { sequence, error })?;
                let back = usize::try_from(theirs - sequence - 1).unwrap_or(usize::MAX);
                if told.recent.get(back) == Some(&envelope.statement().digest()) {
                    common = Some(sequence);
                }
            }
        }
        if let Some(common) = common {
            return Ok(common.saturating_add(1));
        }
        // It cannot be told where they parted. What this process sealed and never sent is nobody
        // else's; all before may be in the log, and missing is better than double.
        let included = self.spool.cursor().map_or(0, |cursor| cursor.sequence);
        let known = self.began.max(included).max(told.sent);
        Ok(known.saturating_add(1))
    }

    /// Boot and end of the last usage before `from`; `None` when it is not known.
    fn usage_before(&mut self, from: u64) -> Result<Option<(u32, u64)>, NotRejoined> {
        for back in 1..=LOOK_BACK.min(from) {
            let Some(envelope) = self.kept(from - back)? else {
                break;
            };
            if let Body::Usage(usage) = envelope.statement().body() {
                return Ok(Some((usage.boot, usage.end_ms)));
            }
            if from == back {
                // The enrolment: there is none, and so no time that could be the log's.
                return Ok(Some((0, 0)));
            }
        }
        Ok(None)
    }

    /// Seals again what `from` and the records after it measured.
    fn carry(
        &mut self,
        to: &mut Carried,
        from: u64,
        common: Option<Option<(u32, u64)>>,
    ) -> Result<(), NotRejoined> {
        let mut next = match self.spool.status().range {
            Some((first, _)) => from.max(first),
            None => return Ok(()),
        };
        let mut first = true;
        loop {
            let read = self.spool.read(next, READ).map_err(BookError::from)?;
            let Some((last, _)) = read.last() else {
                return Ok(());
            };
            next = last.saturating_add(1);
            for (sequence, bytes) in read {
                let envelope = Envelope::parse(&bytes)
                    .map_err(|error| RecoverError::Record { sequence, error })?;
                let (statement, leaves) = envelope.into_parts();
                match statement.body() {
                    Body::Usage(usage) => {
                        let shared = first
                            && common.is_some_and(|common| {
                                common.is_none_or(|at| at == (usage.boot, usage.start_ms))
                            });
                        first = false;
                        if shared {
                            to.left += 1;
                        } else {
                            self.carry_usage(to, usage.clone(), leaves)?;
                        }
                    }
                    Body::Observation(_) => to.add(statement.body().clone(), None)?,
                    // Tables are stated where usage needs them; the rest was of the old run.
                    _ => {}
                }
            }
        }
    }

    fn carry_usage(
        &mut self,
        to: &mut Carried,
        mut usage: v1::Usage,
        leaves: Leaves,
    ) -> Result<(), NotRejoined> {
        let Leaves::All(lines) = leaves else {
            // Its lines were let go, and without them there is no root to sign.
            to.left += 1;
            return Ok(());
        };
        let tables = (Some(usage.inventory), Some(usage.workloads));
        let stale = [
            (to.tables.0 != tables.0).then_some(usage.inventory),
            (to.tables.1 != tables.1).then_some(usage.workloads),
        ];
        let mut stated = Vec::new();
        for sequence in stale.into_iter().flatten() {
            match self.kept(sequence)?.map(Envelope::into_parts) {
                Some((statement, Leaves::All(table))) => {
                    stated.push((statement.body().clone(), table.into_leaves()));
                }
                _ => {
                    to.left += 1;
                    return Ok(());
                }
            }
        }
        for (body, table) in stated {
            to.add(body, Some(table))?;
        }
        to.tables = tables;
        // Within a boot intervals abut, and no boot of the old run is one of the new.
        let abuts = to.ended == Some((usage.boot, usage.start_ms));
        if to.ended.is_some() && !abuts {
            to.boot = to.boot.saturating_add(1);
        }
        to.ended = Some((usage.boot, usage.end_ms));
        usage.boot = to.boot;
        to.carried += 1;
        to.add(usage.into(), Some(lines.into_leaves()))
    }

    /// The new spool takes the place of the old.
    fn change_over(&mut self, carried: Carried, theirs: u64) -> Result<(), NotRejoined> {
        let Carried {
            mut sealer,
            spool,
            boot,
            ended,
            carried,
            left,
            ..
        } = carried;
        drop(spool);
        let (path, next) = (self.data.spool(), self.data.next_spool());
        let parted = self.data.parted_spool(self.clock.wall_ms());
        let last_usage = self.ended.map(|ended| ended.boot_ms);
        fs::rename(&path, &parted).map_err(FileError::io("rename to", &parted))?;
        durable::sync_directory_of(&path)?;
        fs::rename(&next, &path).map_err(FileError::io("rename to", &path))?;
        durable::sync_directory_of(&path)?;
        self.spool = Spool::open(&path, self.spool.limits()).map_err(BookError::from)?;
        self.spool.hold(self.opened.sequence());
        // The open interval follows the last record only if that is in the new run, too.
        let number = if last_usage.is_some() && last_usage == ended.map(|(_, end_ms)| end_ms) {
            boot
        } else {
            if self.ended.take().is_some() && self.meter.is_some() {
                let devices = self
                    .inventory
                    .as_ref()
                    .map_or(0, |known| known.devices.len());
                self.meter = self.meter_of(devices).ok();
            }
            if ended.is_some() {
                boot.saturating_add(1)
            } else {
                boot
            }
        };
        sealer.restate(number);
        self.sealer = sealer;
        self.stated = false;
        self.began = self.head().0;
        if let Err(error) = boot::advance(&self.data.boot(), number) {
            // The next start then counts a boot too many.
            tracing::warn!(%error, "the count of boots is not kept");
        }
        tracing::error!(
            log = theirs,
            carried,
            left,
            aside = %parted.display(),
            "THE LOG AND THIS HOST'S DISK HAD PARTED: the chain goes on from the log's head"
        );
        prune(&self.data, self.spool.limits().max_bytes);
        // At once, as at a start.
        Ok(self.seal(None)?)
    }

    fn kept(&mut self, sequence: u64) -> Result<Option<Envelope>, BookError> {
        let read = self.spool.read(sequence, 1)?;
        let Some((_, bytes)) = read.into_iter().next().filter(|(at, _)| *at == sequence) else {
            return Ok(None);
        };
        let envelope = Envelope::parse(&bytes);
        Ok(Some(envelope.map_err(|error| RecoverError::Record {
            sequence,
            error,
        })?))
    }
}

impl Carried {
    fn add(&mut self, body: Body, leaves: Option<Vec<Vec<u8>>>) -> Result<(), NotRejoined> {
        self.sealer
            .again(&mut self.draft, body, leaves, self.clock.read())?;
        if self.draft.bytes() >= DRAFT_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), NotRejoined> {
        if self.draft.entries().is_empty() {
            return Ok(());
        }
        match self.spool.append(self.draft.first(), self.draft.entries()) {
            Ok(()) => {
                let draft = self.draft.clone();
                self.sealer.commit(draft);
                self.draft = self.sealer.draft();
                Ok(())
            }
            Err(error) => Err(NotRejoined::Append(error)),
        }
    }
}

fn clear(next: &PathBuf) -> Result<(), FileError> {
    match fs::remove_dir_all(next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::io("remove", next)(error))
        }
        _ => Ok(()),
    }
}

/// Removes the oldest of the spools that were set aside, beyond [`MAX_PARTED`] and beyond
/// `max_bytes` of all of them. What they measured and the log surely lacked was sealed again.
fn prune(data: &DataDir, max_bytes: u64) {
    let mut all = data.parted_spools();
    all.sort();
    let mut bytes = 0_u64;
    for (newer, path) in all.iter().rev().enumerate() {
        bytes = bytes.saturating_add(length(path));
        if newer > 0 && (newer >= MAX_PARTED || bytes > max_bytes) {
            tracing::warn!(path = %path.display(), "removed an old spool that was set aside");
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Bytes of the files in a spool.
fn length(spool: &Path) -> u64 {
    let entries = fs::read_dir(spool).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok());
    files.map(|file| file.len()).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spools_that_were_set_aside_take_no_more_room_than_the_one_in_use_may() {
        for (count, each, most, left) in [
            (3, 100, 1_000, 3),
            (10, 10, 1_000, MAX_PARTED),
            (5, 300, 1_000, 3),
            // The newest stays in any case: it is the one that an operator asks for.
            (2, 2_000, 1_000, 1),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let data = DataDir::at(directory.path());
            let paths: Vec<_> = (0..count)
                .map(|at| data.parted_spool(1_800_000_000_000 + at))
                .collect();
            for path in &paths {
                fs::create_dir(path).unwrap();
                fs::write(path.join("segment"), vec![0; each]).unwrap();
            }
            prune(&data, most);
            let mut there = data.parted_spools();
            there.sort();
            assert_eq!(there, paths[paths.len() - left..], "{count} of {each}");
        }
    }
}
