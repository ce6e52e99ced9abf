//! The other end of the admin socket: how commands reach the running server.

mod silence;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use affiant_proto::{
    Body, Digest, Ed25519Signer, Signer as _, Statement,
    statement::{Place, SealError},
    tlog::Note,
    v1,
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::{
    clock::Clock,
    form::{self, Fault},
    keyfile::OfficerKey,
    rpc::admin::{self as rpc, admin_client::AdminClient},
};
use silence::{Heard, PING};
pub use silence::{SILENT_SECONDS, Silence};

/// Largest answer: a list of all findings of a large fleet.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// Why a command got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No server behind the socket.
    #[error(
        "no verifier answers at {0}: is `affiant-verifier serve` running on this data directory, and are you its user?"
    )]
    NoServer(PathBuf),
    /// The server took the connection and answers nothing.
    #[error(
        "{0}: the verifier took the connection and answered nothing for {SILENT_SECONDS} s: it is stopped or hangs; see \
         `systemctl status affiant-verifier` and its journal, and before you say it again look whether it was logged"
    )]
    Silent(PathBuf),
    /// The server said no.
    #[error("{}", .0.message())]
    Refused(Box<Status>),
    /// What should be signed says what cannot be.
    #[error("{0}; nothing was signed")]
    Unfit(String),
    /// What should be signed cannot be.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The server's answer makes no sense.
    #[error("the server's answer cannot be read: {0}")]
    Answer(&'static str),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// How long any call may take of a server that lives: a report over a year of a large fleet is minutes.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// How long it may take to be connected: to a socket of this machine it is no time at all.
const CONNECTED: Duration = Duration::from_secs(5);

/// A connection to the running server.
pub struct Client(AdminClient<Channel>);

impl Client {
    /// Connects to the socket; `silence` tells when the server says nothing any more.
    pub async fn connect(socket: &Path, silence: &Silence) -> Result<Self, ClientError> {
        let (path, silence) = (socket.to_owned(), silence.clone());
        let connector = tower::service_fn(move |_| {
            let (path, silence) = (path.clone(), silence.clone());
            async move {
                let stream = UnixStream::connect(path).await?;
                std::io::Result::Ok(TokioIo::new(Heard::new(stream, silence)))
            }
        });
        // The name is never looked up: the connector knows one place only.
        let channel = Endpoint::from_static("http://verifier.invalid")
            .connect_timeout(CONNECTED)
            .timeout(PATIENCE)
            .http2_keep_alive_interval(PING)
            // Silence is told on the connection itself, a little earlier.
            .keep_alive_timeout(2 * Duration::from_secs(SILENT_SECONDS.into()))
            .keep_alive_while_idle(true)
            .connect_with_connector(connector)
            .await;
        let channel = channel.map_err(|_| ClientError::NoServer(socket.to_owned()))?;
        Ok(Self(
            AdminClient::new(channel).max_decoding_message_size(MAX_ANSWER),
        ))
    }

    /// The calls as they are.
    pub fn calls(&mut self) -> &mut AdminClient<Channel> {
        &mut self.0
    }

    /// Lists something as JSON.
    pub async fn list(
        &mut self,
        what: rpc::list_request::What,
    ) -> Result<serde_json::Value, ClientError> {
        let answer = self
            .0
            .list(rpc::ListRequest { what: what.into() })
            .await?
            .into_inner();
        serde_json::from_str(&answer.json).map_err(|_| ClientError::Answer("not JSON"))
    }

    /// How many entries the log has.
    pub async fn log_size(&mut self) -> Result<u64, ClientError> {
        let status = self.0.status(rpc::StatusRequest {}).await?.into_inner();
        let seen = seen(&status.checkpoint);
        seen.map(|checkpoint| checkpoint.size)
            .ok_or(ClientError::Answer("no checkpoint"))
    }

    /// Opens the chain of an officer whom two others approved.
    pub async fn open_officer(
        &mut self,
        officer: &OfficerKey,
        signer: &Ed25519Signer,
        approvals: Vec<v1::OfficerApproval>,
        clock: &Clock,
    ) -> Result<Vec<u64>, ClientError> {
        let key = signer.public_key().as_bytes().to_vec();
        let request = rpc::OfficerHeadRequest { key: key.clone() };
        let head = self.0.officer_head(request).await?.into_inner();
        let opening = v1::Officer {
            header: None,
            genesis: head.genesis,
            name: officer.name.clone(),
            key,
            approvals,
        };
        let seen = seen(&head.checkpoint);
        let made = Statement::seal(opening.into(), Place::Opening, time(clock), seen, signer)?;
        let statements = vec![made.as_bytes().to_vec()];
        let logged = self.0.submit(rpc::SubmitRequest { statements }).await?;
        Ok(logged.into_inner().indices)
    }

    /// Signs `bodies` in the officer's chain, which is opened when it is not, and has them
    /// logged, all or none.
    pub async fn sign_and_submit(
        &mut self,
        officer: &OfficerKey,
        signer: &Ed25519Signer,
        bodies: Vec<Body>,
        clock: &Clock,
    ) -> Result<Vec<u64>, ClientError> {
        fit(&bodies)?;
        let key = signer.public_key().as_bytes().to_vec();
        let head = self
            .0
            .officer_head(rpc::OfficerHeadRequest { key: key.clone() })
            .await?
            .into_inner();
        let digest =
            |bytes: &[u8]| Digest::try_from(bytes).map_err(|_| ClientError::Answer("not a digest"));
        let seen = seen(&head.checkpoint);
        let time = time(clock);
        let mut statements = Vec::with_capacity(bodies.len() + 1);
        let (chain, mut sequence, mut previous) = if head.chain.is_empty() {
            let opening = v1::Officer {
                header: None,
                genesis: head.genesis,
                name: officer.name.clone(),
                key,
                approvals: Vec::new(),
            };
            let made = Statement::seal(opening.into(), Place::Opening, time, seen.clone(), signer)?;
            let chain = made.digest();
            statements.push(made.as_bytes().to_vec());
            (chain, 0, chain)
        } else {
            (digest(&head.chain)?, head.sequence, digest(&head.head)?)
        };
        for body in bodies {
            sequence += 1;
            let place = Place::Link {
                chain,
                sequence,
                previous,
            };
            let made = Statement::seal(body, place, time, seen.clone(), signer)?;
            previous = made.digest();
            statements.push(made.as_bytes().to_vec());
        }
        Ok(self
            .0
            .submit(rpc::SubmitRequest { statements })
            .await?
            .into_inner()
            .indices)
    }
}

/// Finds what cannot be before anything is signed.
fn fit(bodies: &[Body]) -> Result<(), ClientError> {
    let faults: Vec<Fault> = bodies.iter().flat_map(form::body).collect();
    match faults.first() {
        None => Ok(()),
        Some(first) => Err(ClientError::Unfit(first.to_string())),
    }
}

fn time(clock: &Clock) -> v1::Time {
    v1::Time {
        unix_ms: clock.now_ms(),
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    }
}

/// The checkpoint that the server showed, as a claim to be cited: its text, not its signature.
fn seen(note: &[u8]) -> Option<v1::CheckpointRef> {
    let note = Note::parse(note).ok()?;
    let checkpoint: affiant_proto::tlog::Checkpoint = note.text().parse().ok()?;
    (checkpoint.size() > 0).then(|| v1::CheckpointRef {
        origin: checkpoint.origin().as_str().to_owned(),
        size: checkpoint.size(),
        root: checkpoint.root().as_bytes().to_vec(),
    })
}
