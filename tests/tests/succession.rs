//! A disk is lost: backup under load, restore, a succession by two officers, and hosts that send
//! again what the log lacks.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{collections::BTreeMap, fs, process::Command};

use affiant_proto::{Digest, Envelope};
use affiant_tests::{Deployment, Host, Outcome, binary};

/// Sends, with more sealed before, from all hosts at once.
async fn send(hosts: &mut Vec<Host>, deployment: &Deployment, records: usize) {
    let mut sending = Vec::new();
    for mut host in hosts.drain(..) {
        let (address, ca) = (deployment.address(), deployment.ca());
        sending.push(tokio::spawn(async move {
            for _ in 0..records {
                host.seal_usage();
            }
            let outcome = host.send(&address, &ca).await;
            assert_eq!(outcome, Outcome::Included, "{}", host.name);
            host
        }));
    }
    for sent in sending {
        hosts.push(sent.await.unwrap());
    }
}

fn path(deployment: &Deployment, name: &str) -> String {
    deployment.path(name).to_str().unwrap().to_owned()
}

/// What `serve` says when it does not start.
fn refusal(deployment: &Deployment) -> String {
    let output = deployment.run(&["serve", "--accept-recorded"]);
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_costs_no_record_that_a_host_still_has() {
    let mut deployment = Deployment::new();
    let mut hosts = Vec::new();
    for name in ["gpu-1", "gpu-2"] {
        let token = deployment.token(name, "1h");
        let host = Host::enrol(name, &deployment.address(), &deployment.ca(), &token).await;
        hosts.push(host.unwrap());
    }
    let backup = path(&deployment, "backup");
    // Under load: the backup is taken while both hosts send.
    let (_, first) = tokio::join!(send(&mut hosts, &deployment, 300), async {
        tokio::task::block_in_place(|| deployment.succeed(&["backup", &backup, "--with-keys"]))
    });
    assert!(first.contains("backed up"), "{first}");
    let before = hosts[0].included;
    deployment.succeed(&["backup", &backup, "--with-keys"]);
    send(&mut hosts, &deployment, 200).await;
    assert!(hosts[0].included > before);

    deployment.kill();
    let newest = path(&deployment, "newest.note");
    fs::copy(deployment.data().join("log/public/checkpoint"), &newest).unwrap();
    let data = path(&deployment, "data");
    fs::rename(&data, deployment.path("lost")).unwrap();
    deployment.succeed(&["restore", &backup, "--data", &data]);
    let said = refusal(&deployment);
    assert!(
        said.contains("succession") && said.contains("lock"),
        "{said}"
    );

    let proposal = path(&deployment, "next.json");
    let proposed = deployment.succeed(&[
        "succession",
        "propose",
        "--last",
        &newest,
        "--reason",
        "disk lost",
        "--out",
        &proposal,
    ]);
    assert!(proposed.contains("test.example/affiant/2"), "{proposed}");
    for name in ["alice", "bob"] {
        let key = deployment.key(name);
        let key = key.to_str().unwrap();
        let shown =
            deployment.succeed(&["succession", "approve", &proposal, "--key", key, "--yes"]);
        assert!(shown.contains("entries that were published"), "{shown}");
    }
    let (alice, bob) = (format!("{proposal}.alice"), format!("{proposal}.bob"));
    // One officer is not enough, and nothing is begun.
    let alone = deployment.run(&["succession", "open", &proposal, &alice, &alice]);
    assert!(!alone.status.success());
    assert!(refusal(&deployment).contains("succession"));
    deployment.succeed(&["succession", "open", &proposal, &alice, &bob]);

    deployment.start();
    for host in &mut hosts {
        host.follow_succession();
    }
    send(&mut hosts, &deployment, 5).await;
    assert_verifies(&deployment, &newest);
    deployment.stop();
    assert_nothing_lost(&deployment, &hosts);
}

/// A report made afterwards holds, for a reader who kept a checkpoint of what was lost too.
fn assert_verifies(deployment: &Deployment, kept: &str) {
    let report = path(deployment, "report");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let day = 86_400_000;
    let (from, to) = ((now - day).to_string(), (now + day).to_string());
    deployment.succeed(&["report", "--from", &from, "--to", &to, "--out", &report]);
    let trust = fs::read_to_string(deployment.data().join("trust.toml")).unwrap();
    let trust = trust.replace("accept_recorded = false", "accept_recorded = true");
    fs::write(deployment.path("trust.toml"), trust).unwrap();
    let verified = Command::new(binary("affiant-audit"))
        .args(["verify", &report, "--json", "--since", kept, "--trust"])
        .arg(deployment.path("trust.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    let verdict: serde_json::Value = serde_json::from_str(&said).unwrap();
    let failed: Vec<_> = verdict["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ok"] == false)
        .collect();
    assert_ne!(verdict["verdict"], "broken", "{failed:?}");
    assert!(
        verdict["findings"].to_string().contains("LOG_SUCCESSION"),
        "{said}"
    );
}

/// Every statement of every host stands in the log once, in order; all chains are held again.
fn assert_nothing_lost(deployment: &Deployment, hosts: &[Host]) {
    deployment.read_log();
    let mut chains: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
    for bytes in deployment.log_entries() {
        let envelope = Envelope::parse(&bytes).unwrap();
        let statement = envelope.statement();
        let chain = statement.header().chain().unwrap_or(statement.digest());
        chains.entry(chain).or_default().push(statement.digest());
    }
    for host in hosts {
        let sealed: Vec<_> = host
            .sealed
            .iter()
            .map(|envelope| affiant_proto::digest(&envelope.statement))
            .collect();
        assert_eq!(chains[&host.chain()], sealed, "{}", host.name);
    }
}
