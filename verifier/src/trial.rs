//! Tries a policy pack on a past period: the log is read once, and two judges hear it, one by the packs
//! that were in force and one by the pack alone. Nothing is logged, and nothing changes.

use std::{ops::ControlFlow, sync::Arc};

use affiant_judge::{
    Docket, Judge, Parameters,
    admission::{Refusal, Sources},
    docket::hear,
    exhibits,
    policy::{BadPack, Pack},
    trial::Difference,
};
use affiant_proto::{Envelope, envelope::BadEnvelope};
use affiant_report::Period;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::Status;

use crate::{
    ledger::{Exhibits, ReadError, Reader},
    rpc::admin as rpc,
};

/// Entries between two messages on how far it is: some half a second's worth.
const STEP: u64 = 8_192;

/// Why a trial ends without a result.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("log: {0}")]
    Read(#[from] ReadError),
    #[error("log entry {index}: {bad}")]
    Envelope { index: u64, bad: BadEnvelope },
    #[error("log entry {index}: {refusal}")]
    Refused { index: u64, refusal: Refusal },
    #[error("exhibit {named} cannot be read: {error}")]
    Exhibit {
        named: affiant_proto::Digest,
        error: std::io::Error,
    },
    #[error("the log is empty")]
    Empty,
    #[error("the result cannot be spelled: {0}")]
    Json(#[from] serde_json::Error),
    /// Nobody wants the result any more.
    #[error("the trial was given up")]
    GivenUp,
}

/// What a trial found.
#[derive(Debug, Serialize)]
struct Tried<'a> {
    pack: &'a str,
    digest: String,
    from_unix_ms: u64,
    to_unix_ms: u64,
    /// Entries of the log that were read.
    entries: u64,
    /// The packs that judged, as they were.
    in_force: Vec<String>,
    difference: Difference,
}

/// Tries packs, one at a time: each costs as much as reading the log at a start.
#[derive(Clone)]
pub struct Trials {
    reader: Reader,
    exhibits: Exhibits,
    parameters: Parameters,
    free: Arc<Semaphore>,
}

impl Trials {
    /// Tries packs on the published log.
    pub fn new(reader: Reader, exhibits: Exhibits, parameters: Parameters) -> Self {
        Self {
            reader,
            exhibits,
            parameters,
            free: Arc::new(Semaphore::new(1)),
        }
    }

    /// Begins a trial; says how far it is, and last what it found.
    pub fn begin(
        &self,
        asked: rpc::TryPackRequest,
    ) -> Result<mpsc::Receiver<Result<rpc::TryPackReply, Status>>, Status> {
        let period = Period::new(asked.from_unix_ms, asked.to_unix_ms);
        let period = period.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let pack = Pack::parse(&asked.pack);
        let pack = pack.map_err(|bad: BadPack| Status::invalid_argument(bad.to_string()))?;
        let free = Arc::clone(&self.free).try_acquire_owned();
        let free = free.map_err(|_| {
            Status::resource_exhausted("another pack is being tried; try again when it is done")
        })?;
        let (tell, told) = mpsc::channel(4);
        let trial = self.clone();
        tokio::task::spawn_blocking(move || trial.run(period, pack.into(), &tell, free));
        Ok(told)
    }

    fn run(
        &self,
        period: Period,
        pack: Arc<Pack>,
        tell: &mpsc::Sender<Result<rpc::TryPackReply, Status>>,
        _free: OwnedSemaphorePermit,
    ) {
        let told = |done, total| {
            let reply = rpc::TryPackReply {
                done,
                total,
                json: String::new(),
            };
            match tell.blocking_send(Ok(reply)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        };
        let found = self.compare(period, pack, told);
        let reply = found.map_err(|failed| Status::internal(failed.to_string()));
        // Who hung up wants no result.
        let _ = tell.blocking_send(reply);
    }

    fn compare(
        &self,
        period: Period,
        pack: Arc<Pack>,
        mut told: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<rpc::TryPackReply, Failed> {
        let total = self.reader.signed_checkpoint().checkpoint().size();
        let over = || Judge::over(self.parameters.clone(), period.from(), period.to());
        let mut other = over().under(Arc::clone(&pack));
        let mut docket: Option<Docket> = None;
        let mut entries = 0;
        for entry in self.reader.entries(0..total) {
            let (index, entry) = entry?;
            let envelope = Envelope::parse(entry.envelope());
            let envelope = envelope.map_err(|bad| Failed::Envelope { index, bad })?;
            let refused = |refusal| Failed::Refused { index, refusal };
            let admitted = match &mut docket {
                None => {
                    // All that the log has was believed when it came.
                    let sources = Sources {
                        accept_recorded: true,
                    };
                    let genesis = envelope.into_parts().0;
                    let opened = Docket::open(index, genesis, sources, over());
                    let (opened, admitted) = opened.map_err(refused)?;
                    docket = Some(opened);
                    admitted
                }
                Some(docket) => {
                    if let Some(named) = exhibits::named(envelope.statement().body()) {
                        let shown = self.exhibits.get(&named);
                        let shown = shown.map_err(|error| Failed::Exhibit { named, error })?;
                        if let Some(bytes) = shown {
                            docket.exhibit(bytes.clone());
                            other.exhibit(bytes);
                        }
                    }
                    docket.take_whole(index, envelope).map_err(refused)?
                }
            };
            hear(&mut other, index, &admitted);
            entries += 1;
            if entries % STEP == 0 && told(entries, total).is_break() {
                return Err(Failed::GivenUp);
            }
        }
        let docket = docket.ok_or(Failed::Empty)?;
        let all = |judge: &Judge| [judge.findings(), judge.tried()].concat();
        let tried = Tried {
            pack: pack.label(),
            digest: pack.digest().to_string(),
            from_unix_ms: period.from(),
            to_unix_ms: period.to(),
            entries,
            in_force: docket
                .judge()
                .packs()
                .map(|it| it.label().to_string())
                .collect(),
            difference: Difference::between(all(docket.judge()), all(&other)),
        };
        Ok(rpc::TryPackReply {
            done: entries,
            total,
            json: serde_json::to_string(&tried)?,
        })
    }
}
