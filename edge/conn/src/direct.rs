//! Serving a request without the engine.
//!
//! Most requests have no content and want no other protocol: for them a [`Direct`] may answer over
//! the [`Client`] itself. The gate has admitted the head before; a [`Client`] never hands out a byte
//! of the next request. What a [`Direct`] cannot do goes to the engine before a byte was answered.

use std::any::Any;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use edge_core::Head;
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::info::ConnectionInfo;
use crate::stream::{EdgeConn, Transport};

/// The client of a request without content, by its protocol.
pub enum Client<'a> {
    /// A connection: who answers frames the answer.
    Http1(&'a mut dyn Http1),
    /// A stream of a connection.
    Http2(&'a mut dyn Http2),
}

/// An HTTP/1 connection. Writes are joined until they are flushed; a read is ready once the client
/// has gone, and its bytes mean nothing.
pub trait Http1: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: Transport> Http1 for EdgeConn<S> {}

/// An HTTP/2 stream.
pub trait Http2: Send {
    /// Ready once the client has given the request up.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Sends a head: interim ones, then one other. `end`: nothing follows.
    ///
    /// # Errors
    /// The stream is gone.
    fn head(&mut self, head: Response<()>, end: bool) -> io::Result<()>;

    /// Sends content as far and as fast as the client's window lets us; what is left stays in `data`.
    /// `end`: nothing follows.
    fn poll_data(
        &mut self,
        data: &mut Bytes,
        end: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>;
}

impl Client<'_> {
    /// Ready once nobody waits for the answer any more.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(connection) => {
                let mut nothing = [0];
                let mut nothing = ReadBuf::new(&mut nothing);
                let read = Pin::new(&mut **connection).poll_read(cx, &mut nothing);
                read.map(|_| ())
            }
            Self::Http2(stream) => stream.poll_gone(cx),
        }
    }
}

/// A request without content.
#[derive(Debug)]
pub struct Plain<'a> {
    /// Facts about its connection.
    pub info: &'a ConnectionInfo,
    /// Its head, as admitted by the gate.
    pub head: Head,
    /// The connection carries no further request.
    pub last: bool,
}

/// What became of a request.
#[derive(Debug)]
pub enum Served {
    /// Answered; the connection can carry another one.
    Keep,
    /// The connection is to be closed.
    Close,
    /// Nothing was written: the engine is to go on with what was prepared for it, which it finds with
    /// [`take_prepared`](crate::take_prepared).
    Engine(Box<dyn Any + Send>),
}

/// Serves requests without the engine.
pub trait Direct: Send + Sync {
    /// Whether [`serve`](Self::serve) may be asked.
    fn takes(&self, head: &Head) -> bool;

    /// Serves a request that it [`takes`](Self::takes).
    fn serve<'a>(
        &'a self,
        client: Client<'a>,
        request: Plain<'a>,
    ) -> Pin<Box<dyn Future<Output = Served> + Send + 'a>>;
}

/// Bytes of a target that the engine would get in another spelling: four that RFC 3986 does not allow
/// there and attackers like, and those beyond ASCII. They are its own to forward.
pub(crate) fn is_odd(byte: &u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`') || !byte.is_ascii()
}
