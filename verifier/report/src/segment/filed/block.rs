//! The content of one block: made of entries, and taken apart into them.

use std::io;

use affiant_proto::{Digest, Statement, digest};

use super::{
    Misfiled,
    columns::{Number, Pass as _, Reading, Writing},
    record::{Lines, Record, Rest},
    walk::{self, Before, Kept, Slot},
};
use crate::segment::{MAX_SEGMENT_BYTES, entry::Entry, statement_of};

/// An entry with its place in the log and in the order of a filed segment.
#[derive(Clone, Debug)]
pub(in crate::segment) struct Item {
    /// The chain that its statement is of; what cannot be read is of none, which is 32 zeros.
    chain: Digest,
    index: u64,
    entry: Entry,
    /// Whether the log was closed after it.
    pub(in crate::segment) closed: bool,
}

impl Item {
    /// Finds out where an entry belongs.
    pub(in crate::segment) fn new(index: u64, entry: Entry) -> Self {
        let statement = statement_of(entry.envelope());
        let statement = statement.and_then(|bytes| Statement::parse(&bytes).ok());
        let chain = statement.map(|it| it.header().chain().unwrap_or_else(|| it.digest()));
        Self {
            chain: chain.unwrap_or_else(|| Digest::new([0; 32])),
            index,
            entry,
            closed: false,
        }
    }

    /// By what the entries of a segment are ordered.
    pub(in crate::segment) fn order(&self) -> (Digest, u64) {
        (self.chain, self.index)
    }

    /// Bytes of its envelope.
    pub(in crate::segment) fn size(&self) -> usize {
        self.entry.envelope().len()
    }
}

/// Makes the content of a block of a segment that begins at `start`.
pub(in crate::segment) fn pack(items: &[Item], start: u64) -> io::Result<Vec<u8>> {
    let mut writing = Writing::new();
    let mut before = Before::default();
    let mut chain = None;
    for item in items {
        let envelope = item.entry.envelope();
        let kept = match Record::apart(envelope) {
            Some(record) => Kept::Filed(Box::new(record)),
            None => Kept::Verbatim(envelope.to_vec()),
        };
        let begins = chain.replace(item.chain) != Some(item.chain);
        if begins {
            before = Before::nothing(start);
        }
        let mut slot = Slot {
            form: form(item, begins, &before, &kept),
            chain: item.chain.as_bytes().to_vec(),
            index: item.index,
            kept,
        };
        let mut kept_form = slot.form;
        let walked = writing
            .number(Number::Form, 0, &mut kept_form)
            .and_then(|()| walk::entry(&mut writing, &mut before, start, &mut slot));
        walked.map_err(io::Error::other)?;
        before.digest = Some(*item.entry.digest());
    }
    writing.finish()
}

fn form(item: &Item, begins: bool, before: &Before, kept: &Kept) -> u64 {
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    let place = flag(begins, walk::CHAIN) | flag(item.closed, walk::CLOSED);
    let Kept::Filed(record) = kept else {
        return place;
    };
    let follows = before
        .digest
        .is_some_and(|it| it.as_bytes() == record.previous.as_slice());
    let lines = match &record.rest {
        Rest::Verbatim(_) => 0,
        Rest::Lines(lines) => walk::LINES | flag(lines.totals.is_some(), walk::TOTALS),
    };
    place
        | walk::FILED
        | flag(!follows, walk::PREVIOUS)
        | flag(record.protected != before.protected, walk::PROTECTED)
        | flag(record.checkpoint != before.checkpoint, walk::CHECKPOINT)
        | lines
}

/// Takes the content of a block apart into `count` entries, in the order in which it holds them:
/// their indices, their envelopes, and whether the log was closed after them.
///
/// `room` is what the entries may take, each with a length of four bytes; it is lessened.
pub(in crate::segment) fn unpack(
    content: &[u8],
    (count, start): (u32, u64),
    room: &mut usize,
    mut visit: impl FnMut(u64, &[u8], bool) -> Result<(), Misfiled>,
) -> Result<(), Misfiled> {
    let mut reading = Reading::of(content)?;
    let mut before = Before::default();
    let mut chain = Vec::new();
    for _ in 0..count {
        let mut form = 0;
        reading.number(Number::Form, 0, &mut form)?;
        if !walk::is_form(form) {
            return Err(Misfiled::Form);
        }
        let mut slot = Slot {
            form,
            chain,
            index: 0,
            kept: empty(form),
        };
        if slot.chain.is_empty() && form & walk::CHAIN == 0 {
            return Err(Misfiled::Chain);
        }
        walk::entry(&mut reading, &mut before, start, &mut slot)?;
        chain = slot.chain;
        let envelope = match slot.kept {
            Kept::Verbatim(bytes) => {
                before.digest = statement_of(&bytes).map(|statement| digest(&statement));
                bytes
            }
            Kept::Filed(record) => {
                let (bytes, digest) = record.together()?;
                before.digest = Some(digest);
                bytes
            }
        };
        let left = room.checked_sub(envelope.len() + 4);
        *room = left.ok_or(Misfiled::TooMuch)?;
        visit(slot.index, &envelope, form & walk::CLOSED != 0)?;
    }
    reading.finish()
}

/// An entry of that form before it is read.
fn empty(form: u64) -> Kept {
    if form & walk::FILED == 0 {
        return Kept::Verbatim(Vec::new());
    }
    let rest = match form & walk::LINES {
        0 => Rest::Verbatim(Vec::new()),
        _ => Rest::Lines(Lines::default()),
    };
    Kept::Filed(Box::new(Record {
        rest,
        ..Record::default()
    }))
}

/// Tells whether a content gives back the very entries that it was made of.
pub(in crate::segment) fn holds(content: &[u8], items: &[Item], start: u64) -> bool {
    let Ok(count) = u32::try_from(items.len()) else {
        return false;
    };
    let mut due = items.iter();
    let mut same = true;
    let read = unpack(
        content,
        (count, start),
        &mut MAX_SEGMENT_BYTES.clone(),
        |index, envelope, closed| {
            same &= due.next().is_some_and(|item| {
                (item.index, item.closed, item.entry.envelope()) == (index, closed, envelope)
            });
            Ok(())
        },
    );
    read.is_ok() && same && due.next().is_none()
}
