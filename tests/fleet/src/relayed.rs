//! A relay's stream: the records of many hosts over one connection.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use affiant_proto::{
    Digest, Ed25519Signer,
    tlog::NoteKey,
    v1::{self, relay_reply, relay_request},
};
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::{Streaming, transport::Channel};

use crate::{
    connection::Verifier,
    deployment::Deployment,
    enrol::agent_version,
    pace::Pace,
    roster::Certificate,
    rpc::intake_client::IntakeClient,
    sealed::Chain,
    session::{PATIENCE, Sent, SessionError, open, prove, reference},
    usage::HostModel,
};

/// Hosts of one join, as many as a verifier takes.
const JOINED: usize = 1_024;

/// Messages between this and the connection: what is due at one time is some 80.
const OUTBOUND: usize = 256;

/// Hosts of a stream whose newest record is proved to be in the log: all would be 125,000 calls.
const PROVED: usize = 64;

/// A host of the stream.
pub struct Carried {
    /// Its chain.
    pub chain: Digest,
    /// Its record key.
    pub signer: Ed25519Signer,
    /// What it measures.
    pub model: HostModel,
    /// When it sends.
    pub pace: Pace,
}

/// Who a relay is.
pub struct Identity {
    /// Its name.
    pub relay: String,
    /// Its chain.
    pub chain: Digest,
    /// Its certificate.
    pub certificate: Certificate,
}

/// An open stream.
pub struct Relayed {
    relay: String,
    key: NoteKey,
    client: IntakeClient<Channel>,
    outbound: mpsc::Sender<Vec<u8>>,
    inbound: Streaming<v1::RelayReply>,
    /// By place.
    hosts: Vec<Host>,
    /// When which place is due, in order: the opening, then the window.
    opening: Schedule,
    window: Schedule,
    in_flight: usize,
    sent: Sent,
}

type Schedule = VecDeque<(Duration, u32)>;

struct Host {
    chain: Chain,
    pace: Pace,
    /// Sequence of the newest statement that was sent.
    sequence: u64,
    included: Option<u64>,
    index: u64,
    pending: VecDeque<(u64, Instant)>,
}

impl Relayed {
    /// Connects and joins the hosts.
    pub async fn open(
        verifier: &Verifier,
        deployment: &Deployment,
        identity: Identity,
        hosts: Vec<Carried>,
    ) -> Result<Self, SessionError> {
        let relay = identity.relay;
        let ended = |text: &dyn ToString| SessionError::Ended {
            host: relay.clone(),
            text: text.to_string(),
        };
        let channel = verifier.connect(Some(&identity.certificate)).await?;
        let mut client = IntakeClient::new(channel.clone());
        let (outbound, messages) = mpsc::channel(OUTBOUND);
        let hello = v1::RelayHello {
            chain: identity.chain.as_bytes().to_vec(),
            version: agent_version(),
        };
        let first = message(relay_request::Body::Hello(hello));
        outbound.try_send(first).map_err(|error| ended(&error))?;
        let inbound = open::<v1::RelayReply>(&channel, "/affiant.v1.Intake/Relay", messages);
        let mut inbound = inbound.await.map_err(|status| ended(&status.message()))?;
        // What the hosts have seen of the log.
        let newest = client.extend(v1::ExtendRequest { size: 1 }).await;
        let newest = newest.map_err(|status| ended(&status.message()))?;
        let newest = reference(&newest.into_inner().checkpoint, deployment.key());
        let checkpoint = newest.map_err(|error| ended(&error))?;
        let mut joined = Vec::with_capacity(hosts.len());
        let mut hosts = hosts.into_iter().peekable();
        while hosts.peek().is_some() {
            let some: Vec<Carried> = hosts.by_ref().take(JOINED).collect();
            let chains = some.iter().map(|host| host.chain.as_bytes().to_vec());
            let join = v1::RelayJoin {
                chains: chains.collect(),
            };
            let asked = outbound.send(message(relay_request::Body::Join(join)));
            asked.await.map_err(|error| ended(&error))?;
            let reply = tokio::time::timeout(PATIENCE, inbound.message()).await;
            let reply = reply.map_err(|_| ended(&"no answer to a join in 60 s"))?;
            let reply = reply.map_err(|status| ended(&status.message()))?;
            let Some(relay_reply::Body::Joined(answer)) = reply.and_then(|reply| reply.body) else {
                return Err(ended(&"a join was not answered"));
            };
            if answer.first as usize != joined.len() || answer.places.len() != some.len() {
                return Err(ended(&"a join was answered with other places"));
            }
            for (host, place) in some.into_iter().zip(answer.places) {
                if !place.refused.is_empty() {
                    return Err(ended(&place.refused));
                }
                let head = Digest::try_from(place.head.as_slice());
                let head = head.map_err(|error| ended(&error))?;
                joined.push(Host {
                    chain: Chain::new(
                        (host.chain, host.signer),
                        host.model,
                        (place.sequence, head),
                        Some(checkpoint.clone()),
                    ),
                    pace: host.pace,
                    sequence: place.sequence,
                    included: place.included,
                    index: place.index,
                    pending: VecDeque::new(),
                });
            }
        }
        Ok(Self {
            relay,
            key: deployment.key().clone(),
            client,
            outbound,
            inbound,
            hosts: joined,
            opening: Schedule::new(),
            window: Schedule::new(),
            in_flight: 0,
            sent: Sent::default(),
        })
    }

    /// Seals an opening record of each host, and all that they will have due.
    pub fn seal(&mut self, begin_unix_ms: u64) -> Result<(), SessionError> {
        let (mut opening, mut window) = (Vec::new(), Vec::new());
        for (place, host) in (0..).zip(&mut self.hosts) {
            let wrap = |envelope| {
                message(relay_request::Body::Record(v1::RelayRecord {
                    place,
                    envelope: Some(envelope),
                }))
            };
            host.chain.seal(begin_unix_ms, &host.pace, wrap)?;
            opening.extend(host.pace.opening().due(0).map(|at| (at, place)));
            let times = (0..host.pace.count()).filter_map(|index| host.pace.due(index));
            window.extend(times.map(|at| (at, place)));
        }
        opening.sort_unstable();
        window.sort_unstable();
        self.opening = opening.into();
        self.window = window.into();
        Ok(())
    }

    /// Sends each host's opening record, and waits until all of them are INCLUDED.
    pub async fn open_all(&mut self, start: Instant) -> Result<(), SessionError> {
        let due = std::mem::take(&mut self.opening);
        self.send(due, start).await
    }

    /// Sends what is due in the window from `start` on, and waits until all of it is INCLUDED. What was
    /// sent before counts no more.
    pub async fn run(&mut self, start: Instant) -> Result<(), SessionError> {
        let due = std::mem::take(&mut self.window);
        let bytes = |of: fn(&Chain) -> u64| self.hosts.iter().map(|host| of(&host.chain)).sum();
        self.sent = Sent {
            records: due.len() as u64,
            statement_bytes: bytes(|chain| chain.statement_bytes),
            envelope_bytes: bytes(|chain| chain.envelope_bytes),
            ..Sent::default()
        };
        self.send(due, start).await
    }

    async fn send(&mut self, mut all: Schedule, start: Instant) -> Result<(), SessionError> {
        while let Some((due, _)) = all.front() {
            let due = start + *due;
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => self.send_due(&mut all, start).await?,
                reply = self.inbound.message() => {
                    let reply = reply.map_err(|status| self.ended(&status.message()))?;
                    self.hear(reply)?;
                }
            }
        }
        while self.in_flight > 0 {
            let reply = tokio::time::timeout(PATIENCE, self.inbound.message()).await;
            let reply = reply.map_err(|_| self.ended(&"not all was INCLUDED within 60 s"))?;
            let reply = reply.map_err(|status| self.ended(&status.message()))?;
            self.hear(reply)?;
        }
        Ok(())
    }

    /// Has the newest record of some hosts proved to be in the log.
    pub async fn prove(&mut self) -> Result<(), SessionError> {
        let step = self.hosts.len().div_ceil(PROVED).max(1);
        for host in self.hosts.iter().step_by(step) {
            let (head, sequence) = host.chain.head();
            if host.included != Some(sequence) {
                return Err(self.unsound(&"a newest record is not INCLUDED"));
            }
            let proved = prove(&mut self.client, &self.key, (host.index, head)).await;
            if let Err(text) = proved {
                return Err(self.unsound(&text));
            }
        }
        Ok(())
    }

    /// Closes the stream; gives what was sent in the window.
    pub fn close(self) -> Sent {
        self.sent
    }

    /// Sends all that is due by now.
    async fn send_due(&mut self, all: &mut Schedule, start: Instant) -> Result<(), SessionError> {
        while let Some((due, place)) = all.pop_front_if(|(due, _)| start + *due <= Instant::now()) {
            let Some(host) = self.hosts.get_mut(place as usize) else {
                continue;
            };
            let Some(message) = host.chain.pop() else {
                continue;
            };
            host.sequence += 1;
            let now = Instant::now();
            host.pending.push_back((host.sequence, now));
            self.in_flight += 1;
            self.sent.last = Some(now);
            self.sent
                .lateness
                .add(now.saturating_duration_since(start + due));
            let sent = self.outbound.send(message).await;
            sent.map_err(|_| self.ended(&"closed by the verifier"))?;
        }
        Ok(())
    }

    fn hear(&mut self, reply: Option<v1::RelayReply>) -> Result<(), SessionError> {
        let reply = reply.ok_or_else(|| self.ended(&"closed by the verifier"))?;
        match reply.body {
            Some(relay_reply::Body::Included(included)) => {
                self.sent.receipts += 1;
                for mark in included.marks {
                    self.include(mark)?;
                }
                Ok(())
            }
            Some(relay_reply::Body::Refused(v1::RelayRefused { place, refused })) => {
                let refused = refused.unwrap_or_default();
                Err(SessionError::Refused {
                    host: format!("{}, place {place}", self.relay),
                    sequence: refused.sequence,
                    code: refused.code,
                    text: refused.text,
                })
            }
            _ => Err(self.unsound(&"a reply that is not due")),
        }
    }

    fn include(&mut self, mark: v1::RelayMark) -> Result<(), SessionError> {
        let host = self.hosts.get_mut(mark.place as usize);
        let ahead = host.filter(|host| {
            mark.sequence <= host.sequence
                && host.included.is_none_or(|before| mark.sequence > before)
        });
        let Some(host) = ahead else {
            return Err(self.unsound(&"a watermark that is not ahead, or ahead of what was sent"));
        };
        host.included = Some(mark.sequence);
        host.index = mark.index;
        while let Some((_, at)) = host
            .pending
            .pop_front_if(|(pending, _)| *pending <= mark.sequence)
        {
            self.in_flight -= 1;
            self.sent.waits.add(at.elapsed());
        }
        Ok(())
    }

    fn ended(&self, text: &dyn ToString) -> SessionError {
        SessionError::Ended {
            host: self.relay.clone(),
            text: text.to_string(),
        }
    }

    fn unsound(&self, text: &dyn ToString) -> SessionError {
        SessionError::Unsound {
            host: self.relay.clone(),
            text: text.to_string(),
        }
    }
}

fn message(body: relay_request::Body) -> Vec<u8> {
    v1::RelayRequest { body: Some(body) }.encode_to_vec()
}
