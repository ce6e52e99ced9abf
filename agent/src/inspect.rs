//! `inspect`: what the source says now, for people and programs; and a trace of it.

mod table;

use std::{
    fs::OpenOptions,
    io::{self, BufWriter},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use affiant_proto::v1;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::{
    clock,
    config::Measuring,
    meter::Holding,
    run::attribution,
    sample::{Event, Inventory, Processes, Sample},
    source::{
        GpuSource,
        chosen::{ChoiceError, ChosenSource},
        recorded::{Origin, TraceWriter, WriteError},
    },
};

pub(crate) use table::aligned;
pub use table::table;

/// Longest wait for the devices and a first sample: ten seconds for a driver to say what there is,
/// and a tick of a minute at most, after which something is wrong.
const PATIENCE: Duration = Duration::from_secs(75);

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The source.
    #[error(transparent)]
    Source(#[from] ChoiceError),
    /// It said nothing in time.
    #[error("the source gave no sample within {} s{}", PATIENCE.as_secs(), because(.0.as_deref()))]
    Silent(Option<String>),
    /// There are no devices.
    #[error("no device is known{}", because(.0.as_deref()))]
    NoDevices(Option<String>),
    /// A trace over before it was recorded.
    #[error("the source ended before the time was over; the trace has what came until then")]
    Ended,
    /// The trace's file.
    #[error("cannot write trace {path}: {error}")]
    File {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The trace.
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn because(fault: Option<&str>) -> String {
    fault.map(|fault| format!(": {fault}")).unwrap_or_default()
}

/// One look at all devices.
#[derive(Clone, Debug)]
pub struct Look {
    /// The devices.
    pub inventory: Inventory,
    /// What each said.
    pub sample: Sample,
    /// Who holds each, in the order of its process list.
    pub holdings: Vec<Holding>,
}

/// Looks once.
pub async fn look(measuring: &Measuring) -> Result<Look, InspectError> {
    let (mut source, _) = ChosenSource::start(&measuring.source, None)?;
    let looked = timeout(PATIENCE, first(&mut source, measuring)).await;
    let fault = source.fault();
    source.close().await;
    match looked {
        Ok(Some(look)) if look.inventory.devices.is_empty() => Err(InspectError::NoDevices(fault)),
        Ok(Some(look)) => Ok(look),
        Ok(None) | Err(_) => Err(InspectError::Silent(fault)),
    }
}

async fn first(source: &mut ChosenSource, measuring: &Measuring) -> Option<Look> {
    let mut attribution = attribution(measuring);
    let mut known = None;
    loop {
        match source.next().await {
            Event::Inventory(inventory) => known = Some(inventory),
            Event::Sample(sample) => {
                let holdings = attribution.holdings(&sample).await;
                let inventory = known?;
                return Some(Look {
                    inventory,
                    sample,
                    holdings,
                });
            }
            Event::End => return None,
        }
    }
}

/// Records a trace of the source for as long as `seconds` say; gives the number of ticks.
pub async fn record(
    measuring: &Measuring,
    path: &Path,
    seconds: u64,
    note: &str,
) -> Result<u64, InspectError> {
    let (mut source, period) = ChosenSource::start(&measuring.source, None)?;
    let recorded = record_from(&mut source, measuring, path, seconds, note, period).await;
    source.close().await;
    recorded
}

async fn record_from(
    source: &mut ChosenSource,
    measuring: &Measuring,
    path: &Path,
    seconds: u64,
    note: &str,
    period: Duration,
) -> Result<u64, InspectError> {
    let failed = |error| InspectError::File {
        path: path.to_owned(),
        error,
    };
    let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
    let due = (seconds.saturating_mul(1_000) / period_ms.max(1)).max(1);
    let mut attribution = attribution(measuring);
    let mut writer: Option<TraceWriter<_>> = None;
    let mut ticks = 0;
    while ticks < due {
        let event = timeout(PATIENCE, source.next()).await;
        match event.map_err(|_| InspectError::Silent(source.fault()))? {
            Event::Inventory(inventory) => {
                if inventory.devices.is_empty() {
                    return Err(InspectError::NoDevices(source.fault()));
                }
                if writer.is_some() {
                    // A trace has one set of devices.
                    tracing::warn!("the devices changed; the trace ends here");
                    break;
                }
                let file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o644)
                    .open(path);
                let out = BufWriter::new(file.map_err(failed)?);
                let date = date();
                writer = Some(TraceWriter::new(
                    out,
                    &inventory,
                    Origin::Recorded,
                    &date,
                    note,
                    period_ms,
                )?);
            }
            Event::Sample(sample) => {
                let holdings = attribution.holdings(&sample).await;
                if let Some(writer) = &mut writer {
                    writer.tick(&sample, &holdings)?;
                    ticks += 1;
                }
            }
            Event::End => break,
        }
    }
    if let Some(writer) = writer {
        let out = writer.finish()?;
        let file = out
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
    }
    if ticks < due {
        Err(InspectError::Ended)
    } else {
        Ok(ticks)
    }
}

/// Today, as a trace names it.
fn date() -> String {
    let seconds = i64::try_from(clock::wall_ms() / 1_000).unwrap_or(0);
    let today = OffsetDateTime::from_unix_timestamp(seconds).map(OffsetDateTime::date);
    today.map(|date| date.to_string()).unwrap_or_default()
}

/// Gives a look as JSON; what did not answer is null.
pub fn to_json(look: &Look) -> Value {
    let devices = look
        .inventory
        .devices
        .iter()
        .zip(&look.sample.devices)
        .zip(&look.holdings);
    let devices: Vec<Value> = devices
        .map(|((device, reading), holding)| {
            let mut out = json!({
                "uuid": device.uuid,
                "model": device.model,
                "serial": device.serial,
                "pci_bus_id": device.pci_bus_id,
                "pci_device_id": device.pci_device_id,
                "memory_bytes": device.memory_bytes,
                "coverage": device.coverage().as_str_name(),
            });
            let fields = match reading {
                Err(reason) => json!({"not_observed": reason.as_str_name()}),
                Ok(reading) => json!({
                    "utilization_percent": reading.utilization,
                    "memory_used_bytes": reading.memory_used,
                    "power_mw": reading.power_mw,
                    "energy_mj": reading.energy_mj,
                    "sm_permille": reading.sm_permille,
                    "tensor_permille": reading.tensor_permille,
                    "processes": processes(&reading.processes, holding),
                }),
            };
            if let (Value::Object(out), Value::Object(fields)) = (&mut out, fields) {
                out.extend(fields);
            }
            out
        })
        .collect();
    json!({
        "source": look.inventory.source.as_str_name(),
        "library": look.inventory.library,
        "library_sha256": affiant_proto::Digest::new(look.inventory.library_digest).to_string(),
        "driver_version": look.inventory.driver_version,
        "unix_ms": look.sample.at.wall_ms,
        "devices": devices,
    })
}

fn processes(list: &Processes, holding: &Holding) -> Value {
    let (Processes::Read(list), Holding::Known(holders)) = (list, holding) else {
        return Value::Null;
    };
    let processes = list.iter().zip(holders).map(|(process, holder)| {
        json!({
            "pid": process.pid,
            "memory_bytes": process.used_memory,
            "sm_percent": process.sm_percent,
            "workload": holder.workload.as_deref().map(workload),
        })
    });
    processes.collect()
}

fn workload(workload: &v1::Workload) -> Value {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    json!({
        "platform": workload.platform().as_str_name(),
        "unit": text(&workload.unit),
        "uid": workload.uid,
        "user": text(&workload.user),
        "container_id": text(&workload.container_id),
        "pod_uid": text(&workload.pod_uid),
        "cluster": text(&workload.cluster),
        "namespace": text(&workload.namespace),
        "pod": text(&workload.pod),
        "service_account": text(&workload.service_account),
        "slurm_job": text(&workload.slurm_job),
        "slurm_account": text(&workload.slurm_account),
        "image": text(&workload.image),
    })
}
