//! Planned pauses, from the command to the verdict, and the hook for a driver upgrade.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use affiant_proto::{
    Body, Envelope,
    v1::{self, LineKind, Reason},
};
use affiant_tests::{Agent, Deployment, binary, machine::fleet, until};
use prost::Message as _;

/// Longest that a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(60);

/// Milliseconds between two samples.
const PERIOD: u32 = 100;

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A running agent on a machine of two idle devices, which it has read.
fn observed(deployment: &Deployment) -> Agent {
    let machine = fleet(deployment.root(), 2);
    let mut agent = Agent::on_fleet(deployment, "gpu-1", &machine, 1, PERIOD);
    agent.start();
    until_observed(&agent);
    agent
}

fn until_observed(agent: &Agent) {
    until("observed devices and a connection", LIMIT, || {
        agent.run(&["status"]).status.success().then_some(())?;
        let told = agent.json(&["status"]);
        (told["pause"].is_null() && told["devices"][1]["not_observed"].is_null()).then_some(())
    });
}

/// Waits until `more` further records are in the log.
fn until_included(agent: &Agent, more: u64) {
    let included = || agent.json(&["status"])["included"]["sequence"].as_u64();
    let before = included().unwrap_or(0);
    until("further records", LIMIT, || {
        (included()? >= before + more).then_some(())
    });
}

/// Device time of the log by kind and reason, from the first idle line on. The verifier must be
/// stopped.
fn lines(deployment: &Deployment) -> BTreeMap<(LineKind, Reason), u64> {
    let mut sums = BTreeMap::new();
    for bytes in deployment.log_entries() {
        let envelope = Envelope::parse(&bytes).unwrap();
        let (Body::Usage(_), Some(tree)) = (envelope.statement().body(), envelope.tree()) else {
            continue;
        };
        for leaf in &tree.leaves()[1..] {
            let line = v1::UsageLine::decode(leaf.as_slice()).unwrap();
            if line.kind() == LineKind::Idle || !sums.is_empty() {
                *sums.entry((line.kind(), line.reason())).or_default() += line.time_ms;
            }
        }
    }
    sums
}

#[test]
fn a_planned_pause_leaves_no_reader_survives_a_kill_and_is_no_gap() {
    let mut deployment = Deployment::new();
    let mut agent = observed(&deployment);
    until_included(&agent, 2);
    assert_eq!(agent.children().len(), 1, "the reader");
    let before = now_ms();
    let paused = agent.run(&["pause", "--for", "20m", "--reason", "driver-upgrade"]);
    assert!(
        paused.status.success(),
        "{}",
        String::from_utf8_lossy(&paused.stderr)
    );
    let held = agent.children();
    let began = now_ms();
    assert_eq!(held, Vec::<u32>::new(), "nothing has the driver open");
    until_included(&agent, 3);
    agent.kill();
    agent.start();
    until_included(&agent, 3);
    assert_eq!(agent.json(&["status"])["pause"]["reason"], "driver-upgrade");
    assert_eq!(agent.children(), Vec::<u32>::new(), "none is started");
    let ended = now_ms();
    assert!(agent.run(&["pause", "--end"]).status.success());
    until_observed(&agent);
    let after = now_ms();
    until_included(&agent, 3);
    let findings = deployment.findings();
    let gap = findings.iter().find(|(rule, ..)| rule == "USAGE_GAP");
    assert_eq!(gap, None, "{findings:?}");
    agent.stop();
    deployment.stop();

    let lines = lines(&deployment);
    let (mut planned, mut other) = (0, BTreeMap::new());
    for ((kind, reason), ms) in lines {
        match (kind, reason) {
            (LineKind::NotObserved, Reason::DriverUpgrade) => planned = ms / 2,
            (LineKind::Idle, Reason::Unspecified) => {}
            rest => drop(other.insert(rest, ms)),
        }
    }
    assert_eq!(other, BTreeMap::new(), "no other silence, and nobody's use");
    let slack = 4 * u64::from(PERIOD);
    let (least, most) = (ended - began, after - before);
    assert!(
        (least.saturating_sub(slack)..=most + slack).contains(&planned),
        "{planned} ms of a pause of {least} to {most} ms"
    );
}

/// A machine that is busy with other tests makes no host silent: that is not what is looked for.
const PATIENT: &str = "gap_grace_ms = 3600000\nnot_observed_grace_ms = 3600000\n";

/// Dark time of all devices of the last report, by plan.
fn planned_dark(deployment: &Deployment) -> u64 {
    let report = fs::read(deployment.path("report/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let devices = report["devices"].as_array().unwrap();
    let dark = |device: &serde_json::Value| device["planned_dark_ms"].as_u64().unwrap();
    assert_eq!(devices.len(), 2);
    devices.iter().map(dark).sum()
}

/// One planned silence, to the auditor's verdict: clean and counted apart within the allowance, a
/// finding that names the reason beyond it.
fn audited(plan: &str, reason: Reason) {
    let judged = |allowance: u64| format!("{PATIENT}planned_ms_per_day = {allowance}\n");
    let mut deployment = Deployment::judged_by(&judged(3_600_000));
    let mut agent = observed(&deployment);
    until_included(&agent, 2);
    let kept = deployment.keep_checkpoint("kept");
    let paused = agent.run(&["pause", "--for", "20m", "--reason", plan]);
    assert!(paused.status.success(), "{plan}");
    until_included(&agent, 4);
    assert!(agent.run(&["pause", "--end"]).status.success());
    until_observed(&agent);
    until_included(&agent, 2);
    agent.stop();
    let told = deployment.audit(&kept);
    told.assert(0, "clean", "kept", &[]);
    let dark = planned_dark(&deployment);
    deployment.stop();
    let lines = lines(&deployment);
    let planned = lines.get(&(LineKind::NotObserved, reason));
    assert_eq!(planned, Some(&dark), "{plan}: {lines:?}");
    assert!(
        dark >= 2 * 2_000,
        "{plan}: two devices in at least two records"
    );

    fs::write(deployment.path("judge.toml"), judged(500)).unwrap();
    deployment.start();
    let told = deployment.audit(&kept);
    let rule = "PLANNED_SILENCE_EXCEEDED";
    told.assert(1, "findings", "kept", &[rule]);
    let details = told.said["findings"]["items"][0]["details"].to_string();
    let name = reason.as_str_name().trim_start_matches("REASON_");
    assert!(details.contains(&format!("({name})")), "{details}");
    assert_eq!(planned_dark(&deployment), dark, "still counted apart");
}

#[test]
fn an_auditor_finds_a_driver_upgrade_counted_apart_and_a_finding_beyond_the_allowance() {
    audited("driver-upgrade", Reason::DriverUpgrade);
}

#[test]
fn an_auditor_finds_a_change_of_mig_counted_apart_and_a_finding_beyond_the_allowance() {
    audited("mig", Reason::Mig);
}

#[test]
fn an_auditor_finds_a_return_to_the_maker_counted_apart_and_a_finding_beyond_the_allowance() {
    audited("rma", Reason::Rma);
}

#[test]
fn an_auditor_finds_maintenance_counted_apart_and_a_finding_beyond_the_allowance() {
    audited("maintenance", Reason::Maintenance);
}

#[test]
fn sigterm_ends_a_paused_agent_within_five_seconds_and_a_start_goes_on_with_the_pause() {
    let deployment = Deployment::new();
    let mut agent = observed(&deployment);
    assert!(
        agent
            .run(&["pause", "--for", "1h", "--reason", "rma"])
            .status
            .success()
    );
    let took = agent.stop();
    assert!(took < Duration::from_secs(5), "{took:?}");
    agent.start();
    until("the pause", LIMIT, || {
        let told = agent.json(&["status"]);
        let devices = told["devices"].as_array()?;
        let rma = |device: &serde_json::Value| device["not_observed"] == "REASON_RMA";
        (devices.len() == 2 && devices.iter().all(rma)).then_some(())
    });
    assert_eq!(agent.children(), Vec::<u32>::new());
    agent.stop();
}

/// Runs the hook for a driver upgrade with this command; what it asks of systemctl goes to a file.
fn upgrade(agent: &Agent, dir: &Path, more: &[(&str, &str)], command: &[&str]) -> Output {
    let stub = dir.join("bin/systemctl");
    fs::create_dir_all(dir.join("bin")).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {:?}\ncase $* in *is-active*absent*) exit 3 ;; esac\n",
        dir.join("asked")
    );
    fs::write(&stub, script).unwrap();
    fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/hooks/driver-upgrade.sh");
    let path = std::env::var("PATH").unwrap();
    Command::new("sh")
        .arg(hook)
        .args(command)
        .env("PATH", format!("{}:{path}", dir.join("bin").display()))
        .env("AFFIANT_AGENT", binary("affiant-agent"))
        .env("AFFIANT_CONFIG", agent.config())
        .env("AFFIANT_SERVICES", "holder absent")
        .env("AFFIANT_DEVICES", dir.join("device*"))
        .envs(more.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn a_driver_upgrade_runs_while_nothing_is_held_and_all_comes_back_whether_it_went_well_or_not() {
    let deployment = Deployment::new();
    let mut agent = observed(&deployment);
    let dir = deployment.path("upgrade");
    fs::create_dir(&dir).unwrap();
    let look = format!(
        "{:?} status --json --config {:?} > {:?}",
        binary("affiant-agent"),
        agent.config(),
        dir.join("meanwhile")
    );
    let out = upgrade(&agent, &dir, &[], &["sh", "-c", &look]);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let meanwhile = fs::read(dir.join("meanwhile")).unwrap();
    let meanwhile: serde_json::Value = serde_json::from_slice(&meanwhile).unwrap();
    assert_eq!(meanwhile["pause"]["reason"], "driver-upgrade");
    assert_eq!(
        fs::read_to_string(dir.join("asked")).unwrap(),
        "--quiet is-active holder\nstop holder\n--quiet is-active absent\nstart holder\n"
    );
    until_observed(&agent);

    let failed = upgrade(&agent, &dir, &[], &["sh", "-c", "exit 9"]);
    assert_eq!(failed.status.code(), Some(9));
    until_observed(&agent);

    // Somebody else has a device open.
    let device = fs::File::create(dir.join("device0")).unwrap();
    let touched = dir.join("touched");
    let used = upgrade(&agent, &dir, &[], &["touch", touched.to_str().unwrap()]);
    assert_eq!(used.status.code(), Some(75));
    let told = String::from_utf8(used.stderr).unwrap();
    assert!(
        told.contains(&format!("({})", std::process::id())),
        "{told}"
    );
    assert!(!touched.exists(), "nothing was upgraded");
    drop(device);
    until_observed(&agent);

    // A reboot follows.
    let out = upgrade(&agent, &dir, &[("AFFIANT_PAUSE", "2h")], &["-r", "true"]);
    assert!(out.status.success());
    assert_eq!(agent.json(&["status"])["pause"]["reason"], "driver-upgrade");
    assert!(agent.run(&["pause", "--end"]).status.success());

    // Without an agent nothing is touched at all.
    agent.stop();
    let out = upgrade(&agent, &dir, &[], &["touch", touched.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(3));
    assert!(!touched.exists());
}
