//! The deployment that this host enrolled with: its genesis, and by whom trust passed on since.

use std::collections::BTreeSet;

use affiant_proto::{
    Digest, Malformed, Statement,
    authority::{Authorities, Refused, certifier_id},
    digest,
    statement::MAX_STATEMENT_BYTES,
    tlog::{Note, OpenError, SignedCheckpoint},
    v1::{self, KeyUse},
};
use prost::Message as _;
use rustls_pki_types::CertificateDer;

use crate::{
    certificate::{Authority, MAX_CERTIFICATE},
    data::DataDir,
    durable::{self, FileError, Secrecy},
};

/// Most statements by which trust passed on: a change a week for twenty years of operator,
/// authority and five officers are 7,000, of some 300 bytes each.
const MAX_LINEAGE: usize = 8_192;

/// Most bytes of the file that keeps them, as of the message that brings them.
const MAX_FILE: u64 = 4 << 20;

/// A genesis that holds, with all that followed from it as far as this host was shown. It begins
/// with the certificate authority whose file the operator put on this host.
#[derive(Clone, Debug)]
pub struct Deployment {
    statement: Statement,
    authorities: Authorities,
    lineage: Vec<Vec<u8>>,
    known: BTreeSet<Digest>,
    certificates: Vec<CertificateDer<'static>>,
}

/// Why a genesis is not this host's deployment, or what should follow it does not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotADeployment {
    /// It does not read.
    #[error("the verifier's genesis does not read: {0}")]
    Malformed(Malformed),
    /// It does not hold.
    #[error("the verifier's genesis does not hold: {0}")]
    Broken(Refused),
    /// Of another deployment than the configured authority.
    #[error(
        "the verifier's deployment has the certificate authority {named}, but `ca` in the \
         configuration has {configured}; take the ca file of this very verifier"
    )]
    OtherCa {
        /// SHA-256 of the authority in force.
        named: String,
        /// SHA-256 of the configured certificates.
        configured: String,
    },
    /// No authority is left.
    #[error(
        "every certificate authority that this host knows was revoked; put the verifier's new \
         ca.pem where `ca` in the configuration points"
    )]
    NoAuthority,
    /// More than there can be.
    #[error("the verifier tells of more than {MAX_LINEAGE} changes of keys since its genesis")]
    TooMany,
    /// A statement by which trust should pass on does not read.
    #[error("a statement by which trust should pass on does not read: {0}")]
    Unread(Malformed),
    /// Or does not hold.
    #[error("a {kind} statement by which trust should pass on does not hold: {error}")]
    Untrue {
        /// Its kind.
        kind: String,
        /// What is wrong.
        error: Refused,
    },
    /// The file that keeps them.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Deployment {
    /// Reads a genesis; whether it is the right one is not said.
    pub fn of(genesis: &[u8]) -> Result<Self, NotADeployment> {
        let statement = Statement::parse(genesis).map_err(NotADeployment::Malformed)?;
        let (authorities, _) =
            Authorities::open(statement.clone()).map_err(NotADeployment::Broken)?;
        Ok(Self {
            statement,
            authorities,
            lineage: Vec::new(),
            known: BTreeSet::new(),
            certificates: Vec::new(),
        })
    }

    /// Reads what a verifier tells of itself at enrolment, and holds it against the configured
    /// authority.
    pub fn read(told: &v1::DescribeReply, authority: &Authority) -> Result<Self, NotADeployment> {
        let mut it = Self::of(&told.genesis)?;
        it.learn(told)?;
        let certifiers = it.authorities.certifiers();
        if !authority.digests().any(|ca| certifiers.contains(&ca)) {
            let named = certifiers.last().map(ToString::to_string);
            let configured: Vec<_> = authority.digests().map(|ca| ca.to_string()).collect();
            return Err(NotADeployment::OtherCa {
                named: named.unwrap_or_default(),
                configured: configured.join(", "),
            });
        }
        Ok(it)
    }

    /// Reads what the data directory keeps; `None` where there is no genesis.
    pub fn load(data: &DataDir) -> Result<Option<Self>, NotADeployment> {
        let most = MAX_STATEMENT_BYTES as u64;
        let Some(genesis) = durable::read(&data.genesis(), most, Secrecy::Public)? else {
            return Ok(None);
        };
        let mut it = Self::of(&genesis)?;
        let kept = durable::read(&data.lineage(), MAX_FILE, Secrecy::Public)?;
        let kept = kept.map(|bytes| v1::DescribeReply::decode(bytes.as_slice()));
        match kept {
            Some(Ok(kept)) => it.learn(&kept)?,
            // The verifier tells it again.
            Some(Err(_)) => tracing::warn!("what followed the genesis does not read any more"),
            None => {}
        }
        Ok(Some(it))
    }

    /// Keeps what followed the genesis.
    pub fn store(&self, data: &DataDir) -> Result<(), FileError> {
        let kept = v1::DescribeReply {
            lineage: self.lineage.clone(),
            authorities: self.certificates.iter().map(|der| der.to_vec()).collect(),
            ..v1::DescribeReply::default()
        };
        durable::replace(&data.lineage(), &kept.encode_to_vec())
    }

    /// Takes what the verifier tells of how trust passed on. What is known stays, whether it tells
    /// of it again or not; on an error nothing is taken.
    pub fn learn(&mut self, told: &v1::DescribeReply) -> Result<(), NotADeployment> {
        let mut next = self.clone();
        for bytes in &told.lineage {
            if !next.known.insert(digest(bytes)) {
                continue;
            }
            if next.lineage.len() >= MAX_LINEAGE {
                return Err(NotADeployment::TooMany);
            }
            let statement = Statement::parse(bytes).map_err(NotADeployment::Unread)?;
            let kind = statement.kind().name();
            next.authorities
                .admit(None, statement, true)
                .map_err(|error| NotADeployment::Untrue { kind, error })?;
            next.lineage.push(bytes.clone());
        }
        for der in &told.authorities {
            let named = next.authorities.certifiers().contains(&digest(der));
            let fits = der.len() <= MAX_CERTIFICATE;
            let known = next.certificates.iter().any(|known| known.as_ref() == der);
            if named && fits && !known {
                next.certificates.push(CertificateDer::from(der.clone()));
            }
        }
        *self = next;
        Ok(())
    }

    /// Whom TLS believes: the configured authority, and those to which the operator passed on,
    /// but none that was revoked.
    pub fn trusted(&self, configured: &Authority) -> Result<Authority, NotADeployment> {
        let revocations = self.authorities.revocations();
        let mut trusted = configured.certificates().to_vec();
        trusted.extend(self.certificates.iter().cloned());
        trusted.retain(|der| {
            let id = certifier_id(digest(der));
            revocations.trusts(KeyUse::Ca, &id).is_ok()
        });
        trusted.dedup();
        Authority::of(trusted).ok_or(NotADeployment::NoAuthority)
    }

    /// Names the deployment: the digest of its genesis.
    pub fn digest(&self) -> Digest {
        self.statement.digest()
    }

    /// The genesis.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Who speaks for it.
    pub fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// The operator's name, for people.
    pub fn operator(&self) -> &str {
        &self.authorities.body().operator
    }

    /// Reads a checkpoint that the log signed, in whatever generation its origin names.
    pub fn open(&self, note: &[u8]) -> Result<SignedCheckpoint, OpenError> {
        let note = Note::parse(note)?;
        let generations = self.authorities.lineage();
        let origin = note.text().lines().next().unwrap_or_default();
        let generation = generations.named(origin).unwrap_or(generations.current());
        SignedCheckpoint::of(note, generation.key())
    }
}

/// The checkpoint as it stands in a header; `None` for that of an empty log, which says nothing.
pub fn reference(checkpoint: &SignedCheckpoint) -> Option<v1::CheckpointRef> {
    let checkpoint = checkpoint.checkpoint();
    (checkpoint.size() > 0).then(|| v1::CheckpointRef {
        origin: checkpoint.origin().as_str().to_owned(),
        size: checkpoint.size(),
        root: checkpoint.root().as_bytes().to_vec(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use affiant_proto::{ChainState, Ed25519Signer, Signer as _, statement::Place};
    use rcgen::{CertificateParams, KeyPair};

    fn certificate() -> CertificateDer<'static> {
        let params = CertificateParams::new(Vec::new()).unwrap();
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        made.der().clone()
    }

    /// A verifier, as far as it tells of itself.
    struct Operator {
        signer: Ed25519Signer,
        chain: ChainState,
        told: v1::DescribeReply,
    }

    impl Operator {
        fn of(ca: &CertificateDer<'static>) -> Self {
            let signer = Ed25519Signer::from_seed(&[1; 32]).unwrap();
            let log = Ed25519Signer::from_seed(&[2; 32]).unwrap();
            let body = v1::Genesis {
                origin: "test.example.org/1".into(),
                log_key: log.public_key().as_bytes().to_vec(),
                operator_key: signer.public_key().as_bytes().to_vec(),
                ca: digest(ca).as_bytes().to_vec(),
                operator: "Test".into(),
                ..v1::Genesis::default()
            };
            let time = crate::clock::header_time();
            let genesis = Statement::seal(body.into(), Place::Opening, time, None, &signer);
            let genesis = genesis.unwrap();
            Self {
                signer,
                chain: ChainState::open(genesis.clone()).unwrap().0,
                told: v1::DescribeReply {
                    genesis: genesis.as_bytes().to_vec(),
                    ..v1::DescribeReply::default()
                },
            }
        }

        fn says(&mut self, body: affiant_proto::Body) {
            let (place, time) = (self.chain.next_place(), crate::clock::header_time());
            let said = Statement::seal(body, place, time, None, &self.signer).unwrap();
            self.told.lineage.push(said.as_bytes().to_vec());
            self.chain.follow(said).unwrap();
        }

        fn passes_on_to(&mut self, ca: &CertificateDer<'static>) {
            let body = v1::Key {
                ca: digest(ca).as_bytes().to_vec(),
                ..v1::Key::default()
            };
            self.says(body.into());
            self.told.authorities.push(ca.to_vec());
        }

        fn revokes(&mut self, ca: &CertificateDer<'static>) {
            let body = v1::Revocation {
                key_id: certifier_id(digest(ca)).as_bytes().to_vec(),
                from_index: 1,
                reason: "stolen".into(),
                r#use: KeyUse::Ca.into(),
                ..v1::Revocation::default()
            };
            self.says(body.into());
        }
    }

    #[test]
    fn an_authority_that_the_operator_names_is_trusted_and_one_that_he_revokes_is_not() {
        let (first, next, other) = (certificate(), certificate(), certificate());
        let configured = Authority::of(vec![first.clone()]).unwrap();
        let trusts = |it: &Deployment| -> Vec<_> {
            let trusted = it.trusted(&configured).unwrap();
            trusted.certificates().to_vec()
        };
        let mut operator = Operator::of(&first);
        let mut host = Deployment::read(&operator.told, &configured).unwrap();
        assert_eq!(trusts(&host), std::slice::from_ref(&first));
        // What the verifier merely shows is not what the operator signed.
        operator.told.authorities.push(other.to_vec());
        host.learn(&operator.told).unwrap();
        assert_eq!(trusts(&host), std::slice::from_ref(&first));
        operator.passes_on_to(&next);
        host.learn(&operator.told).unwrap();
        assert_eq!(trusts(&host), [first.clone(), next.clone()]);
        operator.revokes(&first);
        host.learn(&operator.told).unwrap();
        assert_eq!(trusts(&host), [next], "though the configuration has it");
        operator.told.lineage.clear();
        host.learn(&operator.told).unwrap();
        let known = host.trusted(&configured).unwrap();
        assert!(
            !known.certificates().contains(&first),
            "who keeps quiet of a revocation does not undo it"
        );
    }

    #[test]
    fn what_was_learned_of_authorities_survives_a_restart() {
        let (first, next) = (certificate(), certificate());
        let configured = Authority::of(vec![first.clone()]).unwrap();
        let mut operator = Operator::of(&first);
        operator.passes_on_to(&next);
        operator.revokes(&first);
        let host = Deployment::read(&operator.told, &Authority::of(vec![next.clone()]).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::at(directory.path());
        durable::replace(&data.genesis(), &operator.told.genesis).unwrap();
        host.unwrap().store(&data).unwrap();
        let host = Deployment::load(&data).unwrap().unwrap();
        let trusted = host.trusted(&configured).unwrap();
        assert_eq!(trusted.certificates(), [next]);
    }

    #[test]
    fn a_host_whose_every_authority_was_revoked_says_what_to_do() {
        let first = certificate();
        let configured = Authority::of(vec![first.clone()]).unwrap();
        let mut operator = Operator::of(&first);
        let mut host = Deployment::read(&operator.told, &configured).unwrap();
        operator.revokes(&first);
        host.learn(&operator.told).unwrap();
        let refused = host.trusted(&configured).unwrap_err();
        assert!(refused.to_string().contains("ca.pem"), "{refused}");
    }
}
