//! The recorder: it alone meters, seals and keeps, on a thread of its own, so that a disk that is
//! slow holds up neither the devices' readers nor the end of the agent.

mod book;
mod parting;

#[cfg(test)]
mod full_disk;

use std::thread;

use affiant_proto::{Digest, KeyId, v1};
use tokio::sync::{mpsc, oneshot, watch};

pub use book::{Book, BookError, NotRotated, Opening};
pub use parting::{Met, NotRejoined, Told, settle};

use crate::{
    deployment::reference,
    meter::{Ending, Holding, Planned},
    sample::{Inventory, Sample},
    spool::{Cursor, Records, SpoolError},
};
use affiant_proto::tlog::SignedCheckpoint;

/// Commands that wait: half a minute of samples at 1 Hz. After that the run loop waits, and then
/// the source, which takes no reading when nobody has room for it.
const QUEUE: usize = 32;

/// Sequence and digest of the last record that is on disk.
pub type Head = (u64, Digest);

enum Command {
    Planned(Planned),
    Inventory(Inventory),
    Sample(Sample, Vec<Holding>),
    Included(Cursor, SignedCheckpoint),
    Observe(&'static str, String),
    Meet(Told, oneshot::Sender<Met>),
    Rejoin(Told, oneshot::Sender<Result<(), NotRejoined>>),
    Rotate(oneshot::Sender<Result<(u64, KeyId), NotRotated>>),
    Read {
        from: u64,
        most: usize,
        reply: oneshot::Sender<Result<Records, SpoolError>>,
    },
    Depth(oneshot::Sender<Option<v1::SpoolState>>),
    Close(oneshot::Sender<()>),
}

/// A handle on the recorder; clones speak to the same one.
#[derive(Clone)]
pub struct Recorder {
    commands: mpsc::Sender<Command>,
    head: watch::Receiver<Head>,
    ending: Ending,
}

/// The recorder ended; why, its thread has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recorder has ended")]
pub struct RecorderGone;

/// How the recorder's thread ends.
pub type Ended = oneshot::Receiver<Result<(), BookError>>;

impl Recorder {
    /// Starts the thread that keeps `book`.
    pub fn start(book: Book) -> std::io::Result<(Self, Ended)> {
        // Nothing but the queue is waited for, so the runtime has no drivers.
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let (recorder, keeping) = Self::of(book);
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name("recorder".into())
            .spawn(move || {
                // Nobody listens when the agent is past caring.
                let _ = end.send(runtime.block_on(keeping));
            })?;
        Ok((recorder, ended))
    }

    /// Gives a handle, and what must be run on a thread that may wait for the disk.
    pub fn of(book: Book) -> (Self, impl Future<Output = Result<(), BookError>> + Send) {
        let (commands, inbox) = mpsc::channel(QUEUE);
        let (told, head) = watch::channel(book.head());
        let ending = Ending::default();
        let keeping = keep(book, inbox, told, ending.clone());
        let recorder = Self {
            commands,
            head,
            ending,
        };
        (recorder, keeping)
    }

    /// When the open interval ends, as it changes.
    pub fn ending(&self) -> Ending {
        self.ending.clone()
    }

    /// The last record on disk, as it changes.
    pub fn head(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }

    /// Takes note of the last planned pause, before the samples of it.
    pub async fn planned(&self, planned: Planned) -> Result<(), RecorderGone> {
        self.send(Command::Planned(planned)).await
    }

    /// Takes new devices.
    pub async fn inventory(&self, inventory: Inventory) -> Result<(), RecorderGone> {
        self.send(Command::Inventory(inventory)).await
    }

    /// Takes one tick with the holders of its devices.
    pub async fn sample(&self, sample: Sample, holdings: Vec<Holding>) -> Result<(), RecorderGone> {
        self.send(Command::Sample(sample, holdings)).await
    }

    /// Takes note of how far the log is.
    pub async fn included(
        &self,
        cursor: Cursor,
        checkpoint: SignedCheckpoint,
    ) -> Result<(), RecorderGone> {
        self.send(Command::Included(cursor, checkpoint)).await
    }

    /// Holds the verifier's head against the disk.
    pub async fn meet(&self, told: Told) -> Result<Met, RecorderGone> {
        let (reply, met) = oneshot::channel();
        self.send(Command::Meet(told, reply)).await?;
        met.await.map_err(|_| RecorderGone)
    }

    /// Goes on from the verifier's head, which differs.
    pub async fn rejoin(&self, told: Told) -> Result<Result<(), NotRejoined>, RecorderGone> {
        let (reply, rejoined) = oneshot::channel();
        self.send(Command::Rejoin(told, reply)).await?;
        rejoined.await.map_err(|_| RecorderGone)
    }

    /// Seals an observation under a rule.
    pub async fn observe(&self, rule: &'static str, text: String) -> Result<(), RecorderGone> {
        self.send(Command::Observe(rule, text)).await
    }

    /// Changes the record key; gives the record that says so, and the new key's id.
    pub async fn rotate(&self) -> Result<Result<(u64, KeyId), NotRotated>, RecorderGone> {
        let (reply, rotated) = oneshot::channel();
        self.send(Command::Rotate(reply)).await?;
        rotated.await.map_err(|_| RecorderGone)
    }

    /// Reads records that are on disk from `from` on, at least one if there is one, and on until
    /// they have `most` bytes.
    pub async fn read(
        &self,
        from: u64,
        most: usize,
    ) -> Result<Result<Records, SpoolError>, RecorderGone> {
        let (reply, read) = oneshot::channel();
        self.send(Command::Read { from, most, reply }).await?;
        read.await.map_err(|_| RecorderGone)
    }

    /// Tells how the spool stands, for the verifier to show; `None` where it cannot be told.
    pub async fn depth(&self) -> Result<Option<v1::SpoolState>, RecorderGone> {
        let (reply, depth) = oneshot::channel();
        self.send(Command::Depth(reply)).await?;
        depth.await.map_err(|_| RecorderGone)
    }

    /// Seals the interval that is open. Commands that come after it are still taken, samples not.
    pub async fn close(&self) -> Result<(), RecorderGone> {
        let (reply, closed) = oneshot::channel();
        self.send(Command::Close(reply)).await?;
        closed.await.map_err(|_| RecorderGone)
    }

    async fn send(&self, command: Command) -> Result<(), RecorderGone> {
        self.commands.send(command).await.map_err(|_| RecorderGone)
    }
}

async fn keep(
    mut book: Book,
    mut inbox: mpsc::Receiver<Command>,
    told: watch::Sender<Head>,
    ending: Ending,
) -> Result<(), BookError> {
    let mut closed = false;
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Inventory(_) | Command::Sample(..) if closed => {}
            Command::Planned(planned) => book.planned(planned),
            Command::Inventory(inventory) => book.inventory(inventory)?,
            Command::Sample(sample, holdings) => book.sample(&sample, &holdings)?,
            Command::Included(cursor, checkpoint) => {
                book.included(cursor, reference(&checkpoint))?;
            }
            Command::Observe(rule, text) => book.observe(rule, text)?,
            Command::Meet(head, reply) => {
                let _ = reply.send(book.meet(&head)?);
            }
            Command::Rejoin(head, reply) => match book.rejoin(&head) {
                // What is on disk is not known: the asker learns of it by our end.
                Err(NotRejoined::Book(error)) => return Err(error),
                result => {
                    told.send_replace(book.head());
                    let _ = reply.send(result);
                }
            },
            Command::Rotate(reply) => {
                let _ = reply.send(book.rotate()?);
            }
            Command::Read { from, most, reply } => {
                // The asker may have gone away meanwhile.
                let _ = reply.send(book.read(from, most));
            }
            Command::Depth(reply) => {
                let _ = reply.send(book.depth());
            }
            Command::Close(reply) => {
                closed = true;
                book.close()?;
                told.send_replace(book.head());
                let _ = reply.send(());
            }
        }
        ending.tell(book.full_at_ms());
        let head = book.head();
        told.send_if_modified(|known| std::mem::replace(known, head) != head);
    }
    Ok(())
}
