//! The invented deployment of the worked example in FORMAT.md, from stated seeds only, so that the
//! specification, the vectors and the tests of tampering speak of the same bytes.

use affiant_judge::admission::{HostChain, Sources};
use affiant_proto::{
    Body, ChainState, Digest, Ed25519Signer, Envelope, SaltedTree, Seed, Signer, Statement,
    authority::Revocations,
    digest,
    statement::Place,
    tlog::{self, Checkpoint, Cosigner, Hash, NoteSigner, Origin, SignedCheckpoint},
    v1,
};
use prost::Message as _;

/// Name of the log.
pub const ORIGIN: &str = "log.example/1";
/// Name of the witness.
pub const WITNESS: &str = "witness.example";
/// Every clock of the example begins here, in milliseconds since 1970.
pub const EPOCH_MS: u64 = 1_700_000_000_000;

/// What real measurements need; recorded ones are refused.
pub const NVML_ONLY: Sources = Sources {
    accept_recorded: false,
};

/// The keys of the example: Ed25519, from a seed of 32 equal bytes.
pub const KEYS: [(&str, u8); 7] = [
    ("operator", 1),
    ("log", 2),
    ("officer-ann", 3),
    ("officer-bo", 4),
    ("record", 5),
    ("next-record", 6),
    ("witness", 7),
];

/// The signer whose seed is 32 times `byte`.
pub fn signer(byte: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[byte; 32]).unwrap()
}

/// The public key of that signer.
pub fn public(byte: u8) -> Vec<u8> {
    signer(byte).public_key().as_bytes().to_vec()
}

/// A clock that runs `after_ms` after the epoch and is synchronized within 4 ms.
pub fn time(after_ms: u64) -> v1::Time {
    v1::Time {
        unix_ms: EPOCH_MS + after_ms,
        clock: v1::ClockState::Synchronized.into(),
        max_error_ms: Some(4),
    }
}

/// The SHA-256 of a text, where the example stands for something that it does not spell out.
pub fn stand_in(text: &str) -> Vec<u8> {
    digest(text.as_bytes()).as_bytes().to_vec()
}

/// Encodes leaves and puts them under the salts of a seed of 16 times `seed`.
pub fn tree<M: prost::Message>(seed: u8, leaves: &[M]) -> SaltedTree {
    let leaves = leaves.iter().map(prost::Message::encode_to_vec).collect();
    SaltedTree::new(Seed::new([seed; 16]), leaves).unwrap()
}

/// Where the next statement of a chain stands.
pub fn next(chain: Digest, sequence: u64, previous: Digest) -> Place {
    Place::Link {
        chain,
        sequence,
        previous,
    }
}

/// The statements of the example with what stands under their roots.
pub struct Example {
    pub genesis: Statement,
    pub clock: Statement,
    pub enrolment: Statement,
    pub inventory: Envelope,
    pub workloads: Envelope,
    pub usage: Envelope,
}

/// The two devices.
pub fn devices() -> [v1::Device; 2] {
    let device = |last: &str, serial: Option<&str>| v1::Device {
        uuid: format!("GPU-00000000-0000-0000-0000-00000000000{last}"),
        model: "NVIDIA H200".into(),
        serial: serial.map(str::to_owned),
        pci_bus_id: Some(format!("00000000:0{last}:00.0")),
        pci_device_id: Some(0x2335_10de),
        pci_subsystem_id: None,
        memory_bytes: Some(150_754_820_096),
        coverage: v1::Coverage::Full.into(),
    };
    [device("1", Some("1650024000001")), device("2", None)]
}

/// The two workloads.
pub fn workloads() -> [v1::Workload; 2] {
    [
        v1::Workload {
            platform: v1::Platform::Slurm.into(),
            unit: "slurmstepd.scope".into(),
            uid: Some(1001),
            user: "mira".into(),
            cluster: "hall-1".into(),
            slurm_job: "4711".into(),
            slurm_account: "genomics".into(),
            ..Default::default()
        },
        v1::Workload {
            platform: v1::Platform::Kubernetes.into(),
            uid: Some(0),
            container_id: "0a1b2c".into(),
            pod_uid: "6f9619ff-8b86-d011-b42d-00c04fc964ff".into(),
            namespace: "atlas".into(),
            pod: "train-0".into(),
            service_account: "trainer".into(),
            image: "registry.example/train:1".into(),
            ..Default::default()
        },
    ]
}

/// Leaf 0 of the usage record.
pub fn totals() -> v1::Totals {
    v1::Totals {
        devices: vec![
            v1::DeviceTotals {
                attributed_ms: 8_500,
                idle_ms: 1_500,
                unattributed_ms: 0,
                not_observed_ms: 0,
                energy_mj: Some(5_600_000),
            },
            v1::DeviceTotals {
                attributed_ms: 0,
                idle_ms: 7_000,
                unattributed_ms: 0,
                not_observed_ms: 3_000,
                energy_mj: None,
            },
        ],
    }
}

/// Leaves 1 to 5 of the usage record.
pub fn lines() -> [v1::UsageLine; 5] {
    let line = |device, kind: v1::LineKind, time_ms| v1::UsageLine {
        device,
        kind: kind.into(),
        time_ms,
        ..Default::default()
    };
    [
        v1::UsageLine {
            workload: Some(0),
            allocated_ms: Some(10_000),
            busy_ms: Some(5_400),
            energy_mj: Some(4_100_000),
            memory_peak_bytes: Some(68_719_476_736),
            sm_permille: Some(812),
            tensor_permille: Some(430),
            samples: 10,
            ..line(0, v1::LineKind::Attributed, 6_000)
        },
        v1::UsageLine {
            workload: Some(1),
            allocated_ms: Some(4_000),
            energy_mj: Some(1_200_000),
            samples: 4,
            missing: 1,
            ..line(0, v1::LineKind::Attributed, 2_500)
        },
        v1::UsageLine {
            energy_mj: Some(300_000),
            samples: 2,
            ..line(0, v1::LineKind::Idle, 1_500)
        },
        v1::UsageLine {
            busy_ms: Some(0),
            samples: 7,
            ..line(1, v1::LineKind::Idle, 7_000)
        },
        v1::UsageLine {
            reason: v1::Reason::DriverHung.into(),
            missing: 3,
            ..line(1, v1::LineKind::NotObserved, 3_000)
        },
    ]
}

/// The totals line and the lines under their salts.
pub fn usage_tree(totals: &v1::Totals, lines: &[v1::UsageLine]) -> SaltedTree {
    let leaves = std::iter::once(totals.encode_to_vec())
        .chain(lines.iter().map(prost::Message::encode_to_vec))
        .collect();
    SaltedTree::new(Seed::new([0xa3; 16]), leaves).unwrap()
}

impl Example {
    /// Makes them all.
    pub fn new() -> Self {
        let genesis = v1::Genesis {
            header: None,
            origin: ORIGIN.into(),
            log_key: public(2),
            operator_key: public(1),
            ca: stand_in("example ca"),
            officers: [("Ann", 3), ("Bo", 4)]
                .map(|(name, seed)| v1::OfficerKey {
                    name: name.into(),
                    key: public(seed),
                })
                .to_vec(),
            operator: "Example Cloud".into(),
        };
        let genesis = seal(genesis, Place::Opening, 0, None, 1);
        let clock = next(genesis.digest(), 1, genesis.digest());
        let clock = seal(v1::Clock { header: None }, clock, 1_000, None, 1);
        let enrolment = v1::Enrolment {
            header: None,
            genesis: genesis.digest().as_bytes().to_vec(),
            host: "host-a".into(),
            record_key: public(5),
            identity_key: stand_in("example identity key"),
            agent_version: "0.1.0".into(),
            token: stand_in("example token"),
            site: "hall-1".into(),
            predecessor: None,
        };
        let enrolment = seal(enrolment, Place::Opening, 2_000, None, 5);
        let chain = enrolment.digest();
        let table = tree(0xa1, &devices());
        let body = v1::Inventory {
            header: None,
            source: v1::SourceKind::Nvml.into(),
            library: "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1".into(),
            library_digest: stand_in("example library"),
            driver_version: "580.95.05".into(),
            root: table.root().as_bytes().to_vec(),
            count: table.count(),
        };
        let inventory = seal(body, next(chain, 1, chain), 3_000, None, 5);
        let inventory = Envelope::join(inventory, Some(table)).unwrap();
        let table = tree(0xa2, &workloads());
        let body = v1::Workloads {
            header: None,
            root: table.root().as_bytes().to_vec(),
            count: table.count(),
        };
        let place = next(chain, 2, inventory.statement().digest());
        let workloads = seal(body, place, 4_000, None, 5);
        let workloads = Envelope::join(workloads, Some(table)).unwrap();
        let seen = [&genesis, &clock, &enrolment].map(entry);
        let seen = v1::CheckpointRef {
            origin: ORIGIN.into(),
            size: 3,
            root: tlog::root_of(&seen).as_bytes().to_vec(),
        };
        let tree = usage_tree(&totals(), &lines());
        let body = usage_body(&tree);
        let place = next(chain, 3, workloads.statement().digest());
        let usage = seal(body, place, 14_000, Some(seen), 5);
        let usage = Envelope::join(usage, Some(tree)).unwrap();
        Self {
            genesis,
            clock,
            enrolment,
            inventory,
            workloads,
            usage,
        }
    }

    /// The log of the example: all statements in order.
    pub fn log(&self) -> [&Statement; 6] {
        [
            &self.genesis,
            &self.clock,
            &self.enrolment,
            self.inventory.statement(),
            self.workloads.statement(),
            self.usage.statement(),
        ]
    }

    /// The tree over the log.
    pub fn tree(&self) -> tlog::MemoryTree {
        let mut tree = tlog::MemoryTree::default();
        self.log()
            .map(entry)
            .into_iter()
            .for_each(|leaf| tree.push(leaf));
        tree
    }

    /// The checkpoint over the whole log, signed by its key.
    pub fn checkpoint(&self) -> SignedCheckpoint {
        let origin: Origin = ORIGIN.parse().unwrap();
        let key = NoteSigner::new(origin.key_name(), signer(2)).unwrap();
        let root = tlog::root_of(&self.log().map(entry));
        Checkpoint::new(origin, 6, root)
            .unwrap()
            .sign(&key)
            .unwrap()
    }

    /// The witness of the example.
    pub fn witness() -> Cosigner<Ed25519Signer> {
        Cosigner::new(WITNESS.parse().unwrap(), signer(7)).unwrap()
    }

    /// The host's chain as a verifier holds it after the first `admitted` of inventory, workloads
    /// and usage.
    pub fn chain_after(&self, admitted: usize) -> HostChain {
        let (mut chain, _) = HostChain::open(
            self.enrolment.clone(),
            self.genesis.digest(),
            &Revocations::default(),
            None,
        )
        .unwrap();
        for envelope in [&self.inventory, &self.workloads, &self.usage]
            .into_iter()
            .take(admitted)
        {
            chain
                .admit(envelope.clone(), NVML_ONLY, &Revocations::default())
                .unwrap();
        }
        chain
    }
}

/// The body of the usage record over any leaves.
pub fn usage_body(tree: &SaltedTree) -> v1::Usage {
    v1::Usage {
        header: None,
        boot: 1,
        start_ms: 60_000,
        end_ms: 70_000,
        wall_start_ms: EPOCH_MS + 4_000,
        wall_end_ms: EPOCH_MS + 14_000,
        source: v1::SourceKind::Nvml.into(),
        inventory: 1,
        workloads: 2,
        usage_root: tree.root().as_bytes().to_vec(),
        usage_count: tree.count(),
    }
}

/// Seals a body with the key of seed `key`.
pub fn seal(
    body: impl Into<Body>,
    place: Place,
    after_ms: u64,
    seen: Option<v1::CheckpointRef>,
    key: u8,
) -> Statement {
    Statement::seal(body.into(), place, time(after_ms), seen, &signer(key)).unwrap()
}

/// Seals what comes next in a chain, and its envelope.
pub fn follow(
    state: &ChainState,
    body: impl Into<Body>,
    tree: Option<SaltedTree>,
    key: u8,
) -> Envelope {
    let statement = seal(body, state.next_place(), 24_000, None, key);
    Envelope::join(statement, tree).unwrap()
}

/// The leaf hash of a statement in the log.
pub fn entry(statement: &Statement) -> Hash {
    tlog::leaf_hash(statement.digest().as_bytes())
}
