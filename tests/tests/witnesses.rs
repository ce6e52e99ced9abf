//! The verifier asks witnesses, good and bad ones at once, and takes cosignatures by hand.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use affiant_proto::{
    Body, Ed25519Signer, Envelope, Signer as _,
    tlog::{Checkpoint, Cosigner, CosignerKey, Hash, Note, NoteSigner, verify_cosignature},
};
use affiant_tests::{Deployment, Host, Outcome, Witness, until};
use affiant_verifier::{data::DataDir, keyfile};

/// Longest that a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(120);

/// A machine that is busy with other tests is no hole.
const PATIENT: &str =
    "gap_grace_ms = 3600000\nnot_observed_grace_ms = 3600000\nlate_record_ms = 3600000\n";

/// A witness that is none: answers every request in its own way.
struct Bad {
    name: &'static str,
    url: String,
    key: CosignerKey,
    /// Connections that were opened, and those that the verifier has let go again.
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Bad {
    fn new(
        name: &'static str,
        seed: u8,
        answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (opened, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (open, close, answer) = (opened.clone(), closed.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                open.fetch_add(1, Ordering::SeqCst);
                let (close, answer) = (close.clone(), answer.clone());
                thread::spawn(move || {
                    serve(stream, &*answer);
                    close.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        let signer = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
        let key = CosignerKey::new(
            format!("{name}.example").parse().unwrap(),
            signer.public_key().clone(),
        );
        Self {
            name,
            url,
            key: key.unwrap(),
            opened,
            closed,
        }
    }

    fn line(&self) -> String {
        format!("witness {} {} {}\n", self.name, self.key, self.url)
    }
}

/// Reads one request, answers it, and waits until the other end is gone.
fn serve(mut stream: TcpStream, answer: &(impl Fn(&str, &mut TcpStream) + ?Sized)) {
    let mut asked = Vec::new();
    let whole = |asked: &[u8]| -> bool {
        let text = String::from_utf8_lossy(asked).to_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            return false;
        };
        let length = head.split("content-length: ").nth(1);
        let length: usize = length.map_or(0, |it| it.lines().next().unwrap().parse().unwrap());
        asked.len() >= head.len() + 4 + length
    };
    while !whole(&asked) {
        let mut part = [0; 4096];
        match stream.read(&mut part) {
            Ok(read) if read > 0 => asked.extend_from_slice(&part[..read]),
            _ => return,
        }
    }
    answer(&String::from_utf8_lossy(&asked), &mut stream);
    while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
}

fn says(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
}

async fn sends(deployment: &Deployment, host: &mut Host, records: usize) {
    for _ in 0..records {
        host.seal_usage();
    }
    let outcome = host.send(&deployment.address(), &deployment.ca()).await;
    assert_eq!(outcome, Outcome::Included, "{}", host.name);
}

async fn enrolled(deployment: &Deployment) -> Host {
    let token = deployment.token("gpu-1", "1h");
    let host = Host::enrol("gpu-1", &deployment.address(), &deployment.ca(), &token).await;
    host.unwrap()
}

/// The notes of the log's `cosigned` statements. The verifier must be stopped.
fn cosigned(deployment: &Deployment) -> Vec<Note> {
    let entries = deployment.log_entries();
    let notes = entries.iter().filter_map(|bytes| {
        let envelope = Envelope::parse(bytes).unwrap();
        match envelope.statement().body() {
            Body::Cosigned(body) => Some(Note::parse(&body.note).unwrap()),
            _ => None,
        }
    });
    notes.collect()
}

fn with_policy(deployment: &mut Deployment, policy: &str) {
    deployment.stop();
    let path = deployment.path("policy");
    fs::write(&path, policy).unwrap();
    deployment.configure(&format!("witness_policy = {path:?}\n"));
    deployment.start();
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_dead_lying_and_huge_witnesses_cost_nothing_beside_a_quorum_that_stands() {
    let mut deployment = Deployment::judged_by(PATIENT);
    let (a, b) = (Witness::of(&deployment, "a"), Witness::of(&deployment, "b"));
    let lying = Arc::new(AtomicUsize::new(0));
    let ahead = {
        // At the start it is polite: its word alone would keep the verifier from starting.
        let lying = lying.clone();
        Bad::new("ahead", 31, move |_, stream| {
            match lying.load(Ordering::SeqCst) {
                0 => says(stream, "503 Later", ""),
                _ => says(stream, "409 Conflict", "999999999\n"),
            }
        })
    };
    let forger = Bad::new("forger", 32, |asked, stream| {
        let (_, note) = asked.rsplit_once("\r\n\r\n").unwrap();
        let (_, note) = note.split_once("\n\n").unwrap();
        let text = note.split_once("\n\n").unwrap().0.to_owned() + "\n";
        let other = Ed25519Signer::from_seed(&[99; 32]).unwrap();
        let other = Cosigner::new("forger.example".parse().unwrap(), other).unwrap();
        let line = other.cosign(&text.parse().unwrap(), 1_700_000_000).unwrap();
        says(stream, "200 OK", &format!("{line}\n"));
    });
    let bad = [
        Bad::new("slow", 33, |_, _| {}),
        Bad::new("trickle", 34, |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(200));
            }
        }),
        Bad::new("huge", 35, |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 65_536]).is_ok() {}
        }),
        Bad::new("nonsense", 36, |_, stream| {
            let _ = stream.write_all(&[0xff; 100]);
        }),
        forger,
        ahead,
    ];
    let mut policy: String = bad.iter().map(Bad::line).collect();
    policy += &format!(
        "witness dead {} http://127.0.0.1:1\n",
        Bad::new("dead", 37, |_, _| {}).key
    );
    policy += &format!(
        "witness a {} {}\nwitness b {} {}\n",
        a.key(),
        a.url(),
        b.key(),
        b.url()
    );
    policy += "group good all a b\ngroup bad any slow trickle huge nonsense forger ahead dead\n\
               group any-two 1 good bad\nquorum any-two\n";
    with_policy(&mut deployment, &policy);
    lying.store(1, Ordering::SeqCst);
    let mut host = enrolled(&deployment).await;
    sends(&deployment, &mut host, 5).await;

    // A report asks for a round; records go on being INCLUDED while it lasts.
    let report = {
        let deployment = &deployment;
        let sending = async {
            for _ in 0..20 {
                sends(deployment, &mut host, 10).await;
            }
        };
        let asking = async { tokio::task::block_in_place(|| deployment.report("report")) };
        tokio::join!(asking, sending).0
    };
    let audit = deployment.verify(&report, None, &policy);
    audit.assert(0, "clean", "witnessed", &[]);
    let status = || deployment.json(&["status", "--json"])["witnesses"].clone();
    let due = [
        ("slow", "did not answer"),
        ("trickle", "did not answer"),
        ("huge", "more than a cosignature"),
        ("nonsense", "could not be reached"),
        ("forger", "no cosignature of this checkpoint"),
        ("ahead", "does not show it"),
    ];
    for (name, error) in due {
        let url = &bad.iter().find(|it| it.name == name).unwrap().url;
        until(name, LIMIT, || {
            let said = status()[url]["error"].as_str()?.to_owned();
            assert!(said.contains(error), "{name}: {said}");
            Some(())
        });
    }
    for witness in [&a, &b] {
        assert!(witness.answer(&deployment)["cosigned_size"].is_u64());
    }
    // Nobody's connection is kept once the round is over.
    for witness in &bad {
        until("connections to end", LIMIT, || {
            let (opened, closed) = (&witness.opened, &witness.closed);
            (opened.load(Ordering::SeqCst) == closed.load(Ordering::SeqCst)).then_some(())
        });
    }
    sends(&deployment, &mut host, 5).await;
    deployment.stop();
    let notes = cosigned(&deployment);
    assert!(!notes.is_empty(), "the cosigned checkpoint is logged");
    for note in &notes {
        for witness in [&a, &b] {
            verify_cosignature(note, &witness.key().parse().unwrap()).unwrap();
        }
        assert_eq!(note.signatures().len(), 3, "{note}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_shows_more_of_the_log_than_there_is_stops_it() {
    let mut deployment = Deployment::judged_by(PATIENT);
    let data = DataDir::at(&deployment.data());
    let signer = keyfile::read_signer(&data.log_key()).unwrap();
    let published = fs::read(data.ledger().join("public/checkpoint")).unwrap();
    let now: Checkpoint = Note::parse(&published).unwrap().text().parse().unwrap();
    let signer = NoteSigner::new(now.origin().key_name(), signer).unwrap();
    let far = Checkpoint::new(now.origin().clone(), 1 << 40, Hash::from_bytes([3; 32])).unwrap();
    let far = far.sign(&signer).unwrap().into_note().to_string();
    let lying = Arc::new(AtomicUsize::new(0));
    let told = lying.clone();
    let knows = Bad::new("knows", 31, move |asked, stream| {
        match (told.load(Ordering::SeqCst), asked.starts_with("GET /")) {
            (0, _) => says(stream, "503 Later", ""),
            (_, false) => says(stream, "409 Conflict", &format!("{}\n", 1_u64 << 40)),
            (_, true) => says(stream, "200 OK", &far),
        }
    });
    with_policy(&mut deployment, &format!("{}quorum knows\n", knows.line()));
    lying.store(1, Ordering::SeqCst);
    // The report wants a round, which ends the verifier.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let (from, to) = ((now - 1_000).to_string(), now.to_string());
    let out = deployment.path("report");
    let out = out.to_str().unwrap();
    deployment.run(&["report", "--from", &from, "--to", &to, "--out", out]);
    until("the verifier to stop", LIMIT, || {
        deployment
            .journal()
            .contains("the data directory is an old one")
            .then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_without_a_network_cosigns_by_hand_and_gives_a_report_its_anchor() {
    let mut deployment = Deployment::judged_by(PATIENT);
    let witness = Witness::by_hand(&deployment, "offline");
    let policy = format!("witness W {}\nquorum W\n", witness.key());
    with_policy(&mut deployment, &policy);
    let mut host = enrolled(&deployment).await;
    sends(&deployment, &mut host, 5).await;
    let public = deployment.data().join("log/public");
    let handed = deployment.data().join("cosigned");

    // The operator carries the public directory there, and the note back.
    let note = deployment.path("cosigned.note");
    let done = witness.once(&public, None, &note);
    assert!(done.status.success(), "{done:?}");
    fs::copy(&note, handed.join("offline.note")).unwrap();
    fs::write(handed.join("nonsense.note"), "nonsense").unwrap();
    let report = deployment.report("report");
    until("the note to be taken", LIMIT, || {
        (!handed.join("offline.note").exists()).then_some(())
    });
    assert!(handed.join("nonsense.note.refused").exists());
    assert!(deployment.journal().contains("nonsense.note"));
    let answer = &deployment.json(&["status", "--json"])["witnesses"]["offline.example"];
    assert!(answer["cosigned_size"].is_u64(), "{answer}");

    // A report's checkpoint is newer than any that was carried: it is cosigned in its place.
    let told = deployment.verify(&report, None, &policy);
    assert_eq!((told.exit, &*told.anchor), (3, "none"), "{:#}", told.said);
    sends(&deployment, &mut host, 5).await;
    let checkpoint = report.join("checkpoint");
    let done = witness.once(&checkpoint, Some(&public), &checkpoint);
    assert!(done.status.success(), "{done:?}");
    deployment
        .verify(&report, None, &policy)
        .assert(0, "clean", "witnessed", &[]);

    // What is taken is what this log published: a foreign note is put aside, the log goes on.
    let other = Deployment::new();
    fs::copy(
        other.data().join("log/public/checkpoint"),
        handed.join("foreign.note"),
    )
    .unwrap();
    deployment.report("again");
    until("the foreign note to be refused", LIMIT, || {
        handed.join("foreign.note.refused").exists().then_some(())
    });
    sends(&deployment, &mut host, 1).await;
    deployment.stop();
    let notes = cosigned(&deployment);
    assert_eq!(notes.len(), 1);
    verify_cosignature(&notes[0], &witness.key().parse().unwrap()).unwrap();
}
