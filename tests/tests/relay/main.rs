//! Relays: what an honest one carries, whom none may carry, and what a dishonest one can do.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod barred;
mod dishonest;

use std::{collections::BTreeMap, time::Duration};

use affiant_proto::{Digest, Envelope, v1, v1::relay_reply::Body as Reply};
use affiant_tests::{Carrier, Deployment, Host, Outcome, Relay, until};

/// Longest that a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The relay's site.
const SITE: &str = "hall-2";

/// Records that each host has sealed.
const RECORDS: u64 = 4;

/// The last of what a host has sealed: its enrolment is 0, its inventory 1.
const LAST: u64 = 1 + RECORDS;

/// A deployment with a relay.
struct Site {
    deployment: Deployment,
    relay: Relay,
}

impl Site {
    async fn new() -> Self {
        let deployment = Deployment::judged_by("");
        let token = deployment.relay_token("relay-1", SITE);
        let (address, ca) = (deployment.address(), deployment.ca());
        let relay = Relay::enrol(("relay-1", SITE), &address, &ca, &token).await;
        Self {
            relay: relay.unwrap(),
            deployment,
        }
    }

    /// Enrols a host of a site, which has sealed some records.
    async fn host_of(&self, site: &str, name: &str) -> Host {
        let token = self.deployment.token(name, "1h");
        let (address, ca) = (self.deployment.address(), self.deployment.ca());
        let mut host = Host::enrol_at(site, name, &address, &ca, &token)
            .await
            .unwrap();
        for _ in 0..RECORDS {
            host.seal_usage();
        }
        host
    }

    /// Enrols a host of the relay's site.
    async fn host(&self, name: &str) -> Host {
        self.host_of(SITE, name).await
    }

    async fn stream(&self) -> Carrier {
        let (address, ca) = (self.deployment.address(), self.deployment.ca());
        self.relay.open(&address, &ca).await.unwrap()
    }

    /// A stream that carries one host at place 0.
    async fn carrying(&self, host: &Host) -> Carrier {
        let mut stream = self.stream().await;
        let joined = stream.join(&[host.chain()]).await;
        assert_eq!(joined.places[0].refused, "");
        stream
    }

    /// The host sends what the log lacks on a connection of its own.
    async fn sends_itself(&self, host: &mut Host) -> Outcome {
        host.send(&self.deployment.address(), &self.deployment.ca())
            .await
    }

    fn connected(&self, due: u64) {
        until("sessions to begin and end", PATIENCE, || {
            let status = self.deployment.json(&["status", "--json"]);
            (status["fleet"]["connected"] == due).then_some(())
        });
    }

    /// Revokes a record or relay key, from the end of the log on.
    fn revoke(&self, key: &str) {
        let status = self.deployment.json(&["status", "--json"]);
        let from = status["log_size"].as_u64().unwrap().to_string();
        let said = ["--key", key, "--from-index", &from, "--reason", "stolen"];
        self.deployment
            .succeed(&[&["key", "revoke", "--use", "record"], &said[..]].concat());
    }

    /// The statements of a chain in the log; ends the verifier.
    fn logged(mut self, chain: Digest) -> Vec<Envelope> {
        self.deployment.stop();
        let entries = self.deployment.log_entries();
        let entries = entries.iter().map(|bytes| Envelope::parse(bytes).unwrap());
        entries
            .filter(|entry| entry.statement().header().chain() == Some(chain))
            .collect()
    }
}

/// What was sealed by a host as the statement at this sequence.
fn sealed(host: &Host, sequence: u64) -> v1::Envelope {
    host.sealed[usize::try_from(sequence).unwrap()].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_carried_over_one_stream_with_one_receipt_for_all_its_hosts() {
    let site = Site::new().await;
    let kept = site.deployment.keep_checkpoint("kept");
    let mut hosts = Vec::new();
    for number in 0..20 {
        hosts.push(site.host(&format!("gpu-{number}")).await);
    }
    let chains: Vec<Digest> = hosts.iter().map(Host::chain).collect();
    let mut stream = site.stream().await;
    let joined = stream.join(&chains).await;
    assert_eq!((joined.first, joined.places.len()), (0, 20));
    for (place, host) in joined.places.iter().zip(&hosts) {
        assert_eq!((place.sequence, place.included), (0, Some(0)));
        assert_eq!(place.head, host.chain().as_bytes());
    }
    for sequence in 1..=LAST {
        for (place, host) in (0..).zip(&hosts) {
            stream.carry(place, sealed(host, sequence)).await;
        }
    }
    let mut told = BTreeMap::new();
    let mut checkpoints = Vec::new();
    while told.len() < 20 || told.values().any(|sequence| *sequence < LAST) {
        let Reply::Included(included) = stream.next().await.unwrap() else {
            panic!("nothing but receipts is due");
        };
        for mark in &included.marks {
            let before = told.insert(mark.place, mark.sequence);
            assert!(before.is_none_or(|before| before < mark.sequence));
        }
        checkpoints.push(included.checkpoint);
    }
    let receipts = checkpoints.len();
    checkpoints.dedup();
    assert_eq!(
        checkpoints.len(),
        receipts,
        "two receipts of one checkpoint"
    );

    let listed = site.deployment.json(&["host", "list", "--json"]);
    let listed = listed.as_array().unwrap();
    assert!(listed.iter().all(|host| host["included_sequence"] == LAST));
    let relays = site.deployment.json(&["relay", "list", "--json"]);
    assert_eq!(relays[0]["relay"], "relay-1");
    assert_eq!(relays[0]["chain"], site.relay.chain().to_string());
    let audit = site.deployment.audit(&kept);
    audit.assert(0, "clean", "kept", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_is_a_relay_after_a_restart_and_renews_its_certificate_by_its_key() {
    let mut site = Site::new().await;
    let host = site.host("gpu-1").await;
    site.deployment.kill();
    site.deployment.start();
    let (address, ca) = (site.deployment.address(), site.deployment.ca());
    site.relay.renew(&address, &ca).await.unwrap();
    let mut stream = site.carrying(&host).await;
    for sequence in 1..=LAST {
        stream.carry(0, sealed(&host, sequence)).await;
    }
    stream.included(0, LAST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_goes_from_its_relay_to_its_own_connection_and_back_and_nothing_is_doubled() {
    let site = Site::new().await;
    let mut host = site.host("gpu-1").await;
    let mut stream = site.carrying(&host).await;
    for sequence in 1..=2 {
        stream.carry(0, sealed(&host, sequence)).await;
    }
    stream.included(0, 2).await;

    assert_eq!(site.sends_itself(&mut host).await, Outcome::Included);
    let over = stream.refused(0).await;
    assert_eq!(over.code, "not-carried");
    assert!(over.text.contains("newer session"), "{}", over.text);
    assert!(!over.permanent);

    site.connected(0);
    host.seal_usage();
    let joined = stream.join(&[host.chain()]).await;
    assert_eq!((joined.first, joined.places[0].sequence), (1, LAST));
    stream.carry(1, sealed(&host, LAST + 1)).await;
    stream.included(1, LAST + 1).await;
    let logged = site.logged(host.chain());
    let sequences = logged.iter().map(|it| it.statement().header().sequence());
    assert!(sequences.eq(1..=LAST + 1));
}
