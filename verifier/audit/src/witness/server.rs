//! The witness on a socket: HTTP/1.1, three paths, everything bounded.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use affiant_proto::tlog::{MAX_REQUEST_BYTES, Origin, print_conflict};
use affiant_report::plain_file;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE},
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

use super::{Answer, Memory, Witness, page};

/// What the server allows its callers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue. Each may hold one request of
    /// 1 MiB, so 64 are 64 MiB.
    pub connections: usize,
    /// Connections of one address at a time, so that one caller cannot take all places; loopback,
    /// from where a reverse proxy calls for everybody, is not counted.
    pub of_one_address: usize,
    /// Until the head of a request must be there.
    pub head: Duration,
    /// Longest life of a connection. A log on a slow line sends 1 MiB in 10 s at 0.8 Mbit/s.
    pub connection: Duration,
    /// How long answers under way may take after the stop signal.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            of_one_address: 8,
            head: Duration::from_secs(3),
            connection: Duration::from_secs(10),
            drain: Duration::from_secs(2),
        }
    }
}

/// Names a log in a path: the SHA-256 of its origin in lower-case hexadecimal.
pub(super) fn origin_hash(origin: &Origin) -> String {
    affiant_proto::digest(origin.as_str().as_bytes()).to_string()
}

/// Bytes of a request's head: a method, a path of a hash and a score of headers.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Listens, says where, and answers until SIGTERM or SIGINT.
pub async fn run<M: Memory + 'static>(
    witness: Witness<M>,
    listen: SocketAddr,
    port_file: Option<&Path>,
) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tell(&format!(
        "{} listens on {address} and watches {} logs",
        witness.key().name(),
        witness.watched().count()
    ));
    let port = address.port();
    if let Some(file) = port_file {
        // Renamed into place, so that nobody reads half a number.
        let new = file.with_extension("new");
        let put = plain_file::put(file, &new, format!("{port}\n").as_bytes());
        put.map_err(io::Error::other)?;
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
pub(super) fn now() -> u64 {
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
    let callers = Callers::default();
    let mut open = JoinSet::new();
    tokio::pin!(stop);
    loop {
        while open.try_join_next().is_some() {}
        let place = tokio::select! {
            () = &mut stop => break,
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
        };
        let (stream, from) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // A caller that went away, or no file handle for now: neither ends the witness.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let Some(caller) = callers.enter(from.ip(), limits.of_one_address) else {
            continue;
        };
        let witness = Arc::clone(&witness);
        open.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&witness), request, seconds));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.head)
                .max_buf_size(MAX_HEAD_BYTES)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // How a connection ends is the caller's matter.
            let _ = tokio::time::timeout(limits.connection, connection).await;
            drop((place, caller));
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
    let path = request.uri().path().to_owned();
    let due = match path.as_str() {
        "/add-checkpoint" => Method::POST,
        path if path == "/" || path.ends_with("/checkpoint") => Method::GET,
        _ => {
            return Ok(text(
                StatusCode::NOT_FOUND,
                "nothing is here; see /\n".into(),
            ));
        }
    };
    if request.method() != due {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, format!("send a {due}\n"));
        if let Ok(allow) = due.as_str().parse() {
            refused.headers_mut().insert(ALLOW, allow);
        }
        return Ok(refused);
    }
    if due == Method::GET {
        return Ok(look(&locked(&witness), &path));
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
    let judged = tokio::task::spawn_blocking(move || locked(&witness).add(&body, seconds()));
    Ok(match judged.await {
        Ok(answer) => {
            alarm(&answer);
            spell(answer)
        }
        Err(_) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the witness failed\n".into(),
        ),
    })
}

/// Says for the journal what somebody has to see to. Only what the key of a log that is watched has signed
/// comes to this, so that no stranger fills it.
fn alarm(answer: &Answer) {
    match answer {
        Answer::Contradicted(size) => tell(&format!(
            "NOT COSIGNED: the key of a log signed two trees of size {size}; both are kept in the state, and / shows them"
        )),
        Answer::Inconsistent(why) => tell(&format!("NOT COSIGNED: {why}")),
        Answer::Forgetful(why) => tell(&format!("NOT COSIGNED: {why}")),
        _ => {}
    }
}

/// Writes a line to standard error; one that nobody reads is no reason to stop.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "affiant-audit witness: {text}");
}

fn locked<M>(witness: &Shared<M>) -> MutexGuard<'_, Witness<M>> {
    witness.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What anybody may read: the page for people, and what was cosigned last of a log.
fn look<M: Memory>(witness: &Witness<M>, path: &str) -> Response<Full<Bytes>> {
    if path == "/" {
        return text(StatusCode::OK, page(witness));
    }
    let hash = path.strip_prefix('/');
    let hash = hash.and_then(|path| path.strip_suffix("/checkpoint"));
    let mut watched = witness.watched();
    let seen = watched.find(|(origin, ..)| hash == Some(&origin_hash(origin)));
    match seen.and_then(|(.., seen)| seen) {
        Some(seen) => text(StatusCode::OK, seen.note().to_string()),
        None => text(
            StatusCode::NOT_FOUND,
            "nothing was cosigned of such a log; see /\n".into(),
        ),
    }
}

/// How many connections each address has.
#[derive(Clone, Default)]
struct Callers(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// One connection of an address, as long as it lives.
struct Caller(Callers, IpAddr);

impl Callers {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more; none where the address has as many as it may.
    fn enter(&self, from: IpAddr, most: usize) -> Option<Caller> {
        let from = from.to_canonical();
        let mut counts = self.counts();
        let count = counts.entry(from).or_default();
        if *count >= most && !from.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Caller(self.clone(), from))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        if let Some(count) = counts.get_mut(&self.1) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

fn spell(answer: Answer) -> Response<Full<Bytes>> {
    match answer {
        Answer::Cosigned(line) => text(StatusCode::OK, format!("{line}\n")),
        Answer::Conflict(size) | Answer::Contradicted(size) => {
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
    let kind = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_some_places_and_leaves_the_others() {
        let callers = Callers::default();
        let [greedy, other, local] =
            ["192.0.2.1", "2001:db8::1", "127.0.0.1"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let mut held: Vec<Caller> = (0..8).map(|_| callers.enter(greedy, 8).unwrap()).collect();
        assert!(callers.enter(greedy, 8).is_none());
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert!(callers.enter(mapped, 8).is_none(), "the same caller");
        assert!(callers.enter(other, 8).is_some());
        held.pop();
        assert!(callers.enter(greedy, 8).is_some());
        let proxied: Vec<Caller> = (0..64).map_while(|_| callers.enter(local, 8)).collect();
        assert_eq!(proxied.len(), 64);
        drop((held, proxied));
        assert!(callers.counts().is_empty(), "nothing is kept of who left");
    }
}
