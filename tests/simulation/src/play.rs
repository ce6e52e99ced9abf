//! Plays one plan to its end: everything goes wrong, is mended, drains, and is checked.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use affiant_judge::parameters::Parameters;
use affiant_proto::Digest;
use turmoil::{Builder, Sim};

use crate::{
    agent::Host,
    check::{self, Summary},
    plan::{Event, Plan, Trouble},
    time::millis,
    verifier::{self, Machine},
    world::World,
};

/// Step of the simulated network.
const TICK: Duration = Duration::from_millis(25);

/// Steps between two looks at what hosts were told: the log includes once a second.
const LOOK: u64 = 10;

/// Simulated time in which everything must have drained once it is mended: a dead connection is
/// noticed after 50 s, the next attempt comes within 20 s, an answer within 30 s; that twice.
const PATIENCE_MS: u64 = 240_000;

/// How long a machine that died stays down at most, when its trouble is not over before.
const DOWN_MS: u64 = 5_000;

/// Where a copy of the verifier's directory lies, to be set back to.
const OLD: &str = "verifier.old";

/// A deliberate bug, to show that the check finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The agents' disks say that they synced and did not: a crash takes the last record.
    LyingDisk,
    /// The verifier's directory is set back to what it was at the middle of the run.
    SetBack,
    /// The running judge misses every fifth segment.
    DeafJudge,
    /// What the verifier sends never reaches the first host again once all should be mended.
    NoReceipt,
    /// A host that was down comes back without its spool.
    LostSpool,
    /// The first host is told an index at which something else stands.
    FalseReceipt,
}

/// What a run came to.
#[derive(Debug)]
pub struct Played {
    /// The digest of the trace: the same seed gives the same.
    pub digest: Digest,
    /// The trace.
    pub trace: String,
    /// What was found when all was over.
    pub summary: Summary,
    /// Every promise that broke; none in an honest run.
    pub broken: Vec<String>,
}

type Failed = Box<dyn std::error::Error>;

/// Plays `plan` with the chance of `seed`.
pub fn play(seed: u64, plan: &Plan, bug: Option<Bug>) -> Result<Played, Failed> {
    let mut run = Run::new(seed, plan, bug)?;
    let mut sim = run.sim(seed);
    let drained = run.drive(&mut sim, plan)?;
    let ended = millis(sim.elapsed());
    drop(sim);
    run.look(ended);
    let mut broken = std::mem::take(&mut run.world.seen().broken);
    if !drained {
        let waiting: Vec<_> = run.waiting().iter().map(|host| host.name.clone()).collect();
        broken.push(format!(
            "not drained {PATIENCE_MS} ms after all was mended: {waiting:?}"
        ));
    }
    let summary = match check::all(&run.world, &run.hosts, &Parameters::default()) {
        Ok((summary, more)) => {
            broken.extend(more);
            summary
        }
        Err(error) => {
            broken.push(format!("the log cannot be checked: {error}"));
            Summary::default()
        }
    };
    Ok(Played {
        digest: run.world.digest(),
        trace: run.world.text(),
        summary,
        broken,
    })
}

struct Run {
    world: Arc<World>,
    hosts: Vec<Arc<Host>>,
    machine: Arc<Machine>,
    bug: Option<Bug>,
    /// Machines that are down, and when each is started again.
    down: Vec<(u64, String)>,
    told: Vec<Option<(u64, u64)>>,
}

impl Run {
    fn new(seed: u64, plan: &Plan, bug: Option<Bug>) -> Result<Self, Failed> {
        let world = Arc::new(World::new()?);
        let names: Vec<String> = (0..plan.hosts).map(|n| format!("gpu-{n}")).collect();
        let deaf = (bug == Some(Bug::DeafJudge)).then_some(5);
        let (machine, tokens) = Machine::new(&world, &names, Parameters::default(), deaf)?;
        let pace = (Duration::from_secs(2), Duration::from_secs(10));
        let hosts: Result<Vec<_>, _> = names
            .iter()
            .zip(&tokens)
            .map(|(name, token)| Host::new(&world, name, seed, token, pace))
            .collect();
        Ok(Self {
            told: vec![None; plan.hosts],
            hosts: hosts?,
            world,
            machine,
            bug,
            down: Vec::new(),
        })
    }

    fn sim(&self, seed: u64) -> Sim<'static> {
        let mut sim = Builder::new()
            .rng_seed(seed)
            .tick_duration(TICK)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(100))
            .tcp_capacity(1_024)
            .simulation_duration(Duration::MAX)
            .build();
        let machine = Arc::clone(&self.machine);
        sim.host(verifier::NAME, move || Arc::clone(&machine).run());
        for host in &self.hosts {
            let host = Arc::clone(host);
            sim.host(host.name.clone(), move || Arc::clone(&host).run());
        }
        sim
    }

    /// Runs until everything has drained after the mending; false when it does not in time.
    fn drive(&mut self, sim: &mut Sim<'_>, plan: &Plan) -> Result<bool, Failed> {
        let mut due = plan.events.iter().peekable();
        let mut lasting: Vec<Event> = Vec::new();
        let (mut mended, mut kept, mut steps) = (false, false, 0_u64);
        loop {
            let now = millis(sim.elapsed());
            while let Some(event) = due.next_if(|event| event.from_ms <= now) {
                self.world.trace(now, "", &event.to_string());
                self.begin(sim, event, now)?;
                lasting.push(*event);
            }
            let (over, left) = lasting.iter().partition(|event| event.to_ms <= now);
            lasting = left;
            let over: Vec<Event> = over;
            over.iter().for_each(|event| self.end(sim, event, &lasting));
            if !mended && now >= plan.mended_ms {
                mended = true;
                self.mend(sim, now);
            }
            self.restart(sim, now)?;
            if self.bug == Some(Bug::SetBack) && !kept && now >= plan.mended_ms / 2 {
                kept = true;
                copy(&self.world.of(verifier::NAME), &self.world.of(OLD))?;
            }
            sim.step()?;
            steps += 1;
            if steps.is_multiple_of(LOOK) {
                self.look(now);
                if mended && self.waiting().is_empty() {
                    return Ok(true);
                }
                if now > plan.mended_ms + PATIENCE_MS {
                    return Ok(false);
                }
            }
        }
    }

    fn begin(&mut self, sim: &mut Sim<'_>, event: &Event, now: u64) -> Result<(), Failed> {
        let until = event.to_ms.min(now + DOWN_MS);
        let name = |host: usize| format!("gpu-{host}");
        match event.trouble {
            Trouble::Partition { host } => sim.partition(name(host), verifier::NAME),
            Trouble::Deaf { host } => sim.partition_oneway(name(host), verifier::NAME),
            Trouble::Mute { host } => sim.partition_oneway(verifier::NAME, name(host)),
            Trouble::Held { host } => sim.hold(name(host), verifier::NAME),
            Trouble::Slow { host, most_ms } => {
                let most = Duration::from_millis(most_ms);
                sim.set_link_max_message_latency(name(host), verifier::NAME, most);
            }
            Trouble::AgentDies { host } => self.kill(sim, &name(host), until),
            Trouble::AgentDiesSealing { host } => {
                if let Some(host) = self.hosts.get(host) {
                    host.die_at.store(self.sealed(host) + 1, Relaxed);
                }
            }
            Trouble::PowerCut { host } => {
                self.kill(sim, &name(host), until);
                if let Some(host) = self.hosts.get(host) {
                    tear(host)?;
                    host.boot(now)?;
                }
            }
            Trouble::VerifierDies => self.kill(sim, verifier::NAME, until),
            Trouble::DiskFails(fault) => self.machine.disk.set(Some(fault)),
            Trouble::HostClock { host, wrong_ms } => {
                if let Some(host) = self.hosts.get(host) {
                    host.clocks.set_wrong(wrong_ms);
                }
            }
            Trouble::VerifierClock { wrong_ms } => self.machine.clocks.set_wrong(wrong_ms),
        }
        Ok(())
    }

    fn end(&self, sim: &mut Sim<'_>, event: &Event, lasting: &[Event]) {
        let name = |host: usize| format!("gpu-{host}");
        match event.trouble {
            Trouble::Partition { host }
            | Trouble::Deaf { host }
            | Trouble::Mute { host }
            | Trouble::Held { host } => {
                let same = |other: &&Event| {
                    matches!(other.trouble, Trouble::Partition { host: h }
                        | Trouble::Deaf { host: h }
                        | Trouble::Mute { host: h }
                        | Trouble::Held { host: h } if h == host)
                };
                // Two troubles on one link: the later one lasts.
                if lasting.iter().find(same).is_none() {
                    sim.release(name(host), verifier::NAME);
                    sim.repair(name(host), verifier::NAME);
                }
            }
            Trouble::Slow { host, .. } => {
                let usual = Duration::from_millis(100);
                sim.set_link_max_message_latency(name(host), verifier::NAME, usual);
            }
            Trouble::HostClock { host, .. } => {
                if let Some(host) = self.hosts.get(host) {
                    host.clocks.set_wrong(0);
                }
            }
            Trouble::VerifierClock { .. } => self.machine.clocks.set_wrong(0),
            _ => {}
        }
    }

    /// Everything works again, and measuring ends, so that what there is can drain.
    fn mend(&mut self, sim: &mut Sim<'_>, now: u64) {
        self.world.trace(now, "", "all is mended");
        self.machine.disk.set(None);
        for (n, host) in self.hosts.iter().enumerate() {
            if self.bug == Some(Bug::NoReceipt) && n == 0 {
                sim.partition_oneway(verifier::NAME, host.name.clone());
            }
            host.die_at.store(crate::agent::NEVER, Relaxed);
            host.stop.store(true, Relaxed);
        }
        if self.bug == Some(Bug::SetBack) {
            self.kill(sim, verifier::NAME, now);
        }
    }

    fn kill(&mut self, sim: &mut Sim<'_>, name: &str, until: u64) {
        if sim.is_host_running(name) {
            sim.crash(name);
            self.world.trace(millis(sim.elapsed()), name, "killed");
        }
        self.down.push((until, name.to_owned()));
    }

    /// Starts what has been down for long enough, and what ended by itself.
    fn restart(&mut self, sim: &mut Sim<'_>, now: u64) -> Result<(), Failed> {
        let names: Vec<String> = self.hosts.iter().map(|host| host.name.clone()).collect();
        for name in names.into_iter().chain([verifier::NAME.to_owned()]) {
            let done = self.world.seen().drained.contains_key(&name);
            if sim.is_host_running(&name[..]) || done {
                continue;
            }
            match self
                .down
                .iter()
                .map(|(until, down)| (*until, down == &name))
                .find(|(_, it)| *it)
            {
                Some((until, _)) if until > now => {}
                Some(_) => {
                    self.down.retain(|(_, down)| *down != name);
                    self.damage(&name)?;
                    if name == verifier::NAME {
                        self.machine.disk.set(None);
                    }
                    sim.bounce(&name[..]);
                }
                // It ended by itself just now.
                None => {
                    // One that cannot go on is not started for ever.
                    if self.world.seen().broken.len() < 8 {
                        self.down.push((now + 1_000, name));
                    }
                }
            }
        }
        Ok(())
    }

    /// What a deliberate bug does to a machine that is down.
    fn damage(&self, name: &str) -> Result<(), Failed> {
        let host = self.hosts.iter().find(|host| host.name == name);
        match (self.bug, host) {
            (Some(Bug::LyingDisk), Some(host)) => unsync(host)?,
            (Some(Bug::LostSpool), Some(host)) => fs::remove_dir_all(host.data().spool())?,
            (Some(Bug::SetBack), None) if self.world.of(OLD).exists() => {
                fs::remove_dir_all(self.world.of(verifier::NAME))?;
                fs::rename(self.world.of(OLD), self.world.of(verifier::NAME))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes what hosts were told and what was published.
    fn look(&mut self, at_ms: u64) {
        for (host, told) in self.hosts.iter().zip(&mut self.told) {
            let Some(cursor) = host.cursor() else {
                continue;
            };
            let now = Some((cursor.sequence, cursor.index));
            let mut seen = self.world.seen();
            if *told != now {
                *told = now;
                let (last, index) = (cursor.sequence, cursor.index);
                let mut cursor = cursor;
                if self.bug == Some(Bug::FalseReceipt) && host.name == "gpu-0" {
                    cursor.index = cursor.index.saturating_sub(1);
                }
                seen.told.push((host.name.clone(), cursor));
                drop(seen);
                let what = format!("told of {last} at index {index}");
                self.world.trace(at_ms, &host.name, &what);
            }
        }
        let published = self.world.of(verifier::NAME).join("log/public/checkpoint");
        if let Ok(note) = fs::read_to_string(published) {
            let mut seen = self.world.seen();
            if seen.published.last() != Some(&note) {
                seen.published.push(note);
            }
        }
    }

    fn waiting(&self) -> Vec<&Host> {
        let drained: BTreeSet<String> = self.world.seen().drained.keys().cloned().collect();
        let left = self
            .hosts
            .iter()
            .filter(|host| !drained.contains(&host.name));
        left.map(|host| &**host).collect()
    }

    fn sealed(&self, host: &Host) -> u64 {
        let seen = self.world.seen();
        let last = seen.sealed.get(&host.name).and_then(|all| all.last());
        last.map_or(0, |last| last.sequence)
    }
}

/// The last segment of a host's spool.
fn last_segment(host: &Host) -> Option<PathBuf> {
    let files = fs::read_dir(host.data().spool()).ok()?;
    let segments = files.flatten().map(|file| file.path());
    segments
        .filter(|path| path.extension().is_some_and(|kind| kind == "spool"))
        .max()
}

/// Takes the last append off the spool, as a disk does that did not sync.
fn unsync(host: &Host) -> Result<(), Failed> {
    if let Some(path) = last_segment(host) {
        let mut bytes = fs::read(&path)?;
        if let Some(last) = bytes.windows(4).rposition(|window| window == b"AFFR") {
            bytes.truncate(last);
            fs::write(path, bytes)?;
        }
    }
    Ok(())
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Leaves the beginning of an append that never returned at the end of the spool.
fn tear(host: &Host) -> Result<(), Failed> {
    if let Some(last) = last_segment(host) {
        let mut bytes = fs::read(&last)?;
        // The first 60 bytes of a frame, all of which are longer; its segment begins with 16.
        let beginning = bytes.get(16..76).unwrap_or_default().to_vec();
        bytes.extend(beginning);
        fs::write(last, bytes)?;
    }
    Ok(())
}
