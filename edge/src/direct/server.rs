//! A connection to a server, and what may go wrong on it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use edge_conn::{Alarm, Client};
use edge_core::Refusal;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::proxy::body::CLIENT_GONE;

/// A connection to a server.
pub(super) struct Server {
    stream: TcpStream,
    address: SocketAddr,
    /// Moved, not made anew, for every wait.
    alarm: Alarm,
}

/// Why an exchange did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// None can be had; the status says why.
    NoServer(u16),
    /// It is spoken to in a way that only the engine knows; nothing was sent.
    Elsewhere,
    Unreachable,
    /// It did not accept the connection in time.
    ConnectLate,
    /// It closed before its first byte: an old connection may just have ended.
    Silent,
    /// It closed in the middle, or what it says cannot be read.
    Broken,
    /// It did not go on in time.
    Late,
    /// The client left before the answer began, or stopped reading it.
    ClientGone,
    ClientSlow,
    /// The context holds the refusal of a layer.
    Refused,
}

impl Trouble {
    /// Whether the server broke off, or was late.
    pub(super) fn is_of_the_server(self) -> bool {
        matches!(self, Self::Silent | Self::Broken | Self::Late)
    }

    /// What the client is told.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::NoServer(503) => Refusal::new(503, "no upstream server"),
            Self::NoServer(status) => Refusal::new(status, "refused by the proxy"),
            Self::ConnectLate => {
                Refusal::new(504, "upstream did not accept the connection in time")
            }
            Self::Late => Refusal::new(504, "upstream did not answer in time"),
            Self::Unreachable | Self::Silent | Self::Broken => Refusal::new(502, "upstream failed"),
            Self::ClientGone => Refusal::new(CLIENT_GONE, "client gave the request up"),
            Self::ClientSlow => Refusal::new(CLIENT_GONE, "client stopped reading"),
            Self::Elsewhere | Self::Refused => Refusal::new(500, "gateway failed"),
        }
    }
}

impl Server {
    /// Connects within `patience`.
    pub(super) async fn connect(address: SocketAddr, patience: Duration) -> Result<Self, Trouble> {
        let stream = match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Err(Trouble::Unreachable),
            Err(_) => return Err(Trouble::ConnectLate),
        };
        let _ = stream.set_nodelay(true);
        Ok(Self {
            stream,
            address,
            alarm: Alarm::default(),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it has said nothing since its last answer, and is still there. Asks the kernel only
    /// if the runtime has heard something.
    pub(super) fn is_quiet(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends `bytes`.
    pub(super) async fn send(&mut self, bytes: &[u8], patience: Duration) -> Result<(), Trouble> {
        let (mut rest, mut until) = (bytes, None);
        poll_fn(|cx| {
            while !rest.is_empty() {
                match Pin::new(&mut self.stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(written @ 1..)) => {
                        rest = rest.get(written..).unwrap_or_default();
                        until = None;
                    }
                    Poll::Ready(_) => return Poll::Ready(Err(Trouble::Silent)),
                    Poll::Pending => {
                        let until = *until.get_or_insert_with(|| Instant::now() + patience);
                        return self.alarm.poll_at(until, cx).map(|()| Err(Trouble::Late));
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Waits until it says something, the client goes, or the time is over.
    pub(super) async fn wait(
        &mut self,
        client: &mut Client<'_>,
        until: Instant,
    ) -> Result<(), Trouble> {
        poll_fn(|cx| {
            if self.stream.poll_read_ready(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Trouble::ClientGone));
            }
            self.alarm.poll_at(until, cx).map(|()| Err(Trouble::Late))
        })
        .await
    }

    /// Reads what is there: how many bytes, 0 at the end; pending if there is nothing.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_fn(|cx| Poll::Ready(self.poll_read(cx, into))).await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut into = ReadBuf::new(into);
        Pin::new(&mut self.stream)
            .poll_read(cx, &mut into)
            .map_ok(|()| into.filled().len())
    }
}
