use affiant_proto::v1::Reason;

use super::*;
use crate::{link::Link, pause::Plan, spool::Cursor};

const NOW: u64 = 1_800_000_000_000;
const MINUTE: u64 = 60_000;
const DAY: u64 = 86_400_000;

fn device(uuid: &str, not_observed: Option<Reason>) -> LiveDevice {
    LiveDevice {
        uuid: uuid.into(),
        model: "NVIDIA H100 80GB HBM3".into(),
        coverage: "COVERAGE_FULL".into(),
        not_observed: not_observed.map(|reason| reason.as_str_name().into()),
    }
}

/// A host on which all is well.
fn status() -> Status {
    let devices = vec![device("GPU-1", None), device("GPU-2", None)];
    Status {
        now_ms: NOW,
        host: "gpu-01.example.org".into(),
        site: "fra-2".into(),
        verifier: "https://verifier.example.org:7443".into(),
        chain: Some("5a".repeat(32)),
        agent: Agent::Running(Box::new(Live {
            version: "0.1.0".into(),
            pid: 4_711,
            started_unix_ms: NOW - 2 * DAY,
            link: Link::Connected {
                since_unix_ms: NOW - 90 * MINUTE,
            },
            sampled_unix_ms: Some(NOW - 400),
            fault: None,
            pause: None,
            devices: devices.clone(),
        })),
        certificate: Some((NOW + 10 * DAY, NOW + 20 * DAY)),
        spool: spool::Status {
            dropped: Vec::new(),
            bytes_waiting: 36 << 20,
            range: Some((84_000, 84_213)),
            bytes: 36 << 20,
            segments: 5,
            cursor: Some(Cursor {
                sequence: 84_212,
                index: 1_204_331,
                checkpoint: String::new(),
            }),
        },
        spool_limit: 1 << 30,
        oldest_waiting_ms: Some(NOW - 1_200),
        included_ms: Some(NOW - 11_200),
        bytes_per_day: Some(12 << 20),
        checkpoint: Some((1_204_332, NOW - 9_000)),
        halted: None,
        distrust: None,
        devices,
    }
}

fn live(status: &mut Status) -> &mut Live {
    match &mut status.agent {
        Agent::Running(live) => live,
        Agent::Stopped | Agent::Silent(_) => panic!("no agent"),
    }
}

/// Exit code and words of a status that is well but for this.
fn with(change: impl FnOnce(&mut Status)) -> (u8, String) {
    let mut status = status();
    change(&mut status);
    let health = Health::of(&status);
    (health.code(), health.attention.join("\n"))
}

#[test]
fn the_screen_of_a_host_on_which_all_is_well() {
    let due = "\
WELL

host          gpu-01.example.org, site fra-2
chain         5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
agent         version 0.1.0, process 4711, for 2 days 0 h
verifier      https://verifier.example.org:7443
connection    up for 1 h 30 min
certificate   20 days 0 h left, until 2027-02-04 08:00:00 UTC
pause         none
sealed        up to 84,213, kept from 84,000
included      up to 84,212, at index 1,204,331, sealed 11 s ago
waiting       1, the oldest for 1 s
spool         36.0 MiB of 1.0 GiB, 3 %; 82 more days fit
checkpoint    of 1,204,332 entries, told 9 s ago

GPU  MODEL                  COVERAGE  OBSERVED  UUID
0    NVIDIA H100 80GB HBM3  full      yes       GPU-1
1    NVIDIA H100 80GB HBM3  full      yes       GPU-2
";
    assert_eq!(status().to_string(), due);
    assert_eq!(with(|_| {}), (0, String::new()));
}

#[test]
fn a_connection_that_is_down_for_more_than_ten_minutes_calls_for_attention() {
    let lost = |minutes| Link::Lost {
        since_unix_ms: NOW - minutes * MINUTE,
        error: "connection refused".into(),
        retry_unix_ms: NOW + 5_000,
    };
    assert_eq!(with(|status| live(status).link = lost(10)).0, 0);
    let (code, words) = with(|status| live(status).link = lost(11));
    assert_eq!(code, 1);
    assert_eq!(words, "not connected for 11 min 0 s: connection refused");
    let since_unix_ms = NOW - 11 * MINUTE;
    let (code, _) = with(|status| live(status).link = Link::Connecting { since_unix_ms });
    assert_eq!(code, 1);
}

#[test]
fn a_certificate_calls_for_attention_when_its_renewal_is_late_or_it_is_over() {
    for (due, over, code) in [
        (NOW - DAY, NOW + 3 * DAY, 0),
        (NOW - DAY, NOW + 3 * DAY - 1, 1),
        // One that lives for hours, not yet due.
        (NOW + MINUTE, NOW + 60 * MINUTE, 0),
        (NOW - DAY, NOW, 1),
    ] {
        let told = with(|status| status.certificate = Some((due, over)));
        assert_eq!(told.0, code, "{told:?}");
    }
    let (code, words) = with(|status| status.certificate = None);
    assert_eq!(code, 1);
    assert!(words.contains("host approve"), "{words}");
}

#[test]
fn a_device_that_is_not_observed_calls_for_attention_unless_it_was_planned() {
    for (reason, code) in [
        (Reason::Unspecified, 1),
        (Reason::DriverHung, 1),
        (Reason::DeviceLost, 1),
        (Reason::DriverError, 1),
        (Reason::ReaderDied, 1),
        (Reason::Permission, 1),
        (Reason::DriverUpgrade, 0),
        (Reason::Mig, 0),
        (Reason::Rma, 0),
        (Reason::Maintenance, 0),
    ] {
        let told = with(|status| live(status).devices = vec![device("GPU-1", Some(reason))]);
        assert_eq!(told.0, code, "{told:?}");
    }
    let (code, words) = with(|status| live(status).devices.clear());
    assert_eq!(
        (code, words.as_str()),
        (1, "no device is known: the driver names none")
    );
    let (code, _) = with(|status| live(status).sampled_unix_ms = Some(NOW - 4 * MINUTE));
    assert_eq!(code, 1, "nobody asks the devices");
}

#[test]
fn a_spool_that_is_nearly_full_and_a_halt_call_for_attention() {
    assert_eq!(with(|status| status.spool.bytes = (1 << 30) / 10 * 8).0, 0);
    assert_eq!(
        with(|status| status.spool.bytes = (1 << 30) / 100 * 82).0,
        1
    );
    let (code, words) = with(|status| status.halted = Some("the log contradicts itself".into()));
    assert_eq!(code, 1);
    assert!(words.contains("the log contradicts itself"), "{words}");
}

#[test]
fn a_log_that_is_not_believed_calls_for_attention_at_once() {
    let (code, words) = with(|status| status.distrust = Some("LOG_WENT_BACK: 9 to 7".into()));
    assert_eq!(code, 1);
    assert!(words.contains("LOG_WENT_BACK: 9 to 7"), "{words}");
}

#[test]
fn without_an_agent_it_is_unknown_and_the_files_are_shown_all_the_same() {
    for (agent, words) in [
        (Agent::Stopped, "does not run"),
        (Agent::Silent("it hangs".into()), "does not answer"),
    ] {
        let mut status = status();
        status.agent = agent;
        let health = Health::of(&status);
        assert_eq!((health.code(), health.name()), (3, "unknown"));
        let screen = status.to_string();
        for part in [words, "82 more days fit", "GPU-2", "connection    –"] {
            assert!(screen.contains(part), "{part}: {screen}");
        }
        assert!(!screen.contains("yes"), "nothing is observed: {screen}");
    }
}

#[test]
fn a_pause_says_until_when_and_each_silent_device_says_why() {
    let mut status = status();
    let agent = live(&mut status);
    agent.pause = Some(LivePause {
        reason: Plan::DriverUpgrade,
        until_unix_ms: NOW + 20 * MINUTE,
    });
    status.devices = vec![device("GPU-1", Some(Reason::DriverUpgrade))];
    let screen = status.to_string();
    for part in [
        "driver-upgrade, 20 min 0 s left, until 2027-01-15 08:20:00 UTC",
        "no: driver upgrade",
    ] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert_eq!(status.to_json()["pause"]["reason"], "driver-upgrade");
}

#[test]
fn the_size_of_a_checkpoint_stands_in_the_second_line_of_its_note() {
    assert_eq!(size("log.example.org/1\n42\nroot\n"), Some(42));
    assert_eq!(size("nothing"), None);
}
