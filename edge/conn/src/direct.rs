//! Serving a request without the engine.
//!
//! Most requests have no content and want no other protocol: for them a [`Direct`] may answer over
//! the [`Client`] itself. The gate has admitted the head before; a [`Client`] never hands out a byte
//! of the next request. What a [`Direct`] cannot do goes to the engine before a byte was answered.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use edge_core::Head;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::info::ConnectionInfo;
use crate::stream::{EdgeConn, Transport};

/// The client of a request without content. Writes are joined until they are flushed; a read is
/// ready once the client has gone, and its bytes mean nothing.
pub trait Client: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: Transport> Client for EdgeConn<S> {}

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
    /// [`ConnectionInfo::take_prepared`].
    Engine(Box<dyn Any + Send>),
}

/// Serves requests without the engine.
pub trait Direct: Send + Sync {
    /// Whether [`serve`](Self::serve) may be asked.
    fn takes(&self, head: &Head) -> bool;

    /// Serves a request that it [`takes`](Self::takes).
    fn serve<'a>(
        &'a self,
        client: &'a mut dyn Client,
        request: Plain<'a>,
    ) -> Pin<Box<dyn Future<Output = Served> + Send + 'a>>;
}
