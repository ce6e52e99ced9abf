//! Changes of the operator's key and of the authority, such that a crash at any step leaves the old
//! or the new one in force: the new files are durable before the log says so, and at a start the
//! log says which are in force.
//!
//! ```text
//! new files beside the old → the log says so → they take the place of the old
//! ```

use std::sync::Arc;

use affiant_proto::{Ed25519Signer, PublicKey, Signer as _, v1};
use tokio::sync::Mutex;
use tonic::Status;

use crate::{
    credentials::{Credentials, settle_ca},
    data::DataDir,
    gate::Gate,
    keyfile::{self, KeyFileError},
    writer::{NotLogged, Submit},
};

/// Why there is no operator's key to go on with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoKey {
    /// A file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Another key.
    #[error("is not the key in force by this log; restore the right one")]
    Other,
}

/// Reads the key that is in force by the log, and finishes a change that a crash left half done.
pub fn settle_operator(data: &DataDir, due: &PublicKey) -> Result<Ed25519Signer, NoKey> {
    let (now, next) = (data.operator_key(), data.new_operator_key());
    let signer = keyfile::read_signer(&now)?;
    if signer.public_key() == due {
        return Ok(signer);
    }
    if !next.exists() || keyfile::read_signer(&next)?.public_key() != due {
        return Err(NoKey::Other);
    }
    keyfile::replace(&next, &now)?;
    tracing::info!("went over to the operator's new key");
    Ok(keyfile::read_signer(&now)?)
}

/// Makes the changes.
#[derive(Clone)]
pub struct Rotation {
    /// Where the files are.
    pub data: DataDir,
    /// What is in force.
    pub gate: Gate,
    /// What goes by the authority.
    pub credentials: Arc<Credentials>,
    /// The writer.
    pub submit: Submit,
    /// One change at a time.
    pub one: Arc<Mutex<()>>,
}

impl Rotation {
    /// Changes the operator's key; gives the log index of the statement.
    pub async fn operator(self) -> Result<u64, Status> {
        // A task of its own: whoever asked may go, a change that was begun is finished.
        finish(tokio::spawn(async move {
            let _one = self.one.lock().await;
            let next = self.data.new_operator_key();
            // One that is in force and could not be moved is moved now; any other is not needed.
            let newest = self.gate.authorities.borrow().clone();
            settle_operator(&self.data, newest.operator().key()).map_err(failed)?;
            keyfile::remove(&next).map_err(failed)?;
            let signer = keyfile::create_signer(&next).map_err(failed)?;
            let index = self.submit.handover(signer).await.map_err(not_logged)?;
            keyfile::replace(&next, &self.data.operator_key()).map_err(failed)?;
            Ok(index)
        }))
        .await
    }

    /// Changes the authority; gives the log index of the statement.
    pub async fn authority(self) -> Result<u64, Status> {
        finish(tokio::spawn(async move {
            let _one = self.one.lock().await;
            let issuer = self.gate.authorities.borrow().certifiers().last().copied();
            if let Some(issuer) = issuer {
                settle_ca(&self.data, issuer).map_err(failed)?;
            }
            let made = self.credentials.prepare().map_err(failed)?;
            let body = v1::Key {
                ca: made.digest.as_bytes().to_vec(),
                ..Default::default()
            };
            let index = self.submit.operator(body).await.map_err(not_logged)?;
            self.credentials.succeed(made.digest).map_err(failed)?;
            Ok(index)
        }))
        .await
    }
}

async fn finish(task: tokio::task::JoinHandle<Result<u64, Status>>) -> Result<u64, Status> {
    task.await
        .unwrap_or_else(|_| Err(Status::internal("the change was interrupted")))
}

fn failed(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

/// What the asker is told of a statement that is not in the log.
pub fn not_logged(error: NotLogged) -> Status {
    match error {
        NotLogged::Refused(refusal) => Status::invalid_argument(refusal.to_string()),
        NotLogged::Closed(closed) => Status::unavailable(closed.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_at_any_step_of_a_change_of_the_operators_key_leaves_the_key_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(&dir.path().join("data")).unwrap();
        let old = keyfile::create_signer(&data.operator_key()).unwrap();
        let new = keyfile::create_signer(&data.new_operator_key()).unwrap();
        let settled = |due: &Ed25519Signer| settle_operator(&data, due.public_key());
        // Before the log says so, nothing is moved; a change is tried again with another key.
        assert_eq!(settled(&old).unwrap().public_key(), old.public_key());
        assert!(data.new_operator_key().exists());
        // Once it does, the first start moves it and the next finds it moved.
        for _ in 0..2 {
            assert_eq!(settled(&new).unwrap().public_key(), new.public_key());
            assert!(!data.new_operator_key().exists());
        }
        assert!(matches!(settled(&old), Err(NoKey::Other)));
    }
}
