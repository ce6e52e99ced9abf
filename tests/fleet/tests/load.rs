//! The generator against a real verifier in this process.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use affiant_fleet::{
    connection,
    load::{self, Load, LoadError},
};
use affiant_verifier::{
    cli::Init, clock::Clock, config::Config, data::DataDir, init, keyfile::OfficerKey,
    serve::Verifier, token::Tokens,
};

/// Makes a verifier's data, with tokens for `hosts`, and serves it.
async fn serve(dir: &Path, hosts: &[&str], accept_recorded: bool) -> (Verifier, Load) {
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
    let mut tokens = Tokens::open(&DataDir::at(&data).tokens()).unwrap();
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let expires = Clock::system().now_ms() + 600_000;
    let issued = tokens.issue(&names, "", expires).unwrap();
    let out = dir.join("tokens");
    std::fs::create_dir(&out).unwrap();
    for (host, token) in hosts.iter().zip(issued) {
        std::fs::write(out.join(format!("{host}.token")), token + "\n").unwrap();
    }
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
        tokens: out,
        state: dir.join("state"),
        hosts: u32::try_from(hosts.len()).unwrap(),
        gpus: 8,
        interval_ms: 10_000,
        rate: 50.0,
        window: Duration::from_secs(1),
        seed: 1,
        pid: Some(std::process::id()),
        data: Some(log(&data)),
    };
    (verifier, load)
}

fn log(data: &Path) -> PathBuf {
    DataDir::at(data).ledger()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_of_a_fleet_is_included_and_a_second_run_goes_on_from_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (verifier, load) = serve(dir.path(), &["a", "b"], true).await;
    let first = load::run(&load).await.unwrap();
    assert_eq!((first.enrolled, first.records), (2, 50));
    assert!((1.0..=10.0).contains(&first.seconds), "{}", first.seconds);
    let latency = first.latency.unwrap();
    assert!(latency.p50_ms > 0.0 && latency.p50_ms <= latency.p99_ms);
    assert!(first.process.unwrap().cpu_us_per_record > 0.0);
    // What cannot be compressed of a record: signature, digests, root, seed and random figures.
    assert!(first.log.unwrap().bytes_per_record > 200.0);

    std::fs::remove_dir_all(&load.tokens).unwrap();
    let second = load::run(&load).await.unwrap();
    assert_eq!((second.enrolled, second.records), (0, 50));
    verifier.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_fails_where_a_verifier_does_not_take_simulated_records() {
    let dir = tempfile::tempdir().unwrap();
    let (verifier, load) = serve(dir.path(), &["a"], false).await;
    let error = load::run(&load).await.unwrap_err();
    assert!(
        matches!(&error, LoadError::Session(_)) && error.to_string().contains("source"),
        "{error}"
    );
    verifier.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_token_or_identity_is_told_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (verifier, mut load) = serve(dir.path(), &["a"], true).await;
    load.hosts = 2;
    let error = load::run(&load).await.unwrap_err();
    assert!(matches!(error, LoadError::Usage(_)), "{error}");
    load.hosts = 1;
    std::fs::write(load.tokens.join("a.token"), "affiant-token-guess").unwrap();
    let error = load::run(&load).await.unwrap_err();
    assert!(matches!(error, LoadError::Enrol(_)), "{error}");
    verifier.drain().await.unwrap();
}
