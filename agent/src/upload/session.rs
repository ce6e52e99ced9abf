//! One connection: hello, welcome, then records one way and watermarks the other.

use std::{collections::VecDeque, time::Duration};

use super::{
    ending::{End, Halt, Lost, Stop, refusal},
    scrutiny,
};
use affiant_proto::{Digest, Statement, v1};
use prost::Message as _;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use v1::{upload_reply::Body as Reply, upload_request::Body as Request};

use crate::{
    anchor::Anchor,
    clock::Clock,
    recorder::{Head, Met, Recorder, Told},
    rpc::{self, Channel, RpcError, intake::intake_client::IntakeClient},
    spool::Cursor,
};

/// Most records that are sent and not yet INCLUDED. The log includes once a second; 256 of
/// 1.4 KiB a second are 360 KiB/s, so that a day of a host (8,640 records) is made up in 34 s,
/// and what may have to be sent twice stays small.
pub const MAX_IN_FLIGHT: u64 = 256;

/// Digests before its head that are taken from the verifier: what it remembers of a chain.
const MAX_RECENT: usize = 256;

/// Bytes that are read from the spool at a time.
const READ: usize = 256 << 10;

/// Requests that wait for the connection to take them; a record is 1.4 KiB, seldom 1 MiB.
const OUTBOUND: usize = 4;

/// Time between two tellings of how the spool stands: each reads three records, from segments of
/// up to 8 MiB.
const TELL: Duration = Duration::from_secs(30);

/// Time until the welcome.
const WELCOME: Duration = Duration::from_secs(30);

/// Time between two proofs that the newest record is in the log, and that the log is still one.
const PROVE: Duration = Duration::from_secs(3_600);

/// Wait for the first INCLUDED record of a session before the first proof, which shall be of it.
const FIRST_PROOF: Duration = Duration::from_secs(30);

/// Time between two looks at the wall clock, by which the certificate's life goes.
const RENEWAL_LOOK: Duration = Duration::from_secs(60);

pub(super) struct Session<'a> {
    pub(super) chain: Digest,
    pub(super) recorder: Recorder,
    pub(super) drain: watch::Receiver<Option<u64>>,
    /// Wall clock at which the session ends for a new certificate, milliseconds.
    pub(super) renew_at_ms: u64,
    /// That wall clock.
    pub(super) clock: Clock,
    /// The last record that any session of this process sent.
    pub(super) sent: &'a mut u64,
    /// The newest record that the log ever said it has, as far as this process knows.
    pub(super) included: &'a mut Option<Included>,
}

/// A record that the log said it has.
#[derive(Clone, Debug)]
pub(super) struct Included {
    pub(super) sequence: u64,
    pub(super) index: u64,
    /// Of which log, its generation included.
    pub(super) origin: String,
}

/// What is known of the verifier in one session.
struct Progress {
    /// Last record that was sent, or that the verifier had.
    sent: u64,
    /// Last record that needs no acknowledgement any more.
    settled: u64,
    /// Last INCLUDED record.
    included: Option<u64>,
    queue: VecDeque<(u64, v1::Envelope)>,
}

impl Session<'_> {
    /// Runs one connection; calls `welcomed` when the verifier has accepted this host and its head.
    pub(super) async fn run(
        mut self,
        channel: Channel,
        anchor: &mut Anchor,
        welcomed: impl FnMut(&Anchor),
    ) -> Result<End, Lost> {
        match self.talk(channel, anchor, welcomed).await {
            Ok(end) | Err(Stop::End(end)) => Ok(end),
            Err(Stop::Lost(lost)) => Err(lost),
        }
    }

    async fn talk(
        &mut self,
        channel: Channel,
        anchor: &mut Anchor,
        mut welcomed: impl FnMut(&Anchor),
    ) -> Result<End, Stop> {
        let mut client = IntakeClient::new(channel.clone());
        let mut head = self.recorder.head();
        let hello_head = *head.borrow_and_update();
        let (outbound, requests) = mpsc::channel(OUTBOUND);
        let hello = v1::Hello {
            chain: self.chain.as_bytes().to_vec(),
            sequence: hello_head.0,
            head: hello_head.1.as_bytes().to_vec(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        // Room for four, and it is the first.
        let spool = self.recorder.depth().await?;
        let _ = outbound.try_send(request(Request::Hello(hello), spool));
        let upload = client.upload(ReceiverStream::new(requests));
        let mut replies = match timeout(WELCOME, upload).await {
            Ok(replies) => replies.map_err(RpcError::from)?.into_inner(),
            Err(_) => return Err(RpcError::Deadline.into()),
        };
        let welcome = match timeout(WELCOME, next(&mut replies)).await {
            Ok(Ok(Reply::Welcome(welcome))) => welcome,
            Ok(Ok(Reply::Refused(refused))) => return Err(refusal(refused)),
            Ok(Ok(Reply::Included(_))) => return Err(Lost::Protocol("no welcome").into()),
            Ok(Err(lost)) => return Err(lost.into()),
            Err(_) => return Err(RpcError::Deadline.into()),
        };
        // What it said it has, it has to show, before it gets more.
        self.prove(&channel, anchor).await?;
        let mut progress = self.welcome(welcome, &channel, anchor).await?;
        welcomed(anchor);
        let from = progress.sent.saturating_add(1);
        tracing::info!(from, head = head.borrow().0, "connected");
        crate::notify::status("connected");
        let mut tell = Instant::now() + TELL;
        let mut look = Instant::now() + RENEWAL_LOOK;
        let mut proof = Instant::now() + FIRST_PROOF;
        loop {
            if self.drained(&progress) {
                return Ok(End::Drained);
            }
            let ours = *head.borrow_and_update();
            self.fill(&mut progress, ours.0).await?;
            let open = progress.sent.saturating_sub(progress.settled) < MAX_IN_FLIGHT;
            tokio::select! {
                // Always in this order, so that a simulated run can be repeated. What comes from
                // the verifier is seldom and short; nothing starves behind it.
                biased;
                reply = next(&mut replies) => match reply? {
                    Reply::Included(included) => {
                        self.included(included, ours.0, anchor, &mut progress).await?;
                    }
                    Reply::Refused(refused) => return Err(refusal(refused)),
                    Reply::Welcome(_) => return Err(Lost::Protocol("a second welcome").into()),
                },
                permit = outbound.reserve(), if open && !progress.queue.is_empty() => {
                    let Ok(permit) = permit else { return Err(Lost::Closed.into()) };
                    if let Some((sequence, envelope)) = progress.queue.pop_front() {
                        let spool = if tell <= Instant::now() {
                            tell = Instant::now() + TELL;
                            self.recorder.depth().await?
                        } else {
                            None
                        };
                        permit.send(request(Request::Envelope(envelope), spool));
                        progress.sent = sequence;
                        *self.sent = sequence.max(*self.sent);
                    }
                }
                changed = head.changed() => {
                    if changed.is_err() {
                        return Ok(End::Gone);
                    }
                }
                changed = self.drain.changed() => {
                    if changed.is_err() {
                        return Ok(End::Gone);
                    }
                }
                () = sleep_until(look) => {
                    look = Instant::now() + RENEWAL_LOOK;
                    if self.clock.wall_ms() >= self.renew_at_ms {
                        return Ok(End::RenewalDue);
                    }
                }
                () = sleep_until(proof) => {
                    proof = Instant::now() + PROVE;
                    scrutiny::check(&channel, anchor).await?;
                    self.prove(&channel, anchor).await?;
                    welcomed(anchor);
                }
            }
        }
    }

    /// Holds the verifier's head against ours; where they part, the chain goes on from theirs.
    async fn welcome(
        &mut self,
        welcome: v1::Welcome,
        channel: &Channel,
        anchor: &mut Anchor,
    ) -> Result<Progress, Stop> {
        let digest = |bytes: &[u8]| {
            let bad = |_| Lost::Protocol("a head that is no digest");
            Digest::try_from(bytes).map_err(bad)
        };
        let recent = welcome.recent.iter().take(MAX_RECENT);
        let recent: Result<Vec<_>, Lost> = recent.map(|bytes| digest(bytes)).collect();
        let theirs = (welcome.sequence, digest(&welcome.head)?);
        let told = Told {
            head: theirs,
            recent: recent?,
            sent: *self.sent,
        };
        match self.recorder.meet(told.clone()).await? {
            Met::Agreed => {}
            Met::Lacks => self.recorder.rejoin(told).await??,
            Met::Differs => {
                // A head that the log does not show is the word of the one who sent it.
                let included = welcome.included.as_ref();
                let included = included.filter(|included| included.sequence == Some(theirs.0));
                let Some(v1::Included {
                    index, checkpoint, ..
                }) = included
                else {
                    return Err(
                        Lost::Protocol("its head is not this host's, and not INCLUDED").into(),
                    );
                };
                anchor.take(checkpoint)?;
                self.shown(channel, anchor, theirs, *index).await?;
                self.recorder.rejoin(told).await??;
            }
        }
        let ours = self.recorder.head().borrow().0;
        let mut progress = Progress {
            sent: theirs.0,
            settled: theirs.0,
            included: None,
            queue: VecDeque::new(),
        };
        if let Some(included) = welcome.included {
            self.included(included, ours, anchor, &mut progress).await?;
        }
        Ok(progress)
    }

    /// Reads on, when all that was read is sent.
    async fn fill(&self, progress: &mut Progress, head: u64) -> Result<(), Stop> {
        if !progress.queue.is_empty() || progress.sent >= head {
            return Ok(());
        }
        let next = progress.sent.saturating_add(1);
        let read = self.recorder.read(next, READ).await?.map_err(Halt::from)?;
        // A later one follows what was dropped, and says so.
        if read.first().is_none_or(|(first, _)| *first < next) {
            return Err(Halt::NotKept(next).into());
        }
        for (sequence, bytes) in read {
            let envelope = v1::Envelope::decode(bytes.as_slice());
            let envelope = envelope.map_err(|_| Halt::Record(sequence))?;
            progress.queue.push_back((sequence, envelope));
        }
        Ok(())
    }

    async fn included(
        &mut self,
        included: v1::Included,
        ours: u64,
        anchor: &mut Anchor,
        progress: &mut Progress,
    ) -> Result<(), Stop> {
        let checkpoint = anchor.take(&included.checkpoint)?;
        let Some(sequence) = included.sequence else {
            return Ok(());
        };
        if sequence > progress.sent || sequence > ours {
            return Err(Lost::Protocol("INCLUDED before it was sent").into());
        }
        if included.index >= checkpoint.checkpoint().size() {
            return Err(Lost::Protocol("INCLUDED beyond its checkpoint").into());
        }
        progress.settled = progress.settled.max(sequence);
        progress.included = Some(sequence);
        *self.included = Some(Included {
            sequence,
            index: included.index,
            origin: checkpoint.checkpoint().origin().to_string(),
        });
        let cursor = Cursor {
            sequence,
            index: included.index,
            checkpoint: checkpoint.note().to_string(),
        };
        Ok(self.recorder.included(cursor, checkpoint).await?)
    }

    /// Asks the log to show the newest record that it said it has.
    async fn prove(&self, channel: &Channel, anchor: &mut Anchor) -> Result<(), Stop> {
        let Some(Included {
            sequence,
            index,
            origin,
        }) = self.included.clone()
        else {
            return Ok(());
        };
        // What a succession lost is sent again.
        if !anchor.keeps(&origin, index) {
            return Ok(());
        }
        let Some(record) = self.digest(sequence).await? else {
            return Ok(());
        };
        self.shown(channel, anchor, (sequence, record), index)
            .await?;
        tracing::debug!(
            record = sequence,
            index,
            "the log showed this host's newest record"
        );
        Ok(())
    }

    /// Has the log show a record.
    async fn shown(
        &self,
        channel: &Channel,
        anchor: &mut Anchor,
        record: Head,
        index: u64,
    ) -> Result<(), Stop> {
        let beyond = Lost::Protocol("INCLUDED beyond every checkpoint");
        let claim = anchor.claim(record, index).ok_or(beyond)?;
        let size = claim.size();
        let mut client = IntakeClient::new(channel.clone());
        match rpc::answer(client.prove(v1::ProveRequest { index, size })).await {
            Ok(reply) => Ok(anchor.prove(claim, reply)?),
            Err(RpcError::Lacks(text)) => Err(claim.denied(text).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Digest of a record, if it is still kept.
    async fn digest(&self, sequence: u64) -> Result<Option<Digest>, Stop> {
        let read = self.recorder.read(sequence, 1).await?.map_err(Halt::from)?;
        let Some((_, bytes)) = read.into_iter().next().filter(|(at, _)| *at == sequence) else {
            return Ok(None);
        };
        let statement = v1::Envelope::decode(bytes.as_slice())
            .ok()
            .and_then(|envelope| Statement::parse(&envelope.statement).ok());
        let statement = statement.ok_or(Halt::Record(sequence))?;
        Ok(Some(statement.digest()))
    }

    fn drained(&self, progress: &Progress) -> bool {
        let last = *self.drain.borrow();
        last.is_some_and(|last| progress.included.is_some_and(|included| included >= last))
    }
}

fn request(body: Request, spool: Option<v1::SpoolState>) -> v1::UploadRequest {
    v1::UploadRequest {
        body: Some(body),
        spool,
    }
}

async fn next(replies: &mut Streaming<v1::UploadReply>) -> Result<Reply, Lost> {
    match replies.message().await {
        Ok(Some(v1::UploadReply { body: Some(body) })) => Ok(body),
        Ok(Some(_)) => Err(Lost::Protocol("an empty reply")),
        Ok(None) => Err(Lost::Closed),
        Err(status) => Err(RpcError::from(status).into()),
    }
}
