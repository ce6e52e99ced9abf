//! `serve`: load, start, wait, drain.

use std::{path::PathBuf, sync::Arc, time::Duration};

use affiant_judge::admission::Sources;
use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Mutex, Notify, watch},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Server;

pub use crate::open::ServeError;
use crate::{
    admin::{self, AdminService},
    behind, cli,
    clock::Clock,
    config::Config,
    data::DataDir,
    ledger::LocalDisk,
    open::{self, Opened, agents_server, failed},
    pki::Ca,
    registry::Registry,
    report::Reports,
    rpc::admin::admin_server::AdminServer,
    tls,
    witness::{Rounds, Witnessed},
    writer,
};

/// How long sessions get to end before the writer closes the log.
const GRACE: Duration = Duration::from_secs(5);

/// How often the server's certificate is made anew.
const RENEW: Duration = Duration::from_secs(86_400);

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
        newest: &[PathBuf],
        clock: Clock,
    ) -> Result<Self, ServeError> {
        let data = DataDir::at(&config.data);
        let sources = Sources { accept_recorded };
        behind::refuse(&data, &config, newest).await?;
        let disk = Arc::new(LocalDisk);
        let (opened, writing) = Opened::read(&config, sources, disk, &clock)?;
        opened
            .live
            .listen(writing.judged)
            .map_err(failed("judge"))?;
        let dead = Arc::new(Notify::new());
        let ended = writer::Ended::new(dead.clone());
        let writer =
            writer::start(writing.parts, writing.queue, ended.clone()).map_err(failed("writer"))?;
        let log_key = opened.authorities.read().lineage().current().key().clone();

        let registry = Registry::open(&data.registry(), sources, config.parameters.clone()).await;
        let registry = registry.map_err(failed("registry"))?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(failed("listen"))?;
        let address = listener.local_addr().map_err(failed("listen"))?;
        let socket = admin::bind(&data.socket()).map_err(failed("admin socket"))?;

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let tls = Arc::new(ArcSwap::from_pointee(opened.tls_config(&config, &clock)?));
        let (admission, intake) = opened.services(&config, sources, &clock);
        let Opened {
            ca,
            hosts,
            live,
            submit,
            published,
            reader,
            authorities,
            genesis,
            cosigned,
            tokens,
        } = opened;
        let witnessed = cosigned.and_then(|note| Witnessed::read(&note));
        let (tell, witnessed) = watch::channel(witnessed);
        let wanted = Arc::new(Notify::new());
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
            authorities,
            turn: Mutex::new(()),
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
        tasks.spawn(agents_server(
            admission,
            intake,
            agents,
            stop.clone().cancelled_owned(),
        ));
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
                ended: ended.clone(),
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
pub async fn serve(config: Config, options: &cli::Serve) -> Result<(), ServeError> {
    let (recorded, newest) = (options.accept_recorded, &options.newest);
    let verifier = Verifier::start(config, recorded, newest, Clock::system()).await?;
    tracing::info!(address = %verifier.address(), "serving");
    if let Some(path) = &options.address_file {
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
        match open::tls_config(&ca, &config, &clock) {
            Ok(fresh) => tls.store(Arc::new(fresh)),
            Err(error) => tracing::error!(%error, "the server's certificate could not be renewed"),
        }
    }
}
