//! What commands print. A disk that is full is a failure to tell, and no reason to panic; a reader that
//! went away is neither.

use std::{
    fmt,
    io::{self, Write as _},
};

use super::Failure;

/// Prints a line of an answer.
macro_rules! say {
    () => {
        $crate::command::say::line(format_args!(""))
    };
    ($($what:tt)*) => {
        $crate::command::say::line(format_args!($($what)*))
    };
}

/// Prints a part of an answer, which has its line ends.
macro_rules! put {
    ($($what:tt)*) => {
        $crate::command::say::part(format_args!($($what)*))
    };
}

/// Says something beside the answer, in a line on standard error.
macro_rules! aside {
    ($($what:tt)*) => {
        $crate::command::say::beside(format_args!("{}\n", format_args!($($what)*)))
    };
}

pub(crate) fn line(what: fmt::Arguments<'_>) -> Result<(), Failure> {
    part(format_args!("{what}\n"))
}

pub(crate) fn part(what: fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_fmt(what).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn beside(what: fmt::Arguments<'_>) {
    let mut out = io::stderr().lock();
    // Nobody is left to tell when standard error is gone.
    let _ = out.write_fmt(what).and_then(|()| out.flush());
}
