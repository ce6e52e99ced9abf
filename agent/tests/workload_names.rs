//! Names of pods and jobs, from a kubelet and a prolog that tests play.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use affiant_agent::{
    meter::Holding,
    sample::{GpuProcess, Instant, Processes, Reading, Sample},
    workload::{
        Attribution, Endpoint, EndpointError, Kubelet, MAX_BODY_BYTES, NAME_PATIENCE, NameSources,
        PrologFiles, Resolver, entitlements,
    },
};
use affiant_proto::v1::{Reason, Workload};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, UnixListener},
    task::JoinHandle,
};

const CONTAINER: &str = "3e1b9f4ac0d25e6787b0c2a9d4f1e8375a6b9c0d1e2f30415263748596a7b8c9";
const POD: &str = "0f2d4a6c-8e1b-4c3d-9a5f-7b1e2d3c4f50";
const LONG: Duration = Duration::from_secs(20);

fn pods() -> String {
    format!(
        r#"{{"kind":"PodList","items":[{{"metadata":{{"name":"train-0","namespace":"northwind","uid":"{POD}"}},
        "spec":{{"serviceAccountName":"trainer"}},
        "status":{{"containerStatuses":[{{"containerID":"containerd://{CONTAINER}","image":"registry.example/train:3"}}]}}}}]}}"#
    )
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A kubelet that gives one answer to all and ends with the test.
struct Played {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Played {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Played {
    async fn start(answer: String, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                match &tls {
                    None => serve(stream, &answer, &count).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, &answer, &count).await;
                        }
                    }
                }
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::new(&format!("http://{}", self.address), None, None, None).unwrap()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str, count: &AtomicUsize) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    count.fetch_add(1, Ordering::SeqCst);
    let request = String::from_utf8(request).unwrap();
    assert!(request.starts_with("GET /pods HTTP/1.1\r\n"), "{request}");
    let answer = if answer.is_empty() {
        // Echoes whether the token came with it.
        let known = request.contains("authorization: Bearer sesame\r\n");
        ok(if known {
            &*pods().leak()
        } else {
            "{\"items\":[]}"
        })
    } else {
        answer.to_owned()
    };
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn process(root: &Path, pid: u32, cgroup: &str) {
    let folder = root.join(pid.to_string());
    fs::create_dir_all(&folder).unwrap();
    let stat = format!("{pid} (x) S 1 2 3 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 77 9 10\n");
    fs::write(folder.join("stat"), stat).unwrap();
    fs::write(folder.join("status"), "Uid:\t1000\t1000\t1000\t1000\n").unwrap();
    fs::write(folder.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
}

fn pod_process(root: &Path, pid: u32, uid: &str) {
    process(
        root,
        pid,
        &format!("/kubepods/besteffort/pod{uid}/{CONTAINER}"),
    );
}

fn attribution(root: &Path, names: NameSources) -> Attribution {
    Attribution::new(Resolver::new(root, root.join("passwd")), names)
}

fn sample(boot_ms: u64, processes: Processes) -> Sample {
    let reading = Reading {
        processes,
        ..Reading::default()
    };
    Sample {
        at: Instant {
            boot_ms,
            wall_ms: boot_ms,
            slept_ms: 0,
        },
        devices: vec![Ok(reading)],
    }
}

fn read(pids: &[u32]) -> Processes {
    let process = |pid: &u32| GpuProcess {
        pid: *pid,
        used_memory: None,
        sm_percent: None,
        recorded: None,
    };
    Processes::Read(pids.iter().map(process).collect())
}

/// The workloads of the one device; a holder that is nobody's is `None`.
fn workloads(holdings: &[Holding]) -> Vec<Option<Workload>> {
    let [Holding::Known(holders)] = holdings else {
        panic!("holders are not known: {holdings:?}")
    };
    let own = |h: &affiant_agent::meter::Holder| h.workload.as_deref().cloned();
    holders.iter().map(own).collect()
}

#[tokio::test]
async fn a_new_pods_first_sample_already_has_its_names() {
    let root = tempfile::tempdir().unwrap();
    pod_process(root.path(), 42, POD);
    let kubelet = Played::start(ok(&pods()), None).await;
    let names = NameSources {
        cluster: "hall-2".into(),
        kubelet: Some(Kubelet::start(kubelet.endpoint())),
        slurm: None,
    };
    let mut attribution = attribution(root.path(), names);
    let holdings = attribution.holdings(&sample(0, read(&[42]))).await;
    let workload = workloads(&holdings).remove(0).unwrap();
    assert_eq!(workload.namespace, "northwind");
    assert_eq!(workload.pod, "train-0");
    assert_eq!(workload.service_account, "trainer");
    assert_eq!(workload.image, "registry.example/train:3");
    assert_eq!(
        (workload.cluster.as_str(), workload.uid),
        ("hall-2", Some(1_000))
    );
    let unchanged = attribution
        .holdings(&sample(1_000, Processes::Unchanged))
        .await;
    assert_eq!(unchanged, holdings);
}

#[tokio::test]
async fn a_kubelet_that_hangs_holds_a_sample_up_once_and_no_longer_than_said() {
    let root = tempfile::tempdir().unwrap();
    pod_process(root.path(), 42, POD);
    // Accepts in the kernel, answers never.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let endpoint = Endpoint::new(&url, None, None, None).unwrap();
    let names = NameSources {
        kubelet: Some(Kubelet::start(endpoint)),
        ..NameSources::default()
    };
    let mut attribution = attribution(root.path(), names);
    let new = sample(0, read(&[42]));
    let first = attribution.holdings(&new);
    let holdings = tokio::time::timeout(NAME_PATIENCE + LONG, first)
        .await
        .unwrap();
    let workload = workloads(&holdings).remove(0).unwrap();
    assert_eq!(
        (workload.namespace.as_str(), workload.pod_uid.as_str()),
        ("", POD)
    );
    let again = sample(1_000, Processes::Unchanged);
    let second = attribution.holdings(&again);
    tokio::time::timeout(NAME_PATIENCE / 2, second)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_pod_that_stays_unknown_is_not_asked_for_with_every_sample() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Played::start(ok("{\"items\":[]}"), None).await;
    pod_process(root.path(), 42, POD);
    let names = NameSources {
        kubelet: Some(Kubelet::start(kubelet.endpoint())),
        ..NameSources::default()
    };
    let mut attribution = attribution(root.path(), names);
    attribution.holdings(&sample(0, read(&[42]))).await;
    let asked = kubelet.asked.load(Ordering::SeqCst);
    for n in 1..9 {
        let again = attribution
            .holdings(&sample(n * 1_000, Processes::Unchanged))
            .await;
        assert_eq!(workloads(&again)[0].as_ref().unwrap().namespace, "");
    }
    let later = kubelet.asked.load(Ordering::SeqCst);
    assert!(later <= asked + 1, "{asked} reads became {later}");
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn acceptor(ca: &CertifiedIssuer<'static, KeyPair>) -> tokio_rustls::TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["node-7".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn over_tls_the_token_goes_to_the_kubelet_that_the_ca_vouches_for_and_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority(), authority());
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, ours.pem()).unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "sesame\n").unwrap();
    let endpoint = |played: &Played, name: Option<&str>| {
        let url = format!("https://{}", played.address);
        Endpoint::new(&url, Some(&ca), Some(token.clone()), name).unwrap()
    };

    let good = Played::start(String::new(), Some(acceptor(&ours))).await;
    let kubelet = Kubelet::start(endpoint(&good, Some("node-7")));
    kubelet.wait_for(POD, LONG).await;
    assert_eq!(kubelet.pods().get(POD).unwrap().name, "train-0");

    let wrong_name = Kubelet::start(endpoint(&good, None));
    let impostor = Played::start(String::new(), Some(acceptor(&theirs))).await;
    let wrong_ca = Kubelet::start(endpoint(&impostor, Some("node-7")));
    let patience = Duration::from_millis(700);
    tokio::join!(
        wrong_name.wait_for(POD, patience),
        wrong_ca.wait_for(POD, patience)
    );
    assert!(wrong_name.pods().get(POD).is_none());
    assert!(wrong_ca.pods().get(POD).is_none());
    assert_eq!(
        impostor.asked.load(Ordering::SeqCst),
        0,
        "no request, no token"
    );
}

#[tokio::test]
async fn an_answer_that_is_endless_elsewhere_or_refused_names_nobody() {
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/pods\r\nContent-Length: 0\r\n\r\n";
    let refused = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{}",
        pods().len(),
        pods()
    );
    let padded = format!("{}{}", pods(), " ".repeat(MAX_BODY_BYTES));
    for answer in [
        redirect.to_owned(),
        refused,
        ok(&padded),
        "nonsense\r\n\r\n".into(),
    ] {
        let played = Played::start(answer, None).await;
        let kubelet = Kubelet::start(played.endpoint());
        kubelet.wait_for(POD, Duration::from_millis(700)).await;
        assert!(kubelet.pods().get(POD).is_none());
        assert!(played.asked.load(Ordering::SeqCst) >= 1);
    }
}

#[test]
fn an_endpoint_that_would_leak_or_trust_nobody_is_refused() {
    let token = || Some("/run/token".into());
    let new = |url: &str, token| Endpoint::new(url, None, token, None).unwrap_err();
    assert!(matches!(
        new("https://127.0.0.1:10250", None),
        EndpointError::NoCa
    ));
    assert!(matches!(
        new("http://127.0.0.1:10255", token()),
        EndpointError::TokenInClear
    ));
    for url in [
        "http://10.0.0.1:10255",
        "127.0.0.1:10250",
        "ftp://127.0.0.1:1",
        "http://127.0.0.1",
        "",
        "http://a@127.0.0.1:1",
        "http://127.0.0.1:1/other",
    ] {
        assert!(matches!(new(url, None), EndpointError::Url(_)), "{url}");
    }
    let ca = tempfile::NamedTempFile::new().unwrap();
    let empty = Endpoint::new("https://127.0.0.1:1", Some(ca.path()), None, None);
    assert!(matches!(empty, Err(EndpointError::Ca { .. })));
}

#[tokio::test]
async fn a_job_is_named_by_its_prolog_file_and_by_a_late_one_too() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("slurm");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    process(
        root.path(),
        42,
        "/system.slice/slurmstepd.scope/job_9/step_0/user",
    );
    let names = NameSources {
        cluster: "hall-2".into(),
        kubelet: None,
        slurm: Some(PrologFiles::new(
            &folder,
            fs::metadata(&folder).unwrap().uid(),
        )),
    };
    let mut attribution = attribution(root.path(), names);
    let holdings = attribution.holdings(&sample(0, read(&[42]))).await;
    let workload = workloads(&holdings).remove(0).unwrap();
    assert_eq!(
        (workload.slurm_job.as_str(), workload.slurm_account.as_str()),
        ("9", "")
    );
    let file = folder.join("9");
    fs::write(&file, "account=quickfire\nuser=marta\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let holdings = attribution
        .holdings(&sample(10_000, Processes::Unchanged))
        .await;
    let workload = workloads(&holdings).remove(0).unwrap();
    assert_eq!(
        (workload.slurm_account.as_str(), workload.user.as_str()),
        ("quickfire", "marta")
    );
    assert_eq!(workload.cluster, "hall-2");
}

#[tokio::test]
async fn a_list_that_failed_is_unknown_until_one_is_read_and_a_lost_tick_keeps_the_last() {
    let root = tempfile::tempdir().unwrap();
    process(root.path(), 42, "/system.slice/run-u77.service");
    let mut attribution = attribution(root.path(), NameSources::default());
    let mut next = async |processes| attribution.holdings(&sample(0, processes)).await;
    assert_eq!(
        next(Processes::Unchanged).await,
        [Holding::Unknown],
        "never read"
    );
    let known = next(read(&[42, 43, 0])).await;
    let who: Vec<bool> = workloads(&known).iter().map(Option::is_some).collect();
    assert_eq!(
        who,
        [true, false, false],
        "gone and numberless are nobody's, yet they hold"
    );
    assert_eq!(next(Processes::Failed).await, [Holding::Unknown]);
    assert_eq!(next(Processes::Unchanged).await, [Holding::Unknown]);
    assert_eq!(next(read(&[42, 43, 0])).await, known);
    let lost = Sample {
        devices: vec![Err(Reason::DriverError)],
        ..sample(0, Processes::Unchanged)
    };
    attribution.holdings(&lost).await;
    let after = attribution.holdings(&sample(0, Processes::Unchanged)).await;
    assert_eq!(after, known);
}

mod podresources {
    //! The far side of the socket: the same public message, spelled by hand on the wire.

    use prost::bytes::{Bytes, BytesMut};
    use tonic::{
        Request, Response, Status,
        body::Body,
        codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
        codegen::{BoxFuture, http, tokio_stream::once},
        server::{Grpc, NamedService, UnaryService},
    };

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        assert!(length < 128);
        [&[(number << 3) | 2, length], content].concat()
    }

    /// Pod `train-0` in `northwind` with one GPU and one device of another vendor.
    pub(crate) fn answer() -> Bytes {
        let gpu = [field(1, b"nvidia.com/gpu"), field(2, b"GPU-1::0")].concat();
        let other = [field(1, b"example.com/fpga"), field(2, b"F-1")].concat();
        // Field 3 of a container, cpu_ids, is one that the agent does not read.
        let container = [
            field(1, b"c"),
            field(2, &gpu),
            field(2, &other),
            field(3, &[1, 2]),
        ];
        let pod = [
            field(1, b"train-0"),
            field(2, b"northwind"),
            field(3, &container.concat()),
        ];
        let idle = [field(1, b"web-0"), field(2, b"default")];
        BytesMut::from(&[field(1, &pod.concat()), field(1, &idle.concat())].concat()[..]).freeze()
    }

    #[derive(Clone, Default)]
    struct Raw;

    impl Codec for Raw {
        type Encode = Bytes;
        type Decode = ();
        type Encoder = Self;
        type Decoder = Self;

        fn encoder(&mut self) -> Self {
            Self
        }

        fn decoder(&mut self) -> Self {
            Self
        }
    }

    impl Encoder for Raw {
        type Item = Bytes;
        type Error = Status;

        fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
            prost::bytes::BufMut::put(to, item);
            Ok(())
        }
    }

    impl Decoder for Raw {
        type Item = ();
        type Error = Status;

        fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
            assert!(
                !prost::bytes::Buf::has_remaining(from),
                "the request is empty"
            );
            Ok(Some(()))
        }
    }

    struct List;

    impl UnaryService<()> for List {
        type Response = Bytes;
        type Future = BoxFuture<Response<Bytes>, Status>;

        fn call(&mut self, _: Request<()>) -> Self::Future {
            Box::pin(async { Ok(Response::new(answer())) })
        }
    }

    #[derive(Clone)]
    pub(crate) struct Server;

    impl NamedService for Server {
        const NAME: &'static str = "v1.PodResourcesLister";
    }

    impl tower::Service<http::Request<Body>> for Server {
        type Response = http::Response<Body>;
        type Error = std::convert::Infallible;
        type Future = BoxFuture<Self::Response, Self::Error>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<Body>) -> Self::Future {
            assert_eq!(request.uri().path(), "/v1.PodResourcesLister/List");
            Box::pin(async { Ok(Grpc::new(Raw).unary(List, request).await) })
        }
    }

    /// Serves `listener` until the task is ended.
    pub(crate) async fn serve(listener: tokio::net::UnixListener) {
        let (stream, _) = listener.accept().await.unwrap();
        tonic::transport::Server::builder()
            .add_service(Server)
            .serve_with_incoming(once(Ok::<_, std::io::Error>(stream)))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_kubelet_tells_which_pod_was_given_which_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("kubelet.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(podresources::serve(listener));
    let pods = tokio::time::timeout(LONG, entitlements(socket))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(pods.len(), 1, "a pod without a GPU is entitled to none");
    assert_eq!(
        (pods[0].namespace.as_str(), pods[0].pod.as_str()),
        ("northwind", "train-0")
    );
    assert_eq!(pods[0].device_ids, ["GPU-1::0"]);
    server.abort();
    assert!(entitlements(folder.path().join("nothing")).await.is_err());
}
