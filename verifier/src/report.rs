//! Makes reports.
use std::sync::Arc;

use affiant_judge::{Parameters, admission::Sources};
use tokio::sync::{Notify, watch};
use tonic::Status;

use crate::{clock::Clock, ledger::Reader, live::Live, rpc::admin as rpc, witness::Witnessed, writer::{Published, Submit}};

/// What a report needs.
pub struct Reports {
    /// The published log.
    pub reader: Reader,
    /// The writer.
    pub submit: Submit,
    /// The newest checkpoint.
    pub published: watch::Receiver<Published>,
    /// The newest cosigned checkpoint.
    pub witnessed: watch::Receiver<Option<Witnessed>>,
    /// Rings for a round of witnesses.
    pub wanted: Arc<Notify>,
    /// Whether there are any.
    pub has_witnesses: bool,
    /// Which measurements are believed.
    pub sources: Sources,
    /// What the judge goes by.
    pub parameters: Parameters,
    /// The judge.
    pub live: Live,
    /// The wall clock.
    pub clock: Clock,
}

impl Reports {
    /// Makes one.
    pub async fn make(&self, _asked: rpc::ReportRequest) -> Result<Vec<rpc::ReportFile>, Status> {
        Err(Status::unavailable("not yet"))
    }
}
