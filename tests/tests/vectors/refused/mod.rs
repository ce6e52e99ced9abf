//! What every implementation must refuse: bytes, what is wrong with them, and the refusal.
//!
//! The expected refusal is written beside each fault; regenerating the files never changes it.

mod authority;
mod chain;
mod contents;
mod header;
mod keys;
mod payload;
mod usage;
mod wrapper;

use affiant_judge::admission::HostChain;
use affiant_proto::{
    ChainState, Disclosure, Envelope, Malformed, PublicKey, Statement,
    authority::Revocations,
    salted::Shown,
    tlog::{AddCheckpoint, Checkpoint, CosignerKey, Hash, Note, NoteKey},
};
use serde_json::{Value, json};

pub use keys::{mixed_order, rfc6979_key, rfc6979_low, rfc6979_lowered};

use crate::{
    bytes::{hex, unhex},
    example::{Example, NVML_ONLY},
};

/// A statement that one of the steps of reading refuses.
fn statement(fault: &str, bytes: Vec<u8>, step: &'static str) -> Refused {
    Refused::new(fault, ReadAs::Statement, bytes, step)
}

/// A `clock` over any payload, rightly wrapped and signed.
fn clock(payload: &[u8]) -> Vec<u8> {
    crate::bytes::statement("clock", payload, &crate::example::signer(1))
}

/// The time in the header of the example's clock.
fn moment() -> Vec<u8> {
    prost::Message::encode_to_vec(&crate::example::time(1_000))
}

/// The record on which the faults of usage are built.
pub fn usage_after() -> Envelope {
    usage::sealed(
        usage::good(),
        crate::example::usage_tree(&crate::example::totals(), &crate::example::lines()),
    )
}

/// One thing that is refused.
pub struct Refused {
    /// What is wrong with it.
    pub fault: String,
    /// How it is to be read.
    pub read_as: ReadAs,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The refusal: a code of FORMAT.md, or the step of reading that refuses.
    pub refusal: &'static str,
}

/// What a reader takes the bytes for.
pub enum ReadAs {
    /// A statement alone; refused by one of the steps `too-long`, `wrapper`, `content-type`,
    /// `payload`, `respelled` and `header`, all of which are `spelling` to who sent it.
    Statement,
    /// A statement that opens a chain with the key that it names.
    Opening,
    /// An encoded envelope.
    Envelope,
    /// An encoded envelope of the example's host, after so many of `sent` in `host.json`.
    Sent(usize),
    /// A statement of the operator or an officer, after those of `authority` in `chains.json`.
    Said,
    /// An Ed25519 key.
    Ed25519,
    /// A P-256 key.
    Esp256,
    /// A signature of the message by the key.
    Signature {
        esp256: bool,
        key: Vec<u8>,
        message: Vec<u8>,
    },
    /// A leaf that is shown alone under a root.
    Shown {
        root: Vec<u8>,
        count: u32,
        index: u32,
        salt: [u8; 16],
        proof: Vec<Hash>,
    },
    /// A signed note.
    Note,
    /// The text of a checkpoint.
    Checkpoint,
    /// A vkey of type 0x01.
    LogKey,
    /// A vkey of type 0x04.
    WitnessKey,
    /// The body of an add-checkpoint request.
    AddCheckpoint,
}

/// Every file of the corpus with its lines.
pub fn all() -> Vec<(&'static str, Vec<Refused>)> {
    vec![
        ("refused/wrapper.jsonl", wrapper::wrapper()),
        ("refused/payload.jsonl", payload::payload()),
        ("refused/header.jsonl", header::header()),
        ("refused/key.jsonl", keys::keys()),
        ("refused/signature.jsonl", keys::signatures()),
        ("refused/chain.jsonl", chain::chain()),
        ("refused/authority.jsonl", authority::authority()),
        ("refused/envelope.jsonl", contents::envelopes()),
        ("refused/shown.jsonl", contents::shown()),
        ("refused/usage.jsonl", usage::usage()),
        ("refused/note.jsonl", contents::notes()),
    ]
}

impl Refused {
    fn new(
        fault: impl Into<String>,
        read_as: ReadAs,
        bytes: Vec<u8>,
        refusal: &'static str,
    ) -> Self {
        Self {
            fault: fault.into(),
            read_as,
            bytes,
            refusal,
        }
    }

    /// The line of the corpus.
    pub fn to_json(&self) -> Value {
        // What is refused for its length ends in zeroes that need not be written out.
        let kept = self
            .bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let zeros = self.bytes.len() - kept;
        let (shown, zeros) = if zeros > 1_024 {
            (kept, zeros)
        } else {
            (self.bytes.len(), 0)
        };
        let mut line = json!({
            "fault": self.fault,
            "read_as": self.read_as.name(),
            "hex": hex(&self.bytes[..shown]),
            "refusal": self.refusal,
        });
        if zeros > 0 {
            line["zeros_after"] = zeros.into();
        }
        let mut put = |name: &str, value: Value| {
            line[name] = value;
        };
        match &self.read_as {
            ReadAs::Sent(after) => put("after", (*after).into()),
            ReadAs::Signature { key, message, .. } => {
                put("key", hex(key).into());
                put("message", hex(message).into());
            }
            ReadAs::Shown {
                root,
                count,
                index,
                salt,
                proof,
            } => {
                put("root", hex(root).into());
                put("count", (*count).into());
                put("index", (*index).into());
                put("salt", hex(salt).into());
                put("proof", proof.iter().map(hex).collect());
            }
            _ => {}
        }
        line
    }
}

impl ReadAs {
    fn name(&self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Opening => "opening",
            Self::Envelope => "envelope",
            Self::Sent(_) => "sent",
            Self::Said => "said",
            Self::Ed25519 => "ed25519-key",
            Self::Esp256 => "esp256-key",
            Self::Signature { esp256: false, .. } => "ed25519-signature",
            Self::Signature { esp256: true, .. } => "esp256-signature",
            Self::Shown { .. } => "shown-leaf",
            Self::Note => "note",
            Self::Checkpoint => "checkpoint",
            Self::LogKey => "log-vkey",
            Self::WitnessKey => "witness-vkey",
            Self::AddCheckpoint => "add-checkpoint",
        }
    }
}

/// Reads a line of the corpus and gives the refusal; `None` when it is accepted.
pub fn read(line: &Value, example: &Example) -> Option<String> {
    let zeros = line["zeros_after"]
        .as_u64()
        .map_or(0, |zeros| usize::try_from(zeros).unwrap());
    let bytes = [unhex(line["hex"].as_str().unwrap()), vec![0; zeros]].concat();
    let text = || std::str::from_utf8(&bytes).unwrap();
    let given = |name: &str| unhex(line[name].as_str().unwrap());
    let number = |name: &str| line[name].as_u64().unwrap();
    let refusal = match line["read_as"].as_str().unwrap() {
        "statement" => step(&Statement::parse(&bytes).err()?),
        "opening" => opening(&bytes)?,
        "envelope" => Envelope::parse(&bytes).err()?.code(),
        "sent" => {
            let chain = example.chain_after(usize::try_from(number("after")).unwrap());
            sent(chain, &bytes)?
        }
        "said" => {
            let statement = Statement::parse(&bytes).unwrap();
            let mut authorities = crate::authority::heard(&crate::authority::spoken());
            let index = Some(crate::authority::NEXT_INDEX);
            authorities.admit(index, statement, false).err()?.code()
        }
        "ed25519-key" => PublicKey::ed25519(&bytes).err().map(|_| "key")?,
        "esp256-key" => PublicKey::esp256(&bytes).err().map(|_| "key")?,
        "ed25519-signature" => {
            let key = PublicKey::ed25519(&given("key")).unwrap();
            key.verify(&given("message"), bytes.as_slice().try_into().unwrap())
                .err()
                .map(|_| "signature")?
        }
        "esp256-signature" => {
            let key = PublicKey::esp256(&given("key")).unwrap();
            key.verify(&given("message"), bytes.as_slice().try_into().unwrap())
                .err()
                .map(|_| "signature")?
        }
        "shown-leaf" => {
            let proof = line["proof"].as_array().unwrap().iter();
            let proof = proof
                .map(|hash| hash.as_str().unwrap().parse().unwrap())
                .collect();
            let shown = Shown {
                index: u32::try_from(number("index")).unwrap(),
                salt: given("salt").try_into().unwrap(),
                content: bytes.clone(),
            };
            let disclosure = Disclosure {
                shown: vec![shown],
                proof,
            };
            let count = u32::try_from(number("count")).unwrap();
            disclosure
                .matches(&given("root"), count)
                .err()
                .map(|_| "leaves")?
        }
        "note" => Note::parse(&bytes).err().map(|_| "note")?,
        "checkpoint" => text().parse::<Checkpoint>().err().map(|_| "checkpoint")?,
        "log-vkey" => text().parse::<NoteKey>().err().map(|_| "vkey")?,
        "witness-vkey" => text().parse::<CosignerKey>().err().map(|_| "vkey")?,
        "add-checkpoint" => AddCheckpoint::parse(&bytes)
            .err()
            .map(|_| "add-checkpoint")?,
        other => panic!("the corpus says read_as {other:?}, which nothing reads"),
    };
    Some(refusal.to_owned())
}

fn step(malformed: &Malformed) -> &'static str {
    match malformed {
        Malformed::TooLong(_) => "too-long",
        Malformed::Wrapper(_) => "wrapper",
        Malformed::ContentType => "content-type",
        Malformed::Payload => "payload",
        Malformed::Respelled => "respelled",
        Malformed::Header(_) => "header",
        _ => "a step that this test does not know",
    }
}

fn opening(bytes: &[u8]) -> Option<&'static str> {
    match Statement::parse(bytes) {
        Err(malformed) => Some(step(&malformed)),
        Ok(statement) => Some(ChainState::open(statement).err()?.code()),
    }
}

fn sent(mut chain: HostChain, bytes: &[u8]) -> Option<&'static str> {
    let before = chain.clone();
    let refusal = match Envelope::parse(bytes) {
        Err(bad) => bad.code(),
        Ok(envelope) => chain
            .admit(envelope, NVML_ONLY, &Revocations::default())
            .err()?
            .code(),
    };
    assert_eq!(chain, before, "a refusal leaves the chain as it was");
    Some(refusal)
}
