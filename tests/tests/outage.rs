//! Eight days without a verifier: every agent comes back by itself, nothing is lost, and the
//! backlog of many does not keep waiting what another host says now.
//!
//! `AFFIANT_HOSTS` says how many agents have a backlog, each of 11,520 records; BENCH.md says how it
//! is run with 200, and what of its output is a figure there.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use affiant_agent::{
    certificate::HostCertificate, credential::Credential, data::DataDir, identity::Identity,
};
use affiant_proto::digest;
use affiant_tests::{
    Agent, Deployment,
    backlog::{self, Outage},
    until,
};
use affiant_verifier::{
    credentials::load_ca,
    data::DataDir as VerifierData,
    pki::{Ca, HostRequest, certificates_der},
};

const DAY_MS: u64 = 24 * 3_600_000;

/// Interval of the host that is well, seconds.
const LIVE: u32 = 5;

/// Longest that anything may take: a hundredth of the eight days, which is a little under two hours.
const LIMIT: Duration = Duration::from_secs(8 * 86_400 / 100);

fn hosts() -> usize {
    std::env::var("AFFIANT_HOSTS").map_or(2, |hosts| hosts.parse().unwrap())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Kilobytes of a process by this key of its status (`VmHWM`: the most that it ever had).
fn kilobytes(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    let digits = line.split_whitespace().nth(1).unwrap();
    digits.parse().unwrap()
}

fn included(deployment: &Deployment) -> Vec<(String, u64)> {
    let hosts = deployment.json(&["host", "list", "--json"]);
    let line = |line: &serde_json::Value| {
        let name = line["host"].as_str().unwrap().to_owned();
        (name, line["included_sequence"].as_u64().unwrap_or(0))
    };
    hosts.as_array().unwrap().iter().map(line).collect()
}

fn machine(dir: &Path) -> std::path::PathBuf {
    let text = format!(
        "driver_version = \"570.1\"\ncontrol = {:?}\nclock = \"file\"\n[[device]]\n\
         uuid = \"GPU-5a1d0000-0000-4000-8000-000000000001\"\nname = \"NVIDIA H100 80GB HBM3\"\n\
         pci_bus_id = \"00000000:01:00.0\"\npci_device_id = 0x233010DE\n\
         pci_subsystem_id = 0x16C110DE\nmemory_mib = 81559\n\
         load = [{{ at = 0, utilization = 0, watts = 70 }}]\n",
        dir.join("control")
    );
    let path = dir.join("fleet.toml");
    fs::write(&path, text).unwrap();
    path
}

/// The authority of a deployment.
fn authority(deployment: &Deployment) -> Ca {
    let data = VerifierData::at(&deployment.data());
    let certificates = fs::read_to_string(data.ca_certificate()).unwrap();
    let certificates = certificates_der(&certificates).unwrap();
    load_ca(&data, digest(&certificates[0])).unwrap()
}

/// Puts the certificate that the host had when the verifier went away in the place of its own: one
/// of a day, which ended a week ago.
fn expire(ca: &Ca, agent: &Agent, now_ms: u64) {
    let data = DataDir::at(agent.data());
    let credential = Credential::read(&data).unwrap().unwrap();
    let request = HostRequest::parse(&credential.key().request().unwrap()).unwrap();
    let chain = Identity::load(&data).unwrap().enrolment().digest();
    let day = Duration::from_millis(DAY_MS);
    let issued = ca.issue_host(&request, chain, day, now_ms - 8 * DAY_MS);
    let issued = issued.unwrap().iter().map(|der| der.to_vec()).collect();
    let expired = HostCertificate::from_der(issued).unwrap();
    expired.store(&data.certificates()).unwrap();
    let shown = Credential::read(&data).unwrap().unwrap();
    assert!(shown.certificate().not_after_ms() < now_ms - 6 * DAY_MS);
}

fn user() -> String {
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(name).unwrap().trim().to_owned()
}

#[test]
fn after_eight_days_without_a_verifier_all_come_back_and_nothing_is_lost() {
    let hosts = hosts();
    let mut deployment = Deployment::new();
    deployment.apply(&format!(
        "[[party]]\nid = \"someone\"\nnames = [\"Someone Ltd.\"]\nincorporation = \"GB\"\nheadquarters = \"GB\"\n\
         [[tenant]]\nid = \"someone\"\ncustomer = \"someone\"\nend_customer = \"someone\"\nultimate_parent = \"someone\"\n\
         [[binding]]\nid = \"by-user\"\ntenant = \"someone\"\nuser = \"{}\"\n",
        user(),
    ));
    let names: Vec<String> = (0..hosts).map(|n| format!("away-{n}")).collect();
    let enrol = |name: &String| Agent::on_trace(&deployment, name, "l4.jsonl", 60);
    let mut agents: Vec<Agent> = thread::scope(|scope| {
        let some = names.chunks(names.len().div_ceil(8));
        let threads: Vec<_> = some
            .map(|some| scope.spawn(move || some.iter().map(enrol).collect::<Vec<_>>()))
            .collect();
        let enrolled = threads.into_iter().map(|thread| thread.join().unwrap());
        enrolled.flatten().collect()
    });
    let mut live = Agent::on_fleet(
        &deployment,
        "live",
        &machine(deployment.root()),
        LIVE,
        1_000,
    );

    deployment.stay();
    deployment.stop();
    let outage = Outage {
        length_ms: 8 * DAY_MS,
        interval_ms: 60_000,
        end_unix_ms: now_ms(),
    };
    let ca = authority(&deployment);
    let seal = |agent: &Agent| {
        expire(&ca, agent, outage.end_unix_ms);
        backlog::seal(&agent.data(), outage)
    };
    let last: Vec<u64> = thread::scope(|scope| {
        let some = agents.chunks(agents.len().div_ceil(2));
        let threads: Vec<_> = some
            .map(|some| scope.spawn(move || some.iter().map(seal).collect::<Vec<_>>()))
            .collect();
        let sealed = threads.into_iter().map(|thread| thread.join().unwrap());
        sealed.flatten().collect()
    });

    deployment.start();
    live.start();
    until("the live host's first records", LIMIT, || {
        let all = included(&deployment);
        all.iter()
            .any(|(name, at)| name == "live" && *at >= 3)
            .then_some(())
    });
    let began = Instant::now();
    agents.iter_mut().for_each(Agent::start);
    until("the backlog to flow", LIMIT, || {
        let all = included(&deployment);
        all.iter()
            .any(|(name, at)| name != "live" && *at > 1_000)
            .then_some(())
    });
    let pid = std::process::id();
    let used = format!(
        "[[process]]\ndevice = 0\npid = {pid}\nmemory_mib = 4096\n\
         [[load]]\ndevice = 0\nutilization = 95\nwatts = 650\n"
    );
    fs::write(deployment.root().join("control.new"), used).unwrap();
    fs::rename(
        deployment.root().join("control.new"),
        deployment.root().join("control"),
    )
    .unwrap();
    let using = Instant::now();
    until("the live host's finding", LIMIT, || {
        let all = deployment.findings();
        all.iter()
            .any(|(rule, _, host)| rule == "USE_UNVETTED" && (host == "live" || host.is_empty()))
            .then_some(())
    });
    let found = using.elapsed();
    // What is still to come by then: with nothing left there would have been nothing to wait behind.
    let left: u64 = included(&deployment)
        .iter()
        .filter(|(name, _)| name != "live")
        .map(|(name, at)| last[names.iter().position(|n| n == name).unwrap()].saturating_sub(*at))
        .sum();
    assert!(left > 0, "the backlog was gone before the finding came");
    until("the backlog's end", LIMIT, || {
        let all = included(&deployment);
        let done =
            |(name, last): (&String, &u64)| all.iter().any(|(host, at)| host == name && at >= last);
        names.iter().zip(&last).all(done).then_some(())
    });
    let took = began.elapsed();
    let verifier = kilobytes(deployment.id(), "VmHWM") / 1_024;
    let agent = agents
        .iter()
        .map(|agent| kilobytes(agent.id(), "VmHWM") / 1_024)
        .max();
    let records: u64 = last.iter().sum();
    println!(
        "hosts {hosts}, statements {records}, drained in {:.1} s ({:.0} a second), verifier at most {verifier} MiB, \
         agent at most {} MiB; a finding of the live host came after {:.1} s, with {left} still to come",
        took.as_secs_f64(),
        records as f64 / took.as_secs_f64(),
        agent.unwrap(),
        found.as_secs_f64(),
    );
    assert!(
        found < Duration::from_secs(60 + 2 * u64::from(LIVE)),
        "the live host's finding came after {found:?}"
    );

    for agent in &mut agents {
        agent.stop();
    }
    live.stop();
    deployment.stop();
    // Reading it back holds every chain together: none has a hole.
    let log = deployment.read_log();
    let lines = log.hosts.lines();
    for (name, last) in names.iter().zip(&last) {
        let line = lines.iter().find(|line| line.host == *name).unwrap();
        assert!(
            line.included_sequence >= Some(*last),
            "{name}: {line:?}, sealed up to {last}"
        );
    }
}
