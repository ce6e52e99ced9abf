//! What an agent would have sealed in days without a verifier, put into its spool in seconds.
//!
//! The agent's own meter, sealer and spool make it; only the samples are made up.

use std::{path::Path, sync::Arc, time::Duration};

use affiant_agent::{
    data::DataDir,
    deployment::reference,
    identity::Identity,
    meter::{Holder, Holding, Meter, Pace},
    recorder::Book,
    recover::recover,
    sample::{Instant, Inventory, Reading, Sample},
    seal::{Draft, Now, Sealer},
    spool::{Limits, Spool},
};
use affiant_proto::v1;
use ring::rand::SystemRandom;

/// Time between two samples: few are enough, for a record's size does not depend on them.
const PERIOD_MS: u64 = 20_000;

/// Statements that go into one append: one sync for each would take hours for a fleet.
const BATCH: usize = 1_000;

/// How long the verifier was away.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// Milliseconds of all records together.
    pub length_ms: u64,
    /// Milliseconds of one.
    pub interval_ms: u64,
    /// When it ends, milliseconds since 1970.
    pub end_unix_ms: u64,
}

/// Seals the records of an outage for the agent whose data directory this is, and which does not
/// run; gives the sequence of the last.
///
/// One device, used by one workload in every second hour.
pub fn seal(data: &Path, outage: Outage) -> u64 {
    let data = DataDir::at(data);
    let identity = Identity::load(&data).unwrap();
    let limits = Limits {
        max_bytes: 1 << 40,
        keep: Duration::from_secs(72 * 3_600),
        max_age: None,
        reserve: Some(0),
    };
    let mut spool = Spool::open(&data.spool(), limits).unwrap();
    Book::begin(&mut spool, identity.enrolment()).unwrap();
    let chain = recover(&mut spool, identity.opened()).unwrap().chain;
    let seen = spool.cursor().map(|cursor| cursor.checkpoint.clone());
    let seen = seen.and_then(|note| identity.deployment().open(note.as_bytes()).ok());
    let mut sealer = Sealer::new(
        identity.keys().signer(),
        chain,
        1,
        seen.as_ref().and_then(reference),
        Box::new(SystemRandom::new()),
    );
    let begin = outage.end_unix_ms - outage.length_ms;
    let now = |at_ms: u64| Now {
        header: v1::Time {
            unix_ms: begin + at_ms,
            clock: v1::ClockState::Synchronized.into(),
            max_error_ms: Some(1),
        },
        boot_ms: at_ms,
    };
    let mut draft = sealer.draft();
    sealer.inventory(&mut draft, &inventory(), now(0)).unwrap();
    let pace = Pace::new(PERIOD_MS, outage.interval_ms).unwrap();
    let mut meter = Meter::new(1, pace, None).unwrap();
    let job = Arc::new(v1::Workload {
        platform: v1::Platform::Slurm.into(),
        user: "researcher".into(),
        slurm_job: "4711".into(),
        slurm_account: "backlog".into(),
        ..v1::Workload::default()
    });
    for at_ms in (0..=outage.length_ms).step_by(usize::try_from(PERIOD_MS).unwrap()) {
        let busy = at_ms / 3_600_000 % 2 == 1;
        let reading = Reading {
            utilization: Some(if busy { 90 } else { 0 }),
            memory_used: Some(1 << 30),
            power_mw: Some(300_000),
            ..Reading::default()
        };
        let at = Instant {
            boot_ms: at_ms,
            slept_ms: 0,
            wall_ms: begin + at_ms,
        };
        let sample = Sample {
            at,
            devices: vec![Ok(reading)],
        };
        let holder = Holder {
            workload: Some(Arc::clone(&job)),
            memory: Some(1 << 30),
            sm_percent: Some(90),
        };
        let holders = if busy { vec![holder] } else { Vec::new() };
        let ended = meter.push(&sample, &[Holding::Known(holders)]).unwrap();
        for interval in ended {
            sealer.interval(&mut draft, &interval, now(at_ms)).unwrap();
            if draft.entries().len() >= BATCH {
                draft = keep(&mut spool, &mut sealer, draft);
            }
        }
    }
    keep(&mut spool, &mut sealer, draft);
    sealer.head().0
}

fn keep(spool: &mut Spool, sealer: &mut Sealer, draft: Draft) -> Draft {
    if !draft.entries().is_empty() {
        spool.append(draft.first(), draft.entries()).unwrap();
        sealer.commit(draft);
    }
    sealer.draft()
}

fn inventory() -> Inventory {
    Inventory {
        source: v1::SourceKind::Recorded,
        library: "/var/lib/affiant/backlog".into(),
        library_digest: [7; 32],
        driver_version: "570.1".into(),
        devices: vec![v1::Device {
            uuid: "GPU-5a1d0000-0000-4000-8000-000000000000".into(),
            model: "NVIDIA H100 80GB HBM3".into(),
            coverage: v1::Coverage::Full.into(),
            ..v1::Device::default()
        }],
    }
}
