//! Relays: who may carry the records of a site's hosts over few connections.
//!
//! A relay is enrolled by a token, like a host. What it carries its hosts have signed, so it is
//! believed in nothing: it can hold records back, as any network can, and no more.

use affiant_proto::{Body, ChainState, Digest, PublicKey, Verified};
use serde::Serialize;

/// One enrolled relay.
#[derive(Debug)]
pub struct Relay {
    chain: Digest,
    name: String,
    site: String,
    state: ChainState,
}

/// One line of `relay list`.
#[derive(Clone, Debug, Serialize)]
pub struct RelayLine {
    /// Name that it enrolled under.
    pub relay: String,
    /// Its chain.
    pub chain: String,
    /// The site whose hosts it may carry.
    pub site: String,
    /// The key that `key revoke --use record` takes.
    pub key: String,
}

impl Relay {
    /// The relay whose enrolment this is; none for another statement.
    pub fn new(enrolment: &Verified) -> Option<Self> {
        let Body::RelayEnrolment(body) = enrolment.body() else {
            return None;
        };
        let (state, _) = ChainState::open(enrolment.statement().clone()).ok()?;
        Some(Self {
            chain: enrolment.chain(),
            name: body.relay.clone(),
            site: body.site.clone(),
            state,
        })
    }

    /// Its chain.
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The site whose hosts it may carry.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The key that asks for its certificates.
    pub fn key(&self) -> &PublicKey {
        self.state.key()
    }

    /// Its chain as it stands: its enrolment.
    pub fn state(&self) -> &ChainState {
        &self.state
    }

    /// How it is listed.
    pub fn line(&self) -> RelayLine {
        RelayLine {
            relay: self.name.clone(),
            chain: self.chain.to_string(),
            site: self.site.clone(),
            key: self.key().id().to_string(),
        }
    }
}
