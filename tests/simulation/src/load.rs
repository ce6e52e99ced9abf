//! What the devices of a host do: a function of host, device and true time, so that every run
//! over one time measures the same.

use std::sync::Arc;

use affiant_agent::{
    meter::{Holder, Holding},
    sample::{Instant, Inventory, Processes, Reading, Sample},
};
use affiant_proto::v1;

use crate::random::Random;

/// Devices of each host.
pub const DEVICES: usize = 2;

/// How long a device does one thing, milliseconds.
const SPELL_MS: u64 = 20_000;

/// The devices of `host`.
pub fn inventory(host: &str) -> Inventory {
    let device = |n| v1::Device {
        uuid: format!("GPU-{host}-{n}"),
        model: "NVIDIA H100 80GB HBM3".into(),
        coverage: v1::Coverage::Full.into(),
        ..v1::Device::default()
    };
    Inventory {
        source: v1::SourceKind::Simulated,
        library: "/simulated/libnvidia-ml.so.1".into(),
        library_digest: [7; 32],
        driver_version: "580.1".into(),
        devices: (0..DEVICES).map(device).collect(),
    }
}

/// One tick of `host` at true time `at_ms`, read by clocks that show `shown`.
pub fn tick(host: &str, at_ms: u64, shown: Instant) -> (Sample, Vec<Holding>) {
    let (devices, holdings) = (0..DEVICES).map(|n| device(host, n, at_ms)).unzip();
    (Sample { at: shown, devices }, holdings)
}

fn device(host: &str, n: usize, at_ms: u64) -> (Result<Reading, v1::Reason>, Holding) {
    if let Some(namespace) = steady(host) {
        return busy(Some(namespace), "steady");
    }
    let spell = at_ms / SPELL_MS;
    let mut random = Random::of(spell, &format!("{host}/{n}"));
    // Half of the time somebody works: a tenant that nobody approved, or nobody that is known.
    let namespace = match random.within(0, 5) {
        0 | 1 => Some("acme"),
        2 => Some("stray"),
        _ => None,
    };
    if random.percent(3) {
        return (Err(v1::Reason::DriverError), Holding::Unknown);
    }
    busy(namespace, &spell.to_string())
}

/// Hosts whose names say so do one thing all the time.
fn steady(host: &str) -> Option<&'static str> {
    host.starts_with("steady").then_some("stray")
}

fn busy(namespace: Option<&str>, job: &str) -> (Result<Reading, v1::Reason>, Holding) {
    let reading = Reading {
        utilization: Some(if namespace.is_some() { 90 } else { 0 }),
        processes: Processes::Unchanged,
        ..Reading::default()
    };
    let holder = namespace.map(|namespace| Holder {
        workload: Some(Arc::new(v1::Workload {
            platform: v1::Platform::Kubernetes.into(),
            cluster: "simulated".into(),
            namespace: namespace.into(),
            pod: format!("{namespace}-{job}"),
            ..v1::Workload::default()
        })),
        memory: None,
        sm_percent: None,
    });
    (Ok(reading), Holding::Known(holder.into_iter().collect()))
}
