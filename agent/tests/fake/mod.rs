//! A verifier of a few lines: it takes what it is sent, logs it in memory, and misbehaves as told.
#![allow(dead_code)]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use affiant_proto::{
    Body, ChainState, Digest, Ed25519Signer, Signer as _, Statement,
    authority::succession_approval_bytes,
    digest,
    statement::Place,
    tlog::{
        Checkpoint, MemoryTree, Nodes as _, NoteSigner, Origin, consistency_proof, inclusion_proof,
        leaf_hash, root_at,
    },
    v1,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair, PublicKeyData as _,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The server's side of the messages, as generated for the verifier: a test may look across.
#[allow(warnings, clippy::all)]
mod stubs {
    include!("../../../verifier/src/gen/affiant.v1.rs");
}

use stubs::{
    admission_server::{Admission, AdmissionServer},
    intake_server::{Intake, IntakeServer},
};

const ORIGIN: &str = "fake.example.org/1";

/// How it answers when it shall show a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proving {
    /// As it should.
    Honest,
    /// It has none.
    Nothing,
    /// A proof of which one bit is wrong.
    Bent,
    /// What is no proof.
    Malformed,
    /// The proof of another record.
    Another,
}

const OFFICERS: [u8; 2] = [21, 22];

/// How the verifier behaves, and what it saw.
pub(crate) struct State {
    pub(crate) tree: MemoryTree,
    /// Enrolments with their tokens, as they came.
    pub(crate) enrolments: Vec<(String, Vec<u8>)>,
    /// Statements as they came, in order, sent twice or not.
    pub(crate) received: Vec<Statement>,
    pub(crate) hellos: Vec<v1::Hello>,
    /// How often it was asked who it is.
    pub(crate) described: usize,
    pub(crate) renewals: usize,
    /// The head that it tells, in place of the last that it received.
    pub(crate) welcome: Option<(u64, Vec<u8>)>,
    /// Refuses records from this one on, permanently or not.
    pub(crate) refuse: Option<(u64, bool)>,
    /// Refuses every token.
    pub(crate) no_token: bool,
    /// Takes an enrolment and never answers.
    pub(crate) lose_reply: bool,
    pub(crate) pending: bool,
    /// Closes the stream after each so many records.
    pub(crate) close_after: Option<usize>,
    /// Life of the certificates that it issues.
    pub(crate) life: Duration,
    /// Signs with another key than the log's.
    pub(crate) forge: bool,
    /// Answers no question.
    pub(crate) away: bool,
    pub(crate) proving: Proving,
    /// How many records it had received each time that it was asked to show one.
    pub(crate) proved: Vec<usize>,
    /// The origin that it signs for, and the seed of the key.
    pub(crate) generation: (String, u8),
    /// What followed the genesis.
    pub(crate) lineage: Vec<Vec<u8>>,
    /// The chain that it no longer lets in.
    pub(crate) evicted: Option<Digest>,
    /// SHA-256 of the TLS keys for which it gave certificates, in order.
    pub(crate) certified: Vec<Digest>,
    /// Certificates of the authorities to which the operator passed on.
    pub(crate) authorities: Vec<Vec<u8>>,
    ca: Authority,
    /// What it shows in TLS, at the next connection.
    tls: TlsAcceptor,
}

/// Signs certificates.
#[derive(Clone)]
struct Authority {
    issuer: Arc<Issuer<'static, KeyPair>>,
    certificate: CertificateDer<'static>,
    /// Those whose clients are let in: this one, and the ones before.
    believed: Vec<CertificateDer<'static>>,
}

pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
    genesis: Statement,
    ca_pem: String,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Service {
    state: Arc<Mutex<State>>,
    genesis: Arc<Statement>,
}

impl Service {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn answer(&self, csr: &[u8]) -> v1::EnrolReply {
        let mut state = self.state();
        if state.pending {
            return v1::EnrolReply {
                certificates: Vec::new(),
                pending: true,
            };
        }
        let csr = CertificateSigningRequestParams::from_der(&csr.to_vec().into()).unwrap();
        let mut params = CertificateParams::new(vec!["host".into()]).unwrap();
        let now = time::OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now - Duration::from_secs(10), now + state.life);
        let leaf = params
            .signed_by(&csr.public_key, &*state.ca.issuer)
            .unwrap();
        let key = csr.public_key.subject_public_key_info();
        state.certified.push(digest(&key));
        v1::EnrolReply {
            certificates: vec![leaf.der().to_vec(), state.ca.certificate.to_vec()],
            pending: false,
        }
    }
}

impl State {
    fn note(&self) -> Vec<u8> {
        let signer =
            Ed25519Signer::from_seed(&[if self.forge { 9 } else { self.generation.1 }; 32])
                .unwrap();
        let origin: Origin = self.generation.0.parse().unwrap();
        let size = self.tree.size();
        let signer = NoteSigner::new(origin.key_name(), signer).unwrap();
        let checkpoint = Checkpoint::new(origin, size, root_at(&self.tree, size).unwrap()).unwrap();
        checkpoint
            .sign(&signer)
            .unwrap()
            .note()
            .to_string()
            .into_bytes()
    }

    /// What came of a chain, newest first.
    fn of(&self, chain: Digest) -> impl Iterator<Item = &Statement> {
        let all = self.received.iter().rev();
        all.filter(move |statement| statement.header().chain() == Some(chain))
    }

    fn head(&self, chain: Digest) -> (u64, Vec<u8>) {
        if let Some(told) = &self.welcome {
            return told.clone();
        }
        match self.of(chain).next() {
            Some(last) => (last.header().sequence(), last.digest().as_bytes().to_vec()),
            None => (0, chain.as_bytes().to_vec()),
        }
    }

    fn included(&self, chain: Digest) -> v1::Included {
        let (sequence, head) = self.head(chain);
        let leaf = leaf_hash(&head);
        let size = self.tree.size();
        let index = (0..size)
            .rev()
            .find(|index| self.tree.node(0, *index) == Ok(leaf));
        v1::Included {
            sequence: (!self.enrolments.is_empty()).then_some(sequence),
            index: index.unwrap_or(size.saturating_sub(1)),
            checkpoint: self.note(),
        }
    }

    fn log(&mut self, statement: Digest) {
        self.tree.push(leaf_hash(statement.as_bytes()));
    }
}

#[tonic::async_trait]
impl Admission for Service {
    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeReply>, Status> {
        let (checkpoint, lineage, authorities) = {
            let mut state = self.state();
            if state.away {
                return Err(Status::unavailable("away"));
            }
            state.described += 1;
            (
                state.note(),
                state.lineage.clone(),
                state.authorities.clone(),
            )
        };
        Ok(Response::new(v1::DescribeReply {
            genesis: self.genesis.as_bytes().to_vec(),
            checkpoint,
            lineage,
            authorities,
        }))
    }

    async fn enrol(
        &self,
        request: Request<v1::EnrolRequest>,
    ) -> Result<Response<v1::EnrolReply>, Status> {
        let asked = request.into_inner();
        {
            let mut state = self.state();
            if state.no_token {
                return Err(Status::permission_denied("token is not accepted"));
            }
            let known = state
                .enrolments
                .iter()
                .any(|(_, enrolment)| *enrolment == asked.enrolment);
            state
                .enrolments
                .push((asked.token, asked.enrolment.clone()));
            if !known {
                state.log(digest(&asked.enrolment));
            }
            if state.lose_reply {
                return Err(Status::unavailable("the reply is lost"));
            }
        }
        Ok(Response::new(self.answer(&asked.csr)))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::EnrolReply>, Status> {
        let asked = request.into_inner();
        let statement = Statement::parse(&asked.request).unwrap();
        let Body::Request(body) = statement.body() else {
            panic!("not a request")
        };
        assert_eq!(body.csr, digest(&asked.csr).as_bytes());
        let opener = {
            let mut state = self.state();
            state.renewals += 1;
            let of_chain =
                |(_, e): &&(String, Vec<u8>)| Some(digest(e)) == statement.header().chain();
            state
                .enrolments
                .iter()
                .find(of_chain)
                .map(|(_, enrolment)| enrolment.clone())
        };
        let opener =
            opener.ok_or_else(|| Status::permission_denied("host is not enrolled here"))?;
        let mut known = affiant_proto::ChainState::open(Statement::parse(&opener).unwrap())
            .unwrap()
            .0;
        let received: Vec<Statement> = self.state().of(known.chain()).cloned().collect();
        for change in received.into_iter().rev() {
            if matches!(change.body(), Body::Key(_)) {
                known.skip_to(change).unwrap();
            }
        }
        if known.vouch(statement).is_err() {
            return Err(Status::permission_denied("signed by another key"));
        }
        Ok(Response::new(self.answer(&asked.csr)))
    }
}

#[tonic::async_trait]
impl Intake for Service {
    type UploadStream = ReceiverStream<Result<v1::UploadReply, Status>>;
    type RelayStream = ReceiverStream<Result<v1::RelayReply, Status>>;

    async fn relay(
        &self,
        _: Request<Streaming<v1::RelayRequest>>,
    ) -> Result<Response<Self::RelayStream>, Status> {
        Err(Status::permission_denied("an agent is no relay"))
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<Self::UploadStream>, Status> {
        assert!(
            request.peer_certs().is_some(),
            "a client certificate is due"
        );
        let mut inbound = request.into_inner();
        let Some(v1::upload_request::Body::Hello(hello)) =
            inbound.message().await?.and_then(|m| m.body)
        else {
            return Err(Status::invalid_argument("no hello"));
        };
        let (replies, outbound) = mpsc::channel(4);
        let reply = |body| Ok(v1::UploadReply { body: Some(body) });
        let (welcome, close_after) = {
            let mut state = self.state();
            let chain = Digest::try_from(hello.chain.as_slice()).unwrap();
            if state.evicted == Some(chain) {
                return Err(Status::permission_denied("host was evicted"));
            }
            state.hellos.push(hello);
            let (sequence, head) = state.head(chain);
            let included = Some(state.included(chain));
            let recent = state.of(chain).skip(1).take(256);
            let recent = recent.map(|s| s.digest().as_bytes().to_vec()).collect();
            (
                v1::Welcome {
                    sequence,
                    head,
                    included,
                    recent,
                },
                state.close_after,
            )
        };
        replies
            .send(reply(v1::upload_reply::Body::Welcome(welcome)))
            .await
            .unwrap();
        let service = self.clone();
        tokio::spawn(async move {
            let mut taken = 0;
            while let Ok(Some(message)) = inbound.message().await {
                let Some(v1::upload_request::Body::Envelope(envelope)) = message.body else {
                    return;
                };
                let body = {
                    let mut state = service.state();
                    let statement = Statement::parse(&envelope.statement).unwrap();
                    let sequence = statement.header().sequence();
                    match state.refuse {
                        Some((from, permanent)) if sequence >= from => {
                            let (code, text) = ("source".into(), "not\ntaken".into());
                            v1::upload_reply::Body::Refused(v1::Refused {
                                sequence,
                                code,
                                text,
                                permanent,
                            })
                        }
                        _ => {
                            let chain = statement.header().chain().unwrap();
                            state.log(statement.digest());
                            state.received.push(statement);
                            v1::upload_reply::Body::Included(state.included(chain))
                        }
                    }
                };
                if replies.send(reply(body)).await.is_err() {
                    return;
                }
                taken += 1;
                if close_after == Some(taken) {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }

    async fn prove(
        &self,
        request: Request<v1::ProveRequest>,
    ) -> Result<Response<v1::ProveReply>, Status> {
        let mut state = self.state();
        let had = state.received.len();
        state.proved.push(had);
        let v1::ProveRequest { index, size } = request.into_inner();
        let shown = match state.proving {
            Proving::Nothing => return Err(Status::not_found("no such entry")),
            Proving::Another => (index + size - 1) % size,
            _ => index,
        };
        let path = inclusion_proof(&state.tree, shown, size).unwrap();
        let mut path: Vec<Vec<u8>> = path.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        match state.proving {
            Proving::Bent => path[0][0] ^= 1,
            Proving::Malformed => path[0].truncate(31),
            _ => {}
        }
        Ok(Response::new(v1::ProveReply {
            checkpoint: state.note(),
            path,
        }))
    }

    async fn extend(
        &self,
        request: Request<v1::ExtendRequest>,
    ) -> Result<Response<v1::ExtendReply>, Status> {
        let state = self.state();
        let path =
            consistency_proof(&state.tree, request.into_inner().size, state.tree.size()).unwrap();
        let path = path.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        Ok(Response::new(v1::ExtendReply {
            checkpoint: state.note(),
            path,
        }))
    }
}

impl Fake {
    pub(crate) fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority("first");
        let certificate = params.self_signed(&key).unwrap();
        let ca_pem = certificate.pem();
        let ca_der = certificate.der().clone();
        let ca = Authority {
            issuer: Arc::new(Issuer::new(params, key)),
            certificate: ca_der.clone(),
            believed: vec![ca_der.clone()],
        };
        let operator = Ed25519Signer::from_seed(&[8; 32]).unwrap();
        let log = Ed25519Signer::from_seed(&[7; 32]).unwrap();
        let body = v1::Genesis {
            origin: ORIGIN.into(),
            log_key: log.public_key().as_bytes().to_vec(),
            operator_key: operator.public_key().as_bytes().to_vec(),
            ca: digest(&ca_der).as_bytes().to_vec(),
            operator: "Fake".into(),
            officers: OFFICERS.map(officer).to_vec(),
            ..v1::Genesis::default()
        };
        let time = affiant_agent::clock::header_time();
        let genesis = Statement::seal(body.into(), Place::Opening, time, None, &operator).unwrap();
        let mut tree = MemoryTree::default();
        tree.push(leaf_hash(genesis.digest().as_bytes()));
        let opened = genesis.clone();
        let state = Arc::new(Mutex::new(State {
            tree,
            enrolments: Vec::new(),
            received: Vec::new(),
            hellos: Vec::new(),
            described: 0,
            renewals: 0,
            welcome: None,
            refuse: None,
            no_token: false,
            lose_reply: false,
            pending: false,
            close_after: None,
            life: Duration::from_secs(3_600),
            forge: false,
            away: false,
            proving: Proving::Honest,
            proved: Vec::new(),
            generation: (ORIGIN.into(), 7),
            lineage: Vec::new(),
            evicted: None,
            certified: Vec::new(),
            authorities: Vec::new(),
            tls: ca.server(&[], (-10, 3_600)),
            ca,
        }));
        let service = Service {
            state: Arc::clone(&state),
            genesis: Arc::new(genesis),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, service));
        Self {
            address,
            state,
            genesis: opened,
            ca_pem,
            _runtime: runtime,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Shows a server certificate of the authority in force that holds from and to so many seconds
    /// from now, and nothing of the authority before.
    pub(crate) fn valid_from_to(&self, seconds: (i64, i64)) {
        let mut state = self.state();
        state.tls = state.ca.server(&[], seconds);
    }

    /// The operator passes on to the next authority, which the one before certifies too, and the server
    /// shows that.
    pub(crate) fn pass_on(&self) {
        let mut state = self.state();
        let key = KeyPair::generate().unwrap();
        let params = authority("next");
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let cross = params.signed_by(&key, &*state.ca.issuer).unwrap();
        let mut believed = state.ca.believed.clone();
        believed.push(certificate.clone());
        let body = v1::Key {
            ca: digest(&certificate).as_bytes().to_vec(),
            ..v1::Key::default()
        };
        let operator = Ed25519Signer::from_seed(&[8; 32]).unwrap();
        let place = ChainState::open(self.genesis.clone()).unwrap().0;
        let time = affiant_agent::clock::header_time();
        let place = place.next_place();
        let sealed = Statement::seal(body.into(), place, time, None, &operator).unwrap();
        state.log(sealed.digest());
        state.lineage.push(sealed.as_bytes().to_vec());
        state.authorities.push(certificate.to_vec());
        state.ca = Authority {
            issuer: Arc::new(Issuer::new(params, key)),
            certificate,
            believed,
        };
        state.tls = state.ca.server(&[cross.der().clone()], (-10, 3_600));
    }

    /// Loses all but the first `kept` entries, and opens the next generation of the log over them,
    /// with two officers' names under it. It owns up to a tree of `last` entries.
    pub(crate) fn succeed(&self, kept: u64, last: u64) {
        let mut state = self.state();
        let named = |size| v1::CheckpointRef {
            origin: ORIGIN.into(),
            size,
            root: root_at(&state.tree, size).unwrap().as_bytes().to_vec(),
        };
        let operator = Ed25519Signer::from_seed(&[8; 32]).unwrap();
        let log = Ed25519Signer::from_seed(&[17; 32]).unwrap();
        let mut body = v1::Succession {
            header: None,
            last: Some(named(last)),
            origin: "fake.example.org/2".into(),
            log_key: log.public_key().as_bytes().to_vec(),
            reason: "a lost disk".into(),
            approvals: Vec::new(),
            kept: Some(named(kept)),
            operator_key: operator.public_key().as_bytes().to_vec(),
        };
        let bytes = succession_approval_bytes(self.genesis.digest(), &body);
        let approve = |seed| {
            let signer = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
            v1::OfficerApproval {
                officer: signer.public_key().as_bytes().to_vec(),
                signature: signer.sign(&bytes).unwrap().to_vec(),
            }
        };
        body.approvals = OFFICERS.map(approve).to_vec();
        let place = ChainState::open(self.genesis.clone())
            .unwrap()
            .0
            .next_place();
        let time = affiant_agent::clock::header_time();
        let sealed = Statement::seal(body.into(), place, time, None, &operator).unwrap();
        state.tree = prefix(&state.tree, kept);
        // Genesis and the one enrolment come before what was received.
        state.received.truncate(usize::try_from(kept).unwrap() - 2);
        state.log(sealed.digest());
        state.lineage.push(sealed.as_bytes().to_vec());
        state.generation = ("fake.example.org/2".into(), 17);
    }
}

fn officer(seed: u8) -> v1::OfficerKey {
    let key = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
    v1::OfficerKey {
        name: format!("officer {seed}"),
        key: key.public_key().as_bytes().to_vec(),
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params
}

impl Authority {
    /// What a server shows with a fresh certificate, and `above` it, that holds for that many
    /// seconds from now.
    fn server(&self, above: &[CertificateDer<'static>], seconds: (i64, i64)) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let from_now = |seconds| time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
        (leaf.not_before, leaf.not_after) = (from_now(seconds.0), from_now(seconds.1));
        let leaf = leaf.signed_by(&key, &*self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        for believed in &self.believed {
            roots.add(believed.clone()).unwrap();
        }
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        );
        let chain = [&[leaf.der().clone()], above].concat();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap())
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn serve(listener: TcpListener, service: Service) {
    let (ready, accepted) = mpsc::channel(4);
    let state = Arc::clone(&service.state);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let tls = state.lock().unwrap().tls.clone();
            if let Ok(stream) = tls.accept(socket).await {
                let _ = ready.send(Ok::<_, std::io::Error>(stream)).await;
            }
        }
    });
    tonic::transport::Server::builder()
        .add_service(AdmissionServer::new(service.clone()))
        .add_service(IntakeServer::new(service))
        .serve_with_incoming(ReceiverStream::new(accepted))
        .await
        .unwrap();
}

/// A host with a trace in place of devices.
pub(crate) struct Host {
    pub(crate) directory: tempfile::TempDir,
}

impl Host {
    pub(crate) fn new(fake: &Fake) -> Self {
        let host = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        std::fs::write(host.path("ca.pem"), &fake.ca_pem).unwrap();
        std::fs::write(host.path("trace.jsonl"), trace()).unwrap();
        host.configure(fake);
        host.token("first-token");
        host
    }

    pub(crate) fn configure(&self, fake: &Fake) {
        let trace = self.path("trace.jsonl");
        let source = format!(
            "kind = \"recorded\"\ntrace = \"{}\"\nloop = true\n",
            trace.display()
        );
        self.configure_source(fake, &source);
    }

    pub(crate) fn configure_source(&self, fake: &Fake, source: &str) {
        let path = |name| self.path(name).display().to_string();
        let text = format!(
            "verifier = \"https://{}\"\nca = \"{}\"\ndata = \"{}\"\nhost = \"gpu-01\"\n\
             interval = 1\nreconnect_max_ms = 50\n[source]\n{source}",
            fake.address,
            path("ca.pem"),
            path("data"),
        );
        std::fs::write(self.path("agent.toml"), text).unwrap();
    }

    pub(crate) fn token(&self, token: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.path("token"), token).unwrap();
        std::fs::set_permissions(self.path("token"), std::fs::Permissions::from_mode(0o600))
            .unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_affiant-agent"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("agent.toml"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn enroll(&self) -> Output {
        let token = self.path("token");
        self.run(&["enroll", "--token-file", token.to_str().unwrap()])
    }

    /// Starts `run`; its journal goes to a file.
    pub(crate) fn start(&self) -> Running {
        let journal = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("journal"))
            .unwrap();
        let mut command = self.command(&["run"]);
        command.stdout(Stdio::null()).stderr(journal);
        Running(command.spawn().unwrap(), self.path("journal"))
    }

    pub(crate) fn spool(&self) -> serde_json::Value {
        let out = self.run(&["spool", "--json"]);
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        serde_json::from_slice(&out.stdout).unwrap()
    }
}

/// An agent that ends with the test.
pub(crate) struct Running(Child, PathBuf);

impl Running {
    /// Sends SIGTERM, and gives exit code and the time that it took.
    pub(crate) fn stop(&mut self) -> (Option<i32>, Duration) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let began = Instant::now();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let code = self.0.wait().unwrap().code();
        (code, began.elapsed())
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    pub(crate) fn journal(&self) -> String {
        std::fs::read_to_string(&self.1).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.journal());
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first `size` leaves of a tree.
pub(crate) fn prefix(tree: &MemoryTree, size: u64) -> MemoryTree {
    let mut first = MemoryTree::default();
    (0..size).for_each(|index| first.push(tree.node(0, index).unwrap()));
    first
}

/// A tree of other leaves.
pub(crate) fn other(size: u64) -> MemoryTree {
    let mut other = MemoryTree::default();
    (0..size).for_each(|index| other.push(leaf_hash(&index.to_be_bytes())));
    other
}

/// Waits until `true`, for at most 20 s.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn trace() -> String {
    let lines = [
        r#"{"format":"affiant-trace/1","origin":"generated","model":"NVIDIA L4","driver":"","date":"2026-11-01","note":"","period_ms":100,"devices":[{"uuid":"GPU-1","model":"NVIDIA L4","coverage":"full"}]}"#,
        r#"[{"util":97,"mem":8589934592,"power_mw":71000,"energy_mj":7100,"procs":[{"workload":{"platform":"slurm","slurm_job":"1","slurm_account":"quickfire"},"mem":8388608,"sm":90}]}]"#,
        r#"[{"util":96,"mem":8589934592,"power_mw":71200,"energy_mj":14220}]"#,
    ];
    lines.map(|line| format!("{line}\n")).concat()
}

/// The data directory's file `name`.
pub(crate) fn file(host: &Host, name: &str) -> Vec<u8> {
    std::fs::read(host.path("data").join(Path::new(name))).unwrap()
}
