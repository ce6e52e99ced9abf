//! HTTP/1.1 on a socket: everything bounded.

use std::{convert::Infallible, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CACHE_CONTROL, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{JSON, NEVER, Site, text};
use crate::{
    api::{self, Api},
    config::Config,
};

/// What callers are allowed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// Longest life of a connection; a mirror that wants more comes again.
    pub connection: Duration,
    /// Longest wait for a request's head.
    pub head: Duration,
    /// Bytes of a request's head; a path has some 130 and a token 58.
    pub head_bytes: usize,
    /// Answers that are read from disk at a time. A segment has 64 MiB at most, so 4 are 256 MiB.
    pub reads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            connection: Duration::from_secs(120),
            head: Duration::from_secs(10),
            head_bytes: 16 * 1024,
            reads: 4,
        }
    }
}

/// Answers on `listener` until `stop`; what begins with the API's prefix `api` answers, where there is one.
/// With `secured`, over TLS as the configuration says by now.
pub async fn serve(
    site: Site,
    api: Option<Api>,
    (listener, secured): (TcpListener, Option<Arc<ArcSwap<Config>>>),
    limits: Limits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let reads = Arc::new(Semaphore::new(limits.reads));
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: give others time to close.
                    tracing::warn!(%error, "could not accept an HTTP connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (site, api) = (site.clone(), api.clone());
        let (reads, stop) = (Arc::clone(&reads), stop.clone());
        let tls = match &secured {
            None => None,
            Some(config) => match config.load().api_tls.clone() {
                Some(tls) => Some(tls.server),
                // It was taken out of the configuration, and ends with the next start.
                None => continue,
            },
        };
        open.spawn(async move {
            let service = service_fn(move |request| {
                answer(site.clone(), api.clone(), Arc::clone(&reads), request)
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(limits.head)
                .max_buf_size(limits.head_bytes);
            let connection = async {
                // How a connection ends is the caller's matter.
                match tls {
                    None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        if let Some(stream) = tls.accept(stream).await {
                            drop(http.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = tokio::time::timeout(limits.connection, connection) => {}
            }
            drop(place);
        });
    }
}

async fn answer(
    site: Site,
    api: Option<Api>,
    reads: Arc<Semaphore>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let place = reads.acquire_owned().await;
    if let Some(api) = api
        && request.uri().path().starts_with(api::PREFIX)
    {
        return Ok(spelled(asked(&api, request).await));
    }
    let answered = tokio::task::spawn_blocking(move || {
        let answered = site.answer(request.method(), request.uri().path(), request.headers());
        drop(place);
        answered
    });
    Ok(answered.await.unwrap_or_else(|_| {
        text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "no answer could be made\n",
        )
    }))
}

/// Asks the API: what a caller has no right to is not read.
async fn asked(api: &Api, request: Request<Incoming>) -> api::Answer {
    let (head, body) = request.into_parts();
    let (method, path) = (head.method, head.uri.path());
    let query = head.uri.query().unwrap_or_default();
    if let Some(refused) = api.refusal(&method, path, query, &head.headers) {
        return refused;
    }
    let limit = api::limit(&method, path, query);
    match Limited::new(body, limit).collect().await {
        Ok(body) => api.answer(&method, path, query, &body.to_bytes()).await,
        Err(error) => api::Answer::unread(limit, &*error),
    }
}

fn spelled(answer: api::Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body.into()));
    *response.status_mut() = answer.status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, NEVER);
    response
}
