//! One host's stream over its own connection: it sends what is due and hears how much of it is
//! INCLUDED.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use affiant_proto::{
    Digest, Ed25519Signer,
    tlog::{Checkpoint, Hash, NoteKey, leaf_hash, verify_inclusion},
    v1::{self, upload_reply, upload_request},
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

use crate::{
    connection::{Unreachable, Verifier},
    deployment::Deployment,
    enrol::agent_version,
    latency::Waits,
    pace::Pace,
    raw::Raw,
    roster::Certificate,
    rpc::intake_client::IntakeClient,
    sealed::{Chain, NotSealed},
    usage::HostModel,
};

/// Most records of a host that are not yet INCLUDED: half of what a verifier remembers in order
/// to tell a record sent again from a fork. At one in 10 s they are 21 minutes.
const IN_FLIGHT: usize = 128;

/// How long a verifier may leave a host without the word that it waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A session that did not go as it must.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No connection.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The stream ended.
    #[error("{host}: stream ended: {text}")]
    Ended {
        /// Which host.
        host: String,
        /// What the verifier said.
        text: String,
    },
    /// A statement was refused: the generator is wrong, or the verifier is.
    #[error("{host}: statement {sequence} was refused as {code}: {text}")]
    Refused {
        /// Which host.
        host: String,
        /// Which statement.
        sequence: u64,
        /// Why, as a stable word.
        code: String,
        /// Why, for people.
        text: String,
    },
    /// The verifier said something that it may not say.
    #[error("{host}: {text}")]
    Unsound {
        /// Which host.
        host: String,
        /// What is wrong.
        text: String,
    },
    /// Nothing came.
    #[error("{host}: statement {sequence} was not INCLUDED within 60 s")]
    NotIncluded {
        /// Which host.
        host: String,
        /// The first that is not.
        sequence: u64,
    },
    /// A record could not be made.
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
}

/// What one stream's window came to.
#[derive(Debug, Default)]
pub struct Sent {
    /// Records sent; all of them are INCLUDED.
    pub records: u64,
    /// Bytes of their statements.
    pub statement_bytes: u64,
    /// Bytes of their envelopes.
    pub envelope_bytes: u64,
    /// Receipts that came for them.
    pub receipts: u64,
    /// From sending to INCLUDED.
    pub waits: Waits,
    /// From when a record was due to when it was sent.
    pub lateness: Waits,
    /// When the last one was sent.
    pub last: Option<Instant>,
}

/// Who a host is.
pub struct Identity {
    /// Its name.
    pub host: String,
    /// Its chain.
    pub chain: Digest,
    /// Its record key.
    pub signer: Ed25519Signer,
    /// Its certificate.
    pub certificate: Certificate,
}

/// An open stream of one host.
pub struct Session {
    host: String,
    key: NoteKey,
    client: IntakeClient<Channel>,
    outbound: mpsc::Sender<Vec<u8>>,
    inbound: Streaming<v1::UploadReply>,
    chain: Chain,
    /// Sequence of the newest statement that was sent.
    sequence: u64,
    included: Option<u64>,
    index: u64,
    pending: VecDeque<(u64, Instant)>,
    sent: Sent,
}

impl Session {
    /// Connects, says hello and is welcomed.
    ///
    /// The verifier's head is taken as the chain's: this host keeps no spool to hold against it.
    pub async fn open(
        verifier: &Verifier,
        deployment: &Deployment,
        identity: Identity,
        model: HostModel,
    ) -> Result<Self, SessionError> {
        let Identity {
            host,
            chain,
            signer,
            certificate,
        } = identity;
        let channel = verifier.connect(Some(&certificate)).await?;
        // One place more than can be in flight, for the hello: sending never has to wait.
        let (outbound, messages) = mpsc::channel(IN_FLIGHT + 1);
        let hello = v1::Hello {
            chain: chain.as_bytes().to_vec(),
            sequence: 0,
            head: chain.as_bytes().to_vec(),
            agent_version: agent_version(),
        };
        let ended = |text: &dyn ToString| SessionError::Ended {
            host: host.clone(),
            text: text.to_string(),
        };
        let first = message(upload_request::Body::Hello(hello));
        outbound.try_send(first).map_err(|error| ended(&error))?;
        let inbound = open::<v1::UploadReply>(&channel, "/affiant.v1.Intake/Upload", messages);
        let mut inbound = inbound.await.map_err(|status| ended(&status.message()))?;
        let reply = tokio::time::timeout(PATIENCE, inbound.message()).await;
        let reply = reply.map_err(|_| ended(&"no welcome in 60 s"))?;
        let reply = reply.map_err(|status| ended(&status.message()))?;
        let Some(upload_reply::Body::Welcome(welcome)) = reply.and_then(|reply| reply.body) else {
            return Err(ended(&"no welcome"));
        };
        let head = Digest::try_from(welcome.head.as_slice());
        let head = head.map_err(|error| ended(&error))?;
        let included = welcome.included.unwrap_or_default();
        let checkpoint = reference(&included.checkpoint, deployment.key());
        let checkpoint = checkpoint.map_err(|error| ended(&error))?;
        Ok(Self {
            chain: Chain::new(
                (chain, signer),
                model,
                (welcome.sequence, head),
                Some(checkpoint),
            ),
            key: deployment.key().clone(),
            host,
            client: IntakeClient::new(channel),
            outbound,
            inbound,
            sequence: welcome.sequence,
            included: included.sequence,
            index: included.index,
            pending: VecDeque::new(),
            sent: Sent::default(),
        })
    }

    /// Seals an opening record, and all that `pace` will have due.
    pub fn seal(&mut self, pace: &Pace, begin_unix_ms: u64) -> Result<(), SessionError> {
        let wrap = |envelope| message(upload_request::Body::Envelope(envelope));
        Ok(self.chain.seal(begin_unix_ms, pace, wrap)?)
    }

    /// Sends what was sealed when `pace` has it due from `start` on, and waits until all of it is
    /// INCLUDED. What was sent before counts no more.
    pub async fn run(&mut self, pace: &Pace, start: Instant) -> Result<(), SessionError> {
        self.sent = Sent {
            records: self.chain.left(),
            statement_bytes: self.chain.statement_bytes,
            envelope_bytes: self.chain.envelope_bytes,
            ..Sent::default()
        };
        let mut next = 0;
        while let Some(due) = pace.due(next) {
            let due = start + due;
            let full = self.pending.len() >= IN_FLIGHT;
            tokio::select! {
                () = tokio::time::sleep_until(due.into()), if !full => {
                    self.sent.lateness.add(due.elapsed());
                    self.send()?;
                    next += 1;
                }
                heard = self.hear(full) => heard?,
            }
        }
        while !self.pending.is_empty() {
            self.hear(true).await?;
        }
        Ok(())
    }

    /// Has the newest statement's inclusion proved; the chain carries the proof to all before it.
    pub async fn prove(&mut self) -> Result<(), SessionError> {
        let (head, sequence) = self.chain.head();
        if self.included != Some(sequence) {
            return Err(self.unsound(&"the newest record is not INCLUDED"));
        }
        let proved = prove(&mut self.client, &self.key, (self.index, head)).await;
        proved.map_err(|text| self.unsound(&text))
    }

    /// Closes the stream; gives what was sent in the window.
    pub fn close(self) -> Sent {
        self.sent
    }

    fn send(&mut self) -> Result<(), SessionError> {
        let Some(message) = self.chain.pop() else {
            return Ok(());
        };
        self.sequence += 1;
        let now = Instant::now();
        self.sent.last = Some(now);
        self.pending.push_back((self.sequence, now));
        self.outbound
            .try_send(message)
            .map_err(|_| self.ended(&"the verifier takes no more"))
    }

    /// Takes one reply; waits no longer than [`PATIENCE`] when one is due.
    async fn hear(&mut self, due: bool) -> Result<(), SessionError> {
        let reply = if due {
            let waited = tokio::time::timeout(PATIENCE, self.inbound.message()).await;
            waited.map_err(|_| SessionError::NotIncluded {
                host: self.host.clone(),
                sequence: self.included.map_or(0, |included| included + 1),
            })?
        } else {
            self.inbound.message().await
        };
        let reply = reply.map_err(|status| self.ended(&status.message()))?;
        let reply = reply.ok_or_else(|| self.ended(&"closed by the verifier"))?;
        match reply.body {
            Some(upload_reply::Body::Included(included)) => self.include(&included),
            Some(upload_reply::Body::Refused(refused)) => Err(SessionError::Refused {
                host: self.host.clone(),
                sequence: refused.sequence,
                code: refused.code,
                text: refused.text,
            }),
            _ => Err(self.unsound(&"a reply that is not due")),
        }
    }

    fn include(&mut self, included: &v1::Included) -> Result<(), SessionError> {
        let Some(sequence) = included.sequence else {
            return Ok(());
        };
        if sequence > self.sequence || self.included.is_some_and(|before| sequence <= before) {
            return Err(self.unsound(&"a watermark that is not ahead, or ahead of what was sent"));
        }
        self.included = Some(sequence);
        self.index = included.index;
        self.sent.receipts += 1;
        while let Some((_, at)) = self
            .pending
            .pop_front_if(|(pending, _)| *pending <= sequence)
        {
            self.sent.waits.add(at.elapsed());
        }
        Ok(())
    }

    fn ended(&self, text: &dyn ToString) -> SessionError {
        SessionError::Ended {
            host: self.host.clone(),
            text: text.to_string(),
        }
    }

    fn unsound(&self, text: &dyn ToString) -> SessionError {
        SessionError::Unsound {
            host: self.host.clone(),
            text: text.to_string(),
        }
    }
}

/// Opens a stream whose messages are sent as they are.
pub(crate) async fn open<R: prost::Message + Default + Send + 'static>(
    channel: &Channel,
    path: &'static str,
    messages: mpsc::Receiver<Vec<u8>>,
) -> Result<Streaming<R>, tonic::Status> {
    let mut grpc = Grpc::new(channel.clone());
    let unavailable = |text: String| tonic::Status::unavailable(text);
    let opened = async {
        let ready = grpc.ready().await;
        ready.map_err(|error| unavailable(error.to_string()))?;
        let request = tonic::Request::new(ReceiverStream::new(messages));
        let path = PathAndQuery::from_static(path);
        grpc.streaming(request, path, Raw::<R>::default()).await
    };
    let opened = tokio::time::timeout(PATIENCE, opened).await;
    let opened = opened.map_err(|_| unavailable("no answer in 60 s".into()))?;
    Ok(opened?.into_inner())
}

/// Has a statement's inclusion proved against a checkpoint of the log's key; says why not.
pub(crate) async fn prove(
    client: &mut IntakeClient<Channel>,
    key: &NoteKey,
    (index, statement): (u64, Digest),
) -> Result<(), String> {
    let asked = client.prove(v1::ProveRequest { index, size: 0 });
    let reply = tokio::time::timeout(PATIENCE, asked).await;
    let reply = reply.map_err(|_| "no proof in 60 s")?;
    let reply = reply
        .map_err(|status| status.message().to_owned())?
        .into_inner();
    let signed = Checkpoint::open(&reply.checkpoint, key).map_err(|error| error.to_string())?;
    let hash = |bytes: &Vec<u8>| Some(Hash::from_bytes(bytes.as_slice().try_into().ok()?));
    let path: Option<Vec<Hash>> = reply.path.iter().map(hash).collect();
    let path = path.ok_or("a hash of the proof is not 32 bytes")?;
    let (claim, leaf) = (signed.checkpoint(), leaf_hash(statement.as_bytes()));
    verify_inclusion(&leaf, index, claim.size(), claim.root(), &path)
        .map_err(|error| error.to_string())
}

/// Reads a checkpoint as a header names it.
pub(crate) fn reference(note: &[u8], key: &NoteKey) -> Result<v1::CheckpointRef, String> {
    let signed = Checkpoint::open(note, key).map_err(|error| error.to_string())?;
    let claim = signed.checkpoint();
    Ok(v1::CheckpointRef {
        origin: claim.origin().as_str().to_owned(),
        size: claim.size(),
        root: claim.root().as_bytes().to_vec(),
    })
}

fn message(body: upload_request::Body) -> Vec<u8> {
    v1::UploadRequest {
        body: Some(body),
        spool: None,
    }
    .encode_to_vec()
}
