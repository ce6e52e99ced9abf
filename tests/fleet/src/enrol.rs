//! A fleet that is enrolled before a verifier starts: its statements are written into the log by the
//! log's own code, as a stopped verifier's keys allow.
//!
//! Enrolling 125,000 hosts through the server would take two minutes of its time and be nothing that
//! is measured here. What is written is what the server would have written: it admits all of it again
//! when it starts, and refuses to start otherwise.

use std::{
    error::Error,
    path::PathBuf,
    thread,
    time::{Duration, SystemTime},
};

use affiant_proto::{
    Body, ChainState, Digest, Envelope, Signer as _, Statement, digest, statement::Place, v1,
};
use affiant_verifier::{
    credentials,
    data::DataDir,
    keyfile,
    ledger::{Entry, Ledger},
    pki::{Ca, HostRequest},
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::CertificateDer;

use crate::{
    random::Random,
    roster::{Certificate, Fleet, Relay, Roster},
    usage::HostModel,
};

/// Hosts of one segment: three statements each, some 6,000 entries and 18 MB.
const TOGETHER: usize = 2_000;

/// Life of the certificates.
const CERTIFICATE: Duration = Duration::from_secs(7 * 86_400);

/// Site of all hosts.
pub const SITE: &str = "hall-2";

/// Sequence of the inventory in each chain, and of the workloads behind it.
pub const INVENTORY: u64 = 1;
/// See [`INVENTORY`].
pub const WORKLOADS: u64 = 2;

/// What is to be enrolled.
#[derive(Clone, Debug)]
pub struct Enrolments {
    /// The data directory of a verifier that does not run.
    pub data: PathBuf,
    /// Where the fleet is kept.
    pub state: PathBuf,
    /// How many hosts.
    pub hosts: usize,
    /// How many of them get a TLS certificate, to connect by themselves.
    pub connections: usize,
    /// How many relays of their site.
    pub relays: usize,
    /// Devices of each host.
    pub gpus: u32,
    /// Threads that sign.
    pub threads: usize,
    /// Seed of all figures.
    pub seed: u64,
}

type Failed = Box<dyn Error + Send + Sync>;

/// Enrols the fleet; gives how many entries the log has then.
pub fn enrol(asked: &Enrolments) -> Result<u64, Failed> {
    let data = DataDir::at(&asked.data);
    let mut secret = [0; 32];
    let filled = SystemRandom::new().fill(&mut secret);
    filled.map_err(|_| "the system gave no randomness")?;
    let fleet = Fleet {
        secret,
        gpus: asked.gpus,
    };
    let log_key = keyfile::read_signer(&data.log_key())?;
    let (mut ledger, _) = Ledger::open(&data.ledger(), Box::new(log_key))?;
    let mut log = Log::read(&mut ledger, &data)?;
    let issuer = load_ca(&data)?;
    let (mut chains, mut certificates) = (Vec::new(), Vec::new());
    while chains.len() < asked.hosts {
        let first = chains.len();
        let last = (first + TOGETHER).min(asked.hosts);
        let mut entries = Vec::new();
        for made in on_threads(asked, &fleet, log.genesis, &issuer, first..last)? {
            chains.push(made.chain);
            certificates.extend(made.certificate);
            entries.extend(made.entries);
        }
        log.write(&entries)?;
    }
    let mut relays = Vec::with_capacity(asked.relays);
    let mut entries = Vec::with_capacity(asked.relays);
    for number in 0..asked.relays {
        let (relay, entry) = make_relay(&fleet, log.genesis, &issuer, number)?;
        relays.push(relay);
        entries.push(entry);
    }
    if !entries.is_empty() {
        log.write(&entries)?;
    }
    Roster::create(&asked.state, fleet, chains, certificates, relays)?;
    Ok(ledger.reader().size())
}

fn load_ca(data: &DataDir) -> Result<Ca, Failed> {
    let certificate = keyfile::read_text(&data.ca_certificate())?;
    let first = affiant_verifier::pki::certificates_der(&certificate)?;
    let first = first.first().ok_or("ca.pem is empty")?;
    Ok(credentials::load_ca(data, digest(first))?)
}

/// One host.
struct Made {
    chain: Digest,
    certificate: Option<Certificate>,
    entries: Vec<Entry>,
}

fn on_threads(
    asked: &Enrolments,
    fleet: &Fleet,
    genesis: Digest,
    ca: &Ca,
    hosts: std::ops::Range<usize>,
) -> Result<Vec<Made>, Failed> {
    let numbers: Vec<usize> = hosts.collect();
    let share = numbers.len().div_ceil(asked.threads.max(1));
    thread::scope(|scope| {
        let made: Vec<_> = numbers
            .chunks(share)
            .map(|numbers| {
                scope.spawn(move || {
                    let one = |number: &usize| make(asked, fleet, genesis, ca, *number);
                    numbers.iter().map(one).collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in made {
            all.extend(
                thread
                    .join()
                    .map_err(|_| "a thread that signs panicked")??,
            );
        }
        Ok(all)
    })
}

fn make(
    asked: &Enrolments,
    fleet: &Fleet,
    genesis: Digest,
    ca: &Ca,
    number: usize,
) -> Result<Made, Failed> {
    let signer = fleet.signer(number);
    let direct = number < asked.connections;
    let key = direct.then(KeyPair::generate).transpose()?;
    let identity = key
        .as_ref()
        .map(|key| digest(&key.subject_public_key_info()));
    let token = digest(&[b"token".as_slice(), signer.public_key().as_bytes()].concat());
    let body = v1::Enrolment {
        header: None,
        genesis: genesis.as_bytes().to_vec(),
        host: fleet.host(number),
        record_key: signer.public_key().as_bytes().to_vec(),
        identity_key: identity.unwrap_or(token).as_bytes().to_vec(),
        agent_version: agent_version(),
        token: token.as_bytes().to_vec(),
        site: SITE.into(),
        predecessor: None,
    };
    let opened = Statement::seal(body.into(), Place::Opening, now(), None, &signer)?;
    let chain = opened.digest();
    let certificate = key.map(|key| certify(ca, &key, chain)).transpose()?;
    let mut entries = vec![Entry::bare(&opened)];
    let stream = u64::try_from(number)?;
    let random = Random::new(asked.seed, stream);
    let mut model = HostModel::new(fleet.gpus, 10_000, 1, 0, random)?;
    let (inventory, devices) = model.inventory()?;
    let (workloads, named) = model.workloads()?;
    let mut previous = chain;
    let stated: [(Body, _); 2] = [(inventory.into(), devices), (workloads.into(), named)];
    for ((body, tree), sequence) in stated.into_iter().zip(INVENTORY..) {
        let place = Place::Link {
            chain,
            sequence,
            previous,
        };
        let statement = Statement::seal(body, place, now(), None, &signer)?;
        previous = statement.digest();
        entries.push(Entry::of(&Envelope::join(statement, Some(tree))?));
    }
    Ok(Made {
        chain,
        certificate,
        entries,
    })
}

fn make_relay(
    fleet: &Fleet,
    genesis: Digest,
    ca: &Ca,
    number: usize,
) -> Result<(Relay, Entry), Failed> {
    let signer = fleet.relay_signer(number);
    let key = KeyPair::generate()?;
    let token = digest(&[b"token".as_slice(), signer.public_key().as_bytes()].concat());
    let identity = digest(&key.subject_public_key_info());
    let body = v1::RelayEnrolment {
        header: None,
        genesis: genesis.as_bytes().to_vec(),
        relay: fleet.relay(number),
        relay_key: signer.public_key().as_bytes().to_vec(),
        site: SITE.into(),
        identity_key: identity.as_bytes().to_vec(),
        token: token.as_bytes().to_vec(),
    };
    let opened = Statement::seal(body.into(), Place::Opening, now(), None, &signer)?;
    let chain = opened.digest();
    let made = ca.issue_relay(&request(&key)?, chain, CERTIFICATE, unix_ms())?;
    let relay = Relay {
        chain: *chain.as_bytes(),
        certificate: shown(&made, &key),
    };
    Ok((relay, Entry::bare(&opened)))
}

fn request(key: &KeyPair) -> Result<HostRequest, Failed> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    Ok(HostRequest::parse(params.serialize_request(key)?.der())?)
}

fn certify(ca: &Ca, key: &KeyPair, chain: Digest) -> Result<Certificate, Failed> {
    let made = ca.issue_host(&request(key)?, chain, CERTIFICATE, unix_ms())?;
    Ok(shown(&made, key))
}

fn shown(made: &[CertificateDer<'_>], key: &KeyPair) -> Certificate {
    Certificate {
        certificates: made.iter().map(|der| pem(der)).collect(),
        key: key.serialize_pem(),
    }
}

/// The log, written as its operator would.
struct Log<'a> {
    ledger: &'a mut Ledger,
    genesis: Digest,
    operator: ChainState,
    signer: affiant_proto::Ed25519Signer,
}

impl<'a> Log<'a> {
    fn read(ledger: &'a mut Ledger, data: &DataDir) -> Result<Self, Failed> {
        let reader = ledger.reader();
        let mut operator: Option<ChainState> = None;
        for entry in reader.entries(0..reader.size()) {
            let statement = Envelope::parse(entry?.1.envelope())?.into_parts().0;
            match &mut operator {
                None => operator = Some(ChainState::open(statement)?.0),
                Some(chain) if statement.header().chain() == Some(chain.chain()) => {
                    chain.follow(statement)?;
                }
                Some(_) => {}
            }
        }
        let operator = operator.ok_or("the log is empty: run `affiant-verifier init` first")?;
        Ok(Self {
            ledger,
            genesis: operator.chain(),
            operator,
            signer: keyfile::read_signer(&data.operator_key())?,
        })
    }

    /// Writes one segment, which a clock leads.
    fn write(&mut self, entries: &[Entry]) -> Result<(), Failed> {
        let time = v1::Time {
            unix_ms: unix_ms().max(self.ledger.clock() + 1),
            ..now()
        };
        let (body, place) = (v1::Clock::default().into(), self.operator.next_place());
        let clock = Statement::seal(body, place, time, None, &self.signer)?;
        let entry = Entry::bare(&clock);
        self.operator.follow(clock)?;
        self.ledger.append(&[entry], time.unix_ms)?;
        self.ledger.append(entries, time.unix_ms)?;
        self.ledger.close_segment()?;
        Ok(())
    }
}

/// What the generator calls itself where agents give their version.
pub(crate) fn agent_version() -> String {
    concat!("affiant-fleet ", env!("CARGO_PKG_VERSION")).into()
}

/// The host's clock, as a header has it. The kernel is not asked how sure it is.
pub(crate) fn now() -> v1::Time {
    v1::Time {
        unix_ms: unix_ms(),
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// A certificate in the textual form of RFC 7468: base64 in lines of 64.
fn pem(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let base64 = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
