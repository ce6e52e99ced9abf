//! What a run came to: counts, times, and what the verifier used and stored.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    gauge::Gauge,
    latency::Percentiles,
    load::{Load, LoadError},
    session::Sent,
    stored::Stored,
};

/// Records of a host and day at the design's 10 s.
const RECORDS_PER_DAY: f64 = 8_640.0;

/// Bytes by which a statement is longer than what is signed in it: COSE_Sign1 has an array head,
/// an empty map and a signature of 2 + 64 bytes (68); the Sig_structure that is signed has the
/// array head, "Signature1" with its head and an empty byte string (13) in their place.
const NOT_SIGNED: f64 = 68.0 - 13.0;

/// What a run came to. Every record counted was sent once, is INCLUDED, and the newest of each
/// host was proved to be in the log.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Hosts.
    pub hosts: u32,
    /// Devices of each.
    pub gpus: u32,
    /// Length of a record.
    pub interval_ms: u64,
    /// Records a second that were asked for.
    pub rate_asked: f64,
    /// Records a second that were sent.
    pub rate: f64,
    /// The window, or from its begin to the last record where the generator fell behind.
    pub seconds: f64,
    /// Records sent in the window, all INCLUDED.
    pub records: u64,
    /// Receipts for them: one a stream and checkpoint.
    pub receipts: u64,
    /// Seconds until all were connected and welcomed.
    pub connect_seconds: f64,
    /// Seconds in which all records were signed, before the window.
    pub seal_seconds: f64,
    /// From sending a record to INCLUDED.
    pub latency: Option<Percentiles>,
    /// From when a record was due to when it was sent: how well the generator kept up.
    pub lateness: Option<Percentiles>,
    /// Mean length of a record's statement.
    pub statement_bytes: f64,
    /// Mean length of what was signed in it.
    pub signed_bytes: f64,
    /// Mean length of its envelope: statement, lines and seed.
    pub envelope_bytes: f64,
    /// This process's CPU time per record, in microseconds.
    pub generator_cpu_us: f64,
    /// The verifier's process, when it was measured.
    pub process: Option<ProcessCost>,
    /// The verifier's log, when it was measured.
    pub log: Option<LogCost>,
}

/// What the verifier's process used from the begin of the window until it was quiet again.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProcessCost {
    /// User and system time per record, in microseconds.
    pub cpu_us_per_record: f64,
    /// User time, in seconds.
    pub user_s: f64,
    /// System time, in seconds.
    pub system_s: f64,
    /// Resident memory before any host connected; those of this run are enrolled.
    pub resident_mib_alone: f64,
    /// Resident memory when all hosts are connected and none has sent anything.
    pub resident_mib_connected: f64,
    /// Resident memory before the window, each host heard once.
    pub resident_mib_before: f64,
    /// Resident memory after it.
    pub resident_mib_after: f64,
    /// Threads.
    pub threads: u64,
    /// False when the process was still busy 15 s after the last INCLUDED: the figures are
    /// then too low.
    pub quiet: bool,
}

/// What the verifier's log directory grew by in the same time.
#[derive(Clone, Debug, Serialize)]
pub struct LogCost {
    /// Bytes of files per record.
    pub bytes_per_record: f64,
    /// The same per device, at 8,640 records of a host and day.
    pub bytes_per_gpu_day: f64,
    /// The same by whole blocks of the disk.
    pub disk_bytes_per_gpu_day: f64,
    /// Growth by part.
    pub parts: Stored,
}

/// What is measured at one time.
pub(crate) struct Reading {
    pub(crate) own: Gauge,
    pub(crate) process: Option<Gauge>,
    pub(crate) log: Option<Stored>,
}

/// The readings of a run.
pub(crate) struct Readings {
    /// Before any host connected.
    pub(crate) alone: Reading,
    /// When all are connected.
    pub(crate) connected: Reading,
    /// Before the window.
    pub(crate) before: Reading,
    /// When the verifier was quiet again.
    pub(crate) after: Reading,
    /// False when it was not.
    pub(crate) quiet: bool,
}

/// What came before the window.
pub(crate) struct Preparation {
    pub(crate) connect_seconds: f64,
    pub(crate) seal_seconds: f64,
}

/// What all hosts sent.
pub(crate) struct Total {
    sent: Sent,
    sending: Duration,
}

impl Reading {
    /// Reads this process, and the verifier's process and log directory where they are given.
    pub(crate) fn take(pid: Option<u32>, log: Option<&Path>) -> Result<Self, LoadError> {
        Ok(Self {
            own: Gauge::read(std::process::id())?,
            process: pid.map(Gauge::read).transpose()?,
            log: log.map(Stored::measure).transpose()?,
        })
    }
}

impl Total {
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            sent: Sent::default(),
            sending: window,
        }
    }

    /// Adds what one host sent in the window that began at `start`.
    pub(crate) fn add(&mut self, sent: Sent, start: Instant) {
        let total = &mut self.sent;
        total.records += sent.records;
        total.receipts += sent.receipts;
        total.statement_bytes += sent.statement_bytes;
        total.envelope_bytes += sent.envelope_bytes;
        total.waits.merge(sent.waits);
        total.lateness.merge(sent.lateness);
        let last = sent.last.map(|last| last.saturating_duration_since(start));
        self.sending = self.sending.max(last.unwrap_or_default());
    }
}

impl Outcome {
    pub(crate) fn of(
        load: &Load,
        preparation: Preparation,
        total: Total,
        readings: Readings,
        gpus: u32,
    ) -> Self {
        let Total { sent, sending } = total;
        let records = float(sent.records);
        let statement_bytes = float(sent.statement_bytes) / records;
        let own_s = readings.after.own.cpu_s() - readings.before.own.cpu_s();
        Self {
            hosts: load.hosts,
            gpus,
            interval_ms: load.interval_ms,
            rate_asked: load.rate,
            rate: records / sending.as_secs_f64(),
            seconds: sending.as_secs_f64(),
            records: sent.records,
            receipts: sent.receipts,
            connect_seconds: preparation.connect_seconds,
            seal_seconds: preparation.seal_seconds,
            latency: sent.waits.percentiles(),
            lateness: sent.lateness.percentiles(),
            statement_bytes,
            signed_bytes: statement_bytes - NOT_SIGNED,
            envelope_bytes: float(sent.envelope_bytes) / records,
            generator_cpu_us: own_s * 1e6 / records,
            process: ProcessCost::of(&readings, records),
            log: LogCost::of(&readings, records, gpus),
        }
    }
}

impl ProcessCost {
    fn of(readings: &Readings, records: f64) -> Option<Self> {
        let (alone, before) = (readings.alone.process?, readings.before.process?);
        let (connected, after) = (readings.connected.process?, readings.after.process?);
        Some(Self {
            cpu_us_per_record: (after.cpu_s() - before.cpu_s()) * 1e6 / records,
            user_s: after.user_s - before.user_s,
            system_s: after.system_s - before.system_s,
            resident_mib_alone: alone.resident_mib,
            resident_mib_connected: connected.resident_mib,
            resident_mib_before: before.resident_mib,
            resident_mib_after: after.resident_mib,
            threads: after.threads,
            quiet: readings.quiet,
        })
    }
}

impl LogCost {
    fn of(readings: &Readings, records: f64, gpus: u32) -> Option<Self> {
        let before = readings.before.log.as_ref()?;
        let parts = readings.after.log.as_ref()?.since(before);
        let total = parts.total();
        let a_day = |bytes: i64| signed(bytes) / records * RECORDS_PER_DAY / f64::from(gpus);
        Some(Self {
            bytes_per_record: signed(total.length) / records,
            bytes_per_gpu_day: a_day(total.length),
            disk_bytes_per_gpu_day: a_day(total.disk),
            parts,
        })
    }
}

/// Exact up to 2⁵³ bytes or records.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}

/// Exact likewise.
#[allow(clippy::cast_precision_loss)]
fn signed(count: i64) -> f64 {
    count as f64
}
