//! The generator against a real verifier in this process.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{path::Path, time::Duration};

use affiant_fleet::{
    connection,
    enrol::{Enrolments, enrol},
    load::{self, Load, LoadError, Shape},
};
use affiant_verifier::{
    cli::Init, clock::Clock, config::Config, data::DataDir, init, keyfile::OfficerKey,
    serve::Verifier,
};

/// Makes a verifier's data with a fleet enrolled in it, and serves it.
async fn serve(dir: &Path, hosts: u32, accept_recorded: bool) -> (Verifier, Load) {
    connection::install_provider();
    let mut officers = Vec::new();
    for name in ["alice", "bob"] {
        let path = dir.join(format!("{name}.key"));
        OfficerKey::create(name, &path).unwrap();
        officers.push(path.with_extension("pub"));
    }
    let options = Init {
        origin: "fleet.example/affiant/1".into(),
        operator: "Fleet".into(),
        officers,
    };
    let data = dir.join("data");
    init::init(&options, &data, &Clock::system()).unwrap();
    let entries = enrol(&Enrolments {
        data: data.clone(),
        state: dir.join("state"),
        hosts: hosts as usize,
        connections: hosts as usize,
        relays: 2,
        gpus: 8,
        threads: 2,
        seed: 1,
    });
    // The genesis, of each host enrolment, inventory and workloads, of each relay its enrolment,
    // and a clock before hosts and relays.
    assert_eq!(entries.unwrap(), 1 + 1 + 3 * u64::from(hosts) + 1 + 2);
    let toml = dir.join("verifier.toml");
    let text =
        format!("listen = \"127.0.0.1:0\"\nhttp = \"none\"\napi = \"none\"\ndata = {data:?}\n");
    std::fs::write(&toml, text).unwrap();
    let config = Config::load(Some(&toml)).unwrap();
    let verifier = Verifier::start(config, accept_recorded, &[], Clock::system())
        .await
        .unwrap();
    let load = Load {
        verifier: format!("https://{}", verifier.addresses().agents),
        ca: DataDir::at(&data).ca_certificate(),
        state: dir.join("state"),
        shape: Shape::Direct,
        hosts,
        interval_ms: 10_000,
        rate: 50.0,
        window: Duration::from_secs(1),
        threads: 2,
        seed: 1,
        pid: Some(std::process::id()),
        data: Some(DataDir::at(&data).ledger()),
    };
    (verifier, load)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_of_a_fleet_is_included_and_a_second_run_goes_on_from_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (verifier, load) = serve(dir.path(), 2, true).await;
    let first = load::run(&load).await.unwrap();
    assert_eq!(first.records, 50);
    assert!((1.0..=10.0).contains(&first.seconds), "{}", first.seconds);
    // One a stream and checkpoint: segments close each second, and the last is waited for.
    assert!((2..=8).contains(&first.receipts), "{}", first.receipts);
    let latency = first.latency.unwrap();
    assert!(latency.p50_ms > 0.0 && latency.p50_ms <= latency.p99_ms);
    assert!(first.process.unwrap().cpu_us_per_record > 0.0);
    // What cannot be compressed of a record: signature, digests, root, seed and random figures.
    assert!(first.log.unwrap().bytes_per_record > 200.0);
    let second = load::run(&load).await.unwrap();
    assert_eq!(second.records, 50);
    verifier.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_carry_every_record_of_a_fleet_with_one_receipt_a_checkpoint_for_all_of_its_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let (verifier, mut load) = serve(dir.path(), 20, true).await;
    load.shape = Shape::Relayed(2);
    let first = load::run(&load).await.unwrap();
    // Each host sends at its own phase: by that one more or less is within the window.
    let due = 45..=55;
    assert!(due.contains(&first.records), "{}", first.records);
    // Two streams, and segments close each second: twenty hosts with a receipt each were 40 or more.
    assert!((2..=8).contains(&first.receipts), "{}", first.receipts);
    // A host goes on by itself where its relay left off, and the other way round.
    for shape in [Shape::Direct, Shape::Relayed(1)] {
        load.shape = shape;
        let records = load::run(&load).await.unwrap().records;
        assert!(due.contains(&records), "{shape:?}: {records}");
    }
    verifier.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_fails_where_a_verifier_does_not_take_simulated_records() {
    let dir = tempfile::tempdir().unwrap();
    let (verifier, load) = serve(dir.path(), 1, true).await;
    verifier.drain().await.unwrap();
    let config = dir.path().join("verifier.toml");
    let config = Config::load(Some(&config)).unwrap();
    let refused = Verifier::start(config, false, &[], Clock::system()).await;
    let refused = refused
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(refused.contains("simulated"), "{refused}");
    assert!(matches!(
        load::run(&load).await,
        Err(LoadError::Deployment(_))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_were_not_enrolled_are_told_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (verifier, mut load) = serve(dir.path(), 1, true).await;
    load.hosts = 2;
    let error = load::run(&load).await.unwrap_err();
    assert!(matches!(error, LoadError::Roster(_)), "{error}");
    verifier.drain().await.unwrap();
}
