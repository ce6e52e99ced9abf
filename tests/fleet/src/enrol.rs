//! Enrolment of the fleet: each host spends its token and gets a chain and a certificate.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use affiant_proto::{
    Body, ChainState, Digest, Signer as _, Statement,
    chain::Broken,
    digest,
    statement::{Malformed, Place, SealError},
    tlog::{MalformedKey, NoteKey, Origin},
    v1,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    connection::{Unreachable, Verifier},
    identity::{FreshKeys, Identity, IdentityError},
    rpc::admission_client::AdmissionClient,
};

/// Connections over which hosts are enrolled.
const CONNECTIONS: usize = 32;

/// Enrolments under way at one time: a verifier takes eight calls on one connection. Each waits up
/// to a second for its segment, so this is about how many there are a second.
const AT_ONCE: usize = 8 * CONNECTIONS;

/// How long one enrolment may take: segments close each second, the rest is patience.
const ENROL: Duration = Duration::from_secs(60);

/// Longest token: a prefix and 32 bytes in base64 are 57; the rest is room.
const MAX_TOKEN_BYTES: u64 = 1_024;

/// The log that the fleet enrols in, as its genesis says.
#[derive(Clone, Debug)]
pub struct Deployment {
    genesis: Digest,
    key: NoteKey,
}

/// A host that could not be enrolled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// No connection.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The genesis that the verifier gave does not hold.
    #[error("the verifier's genesis does not hold: {0}")]
    Genesis(String),
    /// The verifier said no.
    #[error("{host} was not enrolled: {text}")]
    Refused {
        /// Which host.
        host: String,
        /// What it said.
        text: String,
    },
    /// A token file.
    #[error(
        "{path}: {source}; make tokens with `affiant-verifier token --hosts FILE --out-dir DIR`"
    )]
    Token {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Keys.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The enrolment could not be signed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Deployment {
    /// Asks the verifier for its genesis and checks that it holds in itself. Whether it is the
    /// right one the authority says, under which the connection was made.
    pub async fn describe(verifier: &Verifier) -> Result<Self, EnrolError> {
        let mut client = verifier.admission().await?;
        let reply = tokio::time::timeout(ENROL, client.describe(v1::DescribeRequest {})).await;
        let reply = reply.map_err(|_| EnrolError::Genesis("no answer in 60 s".into()))?;
        let reply = reply.map_err(|status| EnrolError::Genesis(status.message().into()))?;
        Self::read(&reply.into_inner().genesis)
    }

    fn read(genesis: &[u8]) -> Result<Self, EnrolError> {
        let wrong = |error: &dyn ToString| EnrolError::Genesis(error.to_string());
        let statement = Statement::parse(genesis).map_err(|e: Malformed| wrong(&e))?;
        let (state, verified) = ChainState::open(statement).map_err(|e: Broken| wrong(&e))?;
        let Body::Genesis(body) = verified.body() else {
            return Err(wrong(&"it is no genesis"));
        };
        let origin: Origin = body.origin.parse().map_err(|e| wrong(&e))?;
        let key = affiant_proto::PublicKey::ed25519(&body.log_key).map_err(|e| wrong(&e))?;
        let key = NoteKey::new(origin.key_name(), key).map_err(|e: MalformedKey| wrong(&e))?;
        Ok(Self {
            genesis: state.chain(),
            key,
        })
    }

    /// Digest of the genesis.
    pub fn genesis(&self) -> Digest {
        self.genesis
    }

    /// The key that signs checkpoints.
    pub fn key(&self) -> &NoteKey {
        &self.key
    }
}

/// Gives the identities of `hosts`, and how many of them had to be enrolled now. Those that
/// `state` holds are read, the others enrolled with their token in `tokens` and then kept.
pub async fn fleet(
    verifier: &Verifier,
    deployment: &Deployment,
    hosts: &[String],
    tokens: &Path,
    state: &Path,
) -> Result<(Vec<Identity>, usize), EnrolError> {
    let mut fleet = Vec::with_capacity(hosts.len());
    let mut missing = Vec::new();
    for host in hosts {
        match Identity::load(state, host, deployment.genesis)? {
            Some(identity) => fleet.push(identity),
            None => missing.push(host),
        }
    }
    let (known, mut running) = (fleet.len(), JoinSet::new());
    if missing.is_empty() {
        return Ok((fleet, 0));
    }
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS.min(missing.len()) {
        clients.push(verifier.admission().await?);
    }
    for (host, client) in missing.into_iter().zip(clients.iter().cycle()) {
        if running.len() >= AT_ONCE
            && let Some(done) = running.join_next().await
        {
            fleet.push(keep(done, state)?);
        }
        let token = read_token(&tokens.join(format!("{host}.token")))?;
        let (client, genesis) = (client.clone(), deployment.genesis);
        let keys = FreshKeys::make(host)?;
        running.spawn(enrol(client, genesis, keys, token));
    }
    while let Some(done) = running.join_next().await {
        fleet.push(keep(done, state)?);
    }
    let enrolled = fleet.len() - known;
    Ok((fleet, enrolled))
}

fn keep(
    done: Result<Result<Identity, EnrolError>, tokio::task::JoinError>,
    state: &Path,
) -> Result<Identity, EnrolError> {
    let identity = done.map_err(|error| EnrolError::Refused {
        host: "a host".into(),
        text: error.to_string(),
    })??;
    identity.save(state)?;
    Ok(identity)
}

async fn enrol(
    mut client: AdmissionClient<Channel>,
    genesis: Digest,
    keys: FreshKeys,
    token: String,
) -> Result<Identity, EnrolError> {
    let refused = |text: &dyn ToString| EnrolError::Refused {
        host: keys.host().to_owned(),
        text: text.to_string(),
    };
    let signer = keys.signer()?;
    let body = v1::Enrolment {
        header: None,
        genesis: genesis.as_bytes().to_vec(),
        host: keys.host().to_owned(),
        record_key: signer.public_key().as_bytes().to_vec(),
        identity_key: keys.identity_key().as_bytes().to_vec(),
        agent_version: agent_version(),
        token: digest(token.as_bytes()).as_bytes().to_vec(),
        site: "hall-2".into(),
        predecessor: None,
    };
    let statement = Statement::seal(body.into(), Place::Opening, now(), None, &signer)?;
    let request = v1::EnrolRequest {
        token,
        enrolment: statement.as_bytes().to_vec(),
        csr: keys.request()?,
    };
    let reply = tokio::time::timeout(ENROL, client.enrol(request)).await;
    let reply = reply.map_err(|_| refused(&"no answer in 60 s"))?;
    let reply = reply
        .map_err(|status| refused(&status.message()))?
        .into_inner();
    if reply.pending {
        return Err(refused(
            &"its name is taken, and an operator must approve it",
        ));
    }
    Ok(keys.enrolled(genesis, statement.digest(), &reply.certificates))
}

fn read_token(path: &Path) -> Result<String, EnrolError> {
    let failed = |source| EnrolError::Token {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(failed)?.len() > MAX_TOKEN_BYTES {
        let long = io::Error::new(io::ErrorKind::InvalidData, "is too long for a token");
        return Err(failed(long));
    }
    Ok(fs::read_to_string(path).map_err(failed)?.trim().to_owned())
}

/// What the generator calls itself where agents give their version.
pub(crate) fn agent_version() -> String {
    concat!("affiant-fleet ", env!("CARGO_PKG_VERSION")).into()
}

/// The host's clock, as a header has it. The kernel is not asked how sure it is.
pub(crate) fn now() -> v1::Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    v1::Time {
        unix_ms: u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_genesis_that_does_not_hold_is_refused() {
        assert!(matches!(
            Deployment::read(b"no statement"),
            Err(EnrolError::Genesis(_))
        ));
        let keys = FreshKeys::make("h").unwrap();
        let signer = keys.signer().unwrap();
        let enrolment = v1::Enrolment {
            record_key: signer.public_key().as_bytes().to_vec(),
            ..Default::default()
        };
        let other = Statement::seal(enrolment.into(), Place::Opening, now(), None, &signer);
        let read = Deployment::read(other.unwrap().as_bytes());
        assert!(matches!(read, Err(EnrolError::Genesis(_))));
    }

    #[test]
    fn a_token_is_read_without_its_newline_and_a_missing_one_is_told_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.token");
        assert!(
            read_token(&path)
                .unwrap_err()
                .to_string()
                .contains("h.token")
        );
        fs::write(&path, "secret\n").unwrap();
        assert_eq!(read_token(&path).unwrap(), "secret");
    }
}
