//! Files that an auditor names: what is none is told at once, and nothing waits for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod desk;
mod stored;
#[path = "../../report/tests/support/mod.rs"]
mod support;

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
};

use affiant_report::Scope;
use desk::{Desk, run, text};

/// A pipe into which nobody writes, a device without end, a directory, and a file without end.
fn strange(desk: &Desk) -> Vec<PathBuf> {
    let (pipe, endless) = (desk.path("pipe"), desk.path("endless"));
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    File::create(&endless).unwrap().set_len(1 << 40).unwrap();
    fs::set_permissions(&endless, Permissions::from_mode(0o600)).unwrap();
    let folder = desk.path("folder");
    fs::create_dir(&folder).unwrap();
    vec![pipe, "/dev/zero".into(), folder, endless]
}

#[test]
fn a_named_file_that_is_a_pipe_a_device_a_directory_or_endless_is_refused_at_once() {
    let desk = Desk::new(Scope::All);
    desk::write(&desk.path("log"), &stored::files(&desk.world));
    let (report, log) = (desk.path("report"), desk.path("log"));
    let (report, log) = (text(&report), text(&log));
    for strange in strange(&desk) {
        let it = text(&strange);
        for arguments in [
            &["verify", report, "--trust", it][..],
            &["verify", report, "--since", it],
            &["log", log, "--trust", it],
            &["log", log, "--since", it],
            &["log", log, "--resume", it],
            &["record", log, "1", "--trust", it],
            &["explain", log, "00000000", "--trust", it],
            &["log", "http://127.0.0.1:9", "--token-file", it],
        ] {
            let (code, out, errors) = run(arguments);
            assert_eq!(code, 64, "{arguments:?}: {errors}");
            assert_eq!(out, "");
            let named = errors.contains(it);
            let why = errors.contains("not a plain file") || errors.contains("longer than");
            assert!(named && why, "{arguments:?}: {errors}");
        }
    }
}

#[test]
fn a_witness_waits_for_none_of_its_files_either() {
    let desk = Desk::new(Scope::All);
    let (key, state, out) = (desk.path("key"), desk.path("state"), desk.path("out"));
    let (key, state, out) = (text(&key), text(&state), text(&out));
    let made = run(&[
        "witness",
        "--init",
        "--name",
        "witness.example",
        "--key",
        key,
    ]);
    assert_eq!(made.0, 0, "{}", made.2);
    let log = desk.world.trust().log().to_string();
    let checkpoint = desk.path("report/checkpoint");
    let asked = text(&checkpoint);
    for strange in strange(&desk) {
        let it = text(&strange);
        for (key, state, logs, asked) in [
            (it, state, None, asked),
            (key, it, None, asked),
            (key, state, Some(it), asked),
            (key, state, None, it),
        ] {
            let mut flags = vec!["witness", "--key", key, "--state", state, "--log", &log];
            flags.extend(["--once", asked, "--out", out]);
            flags.extend(logs.into_iter().flat_map(|logs| ["--logs", logs]));
            let (code, _, errors) = run(&flags);
            assert!(code == 64 || code == 74, "{flags:?}: {code} {errors}");
            assert!(errors.contains(it), "{flags:?}: {errors}");
        }
    }
    assert!(!desk.path("out").exists());
    let flags = ["witness", "--key", key, "--state", state, "--log", &log];
    let (code, _, errors) = run(&[&flags[..], &["--once", asked, "--out", out]].concat());
    assert_eq!(code, 0, "nothing of it was spoilt: {errors}");
}

#[test]
fn a_token_that_others_can_read_is_shown_to_nobody() {
    let desk = Desk::new(Scope::All);
    let token = desk.path("token");
    fs::write(&token, "secret\n").unwrap();
    for (mode, exposed) in [(0o644, true), (0o640, true), (0o600, false)] {
        fs::set_permissions(&token, Permissions::from_mode(mode)).unwrap();
        for (command, more) in [
            ("log", None),
            ("record", Some("1")),
            ("explain", Some("00000000")),
        ] {
            let mut flags = vec![command, "http://127.0.0.1:9"];
            flags.extend(more);
            flags.extend(["--token-file", text(&token)]);
            let (code, _, errors) = run(&flags);
            assert_eq!(code, 74, "{errors}");
            assert_eq!(
                errors.contains("others can read"),
                exposed,
                "{mode:o}: {errors}"
            );
        }
    }
}

#[test]
fn what_is_none_of_its_files_is_not_written_over_by_a_resume() {
    let desk = Desk::new(Scope::All);
    desk::write(&desk.path("log"), &stored::files(&desk.world));
    let (log, diary) = (desk.path("log"), desk.path("diary"));
    for text_of in [&b"dear diary\n"[..], b"\xff\xfe\n"] {
        fs::write(&diary, text_of).unwrap();
        let (code, _, errors) = run(&["log", text(&log), "--resume", text(&diary)]);
        assert_eq!(code, 64, "{errors}");
        assert_eq!(fs::read(&diary).unwrap(), text_of);
    }
}
