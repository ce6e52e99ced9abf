//! Enrolment: a one-use token opens this host's chain.
//!
//! ```text
//! describe ─ genesis held against the configured authority
//!   └─ keys ─ enrolment signed ─ both on disk ─ enrol(token, enrolment, request) ─ certificate
//! ```
//! The statement is on disk before it is sent, so after a crash or a lost answer the very same one
//! is sent again, and the verifier, which knows it by its digest, answers as it did.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use affiant_proto::{
    Digest, Signer as _, Statement, digest,
    statement::{Place, SealError},
    v1,
};
use zeroize::Zeroizing;

use crate::{
    again::{self, Before},
    certificate::{Authority, CertificateError},
    config::Config,
    credential::{Credential, CredentialError, TlsKey},
    data::{DataDir, DataError},
    deployment::{Deployment, NotADeployment, reference},
    durable::{self, FileError, Secrecy},
    identity::{Identity, IdentityError, Keys},
    outside::Outside,
    renewal::{RenewalError, renew},
    rotation,
    rpc::{self, Admitted, Route, RpcError, intake::admission_client::AdmissionClient},
};

/// Most characters of a token: three times the 43 that 32 random bytes take in base64, and more.
const MAX_TOKEN: u64 = 256;

/// A one-use token, wiped when it is dropped.
pub struct Token(Zeroizing<String>);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is none.
    #[error("there is no token file {0}; have the verifier's operator issue one")]
    Missing(PathBuf),
    /// It holds something else.
    #[error("{0} holds no token: one line of at most {MAX_TOKEN} printable characters is due")]
    NotAToken(PathBuf),
}

impl Token {
    /// Reads a token from a file that others cannot read.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let bytes = durable::read(path, MAX_TOKEN + 2, Secrecy::Confidential)?;
        let bytes = bytes.ok_or_else(|| TokenError::Missing(path.to_owned()))?;
        let not = || TokenError::NotAToken(path.to_owned());
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| not())?
            .trim_ascii_end();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() as u64 > MAX_TOKEN || !printable {
            return Err(not());
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    fn digest(&self) -> Digest {
        digest(self.0.as_bytes())
    }
}

/// How enrolment ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The host is enrolled and has a certificate.
    Enrolled {
        /// Its chain.
        chain: Digest,
        /// The operator, as its genesis names it.
        operator: String,
    },
    /// The host is enrolled, and waits for an operator's approval.
    Pending {
        /// Its chain.
        chain: Digest,
    },
    /// It was before.
    Already {
        /// Its chain.
        chain: Digest,
    },
}

/// Why the host is not enrolled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// The data directory.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file in it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The configured authority, or the certificate that was given.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The TLS key.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The verifier.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// Its genesis.
    #[error(transparent)]
    Deployment(#[from] NotADeployment),
    /// The identity on disk.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Enrolled elsewhere.
    #[error(
        "{path} is enrolled with deployment {here}, and this verifier is of deployment {there}; \
         use another data directory for another deployment"
    )]
    OtherDeployment {
        /// The data directory.
        path: PathBuf,
        /// Genesis on disk.
        here: Digest,
        /// Genesis of the verifier.
        there: Digest,
    },
    /// The statement could not be signed.
    #[error("could not sign the enrolment: {0}")]
    Seal(#[from] SealError),
    /// The request for a certificate.
    #[error(transparent)]
    Renewal(RenewalError),
    /// Records were sealed on a chain that the verifier does not take.
    #[error(
        "the verifier does not take the enrolment of {path} ({why}), and records were already \
         sealed under it; set that directory aside and enrol anew"
    )]
    Stranded {
        /// The data directory.
        path: PathBuf,
        /// What the verifier said.
        why: String,
    },
}

/// Enrols this host, or finishes what an earlier attempt began.
pub async fn enrol(
    config: &Config,
    token: &Token,
    outside: &Outside,
) -> Result<Outcome, EnrolError> {
    let data = DataDir::at(&config.data);
    let _lock = data.lock()?;
    again::settle(&data)?;
    rotation::settle(&data, config.spool).map_err(|error| IdentityError::from(Box::new(error)))?;
    attempt(config, &data, token, None, outside).await
}

/// Enrols into the directory `data`, or finishes what an earlier attempt there began; `before` is
/// the chain that the new one follows.
pub(crate) async fn attempt(
    config: &Config,
    data: &DataDir,
    token: &Token,
    before: Option<&Before>,
    outside: &Outside,
) -> Result<Outcome, EnrolError> {
    let authority = Authority::read(&config.ca)?;
    let route = Route::anonymous(&config.verifier, &authority, outside)?;
    let channel = route.connect().await?;
    let mut client = AdmissionClient::new(channel.clone());
    let described = rpc::answer(client.describe(v1::DescribeRequest {})).await?;
    let deployment = Deployment::read(&described, &authority)?;
    let mut known = Identity::read(data)?;
    if let Some(identity) = &known {
        let (here, there) = (identity.deployment().digest(), deployment.digest());
        if here != there {
            let path = data.path().to_owned();
            return Err(EnrolError::OtherDeployment { path, here, there });
        }
        if Credential::read(data)?.is_some() {
            let chain = identity.opened().chain();
            return Ok(Outcome::Already { chain });
        }
        let first = TlsKey::first(data)?.digest();
        // Another token than last time: the last attempt may have succeeded all the same. Another
        // TLS key: it did, and a renewal too.
        if identity.token() != Some(token.digest()) || identity.first_tls_key() != Some(first) {
            let chain = identity.opened().chain();
            let key = TlsKey::next(data)?;
            let asked = renew(
                channel.clone(),
                identity,
                &key,
                identity.keys().record(),
                (0, chain),
                outside.clock.read().header,
            );
            match asked.await {
                Ok(admitted) => return finish(data, identity, admitted, key),
                Err(RenewalError::Rpc(RpcError::Refused(why))) => {
                    forget(data, &why)?;
                    known = None;
                }
                Err(error) => return Err(EnrolError::Renewal(error)),
            }
        }
    }
    let identity = match known {
        Some(identity) => identity,
        None => {
            let time = outside.clock.read().header;
            sign(
                config,
                data,
                deployment,
                &described.checkpoint,
                token,
                before,
                time,
            )?
        }
    };
    let key = TlsKey::first(data)?;
    let asked = client.enrol(v1::EnrolRequest {
        token: token.0.as_str().to_owned(),
        enrolment: identity.enrolment().as_bytes().to_vec(),
        csr: key.request()?,
    });
    match rpc::answer(asked).await {
        Ok(reply) => finish(data, &identity, reply.try_into()?, key),
        Err(RpcError::Refused(why)) => {
            // It will never be taken, so the next attempt begins anew.
            forget(data, &why)?;
            Err(RpcError::Refused(why).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes the keys where there are none, signs the enrolment and puts all of it on disk.
fn sign(
    config: &Config,
    data: &DataDir,
    deployment: Deployment,
    checkpoint: &[u8],
    token: &Token,
    before: Option<&Before>,
    time: v1::Time,
) -> Result<Identity, EnrolError> {
    let keys = match Keys::read(data)? {
        Some(keys) => keys,
        None => Keys::make(data)?,
    };
    // A checkpoint that the log did not sign is as good as none.
    let seen = deployment.open(checkpoint).ok();
    let body = v1::Enrolment {
        header: None,
        genesis: deployment.digest().as_bytes().to_vec(),
        host: config.host.as_str().to_owned(),
        record_key: keys.record().public_key().as_bytes().to_vec(),
        identity_key: TlsKey::first(data)?.digest().as_bytes().to_vec(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        token: token.digest().as_bytes().to_vec(),
        site: config.site.clone(),
        predecessor: before.map(|old| old.name(deployment.digest(), keys.record().public_key())),
    };
    let statement = Statement::seal(
        body.into(),
        Place::Opening,
        time,
        seen.as_ref().and_then(reference),
        keys.record(),
    )?;
    durable::replace(&data.genesis(), deployment.statement().as_bytes())?;
    deployment.store(data)?;
    durable::replace(&data.enrolment(), statement.as_bytes())?;
    let path = data.enrolment();
    Ok(Identity::of(
        keys,
        deployment,
        statement.as_bytes(),
        &path,
        Ok,
    )?)
}

fn finish(
    data: &DataDir,
    identity: &Identity,
    admitted: Admitted,
    key: TlsKey,
) -> Result<Outcome, EnrolError> {
    let chain = identity.opened().chain();
    match admitted {
        Admitted::Pending => Ok(Outcome::Pending { chain }),
        Admitted::Certificate(certificate) => {
            Credential::keep(data, certificate, key)?;
            let operator = identity.deployment().operator().to_owned();
            Ok(Outcome::Enrolled { chain, operator })
        }
    }
}

/// Removes an enrolment that the verifier never took, with its keys: a key has one use.
fn forget(data: &DataDir, why: &str) -> Result<(), EnrolError> {
    let spooled = fs::read_dir(data.spool()).is_ok_and(|mut files| files.next().is_some());
    if spooled {
        let (path, why) = (data.path().to_owned(), why.to_owned());
        return Err(EnrolError::Stranded { path, why });
    }
    for path in [
        data.enrolment(),
        data.genesis(),
        data.lineage(),
        data.record_key(),
        data.tls_key(),
        data.new_tls_key(),
    ] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::io("remove", &path)(error).into());
            }
            _ => {}
        }
    }
    durable::sync_directory_of(&data.enrolment())?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_token_is_one_printable_line() {
        let (_directory, path) = file(b"abc-123\n", 0o600);
        assert_eq!(Token::read(&path).unwrap().digest(), digest(b"abc-123"));
        for wrong in [
            &b""[..],
            b"\n",
            b"two words",
            b"two\nlines",
            b"\xff\xfe",
            &[b'x'; 257],
        ] {
            let (_directory, path) = file(wrong, 0o600);
            assert!(Token::read(&path).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_that_the_world_can_read_is_refused() {
        let (_directory, path) = file(b"abc", 0o644);
        let refused = Token::read(&path).map(drop).unwrap_err();
        assert!(
            matches!(refused, TokenError::File(FileError::Exposed { .. })),
            "{refused}"
        );
        let (_directory, path) = file(b"abc", 0o640);
        Token::read(&path).unwrap();
    }
}
