//! Findings are brought to receivers that fail, hang, redirect and then work; a receiver that is away
//! holds up neither the log nor the others.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use affiant_tests::{Deployment, Host, Outcome, until};
use ring::hmac;
use serde_json::Value;

/// Longest that a test waits for what must come: some ten tries.
const LIMIT: Duration = Duration::from_secs(120);

const SECRET: &[u8] = b"a secret of thirty-two bytes, ok";

/// What a receiver does with who asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Works,
    Fails,
    Redirects,
    /// Takes the request and never answers.
    Hangs,
}

/// One request: path, head and body.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    head: String,
    body: Vec<u8>,
    mood: Mood,
}

/// A receiver whose mood can be set.
struct Fake {
    port: u16,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    fn new(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let made = Self {
            port: listener.local_addr().unwrap().port(),
            mood: Arc::new(Mutex::new(mood)),
            asked: Arc::default(),
        };
        let (mood, asked) = (made.mood.clone(), made.asked.clone());
        thread::spawn(move || {
            let mut hung = Vec::new();
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let mood = *mood.lock().unwrap();
                let Some(request) = read(&mut socket, mood) else {
                    continue;
                };
                asked.lock().unwrap().push(request);
                let answer = match mood {
                    Mood::Works => "200 OK",
                    Mood::Fails => "503 Service Unavailable",
                    Mood::Redirects => "307 Temporary Redirect\r\nlocation: /elsewhere",
                    Mood::Hangs => {
                        hung.push(socket);
                        continue;
                    }
                };
                let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
                let _ = socket.write_all(answer.as_bytes());
            }
        });
        made
    }

    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until it was asked in this mood.
    fn asked_while(&self, mood: Mood) {
        until(&format!("a request while it {mood:?}"), LIMIT, || {
            let asked = self.asked();
            asked.iter().any(|it| it.mood == mood).then_some(())
        });
    }

    /// The events that it took about findings of a rule, as (event, event id, finding id).
    fn took(&self, rule: &str) -> Vec<(String, String, String)> {
        let asked = self.asked();
        let taken = asked.iter().filter(|it| it.mood == Mood::Works);
        let bodies = taken.map(|it| serde_json::from_slice::<Value>(&it.body).unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let of_rule = bodies.filter(|body| body["finding"]["rule"] == rule);
        let told = of_rule.map(|body| {
            let id = text(&body["finding"]["id"]);
            (text(&body["event"]), text(&body["event_id"]), id)
        });
        told.collect()
    }
}

fn read(socket: &mut TcpStream, mood: Mood) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4_096];
        let count = socket.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let Some(end) = bytes.windows(4).position(|at| at == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        if bytes.len() >= end + 4 + length {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let body = bytes[end + 4..].to_vec();
            return Some(Asked {
                path,
                head,
                body,
                mood,
            });
        }
    }
}

fn private(deployment: &Deployment, name: &str, text: &[u8]) -> String {
    let path = deployment.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Has a receiver and another one in the configuration, and one that nobody listens for.
fn configure(deployment: &Deployment, hook: &Fake, manager: &Fake) {
    let (secret, token) = (
        private(deployment, "hook.secret", SECRET),
        private(deployment, "hook.token", b"opensesame\n"),
    );
    deployment.configure(&format!(
        "[[deliver]]\nname = \"dead\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\n\
         [[deliver]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/in/\"\n\
         secret_file = {secret:?}\ntoken_file = {token:?}\n\
         [[deliver]]\nname = \"manager\"\nkind = \"alertmanager\"\n\
         url = \"http://127.0.0.1:{}/api/v2/alerts\"\nleast = \"high\"\n",
        hook.port, manager.port
    ));
}

fn standing(deployment: &Deployment, name: &str) -> Value {
    deployment.json(&["status", "--json"])["receivers"][name].clone()
}

fn act(deployment: &Deployment, what: &str, finding: &str) {
    let key = deployment.key("alice");
    let (key, reason) = (key.to_str().unwrap(), "ticket 88");
    deployment.succeed(&["findings", what, finding, "--key", key, "--reason", reason]);
}

async fn send(deployment: &Deployment, host: &mut Host) {
    let outcome = host.send(&deployment.address(), &deployment.ca()).await;
    assert_eq!(outcome, Outcome::Included);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_redirects_and_fails_gets_each_change_once_it_works() {
    const RULE: &str = "USE_UNATTRIBUTED";
    let mut deployment = Deployment::judged_by(
        "gap_grace_ms = 3600000\nnot_observed_grace_ms = 3600000\nepisode_gap_ms = 3600000\n",
    );
    let token = deployment.token("gpu-1", "1h");
    let mut host = Host::enrol("gpu-1", &deployment.address(), &deployment.ca(), &token)
        .await
        .unwrap();
    deployment.stop();
    let (hook, manager) = (Fake::new(Mood::Hangs), Fake::new(Mood::Works));
    configure(&deployment, &hook, &manager);
    let checked = deployment.succeed(&["check-config"]);
    assert!(checked.contains("hook http://127.0.0.1:"), "{checked}");
    deployment.start();

    // It hangs, and nobody else waits.
    host.seal_use("carol");
    send(&deployment, &mut host).await;
    hook.asked_while(Mood::Hangs);
    let begun = Instant::now();
    host.seal_use("carol");
    send(&deployment, &mut host).await;
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    until("an alert", LIMIT, || {
        (!manager.asked().is_empty()).then_some(())
    });
    let alerts: Value = serde_json::from_slice(&manager.asked()[0].body).unwrap();
    assert_eq!(alerts[0]["labels"]["alertname"], RULE);
    assert_eq!(manager.asked()[0].path, "/api/v2/alerts");

    hook.be(Mood::Redirects);
    hook.asked_while(Mood::Redirects);
    until("an error", LIMIT, || {
        let error = standing(&deployment, "hook")["error"].clone();
        error
            .as_str()?
            .contains("redirects are not followed")
            .then_some(())
    });
    hook.be(Mood::Fails);
    hook.asked_while(Mood::Fails);
    let waits = standing(&deployment, "hook");
    assert!(waits["waiting"].as_u64().unwrap() >= 1, "{waits}");
    assert!(waits["waiting_since_unix_ms"].is_u64(), "{waits}");
    let dead = standing(&deployment, "dead");
    assert!(
        dead["error"]
            .as_str()
            .unwrap()
            .contains("could not be reached"),
        "{dead}"
    );
    let screen = deployment.run(&["status"]);
    let screen = String::from_utf8(screen.stdout).unwrap();
    assert!(screen.contains("findings wait since"), "{screen}");

    hook.be(Mood::Works);
    let told = until("the finding", LIMIT, || {
        let told = hook.took(RULE);
        (!told.is_empty()).then_some(told)
    });
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "opened");
    let asked = hook.asked();
    assert!(
        asked.iter().all(|it| it.path == "/in/"),
        "no redirect was followed"
    );
    let it = asked.iter().find(|it| it.mood == Mood::Works).unwrap();
    assert!(
        it.head.contains("authorization: Bearer opensesame\r\n"),
        "{}",
        it.head
    );
    let header = |name: &str| {
        let line = it
            .head
            .lines()
            .find_map(|l| l.strip_prefix(&format!("{name}: ")));
        line.unwrap().to_owned()
    };
    let signed = [header("affiant-timestamp").as_bytes(), b".", &it.body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), &signed);
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(header("affiant-signature"), format!("v1={hex}"));

    // What an officer did comes next, and after a restart nothing comes again.
    let finding = told[0].2.clone();
    act(&deployment, "acknowledge", &finding);
    until("what was done", LIMIT, || {
        (hook.took(RULE).len() == 2).then_some(())
    });
    deployment.stop();
    deployment.start();
    act(&deployment, "resolve", &finding[..8]);
    until("what was done then", LIMIT, || {
        (hook.took(RULE).len() == 3).then_some(())
    });
    let told = hook.took(RULE);
    let events: Vec<&str> = told.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(events, ["opened", "handled", "handled"]);
    assert!(told.iter().all(|it| it.2 == finding));
    let mut names: Vec<&str> = told.iter().map(|it| it.1.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 3, "each event has a name");
    until("the alert's end", LIMIT, || {
        let last = manager.asked().into_iter().next_back()?;
        let alerts: Value = serde_json::from_slice(&last.body).unwrap();
        let handling = alerts[0]["annotations"]["handling"].as_str()?.to_owned();
        handling.starts_with("resolved").then_some(())
    });

    // An outage: what happened meanwhile comes as the newest state.
    deployment.stop();
    hook.be(Mood::Fails);
    deployment.start();
    act(&deployment, "acknowledge", &finding);
    act(&deployment, "resolve", &finding);
    until("a try with the newest state", LIMIT, || {
        let last = hook.asked().into_iter().next_back()?;
        let body: Value = serde_json::from_slice(&last.body).unwrap();
        let state = &body["finding"]["handling"]["state"];
        (last.mood == Mood::Fails && state == "resolved").then_some(())
    });
    hook.be(Mood::Works);
    until("what was done last", LIMIT, || {
        (hook.took(RULE).len() > 3).then_some(())
    });
    let last = hook.asked().into_iter().next_back().unwrap();
    let body: Value = serde_json::from_slice(&last.body).unwrap();
    assert_eq!(body["finding"]["handling"]["state"], "resolved", "{body}");

    // What was told last is lost: it is told again, and nothing is missing.
    deployment.stop();
    let before = hook.took(RULE).len();
    fs::remove_dir_all(deployment.data().join("deliveries")).unwrap();
    deployment.start();
    let told = until("it again", LIMIT, || {
        let told = hook.took(RULE);
        (told.len() > before).then_some(told)
    });
    assert_eq!(told.last().unwrap().2, finding);
    deployment.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_receiver_is_told_what_is_open_and_not_the_history() {
    let mut deployment = Deployment::judged_by(
        "gap_grace_ms = 3600000\nnot_observed_grace_ms = 3600000\nepisode_gap_ms = 3600000\n",
    );
    let mut ids = Vec::new();
    for name in ["gpu-1", "gpu-2"] {
        let token = deployment.token(name, "1h");
        let mut host = Host::enrol(name, &deployment.address(), &deployment.ca(), &token)
            .await
            .unwrap();
        host.seal_use("carol");
        send(&deployment, &mut host).await;
        ids.push(until("its finding", LIMIT, || {
            let all = deployment.json(&["findings", "--json"]);
            let all = all.as_array().unwrap().clone();
            let found = all.iter().find(|it| it["host"] == name)?;
            Some(found["id"].as_str().unwrap().to_owned())
        }));
    }
    act(&deployment, "resolve", &ids[0]);
    deployment.stop();
    let hook = Fake::new(Mood::Works);
    deployment.configure(&format!(
        "[[deliver]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/\"\n",
        hook.port
    ));
    deployment.start();
    let told = until("the open one", LIMIT, || {
        let told = hook.took("USE_UNATTRIBUTED");
        (!told.is_empty()).then_some(told)
    });
    until("nothing to wait for", LIMIT, || {
        (standing(&deployment, "hook")["waiting"] == 0).then_some(())
    });
    let told: Vec<&str> = told.iter().map(|it| it.2.as_str()).collect();
    assert_eq!(told, [&ids[1]], "what is settled is history");
}
