//! A look as an aligned table.

use affiant_proto::v1::{self, Platform};

use super::Look;
use crate::{
    meter::Holding,
    sample::{Processes, Reading},
};

const MIB: u64 = 1 << 20;

/// Stands where nothing answered.
const MISSING: &str = "–";

/// Gives a look as text: one line per device, beneath it its processes.
pub fn table(look: &Look) -> String {
    let inventory = &look.inventory;
    let mut out = format!(
        "{} {} driver {}\n\n",
        inventory.source.as_str_name(),
        inventory.library,
        or_missing(&inventory.driver_version),
    );
    let head = ["GPU", "MODEL", "UTIL", "MEMORY MiB", "POWER W", "UUID"].map(String::from);
    let mut devices = vec![head.to_vec()];
    let mut processes = vec![
        ["GPU", "PID", "MEMORY MiB", "SM", "WORKLOAD"]
            .map(String::from)
            .to_vec(),
    ];
    let all = inventory
        .devices
        .iter()
        .zip(&look.sample.devices)
        .zip(&look.holdings);
    for (index, ((device, reading), holding)) in all.enumerate() {
        let number = index.to_string();
        let row = match reading {
            Ok(reading) => {
                processes.extend(holders(&number, reading, holding));
                figures(reading, device.memory_bytes)
            }
            Err(reason) => [
                reason.as_str_name().to_owned(),
                MISSING.into(),
                MISSING.into(),
            ],
        };
        let [utilization, memory, power] = row;
        let (model, uuid) = (device.model.clone(), device.uuid.clone());
        devices.push(vec![number, model, utilization, memory, power, uuid]);
    }
    out.push_str(&aligned(&devices));
    if processes.len() > 1 {
        out.push('\n');
        out.push_str(&aligned(&processes));
    }
    out
}

fn figures(reading: &Reading, memory: Option<u64>) -> [String; 3] {
    let percent = reading.utilization.map(|percent| format!("{percent} %"));
    let used = reading.memory_used.map(|used| (used / MIB).to_string());
    let whole = memory
        .map(|memory| format!(" / {}", memory / MIB))
        .unwrap_or_default();
    let power = reading
        .power_mw
        .map(|power| format!("{}.{}", power / 1_000, power % 1_000 / 100));
    let missing = || MISSING.to_owned();
    [
        percent.unwrap_or_else(missing),
        used.unwrap_or_else(missing) + &whole,
        power.unwrap_or_else(missing),
    ]
}

fn holders(number: &str, reading: &Reading, holding: &Holding) -> Vec<Vec<String>> {
    let line = |what: &str| {
        let missing = MISSING.to_owned();
        vec![vec![
            number.to_owned(),
            missing.clone(),
            missing.clone(),
            missing,
            what.to_owned(),
        ]]
    };
    let (list, holders) = match (&reading.processes, holding) {
        (Processes::Read(list), Holding::Known(holders)) => (list, holders),
        _ => return line("the driver does not say who holds the device"),
    };
    let both = list.iter().zip(holders);
    let rows = both.map(|(process, holder)| {
        let memory = process.used_memory.map(|memory| (memory / MIB).to_string());
        let sm = process.sm_percent.map(|percent| format!("{percent} %"));
        let workload = holder
            .workload
            .as_deref()
            .map_or("not told whose".into(), describe);
        let missing = || MISSING.to_owned();
        let (memory, sm) = (memory.unwrap_or_else(missing), sm.unwrap_or_else(missing));
        vec![
            number.to_owned(),
            process.pid.to_string(),
            memory,
            sm,
            workload,
        ]
    });
    rows.collect()
}

/// Names a workload in a line.
fn describe(workload: &v1::Workload) -> String {
    let v1::Workload {
        unit,
        user,
        namespace,
        pod,
        pod_uid,
        container_id,
        ..
    } = workload;
    let short: String = container_id.chars().take(12).collect();
    let named = match workload.platform() {
        Platform::Kubernetes if !pod.is_empty() => {
            format!(
                "pod {namespace}/{pod} ({})",
                or_missing(&workload.service_account)
            )
        }
        Platform::Kubernetes => format!("pod {pod_uid}"),
        Platform::Slurm => {
            format!(
                "slurm job {} of {}",
                workload.slurm_job,
                or_missing(&workload.slurm_account)
            )
        }
        Platform::Container => format!("container {short}"),
        Platform::SystemdUnit | Platform::VirtualMachine => unit.clone(),
        Platform::Bare | Platform::Unspecified => "no unit".into(),
    };
    match (user.is_empty(), workload.uid) {
        (false, _) => format!("{named}, {user}"),
        (true, Some(uid)) => format!("{named}, uid {uid}"),
        (true, None) => named,
    }
}

fn or_missing(text: &str) -> &str {
    if text.is_empty() { MISSING } else { text }
}

/// Pads the columns; text from the driver and from users keeps to its cell and its line.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let plain = |cell: &String| -> String {
        cell.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    };
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(plain).collect())
        .collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let padding = width.saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(padding))
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::{
        meter::Holder,
        sample::{GpuProcess, Instant, Inventory, Sample},
    };

    fn look() -> Look {
        let device = |n: u32| v1::Device {
            uuid: format!("GPU-{n}"),
            model: "NVIDIA L4\nforged line".into(),
            memory_bytes: Some(24 << 30),
            ..v1::Device::default()
        };
        let reading = Reading {
            utilization: Some(97),
            power_mw: Some(71_250),
            processes: Processes::Read(vec![GpuProcess {
                pid: 42,
                used_memory: Some(7 << 20),
                sm_percent: None,
                recorded: None,
            }]),
            ..Reading::default()
        };
        let workload = v1::Workload {
            platform: Platform::Kubernetes.into(),
            namespace: "northwind".into(),
            pod: "train-0".into(),
            service_account: "trainer".into(),
            uid: Some(1_000),
            ..v1::Workload::default()
        };
        let holder = Holder {
            workload: Some(std::sync::Arc::new(workload)),
            memory: Some(7 << 20),
            sm_percent: None,
        };
        Look {
            inventory: Inventory {
                source: v1::SourceKind::Nvml,
                library: "/usr/lib/libnvidia-ml.so.1".into(),
                library_digest: [7; 32],
                driver_version: "580.1".into(),
                devices: vec![device(0), device(1)],
            },
            sample: Sample {
                at: Instant {
                    boot_ms: 1,
                    wall_ms: 2,
                    slept_ms: 0,
                },
                devices: vec![Ok(reading), Err(v1::Reason::DriverHung)],
            },
            holdings: vec![Holding::Known(vec![holder]), Holding::Unknown],
        }
    }

    #[test]
    fn a_table_tells_figures_holders_and_what_did_not_answer() {
        let text = table(&look());
        let lines: Vec<&str> = text.lines().collect();
        let device = lines.iter().find(|line| line.contains("GPU-0")).unwrap();
        for part in ["97 %", "– / 24576", "71.2"] {
            assert!(device.contains(part), "{part} in {text}");
        }
        assert!(
            lines.iter().any(|line| line.contains("REASON_DRIVER_HUNG")),
            "{text}"
        );
        let holder = lines.iter().find(|line| line.contains("42")).unwrap();
        assert!(
            holder.contains("pod northwind/train-0 (trainer), uid 1000"),
            "{text}"
        );
        assert!(
            !lines.iter().any(|line| line.starts_with("forged")),
            "{text}"
        );
    }

    #[test]
    fn json_has_null_for_what_did_not_answer_and_no_zero() {
        let json = super::super::to_json(&look());
        let device = &json["devices"][0];
        assert_eq!(device["utilization_percent"], 97);
        assert!(device["memory_used_bytes"].is_null());
        assert_eq!(device["processes"][0]["workload"]["namespace"], "northwind");
        assert!(device["processes"][0]["workload"]["slurm_job"].is_null());
        assert_eq!(json["devices"][1]["not_observed"], "REASON_DRIVER_HUNG");
        assert!(json["devices"][1].get("utilization_percent").is_none());
    }
}
