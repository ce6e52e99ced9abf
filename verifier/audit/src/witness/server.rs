//! The witness on a socket: HTTP/1.1, one path, everything bounded.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use affiant_proto::tlog::{MAX_REQUEST_BYTES, print_conflict};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
    task::JoinSet,
};

use super::{Answer, Memory, Witness};

/// What the server allows its callers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue. Each may hold one request of
    /// 1 MiB, so 16 are 16 MiB.
    pub connections: usize,
    /// Longest life of a connection. A log on a slow line sends 1 MiB in 10 s at 0.8 Mbit/s.
    pub connection: Duration,
    /// How long answers under way may take after the stop signal.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16,
            connection: Duration::from_secs(10),
            drain: Duration::from_secs(2),
        }
    }
}

/// Listens, says where, and answers until SIGTERM or SIGINT.
pub async fn run<M: Memory + 'static>(
    witness: Witness<M>,
    listen: SocketAddr,
    port_file: Option<&Path>,
) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(listen).await?;
    let port = listener.local_addr()?.port();
    if let Some(file) = port_file {
        // Renamed into place, so that nobody reads half a number.
        let new = file.with_extension("new");
        std::fs::write(&new, format!("{port}\n"))?;
        std::fs::rename(&new, file)?;
    }
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(witness, listener, Limits::default(), now, stop).await
}

/// The time of a cosignature: a witness vouches by its own clock.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

type Shared<M> = Arc<Mutex<Witness<M>>>;

/// Answers on `listener` until `stop` resolves; `seconds` gives the time since 1970.
pub async fn serve<M: Memory + 'static>(
    witness: Witness<M>,
    listener: TcpListener,
    limits: Limits,
    seconds: fn() -> u64,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let witness = Arc::new(Mutex::new(witness));
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut open = JoinSet::new();
    tokio::pin!(stop);
    loop {
        while open.try_join_next().is_some() {}
        let place = tokio::select! {
            () = &mut stop => break,
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
        };
        let stream = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // A caller that went away, or no file handle for now: neither ends the witness.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let witness = Arc::clone(&witness);
        open.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&witness), request, seconds));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.connection)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // How a connection ends is the caller's matter.
            let _ = tokio::time::timeout(limits.connection, connection).await;
            drop(place);
        });
    }
    drop(listener);
    let drained = async { while open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(limits.drain, drained).await;
    Ok(())
}

async fn answer<M: Memory + 'static>(
    witness: Shared<M>,
    request: Request<Incoming>,
    seconds: fn() -> u64,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/add-checkpoint" {
        return Ok(text(
            StatusCode::NOT_FOUND,
            "only /add-checkpoint is here\n".into(),
        ));
    }
    if request.method() != Method::POST {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "send a POST\n".into()));
    }
    let Ok(body) = Limited::new(request.into_body(), MAX_REQUEST_BYTES)
        .collect()
        .await
    else {
        return Ok(text(
            StatusCode::BAD_REQUEST,
            "the body is too long or cut short\n".into(),
        ));
    };
    let body = body.to_bytes();
    // Remembering waits for the disk, so it has a thread of its own.
    let judged = tokio::task::spawn_blocking(move || {
        let mut witness = witness.lock().unwrap_or_else(PoisonError::into_inner);
        witness.add(&body, seconds())
    });
    Ok(match judged.await {
        Ok(answer) => spell(answer),
        Err(_) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the witness failed\n".into(),
        ),
    })
}

fn spell(answer: Answer) -> Response<Full<Bytes>> {
    match answer {
        Answer::Cosigned(line) => text(StatusCode::OK, format!("{line}\n")),
        Answer::Conflict(size) => {
            let mut response = text(StatusCode::CONFLICT, print_conflict(size));
            let kind = hyper::header::HeaderValue::from_static("text/x.tlog.size");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Answer::Malformed(why) => text(StatusCode::BAD_REQUEST, why + "\n"),
        Answer::Unsigned(why) => text(StatusCode::FORBIDDEN, why + "\n"),
        Answer::UnknownLog => text(
            StatusCode::NOT_FOUND,
            "this witness does not know that log\n".into(),
        ),
        Answer::Inconsistent(why) => text(StatusCode::UNPROCESSABLE_ENTITY, why + "\n"),
        Answer::Forgetful(why) => text(StatusCode::INTERNAL_SERVER_ERROR, why + "\n"),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
