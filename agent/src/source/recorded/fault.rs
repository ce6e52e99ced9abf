//! What can be wrong with a trace.

use super::trace::MAX_LINE_BYTES;

/// What is wrong with a trace, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct BadTrace {
    /// Counted from 1; the header is line 1.
    pub line: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The line is not there.
    #[error("is missing: a trace has a header and at least one tick")]
    Absent,
    /// It does not hold as many devices as the header.
    #[error("has {got} devices, the header has {due}; give one entry per device, in its order")]
    Devices {
        /// Entries of the line.
        got: usize,
        /// Devices of the header.
        due: usize,
    },
    /// A device that is lost and has figures.
    #[error("device {0}: field `lost` stands beside figures; leave one of them out")]
    LostWithFigures(usize),
    /// The first tick does not tell the processes.
    #[error("device {0}: field `procs` is missing in the first tick; give a list, or null")]
    NoProcesses(usize),
    /// Not text, or too long.
    #[error("is not UTF-8 or longer than {MAX_LINE_BYTES} bytes")]
    Line,
    /// A value outside its range.
    #[error("field `{field}`: {rule}")]
    Range {
        /// Which field.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// Not JSON, or not of the form.
    #[error("near field `{field}`: {text}")]
    Syntax {
        /// The last field before the fault.
        field: String,
        /// What the parser said.
        text: String,
    },
}
