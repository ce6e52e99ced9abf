//! Pause and status of a running agent, through its commands.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod fake;

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use affiant_agent::{
    boot::{BOOT_ID, read_id},
    clock,
};
use fake::{Fake, Host, eventually, file};
use serde_json::Value;

fn enrolled(fake: &Fake) -> Host {
    let host = Host::new(fake);
    assert!(host.enroll().status.success());
    host
}

/// Runs a command that answers in JSON; gives its exit code too.
fn json(host: &Host, arguments: &[&str]) -> (Option<i32>, Value) {
    let out = host.run(&[arguments, &["--json"]].concat());
    let value = serde_json::from_slice(&out.stdout);
    let value = value.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)));
    (out.status.code(), value)
}

fn status(host: &Host) -> (Option<i32>, Value) {
    json(host, &["status"])
}

/// Puts a pause into the data directory that has `left_ms` to go.
fn lay_pause(host: &Host, left_ms: u64) {
    let now = clock::now();
    let text = serde_json::json!({
        "reason": "rma",
        "boot_id": read_id(BOOT_ID.as_ref()).unwrap(),
        "began_boot_ms": now.boot_ms.saturating_sub(60_000),
        "until_boot_ms": now.boot_ms + left_ms,
        "began_unix_ms": now.wall_ms - 60_000,
        "until_unix_ms": now.wall_ms + left_ms,
    });
    let path = host.path("data").join("pause");
    std::fs::write(&path, text.to_string()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_pause_is_ordered_shown_replaced_and_ended() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    let mut agent = host.start();
    eventually("all is well", || status(&host).0 == Some(0));
    let (code, paused) = json(
        &host,
        &["pause", "--for", "20m", "--reason", "driver-upgrade"],
    );
    assert_eq!(
        (code, &paused["reason"]),
        (Some(0), &"driver-upgrade".into())
    );
    let left = paused["until_unix_ms"].as_u64().unwrap() - clock::wall_ms();
    assert!((1_100_000..=1_200_000).contains(&left), "{left}");
    eventually("the devices are not observed", || {
        status(&host).1["devices"][0]["not_observed"] == "REASON_DRIVER_UPGRADE"
    });
    let (code, told) = status(&host);
    assert_eq!(code, Some(0), "a planned silence is well: {told}");
    assert_eq!(told["pause"]["reason"], "driver-upgrade");
    json(&host, &["pause", "--for", "60s", "--reason", "mig"]);
    assert_eq!(status(&host).1["pause"]["reason"], "mig");
    let (code, ended) = json(&host, &["pause", "--end"]);
    assert_eq!((code, &ended["reason"]), (Some(0), &"mig".into()));
    assert!(json(&host, &["pause", "--end"]).1["reason"].is_null());
    eventually("the devices are observed", || {
        status(&host).1["devices"][0]["not_observed"].is_null()
    });
    assert!(!host.path("data").join("pause").exists());
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
}

#[test]
fn a_pause_survives_a_kill_and_ends_by_itself() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    let mut agent = host.start();
    eventually("all is well", || status(&host).0 == Some(0));
    json(&host, &["pause", "--for", "1h", "--reason", "maintenance"]);
    agent.kill();
    let mut agent = host.start();
    eventually("the pause goes on", || {
        status(&host).1["devices"][0]["not_observed"] == "REASON_MAINTENANCE"
    });
    agent.kill();
    lay_pause(&host, 4_000);
    let mut agent = host.start();
    eventually("the agent runs, paused", || {
        status(&host).1["pause"]["reason"] == "rma"
    });
    eventually("the pause is over and the devices are observed", || {
        let (_, told) = status(&host);
        told["pause"].is_null() && told["devices"][0]["not_observed"].is_null()
    });
    assert!(!host.path("data").join("pause").exists());
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
}

#[test]
fn an_agent_ends_within_five_seconds_in_a_pause_too() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    lay_pause(&host, 600_000);
    let mut agent = host.start();
    eventually("the agent runs, paused", || {
        status(&host).1["pause"]["reason"] == "rma"
    });
    let (code, took) = agent.stop();
    assert_eq!(code, Some(0), "{}", agent.journal());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(host.path("data").join("pause").exists(), "it goes on");
}

#[test]
fn a_length_or_reason_that_is_none_is_misuse_and_without_an_agent_nothing_is_paused() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    for wrong in [
        &["pause"] as &[&str],
        &["pause", "--for", "20m"],
        &["pause", "--for", "59s", "--reason", "mig"],
        &["pause", "--for", "25h", "--reason", "mig"],
        &["pause", "--for", "20m", "--reason", "holiday"],
        &["pause", "--for", "20m", "--reason", "mig", "--end"],
    ] {
        assert_eq!(host.run(wrong).status.code(), Some(64), "{wrong:?}");
    }
    let none = host.run(&["pause", "--for", "20m", "--reason", "mig"]);
    assert_eq!(none.status.code(), Some(3));
    assert!(!host.path("data").join("pause").exists());
}

#[test]
fn status_tells_of_a_running_agent_a_stopped_one_and_one_that_is_cut_off() {
    let fake = Fake::start();
    let host = enrolled(&fake);
    let mut agent = host.start();
    eventually("records are in the log", || {
        let (code, told) = status(&host);
        code == Some(0) && told["included"]["sequence"].as_u64() > Some(2)
    });
    let (_, told) = status(&host);
    assert_eq!(told["link"]["state"], "connected");
    assert_eq!(told["devices"][0]["uuid"], "GPU-1");
    assert!(told["checkpoint"]["size"].as_u64() > Some(2));
    assert_eq!(
        told["chain"],
        affiant_proto::digest(&file(&host, "enrolment")).to_string()
    );
    drop(fake);
    eventually("the connection is lost", || {
        status(&host).1["link"]["state"] == "lost"
    });
    assert_eq!(agent.stop().0, Some(0), "{}", agent.journal());
    let (code, told) = status(&host);
    assert_eq!((code, &told["health"]), (Some(3), &"unknown".into()));
    assert_eq!(told["running"], false);
    assert_eq!(told["devices"][0]["uuid"], "GPU-1", "as it was known last");
    let screen = host.run(&["status"]);
    let screen = String::from_utf8(screen.stdout).unwrap();
    assert!(screen.starts_with("UNKNOWN\n"), "{screen}");
    println!("{screen}");
}
