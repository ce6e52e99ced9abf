//! The book of one chain: what was measured goes in, records on disk come out.

use std::sync::Arc;

use affiant_proto::{ChainState, Envelope, KeyId, Signer, Statement, v1};
use ring::rand::SystemRandom;

use super::Head;
use crate::{
    boot::Boot,
    clock::Clock,
    data::DataDir,
    depth::Depth,
    durable::FileError,
    meter::{BadMeter, Holding, Interval, Meter, Pace, Planned},
    recover::{RecoverError, Recovered},
    rotation::{self, RotationError},
    sample::{Instant, Inventory, Sample},
    seal::{Draft, NotSealed, Sealer},
    spool::{AppendError, Cursor, Records, Relief, Shortened, Spool, SpoolError},
};

/// Bytes after which a draft is written: an eighth of a segment. Only the pieces of a long gap
/// come to as much.
pub(super) const DRAFT_BYTES: usize = 1 << 20;

/// Least time between two complaints about the same trouble, milliseconds.
const COMPLAIN_MS: u64 = 60_000;

/// Most segments that are let go of before one draft: two of 8 MiB are shortened in a fraction of
/// a second, and a draft is an eighth of one at most.
const MOST_RELIEFS: usize = 2;

/// Why records or lines were let go of, as the chain says it.
const NO_ROOM: &str = "no room in the spool, or records older than it may keep";

/// Why no more records can be kept: what is on the disk is not known, or not to be trusted. The
/// agent must start again, and see.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// The disk failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The chain on disk.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// A change of the record key that was begun.
    #[error(transparent)]
    Rotation(#[from] Box<RotationError>),
    /// The spool takes no record that follows its last: it was changed behind the agent's back.
    #[error("the spool does not continue: {0}; is another process changing it?")]
    Unfit(AppendError),
    /// Sampling and sealing do not go together.
    #[error(transparent)]
    Meter(#[from] BadMeter),
}

/// Why the record key was not changed; the old one goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRotated {
    /// The key, or the change before.
    #[error(transparent)]
    Rotation(#[from] RotationError),
    /// The statement.
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
}

/// What a book is opened with.
pub struct Opening {
    /// The spool, with the enrolment in it.
    pub spool: Spool,
    /// Where its chain stands.
    pub recovered: Recovered,
    /// Which boot this is.
    pub boot: Boot,
    /// How often samples come and records are due.
    pub pace: Pace,
    /// The newest checkpoint that is known.
    pub seen: Option<v1::CheckpointRef>,
    /// Tells the time.
    pub clock: Clock,
    /// Where the spool lies, and what else goes with the chain.
    pub data: DataDir,
}

/// Keeps the records of one chain.
pub struct Book {
    pub(super) data: DataDir,
    pub(super) spool: Spool,
    pub(super) sealer: Sealer,
    /// The chain at the last change of its key.
    pub(super) opened: ChainState,
    /// The head when the book was opened.
    pub(super) began: u64,
    /// When the chain went on from another head last.
    pub(super) rejoined_ms: Option<u64>,
    pub(super) meter: Option<Meter>,
    pace: Pace,
    pub(super) clock: Clock,
    /// Where the last record of this boot ended.
    pub(super) ended: Option<Instant>,
    planned: Option<Planned>,
    pub(super) inventory: Option<Inventory>,
    /// Whether `inventory` is the one in force.
    pub(super) stated: bool,
    complained_ms: Option<u64>,
    /// The change of the record key that the log does not have yet.
    changed: Option<u64>,
    /// Whether the files of that change are not yet as they must be before the new key signs.
    unsettled: bool,
}

impl Book {
    /// Puts the enrolment into an empty spool: it is record 0, and the log has it already.
    pub fn begin(spool: &mut Spool, enrolment: &Statement) -> Result<(), BookError> {
        if spool.last().is_some() {
            return Ok(());
        }
        let envelope = v1::Envelope {
            statement: enrolment.as_bytes().to_vec(),
            ..v1::Envelope::default()
        };
        let entry = prost::Message::encode_to_vec(&envelope);
        match spool.append(0, &[entry]) {
            Ok(()) => Ok(()),
            Err(AppendError::Failed(error)) => Err(error.into()),
            Err(other) => Err(BookError::Unfit(other)),
        }
    }

    /// Opens the book where the chain stands.
    pub fn open(opening: Opening, signer: Arc<dyn Signer>) -> Self {
        let Opening {
            mut spool,
            recovered,
            boot,
            pace,
            seen,
            clock,
            data,
        } = opening;
        let needed = recovered.usage.map_or(0, |(sequence, ..)| sequence);
        spool.keep_from(needed);
        spool.hold(recovered.opened.sequence());
        let ended = recovered
            .usage
            .filter(|_| boot.same)
            .map(|(.., ended)| ended);
        let random = Box::new(SystemRandom::new());
        let changed = data.old_record_key().exists();
        Self {
            changed: changed.then(|| recovered.opened.sequence()),
            data,
            spool,
            opened: recovered.opened,
            began: recovered.chain.sequence(),
            rejoined_ms: None,
            sealer: Sealer::new(signer, recovered.chain, boot.number, seen, random),
            meter: None,
            pace,
            clock,
            ended,
            planned: None,
            inventory: None,
            stated: false,
            complained_ms: None,
            unsettled: false,
        }
    }

    /// The last record on disk.
    pub fn head(&self) -> Head {
        self.sealer.head()
    }

    /// Takes note of the last planned pause.
    pub fn planned(&mut self, planned: Planned) {
        self.planned = Some(planned);
        if let Some(meter) = &mut self.meter {
            meter.planned(self.planned);
        }
    }

    /// Gives the time from which on a sample ends the open interval; `None` while there is none.
    pub fn full_at_ms(&self) -> Option<u64> {
        self.meter.as_ref().and_then(Meter::full_at_ms)
    }

    /// Takes new devices; what the old ones did until now is sealed first.
    pub fn inventory(&mut self, inventory: Inventory) -> Result<(), BookError> {
        let devices = inventory.devices.len();
        let closed = match &mut self.meter {
            Some(meter) => meter.set_devices(devices)?,
            None => {
                self.meter = Some(self.meter_of(devices)?);
                None
            }
        };
        self.seal(closed)?;
        self.inventory = Some(inventory);
        self.stated = false;
        // At once, not with the first interval: an auditor sees the devices of a silent host.
        self.seal(None)
    }

    /// Takes one tick; records the intervals that it ends.
    pub fn sample(&mut self, sample: &Sample, holdings: &[Holding]) -> Result<(), BookError> {
        let Some(meter) = &mut self.meter else {
            return Ok(());
        };
        match meter.push(sample, holdings) {
            Ok(intervals) => self.seal_some(intervals),
            Err(error) => {
                // The time will be said by the next sample that fits, or as not observed.
                tracing::error!(%error, "a sample does not fit the devices in force");
                Ok(())
            }
        }
    }

    /// Seals an observation at once. Where there is no room for it, it is in the journal only.
    pub fn observe(&mut self, rule: &str, text: String) -> Result<(), BookError> {
        if !self.settled()? {
            return Ok(());
        }
        let mut draft = self.sealer.draft();
        let body = v1::Observation {
            header: None,
            rule: rule.to_owned(),
            text,
            device: None,
        };
        match self
            .sealer
            .statement(&mut draft, body.into(), self.clock.read())
        {
            Ok(()) => self.write(draft, self.ended, None, false).map(drop),
            Err(error) => {
                tracing::error!(%error, rule, "an observation is not sealed");
                Ok(())
            }
        }
    }

    /// Seals the interval that is open.
    pub fn close(&mut self) -> Result<(), BookError> {
        let last = self.meter.as_mut().and_then(Meter::finish);
        self.seal(last)
    }

    /// Changes the record key; gives the record that says so, and the new key's id. What is metered
    /// goes on: the next record continues the last one, signed by the new key.
    ///
    /// # Errors
    /// The inner one where nothing changed.
    pub fn rotate(&mut self) -> Result<Result<(u64, KeyId), NotRotated>, BookError> {
        let included = self.spool.cursor().map_or(0, |cursor| cursor.sequence);
        let last = self.opened.sequence();
        if included < last {
            return Ok(Err(RotationError::NotIncluded(last).into()));
        }
        // What was done of the change before is done by now, or there is no room for another.
        if !self.settled()? {
            return Ok(Err(RotationError::NoRoom.into()));
        }
        self.relieve()?;
        if self.spool.budget_used() {
            return Ok(Err(RotationError::NoRoom.into()));
        }
        let disk = self.spool.disk();
        let (new, body) = match rotation::prepare(&*disk, &self.data, self.sealer.chain()) {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error.into())),
        };
        let mut draft = self.sealer.draft();
        let drafted = self
            .sealer
            .statement(&mut draft, body.into(), self.clock.read());
        if let Err(error) = drafted {
            return Ok(Err(error.into()));
        }
        if !self.write(draft, self.ended, None, false)? {
            return Ok(Err(RotationError::NoRoom.into()));
        }
        let (sequence, _) = self.head();
        let key = new.public_key().id();
        self.opened = self.sealer.chain().clone();
        self.sealer.hand_over(Arc::new(new));
        self.changed = Some(sequence);
        self.spool.hold(sequence);
        self.unsettled = true;
        tracing::warn!(record = sequence, %key, "the record key was changed");
        // Where the disk is full now, what is sealed next waits for it.
        self.settled()?;
        Ok(Ok((sequence, key)))
    }

    /// Tells whether the new key may sign: not before the files of its change are whole, for the
    /// next start knows of a change that is not by the last record alone. A full disk is waited
    /// for; what is metered meanwhile is lost, as ever while nothing can be sealed.
    pub(super) fn settled(&mut self) -> Result<bool, BookError> {
        if !self.unsettled {
            return Ok(true);
        }
        match rotation::settle_in(&self.data, &mut self.spool) {
            Ok(()) => self.unsettled = false,
            Err(RotationError::File(error)) if error.is_full() => self.put_off(&error),
            Err(error) => return Err(Box::new(error).into()),
        }
        Ok(!self.unsettled)
    }

    /// Takes note that the log has everything up to the cursor, by the checkpoint `seen`.
    pub fn included(
        &mut self,
        cursor: Cursor,
        seen: Option<v1::CheckpointRef>,
    ) -> Result<(), BookError> {
        if let Some(seen) = seen {
            self.sealer.saw(seen);
        }
        let included = cursor.sequence;
        match self.spool.included(cursor, self.clock.system_time()) {
            Ok(()) if self.changed.is_some_and(|changed| included >= changed) => {
                self.changed = None;
                // The log goes by the new key now. What fails here is done by the next start.
                match rotation::settle_in(&self.data, &mut self.spool) {
                    Ok(()) => self.unsettled = false,
                    Err(error) => {
                        tracing::warn!(%error, "the old record key stays until the next start");
                    }
                }
                Ok(())
            }
            // Most likely the disk is full, which is no reason to stop looking.
            Err(SpoolError::File(error)) => {
                tracing::warn!(%error, "how far the log is could not be kept on disk");
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// Reads records; see [`Spool::read`].
    pub fn read(&mut self, from: u64, most: usize) -> Result<Records, SpoolError> {
        self.spool.read(from, most)
    }

    /// How the spool stands; `None` where it cannot be told, which is for the next read to find.
    pub fn depth(&self) -> Option<v1::SpoolState> {
        let status = self.spool.status();
        match Depth::measure(&self.data.spool(), &status) {
            Ok(depth) => Some(depth.message(&status, self.spool.limits().max_bytes)),
            Err(error) => {
                tracing::debug!(%error, "how the spool stands is not told");
                None
            }
        }
    }

    pub(super) fn seal(&mut self, interval: Option<Interval>) -> Result<(), BookError> {
        if interval.is_none() && self.stated {
            return Ok(());
        }
        self.seal_some(interval)
    }

    fn seal_some(
        &mut self,
        intervals: impl IntoIterator<Item = Interval>,
    ) -> Result<(), BookError> {
        let mut ended = self.ended;
        let mut usage = None;
        let mut intervals = intervals.into_iter().peekable();
        if intervals.peek().is_none() && self.stated {
            return Ok(());
        }
        if !self.settled()? {
            return Ok(());
        }
        self.relieve()?;
        let mut draft = self.sealer.draft();
        let now = self.clock.read();
        let mut stating = false;
        if let Some(inventory) = self.inventory.as_ref().filter(|_| !self.stated) {
            if let Err(error) = self.sealer.inventory(&mut draft, inventory, now) {
                self.put_off(&error);
                return Ok(());
            }
            stating = true;
        }
        while let Some(interval) = intervals.next() {
            if let Err(error) = self.sealer.interval(&mut draft, &interval, now) {
                self.put_off(&error);
                return Ok(());
            }
            ended = Some(interval.end());
            usage = Some(draft.last());
            if draft.bytes() >= DRAFT_BYTES && intervals.peek().is_some() {
                let full = std::mem::replace(&mut draft, self.sealer.draft());
                if !self.write(full, ended, usage, stating)? {
                    return Ok(());
                }
                draft = self.sealer.draft();
                stating = false;
            }
        }
        if !draft.entries().is_empty() {
            self.write(draft, ended, usage, stating)?;
        }
        Ok(())
    }

    /// Writes a draft; false when there is no room for it now.
    fn write(
        &mut self,
        draft: Draft,
        ended: Option<Instant>,
        usage: Option<u64>,
        stating: bool,
    ) -> Result<bool, BookError> {
        if let Err(unkept) = self.append(draft)? {
            self.put_off(&unkept);
            return Ok(false);
        }
        self.ended = ended;
        self.stated |= stating;
        if let Some(usage) = usage {
            self.spool.keep_from(usage);
        }
        if self.complained_ms.take().is_some() {
            tracing::info!(record = self.head().0, "records are sealed again");
        }
        Ok(true)
    }

    /// Makes room in the spool where it has none: says in the chain what goes, and lets it go.
    fn relieve(&mut self) -> Result<(), BookError> {
        for _ in 0..MOST_RELIEFS {
            let relieved = match self.spool.relief(self.clock.system_time(), without_lines)? {
                None => return Ok(()),
                Some(Relief::Lines(shortened)) => self.let_lines_go(shortened)?,
                Some(Relief::Records { first, short }) => self.let_records_go(first, short)?,
            };
            if !relieved {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Lets the lines of some records go. The chain says so first: after a crash between the two
    /// it says too much, and never too little.
    fn let_lines_go(&mut self, shortened: Shortened) -> Result<bool, BookError> {
        let (first, last) = shortened.range;
        let gap = lines_gone(first, last);
        let mut draft = self.sealer.draft();
        let sealed = self.sealer.gap(&mut draft, gap, self.clock.read());
        let said = match sealed {
            Ok(()) => {
                // A few hundred bytes, for an eighth of a segment at the least.
                let said = kept(self.spool.append_beyond(draft.first(), draft.entries()))?;
                if said.is_ok() {
                    self.sealer.commit(draft);
                }
                said
            }
            Err(error) => Err(Unkept::Seal(error)),
        };
        if let Err(unkept) = said {
            tracing::warn!(error = %unkept, "no room is made in the spool now");
            self.spool.leave(&shortened)?;
            return Ok(false);
        }
        self.spool.put(shortened)?;
        tracing::warn!(
            first,
            last,
            "THE SPOOL HAS NO ROOM: the lines of these records were let go"
        );
        Ok(true)
    }

    /// Drops every record from `first` to the head, and states the devices anew.
    fn let_records_go(&mut self, first: u64, short: Option<(u64, u64)>) -> Result<bool, BookError> {
        let (last, digest) = self.head();
        let gap = v1::Gap {
            first,
            last,
            last_digest: digest.as_bytes().to_vec(),
            reason: NO_ROOM.to_owned(),
            ..v1::Gap::default()
        };
        let mut draft = self.sealer.draft();
        let now = self.clock.read();
        let mut sealed = self.sealer.gap(&mut draft, gap, now);
        if let Some((first, last)) = short.filter(|_| sealed.is_ok()) {
            let again = lines_gone(first, last);
            sealed = self.sealer.gap(&mut draft, again, now);
        }
        if let Some(inventory) = self.inventory.as_ref().filter(|_| sealed.is_ok()) {
            sealed = self.sealer.inventory(&mut draft, inventory, now);
        }
        let replaced = match sealed {
            Ok(()) => kept(
                self.spool
                    .replace_from(first, draft.first(), draft.entries()),
            )?,
            Err(error) => Err(Unkept::Seal(error)),
        };
        if let Err(unkept) = replaced {
            tracing::warn!(error = %unkept, "no room is made in the spool now");
            return Ok(false);
        }
        self.sealer.commit(draft);
        self.stated = self.inventory.is_some();
        tracing::error!(
            first,
            last,
            "THE SPOOL HAS NO ROOM: these records were dropped"
        );
        Ok(true)
    }

    /// Appends a draft and moves the chain.
    fn append(&mut self, draft: Draft) -> Result<Result<(), Unkept>, BookError> {
        let appended = kept(self.spool.append(draft.first(), draft.entries()))?;
        if appended.is_ok() {
            self.sealer.commit(draft);
        }
        Ok(appended)
    }

    /// Nothing can be sealed now. Metering goes on from the last record, so that the next one
    /// says of all the time since then that it was not observed.
    fn put_off(&mut self, error: &dyn std::fmt::Display) {
        let now_ms = self.clock.read().boot_ms;
        let silent = self
            .complained_ms
            .is_some_and(|last| now_ms.saturating_sub(last) < COMPLAIN_MS);
        if !silent {
            self.complained_ms = Some(now_ms);
            tracing::error!(%error, "RECORDS ARE NOT SEALED; the time until they are again will be recorded as not observed");
        }
        let devices = self
            .inventory
            .as_ref()
            .map_or(0, |inventory| inventory.devices.len());
        // As many devices as were taken before, so there is a meter for them.
        self.meter = self.meter_of(devices).ok();
    }

    /// A meter that goes on from the last record.
    pub(super) fn meter_of(&self, devices: usize) -> Result<Meter, BadMeter> {
        let mut meter = Meter::new(devices, self.pace, self.ended)?;
        meter.planned(self.planned);
        Ok(meter)
    }
}

fn lines_gone(first: u64, last: u64) -> v1::Gap {
    v1::Gap {
        first,
        last,
        lines: true,
        reason: NO_ROOM.to_owned(),
        ..v1::Gap::default()
    }
}

/// Why something is not on disk, with nothing lost by it.
#[derive(Debug, thiserror::Error)]
enum Unkept {
    #[error(transparent)]
    Seal(NotSealed),
    #[error(transparent)]
    NoRoom(AppendError),
}

/// Tells whether records are on disk, or there is no room for them now.
fn kept(appended: Result<(), AppendError>) -> Result<Result<(), Unkept>, BookError> {
    match appended {
        Ok(()) => Ok(Ok(())),
        Err(error @ (AppendError::Full { .. } | AppendError::DiskFull { .. })) => {
            Ok(Err(Unkept::NoRoom(error)))
        }
        Err(AppendError::Failed(error)) => Err(error.into()),
        Err(unfit) => Err(BookError::Unfit(unfit)),
    }
}

/// An envelope without its lines, if it has any.
fn without_lines(entry: &[u8]) -> Option<Vec<u8>> {
    let whole = Envelope::parse(entry).ok()?;
    let had = whole.tree().is_some();
    let less = whole.without_lines();
    (had && less.tree().is_none()).then(|| less.to_bytes())
}
