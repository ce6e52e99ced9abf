//! What matching adds to a record: judges hear the same log, some with it and some without.
//!
//! Matching is all that asks whose a line is and whether he may: bindings, registry, pack, caps, and what is
//! remembered of uses. What is left without it counts, covers and follows devices as ever.

use std::{path::Path, time::Duration};

use affiant_judge::{
    Docket, Judge, Parameters,
    admission::{Admitted, Sources},
    docket::hear,
};
use affiant_proto::{Body, Envelope, v1};
use affiant_verifier::ledger::Ledger;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::{
    prepared::{NotPrepared, log_key, wrong},
    repacked::give_wal,
};

/// How often each is measured, one after the other; the least counts, for what disturbs only adds.
const ROUNDS: usize = 5;

/// Bindings of the log's own tenant.
const BOUND: [&str; 3] = ["bench-slurm", "bench-pods", "bench-service"];

/// Officers who vet the other tenants.
const OFFICERS: [[u8; 32]; 2] = [[1; 32], [2; 32]];

/// What was measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Matched {
    /// Usage records that each judge heard.
    pub records: u64,
    /// Vetted tenants in the registry, each with a binding.
    pub tenants: u64,
    /// CPU time of the judge a record, microseconds.
    pub judge_us: f64,
    /// The same without matching.
    pub judge_us_without: f64,
    /// What matching adds.
    pub matching_us: f64,
}

/// Hears the first `records` records of the log that `prepare` made under `out`, with `tenants` more tenants
/// than it has. All use is that one tenant's, or, where it is `spread`, each host is one of the others'.
pub fn matching(
    out: &Path,
    seed: u64,
    tenants: u64,
    records: u64,
    spread: bool,
) -> Result<Matched, NotPrepared> {
    let log = out.join("log");
    give_wal(out, &log)?;
    let (ledger, _) = Ledger::open(&log, Box::new(log_key(seed)?)).map_err(wrong)?;
    let reader = ledger.reader();
    let mut admitted: Vec<(u64, Admitted)> = Vec::new();
    let mut docket: Option<Docket> = None;
    let mut heard = 0;
    for entry in reader.entries(0..reader.size()) {
        let (index, entry) = entry.map_err(wrong)?;
        let envelope = Envelope::parse(entry.envelope()).map_err(wrong)?;
        let one = match &mut docket {
            None => {
                let sources = Sources {
                    accept_recorded: true,
                };
                let judge = Judge::new(Parameters::default()).without_matching();
                let opened = Docket::open(index, envelope.into_parts().0, sources, judge)?;
                docket = Some(opened.0);
                opened.1
            }
            Some(docket) => docket.take_whole(index, envelope)?,
        };
        heard += u64::from(matches!(one.verified().body(), Body::Usage(_)));
        admitted.push((index, one));
        if heard == records {
            break;
        }
    }
    let mut least = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let judges = [
            Judge::new(Parameters::default()),
            Judge::new(Parameters::default()).without_matching(),
        ];
        for (judge, least) in judges.into_iter().zip(&mut least) {
            *least = (*least).min(hears(judge, &admitted, tenants, spread));
        }
    }
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / heard.max(1) as f64;
    let [judge_us, judge_us_without] = least.map(each);
    Ok(Matched {
        records: heard,
        tenants: tenants + 1,
        judge_us,
        judge_us_without,
        matching_us: judge_us - judge_us_without,
    })
}

/// CPU time in which a judge hears the usage records of a log.
fn hears(mut judge: Judge, admitted: &[(u64, Admitted)], tenants: u64, spread: bool) -> Duration {
    let mut spent = Duration::ZERO;
    let mut hosts: Option<Vec<&str>> = Some(Vec::new());
    let mut records = admitted.iter().peekable();
    while let Some((index, one)) = records.next() {
        if !matches!(one.verified().body(), Body::Usage(_)) {
            hear(&mut judge, *index, one);
            if let (Body::Enrolment(enrolment), Some(hosts)) = (one.verified().body(), &mut hosts) {
                hosts.push(&enrolment.host);
            }
            continue;
        }
        // Before the first record the log's own tenant is bound, and all hosts are enrolled.
        if let Some(hosts) = hosts.take() {
            let before = index.saturating_sub(1);
            vet(&mut judge, before, tenants);
            if spread {
                bind_hosts(&mut judge, before, tenants, &hosts);
            }
        }
        // Records in a row, so that the clock costs nothing.
        let begun = cpu();
        hear(&mut judge, *index, one);
        while let Some((index, one)) =
            records.next_if(|(_, one)| matches!(one.verified().body(), Body::Usage(_)))
        {
            hear(&mut judge, *index, one);
        }
        spent += cpu().saturating_sub(begun);
    }
    spent
}

/// States, binds and approves tenants.
fn vet(judge: &mut Judge, index: u64, tenants: u64) {
    let event = |body| v1::TenantEvent {
        body: Some(body),
        ..Default::default()
    };
    for number in 0..tenants {
        let id = format!("tenant-{number}");
        let party = v1::Party {
            id: id.clone(),
            names: vec![v1::PartyName {
                text: format!("Tenant {number} Inc."),
                ..Default::default()
            }],
            incorporation: "US".to_owned(),
            headquarters: "US".to_owned(),
            ..Default::default()
        };
        let tenant = v1::Tenant {
            id: id.clone(),
            customer: id.clone(),
            end_customer: id.clone(),
            ultimate_parent: id.clone(),
            ..Default::default()
        };
        let binding = v1::Binding {
            id: id.clone(),
            tenant: id.clone(),
            namespace: format!("namespace-{number}"),
            ..Default::default()
        };
        judge.tenant_event(
            index,
            OFFICERS[0],
            &event(v1::tenant_event::Body::Party(party)),
        );
        judge.tenant_event(
            index,
            OFFICERS[0],
            &event(v1::tenant_event::Body::Tenant(tenant)),
        );
        let binding = v1::BindingEvent {
            binding: Some(binding),
            ..Default::default()
        };
        judge.binding_event(index, OFFICERS[0], &binding);
        let dossier = judge.registry().dossier_digest(&id);
        for officer in OFFICERS {
            let decision = v1::Decision {
                tenant: id.clone(),
                dossier: dossier.map(|it| it.as_bytes().to_vec()).unwrap_or_default(),
                verdict: v1::Verdict::Approve.into(),
                ..Default::default()
            };
            judge.decision(index, officer, &decision);
        }
    }
}

/// Takes the workloads of the log from its own tenant, and gives the hosts to the others in turn.
fn bind_hosts(judge: &mut Judge, index: u64, tenants: u64, hosts: &[&str]) {
    let withdrawn = BOUND.map(|id| v1::BindingEvent {
        binding: Some(v1::Binding {
            id: id.to_owned(),
            ..Default::default()
        }),
        withdrawn: true,
        ..Default::default()
    });
    let bound = (0..).zip(hosts).map(|(number, host)| v1::BindingEvent {
        binding: Some(v1::Binding {
            id: format!("host-{number}"),
            tenant: format!("tenant-{}", number % tenants.max(1)),
            host: (*host).to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    });
    for event in withdrawn.into_iter().chain(bound) {
        judge.binding_event(index, OFFICERS[0], &event);
    }
}

/// CPU time of this thread so far.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::prepared::Prepared;

    #[test]
    fn judges_with_and_without_matching_hear_the_same_records() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("hour");
        let prepared = Prepared {
            out: out.clone(),
            hosts: 3,
            gpus: 8,
            interval_ms: 10_000,
            seconds: 60,
            seed: 1,
        };
        prepared.make().unwrap();
        for spread in [false, true] {
            let measured = matching(&out, 1, 5, 1_000, spread).unwrap();
            assert_eq!((measured.records, measured.tenants), (18, 6));
            assert!(measured.judge_us > 0.0 && measured.judge_us_without > 0.0);
        }
    }
}
