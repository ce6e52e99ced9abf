//! Enrolment: a one-use token and proof of possession open a chain; the record key renews.

use std::{sync::Arc, time::Duration};

use affiant_judge::admission::HostChain;
use affiant_proto::{Body, Digest, Envelope, Statement, digest, v1};
use tokio::sync::{Mutex, watch};
use tonic::{Request, Response, Status};

use crate::{
    clock::Clock,
    hosts::{Host, Hosts, Standing},
    pki::{Ca, HostRequest},
    rpc::admission_server::Admission,
    token::{BadToken, Tokens},
    writer::{Published, Submit},
};

/// What every refused token is told: the journal has the reason, the asker learns nothing.
const NO_TOKEN: &str = "token is not accepted: unknown, expired, used, or another host's";

/// The service.
pub struct AdmissionService {
    /// All hosts.
    pub hosts: Arc<Hosts>,
    /// The authority.
    pub ca: Arc<Ca>,
    /// Tokens issued. Held while one enrols, so that no token works twice.
    pub tokens: Arc<Mutex<Tokens>>,
    /// Digest of the genesis.
    pub genesis: Digest,
    /// The genesis itself.
    pub genesis_statement: Vec<u8>,
    /// Life of a host's certificate.
    pub lifetime: Duration,
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
            lineage: Vec::new(),
            authorities: Vec::new(),
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
        let Body::Enrolment(body) = statement.body().clone() else {
            return Err(refused(&"not an enrolment statement"));
        };
        let csr = HostRequest::parse(&asked.csr).map_err(|e| refused(&e))?;
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
        // One at a time: between the check of a token and its use nothing may come.
        let tokens = self.tokens.lock().await;
        if let Some(host) = self.hosts.get(&statement.digest()) {
            // The same statement again: the answer to the first was lost.
            return self.answer(&host, &csr);
        }
        let now = self.clock.now_ms();
        let admits = tokens.admits(&asked.token, &body.host, now).map(|_| ());
        let admits = admits.and(if self.hosts.spent(spent) {
            Err(BadToken::Used)
        } else {
            Ok(())
        });
        if let Err(why) = admits {
            tracing::warn!(host = body.host, %why, "enrolment refused");
            return Err(Status::permission_denied(NO_TOKEN));
        }
        if self.hosts.has_key(&body.record_key) {
            return Err(refused(
                &"record key opened a chain before; a key has one use",
            ));
        }
        if self
            .hosts
            .named(&body.host)
            .iter()
            .any(|host| host.standing() == Standing::Banned)
        {
            tracing::warn!(host = body.host, "enrolment refused: the name is banned");
            return Err(Status::permission_denied("host is banned"));
        }
        let (chain, admitted) =
            HostChain::open(statement.clone(), self.genesis).map_err(|e| refused(&e))?;
        let envelope = Envelope::join(statement, None).map_err(|e| refused(&e))?;
        let index = self.submit.logged(admitted, &envelope, Some(chain)).await;
        let index = index.map_err(|e| Status::unavailable(e.to_string()))?;
        let host = self.hosts.get(&envelope.statement().digest());
        let host = host.ok_or_else(|| Status::internal("enrolment was logged but is not known"))?;
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
        let host = chain.and_then(|chain| self.hosts.get(&chain));
        let host = host.ok_or_else(|| refused(&"host is not enrolled here"))?;
        let verified = host
            .admission
            .lock()
            .await
            .chain
            .state()
            .vouch(statement)
            .map_err(|e| refused(&e))?;
        match verified.body() {
            Body::Request(body) if body.csr == digest(&asked.csr).as_bytes() => {}
            _ => return Err(refused(&"not a request over this certificate request")),
        }
        let csr = HostRequest::parse(&asked.csr).map_err(|e| refused(&e))?;
        self.answer(&host, &csr)
    }
}

impl AdmissionService {
    fn answer(&self, host: &Host, csr: &HostRequest) -> Result<Response<v1::EnrolReply>, Status> {
        match host.standing() {
            Standing::Active => {}
            Standing::Pending => {
                return Ok(Response::new(v1::EnrolReply {
                    certificates: Vec::new(),
                    pending: true,
                }));
            }
            Standing::Evicted => {
                return Err(Status::permission_denied(
                    "host was evicted: enrol again, by approval",
                ));
            }
            Standing::Banned => return Err(Status::permission_denied("host is banned")),
            Standing::Retired => return Err(Status::permission_denied("host is retired")),
        }
        let made = self
            .ca
            .issue_host(csr, host.chain(), self.lifetime, self.clock.now_ms());
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
}

/// RFC 1123 letters, digits, hyphens and dots.
pub fn is_host_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        && !name.starts_with(['.', '-'])
}
