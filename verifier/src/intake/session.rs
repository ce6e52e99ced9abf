//! The stream of one host.

use std::{sync::Arc, time::Duration};

use affiant_judge::admission::Refusal;
use affiant_proto::v1;
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::{
    carried::{Carried, Desk, Taken},
    driven::Replies,
};
use crate::{
    bell::Bell,
    pki::Peer,
    window::WINDOW,
    writer::{Closed, Published},
};

/// How long a statement may wait for room in the writer's queue. A full queue of 12,500 is written
/// within seconds, so this long means that the disk is full; the host is then told so.
pub(super) const ROOM: Duration = Duration::from_secs(5 * 60);

/// Statements taken one after the other before other streams get their turn: at 50 µs each they
/// hold the thread for 2 ms.
pub(super) const TURN: usize = 32;

/// Why a session ends; the host is told, and so is the operator's journal.
pub(super) enum End {
    /// The host closed it, or it broke.
    Gone,
    /// The host, its key or its authority is no longer let in, or a newer session began.
    ShutOut(Box<Status>),
    /// A statement was not admitted.
    Refused,
    /// The log had no room for too long.
    Full,
    /// The verifier stops.
    Stopping,
}

impl From<Closed> for End {
    fn from(_: Closed) -> Self {
        Self::Stopping
    }
}

/// What a session needs.
pub(super) struct Session {
    pub(super) desk: Desk,
    pub(super) peer: Peer,
    pub(super) bell: Arc<Bell>,
    pub(super) carried: Carried,
    /// Where the chain stands on the host, as its hello says: sequence and digest.
    pub(super) hello: (u64, Vec<u8>),
    pub(super) published: watch::Receiver<Published>,
    /// How long a statement may wait for room.
    pub(super) patience: Duration,
}

impl Session {
    /// Runs the session to its end.
    pub(super) async fn run(
        mut self,
        inbound: impl Stream<Item = Result<v1::UploadRequest, Status>> + Unpin,
        replies: Replies<v1::UploadReply>,
    ) {
        let host = self.carried.host().clone();
        tracing::info!(host = host.name(), "session began");
        let (why, last) = match self.serve(inbound, &replies).await {
            Ok(()) | Err(End::Gone) => ("closed by the host".to_owned(), None),
            Err(End::ShutOut(status)) => (status.message().to_owned(), Some(*status)),
            Err(End::Refused) => ("a statement was refused".to_owned(), None),
            Err(End::Full) => ("no room in the log".to_owned(), Some(full())),
            Err(End::Stopping) => ("the verifier stops".to_owned(), None),
        };
        tracing::info!(host = host.name(), why, "session ended");
        if let Some(status) = last {
            replies.send(Err(status)).await;
        }
    }

    async fn serve(
        &mut self,
        mut inbound: impl Stream<Item = Result<v1::UploadRequest, Status>> + Unpin,
        replies: &Replies<v1::UploadReply>,
    ) -> Result<(), End> {
        let welcome = self.welcome();
        reply(replies, v1::upload_reply::Body::Welcome(welcome)).await;
        let mut taken = 0;
        loop {
            let room = self.carried.in_flight() < WINDOW;
            tokio::select! {
                // Always in this order, so that a simulated run can be repeated.
                biased;
                () = self.bell.rung() => {
                    self.answer(replies).await?;
                    continue;
                }
                message = inbound.next(), if room => match message {
                    Some(Ok(v1::UploadRequest { body: Some(v1::upload_request::Body::Envelope(envelope)), spool })) => {
                        if let Some(spool) = spool {
                            self.carried.here().tell_spool(spool);
                        }
                        self.take(envelope, replies).await?;
                    }
                    Some(_) | None => return Err(End::Gone),
                },
            }
            taken += 1;
            if taken == TURN {
                taken = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    fn welcome(&self) -> v1::Welcome {
        let head = self.carried.host().admission();
        v1::Welcome {
            sequence: head.chain.state().sequence(),
            head: head.chain.state().head().as_bytes().to_vec(),
            included: Some(self.included()),
            recent: head.trail.unless_known(self.hello.0, &self.hello.1),
        }
    }

    /// The bell was rung: looks whether the session may go on, and tells how much is INCLUDED.
    async fn answer(&mut self, replies: &Replies<v1::UploadReply>) -> Result<(), End> {
        self.bell.take();
        let moved = self.carried.heed();
        self.held()?;
        if moved.is_some() {
            let body = v1::upload_reply::Body::Included(self.included());
            reply(replies, body).await;
        }
        Ok(())
    }

    /// Tells whether the session may go on.
    fn held(&self) -> Result<(), End> {
        let passed = self.desk.gate.pass(&self.peer).map(drop);
        let held = self.carried.may_go_on(passed);
        held.map_err(|status| End::ShutOut(Box::new(status)))
    }

    async fn take(
        &mut self,
        message: v1::Envelope,
        replies: &Replies<v1::UploadReply>,
    ) -> Result<(), End> {
        let submit = self.desk.submit.clone();
        let room = match submit.room_now()? {
            Some(room) => room,
            None => self.unless_over(submit.room(), replies).await??,
        };
        let (sequence, refusal) = match self.carried.take(message, room, &self.desk) {
            Taken::Admitted(_) | Taken::Known => return Ok(()),
            Taken::NotHeld => return self.held(),
            Taken::Refused(sequence, refusal) => (sequence, refusal),
            Taken::Forked(sequence, logged) => {
                // Told only once the log says so.
                let logged = self.unless_over(logged, replies).await?;
                drop(logged.map_err(|_| Closed)?);
                (sequence, Refusal::Frozen(sequence))
            }
        };
        let host = self.carried.host().name();
        let body = v1::upload_reply::Body::Refused(refused(host, sequence, &refusal));
        reply(replies, body).await;
        Err(End::Refused)
    }

    /// Waits for the writer, with the chain left free: until the session is no longer the host's
    /// newest, or patience ends. A newer session of the host is welcomed meanwhile, and ends this
    /// one.
    async fn unless_over<T>(
        &mut self,
        awaited: impl Future<Output = T>,
        replies: &Replies<v1::UploadReply>,
    ) -> Result<T, End> {
        let over = tokio::time::sleep(self.patience);
        tokio::pin!(awaited, over);
        loop {
            tokio::select! {
                biased;
                got = &mut awaited => return Ok(got),
                () = self.bell.rung() => self.answer(replies).await?,
                () = &mut over => return Err(End::Full),
            }
        }
    }

    fn included(&self) -> v1::Included {
        let watermark = self.carried.host().included();
        v1::Included {
            sequence: watermark.map(|w| w.sequence),
            index: watermark.map(|w| w.index).unwrap_or_default(),
            checkpoint: self.published.borrow().note.to_vec(),
        }
    }
}

/// What a host is told for which there was no room for long.
pub(super) fn full() -> Status {
    Status::unavailable(
        "the log takes nothing now: the verifier waits for its disk, see `affiant-verifier status` \
         there; records stay on this host meanwhile",
    )
}

/// A refusal as it is told to its host, and written into the journal.
pub(super) fn refused(host: &str, sequence: u64, refusal: &Refusal) -> v1::Refused {
    tracing::warn!(host, sequence, code = refusal.code(), %refusal, "statement refused");
    let missing = matches!(
        refusal,
        Refusal::Chain(affiant_proto::Broken::Missing { .. })
    );
    v1::Refused {
        sequence,
        code: refusal.code().into(),
        text: refusal.to_string(),
        permanent: !missing,
    }
}

async fn reply(replies: &Replies<v1::UploadReply>, body: v1::upload_reply::Body) {
    replies.send(Ok(v1::UploadReply { body: Some(body) })).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_judge::admission::Sources;
    use affiant_proto::{Envelope, Statement};
    use tokio::{sync::mpsc, time::timeout};
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;
    use crate::{
        enrol::tests::{Desk as Enrolment, desk, request},
        gate::Gate,
        intake::driven::Driven,
        presence::Here,
    };

    const SOON: Duration = Duration::from_secs(20);

    /// A host whose verifier's queue holds one thing and is full of it.
    struct Crowded {
        desk: Enrolment,
        gate: Gate,
        peer: Peer,
        enrolment: v1::Envelope,
    }

    /// One session of it.
    struct Open {
        requests: mpsc::Sender<Result<v1::UploadRequest, Status>>,
        replies: mpsc::Receiver<Result<v1::UploadReply, Status>>,
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
        Crowded {
            gate: desk.service.gate.clone(),
            desk,
            peer,
            enrolment,
        }
    }

    impl Crowded {
        fn open(&self, patience: Duration) -> Open {
            let host = self.gate.pass(&self.peer).unwrap();
            let here = Here::begin(host.clone(), self.desk.service.clock.clone(), Some(0), None);
            let bell = Arc::<Bell>::default();
            let begun = host.begin_session(&bell);
            let session = Session {
                desk: Desk {
                    gate: self.gate.clone(),
                    sources: Sources::default(),
                    submit: self.desk.service.submit.clone(),
                },
                peer: self.peer.clone(),
                carried: Carried::begin(host, begun, here),
                bell,
                hello: (0, Vec::new()),
                published: self.desk.service.published.clone(),
                patience,
            };
            let (requests, inbound) = mpsc::channel(1);
            let inbound = ReceiverStream::new(inbound);
            let mut stream = Driven::new(|replies| session.run(inbound, replies));
            let (tell, replies) = mpsc::channel(1);
            tokio::spawn(async move {
                while let Some(reply) = stream.next().await {
                    tell.send(reply).await.unwrap();
                }
            });
            Open { requests, replies }
        }

        /// A session that has sent something for which there is no room.
        async fn waiting(&self, patience: Duration) -> Open {
            let mut open = self.open(patience);
            let welcome = open.next().await.unwrap().unwrap().body;
            assert!(matches!(welcome, Some(v1::upload_reply::Body::Welcome(_))));
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
        async fn next(&mut self) -> Option<Result<v1::UploadReply, Status>> {
            timeout(SOON, self.replies.recv()).await.unwrap()
        }

        /// Why it ends; nothing where the host closed it.
        async fn end(mut self) -> Option<tonic::Code> {
            let last = self.next().await;
            last.map(|reply| reply.unwrap_err().code())
        }
    }

    #[tokio::test]
    async fn a_session_that_waits_for_room_keeps_no_newer_one_waiting() {
        let crowded = crowded().await;
        let mut before = crowded.waiting(ROOM).await;
        for _ in 0..20 {
            let newer = crowded.waiting(ROOM).await;
            assert_eq!(before.end().await, Some(tonic::Code::Aborted));
            before = newer;
        }
    }

    #[tokio::test]
    async fn a_host_for_which_there_is_no_room_for_long_is_told_so() {
        let crowded = crowded().await;
        let open = crowded.waiting(Duration::from_millis(20)).await;
        assert_eq!(open.end().await, Some(tonic::Code::Unavailable));
    }

    #[tokio::test]
    async fn what_waited_for_room_is_taken_when_there_is_some() {
        let mut crowded = crowded().await;
        let mut open = crowded.waiting(ROOM).await;
        crowded.desk.next().await;
        // The statement was the enrolment again, which is no error; then the host closed.
        open.requests = mpsc::channel(1).0;
        assert_eq!(open.end().await, None);
    }
}
