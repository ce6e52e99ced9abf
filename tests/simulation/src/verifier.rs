//! The verifier: its own log, writer, judge and services on simulated sockets and a disk that fails.

use std::{fs, path::PathBuf, sync::Arc};

use affiant_judge::{admission::Sources, parameters::Parameters};
use affiant_proto::{Signer as _, Statement, statement::Place, v1};
use affiant_verifier::{
    cli::Init,
    config::Config,
    init::init,
    keyfile::{self, OfficerKey},
    open::{Opened, agents_server},
    tls,
    token::Tokens,
    writer,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::{
    disk::FailingDisk,
    time::{Clocks, EPOCH_MS, elapsed_ms},
    wire::Wires,
    world::World,
};

type Failed = Box<dyn std::error::Error>;

/// What it is named in the trace and on the network.
pub const NAME: &str = "verifier";

/// Simulated devices are believed here.
pub const SOURCES: Sources = Sources {
    accept_recorded: true,
};

/// The verifier's machine.
pub struct Machine {
    /// Its clocks.
    pub clocks: Arc<Clocks>,
    /// Its disk.
    pub disk: Arc<FailingDisk>,
    /// Its judge does not hear each n-th segment: a deliberate bug, to show that it is found.
    pub deaf: Option<u64>,
    config: Config,
    world: Arc<World>,
}

/// What the verifier is configured with.
pub fn config(data: PathBuf, parameters: Parameters) -> Result<Config, Failed> {
    let mut config = Config::load(None)?;
    config.data = data;
    config.names = vec![NAME.to_owned()];
    config.parameters = parameters;
    Ok(config)
}

impl Machine {
    /// Makes a deployment; gives the machine and a token for each host.
    pub fn new(
        world: &Arc<World>,
        hosts: &[String],
        parameters: Parameters,
        deaf: Option<u64>,
    ) -> Result<(Arc<Self>, Vec<String>), Failed> {
        let keys = world.of("officers");
        fs::create_dir_all(&keys)?;
        for name in ["ada", "bob"] {
            OfficerKey::create(name, &keys.join(format!("{name}.key")))?;
        }
        let options = Init {
            origin: "log.example.org/1".into(),
            operator: "Example".into(),
            officers: ["ada.pub", "bob.pub"].map(|name| keys.join(name)).into(),
        };
        let clocks = Arc::<Clocks>::default();
        let config = config(world.of(NAME), parameters)?;
        init(&options, &config.data, &clocks.for_verifier())?;
        let mut tokens = Tokens::open(&config.data.join("tokens.jsonl"))?;
        let issued = tokens.issue(hosts, "site", EPOCH_MS.saturating_mul(2))?;
        let it = Self {
            clocks,
            disk: Arc::default(),
            deaf,
            config,
            world: Arc::clone(world),
        };
        Ok((Arc::new(it), issued))
    }

    /// Runs until the log fails.
    pub async fn run(self: Arc<Self>) -> turmoil::Result {
        self.world.trace(elapsed_ms(), NAME, "starts");
        match self.serve().await {
            Ok(why) => self.world.trace(elapsed_ms(), NAME, &why),
            Err(error) => {
                self.world
                    .broken(elapsed_ms(), NAME, &format!("does not start: {error}"))
            }
        }
        Ok(())
    }

    async fn serve(&self) -> Result<String, Failed> {
        let clock = self.clocks.for_verifier();
        let disk = self.disk.clone();
        let (opened, mut writing) = match Opened::read(&self.config, SOURCES, disk, &clock) {
            // The disk failed while the log was opened: as good as a crash.
            Err(error) if error.to_string().contains("simulated disk") => {
                return Ok("the disk failed at the start".into());
            }
            opened => opened?,
        };
        let size = opened.reader.size();
        self.world
            .trace(elapsed_ms(), NAME, &format!("serves a log of {size}"));
        self.world.seen().live = Some(opened.live.clone());
        let (live, deaf) = (opened.live.clone(), self.deaf);
        tokio::spawn(async move {
            let mut count = 0_u64;
            while let Some(segment) = writing.judged.recv().await {
                count += 1;
                if deaf.is_none_or(|nth| !count.is_multiple_of(nth)) {
                    live.hear(segment);
                }
            }
        });
        let stop = CancellationToken::new();
        let agents = ReceiverStream::new(tls::accept(
            Wires::listen().await?,
            opened.credentials.tls(),
            tls::HANDSHAKES,
            stop.clone(),
        ));
        let (admission, intake) = opened.services(SOURCES, &clock, None);
        let serving = agents_server(admission, intake, agents, stop.cancelled_owned());
        tokio::spawn(serving);
        let writing = tokio::spawn(writer::write(writing.parts, writing.queue));
        match self.bind(&opened).await {
            // The log failed first: the writer says why.
            Err(error) if error.is::<writer::NotLogged>() => {}
            bound => bound?,
        }
        match writing.await? {
            Ok(()) => Err("the writer ended by itself".into()),
            Err(_) => Ok("the log cannot be written; the process ends".into()),
        }
    }

    /// Has an officer bind one namespace to a tenant that nobody approved.
    async fn bind(&self, opened: &Opened) -> Result<(), Failed> {
        let genesis = {
            let authorities = opened.gate.authorities.borrow();
            if authorities.officers().next().is_some() {
                return Ok(());
            }
            authorities.genesis()
        };
        let signer = keyfile::read_signer(&self.world.of("officers").join("ada.key"))?;
        let time = v1::Time {
            unix_ms: self.clocks.wall_ms(),
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        };
        let officer = v1::Officer {
            genesis: genesis.as_bytes().to_vec(),
            name: "ada".into(),
            key: signer.public_key().as_bytes().to_vec(),
            ..v1::Officer::default()
        };
        let opener = Statement::seal(officer.into(), Place::Opening, time, None, &signer)?;
        let place = Place::Link {
            chain: opener.digest(),
            sequence: 1,
            previous: opener.digest(),
        };
        let event = v1::BindingEvent {
            effective_unix_ms: EPOCH_MS,
            binding: Some(v1::Binding {
                id: "acme".into(),
                tenant: "acme".into(),
                namespace: "acme".into(),
                ..v1::Binding::default()
            }),
            ..v1::BindingEvent::default()
        };
        let binding = Statement::seal(event.into(), place, time, None, &signer)?;
        // A crash before it is logged has it said again at the next start.
        opened
            .submit
            .officers(vec![opener, binding])
            .await?
            .map_err(|(_, refusal)| refusal)?;
        Ok(())
    }
}
