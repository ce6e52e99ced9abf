//! Enrolment: a one-use token and proof of possession open a chain; the record key renews.

use std::sync::Arc;

use affiant_judge::admission::{Admitted, HostChain, open_relay};
use affiant_proto::{Body, ChainState, Digest, Envelope, Statement, digest, v1};
use arc_swap::ArcSwap;
use rustls_pki_types::CertificateDer;
use tokio::sync::{Mutex, watch};
use tonic::{Request, Response, Status};

use crate::{
    clock::Clock,
    config::Config,
    gate::Gate,
    hosts::{Host, Standing},
    lineage::Lineage,
    opening::{Opening, Openings},
    pki::{HostRequest, PkiError, Role},
    relay::Relay,
    rpc::admission_server::Admission,
    token::{BadToken, Tokens},
    writer::{NotLogged, Published, Submit},
};

/// What every refused token is told: the journal has the reason, the asker learns nothing.
const NO_TOKEN: &str = "token is not accepted: unknown, expired, used, or another host's";

/// The service.
#[derive(Clone)]
pub struct AdmissionService {
    /// All hosts, and whose keys are trusted.
    pub gate: Gate,
    /// Tokens issued.
    pub tokens: Arc<Mutex<Tokens>>,
    /// Enrolments that the log does not have yet.
    pub openings: Openings,
    /// Digest of the genesis.
    pub genesis: Digest,
    /// The genesis itself.
    pub genesis_statement: Vec<u8>,
    /// Life of a host's certificate.
    pub config: Arc<ArcSwap<Config>>,
    /// What Describe hands on of trust since the genesis.
    pub lineage: watch::Receiver<Arc<Lineage>>,
    /// The writer.
    pub submit: Submit,
    /// The newest checkpoint.
    pub published: watch::Receiver<Published>,
    /// The wall clock.
    pub clock: Clock,
}

#[tonic::async_trait]
impl Admission for AdmissionService {
    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeReply>, Status> {
        Ok(Response::new(v1::DescribeReply {
            genesis: self.genesis_statement.clone(),
            checkpoint: self.published.borrow().note.to_vec(),
            lineage: self.lineage.borrow().statements(),
            authorities: self
                .gate
                .ca
                .load()
                .accepted()
                .map(|der| der.to_vec())
                .collect(),
        }))
    }

    async fn enrol(
        &self,
        request: Request<v1::EnrolRequest>,
    ) -> Result<Response<v1::EnrolReply>, Status> {
        let asked = request.into_inner();
        let refused = |why: &dyn std::fmt::Display| {
            tracing::warn!(%why, "enrolment refused");
            Status::invalid_argument(why.to_string())
        };
        let statement = Statement::parse(&asked.enrolment).map_err(|e| refused(&e))?;
        let csr = HostRequest::parse(&asked.csr).map_err(|e| refused(&e))?;
        self.gate
            .tls_key(&csr.key_digest())
            .map_err(|e| refused(&e))?;
        let body = match statement.body().clone() {
            Body::Enrolment(body) => body,
            Body::RelayEnrolment(body) => {
                return self.enrol_relay(asked, statement, body, &csr).await;
            }
            _ => return Err(refused(&"not an enrolment statement")),
        };
        if body.identity_key != csr.key_digest().as_bytes() {
            return Err(refused(
                &"certificate request is for another key than the enrolment names",
            ));
        }
        if !is_host_name(&body.host) {
            return Err(refused(
                &"host name is not 1 to 253 letters, digits, dots and hyphens",
            ));
        }
        let spent = digest(asked.token.as_bytes());
        if body.token != spent.as_bytes() {
            return Err(Status::permission_denied(NO_TOKEN));
        }
        let named = statement.digest();
        let (opening, chain, admitted) = {
            // Between the check of a token and its use nothing may come; the log is not waited for.
            let tokens = self.tokens.lock().await;
            // What is no longer under way is known to the hosts, so those are asked second.
            if let Some(mut over) = self.openings.under_way(&named) {
                drop(tokens);
                let _ = over.changed().await;
                let host = self.known(named)?;
                return self.answer(&host, &csr);
            }
            if let Some(host) = self.gate.hosts.get(&named) {
                // The same statement again: the answer to the first was lost.
                return self.answer(&host, &csr);
            }
            self.may_enrol(&tokens, &asked.token, &body)?;
            let old = self.before(&body);
            let newest = self.gate.authorities.borrow().clone();
            let opened = HostChain::open(
                statement.clone(),
                self.genesis,
                newest.revocations(),
                old.as_ref(),
            );
            let (chain, admitted) = opened.map_err(|e| refused(&e))?;
            let opening = self.openings.begin(named, spent, body.record_key.clone());
            (opening, chain, admitted)
        };
        let index = self.log(statement, admitted, Some(chain), opening).await?;
        let host = self.known(named)?;
        tracing::info!(host = host.name(), index, standing = ?host.standing(), "host enrolled");
        self.answer(&host, &csr)
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::EnrolReply>, Status> {
        let asked = request.into_inner();
        let refused = |why: &dyn std::fmt::Display| {
            tracing::warn!(%why, "renewal refused");
            Status::permission_denied(why.to_string())
        };
        let statement = Statement::parse(&asked.request).map_err(|e| refused(&e))?;
        let chain = statement.header().chain();
        let relay = chain.and_then(|chain| self.gate.hosts.relay(&chain));
        let host = chain.and_then(|chain| self.gate.hosts.get(&chain));
        let verified = match (&relay, &host) {
            (Some(relay), _) => relay.state().vouch(statement),
            (None, Some(host)) => host.admission().chain.state().vouch(statement),
            (None, None) => return Err(refused(&"host is not enrolled here")),
        };
        let verified = verified.map_err(|e| refused(&e))?;
        match verified.body() {
            Body::Request(body) if body.csr == digest(&asked.csr).as_bytes() => {}
            _ => return Err(refused(&"not a request over this certificate request")),
        }
        let csr = HostRequest::parse(&asked.csr).map_err(|e| refused(&e))?;
        self.gate
            .tls_key(&csr.key_digest())
            .map_err(|e| refused(&e))?;
        match (relay, host) {
            (Some(relay), _) => self.answer_relay(&relay, &csr),
            (None, Some(host)) => self.answer(&host, &csr),
            (None, None) => Err(refused(&"host is not enrolled here")),
        }
    }
}

impl AdmissionService {
    /// Enrols a relay: as a host, but for its site, which is the token's to give.
    async fn enrol_relay(
        &self,
        asked: v1::EnrolRequest,
        statement: Statement,
        body: v1::RelayEnrolment,
        csr: &HostRequest,
    ) -> Result<Response<v1::EnrolReply>, Status> {
        let refused = |why: &dyn std::fmt::Display| {
            tracing::warn!(%why, "enrolment of a relay refused");
            Status::invalid_argument(why.to_string())
        };
        if body.identity_key != csr.key_digest().as_bytes() {
            return Err(refused(
                &"certificate request is for another key than the enrolment names",
            ));
        }
        let (named, spent) = (statement.digest(), digest(asked.token.as_bytes()));
        if body.token != spent.as_bytes() {
            return Err(Status::permission_denied(NO_TOKEN));
        }
        let (opening, admitted) = {
            let tokens = self.tokens.lock().await;
            if let Some(mut over) = self.openings.under_way(&named) {
                drop(tokens);
                let _ = over.changed().await;
                return self.answer_relay(&*self.known_relay(named)?, csr);
            }
            if let Some(relay) = self.gate.hosts.relay(&named) {
                // The same statement again: the answer to the first was lost.
                return self.answer_relay(&relay, csr);
            }
            let now = self.clock.now_ms();
            let admits = tokens.admits_as(Role::Relay, &asked.token, &body.relay, now);
            let used = self.openings.spends(spent) || self.gate.hosts.spent(spent);
            match admits {
                Ok((_, site)) if !used && site == body.site => {}
                found => {
                    let why = found.err().unwrap_or(BadToken::Used);
                    tracing::warn!(relay = body.relay, %why, "enrolment of a relay refused");
                    return Err(Status::permission_denied(NO_TOKEN));
                }
            }
            if self.openings.has_key(&body.relay_key) || self.gate.hosts.has_key(&body.relay_key) {
                return Err(refused(
                    &"relay key opened a chain before; a key has one use",
                ));
            }
            let newest = self.gate.authorities.borrow().clone();
            let opened = open_relay(statement.clone(), self.genesis, newest.revocations());
            let (_, admitted) = opened.map_err(|e| refused(&e))?;
            let opening = self.openings.begin(named, spent, body.relay_key.clone());
            (opening, admitted)
        };
        let index = self.log(statement, admitted, None, opening).await?;
        let relay = self.known_relay(named)?;
        tracing::info!(
            relay = relay.name(),
            site = relay.site(),
            index,
            "relay enrolled"
        );
        self.answer_relay(&relay, csr)
    }

    /// Has an enrolment logged; gives its index.
    async fn log(
        &self,
        statement: Statement,
        admitted: Admitted,
        opens: Option<HostChain>,
        opening: Opening,
    ) -> Result<u64, Status> {
        let refused = |why: &dyn std::fmt::Display| {
            tracing::warn!(%why, "enrolment refused");
            Status::invalid_argument(why.to_string())
        };
        let envelope = Envelope::join(statement, None).map_err(|e| refused(&e))?;
        let submit = self.submit.clone();
        // A task of its own: whoever asked may go, the statement is on its way all the same.
        let logged = tokio::spawn(async move {
            let logged = submit.logged(admitted, &envelope, opens).await;
            drop(opening);
            logged
        });
        logged
            .await
            .map_err(|_| Status::internal("enrolment was interrupted"))?
            .map_err(|error| match error {
                NotLogged::Refused(refusal) => refused(&refusal),
                NotLogged::Closed(closed) => Status::unavailable(closed.to_string()),
            })
    }

    /// The relay whose enrolment was just logged.
    fn known_relay(&self, chain: Digest) -> Result<Arc<Relay>, Status> {
        let relay = self.gate.hosts.relay(&chain);
        relay.ok_or_else(|| Status::unavailable("enrolment was not logged; send it again"))
    }

    fn answer_relay(
        &self,
        relay: &Relay,
        csr: &HostRequest,
    ) -> Result<Response<v1::EnrolReply>, Status> {
        self.gate.relay_key(relay)?;
        let lifetime = self.config.load().certificate_life;
        let ca = self.gate.ca.load();
        let made = ca.issue_relay(csr, relay.chain(), lifetime, self.clock.now_ms());
        self.certified(made)
    }

    fn certified(
        &self,
        made: Result<Vec<CertificateDer<'static>>, PkiError>,
    ) -> Result<Response<v1::EnrolReply>, Status> {
        let made = made.map_err(|error| {
            tracing::error!(%error, "could not issue a certificate");
            Status::internal("certificate could not be made")
        })?;
        let certificates = made.iter().map(|der| der.to_vec()).collect();
        Ok(Response::new(v1::EnrolReply {
            certificates,
            pending: false,
        }))
    }

    /// Tells whether the token, the record key and the name are free for this enrolment.
    fn may_enrol(&self, tokens: &Tokens, token: &str, body: &v1::Enrolment) -> Result<(), Status> {
        let spent = digest(token.as_bytes());
        let now = self.clock.now_ms();
        let mut admits = tokens.admits(token, &body.host, now).map(|_| ());
        if admits.is_ok() && (self.openings.spends(spent) || self.gate.hosts.spent(spent)) {
            admits = Err(BadToken::Used);
        }
        if let Err(why) = admits {
            tracing::warn!(host = body.host, %why, "enrolment refused");
            return Err(Status::permission_denied(NO_TOKEN));
        }
        if self.openings.has_key(&body.record_key) || self.gate.hosts.has_key(&body.record_key) {
            tracing::warn!(host = body.host, "enrolment refused: record key is known");
            return Err(Status::invalid_argument(
                "record key opened a chain before; a key has one use",
            ));
        }
        let mut same_name = self.gate.hosts.named(&body.host).into_iter();
        if same_name.any(|host| host.standing() == Standing::Banned) {
            tracing::warn!(host = body.host, "enrolment refused: the name is banned");
            return Err(Status::permission_denied("host is banned"));
        }
        Ok(())
    }

    /// The chain that an enrolment says it continues, as it stands.
    fn before(&self, body: &v1::Enrolment) -> Option<ChainState> {
        let chain = body.predecessor.as_ref()?.chain.as_slice();
        let host = self.gate.hosts.get(&Digest::try_from(chain).ok()?)?;
        let head = host.admission();
        Some(head.chain.state().clone())
    }

    /// The host whose enrolment was just logged.
    fn known(&self, chain: Digest) -> Result<Arc<Host>, Status> {
        self.gate
            .hosts
            .get(&chain)
            .ok_or_else(|| Status::unavailable("enrolment was not logged; send it again"))
    }

    fn answer(&self, host: &Host, csr: &HostRequest) -> Result<Response<v1::EnrolReply>, Status> {
        if host.standing() == Standing::Pending {
            return Ok(Response::new(v1::EnrolReply {
                certificates: Vec::new(),
                pending: true,
            }));
        }
        host.standing().may_send()?;
        self.gate.record_key(host)?;
        let lifetime = self.config.load().certificate_life;
        let ca = self.gate.ca.load();
        let made = ca.issue_host(csr, host.chain(), lifetime, self.clock.now_ms());
        self.certified(made)
    }
}

/// RFC 1123 letters, digits, hyphens and dots.
pub fn is_host_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        && !name.starts_with(['.', '-'])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use affiant_proto::{Ed25519Signer, Signer as _, authority::Authorities, statement::Place};
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        hosts::Head,
        pki::{Ca, CaFiles},
        writer::Submission,
    };

    const NOW: u64 = 1_800_000_000_000;

    pub(crate) struct Desk {
        pub(crate) service: Arc<AdmissionService>,
        queue: mpsc::Receiver<Submission>,
        _dir: tempfile::TempDir,
    }

    fn genesis(ca: &CaFiles) -> Statement {
        let operator = Ed25519Signer::from_seed(&[201; 32]).unwrap();
        let log = Ed25519Signer::from_seed(&[202; 32]).unwrap();
        let body = v1::Genesis {
            origin: "test.example/affiant/1".into(),
            log_key: log.public_key().as_bytes().to_vec(),
            operator_key: operator.public_key().as_bytes().to_vec(),
            ca: ca.digest.as_bytes().to_vec(),
            ..Default::default()
        };
        Statement::seal(body.into(), Place::Opening, now(), None, &operator).unwrap()
    }

    fn now() -> v1::Time {
        v1::Time {
            unix_ms: NOW,
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        }
    }

    /// A service whose writer is the test, with a queue of `capacity`.
    pub(crate) fn desk(capacity: usize) -> Desk {
        let dir = tempfile::tempdir().unwrap();
        let made = Ca::create("Test", NOW).unwrap();
        let ca = Ca::load(&made.key, &made.certificates, None).unwrap();
        let (authorities, _) = Authorities::open(genesis(&made)).unwrap();
        let (queue, queued) = mpsc::channel(capacity);
        let (_, published) = watch::channel(Published {
            size: 1,
            root: affiant_proto::tlog::leaf_hash(b""),
            note: Vec::new().into(),
            logged_unix_ms: NOW,
        });
        let service = AdmissionService {
            gate: Gate {
                hosts: Arc::default(),
                authorities: watch::channel(Arc::new(authorities)).1,
                ca: Arc::new(ArcSwap::from_pointee(ca)),
            },
            tokens: Arc::new(Mutex::new(
                Tokens::open(&dir.path().join("tokens")).unwrap(),
            )),
            openings: Openings::default(),
            genesis: digest(b"genesis"),
            genesis_statement: Vec::new(),
            config: Arc::new(ArcSwap::from_pointee(Config::defaults())),
            lineage: watch::channel(Arc::default()).1,
            submit: Submit(queue),
            published,
            clock: Clock::of(|| NOW),
        };
        Desk {
            service: Arc::new(service),
            queue: queued,
            _dir: dir,
        }
    }

    impl Desk {
        pub(crate) async fn token(&self, host: &str) -> String {
            let mut tokens = self.service.tokens.lock().await;
            tokens
                .issue(&[host.into()], "", NOW + 1_000)
                .unwrap()
                .remove(0)
        }

        /// Asks in a task of its own.
        pub(crate) fn ask(
            &self,
            asked: v1::EnrolRequest,
        ) -> tokio::task::JoinHandle<Result<Response<v1::EnrolReply>, Status>> {
            let service = self.service.clone();
            tokio::spawn(async move { service.enrol(Request::new(asked)).await })
        }

        /// Takes the next enrolment out of the queue.
        pub(crate) async fn next(&mut self) -> Submission {
            self.queue.recv().await.unwrap()
        }

        /// What the writer does once a segment is closed.
        pub(crate) fn publish(&self, submission: Submission, index: u64) {
            let Submission::Admitted {
                admitted,
                opens,
                logged,
                ..
            } = submission
            else {
                panic!("the operator says nothing here");
            };
            self.service
                .gate
                .hosts
                .hear(index, &admitted, opens.map(|chain| Head::new(*chain)));
            let _ = logged.unwrap().send(Ok(index));
        }
    }

    pub(crate) fn request(host: &str, token: &str, seed: u8) -> v1::EnrolRequest {
        let signer = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
        let tls = KeyPair::generate().unwrap();
        let csr = CertificateParams::new(Vec::new()).unwrap();
        let csr = csr.serialize_request(&tls).unwrap().der().to_vec();
        let body = v1::Enrolment {
            genesis: digest(b"genesis").as_bytes().to_vec(),
            host: host.into(),
            record_key: signer.public_key().as_bytes().to_vec(),
            identity_key: digest(&tls.subject_public_key_info()).as_bytes().to_vec(),
            token: digest(token.as_bytes()).as_bytes().to_vec(),
            ..Default::default()
        };
        let made = Statement::seal(body.into(), Place::Opening, now(), None, &signer).unwrap();
        v1::EnrolRequest {
            token: token.into(),
            enrolment: made.as_bytes().to_vec(),
            csr,
        }
    }

    #[tokio::test]
    async fn enrolments_do_not_wait_for_each_others_place_in_the_log() {
        let mut desk = desk(1_000);
        let mut asked = Vec::new();
        for n in 0..200_u8 {
            let host = format!("gpu-{n}");
            let token = desk.token(&host).await;
            asked.push(desk.ask(request(&host, &token, n)));
        }
        // All two hundred are handed over before a single one is in the log: one segment's worth.
        let mut queued = Vec::new();
        for _ in 0..200 {
            queued.push(desk.next().await);
        }
        for (index, submission) in (1..).zip(queued) {
            desk.publish(submission, index);
        }
        for answer in asked {
            assert!(!answer.await.unwrap().unwrap().into_inner().pending);
        }
        assert_eq!(desk.service.gate.hosts.count(), 200);
    }

    #[tokio::test]
    async fn two_at_once_with_one_token_open_one_chain() {
        let mut desk = desk(1_000);
        let token = desk.token("gpu-1").await;
        let first = desk.ask(request("gpu-1", &token, 1));
        let queued = desk.next().await;
        let second = desk.ask(request("gpu-1", &token, 2)).await.unwrap();
        assert_eq!(second.unwrap_err().message(), NO_TOKEN);
        desk.publish(queued, 1);
        first.await.unwrap().unwrap();
        let third = desk.ask(request("gpu-1", &token, 3)).await.unwrap();
        assert_eq!(third.unwrap_err().message(), NO_TOKEN, "used for good");
        assert_eq!(desk.service.gate.hosts.count(), 1);
    }

    #[tokio::test]
    async fn the_same_enrolment_sent_again_meanwhile_gets_the_same_answer() {
        let mut desk = desk(1_000);
        let token = desk.token("gpu-1").await;
        let asked = request("gpu-1", &token, 1);
        let first = desk.ask(asked.clone());
        let queued = desk.next().await;
        first.abort();
        let again = desk.ask(asked);
        desk.publish(queued, 1);
        let reply = again.await.unwrap().unwrap().into_inner();
        assert_eq!(
            reply.certificates.len(),
            2,
            "the one who asked first is gone"
        );
    }

    #[tokio::test]
    async fn an_enrolment_that_the_writer_lost_leaves_its_token_free() {
        let mut desk = desk(1_000);
        let token = desk.token("gpu-1").await;
        let asked = request("gpu-1", &token, 1);
        let first = desk.ask(asked.clone());
        drop(desk.next().await);
        assert_eq!(
            first.await.unwrap().unwrap_err().code(),
            tonic::Code::Unavailable
        );
        let again = desk.ask(asked);
        let queued = desk.next().await;
        desk.publish(queued, 1);
        again.await.unwrap().unwrap();
    }
}
