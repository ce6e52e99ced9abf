//! The log that a fleet sends to, as the verifier describes it.

use std::time::Duration;

use affiant_proto::{
    Body, ChainState, Statement,
    tlog::{NoteKey, Origin},
    v1,
};

use crate::{
    connection::{Unreachable, Verifier},
    rpc::admission_client::AdmissionClient,
};

/// How long it may take to describe itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// The log.
#[derive(Clone, Debug)]
pub struct Deployment {
    key: NoteKey,
}

/// A log that cannot be sent to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotDescribed {
    /// No connection.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The genesis that the verifier gave does not hold.
    #[error("the verifier's genesis does not hold: {0}")]
    Genesis(String),
}

impl Deployment {
    /// Asks the verifier for its genesis and checks that it holds in itself. Whether it is the
    /// right one the authority says, under which the connection was made.
    pub async fn describe(verifier: &Verifier) -> Result<Self, NotDescribed> {
        let mut client = AdmissionClient::new(verifier.connect(None).await?);
        let reply = tokio::time::timeout(PATIENCE, client.describe(v1::DescribeRequest {})).await;
        let reply = reply.map_err(|_| NotDescribed::Genesis("no answer in 60 s".into()))?;
        let reply = reply.map_err(|status| NotDescribed::Genesis(status.message().into()))?;
        Self::read(&reply.into_inner().genesis)
    }

    fn read(genesis: &[u8]) -> Result<Self, NotDescribed> {
        let wrong = |error: &dyn ToString| NotDescribed::Genesis(error.to_string());
        let statement = Statement::parse(genesis).map_err(|e| wrong(&e))?;
        let (_, verified) = ChainState::open(statement).map_err(|e| wrong(&e))?;
        let Body::Genesis(body) = verified.body() else {
            return Err(wrong(&"it is no genesis"));
        };
        let origin: Origin = body.origin.parse().map_err(|e| wrong(&e))?;
        let key = affiant_proto::PublicKey::ed25519(&body.log_key).map_err(|e| wrong(&e))?;
        let key = NoteKey::new(origin.key_name(), key).map_err(|e| wrong(&e))?;
        Ok(Self { key })
    }

    /// The key that signs checkpoints.
    pub fn key(&self) -> &NoteKey {
        &self.key
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::{Ed25519Signer, Signer as _, statement::Place};

    use super::*;

    #[test]
    fn a_genesis_that_does_not_hold_is_refused() {
        assert!(matches!(
            Deployment::read(b"no statement"),
            Err(NotDescribed::Genesis(_))
        ));
        let signer = Ed25519Signer::from_seed(&[1; 32]).unwrap();
        let enrolment = v1::Enrolment {
            record_key: signer.public_key().as_bytes().to_vec(),
            ..Default::default()
        };
        let time = crate::enrol::now();
        let other = Statement::seal(enrolment.into(), Place::Opening, time, None, &signer);
        let read = Deployment::read(other.unwrap().as_bytes());
        assert!(matches!(read, Err(NotDescribed::Genesis(_))));
    }
}
