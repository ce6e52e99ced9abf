//! Which devices the kubelet gave to which pod: the entitlement, against which what is seen on a
//! device can be held. A pod that got at a device without asking for one is not in it.
//!
//! The messages are those of `v1.PodResourcesLister`, cut down to what is read; protobuf passes
//! over the rest.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{self, Uri},
};

/// Longest answer: 500 pods of 64 devices with 50 bytes each are 1.6 MB.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Time that the answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why the entitlements are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceListError {
    /// The socket cannot be reached.
    #[error("cannot connect to the kubelet's pod-resources socket {path}: {error}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the transport said.
        error: transport::Error,
    },
    /// The kubelet refused.
    #[error("the kubelet's pod-resources socket answered: {0}")]
    Status(Box<tonic::Status>),
}

/// The devices of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// Ids of its NVIDIA devices as the device plugin gave them: a UUID, or with sharing
    /// `UUID::N`.
    pub device_ids: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct ListResponse {
    #[prost(message, repeated, tag = "1")]
    pods: Vec<PodResources>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodResources {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(message, repeated, tag = "3")]
    containers: Vec<ContainerResources>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerResources {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    devices: Vec<ContainerDevices>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerDevices {
    #[prost(string, tag = "1")]
    resource_name: String,
    #[prost(string, repeated, tag = "2")]
    device_ids: Vec<String>,
}

/// Reads bytes as the kubelet's list of devices: for fuzz targets.
pub(super) fn read_any(bytes: &[u8]) {
    let _ = <ListResponse as prost::Message>::decode(bytes);
}

/// Asks the kubelet at `socket` (by custom `/var/lib/kubelet/pod-resources/kubelet.sock`) which
/// pods were given devices of NVIDIA's plugin.
pub async fn entitlements(socket: PathBuf) -> Result<Vec<Entitlement>, DeviceListError> {
    let path = Arc::new(socket.clone());
    let connector = tower::service_fn(move |_: Uri| {
        let path = Arc::clone(&path);
        async move { UnixStream::connect(path.as_ref()).await.map(TokioIo::new) }
    });
    // The name is not resolved: the connector goes to the socket whatever it says.
    let channel = transport::Endpoint::from_static("http://kubelet.invalid")
        .connect_timeout(DEADLINE)
        .timeout(DEADLINE)
        .connect_with_connector(connector)
        .await
        .map_err(|error| DeviceListError::Connect {
            path: socket,
            error,
        })?;
    let refused = |status| DeviceListError::Status(Box::new(status));
    let mut client = Grpc::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
    let not_ready = |error: transport::Error| {
        refused(tonic::Status::unavailable(
            io::Error::other(error).to_string(),
        ))
    };
    client.ready().await.map_err(not_ready)?;
    let response: tonic::Response<ListResponse> = client
        .unary(
            tonic::Request::new(ListRequest {}),
            PathAndQuery::from_static("/v1.PodResourcesLister/List"),
            tonic_prost::ProstCodec::default(),
        )
        .await
        .map_err(refused)?;
    let entitled = |pod: PodResources| {
        let devices = pod.containers.into_iter().flat_map(|c| c.devices);
        let nvidia = devices.filter(|d| d.resource_name.starts_with("nvidia.com/"));
        Entitlement {
            namespace: pod.namespace,
            pod: pod.name,
            device_ids: nvidia.flat_map(|d| d.device_ids).collect(),
        }
    };
    let pods = response.into_inner().pods.into_iter().map(entitled);
    Ok(pods.filter(|pod| !pod.device_ids.is_empty()).collect())
}
