//! A verifier's data directory is put back to what it was an hour before, while it wrote, lock and
//! all, and goes on: agents, witness and auditor refuse that log each by itself, until two officers
//! own up to it.
//!
//! The hour is what hosts claim: an hour of records of each in the seconds that a test has.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use affiant_proto::{Digest, Envelope, Statement};
use affiant_tests::{
    Agent, Deployment, Host, Outcome, Witness, copy, log_entries, machine::fleet, until,
};

/// Longest that a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(120);

/// Records of an hour, at ten seconds each.
const HOUR: usize = 360;

/// A machine that is busy with other tests is no hole: these are not what is looked for here.
const PATIENT: &str = "gap_grace_ms = 3600000\nnot_observed_grace_ms = 3600000\n";

/// Size of a checkpoint that somebody kept: its second line.
fn size(note: &Path) -> u64 {
    let text = fs::read_to_string(note).unwrap();
    text.lines().nth(1).unwrap().parse().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Sequence up to which the verifier has the agent's chain.
fn logged(deployment: &Deployment) -> u64 {
    let hosts = deployment.json(&["host", "list", "--json"]);
    let mut hosts = hosts.as_array().unwrap().iter();
    let agent = hosts.find(|host| host["host"] == "gpu-1").unwrap();
    agent["included_sequence"].as_u64().unwrap_or(0)
}

fn until_logged(deployment: &Deployment, sequence: u64) {
    until("the agent's records", LIMIT, || {
        (logged(deployment) >= sequence).then_some(())
    });
}

async fn send(deployment: &Deployment, hosts: &mut [Host], records: usize) {
    for host in hosts {
        for _ in 0..records {
            host.seal_usage();
        }
        let outcome = host.send(&deployment.address(), &deployment.ca()).await;
        assert_eq!(outcome, Outcome::Included, "{}", host.name);
    }
}

/// Hosts that go on sending, each from a thread of its own, whatever becomes of the verifier.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Host>>,
}

impl Load {
    fn start(deployment: &Deployment, hosts: Vec<Host>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let send = |mut host: Host| {
            let (address, ca) = (deployment.address(), deployment.ca());
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = { runtime }.enable_all().build().unwrap();
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..10 {
                        host.seal_usage();
                    }
                    let outcome = runtime.block_on(host.send(&address, &ca));
                    assert_eq!(outcome, Outcome::Included, "{}", host.name);
                }
                host
            })
        };
        let threads = hosts.into_iter().map(send).collect();
        Self { stop, threads }
    }

    fn end(self) -> Vec<Host> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter().map(|thread| thread.join());
        ended.map(|host| host.unwrap()).collect()
    }
}

/// Takes an image of the running verifier at a moment when its log has more than it has published,
/// and gives what a start would find there. The image stays as it is: a start mends it.
fn take_image(deployment: &Deployment, to: &Path) -> Vec<Vec<u8>> {
    let mended = deployment.path("mended");
    until("an image with a tail", LIMIT, || {
        deployment.image(to);
        copy(to, &mended);
        let entries = log_entries(&mended);
        let published = usize::try_from(size(&image_note(to))).unwrap();
        (entries.len() > published).then_some(entries)
    })
}

/// How often each statement of these chains stands in the log. The verifier must be stopped.
fn statements(deployment: &Deployment, chains: &BTreeSet<Digest>) -> BTreeMap<Digest, usize> {
    let mut found = BTreeMap::new();
    for bytes in deployment.log_entries() {
        let (chain, statement) = read(&bytes);
        if chains.contains(&chain) {
            *found.entry(statement.digest()).or_default() += 1;
        }
    }
    found
}

/// An entry's statement, and the chain that it is of.
fn read(bytes: &[u8]) -> (Digest, Statement) {
    let envelope = Envelope::parse(bytes).unwrap();
    let statement = envelope.statement().clone();
    let chain = statement.header().chain().unwrap_or(statement.digest());
    (chain, statement)
}

/// Names of the charges that an agent keeps against the log.
fn charges(agent: &Agent) -> String {
    let entries = fs::read_dir(agent.data().join("charges"));
    let names = entries.into_iter().flatten().flatten();
    names
        .map(|entry| entry.file_name().to_string_lossy().into_owned() + "\n")
        .collect()
}

/// Opens the next generation of a data directory by both officers, over what these notes tell of.
fn succeed(deployment: &Deployment, data: &Path, seen: &[&Path]) {
    let proposal = data.with_extension("json").to_str().unwrap().to_owned();
    let data = ["--data", data.to_str().unwrap()];
    let mut propose = [&data[..], &["succession", "propose"]].concat();
    propose.extend(["--reason", "put back by mistake"]);
    for note in seen {
        propose.extend(["--last", note.to_str().unwrap()]);
    }
    propose.extend(["--out", &proposal]);
    deployment.succeed(&propose);
    for name in ["alice", "bob"] {
        let key = deployment.key(name);
        let approve = ["succession", "approve", &proposal, "--yes", "--key"];
        deployment.succeed(&[&approve[..], &[key.to_str().unwrap()]].concat());
    }
    let (alice, bob) = (format!("{proposal}.alice"), format!("{proposal}.bob"));
    let open = ["succession", "open", &proposal, &alice, &bob];
    deployment.succeed(&[&data[..], &open[..]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_put_back_is_refused_by_all_and_a_succession_brings_every_record_back_once() {
    let mut deployment = Deployment::judged_by(PATIENT);
    deployment.stay();
    let config = deployment.path("verifier.toml");
    let witness = Witness::of(&deployment, "witness");
    deployment.stop();
    let alone = fs::read_to_string(&config).unwrap();
    let witnessed = format!("{alone}{}", witness.table());
    fs::write(&config, &witnessed).unwrap();
    deployment.start();

    let machine = fleet(deployment.root(), 2);
    let mut agent = Agent::on_fleet(&deployment, "gpu-1", &machine, 1, 100);
    agent.start();
    let mut others = Vec::new();
    for name in ["gpu-2", "gpu-3"] {
        let token = deployment.token(name, "1h");
        let host = Host::enrol(name, &deployment.address(), &deployment.ca(), &token).await;
        others.push(host.unwrap());
    }
    send(&deployment, &mut others, 20).await;
    until_logged(&deployment, 3);
    let load = Load::start(&deployment, others);
    let (data, image) = (deployment.data(), deployment.path("image"));
    let mended = take_image(&deployment, &image);
    let chain = agent.json(&["status"])["chain"]
        .as_str()
        .unwrap()
        .to_owned();
    let ours = mended.iter().map(|entry| read(entry));
    let ours = ours.filter(|(of, _)| of.to_string() == chain);
    let had = ours.map(|(_, statement)| statement.header().sequence());
    let had = had.max().unwrap();

    // What is to be undone: everybody sees it, the witness when a report asks for it.
    let mut others = load.end();
    send(&deployment, &mut others, HOUR).await;
    until_logged(&deployment, had + 5);
    let first = deployment.keep_checkpoint("first.note");
    deployment.audit(&first).assert(0, "clean", "kept", &[]);
    let cosigned = until("a cosignature", LIMIT, || {
        witness.answer(&deployment)["cosigned_size"].as_u64()
    });
    assert!(cosigned >= size(&first));
    let seen = deployment.keep_checkpoint("seen.note");
    deployment.stop();
    let mut chains: BTreeSet<_> = others.iter().map(Host::chain).collect();
    let log = deployment.read_log();
    chains.extend(log.hosts.named("gpu-1").iter().map(|host| host.chain()));
    let included = statements(&deployment, &chains);

    // The witness alone keeps an honest operator from going on by mistake.
    copy(&image, &data);
    let refused = deployment.run(&["serve", "--accept-recorded"]);
    assert!(!refused.status.success());
    let said = stderr(&refused);
    assert!(said.contains(&witness.url()), "{said}");
    assert!(said.contains("the data directory is an old one"), "{said}");

    // A dishonest one asks nobody. Other hosts do not look, and the log outgrows what it was.
    copy(&image, &data);
    fs::write(&config, &alone).unwrap();
    deployment.start();
    until("a charge by the agent", LIMIT, || {
        charges(&agent).contains("LOG_WENT_BACK").then_some(())
    });
    assert_eq!(logged(&deployment), had);
    for host in &mut others {
        host.follow_succession();
    }
    let mut records = 40;
    until("the log to outgrow what was seen", LIMIT, || {
        let sent = send(&deployment, &mut others, records);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(sent));
        records = 10;
        (size(&data.join("log/public/checkpoint")) > size(&seen) + 5).then_some(())
    });
    let forged = deployment.keep_checkpoint("forged.note");
    until("a charge of another history", LIMIT, || {
        charges(&agent).contains("LOG_FORKED").then_some(())
    });
    let told = agent.json(&["status"]);
    assert_eq!(told["health"], "attention");
    assert!(
        told["waiting"].as_u64().unwrap() > 0,
        "it goes on measuring"
    );
    let attention = told["attention"].to_string();
    assert!(attention.contains("LOG_FORKED"), "{told:#}");
    assert_eq!(logged(&deployment), had, "nothing of it was sent");
    for note in [&first, &seen] {
        let told = deployment.audit(note);
        assert_eq!((told.exit, told.verdict.as_str()), (2, "broken"));
        let checks = told.said["checks"].to_string();
        assert!(checks.contains("the log was rewritten"), "{checks}");
    }
    // Nor does the witness take it now that it is larger.
    deployment.stop();
    fs::write(&config, &witnessed).unwrap();
    deployment.start();
    send(&deployment, &mut others, 1).await;
    deployment.audit(&forged);
    until("the witness's refusal", LIMIT, || {
        let answer = witness.answer(&deployment);
        answer["contradicts"].as_bool()?.then_some(())
    });
    assert_eq!(deployment.run(&["status"]).status.code(), Some(2));
    let forged = deployment.keep_checkpoint("forged.note");
    deployment.stop();

    // Two officers own up to both histories.
    fs::write(&config, &alone).unwrap();
    copy(&image, &data);
    succeed(&deployment, &data, &[&seen, &forged]);
    // Nor does it matter at which step of a publication the image was taken: with the tail in the
    // lock and the tiles, and in no note yet, the next generation goes on from the note as well.
    let ahead = deployment.path("ahead");
    copy(&deployment.path("mended"), &ahead);
    fs::copy(image_note(&image), image_note(&ahead)).unwrap();
    succeed(&deployment, &ahead, &[&seen, &forged]);
    let published = usize::try_from(size(&image_note(&image))).unwrap();
    let found = log_entries(&ahead);
    assert!(found[..published] == mended[..published], "what is kept");
    assert_eq!(
        found.len(),
        published + 2,
        "a succession and a clock follow"
    );
    deployment.start();
    for host in &mut others {
        host.follow_succession();
    }
    send(&deployment, &mut others, 2).await;
    let last = agent.json(&["status"])["head"].as_u64().unwrap();
    until_logged(&deployment, last);
    until("the agent to be well", LIMIT, || {
        (agent.json(&["status"])["health"] == "well").then_some(())
    });
    agent.stop();
    let due = ["LOG_CONTRADICTED", "LOG_SUCCESSION"];
    for note in [&first, &seen, &forged] {
        let told = deployment.audit(note);
        told.assert(1, "findings", "lost", &due);
        let lost = format!(
            "entries {} to {} of",
            size(&image_note(&image)),
            size(&forged) - 1
        );
        let findings = told.said["findings"].to_string();
        assert!(findings.contains(&lost), "{lost}: {findings}");
    }
    let kept = image_note(&image);
    deployment.audit(&kept).assert(1, "findings", "kept", &due);
    deployment.stop();
    deployment.read_log();
    let now = statements(&deployment, &chains);
    assert!(now.values().all(|times| *times == 1), "one stands twice");
    for statement in included.keys() {
        assert!(now.contains_key(statement), "{statement} was INCLUDED");
    }
}

/// The newest checkpoint of an image.
fn image_note(image: &Path) -> std::path::PathBuf {
    image.join("log/public/checkpoint")
}
