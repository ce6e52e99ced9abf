//! What the agent takes from outside and a verdict may hang on: clocks, chance, the network.

use std::{io, pin::Pin, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::{backoff::Chance, clock::Clock, config::VerifierUrl};

/// A connection's bytes, before TLS.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A socket on its way.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<Box<dyn Socket>>> + Send>>;

/// Opens sockets to the verifier.
#[derive(Clone)]
pub struct Dial(Arc<dyn Fn(VerifierUrl) -> Dialling + Send + Sync>);

impl Dial {
    /// TCP.
    pub fn tcp() -> Self {
        Self::of(|verifier| {
            Box::pin(async move {
                let socket = TcpStream::connect((verifier.host(), verifier.port())).await?;
                // A record must not wait for a full packet.
                socket.set_nodelay(true)?;
                Ok(Box::new(socket) as Box<dyn Socket>)
            })
        })
    }

    /// Any other way.
    pub fn of(dial: impl Fn(VerifierUrl) -> Dialling + Send + Sync + 'static) -> Self {
        Self(Arc::new(dial))
    }

    pub(crate) fn open(&self, verifier: &VerifierUrl) -> Dialling {
        (self.0)(verifier.clone())
    }
}

/// All of it together.
#[derive(Clone)]
pub struct Outside {
    /// The host's clocks.
    pub clock: Clock,
    /// Spreads the waits.
    pub chance: Chance,
    /// The way to the verifier.
    pub dial: Dial,
}

impl Outside {
    /// This host's own.
    pub fn system() -> Self {
        Self {
            clock: Clock::system(),
            chance: Chance::system(),
            dial: Dial::tcp(),
        }
    }
}
