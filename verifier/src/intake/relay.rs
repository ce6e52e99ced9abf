//! The stream of a relay: many hosts of one site over one connection.
//!
//! It is the stream of a host, many times over: each place of it carries one host, admits its chain
//! and is told of its watermark. What differs is that a refusal ends a place and not the stream, and
//! that all watermarks that a checkpoint moved are one message.

use std::{sync::Arc, time::Duration};

use affiant_judge::admission::Refusal;
use affiant_proto::{Digest, v1};
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::{
    carried::{Carried, Desk, Taken},
    driven::Replies,
    session::{End, TURN, full, refused},
};
use crate::{
    bell::Bell,
    clock::Clock,
    pki::Peer,
    presence::Here,
    relay::Relay,
    writer::{Closed, Published},
};

/// Most places of one stream, those included that were left: a site of half a million GPUs. At some
/// 200 bytes each they are 13 MB.
const MAX_PLACES: usize = 1 << 16;

/// Most hosts of one join: the answer is some 100 bytes for each.
const MAX_JOINED: usize = 1_024;

/// Statements of one stream that are admitted and not yet INCLUDED: four fifths of the writer's
/// queue, which a relay that drains its hosts' backlogs shares with others.
const WINDOW: u64 = 10_000;

/// What a relay is told of a host that it may not carry now.
const CONNECTED: &str = "host is connected itself: carry it when it is not";

/// What a relay is told of a usage record of which it sends no lines. A host whose disk is full may
/// let go of them, and says so itself: by a relay's word alone the log would be without them for good.
const CUT: &str = "a usage record without its lines is its host's alone to send";

/// What a session of a relay needs.
pub(super) struct Relayed {
    pub(super) relay: Arc<Relay>,
    pub(super) desk: Desk,
    pub(super) peer: Peer,
    pub(super) bell: Arc<Bell>,
    /// By place; nothing where a host was refused, or left.
    pub(super) places: Vec<Option<Carried>>,
    /// Statements of all places that are on their way.
    pub(super) in_flight: u64,
    pub(super) published: watch::Receiver<Published>,
    pub(super) clock: Clock,
    /// How long a statement may wait for room.
    pub(super) patience: Duration,
}

type Answers = Replies<v1::RelayReply>;

impl Relayed {
    /// Runs the session to its end.
    pub(super) async fn run(
        mut self,
        inbound: impl Stream<Item = Result<v1::RelayRequest, Status>> + Unpin,
        replies: Answers,
    ) {
        let relay = self.relay.clone();
        tracing::info!(relay = relay.name(), "relay began");
        let (why, last) = match self.serve(inbound, &replies).await {
            Ok(()) | Err(End::Gone | End::Refused) => ("closed by the relay".to_owned(), None),
            Err(End::ShutOut(status)) => (status.message().to_owned(), Some(*status)),
            Err(End::Full) => ("no room in the log".to_owned(), Some(full())),
            Err(End::Stopping) => ("the verifier stops".to_owned(), None),
        };
        let hosts = self.places.iter().flatten().count();
        tracing::info!(relay = relay.name(), hosts, why, "relay ended");
        if let Some(status) = last {
            replies.send(Err(status)).await;
        }
    }

    async fn serve(
        &mut self,
        mut inbound: impl Stream<Item = Result<v1::RelayRequest, Status>> + Unpin,
        replies: &Answers,
    ) -> Result<(), End> {
        use v1::relay_request::Body;
        let mut taken = 0;
        loop {
            tokio::select! {
                // Always in this order, so that a simulated run can be repeated.
                biased;
                () = self.bell.rung() => {
                    self.answer(replies).await?;
                    continue;
                }
                message = inbound.next(), if self.in_flight < WINDOW => match message {
                    Some(Ok(v1::RelayRequest { body: Some(Body::Record(record)) })) => {
                        self.take(record, replies).await?;
                    }
                    Some(Ok(v1::RelayRequest { body: Some(Body::Join(join)) })) => {
                        self.join(&join, replies).await?;
                    }
                    Some(Ok(_)) => return Err(broken("a hello comes first, and once")),
                    Some(Err(_)) | None => return Err(End::Gone),
                },
            }
            taken += 1;
            if taken == TURN {
                taken = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Begins to carry hosts, each at the next place.
    async fn join(&mut self, join: &v1::RelayJoin, replies: &Answers) -> Result<(), End> {
        if join.chains.len() > MAX_JOINED {
            return Err(broken("a join names at most 1,024 hosts"));
        }
        // A stream without hosts hears no bell: it may have lost its key meanwhile.
        self.passed()?;
        if self.places.len() + join.chains.len() > MAX_PLACES {
            return Err(broken("a stream has at most 65,536 places: open another"));
        }
        let mut places = Vec::with_capacity(join.chains.len());
        let first = place(self.places.len());
        for chain in &join.chains {
            let (carried, told) = match self.carry(chain, place(self.places.len())) {
                Ok((carried, told)) => (Some(carried), told),
                Err(status) => {
                    let refused = status.message().to_owned();
                    (
                        None,
                        v1::RelayPlace {
                            refused,
                            ..v1::RelayPlace::default()
                        },
                    )
                }
            };
            self.places.push(carried);
            places.push(told);
        }
        let joined = v1::RelayJoined { first, places };
        reply(replies, v1::relay_reply::Body::Joined(joined)).await;
        Ok(())
    }

    fn carry(&self, chain: &[u8], place: u32) -> Result<(Carried, v1::RelayPlace), Status> {
        let chain = Digest::try_from(chain);
        let chain = chain.map_err(|_| Status::invalid_argument("a chain is 32 bytes long"))?;
        let host = self.desk.gate.hosts.get(&chain);
        let host = host.ok_or_else(|| Status::permission_denied("host is not enrolled here"))?;
        self.desk.gate.carries(&self.relay, &host)?;
        let session = host.begin_relayed(&self.bell, place);
        let session = session.ok_or_else(|| Status::aborted(CONNECTED))?;
        let here = Here::begin(host.clone(), self.clock.clone(), None, None);
        let carried = Carried::begin(host, session, here);
        let included = carried.told();
        let head = carried.host().admission();
        let told = v1::RelayPlace {
            sequence: head.chain.state().sequence(),
            head: head.chain.state().head().as_bytes().to_vec(),
            included: included.map(|watermark| watermark.sequence),
            index: included.map_or(0, |watermark| watermark.index),
            refused: String::new(),
        };
        drop(head);
        Ok((carried, told))
    }

    /// Tells whether the relay may go on.
    fn passed(&self) -> Result<(), End> {
        let passed = self.desk.gate.pass_relay(&self.peer).map(drop);
        passed.map_err(|status| End::ShutOut(Box::new(status)))
    }

    /// The bell was rung: looks whether stream and places may go on, and tells how much of each is
    /// INCLUDED.
    async fn answer(&mut self, replies: &Answers) -> Result<(), End> {
        self.passed()?;
        let mut marks = Vec::new();
        let mut over = Vec::new();
        for place in self.bell.take() {
            let Some(Some(carried)) = self.places.get_mut(place as usize) else {
                continue;
            };
            if let Some((watermark, fewer)) = carried.heed() {
                self.in_flight = self.in_flight.saturating_sub(fewer);
                marks.push(v1::RelayMark {
                    place,
                    sequence: watermark.sequence,
                    index: watermark.index,
                });
            }
            let carries = self.desk.gate.carries(&self.relay, carried.host());
            if let Err(status) = carried.may_go_on(carries) {
                over.push((place, status));
            }
        }
        if !marks.is_empty() {
            let checkpoint = self.published.borrow().note.to_vec();
            let included = v1::RelayIncluded { checkpoint, marks };
            reply(replies, v1::relay_reply::Body::Included(included)).await;
        }
        for (place, status) in over {
            self.leave(place, not_carried(status.message()), replies)
                .await;
        }
        Ok(())
    }

    async fn take(&mut self, record: v1::RelayRecord, replies: &Answers) -> Result<(), End> {
        let place = record.place;
        if self.places.len() <= place as usize {
            return Err(broken("a record names a place that was not joined"));
        }
        let submit = self.desk.submit.clone();
        let room = match submit.room_now()? {
            Some(room) => room,
            None => self.unless_over(submit.room(), replies).await??,
        };
        // What was on its way when its place was refused is not looked at.
        let Some(Some(carried)) = self.places.get_mut(place as usize) else {
            return Ok(());
        };
        let Some(envelope) = record.envelope else {
            return Err(broken("a record without a statement"));
        };
        if envelope.totals.is_some() {
            self.leave(place, not_carried(CUT), replies).await;
            return Ok(());
        }
        let host = carried.host().clone();
        let (sequence, refusal) = match carried.take(envelope, room, &self.desk) {
            Taken::Admitted(more) => {
                self.in_flight = self.in_flight.saturating_add(more);
                return Ok(());
            }
            Taken::Known => return Ok(()),
            Taken::NotHeld => {
                let carries = self.desk.gate.carries(&self.relay, &host);
                if let Err(status) = carried.may_go_on(carries) {
                    self.leave(place, not_carried(status.message()), replies)
                        .await;
                }
                return Ok(());
            }
            Taken::Refused(sequence, refusal) => (sequence, refusal),
            Taken::Forked(sequence, logged) => {
                // Told only once the log says so.
                let logged = self.unless_over(logged, replies).await?;
                drop(logged.map_err(|_| Closed)?);
                (sequence, Refusal::Frozen(sequence))
            }
        };
        let refused = refused(host.name(), sequence, &refusal);
        self.leave(place, refused, replies).await;
        Ok(())
    }

    /// Carries the host at a place no longer, and says why.
    async fn leave(&mut self, place: u32, refused: v1::Refused, replies: &Answers) {
        let left = self.places.get_mut(place as usize).and_then(Option::take);
        let Some(left) = left else { return };
        self.in_flight = self.in_flight.saturating_sub(left.in_flight());
        drop(left);
        let refused = v1::RelayRefused {
            place,
            refused: Some(refused),
        };
        reply(replies, v1::relay_reply::Body::Refused(refused)).await;
    }

    /// Waits for the writer until patience ends; hosts are answered meanwhile.
    async fn unless_over<T>(
        &mut self,
        awaited: impl Future<Output = T>,
        replies: &Answers,
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
}

/// A place of a stream: there are at most [`MAX_PLACES`].
fn place(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What a relay is told of a host that it may not carry any more.
fn not_carried(why: &str) -> v1::Refused {
    v1::Refused {
        sequence: 0,
        code: "not-carried".into(),
        text: why.to_owned(),
        permanent: false,
    }
}

fn broken(why: &str) -> End {
    End::ShutOut(Box::new(Status::invalid_argument(why)))
}

async fn reply(replies: &Answers, body: v1::relay_reply::Body) {
    replies.send(Ok(v1::RelayReply { body: Some(body) })).await;
}
