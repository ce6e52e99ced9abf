//! The first line of a trace.

use affiant_proto::usage::MAX_DEVICES;
use serde::{Deserialize, Serialize};

use super::{fault::Fault, row::DeviceRow};

/// The format's name and version, first in every header.
pub const FORMAT: &str = "affiant-trace/1";

/// Longest name of a device or workload: 253 is the most that Kubernetes gives a name, an image
/// reference may be longer.
pub const MAX_NAME_BYTES: usize = 512;

/// Longest and shortest period, milliseconds.
const PERIOD_MS: std::ops::RangeInclusive<u64> = 10..=60_000;

/// How a trace came about.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// By a program that invented the figures.
    Generated,
    /// By an agent that read real devices.
    Recorded,
}

/// The first line: where the trace comes from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TraceHeader {
    pub(super) format: String,
    /// Invented or read.
    pub origin: Origin,
    /// Model of the devices, as the driver names it.
    pub model: String,
    /// Version of the driver; empty where there was none.
    pub driver: String,
    /// Day on which it was made, ISO 8601.
    pub date: String,
    /// What a reader should know of it.
    pub note: String,
    /// Milliseconds between two ticks, 10 to 60,000.
    pub period_ms: u64,
    pub(super) devices: Vec<DeviceRow>,
}

impl TraceHeader {
    pub(super) fn check(&self) -> Result<(), Fault> {
        let range = |field, rule, holds: bool| {
            if holds {
                Ok(())
            } else {
                Err(Fault::Range { field, rule })
            }
        };
        range(
            "format",
            "must be \"affiant-trace/1\"",
            self.format == FORMAT,
        )?;
        range(
            "period_ms",
            "must be 10 to 60000",
            PERIOD_MS.contains(&self.period_ms),
        )?;
        range(
            "devices",
            "must be 1 to 64",
            (1..=MAX_DEVICES).contains(&self.devices.len()),
        )?;
        let texts = [
            ("model", &self.model),
            ("driver", &self.driver),
            ("date", &self.date),
            ("note", &self.note),
        ];
        for (field, text) in texts {
            name(field, text)?;
        }
        for device in &self.devices {
            range("uuid", "must not be empty", !device.uuid.is_empty())?;
            name("uuid", &device.uuid)?;
            name("model", &device.model)?;
            name("serial", device.serial.as_deref().unwrap_or_default())?;
            name(
                "pci_bus_id",
                device.pci_bus_id.as_deref().unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}

pub(super) fn name(field: &'static str, text: &str) -> Result<(), Fault> {
    if text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Fault::Range {
        field,
        rule: "must be at most 512 bytes without control characters",
    })
}
