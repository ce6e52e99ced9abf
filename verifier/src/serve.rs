//! `serve`: load, start, wait, drain.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use affiant_judge::admission::Sources;
use affiant_report::plain_file;
use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Server;

pub use crate::open::ServeError;
use crate::{
    admin::{self, AdminService},
    api::Api,
    behind, cli,
    clock::Clock,
    config::{Config, Faults},
    credentials::Credentials,
    data::DataDir,
    deliver::{Deliveries, LogName, Standings},
    http::{self, Limits, Readers, Site},
    keyfile,
    ledger::{Eraser, Exhibits, LocalDisk, Repacker},
    office::Office,
    open::{Opened, failed},
    registry::Registry,
    report::Reports,
    retention,
    rotation::Rotation,
    rpc::admin::admin_server::AdminServer,
    status::StatusSource,
    threads::Threads,
    trial::Trials,
    witness::{Answers, Rounds, Witnessed},
    writer,
};

/// How long sessions get to end before the writer closes the log.
const GRACE: Duration = Duration::from_secs(5);

/// Reads the configuration again.
pub type Reload<'a> = dyn Fn() -> Result<Config, Faults> + 'a;

/// Where a verifier listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// For agents.
    pub agents: SocketAddr,
    /// For everybody: the public tree.
    pub http: Option<SocketAddr>,
    /// For readers with a token: statements.
    pub api: Option<SocketAddr>,
    /// The same over TLS.
    pub api_tls: Option<SocketAddr>,
}

/// A line each: the agents' address alone, then `http ADDRESS`, `api ADDRESS` and `api-tls ADDRESS`.
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.agents)?;
        let others = [
            ("http", self.http),
            ("api", self.api),
            ("api-tls", self.api_tls),
        ];
        for (name, address) in others {
            if let Some(address) = address {
                write!(f, "\n{name} {address}")?;
            }
        }
        Ok(())
    }
}

async fn bind(
    what: &'static str,
    at: Option<SocketAddr>,
) -> Result<Option<TcpListener>, ServeError> {
    let Some(at) = at else { return Ok(None) };
    let bound = TcpListener::bind(at).await;
    // The address says which of them, and `none` is the remedy for one that is not wanted.
    let why = |e| format!("{at}: {e}; name another address, or \"none\", in verifier.toml");
    bound
        .map(Some)
        .map_err(|e| ServeError { what, why: why(e) })
}

/// A verifier that runs.
pub struct Verifier {
    stop: CancellationToken,
    tasks: TaskTracker,
    threads: Threads,
    writer: std::thread::JoinHandle<()>,
    ended: writer::Ended,
    dead: Arc<Notify>,
    addresses: Addresses,
    config: Arc<ArcSwap<Config>>,
    credentials: Arc<Credentials>,
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
        let exhibits = Exhibits::of(&data.ledger());
        let registry = Registry::open(
            &data.registry(),
            exhibits.clone(),
            sources,
            config.parameters.clone(),
        )
        .await;
        let registry = registry.map_err(failed("registry"))?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(failed("listen"))?;
        let address = listener.local_addr().map_err(failed("listen"))?;
        let socket = admin::bind(&data.socket()).map_err(failed("admin socket"))?;
        let http = bind("http", config.http).await?;
        let api = bind("api", config.api).await?;
        let api_tls = bind("api", config.secured_at()).await?;

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (admission, intake) = opened.services(sources, &clock, Some(Handle::current()));
        let Opened {
            gate,
            credentials,
            config,
            live,
            submit,
            published,
            reader,
            log_key,
            growth,
            retention,
            epoch,
            genesis,
            cosigned,
            tokens,
            ..
        } = opened;
        let policy = config.load().quorum.clone();
        let witnessed = cosigned.and_then(|note| Witnessed::read(&note, policy.as_ref()));
        let (tell, witnessed) = watch::channel(witnessed);
        let wanted = Arc::new(Notify::new());
        let reports = Reports {
            reader: reader.clone(),
            exhibits: exhibits.clone(),
            log_key: log_key.clone(),
            submit: submit.clone(),
            witnessed,
            wanted: wanted.clone(),
            config: config.clone(),
            parameters: config.load().parameters.clone(),
            published: published.clone(),
        };
        let answers = Answers::default();
        let standings = Standings::default();
        let origin = gate
            .authorities
            .borrow()
            .lineage()
            .current()
            .origin()
            .to_string();
        let deliveries = Deliveries {
            receivers: &config.load().deliver,
            log: LogName {
                origin,
                genesis: affiant_proto::digest(&genesis).to_string(),
            },
            live: live.clone(),
            folder: &data.deliveries(),
            standings: standings.clone(),
            clock: clock.clone(),
        };
        deliveries
            .start(&tasks, &stop)
            .map_err(failed("deliveries"))?;
        let status = StatusSource {
            gate: gate.clone(),
            credentials: credentials.clone(),
            live: live.clone(),
            submit: submit.clone(),
            published: published.clone(),
            config: config.clone(),
            answers: answers.clone(),
            receivers: standings,
            directory: data.path().to_owned(),
            growth,
            epoch,
            clock: clock.clone(),
            started_unix_ms: clock.now_ms(),
        };
        let handed = data.handed();
        keyfile::create_dir(&handed).map_err(failed("cosigned"))?;
        let hosts = gate.hosts.clone();
        let office = Office {
            gate: gate.clone(),
            live: live.clone(),
            submit: submit.clone(),
            published: published.clone(),
            genesis_statement: genesis,
            retention: retention.clone(),
            exhibits: exhibits.clone(),
            clock: clock.clone(),
            objecting: Arc::default(),
        };
        let admin = AdminService {
            rotation: Rotation {
                data,
                gate,
                credentials: credentials.clone(),
                submit: submit.clone(),
                one: Arc::default(),
            },
            status,
            tokens,
            office: office.clone(),
            trials: Trials::new(
                reader.clone(),
                exhibits.clone(),
                config.load().parameters.clone(),
            ),
            reports,
            registry: registry.clone(),
            reader: reader.clone(),
            clock: clock.clone(),
        };
        let services = (&admission, &intake);
        let threads = Threads::start(listener, &credentials.tls(), services, &tasks, &stop);
        let threads = threads.map_err(failed("agents' threads"))?;
        let commands = ReceiverStream::new(admin::accept(socket));
        tasks.spawn(
            Server::builder()
                .add_service(AdminServer::new(admin).max_decoding_message_size(128 * 1024 * 1024))
                .serve_with_incoming_shutdown(commands, stop.clone().cancelled_owned()),
        );
        let judged = live.clone();
        tasks.spawn(registry.follow(live, hosts, stop.clone()));
        let addresses = Addresses {
            agents: address,
            http: http.as_ref().and_then(|socket| socket.local_addr().ok()),
            api: api.as_ref().and_then(|socket| socket.local_addr().ok()),
            api_tls: api_tls.as_ref().and_then(|socket| socket.local_addr().ok()),
        };
        let readers = Readers::of(config.clone());
        let entitled = Api {
            office,
            readers: readers.clone(),
            clock: clock.clone(),
        };
        let private = Site::with_statements(reader.clone(), exhibits, readers);
        let sites = [
            (http, None, Site::public(reader.clone()), None),
            (api, None, private.clone(), Some(entitled.clone())),
            (api_tls, Some(config.clone()), private, Some(entitled)),
        ];
        for (socket, secured, site, api) in sites {
            if let Some(socket) = socket {
                let (limits, at) = (Limits::default(), (socket, secured));
                tasks.spawn(http::serve(site, api, at, limits, stop.clone()));
            }
        }
        let erasing = retention::Rounds {
            retention,
            config: config.clone(),
            live: judged,
            submit: submit.clone(),
            eraser: Eraser::new(reader.clone(), Arc::new(LocalDisk)),
            repacker: Arc::new(Repacker::new(reader.clone(), Arc::new(LocalDisk))),
        };
        tasks.spawn(erasing.run(stop.clone()));
        let rounds = Rounds {
            config: config.clone(),
            reader,
            log_key,
            published,
            submit,
            witnessed: tell,
            wanted,
            ended: ended.clone(),
            answers,
            handed,
            clock,
        };
        tasks.spawn(rounds.run(stop.clone()));
        tasks.spawn(credentials.clone().keep(stop.clone()));
        tasks.close();
        Ok(Self {
            stop,
            tasks,
            threads,
            writer,
            ended,
            dead,
            addresses,
            config,
            credentials,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Waits for SIGTERM or SIGINT, or for the log to fail. At SIGHUP the configuration is read
    /// `again`; a bad one is told of, and the old one stays.
    pub async fn wait(&self, again: &Reload<'_>) -> Result<(), ServeError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed("signals"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("signals"))?;
        let mut hangup = signal(SignalKind::hangup()).map_err(failed("signals"))?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                () = self.dead.notified() => return Ok(()),
                _ = hangup.recv() => match again() {
                    Ok(config) => self.configure(config),
                    Err(faults) => {
                        tracing::error!(%faults, "the configuration stays as it was");
                    }
                },
            }
        }
    }

    /// Goes by a new configuration, as far as it can without a restart.
    fn configure(&self, new: Config) {
        let old = self.config.load_full();
        let later = old.needs_restart(&new);
        if !later.is_empty() {
            tracing::warn!(
                keys = later.join(", "),
                "these count at the next start only"
            );
        }
        // Certificates count at once, another address at the next start.
        let api_tls = match (&old.api_tls, new.api_tls) {
            (Some(old), Some(new)) if old.listen == new.listen => Some(new),
            (old, _) => old.clone(),
        };
        let new = Config {
            api_tls,
            data: old.data.clone(),
            listen: old.listen,
            http: old.http,
            api: old.api,
            parameters: old.parameters.clone(),
            deliver: old.deliver.clone(),
            log: old.log,
            ..new
        };
        match self.credentials.configure(new) {
            Ok(()) => tracing::info!("the configuration was read again"),
            Err(error) => tracing::error!(%error, "the configuration stays as it was"),
        }
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
        // What is in the queue is written; it ends once no session holds it any more.
        let (threads, writer) = (self.threads, self.writer);
        let written = tokio::task::spawn_blocking(move || {
            threads.end();
            writer.join()
        });
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
    options: &cli::Serve,
    again: &Reload<'_>,
) -> Result<(), ServeError> {
    let (recorded, newest) = (options.accept_recorded, &options.newest);
    let verifier = Verifier::start(config, recorded, newest, Clock::system()).await?;
    let addresses = verifier.addresses();
    tracing::info!(address = %addresses.agents, http = ?addresses.http, api = ?addresses.api, api_tls = ?addresses.api_tls, "serving");
    if let Some(path) = &options.address_file {
        let part = path.with_extension("part");
        plain_file::put(path, &part, addresses.to_string().as_bytes())
            .map_err(failed("address file"))?;
    }
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    verifier.wait(again).await?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping");
    verifier.drain().await
}
