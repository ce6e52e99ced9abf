//! `serve`: load, start, wait, drain.

use std::{path::Path, sync::Arc, time::Duration};

use affiant_judge::admission::Sources;
use affiant_proto::Signer as _;
use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Mutex, Notify, mpsc, watch},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Server;

use crate::{
    admin::{self, AdminService},
    clock::Clock,
    config::Config,
    data::DataDir,
    enrol::AdmissionService,
    intake::IntakeService,
    keyfile,
    ledger::{self, Ledger, Reader},
    live::{self, Live},
    pki::Ca,
    registry::Registry,
    replay::{self, Replayed},
    report::Reports,
    rpc::{
        admin::admin_server::AdminServer, admission_server::AdmissionServer,
        intake_server::IntakeServer,
    },
    tls,
    token::Tokens,
    witness::{Rounds, Witnessed},
    writer::{self, Published, Submission, Submit},
};

/// Largest message of an agent: an envelope and its framing.
const MAX_MESSAGE: usize = affiant_proto::envelope::MAX_ENVELOPE_BYTES + 1_024;

/// How long sessions get to end before the writer closes the log.
const GRACE: Duration = Duration::from_secs(5);

/// How often the server's certificate is made anew.
const RENEW: Duration = Duration::from_secs(86_400);

/// Why the verifier did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct ServeError {
    what: &'static str,
    why: String,
}

fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> ServeError {
    move |why| ServeError {
        what,
        why: why.to_string(),
    }
}

/// A verifier that runs.
pub struct Verifier {
    stop: CancellationToken,
    tasks: TaskTracker,
    writer: std::thread::JoinHandle<()>,
    ended: writer::Ended,
    dead: Arc<Notify>,
    address: std::net::SocketAddr,
}

impl Verifier {
    /// Opens the log, reads all of it back, binds both sockets and serves.
    pub async fn start(
        config: Config,
        accept_recorded: bool,
        clock: Clock,
    ) -> Result<Self, ServeError> {
        let data = DataDir::at(&config.data);
        let sources = Sources { accept_recorded };
        // Before the keys, which a restored directory may lack too.
        ledger::check_lock(&data.ledger()).map_err(failed("log"))?;
        let signer =
            keyfile::read_signer(&data.operator_key()).map_err(failed("operator's key"))?;
        let ca = load_ca(&data)?;
        let tokens = Tokens::open(&data.tokens()).map_err(failed("tokens"))?;
        let (ledger, replayed) = open_log(&data, sources, &config)?;
        let Replayed {
            authorities,
            hosts,
            judge,
            genesis,
            cosigned,
            size,
        } = replayed;
        if authorities.operator().key() != signer.public_key() {
            let why = "is not the key of this log's genesis; restore the right one";
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
        let (segments, heard) = std::sync::mpsc::sync_channel(live::BACKLOG);
        live.listen(heard).map_err(failed("judge"))?;
        let (queue, queued) = mpsc::channel::<Submission>(writer::QUEUE);
        let submit = Submit(queue);
        let origin = authorities.body().origin.clone();
        let log_key =
            affiant_report::trust::log_key(authorities.body()).map_err(failed("genesis"))?;
        let parts = writer::Parts {
            ledger,
            authorities: authorities.clone(),
            signer,
            origin,
            hosts: hosts.clone(),
            judge: segments,
            published: publish,
            clock: clock.clone(),
        };
        let dead = Arc::new(Notify::new());
        let (writer, ended) =
            writer::start(parts, queued, dead.clone()).map_err(failed("writer"))?;

        let registry = Registry::open(&data.registry(), sources, config.parameters.clone()).await;
        let registry = registry.map_err(failed("registry"))?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(failed("listen"))?;
        let address = listener.local_addr().map_err(failed("listen"))?;
        let socket = admin::bind(&data.socket()).map_err(failed("admin socket"))?;

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let tls = Arc::new(ArcSwap::from_pointee(tls_config(&ca, &config, &clock)?));
        let witnessed = cosigned.and_then(|note| Witnessed::read(&note));
        let (tell, witnessed) = watch::channel(witnessed);
        let wanted = Arc::new(Notify::new());
        let tokens = Arc::new(Mutex::new(tokens));

        let admission = AdmissionService {
            hosts: hosts.clone(),
            ca: ca.clone(),
            tokens: tokens.clone(),
            openings: crate::opening::Openings::default(),
            genesis: authorities.genesis(),
            genesis_statement: genesis.clone(),
            lifetime: config.certificate_life,
            submit: submit.clone(),
            published: published.clone(),
            clock: clock.clone(),
        };
        let intake = IntakeService {
            hosts: hosts.clone(),
            sources,
            submit: submit.clone(),
            published: published.clone(),
            reader: reader.clone(),
        };
        let reports = Reports {
            reader: reader.clone(),
            log_key,
            submit: submit.clone(),
            witnessed,
            wanted: wanted.clone(),
            has_witnesses: !config.witnesses.is_empty(),
            parameters: config.parameters.clone(),
        };
        let admin = AdminService {
            hosts: hosts.clone(),
            officers: Mutex::new(authorities),
            tokens,
            live: live.clone(),
            submit: submit.clone(),
            published: published.clone(),
            genesis_statement: genesis,
            reports,
            registry: registry.clone(),
            reader: reader.clone(),
            clock: clock.clone(),
        };
        let agents = ReceiverStream::new(tls::accept(listener, tls.clone(), stop.clone()));
        tasks.spawn(
            Server::builder()
                .http2_keepalive_interval(Some(Duration::from_secs(30)))
                .http2_keepalive_timeout(Some(Duration::from_secs(20)))
                .max_concurrent_streams(8)
                .add_service(
                    AdmissionServer::new(admission).max_decoding_message_size(64 * 1024 * 2),
                )
                .add_service(IntakeServer::new(intake).max_decoding_message_size(MAX_MESSAGE))
                .serve_with_incoming_shutdown(agents, stop.clone().cancelled_owned()),
        );
        let commands = ReceiverStream::new(admin::accept(socket));
        tasks.spawn(
            Server::builder()
                .add_service(AdminServer::new(admin).max_decoding_message_size(128 * 1024 * 1024))
                .serve_with_incoming_shutdown(commands, stop.clone().cancelled_owned()),
        );
        tasks.spawn(registry.follow(live, hosts, stop.clone()));
        if !config.witnesses.is_empty() {
            let witnesses = config.witnesses.clone();
            let rounds = Rounds {
                witnesses,
                reader,
                published,
                submit,
                witnessed: tell,
                wanted,
            };
            tasks.spawn(rounds.run(stop.clone()));
        }
        tasks.spawn(renew(tls, ca, config, clock, stop.clone()));
        tasks.close();
        Ok(Self {
            stop,
            tasks,
            writer,
            ended,
            dead,
            address,
        })
    }

    /// Where agents connect.
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// Waits for SIGTERM or SIGINT, or for the log to fail.
    pub async fn wait(&self) -> Result<(), ServeError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed("signals"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("signals"))?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = self.dead.notified() => {}
        }
        Ok(())
    }

    /// Ends sessions, closes the last segment and stops.
    pub async fn drain(self) -> Result<(), ServeError> {
        self.stop.cancel();
        if tokio::time::timeout(GRACE, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::info!("sessions were still open; agents will resend what is not INCLUDED");
        }
        // Sessions that outlast the grace still hold the queue: what is in it is written first.
        self.dead.notify_waiters();
        let written = tokio::task::spawn_blocking(move || self.writer.join());
        let _ = tokio::time::timeout(GRACE, written).await;
        match self.ended.reason() {
            Some(fatal) => Err(ServeError {
                what: "log",
                why: fatal.to_string(),
            }),
            None => Ok(()),
        }
    }
}

/// Runs `serve` until it is told to stop.
pub async fn serve(
    config: Config,
    accept_recorded: bool,
    address_file: Option<&Path>,
) -> Result<(), ServeError> {
    let verifier = Verifier::start(config, accept_recorded, Clock::system()).await?;
    tracing::info!(address = %verifier.address(), "serving");
    if let Some(path) = address_file {
        let part = path.with_extension("part");
        std::fs::write(&part, verifier.address().to_string())
            .and_then(|()| std::fs::rename(&part, path))
            .map_err(failed("address file"))?;
    }
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    verifier.wait().await?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping");
    verifier.drain().await
}

fn load_ca(data: &DataDir) -> Result<Arc<Ca>, ServeError> {
    let key = keyfile::read_private(&data.ca_key()).map_err(failed("authority"))?;
    let key = std::str::from_utf8(&key).map_err(failed("authority"))?;
    let certificate = keyfile::read_text(&data.ca_certificate()).map_err(failed("authority"))?;
    Ca::load(key, &certificate, None)
        .map(Arc::new)
        .map_err(failed("authority"))
}

/// Opens the ledger, has what a crash left pending published, and admits everything again.
fn open_log(
    data: &DataDir,
    sources: Sources,
    config: &Config,
) -> Result<(Ledger, Replayed), ServeError> {
    let log_key = keyfile::read_signer(&data.log_key()).map_err(failed("log key"))?;
    let (mut ledger, recovered) =
        Ledger::open(&data.ledger(), Box::new(log_key)).map_err(failed("log"))?;
    let recovery = recovered.recovery().clone();
    if recovery != Default::default() {
        tracing::warn!(
            ?recovery,
            "the log was left unfinished by a crash and was put right"
        );
    }
    drop(recovered);
    ledger.close_segment().map_err(failed("log"))?;
    let reader: Reader = ledger.reader();
    let replayed = replay::replay(
        reader.entries(0..reader.size()),
        sources,
        &config.parameters,
    );
    Ok((ledger, replayed.map_err(failed("log"))?))
}

fn tls_config(ca: &Ca, config: &Config, clock: &Clock) -> Result<rustls::ServerConfig, ServeError> {
    let identity = ca
        .issue_server(&config.names, clock.now_ms())
        .map_err(failed("certificate"))?;
    tls::server_config(ca, identity).map_err(failed("certificate"))
}

async fn renew(
    tls: Arc<ArcSwap<rustls::ServerConfig>>,
    ca: Arc<Ca>,
    config: Config,
    clock: Clock,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RENEW) => {}
        }
        match tls_config(&ca, &config, &clock) {
            Ok(fresh) => tls.store(Arc::new(fresh)),
            Err(error) => tracing::error!(%error, "the server's certificate could not be renewed"),
        }
    }
}
