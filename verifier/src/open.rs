//! Opens the log and puts together what serves agents: all of the verifier that needs no socket,
//! thread or signal.

use std::{sync::Arc, time::Duration};

use affiant_judge::admission::Sources;
use affiant_proto::tlog::{Checkpoint, NoteKey};
use arc_swap::ArcSwap;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
    sync::{Mutex, mpsc, watch},
};
use tokio_stream::Stream;
use tonic::transport::{Server, server::Connected};

use crate::{
    clock::Clock,
    config::Config,
    credentials::{self, Credentials},
    data::DataDir,
    enrol::AdmissionService,
    gate::Gate,
    growth::Growth,
    intake::IntakeService,
    keyfile,
    ledger::{self, Disk, Exhibits, Ledger, Reader, Store},
    lineage::Lineage,
    live::{self, Live},
    opening::Openings,
    replay::{self, Replayed},
    retention::Shared,
    rotation,
    rpc::{admission_server::AdmissionServer, intake_server::IntakeServer},
    token::Tokens,
    writer::{self, Published, Segment, Submission, Submit},
};

/// Largest message of an agent: an envelope and its framing.
const MAX_MESSAGE: usize = affiant_proto::envelope::MAX_ENVELOPE_BYTES + 1_024;

/// How often a silent connection is asked whether it lives, and how long it may take to answer: a
/// host that is gone is known to be within a minute.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(20);

/// Calls at one time on one connection: its stream, an hourly proof and a renewal; the rest is for
/// a tool that enrols many hosts over few connections.
const STREAMS: u32 = 8;

/// Bytes of one stream that its peer may send before they are read: some 80 records. So a stream
/// that waits for its turn holds no more, and even over 50 ms of way it carries 1,600 records a
/// second; a relay of the largest fleet has 800.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same for all streams of a connection: twice as much, so that a call beside a stream that
/// waits is still answered. With 9,000 connections all of which send and none of which is read it
/// is 1.2 GB.
const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW;

/// Bytes of a call's headers: gRPC's own are some 300.
const MAX_HEADERS: u32 = 8 * 1024;

/// Streams that a peer may open and reset before they are served; then it is cut off.
const MAX_RESETS: usize = 16;

/// Why the verifier did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct ServeError {
    pub(crate) what: &'static str,
    pub(crate) why: String,
}

pub(crate) fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> ServeError {
    move |why| ServeError {
        what,
        why: why.to_string(),
    }
}

/// A log that was read back, and those who speak of it.
pub struct Opened {
    /// All hosts, the newest of operator and officers, and the authority.
    pub gate: Gate,
    /// What is shown in TLS.
    pub credentials: Arc<Credentials>,
    /// The configuration, as it was read last.
    pub config: Arc<ArcSwap<Config>>,
    /// The running judge.
    pub live: Live,
    /// The way to the writer.
    pub submit: Submit,
    /// The newest checkpoint.
    pub published: watch::Receiver<Published>,
    /// The published log.
    pub reader: Reader,
    /// The key that signs checkpoints.
    pub log_key: NoteKey,
    /// By which statements trust passed on since the genesis.
    pub lineage: watch::Receiver<Arc<Lineage>>,
    /// How fast the log grows.
    pub growth: Growth,
    /// What was erased, and what is held.
    pub retention: Shared,
    /// Epoch of the lock.
    pub epoch: u64,
    /// The genesis statement.
    pub genesis: Vec<u8>,
    /// The newest `cosigned` note.
    pub cosigned: Option<Vec<u8>>,
    /// Tokens issued.
    pub tokens: Arc<Mutex<Tokens>>,
}

/// What must be run beside: [`writer::write`] with the first two, and the last into
/// [`Live::hear`].
pub struct Writing {
    /// What the writer needs.
    pub parts: writer::Parts,
    /// What it is to write.
    pub queue: mpsc::Receiver<Submission>,
    /// What it wrote, to be judged.
    pub judged: mpsc::Receiver<Segment>,
}

impl Opened {
    /// Opens the log through `disk`, has what a crash left pending published, and admits
    /// everything again.
    pub fn read(
        config: &Config,
        sources: Sources,
        disk: Arc<dyn Disk>,
        clock: &Clock,
    ) -> Result<(Self, Writing), ServeError> {
        let data = DataDir::at(&config.data);
        // Before the keys, which a restored directory may lack too.
        ledger::check_lock(&data.ledger()).map_err(failed("log"))?;
        let tokens = Tokens::open(&data.tokens()).map_err(failed("tokens"))?;
        let exhibits = Exhibits::of(&data.ledger());
        let (ledger, replayed) = open_log(&data, &exhibits, sources, config, disk)?;
        let Replayed {
            authorities,
            hosts,
            judge,
            book,
            retention,
            genesis,
            cosigned,
            lineage,
            size,
        } = replayed;
        let signer = rotation::settle_operator(&data, authorities.operator().key());
        let signer = signer.map_err(failed("operator's key"))?;
        let issuer = authorities.certifiers().last().copied();
        let issuer = issuer
            .ok_or("the log names none")
            .map_err(failed("authority"))?;
        credentials::settle_ca(&data, issuer).map_err(failed("authority"))?;
        let ca = credentials::load_ca(&data, issuer).map_err(failed("authority"))?;
        let (reader, epoch, growth) = (ledger.reader(), ledger.head().epoch, Growth::default());
        let published = reader.signed_checkpoint();
        let current = authorities.lineage().current().key();
        if Checkpoint::open(published.note().to_string().as_bytes(), current).is_err() {
            let why = "is not the key of this log's generation; restore the right one, or run \
                       `affiant-verifier succession open` again if it was cut off";
            return Err(ServeError {
                what: "log key",
                why: why.into(),
            });
        }
        let (publish, published) = watch::channel(Published {
            size: published.checkpoint().size(),
            root: *published.checkpoint().root(),
            note: published.note().to_string().into_bytes().into(),
            logged_unix_ms: ledger.clock(),
        });
        let retention = Shared::new(retention);
        let (hosts, live) = (Arc::new(hosts), Live::new(judge, size, exhibits));
        let (segments, judged) = mpsc::channel(live::BACKLOG);
        let (submissions, queue) = mpsc::channel(writer::QUEUE);
        let generation = authorities.lineage().current();
        let (origin, log_key) = (generation.origin().to_string(), generation.key().clone());
        let (newest, shown) = watch::channel(Arc::new(authorities.clone()));
        let (tell, lineage) = watch::channel(Arc::new(lineage));
        let gate = Gate {
            hosts: hosts.clone(),
            authorities: shown,
            ca: Arc::new(ArcSwap::from_pointee(ca)),
        };
        let config = Arc::new(ArcSwap::from_pointee(config.clone()));
        let credentials = Credentials::new(data, gate.clone(), clock.clone(), config.clone());
        let credentials = credentials.map_err(failed("certificate"))?;
        let parts = writer::Parts {
            ledger,
            origin,
            authorities,
            book,
            retention: retention.clone(),
            newest,
            lineage: tell,
            signer,
            hosts,
            judge: segments,
            published: publish,
            growth: growth.clone(),
            clock: clock.clone(),
        };
        let opened = Self {
            gate,
            credentials,
            config,
            live,
            submit: Submit(submissions),
            published,
            reader,
            log_key,
            lineage,
            growth,
            retention,
            epoch,
            genesis,
            cosigned,
            tokens: Arc::new(Mutex::new(tokens)),
        };
        let writing = Writing {
            parts,
            queue,
            judged,
        };
        Ok((opened, writing))
    }

    /// Makes the services that agents speak to; what waits for the disk goes to the threads of
    /// `disk`, where there are such.
    pub fn services(
        &self,
        sources: Sources,
        clock: &Clock,
        disk: Option<Handle>,
    ) -> (AdmissionService, IntakeService) {
        let admission = AdmissionService {
            gate: self.gate.clone(),
            tokens: self.tokens.clone(),
            openings: Openings::default(),
            genesis: affiant_proto::digest(&self.genesis),
            genesis_statement: self.genesis.clone(),
            config: self.config.clone(),
            lineage: self.lineage.clone(),
            submit: self.submit.clone(),
            published: self.published.clone(),
            clock: clock.clone(),
        };
        let intake = IntakeService {
            gate: self.gate.clone(),
            sources,
            submit: self.submit.clone(),
            published: self.published.clone(),
            reader: self.reader.clone(),
            disk,
            clock: clock.clone(),
        };
        (admission, intake)
    }
}

/// Serves agents on the connections of `incoming` until `stop`.
pub async fn agents_server<S>(
    admission: AdmissionService,
    intake: IntakeService,
    incoming: impl Stream<Item = std::io::Result<S>> + Send,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error>
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    S::ConnectInfo: Clone + Send + Sync + 'static,
{
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_max_pending_accept_reset_streams(Some(MAX_RESETS))
        .add_service(AdmissionServer::new(admission).max_decoding_message_size(64 * 1024 * 2))
        .add_service(IntakeServer::new(intake).max_decoding_message_size(MAX_MESSAGE))
        .serve_with_incoming_shutdown(incoming, stop)
        .await
}

fn open_log(
    data: &DataDir,
    exhibits: &Exhibits,
    sources: Sources,
    config: &Config,
    disk: Arc<dyn Disk>,
) -> Result<(Ledger, Replayed), ServeError> {
    let log_key = keyfile::read_signer(&data.log_key()).map_err(failed("log key"))?;
    let store = Store::on(&data.ledger(), disk);
    let (mut ledger, recovered) =
        Ledger::open_in(store, Box::new(log_key)).map_err(failed("log"))?;
    let recovery = recovered.recovery().clone();
    if recovery != Default::default() {
        tracing::warn!(
            ?recovery,
            "the log was left unfinished by a crash and was put right"
        );
    }
    drop(recovered);
    ledger.close_segment().map_err(failed("log"))?;
    let reader = ledger.reader();
    let replayed = replay::replay(
        reader.entries(0..reader.size()),
        exhibits,
        sources,
        &config.parameters,
    );
    Ok((ledger, replayed.map_err(failed("log"))?))
}
