//! A source that plays a recorded trace in real time, for machines without a GPU.
//!
//! It never passes for a driver: every inventory and record says `RECORDED`, with the digest of
//! the trace. The format is one JSON value a line: first [`TraceHeader`], then per tick one array
//! with an object per device, in the header's order:
//!
//! ```text
//! {"format":"affiant-trace/1","origin":"generated","model":"NVIDIA L4",…,"devices":[{"uuid":…}]}
//! [{"util":97,"mem":8589934592,"power_mw":71000,"energy_mj":71000,"procs":[{"workload":{…},"mem":8388608,"sm":90}]}]
//! [{"util":96,"mem":8589934592,"power_mw":71200,"energy_mj":142200},{"lost":"driver_hung"}]
//! ```
//!
//! A figure that is absent did not answer. `procs` absent: unchanged; `null`: the list could not
//! be read; a process without `workload` could not be resolved.

use std::{
    future::{Future, pending},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use affiant_proto::v1;
use tokio::time::Instant as Due;

mod fault;
mod header;
mod row;
mod trace;
mod writer;

pub use fault::{BadTrace, Fault};
pub use header::{FORMAT, MAX_NAME_BYTES, Origin, TraceHeader};
pub use trace::{MAX_LINE_BYTES, MAX_TRACE_BYTES, Trace};
pub use writer::{TraceWriter, WriteError};

use super::{GpuSource, StillHeld};
use crate::sample::{Event, Instant, Inventory, Reading, Sample};

/// Why a trace cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("cannot read trace {path}: {error}; give the path of a trace that the agent may read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It is no trace.
    #[error("trace {path}, {error}")]
    Trace {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: BadTrace,
    },
}

/// Plays a trace at its own period.
#[derive(Debug)]
pub struct RecordedSource {
    trace: Trace,
    inventory: Option<Inventory>,
    repeat: bool,
    clock: fn() -> Instant,
    place: usize,
    /// What the energy counters gained by the rounds already played, per device.
    gained: Vec<u64>,
    due: Option<Due>,
    state: State,
    /// What each tick says while the source is paused; the trace plays on beneath.
    paused: Option<v1::Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Playing,
    /// The end was reached, and not yet said.
    Ended,
    Closed,
}

impl RecordedSource {
    /// Reads the trace at `path` and checks all of it. With `repeat` it is played round and
    /// round, the energy counters rising on; `clock` stamps the samples.
    pub fn open(path: &Path, repeat: bool, clock: fn() -> Instant) -> Result<Self, OpenError> {
        let read = |error| OpenError::Read {
            path: path.to_owned(),
            error,
        };
        let bytes = trace::read_bounded(path).map_err(read)?;
        let library = std::path::absolute(path).map_err(read)?;
        let trace = Trace::parse(&bytes).map_err(|error| OpenError::Trace {
            path: path.to_owned(),
            error,
        })?;
        let inventory = trace.inventory(library.to_string_lossy().into_owned(), &bytes);
        Ok(Self {
            gained: vec![0; inventory.devices.len()],
            trace,
            inventory: Some(inventory),
            repeat,
            clock,
            place: 0,
            due: None,
            state: State::Playing,
            paused: None,
        })
    }

    /// Pauses the source, or with `None` takes it up again.
    pub(super) fn hold(&mut self, reason: Option<v1::Reason>) {
        self.paused = reason;
    }

    /// What the trace says of itself.
    pub fn header(&self) -> &TraceHeader {
        self.trace.header()
    }

    /// The sample of this tick, then on to the next place.
    fn play(&mut self) -> Sample {
        let tick = self.trace.ticks().get(self.place);
        let raise = |(reading, gained): (&Result<Reading, _>, &u64)| {
            if let Some(reason) = self.paused {
                return Err(reason);
            }
            let mut reading = reading.clone()?;
            reading.energy_mj = reading.energy_mj.map(|mj| mj.saturating_add(*gained));
            Ok(reading)
        };
        let devices = tick.into_iter().flatten().zip(&self.gained).map(raise);
        let sample = Sample {
            at: (self.clock)(),
            devices: devices.collect(),
        };
        self.place += 1;
        if self.place >= self.trace.ticks().len() {
            if self.repeat {
                self.place = 0;
                for (gained, round) in self.gained.iter_mut().zip(self.trace.energy_per_round()) {
                    *gained = gained.saturating_add(round);
                }
            } else {
                self.state = State::Ended;
            }
        }
        sample
    }
}

impl GpuSource for RecordedSource {
    async fn next(&mut self) -> Event {
        match self.state {
            State::Closed => return pending().await,
            State::Ended => {
                self.state = State::Closed;
                return Event::End;
            }
            State::Playing => {}
        }
        if let Some(inventory) = self.inventory.take() {
            return Event::Inventory(inventory);
        }
        let due = *self.due.get_or_insert_with(Due::now);
        tokio::time::sleep_until(due).await;
        // Nothing is taken before this line: a future dropped while it sleeps loses no tick.
        let period = Duration::from_millis(self.trace.header().period_ms);
        self.due = Some((due + period).max(Due::now()));
        Event::Sample(self.play())
    }

    async fn pause(&mut self, reason: v1::Reason) -> Result<(), StillHeld> {
        self.hold(Some(reason));
        Ok(())
    }

    fn resume(&mut self) {
        self.hold(None);
    }

    fn close(&mut self) -> impl Future<Output = ()> + Send {
        self.state = State::Closed;
        std::future::ready(())
    }
}
