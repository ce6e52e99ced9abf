//! Makes reports: built from the published log, logged as issued, anchored, then handed out.

use std::{sync::Arc, time::Duration};

use affiant_judge::Parameters;
use affiant_proto::{
    Envelope,
    tlog::{Note, NoteKey, SignedCheckpoint},
};
use affiant_report::{Bundle, Order, Period, Scope, build};
use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tonic::Status;

use crate::{
    config::Config,
    ledger::{Exhibits, Reader},
    rpc::admin as rpc,
    witness::Witnessed,
    wording,
    writer::{Published, Submit},
};

/// How long a report waits for witnesses: their round, and a second one.
const WITNESS_WAIT: Duration = Duration::from_secs(15);

/// Longest id of a tenant, as the file of applications has it.
const MAX_TENANT_BYTES: usize = 64;

/// Bytes of a file in one message: an eighth of gRPC's default limit.
const PIECE: usize = 512 * 1024;

/// Makes reports of the published log.
pub struct Reports {
    /// The published log.
    pub reader: Reader,
    /// What statements name by their digest.
    pub exhibits: Exhibits,
    /// The log's key, to read back its own checkpoints.
    pub log_key: NoteKey,
    /// The writer.
    pub submit: Submit,
    /// The newest cosigned checkpoint.
    pub witnessed: watch::Receiver<Option<Witnessed>>,
    /// Rings for a round of witnesses.
    pub wanted: Arc<Notify>,
    /// Whether there are any, this says.
    pub config: Arc<ArcSwap<Config>>,
    /// What the judge goes by.
    pub parameters: Parameters,
    /// The newest checkpoint.
    pub published: watch::Receiver<Published>,
}

impl Reports {
    /// Makes one; gives its files, in pieces.
    pub async fn make(&self, asked: rpc::ReportRequest) -> Result<Vec<rpc::ReportFile>, Status> {
        let period = Period::new(asked.from_unix_ms, asked.to_unix_ms);
        let period = period.map_err(|error| Status::invalid_argument(error.to_string()))?;
        if asked.tenant.len() > MAX_TENANT_BYTES {
            return Err(Status::invalid_argument(
                "a tenant's id has at most 64 bytes",
            ));
        }
        let log_time = self.published.borrow().logged_unix_ms;
        if period.from() >= log_time {
            let (from, now) = (wording::time(period.from()), wording::time(log_time));
            return Err(Status::invalid_argument(format!(
                "the period begins at {from}, and the log's time is {now}: nothing of it is in the log yet"
            )));
        }
        let basis = self.reader.signed_checkpoint().checkpoint().clone();
        let (reader, parameters) = (self.reader.clone(), self.parameters.clone());
        let exhibits = self.exhibits.clone();
        let bundle = blocking(move || {
            let log = reader.entries(0..basis.size());
            let log = log.map(|entry| entry.map(|(index, entry)| (index, entry.into_envelope())));
            let order = Order {
                period,
                scope: Scope::of(&asked.tenant),
                parameters,
                basis,
                kept: Default::default(),
            };
            build(order, log, |named| exhibits.get(named)).map_err(|error| error.to_string())
        })
        .await?;
        let index = self.submit.operator(bundle.body()).await;
        let index = index.map_err(|error| Status::unavailable(error.to_string()))?;
        let note = self.anchored(index).await;
        let checkpoint = SignedCheckpoint::of(note, &self.log_key);
        let checkpoint = checkpoint.map_err(|error| Status::internal(error.to_string()))?;
        let reader = self.reader.clone();
        let files = blocking(move || finish(bundle, index, &checkpoint, &reader)).await?;
        Ok(files.into_iter().flat_map(pieces).collect())
    }

    /// A checkpoint that covers `index`: cosigned, when a witness answers in time.
    async fn anchored(&self, index: u64) -> Note {
        let mut witnessed = self.witnessed.clone();
        if !self.config.load().witnesses.is_empty() {
            self.wanted.notify_one();
            let covers = |w: &Option<Witnessed>| w.as_ref().is_some_and(|w| w.size > index);
            let agreed = |w: &Option<Witnessed>| covers(w) && w.as_ref().is_some_and(|w| w.quorum);
            let waited = tokio::time::timeout(WITNESS_WAIT, witnessed.wait_for(agreed));
            let in_time = waited.await.is_ok_and(|found| found.is_ok());
            if !in_time {
                tracing::warn!(
                    "no quorum of witnesses cosigned in time: the report has no anchor of its own"
                );
            }
            // Those who did cosign are shown too where they are too few.
            let newest = witnessed.borrow().clone();
            let newest = newest.filter(|w| covers(&Some(w.clone())));
            if let Some(note) = newest.and_then(|w| Note::parse(&w.note).ok()) {
                return note;
            }
        }
        self.reader.signed_checkpoint().into_note()
    }
}

fn finish(
    bundle: Bundle,
    index: u64,
    checkpoint: &SignedCheckpoint,
    reader: &Reader,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    let stored = reader.entry(index).map_err(|error| error.to_string())?;
    let stored = stored.ok_or("the report's own entry is not in the log")?;
    let envelope = Envelope::parse(&stored).map_err(|error| error.to_string())?;
    let issued = (index, envelope.into_parts().0);
    bundle
        .finish(issued, checkpoint, reader)
        .map_err(|error| error.to_string())
}

/// Runs what computes for long where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Status::internal("report was interrupted"))?
        .map_err(|error| {
            tracing::error!(error, "report could not be made");
            Status::internal(error)
        })
}

fn pieces((name, content): (String, Vec<u8>)) -> Vec<rpc::ReportFile> {
    let piece = |content: &[u8]| rpc::ReportFile {
        name: name.clone(),
        content: content.to_vec(),
    };
    if content.is_empty() {
        vec![piece(&[])]
    } else {
        content.chunks(PIECE).map(piece).collect()
    }
}
