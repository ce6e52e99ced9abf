//! `spool`: how much waits, since when, and how far the log is.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    data::DataDir,
    durable::{self, FileError, Secrecy},
    spool::{SpoolError, Status, look, look_at},
    status::sealed_ms,
};

/// Most bytes of the reason for which sending stopped: foreign text in it is cut at 300 characters
/// of up to 4 bytes each.
const MAX_HALT: u64 = 8 << 10;

/// The spool as it is shown.
#[derive(Clone, Debug)]
pub struct View {
    status: Status,
    oldest_ms: Option<u64>,
    halt: Option<String>,
    distrust: Option<String>,
}

/// Why the spool cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Looks at the spool of a data directory, whether or not an agent is running on it.
pub fn view(data: &DataDir) -> Result<View, ViewError> {
    let directory = data.spool();
    let status = look(&directory)?;
    let oldest_ms = match status.oldest_waiting() {
        Some(sequence) => look_at(&directory, sequence)?.and_then(|entry| sealed_ms(&entry)),
        None => None,
    };
    let halt = durable::read(&data.halt(), MAX_HALT, Secrecy::Public)?;
    let distrust = durable::read(&data.distrust(), MAX_HALT, Secrecy::Public)?;
    let [halt, distrust] =
        [halt, distrust].map(|text| Some(String::from_utf8_lossy(&text?).trim_end().to_owned()));
    Ok(View {
        status,
        oldest_ms,
        halt,
        distrust,
    })
}

impl View {
    /// Gives the view as JSON.
    pub fn to_json(&self) -> Value {
        let cursor = self.status.cursor.as_ref();
        json!({
            "first": self.status.range.map(|(first, _)| first),
            "last": self.status.range.map(|(_, last)| last),
            "waiting": self.status.waiting(),
            "oldest_waiting_unix_ms": self.oldest_ms,
            "bytes": self.status.bytes,
            "segments": self.status.segments,
            "included": cursor.map(|cursor| cursor.sequence),
            "index": cursor.map(|cursor| cursor.index),
            "checkpoint": cursor.map(|cursor| cursor.checkpoint.clone()),
            "halted": self.halt,
            "distrust": self.distrust,
        })
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status.range {
            Some((first, last)) => writeln!(f, "records     {first} to {last}")?,
            None => writeln!(f, "records     none")?,
        }
        match &self.status.cursor {
            Some(cursor) => {
                writeln!(
                    f,
                    "in the log  up to {}, at index {}",
                    cursor.sequence, cursor.index
                )?;
            }
            None => writeln!(f, "in the log  not known of any")?,
        }
        write!(f, "waiting     {}", self.status.waiting())?;
        match self.oldest_ms {
            Some(ms) => writeln!(f, ", the oldest sealed at unix time {}", ms / 1_000)?,
            None => writeln!(f)?,
        }
        writeln!(
            f,
            "on disk     {} bytes in {} segments",
            self.status.bytes, self.status.segments
        )?;
        if let Some(distrust) = &self.distrust {
            writeln!(f, "THE LOG IS NOT BELIEVED: {distrust}")?;
        }
        match &self.halt {
            Some(halt) => writeln!(f, "HALTED      {halt}"),
            None => Ok(()),
        }
    }
}
