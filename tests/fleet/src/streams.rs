//! The streams of a run, whatever their shape: all of them do the same at one time.

use std::{sync::Arc, time::Instant};

use affiant_proto::Digest;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    connection::Verifier,
    deployment::Deployment,
    load::{Load, LoadError, Shape},
    pace::Pace,
    random::Random,
    relayed::{self, Carried, Relayed},
    roster::Roster,
    session::{self, Sent, Session, SessionError},
    usage::HostModel,
};

/// Connections that are opened at one time: a verifier bounds handshakes to 256, of which this
/// leaves most to others.
const CONNECTING: usize = 64;

/// One stream.
pub(crate) enum Stream {
    Direct(Box<Session>, Pace),
    Relayed(Box<Relayed>),
}

/// What all streams do at once.
#[derive(Clone, Copy)]
pub(crate) enum Phase {
    /// A record of each host ends the silence since its last one.
    Open(Instant),
    Run(Instant),
    Prove,
}

impl Stream {
    fn seal(&mut self, begin_unix_ms: u64) -> Result<(), SessionError> {
        match self {
            Self::Direct(session, pace) => session.seal(pace, begin_unix_ms),
            Self::Relayed(relayed) => relayed.seal(begin_unix_ms),
        }
    }

    async fn act(&mut self, phase: Phase) -> Result<(), SessionError> {
        match (self, phase) {
            (Self::Direct(session, pace), Phase::Open(start)) => {
                session.run(&pace.opening(), start).await
            }
            (Self::Relayed(relayed), Phase::Open(start)) => relayed.open_all(start).await,
            (Self::Direct(session, pace), Phase::Run(start)) => session.run(pace, start).await,
            (Self::Direct(session, _), Phase::Prove) => session.prove().await,
            (Self::Relayed(relayed), Phase::Run(start)) => relayed.run(start).await,
            (Self::Relayed(relayed), Phase::Prove) => relayed.prove().await,
        }
    }

    /// Closes it; gives what was sent in the window.
    pub(crate) fn close(self) -> Sent {
        match self {
            Self::Direct(session, _) => session.close(),
            Self::Relayed(relayed) => relayed.close(),
        }
    }
}

/// Opens the streams of a run, one host or many to each.
pub(crate) async fn open(
    load: &Load,
    verifier: &Verifier,
    deployment: &Deployment,
    roster: &mut Roster,
    paces: &[Pace],
) -> Result<Vec<Stream>, LoadError> {
    let boots = roster.boot(paces.len())?.to_vec();
    let mut hosts = Vec::with_capacity(paces.len());
    for (number, ((chain, pace), boot)) in
        (0..).zip(roster.chains(paces.len())?.iter().zip(paces).zip(boots))
    {
        let random = Random::new(load.seed ^ u64::from(boot), number);
        // Where the wall clock stands is set when the window begins.
        let gpus = roster.fleet().gpus;
        let model = HostModel::new(gpus, load.interval_ms, boot, 0, random)?;
        let signer = roster.fleet().signer(hosts.len());
        hosts.push(Carried {
            chain: *chain,
            signer,
            model,
            pace: *pace,
        });
    }
    let (room, mut running) = (Arc::new(Semaphore::new(CONNECTING)), JoinSet::new());
    match load.shape {
        Shape::Direct => {
            let certificates = roster.certificates(hosts.len())?;
            for (number, (host, certificate)) in hosts.into_iter().zip(certificates).enumerate() {
                let identity = session::Identity {
                    host: roster.fleet().host(number),
                    chain: host.chain,
                    signer: host.signer,
                    certificate: certificate.clone(),
                };
                let (verifier, deployment) = (verifier.clone(), deployment.clone());
                let room = room.clone();
                running.spawn(async move {
                    // Never closed, so this only waits.
                    let _permit = room.acquire().await;
                    let session = Session::open(&verifier, &deployment, identity, host.model);
                    let session = session.await?;
                    Ok::<_, SessionError>(Stream::Direct(Box::new(session), host.pace))
                });
            }
        }
        Shape::Relayed(relays) => {
            let count = usize::from(relays);
            let share = hosts.len().div_ceil(count.max(1));
            let mut hosts = hosts.into_iter();
            for (number, relay) in roster.relays(count)?.iter().enumerate() {
                let identity = relayed::Identity {
                    relay: roster.fleet().relay(number),
                    chain: Digest::new(relay.chain),
                    certificate: relay.certificate.clone(),
                };
                let some: Vec<Carried> = hosts.by_ref().take(share).collect();
                let (verifier, deployment) = (verifier.clone(), deployment.clone());
                running.spawn(async move {
                    let opened = Relayed::open(&verifier, &deployment, identity, some).await?;
                    Ok::<_, SessionError>(Stream::Relayed(Box::new(opened)))
                });
            }
        }
    }
    collect(running).await
}

/// Signs all records of the window, on threads of their own: connections must be kept alive
/// meanwhile.
pub(crate) async fn seal(
    load: &Load,
    mut streams: Vec<Stream>,
    begin_unix_ms: u64,
) -> Result<Vec<Stream>, LoadError> {
    let share = streams.len().div_ceil(load.threads.max(1).into());
    let mut running = JoinSet::new();
    while !streams.is_empty() {
        let mut some = streams.split_off(streams.len().saturating_sub(share));
        running.spawn_blocking(move || {
            for stream in &mut some {
                stream.seal(begin_unix_ms)?;
            }
            Ok::<_, SessionError>(some)
        });
    }
    Ok(collect(running).await?.into_iter().flatten().collect())
}

/// Lets all streams do the same at once.
pub(crate) async fn each(streams: Vec<Stream>, phase: Phase) -> Result<Vec<Stream>, LoadError> {
    let mut running = JoinSet::new();
    for mut stream in streams {
        running.spawn(async move {
            stream.act(phase).await?;
            Ok::<_, SessionError>(stream)
        });
    }
    collect(running).await
}

async fn collect<T: 'static>(
    mut running: JoinSet<Result<T, SessionError>>,
) -> Result<Vec<T>, LoadError> {
    let mut done = Vec::with_capacity(running.len());
    while let Some(next) = running.join_next().await {
        done.push(next??);
    }
    Ok(done)
}
