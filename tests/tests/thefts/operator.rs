//! The operator's key: it speaks for the operator, and only the verifier writes the log.

use affiant_proto::{Ed25519Signer, Envelope, Statement, authority::Refused, statement::Place, v1};
use affiant_tests::{Deployment, Host, Outcome};
use affiant_verifier::{
    client::{Client, Silence},
    data::DataDir,
    keyfile,
    rpc::admin as rpc,
};

use crate::{enrolled, sends};

/// What a thief makes of the key and of where the operator's chain stands.
fn forged(body: impl Into<affiant_proto::Body>, place: Place, key: &Ed25519Signer) -> Statement {
    let time = v1::Time {
        unix_ms: 1_900_000_000_000,
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    };
    Statement::seal(body.into(), place, time, None, key).unwrap()
}

fn ban(host: &Host) -> v1::HostEvent {
    v1::HostEvent {
        host_chain: host.chain().as_bytes().to_vec(),
        kind: v1::HostEventKind::Ban.into(),
        reason: "by the thief".into(),
        ..Default::default()
    }
}

fn revocation(host: &Host) -> v1::Revocation {
    let key = host.state().key().id();
    v1::Revocation {
        key_id: key.as_bytes().to_vec(),
        reason: "by the thief".into(),
        r#use: v1::KeyUse::Record.into(),
        ..Default::default()
    }
}

/// Tries every door that a statement may enter by; gives what was said at each.
async fn tried(deployment: &Deployment, statement: &Statement, mallory: &mut Host) -> Vec<String> {
    let bytes = statement.as_bytes().to_vec();
    let socket = DataDir::at(&deployment.data()).socket();
    let mut client = Client::connect(&socket, &Silence::default()).await.unwrap();
    let statements = vec![bytes.clone()];
    let submitted = client.calls().submit(rpc::SubmitRequest { statements });
    let submitted = submitted.await.unwrap_err().message().to_owned();
    let envelope = Envelope::join(statement.clone(), None).unwrap().message();
    let (address, ca) = (deployment.address(), deployment.ca());
    let sent = mallory.send_one(envelope, &address, &ca).await;
    let enrolled = mallory.enrol_with(bytes, &address, &ca).await;
    let enrolled = enrolled.unwrap_err().message().to_owned();
    vec![submitted, format!("{sent:?}"), enrolled]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_operators_key_finds_no_door_to_the_log_and_is_worth_nothing_once_it_is_changed() {
    let mut deployment = Deployment::judged_by("");
    let mut host = enrolled(&deployment, "gpu-1").await;
    let token = deployment.token("gpu-2", "1h");
    let mallory = Host::enrol("gpu-2", &deployment.address(), &deployment.ca(), &token).await;
    let mut mallory = mallory.unwrap();
    let kept = deployment.keep_checkpoint("kept");
    let data = DataDir::at(&deployment.data());
    let stolen = keyfile::read_signer(&data.operator_key()).unwrap();

    // The thief knows where the operator's chain stands: every report shows it.
    deployment.stop();
    let log = deployment.read_log();
    let place = log.authorities.operator().next_place();
    let bodies = [
        forged(ban(&host), place, &stolen),
        forged(revocation(&host), place, &stolen),
    ];
    deployment.start();
    for statement in &bodies {
        // Made by the right key, they would hold if they came to stand in the log.
        let mut there = log.authorities.clone();
        there
            .admit(Some(log.size), statement.clone(), false)
            .unwrap();
        let said = tried(&deployment, statement, &mut mallory).await;
        assert!(said[0].contains("not an officer's statement"), "{said:?}");
        assert_eq!(said[1], "Refused(\"other-chain\")");
        assert!(said[2].contains("not an enrolment"), "{said:?}");
    }
    assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);

    deployment.succeed(&["key", "rotate", "operator"]);
    assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);
    deployment.stop();
    let log = deployment.read_log();
    let place = log.authorities.operator().next_place();
    for late in [
        forged(ban(&host), place, &stolen),
        forged(revocation(&host), place, &stolen),
    ] {
        let mut there = log.authorities.clone();
        let refused = there.admit(Some(log.size), late, false).unwrap_err();
        assert!(matches!(&refused, Refused::Chain(_)), "{refused}");
        assert_eq!(refused.code(), "signature");
    }
    deployment.start();
    assert_eq!(sends(&deployment, &mut host).await, Outcome::Included);
    deployment.audit(&kept).assert(0, "clean", "kept", &[]);
}
