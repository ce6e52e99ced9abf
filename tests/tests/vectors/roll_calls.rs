//! A log of forty minutes with its roll calls: who is open, who is silent, and what excuses him.

use affiant_judge::{Docket, Judge, Parameters};
use affiant_proto::{Body, Envelope, statement::Place, v1};
use serde_json::{Value, json};

use crate::{
    authority,
    bytes::hex,
    example::{EPOCH_MS, Example, NVML_ONLY, public, seal, stand_in},
};

struct Log {
    docket: Docket,
    statements: Vec<String>,
    calls: Vec<Value>,
}

impl Log {
    fn take(&mut self, envelope: Envelope) {
        let index = self.statements.len() as u64;
        self.statements.push(hex(envelope.statement().as_bytes()));
        self.docket.take_whole(index, envelope).unwrap();
    }

    fn operator(&mut self, body: impl Into<Body>, after_ms: u64) {
        let place = self.docket.authorities().operator().next_place();
        let made = seal(body, place, after_ms, None, 1);
        self.take(Envelope::join(made, None).unwrap());
    }

    /// A clock, and the roll call that is due behind it.
    fn call(&mut self, after_ms: u64) {
        self.operator(v1::Clock::default(), after_ms);
        let call = self.docket.roll_call().unwrap();
        let silent: Vec<String> = call.silent.iter().map(hex).collect();
        self.calls.push(json!({
            "index": self.statements.len(),
            "size": call.size,
            "since": call.since,
            "root": hex(&call.root),
            "count": call.count,
            "silent": silent,
            "silent_count": call.silent_count,
        }));
        self.operator(call, after_ms);
    }
}

/// The file.
pub fn all() -> Value {
    let example = Example::new();
    let judge = Judge::new(Parameters::default());
    let genesis = example.genesis.clone();
    let (docket, _) = Docket::open(0, genesis.clone(), NVML_ONLY, judge).unwrap();
    let mut log = Log {
        docket,
        statements: vec![hex(genesis.as_bytes())],
        calls: Vec::new(),
    };
    let alone = |statement| Envelope::join(statement, None).unwrap();
    log.take(alone(example.clock.clone()));
    let officers = authority::spoken().into_iter().skip(2).take(2);
    officers.for_each(|officer| log.take(alone(officer)));
    log.take(alone(example.enrolment.clone()));
    let other = v1::Enrolment {
        genesis: genesis.digest().as_bytes().to_vec(),
        host: "host-b".into(),
        record_key: public(13),
        identity_key: stand_in("example identity key b"),
        ..Default::default()
    };
    let other = seal(other, Place::Opening, 3_000, None, 13);
    let hosts = [example.enrolment.digest(), other.digest()];
    log.take(alone(other));
    let relay = v1::RelayEnrolment {
        genesis: genesis.digest().as_bytes().to_vec(),
        relay: "relay-a".into(),
        relay_key: public(14),
        site: "hall-2".into(),
        identity_key: stand_in("example identity key of a relay"),
        ..Default::default()
    };
    log.take(alone(seal(relay, Place::Opening, 3_500, None, 14)));
    log.take(example.inventory.clone());
    log.take(example.workloads.clone());
    log.call(601_000);
    log.take(example.usage.clone());
    log.call(1_201_000);
    let event = |host: usize, kind: v1::HostEventKind, until: Option<u64>| v1::HostEvent {
        host_chain: hosts[host].as_bytes().to_vec(),
        kind: kind.into(),
        reason: "fans".into(),
        until_unix_ms: until.map(|after| EPOCH_MS + after),
        ..Default::default()
    };
    let maintenance = event(1, v1::HostEventKind::Maintenance, Some(1_900_000));
    log.operator(maintenance, 1_202_000);
    log.call(1_801_000);
    log.operator(event(0, v1::HostEventKind::Retire, None), 1_802_000);
    log.call(2_401_000);
    log.call(3_001_000);
    json!({
        "what": "the statements of a log in its order, and what each roll call in it has to say: host-b is silent, then in maintenance, then silent again; host-a is silent, then retired; a relay is none of them",
        "hosts": { "host-a": hosts[0].to_string(), "host-b": hosts[1].to_string() },
        "log": log.statements,
        "roll_calls": log.calls,
    })
}
