//! A log behind HTTP: its records and findings are shown as from a directory, and each thing that can be
//! wrong with a server is told as what it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod desk;
mod stored;
#[path = "../../report/tests/support/mod.rs"]
mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    thread,
};

use affiant_report::Scope;
use desk::{Desk, run, text};
use stored::{Files, export, files};

const TOKEN: &str = "opensesame";

/// Serves files to who shows the token, or one status to everybody, until the process ends; gives the URL.
fn serve(files: Files, always: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let files = files.clone();
            thread::spawn(move || answer(&stream.unwrap(), &files, always));
        }
    });
    at
}

/// Answers requests on one connection until it ends.
fn answer(mut stream: &TcpStream, files: &Files, always: Option<&str>) {
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(request)) = lines.next() {
        let path = request
            .split(' ')
            .nth(1)
            .unwrap()
            .trim_start_matches('/')
            .to_owned();
        let head: Vec<String> = lines
            .by_ref()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        let bearer = format!("authorization: Bearer {TOKEN}");
        let known = head.iter().any(|line| line.eq_ignore_ascii_case(&bearer));
        let (status, body) = match (always, known, files.get(&path)) {
            (Some(always), ..) => (always, &[][..]),
            (None, false, _) => ("401 Unauthorized", &[][..]),
            (None, true, Some(body)) => ("200 OK", body.as_slice()),
            (None, true, None) => ("404 Not Found", &[][..]),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
        if stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body))
            .is_err()
        {
            return;
        }
    }
}

#[test]
fn records_and_findings_are_shown_from_a_url_as_from_a_directory() {
    let (mut world, period) = support::broken();
    let ids = world.deal(period);
    let desk = Desk::of((world, period), Scope::All);
    let log = export(&files(&desk.world));
    desk::write(&desk.path("log"), &log);
    let (here, there) = (desk.path("log"), serve(log, None));
    let token = desk.path("token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let trust = desk.path("trust");
    for (command, which) in [("record", "9"), ("explain", &ids[0][..8])] {
        let flags = [which, "--trust", text(&trust)];
        let local = run(&[&[command, text(&here)], &flags[..]].concat());
        let token = ["--token-file", text(&token)];
        let remote = run(&[&[command, &there], &flags[..], &token].concat());
        assert_eq!(local, remote, "{command}");
        assert!(local.1.contains("verdict "), "{}{}", local.1, local.2);
        // With no token nothing is shown, and it is said what is missing.
        let (code, out, errors) = run(&[&[command, &there], &flags[..]].concat());
        assert_eq!((code, out.as_str()), (74, ""));
        assert!(errors.contains("--token-file"), "{errors}");
        assert!(!errors.contains("disk"), "{errors}");
    }
}

#[test]
fn what_a_server_says_and_that_none_answers_are_no_faults_of_a_disk() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let busy = serve(Files::new(), Some("503 Service Unavailable"));
    for (url, why) in [(&gone, "can be reached"), (&busy, "the server says 503")] {
        for more in [&["log"][..], &["record", "1"], &["explain", "00000000"]] {
            let flags = [&[more[0], url.as_str()], &more[1..]].concat();
            let (code, _, errors) = run(&flags);
            assert_eq!(code, 74, "{errors}");
            assert!(errors.contains(why) && !errors.contains("disk"), "{errors}");
        }
    }
}
