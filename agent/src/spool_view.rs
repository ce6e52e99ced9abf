//! `spool`: how much waits, since when, and how far the log is.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    data::DataDir,
    depth::{self, Depth},
    durable::{self, FileError, Secrecy},
    spool::{SpoolError, Status, look},
    wording,
};

/// Most bytes of the reason for which sending stopped: foreign text in it is cut at 300 characters
/// of up to 4 bytes each.
const MAX_HALT: u64 = 8 << 10;

/// The spool as it is shown.
#[derive(Clone, Debug)]
pub struct View {
    status: Status,
    limit: u64,
    depth: Depth,
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

/// Looks at the spool of a data directory, which may have `limit` bytes, whether or not an agent
/// is running on it.
pub fn view(data: &DataDir, limit: u64) -> Result<View, ViewError> {
    let directory = data.spool();
    let status = look(&directory)?;
    let depth = Depth::measure(&directory, &status)?;
    let halt = durable::read(&data.halt(), MAX_HALT, Secrecy::Public)?;
    let distrust = durable::read(&data.distrust(), MAX_HALT, Secrecy::Public)?;
    let [halt, distrust] =
        [halt, distrust].map(|text| Some(String::from_utf8_lossy(&text?).trim_end().to_owned()));
    Ok(View {
        status,
        limit,
        depth,
        halt,
        distrust,
    })
}

impl View {
    /// Days for which records still fit that nobody takes, at the rate of those that are kept;
    /// `None` while there are too few to tell.
    pub fn days_left(&self) -> Option<u64> {
        depth::days_left(&self.status, self.limit, self.depth.bytes_per_day)
    }

    /// Gives the view as JSON.
    pub fn to_json(&self) -> Value {
        let cursor = self.status.cursor.as_ref();
        json!({
            "first": self.status.range.map(|(first, _)| first),
            "last": self.status.range.map(|(_, last)| last),
            "waiting": self.status.waiting(),
            "oldest_waiting_unix_ms": self.depth.oldest_waiting_ms,
            "bytes": self.status.bytes,
            "bytes_waiting": self.status.bytes_waiting,
            "max_bytes": self.limit,
            "days_left": self.days_left(),
            "segments": self.status.segments,
            "dropped": self.status.dropped,
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
        match self.depth.oldest_waiting_ms {
            Some(ms) => writeln!(f, ", the oldest sealed at unix time {}", ms / 1_000)?,
            None => writeln!(f)?,
        }
        writeln!(
            f,
            "on disk     {} bytes in {} segments",
            self.status.bytes, self.status.segments
        )?;
        match self.days_left() {
            Some(days) => writeln!(f, "room        for {} more days", wording::grouped(days))?,
            None => writeln!(f, "room        not known yet for how long")?,
        }
        for (first, last) in &self.status.dropped {
            writeln!(f, "DROPPED     {first} to {last}, for want of room")?;
        }
        if let Some(distrust) = &self.distrust {
            writeln!(f, "THE LOG IS NOT BELIEVED: {distrust}")?;
        }
        match &self.halt {
            Some(halt) => writeln!(f, "HALTED      {halt}"),
            None => Ok(()),
        }
    }
}
