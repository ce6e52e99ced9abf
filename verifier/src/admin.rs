//! Answers the other commands, over a Unix socket that only the server's own user can open.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use affiant_judge::admission::Admitted;
use affiant_proto::{Body, Envelope, PublicKey, Statement, digest, v1};
use prost::Message as _;
use serde::Serialize;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Mutex, mpsc, watch},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    authority::Authority,
    clock::Clock,
    enrol::is_host_name,
    hosts::Hosts,
    ledger::Reader,
    lines,
    live::Live,
    registry::Registry,
    report::Reports,
    rpc::admin::{self as rpc, admin_server::Admin},
    token::{MAX_LIFE_MS, Tokens},
    writer::{Published, Submit},
};

/// Most statements in one submission: a file of 250 tenants with their parties and bindings.
const MAX_STATEMENTS: usize = 1_000;

/// The service.
pub struct AdminService {
    /// All hosts.
    pub hosts: Arc<Hosts>,
    /// The operator's and the officers' chains.
    pub authorities: Authority,
    /// Whose turn it is to submit officers' statements.
    pub turn: Mutex<()>,
    /// Tokens issued.
    pub tokens: Arc<Mutex<Tokens>>,
    /// The judge.
    pub live: Live,
    /// The writer.
    pub submit: Submit,
    /// The newest checkpoint.
    pub published: watch::Receiver<Published>,
    /// The genesis.
    pub genesis_statement: Vec<u8>,
    /// Makes reports.
    pub reports: Reports,
    /// The projection.
    pub registry: Registry,
    /// The published log.
    pub reader: Reader,
    /// The wall clock.
    pub clock: Clock,
}

/// Binds the socket at mode 0600, in the place of one that a dead server left.
///
/// The caller holds the directory's lock, so no living server is behind an old socket.
pub fn bind(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Accepts connections of the server's own user, and of root.
pub fn accept(listener: UnixListener) -> mpsc::Receiver<std::io::Result<UnixStream>> {
    let (ready, served) = mpsc::channel(16);
    let own = std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let uid = socket.peer_cred().map(|peer| peer.uid());
            let allowed = matches!((&uid, &own), (Ok(uid), Ok(own)) if uid == own || *uid == 0);
            if !allowed {
                tracing::warn!(?uid, "refused a connection to the admin socket");
                continue;
            }
            if ready.send(Ok(socket)).await.is_err() {
                return;
            }
        }
    });
    served
}

#[tonic::async_trait]
impl Admin for AdminService {
    type ReportStream = ReceiverStream<Result<rpc::ReportFile, Status>>;

    async fn status(
        &self,
        _: Request<rpc::StatusRequest>,
    ) -> Result<Response<rpc::StatusReply>, Status> {
        #[derive(Serialize)]
        struct Summary {
            log_size: u64,
            judged: u64,
            hosts: usize,
            findings: usize,
            device_time: Vec<affiant_judge::accounting::ClassUse>,
        }
        let published = self.published.borrow().clone();
        // One look at the judge: a second lock within the same statement would wait for the first.
        let (findings, device_time) = {
            let judge = self.live.judge();
            (judge.findings().len(), judge.figures().classes)
        };
        let summary = Summary {
            log_size: published.size,
            judged: self.live.heard(),
            hosts: self.hosts.count(),
            findings,
            device_time,
        };
        Ok(Response::new(rpc::StatusReply {
            genesis: self.genesis_statement.clone(),
            checkpoint: published.note.to_vec(),
            json: json(&summary)?,
        }))
    }

    async fn issue_tokens(
        &self,
        request: Request<rpc::IssueTokensRequest>,
    ) -> Result<Response<rpc::IssueTokensReply>, Status> {
        let asked = request.into_inner();
        if let Some(bad) = asked.hosts.iter().find(|host| !is_host_name(host)) {
            return Err(Status::invalid_argument(format!(
                "`{bad}` is not a host name"
            )));
        }
        if !(1..=MAX_LIFE_MS).contains(&asked.valid_ms) {
            return Err(Status::invalid_argument(
                "a token lasts from a second to 30 days",
            ));
        }
        let expires = self.clock.now_ms().saturating_add(asked.valid_ms);
        let issued = self
            .tokens
            .lock()
            .await
            .issue(&asked.hosts, &asked.site, expires);
        let tokens = issued.map_err(|error| Status::internal(error.to_string()))?;
        tracing::info!(count = tokens.len(), "tokens issued");
        Ok(Response::new(rpc::IssueTokensReply { tokens }))
    }

    async fn list(
        &self,
        request: Request<rpc::ListRequest>,
    ) -> Result<Response<rpc::ListReply>, Status> {
        use rpc::list_request::What;
        let json = match request.into_inner().what() {
            What::Hosts => json(&self.hosts.lines())?,
            What::Findings => json(&self.live.judge().findings())?,
            What::Figures => json(&self.live.judge().figures())?,
            What::Tenants => json(&lines::tenants(self.live.judge().registry()))?,
            What::Parties => json(&lines::parties(self.live.judge().registry()))?,
            What::Bindings => json(&lines::bindings(self.live.judge().bindings()))?,
            What::Officers => {
                let officers = self.authorities.read();
                json(&lines::officers(&officers))?
            }
            What::Unspecified => return Err(Status::invalid_argument("nothing to list")),
        };
        Ok(Response::new(rpc::ListReply { json }))
    }

    async fn change_host(
        &self,
        request: Request<rpc::ChangeHostRequest>,
    ) -> Result<Response<rpc::LoggedReply>, Status> {
        let asked = request.into_inner();
        let found = self.hosts.find(&asked.host);
        let host = match found.as_slice() {
            [host] => host,
            [] => return Err(Status::not_found(format!("no host `{}`", asked.host))),
            several => {
                let chains: Vec<_> = several.iter().map(|h| h.chain().to_string()).collect();
                return Err(Status::failed_precondition(format!(
                    "`{}` has several chains; name one of {}",
                    asked.host,
                    chains.join(", ")
                )));
            }
        };
        if asked.reason.len() > 1_000 {
            return Err(Status::invalid_argument("a reason has at most 1,000 bytes"));
        }
        let event = v1::HostEvent {
            header: None,
            host_chain: host.chain().as_bytes().to_vec(),
            kind: asked.kind,
            reason: asked.reason,
            until_unix_ms: None,
        };
        let index = self.submit.operator(event).await.map_err(stopping)?;
        Ok(Response::new(rpc::LoggedReply {
            indices: vec![index],
        }))
    }

    async fn officer_head(
        &self,
        request: Request<rpc::OfficerHeadRequest>,
    ) -> Result<Response<rpc::OfficerHeadReply>, Status> {
        let key = PublicKey::ed25519(&request.into_inner().key);
        let key = key.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let officers = self.authorities.read();
        let state = officers.officer_with(&key);
        Ok(Response::new(rpc::OfficerHeadReply {
            genesis: officers.genesis().as_bytes().to_vec(),
            chain: state
                .map(|s| s.chain().as_bytes().to_vec())
                .unwrap_or_default(),
            sequence: state.map(|s| s.sequence()).unwrap_or_default(),
            head: state
                .map(|s| s.head().as_bytes().to_vec())
                .unwrap_or_default(),
            checkpoint: self.published.borrow().note.to_vec(),
        }))
    }

    async fn submit(
        &self,
        request: Request<rpc::SubmitRequest>,
    ) -> Result<Response<rpc::LoggedReply>, Status> {
        let statements = request.into_inner().statements;
        if statements.len() > MAX_STATEMENTS {
            return Err(Status::invalid_argument(format!(
                "at most {MAX_STATEMENTS} statements at once"
            )));
        }
        // Held until all are queued: the log has them in the order in which they were admitted.
        let turn = self.turn.lock().await;
        let least = self.published.borrow().size;
        let admitted = admit_all(&self.authorities, least, &statements)?;
        let mut waiting = Vec::with_capacity(admitted.len());
        for (proof, envelope) in admitted {
            waiting.push(
                self.submit
                    .queue(proof, &envelope, None)
                    .await
                    .map_err(stopping)?,
            );
        }
        drop(turn);
        let mut indices = Vec::with_capacity(waiting.len());
        for logged in waiting {
            indices.push(logged.await.map_err(|_| stopping(crate::writer::Closed))?);
        }
        Ok(Response::new(rpc::LoggedReply { indices }))
    }

    async fn dossier(
        &self,
        request: Request<rpc::DossierRequest>,
    ) -> Result<Response<rpc::DossierReply>, Status> {
        let tenant = request.into_inner().tenant;
        let dossier = self.live.judge().registry().dossier(&tenant);
        let dossier = dossier.ok_or_else(|| Status::not_found(format!("no tenant `{tenant}`")))?;
        let bytes = dossier.encode_to_vec();
        let json = crate::wording::dossier(&dossier, digest(&bytes));
        Ok(Response::new(rpc::DossierReply {
            dossier: bytes,
            json,
        }))
    }

    async fn report(
        &self,
        request: Request<rpc::ReportRequest>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let asked = request.into_inner();
        let known = asked.tenant.is_empty()
            || self
                .live
                .judge()
                .registry()
                .dossier(&asked.tenant)
                .is_some();
        if !known {
            return Err(Status::not_found(format!(
                "no tenant `{}`; `tenant list` shows them",
                asked.tenant
            )));
        }
        let files = self.reports.make(asked).await?;
        let (send, stream) = mpsc::channel(4);
        tokio::spawn(async move {
            for file in files {
                if send.send(Ok(file)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn rebuild(
        &self,
        _: Request<rpc::RebuildRequest>,
    ) -> Result<Response<rpc::RebuildReply>, Status> {
        let rebuilt = self
            .registry
            .rebuild(&self.reader, &self.live, &self.hosts)
            .await;
        let rebuilt = rebuilt.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(rpc::RebuildReply {
            entries: rebuilt.entries,
            before: rebuilt.before.as_bytes().to_vec(),
            after: rebuilt.after.as_bytes().to_vec(),
        }))
    }
}

fn json(value: &impl Serialize) -> Result<String, Status> {
    serde_json::to_string(value).map_err(|error| Status::internal(error.to_string()))
}

/// Admits officers' statements: all or none. `least` is the least index that they can get.
fn admit_all(
    authorities: &Authority,
    least: u64,
    statements: &[Vec<u8>],
) -> Result<Vec<(Admitted, Envelope)>, Status> {
    let mut now = authorities.write();
    // Admitted on a copy, which replaces the chains when every one held.
    let mut next = now.clone();
    let mut admitted = Vec::with_capacity(statements.len());
    for (number, bytes) in (1..).zip(statements) {
        let wrong = |why: &dyn std::fmt::Display| {
            Status::invalid_argument(format!("statement {number}: {why}; nothing was logged"))
        };
        let statement = Statement::parse(bytes).map_err(|e| wrong(&e))?;
        if statement.header().chain() == Some(next.genesis())
            || matches!(statement.body(), Body::Genesis(_))
        {
            return Err(wrong(&"not an officer's statement"));
        }
        let envelope = Envelope::join(statement.clone(), None).map_err(|e| wrong(&e))?;
        let act = next
            .admit(Some(least), statement, false)
            .map_err(|e| wrong(&e))?;
        admitted.push((act.into(), envelope));
    }
    *now = next;
    Ok(admitted)
}

fn stopping(closed: crate::writer::Closed) -> Status {
    Status::unavailable(closed.to_string())
}
