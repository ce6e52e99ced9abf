//! What receivers are promised.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use affiant_judge::{
    Finding, Known, Rule, Severity,
    findings::Evidence,
    handling::{Handling, State},
};
use ring::hmac;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::{
    Standings,
    body::{LogName, event, event_id},
    courier::Courier,
    kept::{Found, KEPT_MS, Kept},
    receiver::{Kind, Receiver},
    shape::{Event, Shape},
    snapshot::Snapshot,
};
use crate::{clock::Clock, outgoing::Place};

/// Some hours after 1970 began for the second time.
const NOW: u64 = 1_800_000_000_000;

const LIMIT: Duration = Duration::from_secs(60);

fn finding(id: &str, open: bool, logged_ms: u64) -> Finding {
    Finding {
        id: id.into(),
        rule: Rule::UseUnvetted,
        severity: Severity::High,
        policy: None,
        pack: None,
        shadow: false,
        title: format!("tenant {id} used devices without an approval"),
        tenant: Some(id.into()),
        tenants: Vec::new(),
        host: None,
        chain: None,
        device: None,
        opened_unix_ms: logged_ms,
        last_unix_ms: logged_ms,
        open,
        known: Known::Then,
        rules_version: "4".into(),
        details: Vec::new(),
        hosts: Vec::new(),
        classes: Vec::new(),
        evidence: Evidence {
            first_index: 7,
            last_index: 9,
            count: 3,
            indices: vec![7, 8, 9],
            logged_first_unix_ms: logged_ms,
            logged_last_unix_ms: logged_ms,
        },
        handling: None,
    }
}

fn handled(mut finding: Finding, state: State, index: u64) -> Finding {
    finding.handling = Some(Handling {
        state,
        officer: "5a".repeat(32),
        reason: "ticket 88".into(),
        index,
        logged_unix_ms: finding.evidence.logged_last_unix_ms + 1,
        overtaken: finding.evidence.last_index > index,
        signed: Vec::new(),
    });
    finding
}

fn log() -> LogName {
    LogName {
        origin: "test.example/affiant/1".into(),
        genesis: "00".repeat(32),
    }
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> (Kept, Found) {
        self.at(false, NOW)
    }

    fn at(&self, lost: bool, now_ms: u64) -> (Kept, Found) {
        Kept::open(&self.0.path().join("ops.told"), lost, now_ms).unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.0.path().join("ops.told")).unwrap()
    }

    fn add(&self, text: &str) {
        let path = self.0.path().join("ops.told");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

/// Tells a receiver the newest of a finding; gives what happened, or nothing.
fn tell(kept: &mut Kept, finding: &Finding) -> Vec<Event> {
    let Some(due) = kept.due(finding) else {
        return Vec::new();
    };
    kept.took(&due, NOW).unwrap();
    due.events
}

#[test]
fn each_state_is_spelt_so_that_it_is_read_back() {
    let open = finding("a", true, NOW);
    let mut all = vec![open.clone(), finding("a", false, NOW)];
    for state in [
        State::Acknowledged,
        State::Resolved,
        State::WithdrawalAsked,
        State::Withdrawn,
    ] {
        all.push(handled(open.clone(), state, 3));
        all.push(handled(open.clone(), state, 30));
    }
    for finding in all {
        let shape = Shape::of(&finding);
        assert_eq!(Shape::parse(&shape.to_string()), Some(shape), "{shape}");
    }
    for bad in [
        "",
        "open",
        "ajar high",
        "open grave",
        "open high x 1",
        "open high resolved",
        "open high resolved 1 x",
    ] {
        assert_eq!(Shape::parse(bad), None, "{bad}");
    }
}

#[test]
fn evidence_that_only_extends_a_finding_is_no_event_and_every_other_change_is_one() {
    let folder = Folder::new();
    let (mut kept, _) = folder.open();
    let mut it = finding("a", true, NOW + 1);
    assert_eq!(tell(&mut kept, &it), [Event::Opened]);
    it.evidence.last_index += 1;
    it.evidence.logged_last_unix_ms += 10_000;
    assert_eq!(tell(&mut kept, &it), []);
    it.severity = Severity::Critical;
    assert_eq!(tell(&mut kept, &it), [Event::Changed]);
    let it = handled(it, State::Acknowledged, 40);
    assert_eq!(tell(&mut kept, &it), [Event::Handled]);
    let mut more = it.clone();
    more.handling.as_mut().unwrap().overtaken = true;
    assert_eq!(tell(&mut kept, &more), [], "somebody is at it still");
    more.open = false;
    assert_eq!(tell(&mut kept, &more), [Event::Closed]);
    more.open = true;
    assert_eq!(tell(&mut kept, &more), [Event::Opened], "again");
}

#[test]
fn what_an_outage_missed_comes_as_the_newest_state() {
    let folder = Folder::new();
    let (mut kept, _) = folder.open();
    tell(&mut kept, &finding("a", true, NOW + 1));
    let mut ended = handled(finding("a", false, NOW + 9), State::Resolved, 40);
    ended.severity = Severity::Critical;
    let all = [Event::Closed, Event::Handled, Event::Changed];
    assert_eq!(tell(&mut kept, &ended), all);
    // Begun and ended between two tries: it is told, as ended.
    let missed = finding("b", false, NOW + 5);
    assert_eq!(tell(&mut kept, &missed), [Event::Closed]);
}

#[test]
fn a_new_receiver_is_told_what_is_open_and_not_the_history() {
    let folder = Folder::new();
    let (kept, found) = folder.open();
    assert_eq!(found, Found::New);
    assert!(kept.due(&finding("a", true, NOW - 5)).is_some(), "open");
    assert!(kept.due(&finding("b", false, NOW)).is_none(), "history");
    let settled = handled(finding("c", true, NOW - 9), State::Resolved, 40);
    assert!(kept.due(&settled).is_none(), "settled before");
    let mut since = settled.clone();
    since.handling.as_mut().unwrap().overtaken = true;
    since.evidence.logged_last_unix_ms = NOW + 1;
    assert!(kept.due(&since).is_some(), "evidence came after that");
    let later = handled(finding("b", false, NOW), State::Withdrawn, 40);
    assert!(
        kept.due(&later).is_some(),
        "what is done about it later is no history"
    );
}

#[test]
fn a_restart_tells_nothing_twice_but_what_a_crash_cut_off() {
    let folder = Folder::new();
    let (mut kept, _) = folder.open();
    let (a, b) = (finding("a", true, NOW + 1), finding("b", true, NOW + 1));
    tell(&mut kept, &a);
    let before = kept.due(&b).unwrap();
    tell(&mut kept, &b);
    drop(kept);
    let text = folder.text();
    let (kept, found) = folder.open();
    assert_eq!(found, Found::Whole);
    assert!(kept.due(&a).is_none() && kept.due(&b).is_none());
    drop(kept);
    let torn = text.trim_end().strip_suffix("gh").unwrap();
    fs::write(folder.0.path().join("ops.told"), torn).unwrap();
    let (kept, found) = folder.open();
    assert_eq!(found, Found::Whole);
    assert!(kept.due(&a).is_none());
    let again = kept.due(&b).unwrap();
    assert_eq!(
        event_id(&log(), &again),
        event_id(&log(), &before),
        "under its name"
    );
}

#[test]
fn what_is_lost_is_sent_again_and_nothing_is_missing() {
    let folder = Folder::new();
    let (mut kept, _) = folder.open();
    tell(&mut kept, &finding("a", true, NOW + 1));
    drop(kept);
    let ended = finding("a", false, NOW + 1);
    folder.add("scribble\n");
    let (kept, found) = folder.at(false, NOW + 10);
    assert_eq!(found, Found::Lost);
    assert_eq!(kept.due(&ended).unwrap().events, [Event::Closed]);
    assert!(
        kept.due(&finding("b", false, NOW + 9 - KEPT_MS)).is_none(),
        "too old"
    );
    // The same where the directory is gone with it.
    let fresh = Folder::new();
    let (kept, found) = fresh.at(true, NOW + 10);
    assert_eq!(found, Found::Lost);
    assert!(kept.due(&ended).is_some());
}

#[test]
fn an_event_has_one_name_and_no_other_event_has_it() {
    let folder = Folder::new();
    let (mut kept, _) = folder.open();
    let mut names = BTreeSet::new();
    let (open, ended) = (finding("a", true, NOW + 1), finding("a", false, NOW + 1));
    for it in [&open, &ended, &open, &ended] {
        let due = kept.due(it).unwrap();
        assert_eq!(
            event_id(&log(), &due),
            event_id(&log(), &kept.due(it).unwrap())
        );
        assert!(names.insert(event_id(&log(), &due)), "{due:?}");
        kept.took(&due, NOW).unwrap();
    }
    let other = LogName {
        genesis: "11".repeat(32),
        ..log()
    };
    let due = kept.due(&open).unwrap();
    assert_ne!(event_id(&log(), &due), event_id(&other, &due));
}

#[test]
fn a_finding_that_is_no_more_is_told_once() {
    let folder = Folder::new();
    let (mut kept, _) = folder.open();
    tell(&mut kept, &finding("a", true, NOW + 1));
    tell(&mut kept, &finding("b", false, NOW + 1));
    let gone: Vec<_> = kept.gone(|_| false).collect();
    assert_eq!(gone.len(), 1, "what ended may be forgotten");
    assert_eq!(gone[0].events, [Event::Gone]);
    let told = event(&log(), &gone[0], &Snapshot::default());
    assert_eq!(
        (&told["event"], &told["finding"]["id"]),
        (&"gone".into(), &"a".into())
    );
    kept.took(&gone[0], NOW).unwrap();
    assert_eq!(kept.gone(|_| false).count(), 0);
    drop(kept);
    assert_eq!(folder.open().0.gone(|_| false).count(), 0);
}

#[test]
fn what_is_kept_is_bounded_by_thirty_days_and_by_the_findings_there_are() {
    let folder = Folder::new();
    let (mut kept, _) = folder.open();
    let mut it = finding("a", true, NOW + 1);
    for turn in 0..5_000_u64 {
        it.open = turn % 2 == 0;
        tell(&mut kept, &it);
    }
    assert!(folder.text().lines().count() < 1_100, "one finding");
    tell(&mut kept, &finding("old", false, NOW + 2));
    drop(kept);
    let (kept, _) = folder.at(false, NOW + 3 + KEPT_MS);
    assert_eq!(folder.text().lines().count(), 1, "{}", folder.text());
    assert!(
        kept.due(&finding("old", false, NOW + 2)).is_none(),
        "and is history"
    );
}

#[test]
fn what_is_tried_in_shadow_and_what_ended_long_ago_is_in_no_snapshot() {
    let mut shadow = finding("shadow", true, NOW);
    shadow.shadow = true;
    let all = vec![
        shadow,
        finding("old", false, NOW - KEPT_MS),
        finding("long", true, NOW - KEPT_MS),
        finding("ended", false, NOW - KEPT_MS + 1),
    ];
    let snapshot = Snapshot::new(all, NOW, 10);
    let ids: Vec<&str> = snapshot.findings().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["ended", "long"]);
}

// ---- over a socket ----

/// One request as it came: head and body.
type Heard = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A receiver that gives each answer once, and the last one from then on.
async fn listening(answers: Vec<&'static str>) -> (Place, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let heard = Heard::default();
    let told = heard.clone();
    tokio::spawn(async move {
        let mut answers = answers.into_iter().peekable();
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            let (head, body) = loop {
                let mut part = [0; 4_096];
                let read = socket.read(&mut part).await.unwrap_or(0);
                bytes.extend_from_slice(&part[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, _)) = text.split_once("\r\n\r\n") {
                    let length = head
                        .lines()
                        .find_map(|l| l.strip_prefix("content-length: "));
                    let length: usize = length.unwrap().parse().unwrap();
                    let from = head.len() + 4;
                    if bytes.len() >= from + length {
                        break (head.to_owned(), bytes[from..from + length].to_vec());
                    }
                }
                assert!(read > 0, "{text}");
            };
            let answer = match answers.len() {
                1 => *answers.peek().unwrap(),
                _ => answers.next().unwrap(),
            };
            told.lock().unwrap().push((head, body));
            let line = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            let _ = socket.write_all(line.as_bytes()).await;
        }
    });
    (Place::parse(&url, None).unwrap(), heard)
}

struct Running {
    folder: Folder,
    receiver: Receiver,
    standings: Standings,
    show: watch::Sender<Arc<Snapshot>>,
    stop: CancellationToken,
}

impl Running {
    async fn start(kind: Kind, place: Place, findings: Vec<Finding>) -> Self {
        let (show, _) = watch::channel(Arc::new(Snapshot::new(findings, NOW, 10)));
        let made = Self {
            folder: Folder::new(),
            receiver: Receiver {
                name: "ops".into(),
                kind,
                place,
                token_file: None,
                secret_file: None,
                least: Severity::Medium,
            },
            standings: Standings::default(),
            show,
            stop: CancellationToken::new(),
        };
        made.standings.add(&made.receiver);
        made
    }

    fn run(self) -> Self {
        let courier = Courier::new(
            self.receiver.clone(),
            log(),
            self.folder.open().0,
            self.show.subscribe(),
            self.standings.clone(),
            Clock::of(|| NOW),
        );
        tokio::spawn(courier.run(self.stop.clone()));
        self
    }

    fn show(&self, findings: Vec<Finding>) {
        let snapshot = Snapshot::new(findings, NOW + 10, 11);
        self.show.send_replace(Arc::new(snapshot));
    }

    async fn until(&self, what: &str, is: impl Fn(&super::Standing) -> bool) {
        let waited = async {
            while !is(&self.standings.all()["ops"]) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let done = tokio::time::timeout(LIMIT, waited).await;
        assert!(done.is_ok(), "{what}: {:?}", self.standings.all());
    }
}

fn events(heard: &Heard) -> Vec<(String, String)> {
    let heard = heard.lock().unwrap();
    let read = |(_, body): &(String, Vec<u8>)| {
        let body: Value = serde_json::from_slice(body).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&body["event"]), text(&body["finding"]["id"]))
    };
    heard.iter().map(read).collect()
}

#[tokio::test]
async fn a_receiver_that_fails_is_tried_again_and_gets_each_finding_in_its_newest_state() {
    let answers = vec!["500 Broken", "302 Found", "200 OK"];
    let (place, heard) = listening(answers).await;
    let (a, b) = (finding("a", true, NOW - 2), finding("b", true, NOW - 1));
    let mut low = finding("low", true, NOW);
    low.severity = Severity::Low;
    let all = vec![a.clone(), b, low];
    let running = Running::start(Kind::Webhook, place, all).await.run();
    running.until("an error", |it| it.error.is_some()).await;
    running.until("both", |it| it.taken == 2).await;
    let told = events(&heard);
    let opened = |id: &str| ("opened".to_owned(), id.to_owned());
    assert_eq!(told, [opened("a"), opened("a"), opened("a"), opened("b")]);
    assert_eq!(running.standings.all()["ops"].error, None);
    let ended = finding("a", false, NOW - 2);
    running.show(vec![ended, finding("b", true, NOW + 3)]);
    running.until("the end of one", |it| it.taken == 3).await;
    assert_eq!(events(&heard)[4], ("closed".into(), "a".into()));
    running.stop.cancel();
}

#[tokio::test]
async fn an_event_that_is_refused_by_itself_holds_no_other_up() {
    let (place, heard) = listening(vec!["400 Bad Request", "204 No Content"]).await;
    let all = vec![finding("a", true, NOW - 2), finding("b", true, NOW - 1)];
    let running = Running::start(Kind::Webhook, place, all).await.run();
    running.until("the other", |it| it.taken == 1).await;
    assert_eq!(events(&heard)[1].1, "b");
    let standing = &running.standings.all()["ops"];
    assert_eq!(standing.waiting, 1, "{standing:?}");
    running.stop.cancel();
}

#[tokio::test]
async fn a_body_is_signed_with_its_time_and_sent_with_the_token() {
    use std::os::unix::fs::PermissionsExt as _;
    let (place, heard) = listening(vec!["200 OK"]).await;
    let mut running = Running::start(Kind::Webhook, place, vec![finding("a", true, NOW)]).await;
    let secret = b"0123456789abcdef0123456789abcdef";
    for name in ["token", "secret"] {
        let path = running.folder.0.path().join(name);
        fs::write(&path, [&secret[..], b"\n"].concat()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    running.receiver.token_file = Some(running.folder.0.path().join("token"));
    running.receiver.secret_file = Some(running.folder.0.path().join("secret"));
    let running = running.run();
    running.until("it", |it| it.taken == 1).await;
    let (head, body) = heard.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
    let header = |name: &str| {
        let found = head
            .lines()
            .find_map(|l| l.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_else(|| panic!("{name}: {head}")).to_owned()
    };
    assert_eq!(
        header("authorization").as_bytes(),
        [&b"Bearer "[..], secret].concat()
    );
    assert_eq!(header("affiant-event"), "opened");
    assert_eq!(header("content-type"), "application/json");
    let time = header("affiant-timestamp");
    assert_eq!(time, (NOW / 1_000).to_string());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, &[time.as_bytes(), b".", &body].concat());
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(header("affiant-signature"), format!("v1={hex}"));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["event_id"], header("affiant-event-id"));
    assert_eq!(body["log"]["size"], 10);
    assert_eq!(body["finding"]["rule"], "USE_UNVETTED");
    running.stop.cancel();
}

#[tokio::test]
async fn alertmanager_gets_alerts_that_stand_and_their_end() {
    let (place, heard) = listening(vec!["200 OK"]).await;
    let all = vec![
        finding("a", true, NOW - 2),
        finding("b", true, NOW - 1),
        finding("history", false, NOW - 1),
    ];
    let running = Running::start(Kind::Alertmanager, place, all).await.run();
    running.until("both", |it| it.taken == 2).await;
    let resolved = handled(finding("b", true, NOW - 1), State::Resolved, 40);
    running.show(vec![finding("a", false, NOW - 2), resolved]);
    running.until("their ends", |it| it.taken == 4).await;
    let read = |(_, body): &(String, Vec<u8>)| serde_json::from_slice::<Value>(body).unwrap();
    let heard: Vec<Value> = heard.lock().unwrap().iter().map(read).collect();
    let first = heard[0].as_array().unwrap();
    assert_eq!(first.len(), 2, "{first:?}");
    assert_eq!(first[0]["labels"]["alertname"], "USE_UNVETTED");
    assert_eq!(first[0]["labels"]["finding"], "a");
    assert_eq!(first[0]["labels"]["tenant"], "a");
    assert_eq!(
        first[0]["endsAt"], "2027-01-15T08:05:00Z",
        "unless it is sent again"
    );
    let last = heard.last().unwrap().as_array().unwrap();
    assert_eq!(last.len(), 2);
    for alert in last {
        assert_eq!(alert["endsAt"], "2027-01-15T08:00:00Z", "{alert}");
    }
    assert_eq!(last[0]["labels"], first[0]["labels"], "the same alert");
    running.stop.cancel();
}

/// How many alerts each request had, and of which findings.
fn alerts(heard: &Heard) -> Vec<String> {
    let heard = heard.lock().unwrap();
    let read = |(_, body): &(String, Vec<u8>)| {
        let alerts: Vec<Value> = serde_json::from_slice(body).unwrap();
        let ids = alerts
            .iter()
            .map(|it| it["labels"]["finding"].as_str().unwrap());
        ids.collect::<Vec<_>>().join(" ")
    };
    heard.iter().map(read).collect()
}

#[tokio::test]
async fn an_alert_that_is_refused_holds_no_other_of_its_batch_up() {
    let answers = vec!["413 Payload Too Large", "400 Bad Request", "200 OK"];
    let (place, heard) = listening(answers).await;
    let all = vec![
        finding("a", true, NOW - 3),
        finding("b", true, NOW - 2),
        finding("c", true, NOW - 1),
    ];
    let running = Running::start(Kind::Alertmanager, place, all).await.run();
    running.until("the others", |it| it.taken == 2).await;
    let told = alerts(&heard);
    assert_eq!(told[..4], ["a b c", "a", "b", "c"]);
    let standing = &running.standings.all()["ops"];
    assert_eq!(standing.waiting, 1, "{standing:?}");
    running.stop.cancel();
}

#[tokio::test]
async fn an_alert_that_stands_and_is_refused_again_lets_no_other_end() {
    let answers = vec!["200 OK", "400 Bad Request", "400 Bad Request", "200 OK"];
    let (place, heard) = listening(answers).await;
    let all = vec![finding("a", true, NOW - 2), finding("b", true, NOW - 1)];
    let running = Running::start(Kind::Alertmanager, place, all).await.run();
    let told = async {
        while alerts(&heard).len() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(LIMIT, told).await;
    assert_eq!(alerts(&heard), ["a b", "a b", "a", "b"]);
    running.stop.cancel();
}
