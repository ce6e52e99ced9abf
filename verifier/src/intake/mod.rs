//! Intake: streams of statements in, watermarks out.

mod carried;
mod driven;
mod relay;
mod session;

use std::{sync::Arc, time::Duration};

use affiant_judge::admission::Sources;
use affiant_proto::v1;
use tokio::{runtime::Handle, sync::watch};
use tonic::{Request, Response, Status, Streaming};

use carried::{Carried, Desk};
use driven::Driven;
use relay::Relayed;
use session::Session;

use crate::{
    bell::Bell,
    clock::Clock,
    gate::Gate,
    ledger::Reader,
    pki::Peer,
    presence::Here,
    rpc::intake_server::Intake,
    writer::{Published, Submit},
};

/// How long a stream may be open before its hello.
const HELLO: Duration = Duration::from_secs(10);

/// The service.
#[derive(Clone)]
pub struct IntakeService {
    /// Who may be connected.
    pub gate: Gate,
    /// Which measurements are believed.
    pub sources: Sources,
    /// The writer.
    pub submit: Submit,
    /// The newest checkpoint.
    pub published: watch::Receiver<Published>,
    /// The published log.
    pub reader: Reader,
    /// Whose threads may wait for the disk; none where one thread does everything.
    pub disk: Option<Handle>,
    /// The wall clock.
    pub clock: Clock,
}

#[tonic::async_trait]
impl Intake for IntakeService {
    type UploadStream = Driven<v1::UploadReply>;
    type RelayStream = Driven<v1::RelayReply>;

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<Self::UploadStream>, Status> {
        let peer = peer(&request)?;
        let mut inbound = request.into_inner();
        let (hello, spool) = match tokio::time::timeout(HELLO, inbound.message()).await {
            Ok(Ok(Some(v1::UploadRequest {
                body: Some(v1::upload_request::Body::Hello(hello)),
                spool,
            }))) => (hello, spool),
            _ => return Err(Status::invalid_argument("a stream begins with a hello")),
        };
        if hello.chain != peer.chain.as_bytes() {
            return Err(Status::permission_denied(
                "hello names another chain than the certificate",
            ));
        }
        let host = self.gate.pass(&peer)?;
        let (clock, ends) = (self.clock.clone(), peer.ends_unix_ms);
        let here = Here::begin(host.clone(), clock, Some(hello.sequence), ends);
        if let Some(spool) = spool {
            here.tell_spool(spool);
        }
        let bell = Arc::<Bell>::default();
        let session = host.begin_session(&bell);
        let session = Session {
            desk: self.desk(),
            peer,
            carried: Carried::begin(host, session, here),
            bell,
            hello: (hello.sequence, hello.head),
            published: self.published.clone(),
            patience: session::ROOM,
        };
        let stream = Driven::new(|replies| session.run(inbound, replies));
        Ok(Response::new(stream))
    }

    async fn relay(
        &self,
        request: Request<Streaming<v1::RelayRequest>>,
    ) -> Result<Response<Self::RelayStream>, Status> {
        let peer = peer(&request)?;
        let mut inbound = request.into_inner();
        let hello = match tokio::time::timeout(HELLO, inbound.message()).await {
            Ok(Ok(Some(v1::RelayRequest {
                body: Some(v1::relay_request::Body::Hello(hello)),
            }))) => hello,
            _ => return Err(Status::invalid_argument("a stream begins with a hello")),
        };
        if hello.chain != peer.chain.as_bytes() {
            return Err(Status::permission_denied(
                "hello names another chain than the certificate",
            ));
        }
        let session = Relayed {
            relay: self.gate.pass_relay(&peer)?,
            desk: self.desk(),
            peer,
            bell: Arc::default(),
            places: Vec::new(),
            in_flight: 0,
            published: self.published.clone(),
            clock: self.clock.clone(),
            patience: session::ROOM,
        };
        let stream = Driven::new(|replies| session.run(inbound, replies));
        Ok(Response::new(stream))
    }

    async fn prove(
        &self,
        request: Request<v1::ProveRequest>,
    ) -> Result<Response<v1::ProveReply>, Status> {
        let peer = peer(&request)?;
        self.gate.pass_any(&peer)?;
        let v1::ProveRequest { index, size } = request.into_inner();
        let published = self.published.borrow().clone();
        let size = if size == 0 { published.size } else { size };
        if size > published.size || index >= size {
            return Err(Status::not_found(format!(
                "the newest checkpoint has size {}; it proves no index {index} in a tree of size {size}",
                published.size
            )));
        }
        let path = self
            .path(move |reader| reader.inclusion_proof(index, size))
            .await?;
        Ok(Response::new(v1::ProveReply {
            checkpoint: published.note.to_vec(),
            path,
        }))
    }

    async fn extend(
        &self,
        request: Request<v1::ExtendRequest>,
    ) -> Result<Response<v1::ExtendReply>, Status> {
        let peer = peer(&request)?;
        self.gate.pass_any(&peer)?;
        let size = request.into_inner().size;
        let published = self.published.borrow().clone();
        if size == 0 || size > published.size {
            return Err(Status::not_found(format!(
                "the newest checkpoint has size {} and extends no tree of size {size}",
                published.size
            )));
        }
        let path = self
            .path(move |reader| reader.consistency_proof(size, published.size))
            .await?;
        Ok(Response::new(v1::ExtendReply {
            checkpoint: published.note.to_vec(),
            path,
        }))
    }
}

impl IntakeService {
    fn desk(&self) -> Desk {
        Desk {
            gate: self.gate.clone(),
            sources: self.sources,
            submit: self.submit.clone(),
        }
    }

    /// Reads a proof from the published tree, on a thread that may wait for the disk.
    async fn path<E: std::fmt::Display + Send + 'static>(
        &self,
        read: impl FnOnce(Reader) -> Result<Vec<affiant_proto::tlog::Hash>, E> + Send + 'static,
    ) -> Result<Vec<Vec<u8>>, Status> {
        let reader = self.reader.clone();
        let path = match &self.disk {
            Some(disk) => disk
                .spawn_blocking(move || read(reader))
                .await
                .map_err(|_| Status::internal("proof was interrupted"))?,
            // One thread for everything, as in a simulation, does this too.
            None => read(reader),
        };
        let path = path.map_err(|error| {
            tracing::error!(%error, "could not make a proof");
            Status::internal("the log could not be read")
        })?;
        Ok(path.iter().map(|hash| hash.as_bytes().to_vec()).collect())
    }
}

/// Reads who is at the other end out of the certificate that TLS verified.
fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let certificates = request.peer_certs().filter(|chain| !chain.is_empty());
    let leaf = certificates.as_ref().and_then(|chain| chain.first());
    let leaf = leaf.ok_or_else(|| Status::unauthenticated("a client certificate is due"))?;
    Peer::read(leaf).map_err(|error| Status::unauthenticated(error.to_string()))
}
