//! A relay that drops, reorders, repeats, changes, holds and floods: it can do what any network can.

use affiant_proto::{Envelope, digest, v1, v1::relay_request::Body as Request};
use affiant_tests::{Host, Outcome};

use crate::{LAST, PATIENCE, Site, sealed};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_drops_or_reorders_is_taken_once_it_comes_in_its_order() {
    let site = Site::new().await;
    let (host, other) = (site.host("gpu-1").await, site.host("gpu-2").await);
    let mut stream = site.carrying(&host).await;
    stream.join(&[other.chain()]).await;
    stream.carry(0, sealed(&host, 1)).await;
    stream.carry(0, sealed(&host, 3)).await;
    stream.carry(0, sealed(&host, 2)).await;
    let refused = stream.refused(0).await;
    assert_eq!((refused.code.as_str(), refused.sequence), ("missing", 3));
    assert!(!refused.permanent, "what is missing can be sent");

    let joined = stream.join(&[host.chain()]).await;
    assert_eq!((joined.first, joined.places[0].sequence), (2, 1));
    for sequence in 2..=LAST {
        stream.carry(2, sealed(&host, sequence)).await;
        stream.carry(1, sealed(&other, sequence - 1)).await;
    }
    stream.included(2, LAST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_repeats_is_logged_once() {
    let site = Site::new().await;
    let host = site.host("gpu-1").await;
    let mut stream = site.carrying(&host).await;
    for _ in 0..3 {
        for sequence in 1..LAST {
            stream.carry(0, sealed(&host, sequence)).await;
        }
    }
    stream.included(0, LAST - 1).await;
    for sequence in 1..=LAST {
        stream.carry(0, sealed(&host, sequence)).await;
    }
    stream.included(0, LAST).await;
    let logged = site.logged(host.chain());
    let sequences = logged.iter().map(|it| it.statement().header().sequence());
    assert!(sequences.eq(1..=LAST));
}

/// A record as a relay may change it, and the code of its refusal.
fn changed(host: &Host, other: &Host) -> Vec<(&'static str, v1::Envelope, &'static str)> {
    let good = sealed(host, 2);
    let change = |how: &dyn Fn(&mut v1::Envelope)| {
        let mut changed = good.clone();
        how(&mut changed);
        changed
    };
    let without_lines = Envelope::open(good.clone()).unwrap().without_lines();
    vec![
        (
            "its signature",
            change(&|it| *it.statement.last_mut().unwrap() ^= 1),
            "signature",
        ),
        ("another host's statement", sealed(other, 2), "other-chain"),
        (
            "a line",
            change(&|it| *it.leaves[1].last_mut().unwrap() ^= 1),
            "leaves",
        ),
        (
            "a line left out",
            change(&|it| drop(it.leaves.pop())),
            "leaves",
        ),
        ("the salts", change(&|it| it.seed[0] ^= 1), "leaves"),
        ("its lines withheld", without_lines.message(), "not-carried"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_changes_is_refused_and_its_host_loses_not_even_a_line() {
    let site = Site::new().await;
    let (mut host, other) = (site.host("gpu-1").await, site.host("gpu-2").await);
    let mut stream = site.carrying(&host).await;
    stream.carry(0, sealed(&host, 1)).await;
    stream.included(0, 1).await;
    let mut place = 0;
    for (what, envelope, code) in changed(&host, &other) {
        stream.carry(place, envelope).await;
        assert_eq!(stream.refused(place).await.code, code, "{what}");
        let joined = stream.join(&[host.chain()]).await;
        assert_eq!(joined.places[0].sequence, 1, "{what}");
        place = joined.first;
    }
    assert_eq!(site.sends_itself(&mut host).await, Outcome::Included);
    for entry in site.logged(host.chain()) {
        assert!(entry.tree().is_some(), "all that it sealed has its leaves");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_signs_two_histories_ends_its_own_place_and_no_other() {
    let site = Site::new().await;
    let (mut host, other) = (site.host("gpu-1").await, site.host("gpu-2").await);
    let first = host.sealed.clone();
    host.fork();
    let mut stream = site.carrying(&host).await;
    stream.join(&[other.chain()]).await;
    for envelope in &first[1..] {
        stream.carry(0, envelope.clone()).await;
    }
    stream.carry(0, sealed(&host, LAST)).await;
    let refused = stream.refused(0).await;
    assert_eq!((refused.code.as_str(), refused.sequence), ("frozen", LAST));
    for sequence in 1..=LAST {
        stream.carry(1, sealed(&other, sequence)).await;
    }
    stream.included(1, LAST).await;
    let findings = site.deployment.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].0, "CHAIN_FORK");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_holds_back_its_host_sends_itself_and_no_relay_shuts_it_out() {
    let site = Site::new().await;
    let (address, ca) = (site.deployment.address(), site.deployment.ca());
    let mut host = site.host("gpu-1").await;
    // The relay joins and says nothing.
    let mut stream = site.carrying(&host).await;
    let chain = host.chain();
    let session = tokio::spawn(async move { host.stay(&address, &ca).await });
    assert_eq!(stream.refused(0).await.code, "not-carried");
    for _ in 0..50 {
        let joined = stream.join(&[chain]).await;
        let refused = &joined.places[0].refused;
        assert!(refused.contains("connected itself"), "{refused}");
    }
    affiant_tests::until("all to be INCLUDED", PATIENCE, || {
        let listed = site.deployment.json(&["host", "list", "--json"]);
        (listed[0]["included_sequence"] == LAST).then_some(())
    });
    assert!(!session.is_finished(), "its connection stands");
    session.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_floods_and_reads_no_answer_keeps_nobody_from_the_log() {
    let site = Site::new().await;
    let (host, mut other) = (site.host("gpu-1").await, site.host("gpu-2").await);
    let mut floods = Vec::new();
    for number in 0..4 {
        let mut stream = site.stream().await;
        let flooding = site.host(&format!("gpu-{number}-of-the-flood")).await;
        let (chain, known) = (host.chain(), sealed(&flooding, 1));
        stream.join(&[flooding.chain()]).await;
        floods.push(tokio::spawn(async move {
            // The same record as fast as it goes; half of them also take a host from each other.
            while stream.carry(0, known.clone()).await {
                if number % 2 == 0 {
                    stream.ask_to_join(&[chain]).await;
                }
            }
        }));
    }
    for _ in 0..5 {
        other.seal_usage();
        let sent = tokio::time::timeout(PATIENCE, site.sends_itself(&mut other)).await;
        assert_eq!(sent, Ok(Outcome::Included));
    }
    assert!(floods.iter().all(|flood| !flood.is_finished()));
    floods.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_the_protocol_ends_alone() {
    let site = Site::new().await;
    let host = site.host("gpu-1").await;
    let mut good = site.carrying(&host).await;
    let hello = v1::RelayHello {
        chain: site.relay.chain().as_bytes().to_vec(),
        version: "test".into(),
    };
    let nothing = v1::RelayRecord {
        place: 1,
        envelope: None,
    };
    let stranger = v1::RelayRecord {
        place: 2,
        envelope: Some(sealed(&host, 1)),
    };
    let crowd = v1::RelayJoin {
        chains: vec![vec![7; 32]; 1_025],
    };
    let broken = [
        (Request::Hello(hello), "a hello comes first"),
        (Request::Record(nothing), "without a statement"),
        (Request::Record(stranger), "was not joined"),
        (Request::Join(crowd), "at most 1,024"),
    ];
    for (number, (body, why)) in broken.into_iter().enumerate() {
        let lone = site.host(&format!("lone-{number}")).await;
        let mut stream = site.stream().await;
        let joined = stream.join(&[digest(b"nobody"), lone.chain()]).await;
        assert_eq!(joined.places[1].refused, "");
        stream.ask(body).await;
        let said = stream.ended().await;
        assert!(said.contains(why), "{why}: {said}");
    }
    let mut full = site.stream().await;
    for _ in 0..64 {
        full.join(&[digest(b"nobody"); 1_024]).await;
    }
    full.ask_to_join(&[host.chain()]).await;
    assert!(full.ended().await.contains("at most 65,536 places"));
    good.carry(0, sealed(&host, 1)).await;
    good.included(0, 1).await;
}
