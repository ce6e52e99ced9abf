//! Answers the other commands, over a Unix socket that only the server's own user can open.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use affiant_proto::{Body, PublicKey, Statement, authority::certifier_id, digest, v1};
use prost::Message as _;
use serde::Serialize;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Mutex, mpsc, watch},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    clock::Clock,
    enrol::is_host_name,
    gate::Gate,
    ledger::Reader,
    lines,
    live::Live,
    pki::Role,
    registry::Registry,
    report::Reports,
    retention::Shared,
    rotation::{Rotation, not_logged},
    rpc::admin::{self as rpc, admin_server::Admin},
    status::StatusSource,
    token::{MAX_LIFE_MS, Tokens},
    writer::{Published, Submit},
};

/// Most statements in one submission: a file of 250 tenants with their parties and bindings.
const MAX_STATEMENTS: usize = 1_000;

/// Longest maintenance that is announced at once: a machine that waits for a spare part for a month.
const MAX_MAINTENANCE_MS: u64 = 30 * 86_400_000;

/// The service.
pub struct AdminService {
    /// All hosts, and the newest of operator and officers.
    pub gate: Gate,
    /// Changes keys.
    pub rotation: Rotation,
    /// Looks at everything.
    pub status: StatusSource,
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
    /// What was erased, and what is held.
    pub retention: Shared,
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
        Ok(Response::new(rpc::StatusReply {
            genesis: self.genesis_statement.clone(),
            checkpoint: self.published.borrow().note.to_vec(),
            json: json(&self.status.look())?,
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
        let role = if asked.relays {
            Role::Relay
        } else {
            Role::Host
        };
        if asked.relays && asked.site.is_empty() {
            return Err(Status::invalid_argument("a relay is of a site: name it"));
        }
        let expires = self.clock.now_ms().saturating_add(asked.valid_ms);
        let issued = self
            .tokens
            .lock()
            .await
            .issue_for(role, &asked.hosts, &asked.site, expires);
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
            What::Hosts => json(&self.gate.hosts.lines())?,
            What::Relays => json(
                &self
                    .gate
                    .hosts
                    .relays()
                    .iter()
                    .map(|relay| relay.line())
                    .collect::<Vec<_>>(),
            )?,
            What::Findings => json(&self.live.judge().findings())?,
            What::Figures => json(&self.live.judge().figures())?,
            What::Tenants => json(&lines::tenants(self.live.judge().registry()))?,
            What::Parties => json(&lines::parties(self.live.judge().registry()))?,
            What::Bindings => json(&lines::bindings(self.live.judge().bindings()))?,
            What::Officers => json(&lines::officers(&self.gate.authorities.borrow()))?,
            What::Keys => json(&lines::keys(&self.gate.authorities.borrow()))?,
            What::Holds => json(&lines::holds(self.retention.lock().holds()))?,
            What::Unspecified => return Err(Status::invalid_argument("nothing to list")),
        };
        Ok(Response::new(rpc::ListReply { json }))
    }

    async fn change_host(
        &self,
        request: Request<rpc::ChangeHostRequest>,
    ) -> Result<Response<rpc::LoggedReply>, Status> {
        let asked = request.into_inner();
        let found = self.gate.hosts.find(&asked.host);
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
        bounded(&asked.reason)?;
        if let Some(until) = asked.until_unix_ms {
            if asked.kind != i32::from(v1::HostEventKind::Maintenance) {
                return Err(Status::invalid_argument("only maintenance has an end"));
            }
            let now = self.clock.now_ms();
            if !(now..=now.saturating_add(MAX_MAINTENANCE_MS)).contains(&until) {
                return Err(Status::invalid_argument(
                    "maintenance ends within the next 30 days",
                ));
            }
        }
        let event = v1::HostEvent {
            header: None,
            host_chain: host.chain().as_bytes().to_vec(),
            kind: asked.kind,
            reason: asked.reason,
            until_unix_ms: asked.until_unix_ms,
        };
        let index = self.submit.operator(event).await.map_err(not_logged)?;
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
        let officers = self.gate.authorities.borrow().clone();
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
        let mut parsed = Vec::with_capacity(statements.len());
        let wrong = |number: usize, why: &dyn std::fmt::Display| {
            Status::invalid_argument(format!("statement {number}: {why}; nothing was logged"))
        };
        for (number, bytes) in (1..).zip(&statements) {
            let statement = Statement::parse(bytes).map_err(|e| wrong(number, &e))?;
            if statement.header().chain() == Some(digest(&self.genesis_statement))
                || matches!(statement.body(), Body::Genesis(_))
            {
                return Err(wrong(number, &"not an officer's statement"));
            }
            parsed.push(statement);
        }
        let logged = self.submit.officers(parsed).await.map_err(not_logged)?;
        let indices = logged.map_err(|(number, why)| wrong(number, &why))?;
        Ok(Response::new(rpc::LoggedReply { indices }))
    }

    async fn rotate(
        &self,
        request: Request<rpc::RotateRequest>,
    ) -> Result<Response<rpc::LoggedReply>, Status> {
        use rpc::rotate_request::What;
        let rotation = self.rotation.clone();
        let index = match request.into_inner().what() {
            What::Operator => rotation.operator().await?,
            What::Ca => rotation.authority().await?,
            What::Unspecified => return Err(Status::invalid_argument("nothing to rotate")),
        };
        Ok(Response::new(rpc::LoggedReply {
            indices: vec![index],
        }))
    }

    async fn revoke(
        &self,
        request: Request<rpc::RevokeRequest>,
    ) -> Result<Response<rpc::LoggedReply>, Status> {
        let asked = request.into_inner();
        bounded(&asked.reason)?;
        if asked.r#use == i32::from(v1::KeyUse::Ca) {
            let in_force = self.gate.authorities.borrow().certifiers().last().copied();
            if in_force.is_some_and(|ca| certifier_id(ca).as_bytes().as_slice() == asked.key_id) {
                return Err(Status::failed_precondition(
                    "the authority is in force, and no certificate would count: \
                     run `key rotate ca` first",
                ));
            }
        }
        let body = v1::Revocation {
            header: None,
            key_id: asked.key_id,
            from_index: asked
                .from_index
                .unwrap_or_else(|| self.published.borrow().size),
            reason: asked.reason,
            r#use: asked.r#use,
        };
        let index = self.submit.operator(body).await.map_err(not_logged)?;
        Ok(Response::new(rpc::LoggedReply {
            indices: vec![index],
        }))
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
            .rebuild(&self.reader, &self.live, &self.gate.hosts)
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

fn bounded(reason: &str) -> Result<(), Status> {
    if reason.len() > 1_000 {
        return Err(Status::invalid_argument("a reason has at most 1,000 bytes"));
    }
    Ok(())
}
