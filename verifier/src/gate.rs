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
    pki::{Ca, Peer, Role},
    relay::Relay,
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
        if peer.role != Role::Host {
            return Err(Status::permission_denied(
                "certificate is a relay's: it carries what hosts sign, and sends nothing of its own",
            ));
        }
        self.certificate(peer)?;
        let host = self.hosts.get(&peer.chain).ok_or_else(|| {
            Status::permission_denied("host is not enrolled here: run `affiant-agent enroll`")
        })?;
        host.standing().may_send()?;
        self.record_key(&host)?;
        Ok(host)
    }

    /// Lets a relay through, or says why not.
    pub fn pass_relay(&self, peer: &Peer) -> Result<Arc<Relay>, Status> {
        if peer.role != Role::Relay {
            return Err(Status::permission_denied(
                "certificate is a host's: a relay enrols with a token of its own",
            ));
        }
        self.certificate(peer)?;
        let relay = self.hosts.relay(&peer.chain);
        let relay = relay.ok_or_else(|| Status::permission_denied("relay is not enrolled here"))?;
        self.relay_key(&relay)?;
        Ok(relay)
    }

    /// Tells whether the key that asks for a relay's certificates is trusted.
    pub fn relay_key(&self, relay: &Relay) -> Result<(), Status> {
        let trusted = self.trusts(KeyUse::Record, &relay.key().id());
        trusted.map_err(|why| refused(&why, "enrol the relay anew, with a new key"))
    }

    /// Lets a host or a relay through: both may ask for proofs.
    pub fn pass_any(&self, peer: &Peer) -> Result<(), Status> {
        match peer.role {
            Role::Host => self.pass(peer).map(drop),
            Role::Relay => self.pass_relay(peer).map(drop),
        }
    }

    /// Tells whether a relay may carry a host.
    pub fn carries(&self, relay: &Relay, host: &Host) -> Result<(), Status> {
        if host.site() != relay.site() {
            return Err(Status::permission_denied(
                "host is enrolled for another site than the relay",
            ));
        }
        host.standing().may_send()?;
        self.record_key(host)
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
