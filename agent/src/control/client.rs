//! The asking side, for commands.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use super::{MAX_REPLY, ORDER, PATIENCE, Reply, Request};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody is behind the socket.
    #[error("no agent runs on {0}; start it with `affiant-agent run` or its service")]
    NotRunning(PathBuf),
    /// The socket.
    #[error("cannot ask the agent at {path}: {error}; run this as the agent's user or root")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// No answer in time, or none that can be read.
    #[error("the agent at {path} gives no answer: {text}; look at its journal")]
    Silent {
        /// The socket.
        path: PathBuf,
        /// What came instead.
        text: String,
    },
    /// It was not done.
    #[error("{0}")]
    Refused(String),
}

/// Asks the agent that runs on the socket. Waits for its answer, but not for ever.
pub fn ask(socket: &Path, request: &Request) -> Result<Reply, AskError> {
    let path = || socket.to_owned();
    let failed = |error| AskError::Io {
        path: path(),
        error,
    };
    let silent = |text: String| AskError::Silent { path: path(), text };
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NotRunning(socket.parent().unwrap_or(socket).to_owned())
        }
        _ => failed(error),
    })?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    stream
        .set_read_timeout(Some(ORDER + PATIENCE))
        .map_err(failed)?;
    let mut line = serde_json::to_vec(request).map_err(|error| silent(error.to_string()))?;
    line.push(b'\n');
    stream
        .write_all(&line)
        .map_err(|error| silent(error.to_string()))?;
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_REPLY as u64))
        .read_until(b'\n', &mut line)
        .map_err(|error| silent(error.to_string()))?;
    match serde_json::from_slice(&line) {
        Ok(Reply::Refused { text }) => Err(AskError::Refused(text)),
        Ok(reply) => Ok(reply),
        Err(error) => Err(silent(error.to_string())),
    }
}
