//! What is kept of each entry, and in which order: one function, for writing and for reading.
//!
//! Most numbers are kept as what they differ by from the one that is due after the record before in
//! the same chain: the sequence is the next one, an interval begins where the last one ended, a
//! device's only line lasts as long as the record.

use affiant_proto::{Digest, salted::MAX_LEAVES, v1};

use super::{
    Misfiled,
    columns::{Number, Pass, Text},
    record::{Lines, Record, Rest},
};

/// The chain of this and the following entries is given.
pub(super) const CHAIN: u64 = 1;
/// The log was closed after this entry, in a segment of its own.
pub(super) const CLOSED: u64 = 2;
/// A usage record in columns; else an envelope as it is.
pub(super) const FILED: u64 = 4;
/// The digest of the statement before is given; else it is that of the entry before.
pub(super) const PREVIOUS: u64 = 8;
/// The protected header is given; else it is that of the record before.
pub(super) const PROTECTED: u64 = 16;
/// The checkpoint that was seen is given; else it is that of the record before.
pub(super) const CHECKPOINT: u64 = 32;
/// Lines and seed are in columns; else what follows the statement is as it is.
pub(super) const LINES: u64 = 64;
/// The totals are given; else they are what the lines sum to.
pub(super) const TOTALS: u64 = 128;

/// Tells whether the bits of a form go together.
pub(super) fn is_form(form: u64) -> bool {
    let filed = form & FILED != 0 || form & !(CHAIN | CLOSED) == 0;
    let lines = form & LINES != 0 || form & TOTALS == 0;
    form < 256 && filed && lines
}

/// An entry as it is kept.
pub(super) enum Kept {
    Verbatim(Vec<u8>),
    Filed(Box<Record>),
}

/// What went before in the chain, within the block.
#[derive(Clone, Debug, Default)]
pub(super) struct Before {
    index: u64,
    /// Of the statement of the entry before, whatever that was.
    pub(super) digest: Option<Digest>,
    pub(super) protected: Vec<u8>,
    pub(super) checkpoint: Vec<u8>,
    sequence: u64,
    end: u64,
    wall_end: u64,
    /// The kernel's bound on the clock's error and one more; 0 where it gave none.
    max_error: u64,
    boot: u32,
    source: i32,
    inventory: u64,
    workloads: u64,
    count: u32,
    lines: u64,
    /// Of each line of the record before.
    memory: Vec<u64>,
}

impl Before {
    /// Nothing, at the beginning of a chain in a segment that begins at `start`.
    pub(super) fn nothing(start: u64) -> Self {
        Self {
            index: start,
            ..Self::default()
        }
    }
}

/// An entry on its way into a block or out of it.
pub(super) struct Slot {
    pub(super) form: u64,
    /// Of this entry and those after it, until another is given.
    pub(super) chain: Vec<u8>,
    pub(super) index: u64,
    pub(super) kept: Kept,
}

/// Goes over one entry, whose form is known; `start` is where the segment begins.
pub(super) fn entry(
    pass: &mut impl Pass,
    before: &mut Before,
    start: u64,
    slot: &mut Slot,
) -> Result<(), Misfiled> {
    if slot.form & CHAIN != 0 {
        pass.string(Text::Chain, 32, &mut slot.chain)?;
        *before = Before::nothing(start);
    }
    pass.number(Number::Index, before.index, &mut slot.index)?;
    before.index = slot.index;
    match &mut slot.kept {
        Kept::Verbatim(bytes) => counted(pass, Number::VerbatimLength, Text::Verbatim, bytes),
        Kept::Filed(record) => {
            record.chain.clone_from(&slot.chain);
            header(pass, before, slot.form, record)?;
            usage(pass, before, record)?;
            rest(pass, before, slot.form, record)
        }
    }
}

/// Wrapper and header of a statement.
fn header(
    pass: &mut impl Pass,
    before: &mut Before,
    form: u64,
    record: &mut Record,
) -> Result<(), Misfiled> {
    if form & PREVIOUS != 0 {
        pass.string(Text::Previous, 32, &mut record.previous)?;
    } else {
        let digest = before.digest.ok_or(Misfiled::Previous)?;
        record.previous = digest.as_bytes().to_vec();
    }
    if form & PROTECTED != 0 {
        counted(
            pass,
            Number::ProtectedLength,
            Text::Protected,
            &mut record.protected,
        )?;
        before.protected.clone_from(&record.protected);
    } else {
        record.protected.clone_from(&before.protected);
    }
    if form & CHECKPOINT != 0 {
        counted(
            pass,
            Number::CheckpointLength,
            Text::Checkpoint,
            &mut record.checkpoint,
        )?;
        before.checkpoint.clone_from(&record.checkpoint);
    } else {
        record.checkpoint.clone_from(&before.checkpoint);
    }
    pass.number(
        Number::Sequence,
        before.sequence.wrapping_add(1),
        &mut record.sequence,
    )?;
    before.sequence = record.sequence;
    pass.string(Text::Signature, 64, &mut record.signature)
}

/// The body, and the time in the header, which is near to its end.
fn usage(pass: &mut impl Pass, before: &mut Before, record: &mut Record) -> Result<(), Misfiled> {
    let usage = &mut record.usage;
    pass.number(Number::Start, before.end, &mut usage.start_ms)?;
    let mut length = usage.end_ms.wrapping_sub(usage.start_ms);
    pass.number(Number::Length, 0, &mut length)?;
    usage.end_ms = usage.start_ms.wrapping_add(length);
    pass.number(Number::WallStart, before.wall_end, &mut usage.wall_start_ms)?;
    let mut wall = usage.wall_end_ms.wrapping_sub(usage.wall_start_ms);
    pass.number(Number::WallLength, length, &mut wall)?;
    usage.wall_end_ms = usage.wall_start_ms.wrapping_add(wall);
    (before.end, before.wall_end) = (usage.end_ms, usage.wall_end_ms);

    let time = &mut record.time;
    pass.number(Number::Time, usage.wall_end_ms, &mut time.unix_ms)?;
    enumerated(pass, Number::Clock, 0, &mut time.clock)?;
    let mut bound = time.max_error_ms.map_or(0, |bound| u64::from(bound) + 1);
    pass.number(Number::MaxError, before.max_error, &mut bound)?;
    time.max_error_ms = match bound.checked_sub(1) {
        Some(bound) => Some(narrow(Number::MaxError, bound)?),
        None => None,
    };
    before.max_error = bound;

    small(pass, Number::Boot, before.boot, &mut usage.boot)?;
    enumerated(pass, Number::Source, before.source, &mut usage.source)?;
    pass.number(Number::Inventory, before.inventory, &mut usage.inventory)?;
    pass.number(Number::Workloads, before.workloads, &mut usage.workloads)?;
    (before.boot, before.source) = (usage.boot, usage.source);
    (before.inventory, before.workloads) = (usage.inventory, usage.workloads);
    pass.string(Text::Root, 32, &mut usage.usage_root)
}

/// What follows the statement in its envelope, and the number of leaves, which follows from that.
fn rest(
    pass: &mut impl Pass,
    before: &mut Before,
    form: u64,
    record: &mut Record,
) -> Result<(), Misfiled> {
    let count = &mut record.usage.usage_count;
    match &mut record.rest {
        Rest::Verbatim(bytes) => {
            small(pass, Number::Count, before.count, count)?;
            counted(pass, Number::RestLength, Text::Rest, bytes)?;
        }
        Rest::Lines(leaves) => {
            lines(
                pass,
                before,
                (record.usage.start_ms, record.usage.end_ms),
                leaves,
            )?;
            let due = narrow(Number::Count, leaves.lines.len() as u64 + 1)?;
            small(pass, Number::Count, due, count)?;
            pass.string(Text::Seed, 16, &mut leaves.seed)?;
            if form & TOTALS != 0 {
                let totals = leaves.totals.get_or_insert_default();
                counted(pass, Number::TotalsLength, Text::Totals, totals)?;
            }
        }
    }
    before.count = *count;
    Ok(())
}

fn lines(
    pass: &mut impl Pass,
    before: &mut Before,
    (start, end): (u64, u64),
    leaves: &mut Lines,
) -> Result<(), Misfiled> {
    let mut count = leaves.lines.len() as u64;
    pass.number(Number::Lines, before.lines, &mut count)?;
    before.lines = count;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count < MAX_LEAVES);
    leaves
        .lines
        .resize(count.ok_or(Misfiled::Lines)?, v1::UsageLine::default());
    let mut memory = std::mem::take(&mut before.memory).into_iter();
    // The device of the line before, and what it left of the interval.
    let mut last = None;
    for line in &mut leaves.lines {
        let given = self::line(pass, line, memory.next(), |device| match last {
            Some((same, left)) if same == device => left,
            _ => end.wrapping_sub(start),
        })?;
        last = Some((line.device, given.wrapping_sub(line.time_ms)));
        before.memory.push(line.memory_peak_bytes.unwrap_or(0));
    }
    Ok(())
}

/// Goes over one line; gives what was left of the device's interval before it.
fn line(
    pass: &mut impl Pass,
    line: &mut v1::UsageLine,
    memory: Option<u64>,
    left: impl FnOnce(u32) -> u64,
) -> Result<u64, Misfiled> {
    let has = [
        line.workload.is_some(),
        line.allocated_ms.is_some(),
        line.busy_ms.is_some(),
        line.energy_mj.is_some(),
        line.memory_peak_bytes.is_some(),
        line.sm_permille.is_some(),
        line.tensor_permille.is_some(),
    ];
    let mut given = (0..).zip(has).map(|(bit, has)| u64::from(has) << bit).sum();
    pass.number(Number::Given, 0, &mut given)?;
    if given >> has.len() != 0 {
        return Err(Misfiled::Number(Number::Given.name()));
    }
    let is_given = |bit: u32| given >> bit & 1 == 1;

    small(pass, Number::Device, 0, &mut line.device)?;
    enumerated(pass, Number::Kind, 0, &mut line.kind)?;
    enumerated(pass, Number::Reason, 0, &mut line.reason)?;
    small(pass, Number::Samples, 0, &mut line.samples)?;
    small(pass, Number::Missing, 0, &mut line.missing)?;
    let left = left(line.device);
    pass.number(Number::LineTime, left, &mut line.time_ms)?;
    let time = line.time_ms;

    narrow_optional(pass, is_given(0), Number::Workload, &mut line.workload)?;
    optional(
        pass,
        is_given(1),
        (Number::Allocated, time),
        &mut line.allocated_ms,
    )?;
    optional(pass, is_given(2), (Number::Busy, time), &mut line.busy_ms)?;
    optional(pass, is_given(3), (Number::Energy, 0), &mut line.energy_mj)?;
    let memory = (Number::Memory, memory.unwrap_or(0));
    optional(pass, is_given(4), memory, &mut line.memory_peak_bytes)?;
    narrow_optional(pass, is_given(5), Number::Sm, &mut line.sm_permille)?;
    narrow_optional(pass, is_given(6), Number::Tensor, &mut line.tensor_permille)?;
    Ok(left)
}

/// A string whose length stands in a column of its own.
fn counted(
    pass: &mut impl Pass,
    length: Number,
    column: Text,
    value: &mut Vec<u8>,
) -> Result<(), Misfiled> {
    let mut bytes = value.len() as u64;
    pass.number(length, 0, &mut bytes)?;
    let bytes = usize::try_from(bytes).map_err(|_| Misfiled::Number(length.name()))?;
    pass.string(column, bytes, value)
}

fn optional(
    pass: &mut impl Pass,
    given: bool,
    (column, due): (Number, u64),
    value: &mut Option<u64>,
) -> Result<(), Misfiled> {
    match given {
        true => pass.number(column, due, value.get_or_insert_default()),
        false => Ok(()),
    }
}

fn narrow_optional(
    pass: &mut impl Pass,
    given: bool,
    column: Number,
    value: &mut Option<u32>,
) -> Result<(), Misfiled> {
    match given {
        true => small(pass, column, 0, value.get_or_insert_default()),
        false => Ok(()),
    }
}

fn small(pass: &mut impl Pass, column: Number, due: u32, value: &mut u32) -> Result<(), Misfiled> {
    let mut wide = u64::from(*value);
    pass.number(column, due.into(), &mut wide)?;
    *value = narrow(column, wide)?;
    Ok(())
}

/// An enumeration, whose number is kept as the 32 bits that it is.
fn enumerated(
    pass: &mut impl Pass,
    column: Number,
    due: i32,
    value: &mut i32,
) -> Result<(), Misfiled> {
    let mut bits = value.cast_unsigned();
    small(pass, column, due.cast_unsigned(), &mut bits)?;
    *value = bits.cast_signed();
    Ok(())
}

fn narrow(column: Number, wide: u64) -> Result<u32, Misfiled> {
    u32::try_from(wide).map_err(|_| Misfiled::Number(column.name()))
}
