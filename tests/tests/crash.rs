//! SIGKILL at random moments: nothing INCLUDED is lost, nothing is doubled, no chain breaks.
//!
//! `AFFIANT_ROUNDS` sets the number of rounds (10), `AFFIANT_SEED` the seed; a failure prints it.
//! Each fifty rounds have a log of their own, with the next seed: reading the log back at every
//! start would soon be all that the test does.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use affiant_proto::{Digest, Envelope};
use affiant_tests::{Deployment, Host, Outcome};

/// A xorshift generator: the rounds replay from their seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Rounds on one log.
const ROUNDS: u64 = 50;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_killed_under_load_loses_and_doubles_nothing() {
    let (rounds, seed) = (
        setting("AFFIANT_ROUNDS", 10),
        setting("AFFIANT_SEED", 0x5eed),
    );
    for begun in (0..rounds).step_by(usize::try_from(ROUNDS).unwrap()) {
        let seed = seed.wrapping_add(begun / ROUNDS);
        kill_and_check(ROUNDS.min(rounds - begun), seed).await;
    }
}

async fn kill_and_check(rounds: u64, seed: u64) {
    println!("{rounds} rounds, seed {seed}");
    let mut random = Random(seed.max(1));
    let mut deployment = Deployment::new();
    let ca = deployment.ca();
    let mut hosts = Vec::new();
    for n in 0..4 {
        let name = format!("gpu-{n}");
        let token = deployment.token(&name, "24h");
        hosts.push(
            Host::enrol(&name, &deployment.address(), &ca, &token)
                .await
                .unwrap(),
        );
    }
    for round in 0..rounds {
        let address = deployment.address();
        let mut sending = Vec::new();
        for mut host in hosts.drain(..) {
            let (address, ca, count) = (address.clone(), ca.clone(), 50 + random.below(300));
            sending.push(tokio::spawn(async move {
                for _ in 0..count {
                    host.seal_usage();
                }
                let outcome = host.send(&address, &ca).await;
                assert!(
                    !matches!(outcome, Outcome::Refused(_)),
                    "{}: {outcome:?}",
                    host.name
                );
                host
            }));
        }
        // The moment is the point: anywhere from the first record to after the last.
        tokio::time::sleep(Duration::from_millis(random.below(2_500))).await;
        deployment.kill();
        for task in sending {
            hosts.push(task.await.unwrap());
        }
        println!(
            "round {round}: included {:?}",
            hosts.iter().map(|h| h.included).collect::<Vec<_>>()
        );
        deployment.start();
    }
    for host in &mut hosts {
        let outcome = host.send(&deployment.address(), &ca).await;
        assert_eq!(outcome, Outcome::Included, "seed {seed}: {}", host.name);
    }
    deployment.stop();
    check(&deployment, &hosts, seed);
}

/// Every statement of every host stands in the log once, in order, where the verifier said.
fn check(deployment: &Deployment, hosts: &[Host], seed: u64) {
    // Admits everything again: signatures, chains, leaves, sums.
    deployment.read_log();
    let mut chains: BTreeMap<Digest, Vec<(u64, Digest)>> = BTreeMap::new();
    let mut all = BTreeSet::new();
    for (index, bytes) in (0..).zip(deployment.log_entries()) {
        let envelope = Envelope::parse(&bytes).unwrap();
        let statement = envelope.statement();
        assert!(
            all.insert(statement.digest()),
            "seed {seed}: entry {index} stands twice"
        );
        let chain = statement.header().chain().unwrap_or(statement.digest());
        chains
            .entry(chain)
            .or_default()
            .push((index, statement.digest()));
    }
    for host in hosts {
        let logged = &chains[&host.chain()];
        assert_eq!(
            logged.len(),
            host.sealed.len(),
            "seed {seed}: {}",
            host.name
        );
        for ((_, digest), sealed) in logged.iter().zip(&host.sealed) {
            assert_eq!(
                *digest,
                affiant_proto::digest(&sealed.statement),
                "seed {seed}: {}",
                host.name
            );
        }
        let (sequence, index) = host.included.unwrap();
        assert_eq!(
            logged[usize::try_from(sequence).unwrap()].0,
            index,
            "seed {seed}: {}",
            host.name
        );
    }
}
