//! Intake: one stream per host, statements in, watermarks out.

use std::{sync::Arc, time::Duration};

use affiant_judge::admission::{Refusal, Sources};
use affiant_proto::{Envelope, v1};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{MutexGuard, mpsc, watch},
};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    clock::Clock,
    gate::Gate,
    hosts::{Head, Host},
    ledger::Reader,
    pki::Peer,
    rpc::intake_server::Intake,
    window::Window,
    writer::{Closed, Logged, Published, Room, Submit},
};

/// How long a stream may be open before its hello.
const HELLO: Duration = Duration::from_secs(10);

/// Replies that wait for a slow host; a watermark is cumulative, so few suffice.
const REPLIES: usize = 4;

/// Longest statement that a `fork` carries whole: half of what a statement may have.
const MAX_FORK_BYTES: usize = affiant_proto::statement::MAX_STATEMENT_BYTES / 2;

/// How long a host may leave its replies unread.
const REPLY: Duration = Duration::from_secs(30);

/// How long a statement may wait for room in the writer's queue. A full queue of 12,500 is written
/// within seconds, so this long means that the disk is full; the host is then told so.
const ROOM: Duration = Duration::from_secs(5 * 60);

/// The service.
pub struct IntakeService {
    /// Who may be connected.
    pub gate: Gate,
    /// Which measurements are believed.
    pub sources: Sources,
    /// The writer.
    pub submit: Submit,
    /// The newest checkpoint.
    pub published: watch::Receiver<Published>,
    /// The published log.
    pub reader: Reader,
    /// The wall clock.
    pub clock: Clock,
}

/// Why a session ends; the host is told, and so is the operator's journal.
enum End {
    /// The host closed it, or it broke.
    Gone,
    /// A newer session of the host.
    Superseded,
    /// The host, its key or its authority is no longer let in.
    ShutOut(Box<Status>),
    /// A statement was not admitted.
    Refused,
    /// The log had no room for too long.
    Full,
    /// The verifier stops.
    Stopping,
}

#[tonic::async_trait]
impl Intake for IntakeService {
    type UploadStream = ReceiverStream<Result<v1::UploadReply, Status>>;

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<Self::UploadStream>, Status> {
        let peer = peer(&request)?;
        let mut inbound = request.into_inner();
        let (hello, spool) = match tokio::time::timeout(HELLO, inbound.message()).await {
            Ok(Ok(Some(v1::UploadRequest {
                body: Some(v1::upload_request::Body::Hello(hello)),
                spool,
            }))) => (hello, spool),
            _ => return Err(Status::invalid_argument("a stream begins with a hello")),
        };
        if hello.chain != peer.chain.as_bytes() {
            return Err(Status::permission_denied(
                "hello names another chain than the certificate",
            ));
        }
        let host = self.gate.pass(&peer)?;
        let clock = self.clock.clone();
        let now = clock.now_ms();
        host.presence.begin(now, hello.sequence, peer.ends_unix_ms);
        if let Some(spool) = spool {
            host.presence.tell_spool(now, spool);
        }
        let session = Session {
            number: host.begin_session(),
            host,
            hello: (hello.sequence, hello.head),
            gate: self.gate.clone(),
            peer,
            window: Window::default(),
            sources: self.sources,
            submit: self.submit.clone(),
            published: self.published.clone(),
            clock: clock.clone(),
            patience: ROOM,
        };
        let (replies, outbound) = mpsc::channel(REPLIES);
        tokio::spawn(async move {
            let host = session.host.clone();
            let end = session.run(inbound, &replies).await;
            host.presence.end(clock.now_ms());
            let (why, last) = match end {
                End::Gone => ("closed by the host".to_owned(), None),
                End::Superseded => {
                    let status = Status::aborted("a newer session of this host began");
                    ("superseded".to_owned(), Some(status))
                }
                End::ShutOut(status) => (status.message().to_owned(), Some(*status)),
                End::Refused => ("a statement was refused".to_owned(), None),
                End::Full => {
                    let why = "the log takes nothing now: the verifier waits for its disk, see \
                               `affiant-verifier status` there; records stay on this host meanwhile";
                    (
                        "no room in the log".to_owned(),
                        Some(Status::unavailable(why)),
                    )
                }
                End::Stopping => ("the verifier stops".to_owned(), None),
            };
            tracing::info!(host = host.name(), why, "session ended");
            if let Some(status) = last {
                // A host that reads no replies is not waited for.
                let _ = tokio::time::timeout(REPLY, replies.send(Err(status))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }

    async fn prove(
        &self,
        request: Request<v1::ProveRequest>,
    ) -> Result<Response<v1::ProveReply>, Status> {
        let peer = peer(&request)?;
        self.gate.pass(&peer)?;
        let v1::ProveRequest { index, size } = request.into_inner();
        let published = self.published.borrow().clone();
        let size = if size == 0 { published.size } else { size };
        if size > published.size || index >= size {
            return Err(Status::not_found(format!(
                "the newest checkpoint has size {}; it proves no index {index} in a tree of size {size}",
                published.size
            )));
        }
        let path = self
            .path(move |reader| reader.inclusion_proof(index, size))
            .await?;
        Ok(Response::new(v1::ProveReply {
            checkpoint: published.note.to_vec(),
            path,
        }))
    }

    async fn extend(
        &self,
        request: Request<v1::ExtendRequest>,
    ) -> Result<Response<v1::ExtendReply>, Status> {
        let peer = peer(&request)?;
        self.gate.pass(&peer)?;
        let size = request.into_inner().size;
        let published = self.published.borrow().clone();
        if size == 0 || size > published.size {
            return Err(Status::not_found(format!(
                "the newest checkpoint has size {} and extends no tree of size {size}",
                published.size
            )));
        }
        let path = self
            .path(move |reader| reader.consistency_proof(size, published.size))
            .await?;
        Ok(Response::new(v1::ExtendReply {
            checkpoint: published.note.to_vec(),
            path,
        }))
    }
}

impl IntakeService {
    /// Reads a proof from the published tree, on a thread that may wait for the disk.
    async fn path<E: std::fmt::Display + Send + 'static>(
        &self,
        read: impl FnOnce(Reader) -> Result<Vec<affiant_proto::tlog::Hash>, E> + Send + 'static,
    ) -> Result<Vec<Vec<u8>>, Status> {
        let reader = self.reader.clone();
        let path = match Handle::current().runtime_flavor() {
            // One thread for everything, as in a simulation, does this too.
            RuntimeFlavor::CurrentThread => read(reader),
            _ => tokio::task::spawn_blocking(move || read(reader))
                .await
                .map_err(|_| Status::internal("proof was interrupted"))?,
        };
        let path = path.map_err(|error| {
            tracing::error!(%error, "could not make a proof");
            Status::internal("the log could not be read")
        })?;
        Ok(path.iter().map(|hash| hash.as_bytes().to_vec()).collect())
    }
}

/// What a `fork` keeps of its second statement: the whole of it, or the digest of one so long
/// that it would not fit into another statement.
fn kept(second: &affiant_proto::Statement) -> Vec<u8> {
    if second.as_bytes().len() <= MAX_FORK_BYTES {
        second.as_bytes().to_vec()
    } else {
        second.digest().as_bytes().to_vec()
    }
}

/// Reads who is at the other end out of the certificate that TLS verified.
fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let certificates = request.peer_certs().filter(|chain| !chain.is_empty());
    let leaf = certificates.as_ref().and_then(|chain| chain.first());
    let leaf = leaf.ok_or_else(|| Status::unauthenticated("a client certificate is due"))?;
    Peer::read(leaf).map_err(|error| Status::unauthenticated(error.to_string()))
}

struct Session {
    number: u64,
    host: Arc<Host>,
    /// Where the chain stands on the host, as its hello says: sequence and digest.
    hello: (u64, Vec<u8>),
    gate: Gate,
    peer: Peer,
    window: Window,
    sources: Sources,
    submit: Submit,
    published: watch::Receiver<Published>,
    clock: Clock,
    /// How long a statement may wait for room.
    patience: Duration,
}

type Replies = mpsc::Sender<Result<v1::UploadReply, Status>>;

impl Session {
    async fn run(
        mut self,
        mut inbound: impl Stream<Item = Result<v1::UploadRequest, Status>> + Unpin,
        replies: &Replies,
    ) -> End {
        tracing::info!(host = self.host.name(), "session began");
        let welcome = {
            let head = self.host.admission.lock().await;
            v1::Welcome {
                sequence: head.chain.state().sequence(),
                head: head.chain.state().head().as_bytes().to_vec(),
                included: Some(self.included()),
                recent: head.trail.unless_known(self.hello.0, &self.hello.1),
            }
        };
        if let Err(end) = self
            .reply(replies, v1::upload_reply::Body::Welcome(welcome))
            .await
        {
            return end;
        }
        let mut told = self.host.included();
        let host = self.host.clone();
        loop {
            let mut woken = true;
            // Before the look, so that no newer session is missed between the two.
            let changed = host.changed();
            if !host.holds(self.number)
                && let Err(end) = self.held()
            {
                return end;
            }
            tokio::select! {
                // Always in this order, so that a simulated run can be repeated.
                biased;
                () = changed => {}
                changed = self.gate.authorities.changed() => if changed.is_err() {
                    return End::Stopping;
                },
                message = inbound.next(), if self.window.has_room() => match message {
                    Some(Ok(v1::UploadRequest { body: Some(v1::upload_request::Body::Envelope(envelope)), spool })) => {
                        if let Some(spool) = spool {
                            self.host.presence.tell_spool(self.clock.now_ms(), spool);
                        }
                        if let Err(end) = self.take(envelope, replies).await {
                            return end;
                        }
                        woken = false;
                    }
                    Some(_) | None => return End::Gone,
                },
            }
            if woken && let Err(end) = self.held() {
                return end;
            }
            let included = self.host.included();
            if included != told {
                told = included;
                if let Some(watermark) = included {
                    self.window.include(watermark.sequence);
                }
                let body = v1::upload_reply::Body::Included(self.included());
                if let Err(end) = self.reply(replies, body).await {
                    return end;
                }
            }
        }
    }

    /// Tells whether the session may go on.
    fn held(&self) -> Result<(), End> {
        let passed = self.gate.pass(&self.peer);
        passed.map_err(|status| End::ShutOut(Box::new(status)))?;
        if self.host.holds(self.number) {
            Ok(())
        } else {
            Err(End::Superseded)
        }
    }

    async fn take(&mut self, message: v1::Envelope, replies: &Replies) -> Result<(), End> {
        let envelope = match Envelope::open(message) {
            Ok(envelope) => envelope,
            Err(bad) => return self.refuse(0, &bad.into(), replies).await,
        };
        let (sequence, digest) = (
            envelope.statement().header().sequence(),
            envelope.statement().digest(),
        );
        let room = self.room(replies).await?;
        let host = self.host.clone();
        let mut head = host.admission.lock().await;
        host.presence.tell(sequence, self.window.len() + 1);
        if !self.host.holds(self.number) {
            self.held()?;
        }
        if sequence <= head.chain.state().sequence() {
            return self.again(head, room, envelope, replies).await;
        }
        let bytes = envelope.to_bytes();
        let newest = self.gate.authorities.borrow().clone();
        match head
            .chain
            .admit(envelope, self.sources, newest.revocations())
        {
            Ok(admitted) => {
                head.remember(sequence, digest);
                self.window.push(sequence);
                // The lock is held until the writer has it: the log keeps the chain's order.
                room.admitted(admitted, bytes);
                Ok(())
            }
            Err(refusal) => {
                drop(head);
                self.refuse(sequence, &refusal, replies).await
            }
        }
    }

    /// A statement from the past of the chain: the same one sent again gets the old receipt, a
    /// different one that the host's key signed is a fork.
    async fn again(
        &self,
        mut head: MutexGuard<'_, Head>,
        room: Room,
        envelope: Envelope,
        replies: &Replies,
    ) -> Result<(), End> {
        let statement = envelope.statement().clone();
        let sequence = statement.header().sequence();
        match head.trail.recall(sequence) {
            Some(known) if known != statement.digest() && head.trail.signed(&statement) => {
                head.chain.freeze(sequence);
                let fork = v1::Fork {
                    header: None,
                    chain: self.host.chain().as_bytes().to_vec(),
                    sequence,
                    first: known.as_bytes().to_vec(),
                    second: kept(&statement),
                };
                tracing::error!(
                    host = self.host.name(),
                    sequence,
                    "two statements were signed at one sequence"
                );
                let logged = room.operator(fork);
                drop(head);
                self.published(logged, replies).await?;
                self.refuse(sequence, &Refusal::Frozen(sequence), replies)
                    .await
            }
            Some(known) if known == statement.digest() => Ok(()),
            // Changed on its way, or so old that it is no longer remembered: an honest agent sends
            // nothing before the head that the welcome named.
            _ => {
                let due = head.chain.state().sequence().saturating_add(1);
                let past = affiant_proto::Broken::Past { due, got: sequence };
                self.refuse(sequence, &past.into(), replies).await
            }
        }
    }

    /// Waits for room in the writer's queue, with the chain left free: a newer session of the host
    /// is welcomed meanwhile, and ends this one.
    async fn room(&self, replies: &Replies) -> Result<Room, End> {
        let room = self.submit.room();
        match self.unless_over(replies, room).await? {
            Ok(room) => Ok(room),
            Err(Closed) => Err(End::Stopping),
        }
    }

    /// Waits until a statement is in a published tree.
    async fn published(&self, logged: Logged, replies: &Replies) -> Result<(), End> {
        match self.unless_over(replies, logged).await? {
            Ok(_) => Ok(()),
            Err(_) => Err(End::Stopping),
        }
    }

    /// Waits for the writer as long as anybody is there to wait: until the session is no longer the
    /// host's newest, the host is gone, or patience ends.
    async fn unless_over<T>(
        &self,
        replies: &Replies,
        awaited: impl Future<Output = T>,
    ) -> Result<T, End> {
        let over = tokio::time::sleep(self.patience);
        tokio::pin!(awaited, over);
        loop {
            let changed = self.host.changed();
            if !self.host.holds(self.number) {
                self.held()?;
            }
            tokio::select! {
                biased;
                got = &mut awaited => return Ok(got),
                () = changed => {}
                () = replies.closed() => return Err(End::Gone),
                () = &mut over => return Err(End::Full),
            }
        }
    }

    async fn refuse(&self, sequence: u64, refusal: &Refusal, replies: &Replies) -> Result<(), End> {
        tracing::warn!(host = self.host.name(), sequence, code = refusal.code(), %refusal, "statement refused");
        let missing = matches!(
            refusal,
            Refusal::Chain(affiant_proto::Broken::Missing { .. })
        );
        let body = v1::upload_reply::Body::Refused(v1::Refused {
            sequence,
            code: refusal.code().into(),
            text: refusal.to_string(),
            permanent: !missing,
        });
        self.reply(replies, body).await?;
        Err(End::Refused)
    }

    fn included(&self) -> v1::Included {
        let watermark = self.host.included();
        v1::Included {
            sequence: watermark.map(|w| w.sequence),
            index: watermark.map(|w| w.index).unwrap_or_default(),
            checkpoint: self.published.borrow().note.to_vec(),
        }
    }

    async fn reply(&self, replies: &Replies, body: v1::upload_reply::Body) -> Result<(), End> {
        let reply = v1::UploadReply { body: Some(body) };
        match tokio::time::timeout(REPLY, replies.send(Ok(reply))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::{Authorities, Statement};
    use tokio::{task::JoinHandle, time::timeout};

    use super::*;
    use crate::enrol::tests::{Desk, desk, request};

    const SOON: Duration = Duration::from_secs(20);

    /// A host whose verifier's queue holds one thing and is full of it.
    struct Crowded {
        desk: Desk,
        gate: Gate,
        peer: Peer,
        enrolment: v1::Envelope,
        /// Its end would be the writer's.
        _authorities: watch::Sender<Arc<Authorities>>,
    }

    /// One session of it.
    struct Open {
        requests: mpsc::Sender<Result<v1::UploadRequest, Status>>,
        replies: mpsc::Receiver<Result<v1::UploadReply, Status>>,
        end: JoinHandle<End>,
    }

    async fn crowded() -> Crowded {
        let mut desk = desk(1);
        let asked = request("gpu-1", &desk.token("gpu-1").await, 1);
        let statement = Statement::parse(&asked.enrolment).unwrap();
        let enrolment = Envelope::join(statement, None).unwrap().message();
        let answer = desk.ask(asked);
        let opening = desk.next().await;
        desk.publish(opening, 1);
        let reply = answer.await.unwrap().unwrap().into_inner();
        let peer = Peer::read(&reply.certificates[0]).unwrap();
        let room = desk.service.submit.room().await.unwrap();
        let _unheard = room.operator(v1::Clock::default());
        let mut gate = desk.service.gate.clone();
        let newest = gate.authorities.borrow().clone();
        let (kept, authorities) = watch::channel(newest);
        gate.authorities = authorities;
        Crowded {
            desk,
            gate,
            peer,
            enrolment,
            _authorities: kept,
        }
    }

    impl Crowded {
        fn open(&self, patience: Duration) -> Open {
            let host = self.gate.pass(&self.peer).unwrap();
            let session = Session {
                number: host.begin_session(),
                host,
                hello: (0, Vec::new()),
                gate: self.gate.clone(),
                peer: self.peer.clone(),
                window: Window::default(),
                sources: Sources::default(),
                submit: self.desk.service.submit.clone(),
                published: self.desk.service.published.clone(),
                clock: Clock::system(),
                patience,
            };
            let (requests, inbound) = mpsc::channel(1);
            let (tell, replies) = mpsc::channel(REPLIES);
            let inbound = ReceiverStream::new(inbound);
            let end = tokio::spawn(async move { session.run(inbound, &tell).await });
            Open {
                requests,
                replies,
                end,
            }
        }

        /// A session that has sent something for which there is no room.
        async fn waiting(&self, patience: Duration) -> Open {
            let mut open = self.open(patience);
            open.welcome().await;
            let body = v1::upload_request::Body::Envelope(self.enrolment.clone());
            let sent = v1::UploadRequest {
                body: Some(body),
                spool: None,
            };
            open.requests.send(Ok(sent)).await.unwrap();
            // On one thread it waits for room as soon as it has read this.
            drop(open.requests.reserve().await);
            open
        }
    }

    impl Open {
        async fn welcome(&mut self) {
            let reply = timeout(SOON, self.replies.recv()).await.unwrap();
            let body = reply.unwrap().unwrap().body;
            assert!(matches!(body, Some(v1::upload_reply::Body::Welcome(_))));
        }

        async fn end(self) -> End {
            timeout(SOON, self.end).await.unwrap().unwrap()
        }
    }

    #[tokio::test]
    async fn a_session_that_waits_for_room_keeps_no_newer_one_waiting() {
        let crowded = crowded().await;
        let mut before = crowded.waiting(ROOM).await;
        for _ in 0..20 {
            let newer = crowded.waiting(ROOM).await;
            assert!(matches!(before.end().await, End::Superseded));
            before = newer;
        }
    }

    #[tokio::test]
    async fn a_session_whose_host_is_gone_waits_for_no_room() {
        let crowded = crowded().await;
        let mut open = crowded.waiting(ROOM).await;
        open.replies.close();
        assert!(matches!(open.end().await, End::Gone));
    }

    #[tokio::test]
    async fn a_host_for_which_there_is_no_room_for_long_is_told_so() {
        let crowded = crowded().await;
        let open = crowded.waiting(Duration::from_millis(20)).await;
        assert!(matches!(open.end().await, End::Full));
    }

    #[tokio::test]
    async fn what_waited_for_room_is_taken_when_there_is_some() {
        let mut crowded = crowded().await;
        let open = crowded.waiting(ROOM).await;
        crowded.desk.next().await;
        let Open { requests, end, .. } = open;
        drop(requests);
        // The statement was the enrolment again, which is no error; then the host closed.
        let end = timeout(SOON, end).await.unwrap().unwrap();
        assert!(matches!(end, End::Gone));
    }
}
