//! Who may be connected now: by standing, by key and by authority. Asked at the handshake, at each
//! call, and by each session whenever one of them changes.

use std::sync::Arc;

use affiant_proto::{
    Digest, KeyId,
    authority::{Authorities, KeyRevoked, certifier_id},
    v1::KeyUse,
};
use arc_swap::ArcSwap;
use tokio::sync::watch;
use tonic::Status;

use crate::{
    hosts::{Host, Hosts},
    pki::{Ca, Peer},
};

/// The newest state of operator and officers, as the writer has it.
pub type Newest = watch::Receiver<Arc<Authorities>>;

/// The gate.
#[derive(Clone)]
pub struct Gate {
    /// All hosts.
    pub hosts: Arc<Hosts>,
    /// Which keys were revoked.
    pub authorities: Newest,
    /// Whose certificates count.
    pub ca: Arc<ArcSwap<Ca>>,
}

impl Gate {
    /// Lets a host through, or says why not.
    pub fn pass(&self, peer: &Peer) -> Result<Arc<Host>, Status> {
        self.certificate(peer)?;
        let host = self.hosts.get(&peer.chain).ok_or_else(|| {
            Status::permission_denied("host is not enrolled here: run `affiant-agent enroll`")
        })?;
        host.standing().may_send()?;
        self.record_key(&host)?;
        Ok(host)
    }

    /// Tells whether the key that opens a connection is trusted.
    pub fn tls_key(&self, key: &Digest) -> Result<(), KeyRevoked> {
        self.trusts(KeyUse::Tls, &tls_key_id(*key))
    }

    /// Tells whether the key that signs a host's records is trusted.
    pub fn record_key(&self, host: &Host) -> Result<(), Status> {
        let known = host.spoilt().map_or(Ok(()), |why| Err(why.clone()));
        let trusted = match host.key() {
            Some(key) => known.and_then(|()| self.trusts(KeyUse::Record, &key.id())),
            None => known,
        };
        trusted.map_err(|why| refused(&why, "enrol again with a new record key, by approval"))
    }

    fn certificate(&self, peer: &Peer) -> Result<(), Status> {
        let renew = "renew the certificate with a new TLS key";
        self.tls_key(&peer.key)
            .map_err(|why| refused(&why, renew))?;
        let issuer = self.ca.load().named(&peer.issuer);
        let issuer = issuer.ok_or_else(|| {
            Status::unauthenticated("certificate is of no authority that counts here: renew it")
        })?;
        self.trusts(KeyUse::Ca, &certifier_id(issuer))
            .map_err(|why| refused(&why, "renew the certificate"))
    }

    fn trusts(&self, used: KeyUse, key: &KeyId) -> Result<(), KeyRevoked> {
        self.authorities.borrow().revocations().trusts(used, key)
    }
}

/// Names a TLS key as revocations do: the first 16 bytes of the SHA-256 of its
/// SubjectPublicKeyInfo.
pub fn tls_key_id(key: Digest) -> KeyId {
    // Authorities are named in the same way, by the digest of another thing.
    certifier_id(key)
}

fn refused(why: &KeyRevoked, remedy: &str) -> Status {
    Status::permission_denied(format!("{why}; {remedy}"))
}
