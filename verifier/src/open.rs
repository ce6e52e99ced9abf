//! Opens the log and puts together what serves agents: all of the verifier that needs no socket,
//! thread or signal.

use std::sync::Arc;

use affiant_judge::admission::Sources;
use affiant_proto::Signer as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Mutex, mpsc, watch},
};
use tokio_stream::Stream;
use tonic::transport::{Server, server::Connected};

use crate::{
    authority::Authority,
    clock::Clock,
    config::Config,
    data::DataDir,
    enrol::AdmissionService,
    hosts::Hosts,
    intake::IntakeService,
    keyfile,
    ledger::{self, Disk, Ledger, Reader, Store},
    live::{self, Live},
    opening::Openings,
    pki::Ca,
    replay::{self, Replayed},
    rpc::{admission_server::AdmissionServer, intake_server::IntakeServer},
    tls,
    token::Tokens,
    writer::{self, Published, Segment, Submission, Submit},
};

/// Largest message of an agent: an envelope and its framing.
const MAX_MESSAGE: usize = affiant_proto::envelope::MAX_ENVELOPE_BYTES + 1_024;

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
    /// The authority.
    pub ca: Arc<Ca>,
    /// All hosts.
    pub hosts: Arc<Hosts>,
    /// The running judge.
    pub live: Live,
    /// The way to the writer.
    pub submit: Submit,
    /// The newest checkpoint.
    pub published: watch::Receiver<Published>,
    /// The published log.
    pub reader: Reader,
    /// Operator and officers.
    pub authorities: Authority,
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
        let signer =
            keyfile::read_signer(&data.operator_key()).map_err(failed("operator's key"))?;
        let ca = load_ca(&data)?;
        let tokens = Tokens::open(&data.tokens()).map_err(failed("tokens"))?;
        let (ledger, replayed) = open_log(&data, sources, config, disk)?;
        let Replayed {
            authorities,
            hosts,
            judge,
            genesis,
            cosigned,
            size,
        } = replayed;
        if authorities.operator().key() != signer.public_key() {
            let why = "is not the key of this log's operator; restore the right one";
            return Err(ServeError {
                what: "operator's key",
                why: why.into(),
            });
        }
        let reader = ledger.reader();
        let published = reader.signed_checkpoint();
        let (publish, published) = watch::channel(Published {
            size: published.checkpoint().size(),
            root: *published.checkpoint().root(),
            note: published.note().to_string().into_bytes().into(),
        });
        let (hosts, live) = (Arc::new(hosts), Live::new(judge, size));
        let (segments, judged) = mpsc::channel(live::BACKLOG);
        let (submissions, queue) = mpsc::channel(writer::QUEUE);
        let origin = authorities.lineage().current().origin().to_string();
        let authorities = Authority::new(authorities);
        let parts = writer::Parts {
            ledger,
            origin,
            authorities: authorities.clone(),
            signer,
            hosts: hosts.clone(),
            judge: segments,
            published: publish,
            clock: clock.clone(),
        };
        let opened = Self {
            ca,
            hosts,
            live,
            submit: Submit(submissions),
            published,
            reader,
            authorities,
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

    /// Makes the services that agents speak to.
    pub fn services(
        &self,
        config: &Config,
        sources: Sources,
        clock: &Clock,
    ) -> (AdmissionService, IntakeService) {
        let admission = AdmissionService {
            hosts: self.hosts.clone(),
            ca: self.ca.clone(),
            tokens: self.tokens.clone(),
            openings: Openings::default(),
            authorities: self.authorities.clone(),
            genesis_statement: self.genesis.clone(),
            lifetime: config.certificate_life,
            submit: self.submit.clone(),
            published: self.published.clone(),
            clock: clock.clone(),
        };
        let intake = IntakeService {
            hosts: self.hosts.clone(),
            authorities: self.authorities.clone(),
            sources,
            submit: self.submit.clone(),
            published: self.published.clone(),
            reader: self.reader.clone(),
        };
        (admission, intake)
    }

    /// Makes the server's side of TLS, with a certificate made anew.
    pub fn tls_config(
        &self,
        config: &Config,
        clock: &Clock,
    ) -> Result<rustls::ServerConfig, ServeError> {
        tls_config(&self.ca, config, clock)
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
    use std::time::Duration;
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(8)
        .add_service(AdmissionServer::new(admission).max_decoding_message_size(64 * 1024 * 2))
        .add_service(IntakeServer::new(intake).max_decoding_message_size(MAX_MESSAGE))
        .serve_with_incoming_shutdown(incoming, stop)
        .await
}

fn load_ca(data: &DataDir) -> Result<Arc<Ca>, ServeError> {
    let key = keyfile::read_private(&data.ca_key()).map_err(failed("authority"))?;
    let key = std::str::from_utf8(&key).map_err(failed("authority"))?;
    let certificate = keyfile::read_text(&data.ca_certificate()).map_err(failed("authority"))?;
    Ca::load(key, &certificate, None)
        .map(Arc::new)
        .map_err(failed("authority"))
}

fn open_log(
    data: &DataDir,
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
        sources,
        &config.parameters,
    );
    Ok((ledger, replayed.map_err(failed("log"))?))
}

pub(crate) fn tls_config(
    ca: &Ca,
    config: &Config,
    clock: &Clock,
) -> Result<rustls::ServerConfig, ServeError> {
    let identity = ca
        .issue_server(&config.names, clock.now_ms())
        .map_err(failed("certificate"))?;
    tls::server_config(ca, identity, clock).map_err(failed("certificate"))
}
