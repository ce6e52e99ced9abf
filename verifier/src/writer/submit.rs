//! The way into the log: a bounded queue, and who waits for an index.

use std::sync::Arc;

use affiant_judge::admission::{Admitted, HostChain, Refusal};
use affiant_proto::{Body, Ed25519Signer, Envelope, Statement};
use tokio::sync::{mpsc, mpsc::error::TrySendError, oneshot};

use crate::{hosts::Host, ledger::Entry};

/// Something to log.
pub enum Submission {
    /// A statement of a host's chain that was admitted.
    Record {
        /// The host.
        host: Arc<Host>,
        /// The proof of that.
        admitted: Arc<Admitted>,
        /// What is stored.
        entry: Entry,
    },
    /// Another statement that was admitted.
    Admitted {
        /// The proof of that.
        admitted: Arc<Admitted>,
        /// What is stored.
        entry: Entry,
        /// The chain that an enrolment opens.
        opens: Option<Box<HostChain>>,
        /// Told the index once it is in a published tree.
        logged: Option<Tell>,
    },
    /// A statement of the operator, to be signed here.
    Operator {
        /// What it says.
        body: Box<Body>,
        /// Told the index once it is in a published tree.
        logged: Option<Tell>,
    },
    /// A change of the operator's key: signed by the old one, and from then on by this one.
    Handover {
        /// The new key.
        signer: Box<Ed25519Signer>,
        /// Told the index once it is in a published tree.
        logged: Tell,
    },
    /// Statements of officers, admitted here, all or none.
    Officers {
        /// The statements, in their order.
        statements: Vec<Statement>,
        /// Told who waits for which index, or the number of the one that was refused.
        admitted: oneshot::Sender<Result<Vec<Logged>, (usize, Refusal)>>,
    },
}

/// Who waits for a statement's index.
pub type Logged = oneshot::Receiver<Result<u64, Refusal>>;

/// The other end: told once the statement is published, or that it was refused after all.
pub type Tell = oneshot::Sender<Result<u64, Refusal>>;

/// Hands statements to the writer.
#[derive(Clone)]
pub struct Submit(pub mpsc::Sender<Submission>);

/// The writer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is closed: the verifier is stopping")]
pub struct Closed;

/// Why a statement is not in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLogged {
    /// The writer has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// It may not be.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Submit {
    /// Waits while the queue is full, then keeps one place in it. Before a statement is admitted:
    /// what the chain in memory has taken must reach the log, and then nothing is left to wait for.
    pub async fn room(&self) -> Result<Room, Closed> {
        let place = self.0.clone().reserve_owned().await;
        place.map(Room).map_err(|_| Closed)
    }

    /// Keeps a place in the queue, if there is one now.
    pub fn room_now(&self) -> Result<Option<Room>, Closed> {
        match self.0.clone().try_reserve_owned() {
            Ok(place) => Ok(Some(Room(place))),
            Err(TrySendError::Full(_)) => Ok(None),
            Err(TrySendError::Closed(_)) => Err(Closed),
        }
    }

    /// Queues an admitted envelope and waits until it is in a published tree; gives its index.
    pub async fn logged(
        &self,
        admitted: Admitted,
        envelope: &Envelope,
        opens: Option<HostChain>,
    ) -> Result<u64, NotLogged> {
        let (logged, index) = oneshot::channel();
        let (admitted, entry) = (Arc::new(admitted), Entry::of(envelope));
        let opens = opens.map(Box::new);
        let it = Submission::Admitted {
            admitted,
            entry,
            opens,
            logged: Some(logged),
        };
        self.0.send(it).await.map_err(|_| Closed)?;
        wait(index).await
    }

    /// Has the operator say something; gives its index once it is in a published tree.
    pub async fn operator(&self, body: impl Into<Body>) -> Result<u64, NotLogged> {
        let (logged, index) = oneshot::channel();
        let it = Submission::Operator {
            body: Box::new(body.into()),
            logged: Some(logged),
        };
        self.0.send(it).await.map_err(|_| Closed)?;
        wait(index).await
    }

    /// Hands the operator's chain over to a new key; gives the index of that statement.
    pub async fn handover(&self, signer: Ed25519Signer) -> Result<u64, NotLogged> {
        let (logged, index) = oneshot::channel();
        let it = Submission::Handover {
            signer: Box::new(signer),
            logged,
        };
        self.0.send(it).await.map_err(|_| Closed)?;
        wait(index).await
    }

    /// Logs statements of officers, all or none; gives their indices, or the number of the one that
    /// is refused.
    pub async fn officers(
        &self,
        statements: Vec<Statement>,
    ) -> Result<Result<Vec<u64>, (usize, Refusal)>, NotLogged> {
        let (told, admitted) = oneshot::channel();
        let it = Submission::Officers {
            statements,
            admitted: told,
        };
        self.0.send(it).await.map_err(|_| Closed)?;
        let waiting = match admitted.await.map_err(|_| Closed)? {
            Ok(waiting) => waiting,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut indices = Vec::with_capacity(waiting.len());
        for logged in waiting {
            indices.push(wait(logged).await?);
        }
        Ok(Ok(indices))
    }

    /// How many submissions wait for the writer.
    pub fn waiting(&self) -> usize {
        self.0.max_capacity().saturating_sub(self.0.capacity())
    }
}

/// One place in the writer's queue.
pub struct Room(mpsc::OwnedPermit<Submission>);

impl Room {
    /// Queues an admitted statement of a host's chain.
    pub fn record(self, host: Arc<Host>, admitted: Admitted, entry: Entry) {
        self.0.send(Submission::Record {
            host,
            admitted: Arc::new(admitted),
            entry,
        });
    }

    /// Has the operator say something, whether or not anybody waits for its index.
    pub fn operator(self, body: impl Into<Body>) -> Logged {
        let (logged, index) = oneshot::channel();
        self.0.send(Submission::Operator {
            body: Box::new(body.into()),
            logged: Some(logged),
        });
        index
    }
}

async fn wait(logged: Logged) -> Result<u64, NotLogged> {
    Ok(logged.await.map_err(|_| Closed)??)
}
