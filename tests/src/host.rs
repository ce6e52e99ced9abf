//! A host that speaks the protocol by itself, so that tests can make it err.

use std::{path::Path, sync::Arc, time::Duration};

use affiant_agent::anchor::{Anchor, Unproved};
use affiant_proto::{
    Body, ChainState, Digest, Ed25519Signer, Envelope, SaltedTree, Seed, Signer as _, Statement,
    chain::key_change_bytes,
    digest,
    predecessor::reenrolment_bytes,
    statement::Place,
    tlog::{Checkpoint, Note},
    v1,
};
use prost::Message as _;
use rcgen::{KeyPair, PublicKeyData as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::mpsc;
use tonic::{Status, transport::Identity};

use crate::{
    Deployment,
    rpc::{admission_client::AdmissionClient, intake_client::IntakeClient},
    tls::{self, connect},
};

/// Milliseconds of every interval.
pub const INTERVAL_MS: u64 = 10_000;

/// How an attempt to send ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is INCLUDED.
    Included,
    /// The verifier refused a statement: its code.
    Refused(String),
    /// The connection broke or ended.
    Broken(String),
}

/// What a thief took from a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loot {
    /// A copy of the key that signs its records.
    RecordKey,
    /// A copy of the key that opens its connections, with the certificate beside it.
    TlsKey,
    /// Nothing: what he does he does by a key from elsewhere.
    Nothing,
}

/// One host with its keys and everything that it ever sealed.
pub struct Host {
    /// Its name.
    pub name: String,
    signer: Arc<Ed25519Signer>,
    tls: KeyPair,
    certificates: Vec<Vec<u8>>,
    state: ChainState,
    /// Every envelope, from the enrolment on: its spool.
    pub sealed: Vec<v1::Envelope>,
    /// The highest sequence that the verifier said is INCLUDED, and under which index.
    pub included: Option<(u64, u64)>,
    inventory: u64,
    workloads: u64,
    boot_ms: u64,
    wall_ms: u64,
    seen: Option<v1::CheckpointRef>,
    behind_ms: u64,
}

impl Host {
    /// Enrols with a token; gives the verifier's refusal when there is one.
    pub async fn enrol(name: &str, address: &str, ca: &Path, token: &str) -> Result<Self, Status> {
        Self::enrol_after((name, ""), address, ca, token, None, 0).await
    }

    /// Enrols with a token, by a clock that is so far behind.
    pub async fn enrol_behind(
        name: &str,
        address: &str,
        ca: &Path,
        token: &str,
        behind_ms: u64,
    ) -> Result<Self, Status> {
        Self::enrol_after((name, ""), address, ca, token, None, behind_ms).await
    }

    /// Enrols as a host of a site.
    pub async fn enrol_at(
        site: &str,
        name: &str,
        address: &str,
        ca: &Path,
        token: &str,
    ) -> Result<Self, Status> {
        Self::enrol_after((name, site), address, ca, token, None, 0).await
    }

    /// Enrols anew in the place of this chain; `proved` by its key, or only said.
    pub async fn enrol_again(
        &self,
        address: &str,
        ca: &Path,
        token: &str,
        proved: bool,
    ) -> Result<Self, Status> {
        let (named, old) = ((&*self.name, ""), Some((self, proved)));
        Self::enrol_after(named, address, ca, token, old, self.behind_ms).await
    }

    async fn enrol_after(
        (name, site): (&str, &str),
        address: &str,
        ca: &Path,
        token: &str,
        old: Option<(&Self, bool)>,
        behind_ms: u64,
    ) -> Result<Self, Status> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).unwrap();
        let signer = Ed25519Signer::from_seed(&random).unwrap();
        let tls = KeyPair::generate().unwrap();
        let csr = tls::request(&tls);
        let channel = connect(address, ca, None)
            .await
            .map_err(|e| Status::unavailable(e.to_string()))?;
        let mut admission = AdmissionClient::new(channel);
        let genesis = admission
            .describe(v1::DescribeRequest {})
            .await?
            .into_inner()
            .genesis;
        let body = v1::Enrolment {
            header: None,
            genesis: digest(&genesis).as_bytes().to_vec(),
            host: name.into(),
            record_key: signer.public_key().as_bytes().to_vec(),
            identity_key: digest(&tls.subject_public_key_info()).as_bytes().to_vec(),
            agent_version: "test".into(),
            token: digest(token.as_bytes()).as_bytes().to_vec(),
            site: site.into(),
            predecessor: old.map(|(old, proved)| {
                let (sequence, head) = (old.state.sequence(), old.state.head());
                let place = (old.chain(), sequence, head);
                let bytes = reenrolment_bytes(digest(&genesis), place, signer.public_key());
                v1::Predecessor {
                    chain: old.chain().as_bytes().to_vec(),
                    sequence,
                    head: head.as_bytes().to_vec(),
                    reason: "test".into(),
                    proof: match proved {
                        true => old.signer.sign(&bytes).unwrap().to_vec(),
                        false => Vec::new(),
                    },
                }
            }),
        };
        let statement =
            Statement::seal(body.into(), Place::Opening, now(behind_ms), None, &signer).unwrap();
        let enrolment = statement.as_bytes().to_vec();
        let asked = v1::EnrolRequest {
            token: token.into(),
            enrolment: enrolment.clone(),
            csr,
        };
        let reply = admission.enrol(asked).await?.into_inner();
        let (state, _) = ChainState::open(statement).unwrap();
        let mut made = Self {
            name: name.into(),
            signer: Arc::new(signer),
            tls,
            certificates: reply.certificates,
            state,
            sealed: vec![v1::Envelope {
                statement: enrolment,
                leaves: Vec::new(),
                seed: Vec::new(),
                totals: None,
            }],
            included: None,
            inventory: 0,
            workloads: 0,
            boot_ms: 1_000,
            wall_ms: now(behind_ms).unix_ms,
            seen: None,
            behind_ms,
        };
        made.seal_inventory(&format!("GPU-{name}"));
        Ok(made)
    }

    /// Seals that this is its device from now on.
    pub fn seal_inventory(&mut self, uuid: &str) {
        let device = v1::Device {
            uuid: uuid.into(),
            model: "NVIDIA H100 80GB HBM3".into(),
            coverage: v1::Coverage::Full.into(),
            ..Default::default()
        };
        self.seal_tree(vec![device.encode_to_vec()], |root, count| {
            v1::Inventory {
                source: v1::SourceKind::Recorded.into(),
                library: "/test/trace".into(),
                library_digest: vec![1; 32],
                root,
                count,
                ..Default::default()
            }
            .into()
        });
        self.inventory = self.state.sequence();
    }

    /// Sets its wall clock, milliseconds since 1970: there its next record begins.
    pub fn set_wall(&mut self, unix_ms: u64) {
        self.wall_ms = unix_ms;
    }

    /// Its wall clock, milliseconds since 1970: where its next record begins.
    pub fn wall(&self) -> u64 {
        self.wall_ms
    }

    /// Embeds this checkpoint from now on in what it seals of its devices.
    pub fn sees(&mut self, note: &Path) {
        let note = Note::parse(&std::fs::read(note).unwrap()).unwrap();
        let checkpoint: Checkpoint = note.text().parse().unwrap();
        self.seen = Some(v1::CheckpointRef {
            origin: checkpoint.origin().to_string(),
            size: checkpoint.size(),
            root: checkpoint.root().as_bytes().to_vec(),
        });
    }

    /// Its chain.
    pub fn chain(&self) -> Digest {
        self.state.chain()
    }

    /// The head of what it sealed.
    pub fn state(&self) -> &ChainState {
        &self.state
    }

    /// Names its record key as revocations do.
    pub fn record_key_id(&self) -> String {
        self.signer.public_key().id().to_string()
    }

    /// Names its TLS key as revocations do.
    pub fn tls_key_id(&self) -> String {
        digest(&self.tls.subject_public_key_info()).to_string()[..32].to_owned()
    }

    /// What a thief has in his hands: of this host's keys those that he took, and others in the place
    /// of the rest. Where the chain stands the verifier tells whoever connects.
    pub fn stolen(&self, loot: Loot) -> Self {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).unwrap();
        let own = Ed25519Signer::from_seed(&random).unwrap();
        Self {
            name: self.name.clone(),
            signer: match loot {
                Loot::RecordKey => self.signer.clone(),
                Loot::TlsKey | Loot::Nothing => Arc::new(own),
            },
            tls: match loot {
                Loot::TlsKey => KeyPair::from_pem(&self.tls.serialize_pem()).unwrap(),
                Loot::RecordKey | Loot::Nothing => KeyPair::generate().unwrap(),
            },
            certificates: match loot {
                Loot::TlsKey => self.certificates.clone(),
                Loot::RecordKey | Loot::Nothing => Vec::new(),
            },
            state: self.state.clone(),
            sealed: self.sealed.clone(),
            included: None,
            inventory: self.inventory,
            workloads: self.workloads,
            boot_ms: self.boot_ms,
            wall_ms: self.wall_ms,
            seen: self.seen.clone(),
            behind_ms: self.behind_ms,
        }
    }

    /// Its request for a certificate.
    pub fn csr(&self) -> Vec<u8> {
        tls::request(&self.tls)
    }

    /// Asks to be enrolled by these bytes, whatever they are.
    pub async fn enrol_with(
        &self,
        enrolment: Vec<u8>,
        address: &str,
        ca: &Path,
    ) -> Result<(), Status> {
        let channel = connect(address, ca, None)
            .await
            .map_err(|e| Status::unavailable(e.to_string()))?;
        let asked = v1::EnrolRequest {
            token: String::new(),
            enrolment,
            csr: self.csr(),
        };
        AdmissionClient::new(channel).enrol(asked).await.map(|_| ())
    }

    /// Asks for the proof that the log extends its tree of `size`.
    pub async fn extend(&self, size: u64, address: &str, ca: &Path) -> v1::ExtendReply {
        let channel = connect(address, ca, self.identity()).await.unwrap();
        let asked = v1::ExtendRequest { size };
        let reply = IntakeClient::new(channel).extend(asked).await;
        reply.unwrap().into_inner()
    }

    /// Asks the log to show what it has at `index`, in its tree of this size.
    pub async fn prove(
        &self,
        (index, size): (u64, u64),
        address: &str,
        ca: &Path,
    ) -> Result<v1::ProveReply, Status> {
        let channel = connect(address, ca, self.identity()).await.unwrap();
        let asked = v1::ProveRequest { index, size };
        let reply = IntakeClient::new(channel).prove(asked).await;
        Ok(reply?.into_inner())
    }

    /// Shows these certificates from now on, wherever they come from.
    pub fn show(&mut self, certificates: Vec<Vec<u8>>) {
        self.certificates = certificates;
    }

    /// Takes this TLS key, wherever it comes from.
    pub fn use_tls_key(&mut self, key: KeyPair) {
        self.tls = key;
    }

    /// Takes another TLS key; it counts from the next renewal on.
    pub fn replace_tls_key(&mut self) {
        self.tls = KeyPair::generate().unwrap();
    }

    /// Seals a change to a new record key.
    pub fn rotate_record_key(&mut self) {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).unwrap();
        let next = Ed25519Signer::from_seed(&random).unwrap();
        let (chain, sequence, previous) =
            (self.chain(), self.state.sequence() + 1, self.state.head());
        let bytes = key_change_bytes(chain, sequence, previous, next.public_key());
        let body = v1::Key {
            new_key: next.public_key().as_bytes().to_vec(),
            proof: next.sign(&bytes).unwrap().to_vec(),
            ..Default::default()
        };
        let place = self.state.next_place();
        let made =
            Statement::seal(body.into(), place, now(self.behind_ms), None, &*self.signer).unwrap();
        self.state.follow(made.clone()).unwrap();
        self.signer = Arc::new(next);
        self.sealed
            .push(Envelope::join(made, None).unwrap().message());
    }

    /// Whether an operator must still approve it.
    pub fn is_pending(&self) -> bool {
        self.certificates.is_empty()
    }

    /// Asks for a fresh certificate with the record key.
    pub async fn renew(&mut self, address: &str, ca: &Path) -> Result<(), Status> {
        let csr = self.csr();
        let body = v1::Request {
            header: None,
            csr: digest(&csr).as_bytes().to_vec(),
        };
        let request = Statement::seal(
            body.into(),
            self.state.next_place(),
            now(self.behind_ms),
            None,
            &*self.signer,
        )
        .unwrap();
        let asked = v1::RenewRequest {
            request: request.as_bytes().to_vec(),
            csr,
        };
        let channel = connect(address, ca, None)
            .await
            .map_err(|e| Status::unavailable(e.to_string()))?;
        self.certificates = AdmissionClient::new(channel)
            .renew(asked)
            .await?
            .into_inner()
            .certificates;
        Ok(())
    }

    /// Seals the next record: one idle device.
    pub fn seal_usage(&mut self) {
        let made = self.idle();
        self.follow(made);
    }

    /// Gives the next record, signed by whatever key this host has, whether that is its chain's or
    /// not; it is not kept.
    pub fn forge(&mut self) -> v1::Envelope {
        self.idle().message()
    }

    /// Seals the next record: one device in use by `user`, who is stated first where it is not he
    /// who is in force.
    pub fn seal_use(&mut self, user: &str) {
        self.seal_uses(&[user.to_owned()]);
    }

    /// Seals the next record: one device that these share evenly, some milliseconds each.
    pub fn seal_uses(&mut self, users: &[String]) {
        let workload = |user: &String| {
            let workload = v1::Workload {
                platform: v1::Platform::Bare.into(),
                user: user.clone(),
                ..Default::default()
            };
            workload.encode_to_vec()
        };
        let workloads = users.iter().map(workload).collect();
        self.seal_tree(workloads, |root, count| {
            v1::Workloads {
                header: None,
                root,
                count,
            }
            .into()
        });
        let workloads = self.state.sequence();
        let totals = v1::DeviceTotals {
            attributed_ms: INTERVAL_MS,
            ..Default::default()
        };
        let users = u64::try_from(users.len()).unwrap();
        assert_eq!(INTERVAL_MS % users, 0, "the interval is parted evenly");
        let line = |user| v1::UsageLine {
            kind: v1::LineKind::Attributed.into(),
            workload: Some(user),
            time_ms: INTERVAL_MS / users,
            samples: 10,
            ..Default::default()
        };
        self.workloads = workloads;
        let lines: Vec<_> = (0..u32::try_from(users).unwrap()).map(line).collect();
        let made = self.usage(totals, &lines);
        self.follow(made);
    }

    fn idle(&mut self) -> Envelope {
        let totals = v1::DeviceTotals {
            idle_ms: INTERVAL_MS,
            ..Default::default()
        };
        let line = v1::UsageLine {
            kind: v1::LineKind::Idle.into(),
            time_ms: INTERVAL_MS,
            samples: 10,
            ..Default::default()
        };
        self.usage(totals, &[line])
    }

    /// The record of the next interval, of one device.
    fn usage(&mut self, totals: v1::DeviceTotals, lines: &[v1::UsageLine]) -> Envelope {
        let totals = v1::Totals {
            devices: vec![totals],
        };
        let (start_ms, wall_start_ms) = (self.boot_ms, self.wall_ms);
        self.boot_ms += INTERVAL_MS;
        self.wall_ms += INTERVAL_MS;
        let (end_ms, wall_end_ms) = (self.boot_ms, self.wall_ms);
        let (inventory, workloads) = (self.inventory, self.workloads);
        let mut leaves = vec![totals.encode_to_vec()];
        leaves.extend(lines.iter().map(prost::Message::encode_to_vec));
        self.tree(leaves, |usage_root, usage_count| {
            v1::Usage {
                header: None,
                boot: 1,
                start_ms,
                end_ms,
                wall_start_ms,
                wall_end_ms,
                source: v1::SourceKind::Recorded.into(),
                inventory,
                workloads,
                usage_root,
                usage_count,
            }
            .into()
        })
    }

    /// Throws away the newest record and seals another in its place: what a restored image does.
    pub fn fork(&mut self) {
        self.rewind();
        self.wall_ms += 1;
        self.boot_ms -= INTERVAL_MS;
        self.seal_usage();
    }

    /// Throws away the newest record and seals an observation of this length in its place.
    pub fn fork_by_observation(&mut self, length: usize) {
        self.rewind();
        let text = "x".repeat(length);
        let body = v1::Observation {
            text,
            rule: "test".into(),
            ..Default::default()
        };
        let place = self.state.next_place();
        let made =
            Statement::seal(body.into(), place, now(self.behind_ms), None, &*self.signer).unwrap();
        self.state.follow(made.clone()).unwrap();
        self.sealed
            .push(Envelope::join(made, None).unwrap().message());
    }

    /// Takes back what it had, as from an image.
    pub fn restore(&mut self, sealed: Vec<v1::Envelope>, state: ChainState) {
        (self.sealed, self.state) = (sealed, state);
    }

    /// Goes back to before the newest record.
    fn rewind(&mut self) {
        self.sealed.pop();
        let opening = Statement::parse(&self.sealed[0].statement).unwrap();
        self.state = ChainState::open(opening).unwrap().0;
        for envelope in &self.sealed[1..] {
            let statement = Statement::parse(&envelope.statement).unwrap();
            self.state.follow(statement).unwrap();
        }
    }

    fn seal_tree(&mut self, leaves: Vec<Vec<u8>>, body: impl FnOnce(Vec<u8>, u32) -> Body) {
        let made = self.tree(leaves, body);
        self.follow(made);
    }

    fn tree(&self, leaves: Vec<Vec<u8>>, body: impl FnOnce(Vec<u8>, u32) -> Body) -> Envelope {
        let mut seed = [0; 16];
        SystemRandom::new().fill(&mut seed).unwrap();
        let tree = SaltedTree::new(Seed::new(seed), leaves).unwrap();
        let body = body(tree.root().as_bytes().to_vec(), tree.count());
        let place = self.state.next_place();
        let seen = self.seen.clone();
        let statement =
            Statement::seal(body, place, now(self.behind_ms), seen, &*self.signer).unwrap();
        Envelope::join(statement, Some(tree)).unwrap()
    }

    fn follow(&mut self, made: Envelope) {
        self.state.follow(made.statement().clone()).unwrap();
        self.sealed.push(made.message());
    }

    /// Goes on with the log's next generation, which may have less of this host than the one before:
    /// what it lacks is sent again.
    pub fn follow_succession(&mut self) {
        self.included = None;
    }

    /// Connects, sends what the verifier does not have, and waits until all of it is INCLUDED.
    pub async fn send(&mut self, address: &str, ca: &Path) -> Outcome {
        match self.exchange(address, ca, true).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Broken(error),
        }
    }

    /// Sends and stays connected; gives why the session ended, once it has.
    pub async fn stay(&mut self, address: &str, ca: &Path) -> String {
        match self.exchange(address, ca, false).await {
            Ok(outcome) => format!("{outcome:?}"),
            Err(error) => error,
        }
    }

    async fn exchange(
        &mut self,
        address: &str,
        ca: &Path,
        until_included: bool,
    ) -> Result<Outcome, String> {
        let channel = connect(address, ca, self.identity())
            .await
            .map_err(|e| e.to_string())?;
        let mut intake = IntakeClient::new(channel);
        let (send, outbound) = mpsc::channel(64);
        let hello = v1::Hello {
            chain: self.chain().as_bytes().to_vec(),
            sequence: self.state.sequence(),
            head: self.state.head().as_bytes().to_vec(),
            agent_version: "test".into(),
        };
        let hello = v1::UploadRequest {
            body: Some(v1::upload_request::Body::Hello(hello)),
            spool: None,
        };
        send.send(hello).await.map_err(|e| e.to_string())?;
        let outbound = tokio_stream::wrappers::ReceiverStream::new(outbound);
        let mut inbound = intake
            .upload(outbound)
            .await
            .map_err(|s| s.message().to_owned())?
            .into_inner();
        let mut queue: Option<Vec<v1::Envelope>> = None;
        let mut next = 0;
        loop {
            let waiting = queue.as_ref().and_then(|queue| queue.get(next)).cloned();
            tokio::select! {
                permit = send.reserve(), if waiting.is_some() => {
                    let body = waiting.map(v1::upload_request::Body::Envelope);
                    permit.map_err(|e| e.to_string())?.send(v1::UploadRequest { body, spool: None });
                    next += 1;
                }
                reply = inbound.message() => match reply.map_err(|s| s.message().to_owned())?.and_then(|r| r.body) {
                    Some(v1::upload_reply::Body::Welcome(welcome)) => {
                        let first = usize::try_from(welcome.sequence).unwrap() + 1;
                        queue = Some(self.sealed.get(first..).unwrap_or_default().to_vec());
                        self.note(welcome.included);
                    }
                    Some(v1::upload_reply::Body::Included(included)) => self.note(Some(included)),
                    Some(v1::upload_reply::Body::Refused(refused)) => return Ok(Outcome::Refused(refused.code)),
                    None => return Err("stream ended".into()),
                },
            }
            if until_included
                && self
                    .included
                    .is_some_and(|(sequence, _)| sequence == self.state.sequence())
            {
                return Ok(Outcome::Included);
            }
        }
    }

    /// Certificate and key for TLS, once it has them.
    pub fn identity(&self) -> Option<Identity> {
        tls::identity(&self.certificates, &self.tls)
    }

    fn note(&mut self, included: Option<v1::Included>) {
        let Some(included) = included else { return };
        if let Some(sequence) = included.sequence {
            assert!(
                self.included.is_none_or(|(before, _)| sequence >= before),
                "the watermark went back"
            );
            self.included = Some((sequence, included.index));
        }
    }

    /// Sends one envelope that is not in its spool, after the hello.
    pub async fn send_one(&mut self, envelope: v1::Envelope, address: &str, ca: &Path) -> Outcome {
        let kept = std::mem::take(&mut self.sealed);
        let upto = usize::try_from(self.state.sequence()).unwrap() + 1;
        let mut sent = kept.clone();
        sent.truncate(upto);
        sent.push(envelope);
        self.sealed = sent;
        let outcome =
            tokio::time::timeout(Duration::from_secs(10), self.exchange(address, ca, false)).await;
        self.sealed = kept;
        match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::Broken(error),
            Err(_) => Outcome::Broken("no answer".into()),
        }
    }
}

/// What the verifier tells of itself.
pub async fn describe(address: &str, ca: &Path) -> v1::DescribeReply {
    let channel = connect(address, ca, None).await.unwrap();
    let mut admission = AdmissionClient::new(channel);
    let reply = admission.describe(v1::DescribeRequest {}).await;
    reply.unwrap().into_inner()
}

/// What a host's agent does before it sends: it is told what the log is, and shown that it goes on.
pub async fn looks(
    anchor: &mut Anchor,
    host: &Host,
    deployment: &Deployment,
) -> Result<(), Unproved> {
    let (address, ca) = (deployment.address(), deployment.ca());
    // Between two answers the log may have grown; then the question is asked again.
    for _ in 0..20 {
        anchor.shown(&describe(&address, &ca).await)?;
        let mut shown = Vec::new();
        for seen in anchor.unproved() {
            let reply = host.extend(seen.checkpoint().size(), &address, &ca).await;
            shown.push(anchor.extend(&seen, &reply)?);
        }
        if anchor.settle(shown)? {
            return Ok(());
        }
    }
    panic!("the log never stood still");
}

/// The machine's time, less so much.
pub(crate) fn now(behind_ms: u64) -> v1::Time {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    v1::Time {
        unix_ms: u64::try_from(since.as_millis()).unwrap() - behind_ms,
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    }
}
