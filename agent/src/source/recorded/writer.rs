//! Writing a trace of a source while it is read.

use std::io::{self, Write};

use super::{
    fault::Fault,
    header::{FORMAT, Origin, TraceHeader},
    row::{DeviceRow, ProcessRow, Row},
    trace::MAX_TRACE_BYTES,
};
use crate::{
    meter::{Holder, Holding},
    sample::{Inventory, Sample},
};

/// Why a tick could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// What was given would not be read back.
    #[error("cannot record this source: {0}")]
    Fault(#[from] Fault),
    /// The trace is as long as a trace may be.
    #[error("the trace is full at {MAX_TRACE_BYTES} bytes; end the recording earlier")]
    Full,
    /// The system refused.
    #[error("cannot write the trace: {0}")]
    Io(#[from] io::Error),
}

/// Writes a trace: workloads as they were resolved, no process numbers.
#[derive(Debug)]
pub struct TraceWriter<W> {
    out: W,
    written: u64,
    /// The list of each device as it stands in the trace; `None` before its first.
    lists: Vec<Option<Option<Vec<ProcessRow>>>>,
    first: bool,
}

impl<W: Write> TraceWriter<W> {
    /// Writes the header: `inventory` as it was read, `date` in ISO 8601, `note` for readers,
    /// `period_ms` between ticks.
    pub fn new(
        out: W,
        inventory: &Inventory,
        origin: Origin,
        date: &str,
        note: &str,
        period_ms: u64,
    ) -> Result<Self, WriteError> {
        let header = TraceHeader {
            format: FORMAT.to_owned(),
            origin,
            model: inventory
                .devices
                .first()
                .map(|device| device.model.clone())
                .unwrap_or_default(),
            driver: inventory.driver_version.clone(),
            date: date.to_owned(),
            note: note.to_owned(),
            period_ms,
            devices: inventory.devices.iter().map(DeviceRow::from).collect(),
        };
        header.check()?;
        let mut writer = Self {
            out,
            written: 0,
            lists: vec![None; header.devices.len()],
            first: true,
        };
        writer.line(&header)?;
        Ok(writer)
    }

    /// Writes one tick with the holders of each device; a list that did not change is left out.
    pub fn tick(&mut self, sample: &Sample, holdings: &[Holding]) -> Result<(), WriteError> {
        let due = self.lists.len();
        for got in [sample.devices.len(), holdings.len()] {
            if got != due {
                return Err(Fault::Devices { got, due }.into());
            }
        }
        let mut rows = Vec::with_capacity(due);
        let devices = sample.devices.iter().zip(holdings).zip(&mut self.lists);
        for ((reading, holding), list) in devices {
            let reading = match reading {
                Ok(reading) => reading,
                Err(reason) => {
                    rows.push(Row {
                        lost: Some((*reason).into()),
                        ..Row::default()
                    });
                    continue;
                }
            };
            let now = match holding {
                Holding::Unknown => None,
                Holding::Known(holders) => Some(holders.iter().map(process).collect()),
            };
            let unchanged = !self.first && list.as_ref() == Some(&now);
            rows.push(Row {
                lost: None,
                util: reading.utilization,
                mem: reading.memory_used,
                power_mw: reading.power_mw,
                energy_mj: reading.energy_mj,
                sm: reading.sm_permille,
                tensor: reading.tensor_permille,
                procs: (!unchanged).then(|| now.clone()),
            });
            *list = Some(now);
        }
        self.first = false;
        self.line(&rows)
    }

    /// Flushes and gives the output back.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn line(&mut self, value: &impl serde::Serialize) -> Result<(), WriteError> {
        let mut text = serde_json::to_vec(value).map_err(io::Error::other)?;
        text.push(b'\n');
        self.written += text.len() as u64;
        if self.written > MAX_TRACE_BYTES {
            return Err(WriteError::Full);
        }
        Ok(self.out.write_all(&text)?)
    }
}

fn process(holder: &Holder) -> ProcessRow {
    ProcessRow {
        workload: holder.workload.as_deref().map(Into::into),
        mem: holder.memory,
        sm: holder.sm_percent,
    }
}
