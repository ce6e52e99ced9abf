//! Repacking, hour by hour: what the log holds of the hours that are over is filed by chain.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::ledger::{NotRepacked, Repacked, Repacker};

/// Repacks what is due, on a thread of its own, until it is told to stop.
pub async fn round(repacker: &Arc<Repacker>, stop: &CancellationToken) {
    let (repacker, stop) = (Arc::clone(repacker), stop.clone());
    let repacked = tokio::task::spawn_blocking(move || repacker.repack(&|| stop.is_cancelled()));
    match repacked.await {
        Ok(said) => tell(said),
        Err(error) => tracing::error!(%error, "segments were not repacked"),
    }
}

fn tell(said: Result<Repacked, NotRepacked>) {
    match said {
        Ok(done) if done.made > 0 => tracing::info!(
            joined = done.joined,
            made = done.made,
            bytes_before = done.bytes_before,
            bytes_after = done.bytes_after,
            "segments of hours that are over were joined and filed by chain"
        ),
        Ok(_) => {}
        // The log is whole as it is, and takes more room than it would.
        Err(error) => tracing::warn!(%error, "segments were not repacked"),
    }
}
