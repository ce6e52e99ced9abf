//! Days without the verifier: some hosts are cut off, one stays; then all come back at once.

use std::{
    fs,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use affiant_judge::{findings::Rule, parameters::Parameters};
use turmoil::{Builder, Sim};

use crate::{
    agent::Host,
    check::{self, Summary},
    time::{EPOCH_MS, millis},
    verifier::{self, Machine},
    world::World,
};

/// Step of the simulated network: messages take up to two.
const TICK: Duration = Duration::from_secs(1);

/// Time between two samples, and between two records.
const PACE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(60));

/// When the hosts are cut off: all are enrolled and have sent something.
const CUT_MS: u64 = 300_000;

/// Time between two looks at the live host's finding while the others are away.
const LOOK_MS: u64 = 600_000;

/// The same while they come back.
const LOOK_BACK_MS: u64 = 5_000;

/// Simulated time for everything to be delivered: 256 records a host are in flight, which at the
/// simulated network's 3 s a round make eight days of 11,520 records in 135 s; the reconnect, the
/// live host's interval, and as much again.
const PATIENCE_MS: u64 = 900_000;

/// What came of it.
#[derive(Debug)]
pub struct Outage {
    /// Records that the hosts held when the verifier came back.
    pub held: u64,
    /// Simulated time from then until the last of them was INCLUDED, milliseconds.
    pub drained_ms: u64,
    /// Real time of the same.
    pub drained_in: Duration,
    /// How far the live host's finding ever was behind the true time, milliseconds.
    pub most_behind_ms: u64,
    /// Looks that were taken at it.
    pub looks: u64,
    /// What the check at the end found.
    pub summary: Summary,
    /// Every promise that broke.
    pub broken: Vec<String>,
}

type Failed = Box<dyn std::error::Error>;

/// Cuts `hosts` hosts off for `length`, while one more stays connected.
pub fn outage(seed: u64, hosts: usize, length: Duration) -> Result<Outage, Failed> {
    let world = Arc::new(World::new()?);
    let mut names: Vec<String> = (0..hosts).map(|n| format!("gpu-{n}")).collect();
    names.push("steady".into());
    let interval_ms = millis(PACE.1);
    let parameters = Parameters {
        interval_ms,
        gap_grace_ms: 3 * interval_ms,
        ..Parameters::default()
    };
    let (machine, tokens) = Machine::new(&world, &names, parameters.clone(), None)?;
    let made = names.iter().zip(&tokens);
    let all: Result<Vec<Arc<Host>>, Failed> = made
        .map(|(name, token)| Host::new(&world, name, seed, token, PACE))
        .collect();
    let all = all?;
    let (away, live) = all.split_at(hosts);
    let mut sim = sim(seed, &machine, &all);
    let back_ms = CUT_MS + millis(length);
    let mut run = Watching {
        world: &world,
        behind_ms: 0,
        looks: 0,
        last_ms: CUT_MS,
    };
    while millis(sim.elapsed()) < CUT_MS {
        sim.step()?;
    }
    for host in away {
        sim.partition(host.name.clone(), verifier::NAME);
    }
    while millis(sim.elapsed()) < back_ms {
        sim.step()?;
        run.look(millis(sim.elapsed()), LOOK_MS);
    }
    let heads: Vec<u64> = away.iter().map(|host| run.head(host)).collect();
    let began = Instant::now();
    for host in away {
        sim.repair(host.name.clone(), verifier::NAME);
    }
    let behind = |(host, head): (&Arc<Host>, &u64)| {
        host.cursor().is_none_or(|cursor| cursor.sequence < *head)
    };
    let mut broken = Vec::new();
    while away.iter().zip(&heads).any(behind) {
        sim.step()?;
        run.look(millis(sim.elapsed()), LOOK_BACK_MS);
        if millis(sim.elapsed()) > back_ms + PATIENCE_MS {
            broken.push("not all was delivered in time".into());
            break;
        }
    }
    let (drained_ms, drained_in) = (millis(sim.elapsed()) - back_ms, began.elapsed());
    let (most_behind_ms, looks) = (run.behind_ms, run.looks);
    for host in away.iter().chain(live) {
        host.stop.store(true, Relaxed);
    }
    let until = millis(sim.elapsed()) + PATIENCE_MS;
    while world.seen().drained.len() < all.len() && millis(sim.elapsed()) < until {
        sim.step()?;
    }
    if world.seen().drained.len() < all.len() {
        broken.push("not all agents ended with nothing left to send".into());
    }
    drop(sim);
    let note = world.of(verifier::NAME).join("log/public/checkpoint");
    let note = fs::read_to_string(note)?;
    {
        let mut seen = world.seen();
        seen.published.push(note);
        for host in &all {
            seen.told
                .extend(host.cursor().map(|cursor| (host.name.clone(), cursor)));
        }
    }
    broken.append(&mut world.seen().broken);
    let (summary, more) = check::all(&world, &all, &parameters)?;
    broken.extend(more);
    Ok(Outage {
        held: heads.iter().sum(),
        drained_ms,
        drained_in,
        most_behind_ms,
        looks,
        summary,
        broken,
    })
}

fn sim(seed: u64, machine: &Arc<Machine>, hosts: &[Arc<Host>]) -> Sim<'static> {
    let mut sim = Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(100))
        .tcp_capacity(1_024)
        .simulation_duration(Duration::MAX)
        .build();
    let machine = Arc::clone(machine);
    sim.host(verifier::NAME, move || Arc::clone(&machine).run());
    for host in hosts {
        let host = Arc::clone(host);
        sim.host(host.name.clone(), move || Arc::clone(&host).run());
    }
    sim
}

/// Watches the finding of the host that stays.
struct Watching<'a> {
    world: &'a World,
    behind_ms: u64,
    looks: u64,
    last_ms: u64,
}

impl Watching<'_> {
    fn look(&mut self, now: u64, every_ms: u64) {
        if now < self.last_ms + every_ms {
            return;
        }
        self.last_ms = now;
        let live = self.world.seen().live.clone();
        let Some(live) = live else { return };
        let last = live.judge().findings().into_iter().filter(|finding| {
            finding.rule == Rule::UseUnattributed && finding.title.contains("steady")
        });
        let last = last.map(|finding| finding.last_unix_ms).max().unwrap_or(0);
        let behind = (EPOCH_MS + now).saturating_sub(last);
        self.behind_ms = self.behind_ms.max(behind);
        self.looks += 1;
    }

    fn head(&self, host: &Host) -> u64 {
        let seen = self.world.seen();
        let last = seen.sealed.get(&host.name).and_then(|all| all.last());
        last.map_or(0, |last| last.sequence)
    }
}
