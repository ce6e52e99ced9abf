//! The answering side, in the daemon.

use std::{io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::{MAX_REPLY, MAX_REQUEST, ORDER, PATIENCE, Reply, Request};
use crate::status::Board;

/// Most connections at a time: one person and a few monitors.
const CONNECTIONS: usize = 8;

/// Wait after an accept that failed, most likely for want of descriptors.
const BREATHER: std::time::Duration = std::time::Duration::from_millis(200);

/// A request that the measuring loop is to answer.
pub type Order = (Request, oneshot::Sender<Reply>);

/// Orders that wait for the loop: as many as there are connections.
pub fn orders() -> (mpsc::Sender<Order>, mpsc::Receiver<Order>) {
    mpsc::channel(CONNECTIONS)
}

/// Binds the socket at mode 0600, in the place of one that a dead agent left.
///
/// The caller holds the directory's lock, so no living agent is behind an old socket.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers for as long as it is polled.
pub async fn serve(listener: UnixListener, board: Board, orders: mpsc::Sender<Order>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let own = rustix::process::geteuid().as_raw();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket takes no connection");
                tokio::time::sleep(BREATHER).await;
                continue;
            }
        };
        match stream.peer_cred().map(|peer| peer.uid()) {
            Ok(uid) if uid == own || uid == 0 => {}
            refused => {
                tracing::warn!(peer = ?refused, "refused a connection to the control socket");
                continue;
            }
        }
        let (board, orders) = (board.clone(), orders.clone());
        tokio::spawn(async move {
            if let Err(error) = answer(stream, &board, &orders).await {
                tracing::debug!(%error, "a request on the control socket came to nothing");
            }
            drop(permit);
        });
    }
}

async fn answer(
    mut stream: UnixStream,
    board: &Board,
    orders: &mpsc::Sender<Order>,
) -> io::Result<()> {
    let mut line = Vec::new();
    let (reading, mut writing) = stream.split();
    let mut reading = BufReader::new(reading.take(MAX_REQUEST as u64));
    timeout(PATIENCE, reading.read_until(b'\n', &mut line)).await??;
    let reply = match serde_json::from_slice(&line) {
        Ok(Request::Status {}) => Reply::Status {
            live: Box::new(board.live()),
        },
        Ok(request) => forward(request, orders).await,
        Err(error) => Reply::Refused {
            text: format!(
                "the request does not read: {error}; use an affiant-agent of one version"
            ),
        },
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    if line.len() > MAX_REPLY {
        return Err(io::Error::other("the reply is too long"));
    }
    timeout(PATIENCE, writing.write_all(&line)).await?
}

async fn forward(request: Request, orders: &mpsc::Sender<Order>) -> Reply {
    let (reply, replied) = oneshot::channel();
    let asked = async {
        orders.send((request, reply)).await.ok()?;
        replied.await.ok()
    };
    let refused = |text: &str| Reply::Refused { text: text.into() };
    match timeout(ORDER, asked).await {
        Ok(Some(reply)) => reply,
        Ok(None) => refused("the agent is stopping; try again when it runs"),
        Err(_) => refused(
            "the agent took the order and did not finish it in time: its disk is slow or hangs; \
             ask `affiant-agent status` what came of it",
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::control::client::{AskError, ask};
    use crate::pause::Plan;
    use std::io::{Read as _, Write as _};

    /// Runs `with` beside a server whose loop answers every order with a resumption.
    fn served<T: Send + 'static>(with: impl FnOnce(&Path) -> T + Send + 'static) -> T {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = bind(&path).unwrap();
            let (orders, mut inbox) = super::orders();
            tokio::spawn(serve(listener, Board::default(), orders));
            tokio::spawn(async move {
                while let Some((request, reply)) = inbox.recv().await {
                    let reason = match request {
                        Request::Pause { reason, .. } => Some(reason),
                        _ => None,
                    };
                    let _ = reply.send(Reply::Resumed { reason });
                }
            });
            tokio::task::spawn_blocking(move || with(&path))
                .await
                .unwrap()
        })
    }

    #[test]
    fn an_order_reaches_the_loop_and_its_answer_comes_back() {
        let request = Request::Pause {
            reason: Plan::Mig,
            for_ms: 60_000,
        };
        let reply = served(move |path| ask(path, &request).unwrap());
        let reason = Some(Plan::Mig);
        assert_eq!(reply, Reply::Resumed { reason });
    }

    #[test]
    fn the_socket_is_for_its_owner_alone() {
        let mode = served(|path| std::fs::metadata(path).unwrap().permissions().mode());
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn what_is_no_request_is_refused_in_words_and_the_next_one_is_answered() {
        for bad in [
            "\n".to_owned(),
            "{}\n".into(),
            "{\"command\":\"pause\"}\n".into(),
            "{\"command\":\"status\",\"more\":1}\n".into(),
            "x".repeat(MAX_REQUEST + 1),
        ] {
            let said = served(move |path| {
                let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
                // One that is too long is cut off before it is all written.
                let _ = stream.write_all(bad.as_bytes());
                let mut said = String::new();
                let _ = stream.read_to_string(&mut said);
                ask(path, &Request::Status {}).unwrap();
                said
            });
            assert!(said.is_empty() || said.contains("refused"), "{said}");
        }
    }

    #[test]
    fn one_who_connects_and_says_nothing_keeps_nobody_out() {
        served(|path| {
            let silent = std::os::unix::net::UnixStream::connect(path).unwrap();
            ask(path, &Request::Status {}).unwrap();
            drop(silent);
        });
    }

    #[test]
    fn an_agent_that_is_not_there_is_told_from_one_that_does_not_answer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let none = ask(&path, &Request::Status {}).unwrap_err();
        assert!(matches!(none, AskError::NotRunning(_)), "{none}");
        // A dead agent's socket is still there.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let dead = ask(&path, &Request::Status {}).unwrap_err();
        assert!(matches!(dead, AskError::NotRunning(_)), "{dead}");
    }
}
