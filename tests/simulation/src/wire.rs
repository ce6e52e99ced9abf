//! The simulated network in the places where agent and verifier have TCP; TLS runs over it as ever.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use affiant_agent::outside::{Dial, Socket};
use affiant_verifier::tls::Listen;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::{Connected, TcpConnectInfo};
use turmoil::net::{TcpListener, TcpStream};

/// Where the verifier listens.
pub const PORT: u16 = 7_443;

/// One connection.
pub struct Wire(TcpStream);

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Who is at the other end is for its certificate to say, as everywhere.
impl Connected for Wire {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo {
            local_addr: None,
            remote_addr: None,
        }
    }
}

/// The verifier's end.
pub struct Wires(TcpListener);

impl Wires {
    /// Listens on [`PORT`].
    pub async fn listen() -> io::Result<Self> {
        TcpListener::bind(("0.0.0.0", PORT)).await.map(Self)
    }
}

impl Listen for Wires {
    type Socket = Wire;

    async fn accept(&mut self) -> io::Result<(Wire, SocketAddr)> {
        let (socket, peer) = self.0.accept().await?;
        Ok((Wire(socket), peer))
    }
}

/// The agent's end.
pub fn dial() -> Dial {
    Dial::of(|verifier| {
        Box::pin(async move {
            let socket = TcpStream::connect((verifier.host().to_owned(), verifier.port())).await?;
            Ok(Box::new(Wire(socket)) as Box<dyn Socket>)
        })
    })
}
