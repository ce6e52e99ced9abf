//! What was admitted and waited for the writer: whether it still stands.

use affiant_judge::admission::{Admitted, Content, HostChain, Refusal};
use affiant_proto::{Body, Digest, KeyId, PublicKey, predecessor::Reenrolment, v1};

use super::Writer;
use crate::hosts::Host;

impl Writer {
    /// Refuses what was admitted before a revocation that the log now has first: admitted again
    /// from the log, it would be refused.
    pub(super) fn still_stands(
        &self,
        admitted: &Admitted,
        host: Option<&Host>,
        opens: Option<&HostChain>,
    ) -> Result<(), Refusal> {
        let trusts = |key: &KeyId| {
            let revocations = self.parts.authorities.revocations();
            revocations.trusts(v1::KeyUse::Record, key)
        };
        let verified = admitted.verified();
        let opens_relay = matches!(verified.body(), Body::RelayEnrolment(_));
        if host.is_none() && opens.is_none() && !opens_relay {
            return Ok(());
        }
        let spoilt = host.and_then(|host| host.spoilt().cloned());
        let mut stands = spoilt.map_or(Ok(()), Err);
        stands = stands.and_then(|()| trusts(&verified.statement().key()));
        match verified.body() {
            Body::Key(change) => {
                if let Ok(key) = PublicKey::ed25519(&change.new_key) {
                    stands = stands.and_then(|()| trusts(&key.id()));
                }
            }
            Body::Enrolment(body)
                if *admitted.content() == Content::Enrolled(Reenrolment::Proved) =>
            {
                let old = body.predecessor.as_ref();
                let old = old.and_then(|old| Digest::try_from(old.chain.as_slice()).ok());
                let old = old.and_then(|chain| self.parts.hosts.get(&chain)?.key());
                if let Some(key) = old {
                    stands = stands.and_then(|()| trusts(&key.id()));
                }
            }
            _ => {}
        }
        if let (Err(why), Some(host)) = (&stands, host) {
            host.spoil(why.clone());
        }
        stands?;
        match verified.body() {
            // The old key may have changed since: who reads the log would not find it proved.
            Body::Enrolment(body)
                if *admitted.content() != Content::Enrolled(self.parts.book.before(body)) =>
            {
                Err(Refusal::Predecessor)
            }
            _ => Ok(()),
        }
    }
}
