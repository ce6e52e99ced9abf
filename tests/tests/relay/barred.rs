//! Whom a relay may not carry, and who is no relay.

use affiant_proto::digest;
use affiant_tests::{Carrier, Outcome, Relay};

use crate::{LAST, SITE, Site, sealed};

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_carries_no_host_of_another_site_and_none_that_may_not_send() {
    let site = Site::new().await;
    let elsewhere = site.host_of("hall-3", "gpu-1").await;
    let nowhere = site.host_of("", "gpu-2").await;
    let (evicted, banned) = (site.host("gpu-3").await, site.host("gpu-4").await);
    let (retired, revoked) = (site.host("gpu-5").await, site.host("gpu-6").await);
    let good = site.host("gpu-7").await;
    for (what, host) in [("evict", "gpu-3"), ("ban", "gpu-4"), ("retire", "gpu-5")] {
        site.deployment
            .succeed(&["host", what, host, "--reason", "test"]);
    }
    site.revoke(&revoked.record_key_id());
    let mut stream = site.stream().await;
    let joined = stream
        .join(&[
            elsewhere.chain(),
            nowhere.chain(),
            evicted.chain(),
            banned.chain(),
            retired.chain(),
            revoked.chain(),
            digest(b"nobody"),
            site.relay.chain(),
            good.chain(),
        ])
        .await;
    let why = [
        "another site",
        "another site",
        "evicted",
        "banned",
        "retired",
        "revoked",
        "not enrolled",
        "not enrolled",
    ];
    for (place, why) in joined.places.iter().zip(why) {
        assert!(place.refused.contains(why), "{why}: {}", place.refused);
        // Nothing is told of a host that is not carried.
        assert_eq!((place.sequence, place.included, place.index), (0, None, 0));
        assert!(place.head.is_empty());
    }
    let barred = [&elsewhere, &nowhere, &evicted, &banned, &retired, &revoked];
    for (place, host) in (0..).zip(barred) {
        for sequence in 1..=LAST {
            stream.carry(place, sealed(host, sequence)).await;
        }
    }
    for sequence in 1..=LAST {
        stream.carry(8, sealed(&good, sequence)).await;
    }
    stream.included(8, LAST).await;
    let listed = site.deployment.json(&["host", "list", "--json"]);
    for host in listed.as_array().unwrap() {
        let due = if host["host"] == "gpu-7" { LAST } else { 0 };
        assert_eq!(host["included_sequence"], due, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_carried_no_longer_once_it_may_not_send() {
    let site = Site::new().await;
    let (evicted, revoked) = (site.host("gpu-1").await, site.host("gpu-2").await);
    let good = site.host("gpu-3").await;
    let mut stream = site.stream().await;
    let chains = [evicted.chain(), revoked.chain(), good.chain()];
    stream.join(&chains).await;
    site.deployment
        .succeed(&["host", "evict", "gpu-1", "--reason", "test"]);
    let over = stream.refused(0).await;
    assert_eq!(over.code, "not-carried");
    assert!(over.text.contains("evicted"), "{}", over.text);
    site.revoke(&revoked.record_key_id());
    let over = stream.refused(1).await;
    assert_eq!(over.code, "not-carried");
    assert!(over.text.contains("revoked"), "{}", over.text);
    for (place, host) in [(0, &evicted), (1, &revoked), (2, &good)] {
        for sequence in 1..=LAST {
            stream.carry(place, sealed(host, sequence)).await;
        }
    }
    stream.included(2, LAST).await;
    let listed = site.deployment.json(&["host", "list", "--json"]);
    let listed = listed.as_array().unwrap().iter();
    let included: Vec<_> = listed
        .map(|host| host["included_sequence"].as_u64())
        .collect();
    assert_eq!(included, [Some(0), Some(0), Some(LAST)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_key_is_revoked_carries_nobody_any_more() {
    let mut site = Site::new().await;
    let (address, ca) = (site.deployment.address(), site.deployment.ca());
    let host = site.host("gpu-1").await;
    let loaded = site.carrying(&host).await;
    let empty = site.stream().await;
    site.revoke(&site.relay.key_id());
    assert!(loaded.ended().await.contains("revoked: stolen"));
    empty.ask_to_join(&[host.chain()]).await;
    assert!(empty.ended().await.contains("revoked: stolen"));
    let refused = site.relay.open(&address, &ca).await.err();
    assert!(refused.unwrap().contains("revoked: stolen"));
    let refused = site.relay.renew(&address, &ca).await.unwrap_err();
    assert!(refused.message().contains("revoked: stolen"), "{refused}");

    // Its hosts go on, by themselves or by the relay that takes its place.
    let token = site.deployment.relay_token("relay-1", SITE);
    let next = Relay::enrol(("relay-1", SITE), &address, &ca, &token).await;
    let mut stream = next.unwrap().open(&address, &ca).await.unwrap();
    stream.join(&[host.chain()]).await;
    stream.carry(0, sealed(&host, 1)).await;
    stream.included(0, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosts_certificate_opens_no_relay_and_a_relays_no_host() {
    let site = Site::new().await;
    let (address, ca) = (site.deployment.address(), site.deployment.ca());
    let mut host = site.host("gpu-1").await;
    let own = host.identity();
    for chain in [host.chain(), site.relay.chain()] {
        let refused = Carrier::open(own.clone(), chain, &address, &ca).await.err();
        let refused = refused.unwrap();
        assert!(
            refused.contains("a host's") || refused.contains("another chain"),
            "{refused}"
        );
    }
    let anonymous = Carrier::open(None, site.relay.chain(), &address, &ca).await;
    assert!(anonymous.err().unwrap().contains("client certificate"));

    host.use_tls_key(site.relay.tls_key());
    host.show(site.relay.certificates().to_vec());
    let outcome = site.sends_itself(&mut host).await;
    assert!(
        matches!(&outcome, Outcome::Broken(why) if why.contains("another chain")),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_enrols_for_the_site_of_its_token_and_once() {
    let site = Site::new().await;
    let (address, ca) = (site.deployment.address(), site.deployment.ca());
    let token = site.deployment.relay_token("relay-2", SITE);
    let hosts = site.deployment.token("relay-2", "1h");
    let tried = [
        (("relay-2", "hall-3"), &token),
        (("relay-2", ""), &token),
        (("relay-3", SITE), &token),
        (("relay-2", SITE), &hosts),
    ];
    for (named, token) in tried {
        let refused = Relay::enrol(named, &address, &ca, token).await.err();
        assert!(refused.unwrap().message().contains("token is not accepted"));
    }
    let made = Relay::enrol(("relay-2", SITE), &address, &ca, &token).await;
    made.unwrap();
    let again = Relay::enrol(("relay-2", SITE), &address, &ca, &token).await;
    let again = again.err().unwrap();
    assert!(again.message().contains("token is not accepted"));
}
