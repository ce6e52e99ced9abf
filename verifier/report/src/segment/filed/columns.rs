//! Columns of a block: numbers, and strings of bytes.
//!
//! A column of numbers is its count (u32), a width of 0 to 8 bytes, then the lowest bytes of all
//! numbers, then the next ones, and so on: so that bytes that vary alike stand together. A column of
//! strings is a length (u32) and the strings, one after the other; how long each is follows from
//! what it is of, or stands in a column of numbers.

use super::Misfiled;
use crate::segment::fields::{Cursor, length};

/// Names the columns of one sort, in the order in which they stand.
macro_rules! columns {
    ($(#[$doc:meta])* $sort:ident { $($column:ident $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $sort { $($column,)+ }

        impl $sort {
            const NAMES: &'static [&'static str] = &[$($name,)+];

            /// Its name, for people.
            pub(super) fn name(self) -> &'static str {
                Self::NAMES.get(self as usize).copied().unwrap_or_default()
            }
        }
    };
}

columns! {
    /// A column of numbers.
    Number {
        Form "form",
        Index "index",
        Sequence "sequence",
        Start "start",
        Length "length",
        WallStart "wall start",
        WallLength "wall length",
        Time "time",
        Clock "clock",
        MaxError "max error",
        Boot "boot",
        Source "source",
        Inventory "inventory",
        Workloads "workloads",
        Count "count",
        Lines "lines",
        Given "given",
        Device "device",
        Kind "kind",
        Workload "workload",
        Reason "reason",
        LineTime "line time",
        Allocated "allocated",
        Samples "samples",
        Missing "missing",
        Busy "busy",
        Energy "energy",
        Memory "memory",
        Sm "sm",
        Tensor "tensor",
        VerbatimLength "verbatim length",
        ProtectedLength "protected length",
        CheckpointLength "checkpoint length",
        RestLength "rest length",
        TotalsLength "totals length",
    }
}

columns! {
    /// A column of strings.
    Text {
        Verbatim "verbatim",
        Protected "protected",
        Checkpoint "checkpoint",
        Rest "rest",
        Totals "totals",
        Chain "chain",
        Previous "previous",
        Root "root",
        Signature "signature",
        Seed "seed",
    }
}

/// One way over the columns: writing takes values from the caller, reading gives them.
pub(super) trait Pass {
    /// A number, kept as what it differs by from the one that is due.
    fn number(&mut self, column: Number, due: u64, value: &mut u64) -> Result<(), Misfiled>;

    /// A string of that length.
    fn string(&mut self, column: Text, length: usize, value: &mut Vec<u8>) -> Result<(), Misfiled>;
}

/// Folds a difference modulo 2^64 so that small ones of either sign are small numbers.
fn fold(difference: u64) -> u64 {
    let sign = (difference.cast_signed() >> 63).cast_unsigned();
    (difference << 1) ^ sign
}

fn unfold(number: u64) -> u64 {
    (number >> 1) ^ 0_u64.wrapping_sub(number & 1)
}

/// Columns while they are filled.
pub(super) struct Writing {
    numbers: Vec<Vec<u64>>,
    strings: Vec<Vec<u8>>,
}

impl Writing {
    pub(super) fn new() -> Self {
        Self {
            numbers: vec![Vec::new(); Number::NAMES.len()],
            strings: vec![Vec::new(); Text::NAMES.len()],
        }
    }

    /// The content of the block.
    pub(super) fn finish(self) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        for column in &self.numbers {
            let highest = column.iter().copied().max().unwrap_or(0);
            let width = (u64::BITS - highest.leading_zeros()).div_ceil(8);
            out.extend_from_slice(&length(column.len())?.to_be_bytes());
            out.push(width.to_le_bytes()[0]);
            for plane in 0..width {
                let byte = |number: &u64| (number >> (8 * plane)).to_le_bytes()[0];
                out.extend(column.iter().map(byte));
            }
        }
        for column in &self.strings {
            out.extend_from_slice(&length(column.len())?.to_be_bytes());
            out.extend_from_slice(column);
        }
        Ok(out)
    }
}

impl Pass for Writing {
    fn number(&mut self, column: Number, due: u64, value: &mut u64) -> Result<(), Misfiled> {
        if let Some(numbers) = self.numbers.get_mut(column as usize) {
            numbers.push(fold(value.wrapping_sub(due)));
        }
        Ok(())
    }

    fn string(&mut self, column: Text, _: usize, value: &mut Vec<u8>) -> Result<(), Misfiled> {
        if let Some(strings) = self.strings.get_mut(column as usize) {
            strings.extend_from_slice(value);
        }
        Ok(())
    }
}

/// Numbers where they lie: a foreign count allocates nothing.
struct Planes<'a> {
    bytes: &'a [u8],
    count: usize,
    width: usize,
    at: usize,
}

/// Columns as they are read, each up to where it was read.
pub(super) struct Reading<'a> {
    numbers: Vec<Planes<'a>>,
    strings: Vec<&'a [u8]>,
}

impl<'a> Reading<'a> {
    pub(super) fn of(content: &'a [u8]) -> Result<Self, Misfiled> {
        let mut rest = Cursor(content);
        let mut numbers = Vec::with_capacity(Number::NAMES.len());
        for name in Number::NAMES {
            let count = rest.u32().ok_or(Misfiled::CutOff)? as usize;
            let [width] = rest.take().ok_or(Misfiled::CutOff)?;
            let width = usize::from(width);
            if width > 8 {
                return Err(Misfiled::Wide(name));
            }
            let all = count.checked_mul(width).ok_or(Misfiled::CutOff)?;
            let (bytes, after) = rest.0.split_at_checked(all).ok_or(Misfiled::CutOff)?;
            rest = Cursor(after);
            numbers.push(Planes {
                bytes,
                count,
                width,
                at: 0,
            });
        }
        let mut strings = Vec::with_capacity(Text::NAMES.len());
        for _ in Text::NAMES {
            let length = rest.u32().ok_or(Misfiled::CutOff)? as usize;
            let (bytes, after) = rest.0.split_at_checked(length).ok_or(Misfiled::CutOff)?;
            rest = Cursor(after);
            strings.push(bytes);
        }
        match rest.0.is_empty() {
            true => Ok(Self { numbers, strings }),
            false => Err(Misfiled::Trailing),
        }
    }

    /// Refuses what no entry took.
    pub(super) fn finish(self) -> Result<(), Misfiled> {
        let numbers = self.numbers.iter().zip(Number::NAMES);
        let numbers = numbers.map(|(column, name)| (column.at == column.count, name));
        let strings = self.strings.iter().zip(Text::NAMES);
        let strings = strings.map(|(column, name)| (column.is_empty(), name));
        match numbers.chain(strings).find(|(done, _)| !done) {
            None => Ok(()),
            Some((_, name)) => Err(Misfiled::Left(name)),
        }
    }
}

impl Pass for Reading<'_> {
    fn number(&mut self, column: Number, due: u64, value: &mut u64) -> Result<(), Misfiled> {
        let short = Misfiled::Short(column.name());
        let planes = self.numbers.get_mut(column as usize).ok_or(short)?;
        if planes.at >= planes.count {
            return Err(short);
        }
        let mut number = 0;
        for plane in 0..planes.width {
            let byte = planes.bytes.get(plane * planes.count + planes.at);
            number |= u64::from(*byte.ok_or(short)?) << (8 * plane);
        }
        planes.at += 1;
        *value = due.wrapping_add(unfold(number));
        Ok(())
    }

    fn string(&mut self, column: Text, length: usize, value: &mut Vec<u8>) -> Result<(), Misfiled> {
        let short = Misfiled::Short(column.name());
        let rest = self.strings.get_mut(column as usize).ok_or(short)?;
        let (taken, after) = rest.split_at_checked(length).ok_or(short)?;
        value.clear();
        value.extend_from_slice(taken);
        *rest = after;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_either_sign_comes_back_and_a_small_one_is_a_small_number() {
        for difference in [0, 1, 5, u64::MAX, u64::MAX - 4, 1 << 63, (1 << 63) - 1] {
            assert_eq!(unfold(fold(difference)), difference);
        }
        assert_eq!([0, u64::MAX, 1, u64::MAX - 1].map(fold), [0, 1, 2, 3]);
    }

    #[test]
    fn numbers_come_back_whatever_was_due_and_an_empty_width_takes_no_bytes() {
        let values = [0, 1, 255, 256, u64::MAX, 1 << 40];
        let mut writing = Writing::new();
        for mut value in values {
            writing.number(Number::Energy, 7, &mut value).unwrap();
            writing.number(Number::Device, value, &mut value).unwrap();
        }
        let content = writing.finish().unwrap();
        let heads = 5 * Number::NAMES.len() + 4 * Text::NAMES.len();
        // The highest, twice 2^40, takes six bytes; what is due takes none.
        assert_eq!(content.len(), heads + 6 * values.len());
        let mut reading = Reading::of(&content).unwrap();
        for due in values {
            let mut read = 0;
            reading.number(Number::Energy, 7, &mut read).unwrap();
            assert_eq!(read, due);
            reading.number(Number::Device, due, &mut read).unwrap();
            assert_eq!(read, due);
        }
        let beyond = reading.number(Number::Energy, 7, &mut 0);
        assert_eq!(beyond, Err(Misfiled::Short("energy")));
        reading.finish().unwrap();
    }

    #[test]
    fn a_column_that_is_cut_or_too_wide_or_left_over_is_refused() {
        let mut writing = Writing::new();
        writing.number(Number::Form, 0, &mut 9).unwrap();
        writing.string(Text::Seed, 1, &mut vec![1]).unwrap();
        let content = writing.finish().unwrap();
        for end in 0..content.len() {
            let cut = Reading::of(&content[..end]).err();
            assert_eq!(cut, Some(Misfiled::CutOff), "{end}");
        }
        let left = Reading::of(&content).unwrap().finish();
        assert_eq!(left, Err(Misfiled::Left("form")));
        let mut wide = content.clone();
        wide[4] = 9;
        assert_eq!(Reading::of(&wide).err(), Some(Misfiled::Wide("form")));
        let more = [content.as_slice(), &[0]].concat();
        assert_eq!(Reading::of(&more).err(), Some(Misfiled::Trailing));
        // Four billion numbers of eight bytes are asked for before they are looked for.
        let mut many = content;
        many[..5].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 8]);
        assert_eq!(Reading::of(&many).err(), Some(Misfiled::CutOff));
    }
}
