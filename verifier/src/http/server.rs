//! HTTP/1.1 on a socket: everything bounded.

use std::{convert::Infallible, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{JSON, NEVER, SCHEME, Site, places::Places, sent::Sent, text};
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
    /// Short answers that are read from disk at a time. Another is read while one is being sent: a tile has
    /// 8 KiB, 2 MiB with `connections` of them; a statement, for readers with a token, 2 MiB at the most.
    pub reads: usize,
    /// Answers of up to 64 MiB (segments, exhibits) that are read and sent at a time: 4 are 256 MiB, however
    /// slowly they are taken.
    pub sends: usize,
    /// Requests with what officers signed or with a file that are taken at a time, until they are answered:
    /// 4 files of 64 MiB, twice while their parts are joined, are 512 MiB.
    pub submits: usize,
    /// Questions that are taken at a time: 32 of 8 MiB are 256 MiB.
    pub asks: usize,
    /// Objections that are taken at a time.
    pub objects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            connection: Duration::from_secs(120),
            head: Duration::from_secs(10),
            head_bytes: 16 * 1024,
            reads: 4,
            sends: 4,
            submits: 4,
            asks: 32,
            objects: 4,
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
    let connections = Arc::new(Semaphore::new(limits.connections));
    let places = Places::new(&limits);
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&connections).acquire_owned().await else {
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
        let (places, stop) = (places.clone(), stop.clone());
        let tls = match &secured {
            None => None,
            Some(config) => match config.load().api_tls.clone() {
                Some(tls) => Some(tls.server),
                // Whoever reads the configuration again keeps the certificates while this address is served.
                None => continue,
            },
        };
        open.spawn(async move {
            let service = service_fn(move |request| {
                answer(site.clone(), api.clone(), places.clone(), request)
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
    places: Places,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Infallible> {
    if let Some(api) = api
        && request.uri().path().starts_with(api::PREFIX)
    {
        return Ok(spelled(asked(&api, &places, request).await));
    }
    let (sending, reading) = match site.is_long(request.uri().path(), request.headers()) {
        true => (places.send().await, None),
        false => (None, places.read().await),
    };
    let answered = tokio::task::spawn_blocking(move || {
        let answered = site.answer(request.method(), request.uri().path(), request.headers());
        drop(reading);
        answered
    });
    let answered = answered.await.unwrap_or_else(|_| {
        text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "no answer could be made\n",
        )
    });
    Ok(answered.map(|body| Sent::new(body, sending)))
}

/// Asks the API: what a caller has no right to is not read.
async fn asked(api: &Api, places: &Places, request: Request<Incoming>) -> api::Answer {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let granted = match api.grant(&head.method, head.uri.path(), query, &head.headers) {
        Ok(granted) => granted,
        Err(refused) => return refused,
    };
    // Until it is answered: what was taken in is in memory meanwhile.
    let _place = places.take(granted.right()).await;
    match granted.body().take(body).await {
        Ok(body) => api.answer(granted, body).await,
        Err(refused) => refused,
    }
}

fn spelled(answer: api::Answer) -> Response<Sent> {
    let mut response = Response::new(Sent::new(answer.body.into(), None));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NEVER);
    if answer.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, SCHEME);
    }
    response
}
