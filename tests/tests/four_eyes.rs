//! Four eyes cannot be got round: what the verifier refuses before it reaches the log, and what it
//! logs and lets have no effect. `SECURITY.md` has the table.
//!
//! The judge's own cases stand in `verifier/judge/tests/four_eyes.rs`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;

use affiant_proto::{
    Body, Digest, Ed25519Signer, Signer as _, Statement, authority::officer_approval_bytes,
    statement::Place, v1,
};
use affiant_tests::Deployment;
use affiant_verifier::{
    client::{Client, Silence},
    data::DataDir,
    keyfile,
    rpc::admin as rpc,
};

const TENANT: &str = "\
[[party]]\nid = \"acme\"\nnames = [\"Acme Ltd.\"]\nincorporation = \"GB\"\nheadquarters = \"GB\"\n\
[[tenant]]\nid = \"t\"\ncustomer = \"acme\"\nend_customer = \"acme\"\nultimate_parent = \"acme\"\n";

async fn client(deployment: &Deployment) -> Client {
    let socket = DataDir::at(&deployment.data()).socket();
    Client::connect(&socket, &Silence::default()).await.unwrap()
}

fn signer(deployment: &Deployment, name: &str) -> Ed25519Signer {
    keyfile::read_signer(&deployment.key(name)).unwrap()
}

/// Submits statements as they are; gives the reason where they are refused.
async fn submit(deployment: &Deployment, statements: &[&Statement]) -> Result<(), String> {
    let statements = statements.iter().map(|made| made.as_bytes().to_vec());
    let request = rpc::SubmitRequest {
        statements: statements.collect(),
    };
    let answer = client(deployment).await.calls().submit(request).await;
    answer.map(|_| ()).map_err(|status| {
        assert!(status.message().contains("nothing was logged"), "{status}");
        status.message().to_owned()
    })
}

fn seal(body: impl Into<Body>, place: Place, signer: &Ed25519Signer) -> Statement {
    let time = v1::Time {
        unix_ms: 1_795_407_660_000,
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    };
    Statement::seal(body.into(), place, time, None, signer).unwrap()
}

/// Where the next statement of the officer with this key stands.
async fn next(deployment: &Deployment, officer: &Ed25519Signer) -> Place {
    let key = officer.public_key().as_bytes().to_vec();
    let asked = rpc::OfficerHeadRequest { key };
    let head = client(deployment).await.calls().officer_head(asked).await;
    let head = head.unwrap().into_inner();
    Place::Link {
        chain: Digest::try_from(head.chain.as_slice()).unwrap(),
        sequence: head.sequence + 1,
        previous: Digest::try_from(head.head.as_slice()).unwrap(),
    }
}

async fn genesis(deployment: &Deployment) -> Digest {
    let key = signer(deployment, "alice").public_key().as_bytes().to_vec();
    let asked = rpc::OfficerHeadRequest { key };
    let head = client(deployment).await.calls().officer_head(asked).await;
    Digest::try_from(head.unwrap().into_inner().genesis.as_slice()).unwrap()
}

/// An approval of the tenant as it stands.
async fn approval(deployment: &Deployment) -> v1::Decision {
    let asked = rpc::DossierRequest { tenant: "t".into() };
    let dossier = client(deployment).await.calls().dossier(asked).await;
    let dossier = affiant_proto::digest(&dossier.unwrap().into_inner().dossier);
    v1::Decision {
        tenant: "t".into(),
        dossier: dossier.as_bytes().to_vec(),
        verdict: v1::Verdict::Approve.into(),
        ..Default::default()
    }
}

fn state(deployment: &Deployment) -> String {
    let tenants = deployment.json(&["tenant", "list", "--json"]);
    tenants[0]["state"].as_str().unwrap().to_owned()
}

/// How many decisions the log has. Stops the verifier.
fn decisions(deployment: &mut Deployment) -> usize {
    deployment.stop();
    let entries = deployment.log_entries();
    let statements = entries.iter().map(|bytes| {
        let envelope = affiant_proto::Envelope::parse(bytes).unwrap();
        matches!(envelope.statement().body(), Body::Decision(_))
    });
    statements.filter(|is| *is).count()
}

fn approve(deployment: &Deployment, officer: &str) {
    let key = deployment.key(officer);
    deployment.succeed(&["tenant", "approve", "t", "--key", key.to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_is_sent_again_never_reaches_the_log() {
    let mut deployment = Deployment::new();
    deployment.apply(TENANT);
    let alice = signer(&deployment, "alice");
    let place = next(&deployment, &alice).await;
    let decision = seal(approval(&deployment).await, place, &alice);
    submit(&deployment, &[&decision]).await.unwrap();
    let again = submit(&deployment, &[&decision]).await.unwrap_err();
    assert!(again.contains("due"), "{again}");
    let twice = submit(&deployment, &[&decision, &decision]).await;
    assert!(twice.is_err());
    // Nor behind another statement of hers, with the place that it would have there.
    deployment.apply(&TENANT.replace("Acme Ltd.", "Acme plc"));
    assert!(submit(&deployment, &[&decision]).await.is_err());
    assert_eq!(state(&deployment), "applied");
    assert_eq!(decisions(&mut deployment), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_another_deployment_is_refused_though_the_officer_and_the_tenant_are_the_same()
 {
    let (mut here, there) = (Deployment::new(), Deployment::new());
    there.officer("carol");
    for file in ["carol.key", "carol.pub"] {
        fs::copy(there.path(file), here.path(file)).unwrap();
    }
    // Approvals of her key by the other deployment's officers admit her there alone.
    there.admit("carol", &["alice", "bob"]).unwrap();
    let carol = signer(&there, "carol");
    let opening = |genesis: Digest| v1::Officer {
        genesis: genesis.as_bytes().to_vec(),
        name: "carol".into(),
        key: carol.public_key().as_bytes().to_vec(),
        ..Default::default()
    };
    let cites_there = seal(opening(genesis(&there).await), Place::Opening, &carol);
    let refused = submit(&here, &[&cites_there]).await.unwrap_err();
    assert!(refused.contains("another genesis"), "{refused}");
    here.admit("carol", &["alice", "bob"]).unwrap();
    for deployment in [&here, &there] {
        deployment.apply(TENANT);
    }
    let decision = seal(approval(&there).await, next(&there, &carol).await, &carol);
    let refused = submit(&here, &[&decision]).await.unwrap_err();
    assert!(refused.contains("chain"), "{refused}");
    submit(&there, &[&decision]).await.unwrap();
    assert_eq!(decisions(&mut here), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_the_server_made_approves_nothing() {
    let mut deployment = Deployment::new();
    deployment.apply(TENANT);
    let operator = keyfile::read_signer(&DataDir::at(&deployment.data()).operator_key()).unwrap();
    let alice = signer(&deployment, "alice");
    let decision = approval(&deployment).await;
    // In the operator's own chain.
    let own = Place::Link {
        chain: genesis(&deployment).await,
        sequence: 99,
        previous: Digest::new([1; 32]),
    };
    let made = seal(decision.clone(), own, &operator);
    let refused = submit(&deployment, &[&made]).await.unwrap_err();
    assert!(refused.contains("not an officer's statement"), "{refused}");
    // In the chain of an officer.
    let hers = next(&deployment, &alice).await;
    let made = seal(decision, hers, &operator);
    assert!(submit(&deployment, &[&made]).await.is_err());
    // As an officer whom it names itself.
    let opening = v1::Officer {
        genesis: genesis(&deployment).await.as_bytes().to_vec(),
        name: "alice".into(),
        key: operator.public_key().as_bytes().to_vec(),
        ..Default::default()
    };
    let made = seal(opening, Place::Opening, &operator);
    let refused = submit(&deployment, &[&made]).await.unwrap_err();
    assert!(
        refused.contains("neither named by the genesis"),
        "{refused}"
    );
    assert_eq!(state(&deployment), "applied");
    assert_eq!(decisions(&mut deployment), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_is_not_minted_by_himself_by_one_officer_twice_or_by_strangers() {
    let deployment = Deployment::new();
    for name in ["mallory", "crony", "pal"] {
        deployment.officer(name);
    }
    for by in [
        &["mallory", "mallory"][..],
        &["alice"],
        &["alice", "alice"],
        &["alice", "mallory"],
        &["crony", "pal"],
        &["alice", "crony"],
    ] {
        let refused = deployment.admit("mallory", by).unwrap_err();
        assert!(
            refused.contains("neither named by the genesis nor admitted"),
            "{by:?}: {refused}"
        );
    }
    // An approval of another's key admits nobody else.
    let (alice, bob) = (signer(&deployment, "alice"), signer(&deployment, "bob"));
    let mallory = signer(&deployment, "mallory");
    let of_crony = officer_approval_bytes(
        genesis(&deployment).await,
        signer(&deployment, "crony").public_key().as_bytes(),
        "crony",
    );
    let approval = |by: &Ed25519Signer| v1::OfficerApproval {
        officer: by.public_key().as_bytes().to_vec(),
        signature: by.sign(&of_crony).unwrap().to_vec(),
    };
    let opening = v1::Officer {
        genesis: genesis(&deployment).await.as_bytes().to_vec(),
        name: "mallory".into(),
        key: mallory.public_key().as_bytes().to_vec(),
        approvals: vec![approval(&alice), approval(&bob)],
        ..Default::default()
    };
    let made = seal(opening, Place::Opening, &mallory);
    assert!(submit(&deployment, &[&made]).await.is_err());
    deployment.admit("mallory", &["alice", "bob"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_officer_twice_and_one_of_the_applicants_own_are_logged_and_have_no_effect() {
    let deployment = Deployment::new();
    deployment.apply(TENANT);
    approve(&deployment, "alice");
    approve(&deployment, "alice");
    assert_eq!(state(&deployment), "applied");
    assert_eq!(deployment.findings(), []);
    // Bob turns out to act for the customer.
    deployment.apply(
        "[[party]]\nid = \"bob-lee\"\nkind = \"person\"\nnames = [\"Bob Lee\"]\nincorporation = \"unknown\"\n\
         headquarters = \"GB\"\nidentifiers = [{ scheme = \"officer\", value = \"bob\" }]\n\
         [[edge]]\nfrom = \"bob-lee\"\nto = \"acme\"\nkind = \"acts_for\"\n",
    );
    approve(&deployment, "bob");
    assert_eq!(state(&deployment), "applied");
    let found = deployment.findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].0.as_str(), found[0].1.as_str()),
        ("SELF_APPROVAL", "t")
    );
    // A third officer may.
    deployment.officer("carol");
    deployment.admit("carol", &["alice", "bob"]).unwrap();
    approve(&deployment, "carol");
    assert_eq!(state(&deployment), "approved");
}
