//! Answers the other commands, over a Unix socket that only the server's own user can open.

use std::{
    future::poll_fn,
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use affiant_judge::{Class, asking::Question};
use affiant_proto::{authority::certifier_id, v1};
use prost::Message as _;
use serde::Serialize;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Mutex, mpsc},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    clock::Clock,
    enrol::is_host_name,
    form,
    ledger::Reader,
    office::Office,
    pki::Role,
    registry::Registry,
    report::Reports,
    rotation::{Rotation, not_logged},
    rpc::admin::{self as rpc, admin_server::Admin},
    status::StatusSource,
    token::{MAX_LIFE_MS, Tokens},
    trial::Trials,
};

/// Longest maintenance that is announced at once: a machine that waits for a spare part for a month.
const MAX_MAINTENANCE_MS: u64 = 30 * 86_400_000;

/// The service.
pub struct AdminService {
    /// Changes keys.
    pub rotation: Rotation,
    /// Looks at everything.
    pub status: StatusSource,
    /// Tokens issued.
    pub tokens: Arc<Mutex<Tokens>>,
    /// Lists, and takes what officers signed.
    pub office: Office,
    /// Makes reports.
    pub reports: Reports,
    /// Tries policy packs.
    pub trials: Trials,
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
pub fn accept(listener: UnixListener) -> mpsc::Receiver<io::Result<UnixStream>> {
    accept_by(move |cx| {
        let accepted = listener.poll_accept(cx);
        accepted.map(|accepted| accepted.map(|(socket, _)| socket))
    })
}

fn accept_by(
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<UnixStream>> + Send + 'static,
) -> mpsc::Receiver<io::Result<UnixStream>> {
    let (ready, served) = mpsc::channel(16);
    let own = std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m));
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = ready.closed() => return,
                accepted = poll_fn(&mut accept) => accepted,
            };
            let socket = match accepted {
                Ok(socket) => socket,
                Err(error) => {
                    // Out of file descriptors, most likely: give others time to close.
                    tracing::warn!(%error, "could not accept a connection to the admin socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
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
    type TryPackStream = ReceiverStream<Result<rpc::TryPackReply, Status>>;

    async fn status(
        &self,
        _: Request<rpc::StatusRequest>,
    ) -> Result<Response<rpc::StatusReply>, Status> {
        Ok(Response::new(rpc::StatusReply {
            genesis: self.office.genesis_statement.clone(),
            checkpoint: self.office.published.borrow().note.to_vec(),
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
        let json = self.office.list(request.into_inner().what()).await?;
        Ok(Response::new(rpc::ListReply { json }))
    }

    async fn change_host(
        &self,
        request: Request<rpc::ChangeHostRequest>,
    ) -> Result<Response<rpc::LoggedReply>, Status> {
        let asked = request.into_inner();
        let found = self.office.gate.hosts.find(&asked.host);
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
        let index = self
            .office
            .submit
            .operator(event)
            .await
            .map_err(not_logged)?;
        Ok(Response::new(rpc::LoggedReply {
            indices: vec![index],
        }))
    }

    async fn officer_head(
        &self,
        request: Request<rpc::OfficerHeadRequest>,
    ) -> Result<Response<rpc::OfficerHeadReply>, Status> {
        let head = self.office.head(&request.into_inner().key)?;
        Ok(Response::new(head))
    }

    async fn submit(
        &self,
        request: Request<rpc::SubmitRequest>,
    ) -> Result<Response<rpc::LoggedReply>, Status> {
        let indices = self.office.submit(&request.into_inner().statements).await?;
        Ok(Response::new(rpc::LoggedReply { indices }))
    }

    async fn check(
        &self,
        request: Request<rpc::CheckRequest>,
    ) -> Result<Response<rpc::CheckReply>, Status> {
        let rpc::CheckRequest {
            tenant,
            device_class,
            site,
        } = request.into_inner();
        let class = Class::named(&device_class)
            .map_err(|error| Status::invalid_argument(format!("class {error}")))?;
        let question = Question {
            tenant,
            class,
            site,
        };
        let now = self.clock.now_ms();
        let answer = self.office.live.judge().ask(&question, now);
        let json = json(&answer)?;
        Ok(Response::new(rpc::CheckReply { json }))
    }

    async fn put_exhibit(
        &self,
        request: Request<rpc::PutExhibitRequest>,
    ) -> Result<Response<rpc::PutExhibitReply>, Status> {
        let named = self.office.put(request.into_inner().content).await?;
        Ok(Response::new(rpc::PutExhibitReply {
            digest: named.as_bytes().to_vec(),
        }))
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
        let mut faults = form::Faults::new();
        form::given_reason(&asked.reason, &mut faults);
        fit(&faults)?;
        if asked.r#use == i32::from(v1::KeyUse::Ca) {
            let in_force = self
                .office
                .gate
                .authorities
                .borrow()
                .certifiers()
                .last()
                .copied();
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
                .unwrap_or_else(|| self.office.published.borrow().size),
            reason: asked.reason,
            r#use: asked.r#use,
        };
        let index = self
            .office
            .submit
            .operator(body)
            .await
            .map_err(not_logged)?;
        Ok(Response::new(rpc::LoggedReply {
            indices: vec![index],
        }))
    }

    async fn dossier(
        &self,
        request: Request<rpc::DossierRequest>,
    ) -> Result<Response<rpc::DossierReply>, Status> {
        let dossier = self.office.dossier(&request.into_inner().tenant)?;
        Ok(Response::new(dossier))
    }

    async fn tenant_at(
        &self,
        request: Request<rpc::TenantAtRequest>,
    ) -> Result<Response<rpc::ListReply>, Status> {
        let asked = request.into_inner();
        let (at, known) = (asked.at_unix_ms, asked.known_unix_ms);
        let json = self.office.tenant_at(&asked.tenant, Some(at), known)?;
        Ok(Response::new(rpc::ListReply { json }))
    }

    async fn tenant_history(
        &self,
        request: Request<rpc::DossierRequest>,
    ) -> Result<Response<rpc::ListReply>, Status> {
        let json = self.office.history(&request.into_inner().tenant)?;
        Ok(Response::new(rpc::ListReply { json }))
    }

    async fn registry(
        &self,
        _: Request<rpc::RegistryRequest>,
    ) -> Result<Response<rpc::RegistryReply>, Status> {
        let judge = self.office.live.judge();
        let registry = judge.registry();
        let now = judge.now_unix_ms().max(self.clock.now_ms());
        let tenants = || registry.tenants();
        let bindings = judge.bindings().all();
        let bindings = bindings.filter(|(_, withdrawn)| !withdrawn);
        Ok(Response::new(rpc::RegistryReply {
            parties: registry
                .parties()
                .all()
                .map(|it| it.encode_to_vec())
                .collect(),
            edges: registry
                .parties()
                .edges()
                .map(|it| it.encode_to_vec())
                .collect(),
            tenants: tenants().map(|it| it.encode_to_vec()).collect(),
            bindings: bindings.map(|(it, _)| it.encode_to_vec()).collect(),
            states: tenants()
                .map(|it| registry.stands(&it.id, now).state)
                .collect(),
        }))
    }

    async fn report(
        &self,
        request: Request<rpc::ReportRequest>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let asked = request.into_inner();
        let known = asked.tenant.is_empty()
            || self
                .office
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

    async fn try_pack(
        &self,
        request: Request<rpc::TryPackRequest>,
    ) -> Result<Response<Self::TryPackStream>, Status> {
        let told = self.trials.begin(request.into_inner())?;
        Ok(Response::new(ReceiverStream::new(told)))
    }

    async fn rebuild(
        &self,
        _: Request<rpc::RebuildRequest>,
    ) -> Result<Response<rpc::RebuildReply>, Status> {
        let rebuilt = self
            .registry
            .rebuild(&self.reader, &self.office.live, &self.office.gate.hosts)
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
    let mut faults = form::Faults::new();
    form::reason(reason, &mut faults);
    fit(&faults)
}

fn fit(faults: &form::Faults) -> Result<(), Status> {
    match faults.first() {
        None => Ok(()),
        Some(fault) => Err(Status::invalid_argument(fault.to_string())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commands_are_answered_again_once_files_can_be_opened_again() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        // EMFILE: the process has as many files open as it may have.
        let mut comes = vec![Ok(ours), Err(io::Error::from_raw_os_error(24))];
        let mut served = accept_by(move |_| comes.pop().map_or(Poll::Pending, Poll::Ready));
        let socket = tokio::time::timeout(Duration::from_secs(20), served.recv()).await;
        assert!(socket.unwrap().unwrap().is_ok());
    }
}
