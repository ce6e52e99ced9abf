//! One host's stream: it sends what is due and hears how much of it is INCLUDED.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use affiant_proto::{
    Body, Digest, Ed25519Signer, Envelope, SaltedTree, Statement,
    envelope::BadEnvelope,
    salted::BadLeaves,
    statement::{Place, SealError},
    tlog::{Checkpoint, Hash, NoteKey, leaf_hash, verify_inclusion},
    v1::{self, upload_reply, upload_request},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

use crate::{
    connection::{Unreachable, Verifier},
    enrol::{Deployment, agent_version, now},
    identity::{Identity, IdentityError},
    latency::Waits,
    pace::Pace,
    rpc::intake_client::IntakeClient,
    usage::HostModel,
};

/// Most records of a host that are not yet INCLUDED: half of what a verifier remembers in order
/// to tell a record sent again from a fork. At one in 10 s they are 21 minutes.
const IN_FLIGHT: usize = 128;

/// How long a verifier may leave a host without the word that it waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a host adopts a new checkpoint, as agents do: at most once a minute.
const ADOPT: Duration = Duration::from_secs(60);

/// A session that did not go as it must.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No connection.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// Keys.
    #[error(transparent)]
    Identity(#[from] IdentityError),
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
    /// A statement could not be signed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Lines that cannot stand under a root.
    #[error(transparent)]
    Leaves(#[from] BadLeaves),
    /// An envelope that cannot be.
    #[error(transparent)]
    Envelope(#[from] BadEnvelope),
}

/// What one host's window came to.
#[derive(Debug, Default)]
pub struct Sent {
    /// Records sent; all of them are INCLUDED.
    pub records: u64,
    /// Bytes of their statements.
    pub statement_bytes: u64,
    /// Bytes of their envelopes.
    pub envelope_bytes: u64,
    /// From sending to INCLUDED.
    pub waits: Waits,
    /// From when a record was due to when it was sent.
    pub lateness: Waits,
    /// When the last one was sent.
    pub last: Option<Instant>,
}

/// An open stream of one host.
pub struct Session {
    host: String,
    model: HostModel,
    signer: Ed25519Signer,
    key: NoteKey,
    client: IntakeClient<Channel>,
    outbound: mpsc::Sender<v1::UploadRequest>,
    inbound: Streaming<v1::UploadReply>,
    chain: Digest,
    sequence: u64,
    head: Digest,
    inventory: u64,
    workloads: u64,
    checkpoint: Option<v1::CheckpointRef>,
    adopted: Instant,
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
        identity: &Identity,
        model: HostModel,
    ) -> Result<Self, SessionError> {
        let host = identity.host().to_owned();
        let chain = identity.chain()?;
        let (certificates, tls_key) = identity.tls();
        let mut client = verifier.intake(certificates, tls_key).await?;
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
        let opened = client.upload(ReceiverStream::new(messages));
        let opened = tokio::time::timeout(PATIENCE, opened).await;
        let opened = opened.map_err(|_| ended(&"no answer in 60 s"))?;
        let inbound = opened
            .map_err(|status| ended(&status.message()))?
            .into_inner();
        let mut session = Self {
            signer: identity.signer()?,
            key: deployment.key().clone(),
            host,
            model,
            client,
            outbound,
            inbound,
            chain,
            sequence: 0,
            head: chain,
            inventory: 0,
            workloads: 0,
            checkpoint: None,
            adopted: Instant::now(),
            included: None,
            index: 0,
            pending: VecDeque::new(),
            sent: Sent::default(),
        };
        session.hear(true).await?;
        Ok(session)
    }

    /// Has inventory and workloads INCLUDED: what usage points into.
    pub async fn introduce(&mut self) -> Result<(), SessionError> {
        let (body, tree) = self.model.inventory()?;
        self.inventory = self.send(body.into(), tree)?;
        let (body, tree) = self.model.workloads()?;
        self.workloads = self.send(body.into(), tree)?;
        self.drain().await?;
        self.sent = Sent::default();
        Ok(())
    }

    /// Sends what `pace` has due from `start` on, and waits until all of it is INCLUDED. The host
    /// must be introduced.
    pub async fn run(&mut self, pace: &Pace, start: Instant) -> Result<(), SessionError> {
        let mut next = 0;
        while let Some(due) = pace.due(next) {
            let due = start + due;
            let full = self.pending.len() >= IN_FLIGHT;
            tokio::select! {
                () = tokio::time::sleep_until(due.into()), if !full => {
                    self.sent.lateness.add(due.elapsed());
                    let (body, tree) = self.model.usage(self.inventory, self.workloads)?;
                    self.send(body.into(), tree)?;
                    next += 1;
                }
                heard = self.hear(full) => heard?,
            }
        }
        self.drain().await
    }

    /// Has the newest statement's inclusion proved; the chain carries the proof to all before it.
    pub async fn prove(&mut self) -> Result<(), SessionError> {
        let request = v1::ProveRequest {
            index: self.index,
            size: 0,
        };
        let reply = tokio::time::timeout(PATIENCE, self.client.prove(request)).await;
        let reply = reply.map_err(|_| self.ended(&"no proof in 60 s"))?;
        let reply = reply
            .map_err(|status| self.ended(&status.message()))?
            .into_inner();
        let signed = Checkpoint::open(&reply.checkpoint, &self.key);
        let signed = signed.map_err(|error| self.unsound(&error))?;
        let hash = |bytes: &Vec<u8>| Some(Hash::from_bytes(bytes.as_slice().try_into().ok()?));
        let path: Option<Vec<Hash>> = reply.path.iter().map(hash).collect();
        let path = path.ok_or_else(|| self.unsound(&"a hash of the proof is not 32 bytes"))?;
        let (claim, leaf) = (signed.checkpoint(), leaf_hash(self.head.as_bytes()));
        verify_inclusion(&leaf, self.index, claim.size(), claim.root(), &path)
            .map_err(|error| self.unsound(&error))
    }

    /// Closes the stream; gives what was sent in the window.
    pub fn close(self) -> Sent {
        self.sent
    }

    async fn drain(&mut self) -> Result<(), SessionError> {
        while !self.pending.is_empty() {
            self.hear(true).await?;
        }
        Ok(())
    }

    /// Seals the next statement of the chain and hands it to the stream; gives its sequence.
    fn send(&mut self, body: Body, tree: SaltedTree) -> Result<u64, SessionError> {
        let sequence = self.sequence + 1;
        let place = Place::Link {
            chain: self.chain,
            sequence,
            previous: self.head,
        };
        let statement = Statement::seal(body, place, now(), self.checkpoint.clone(), &self.signer)?;
        self.head = statement.digest();
        self.sequence = sequence;
        let envelope = Envelope::join(statement, Some(tree))?.message();
        self.sent.records += 1;
        self.sent.statement_bytes += envelope.statement.len() as u64;
        self.sent.envelope_bytes += prost::Message::encoded_len(&envelope) as u64;
        let message = message(upload_request::Body::Envelope(envelope));
        let now = Instant::now();
        self.sent.last = Some(now);
        self.pending.push_back((sequence, now));
        self.outbound
            .try_send(message)
            .map_err(|_| self.ended(&"the verifier takes no more"))?;
        Ok(sequence)
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
            Some(upload_reply::Body::Welcome(welcome)) => {
                let head = Digest::try_from(welcome.head.as_slice());
                self.head = head.map_err(|error| self.unsound(&error))?;
                self.sequence = welcome.sequence;
                let included = welcome.included.unwrap_or_default();
                self.checkpoint = Some(self.read(&included.checkpoint)?);
                self.include(&included)
            }
            Some(upload_reply::Body::Included(included)) => {
                if self.adopted.elapsed() >= ADOPT {
                    self.checkpoint = Some(self.read(&included.checkpoint)?);
                    self.adopted = Instant::now();
                }
                self.include(&included)
            }
            Some(upload_reply::Body::Refused(refused)) => Err(SessionError::Refused {
                host: self.host.clone(),
                sequence: refused.sequence,
                code: refused.code,
                text: refused.text,
            }),
            None => Err(self.unsound(&"a reply of a kind that is not known")),
        }
    }

    fn include(&mut self, included: &v1::Included) -> Result<(), SessionError> {
        let Some(sequence) = included.sequence else {
            return Ok(());
        };
        if sequence > self.sequence || self.included.is_some_and(|before| sequence < before) {
            return Err(self.unsound(&"a watermark fell back, or is ahead of what was sent"));
        }
        self.included = Some(sequence);
        self.index = included.index;
        while let Some((_, at)) = self
            .pending
            .pop_front_if(|(pending, _)| *pending <= sequence)
        {
            self.sent.waits.add(at.elapsed());
        }
        Ok(())
    }

    fn read(&self, note: &[u8]) -> Result<v1::CheckpointRef, SessionError> {
        let signed = Checkpoint::open(note, &self.key).map_err(|error| self.unsound(&error))?;
        let claim = signed.checkpoint();
        Ok(v1::CheckpointRef {
            origin: claim.origin().as_str().to_owned(),
            size: claim.size(),
            root: claim.root().as_bytes().to_vec(),
        })
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

fn message(body: upload_request::Body) -> v1::UploadRequest {
    v1::UploadRequest {
        body: Some(body),
        spool: None,
    }
}
