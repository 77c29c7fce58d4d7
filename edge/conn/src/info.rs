//! What filters can learn about a connection from inside pingora.
//!
//! pingora hands a connection's `ProxyDigest` to every session on it; its user data is the only place
//! for facts of ours. [`connection`] finds them again.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use edge_core::{Connection, Head};
use edge_tls::Scope;
use pingora::http::ResponseHeader;
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use pingora::protocols::raw_connect::ProxyDigest;

use crate::BodyFault;
use crate::gate::HeadLimits;
use crate::h2::{Carried, Prepared};

/// Facts about a connection, and the head of the request it carries right now.
pub struct ConnectionInfo {
    connection: Arc<Connection>,
    scope: Option<Arc<dyn Scope>>,
    head_limits: HeadLimits,
    head: Mutex<Option<Head>>,
    prepared: Mutex<Option<Box<dyn Any + Send>>>,
}

impl ConnectionInfo {
    pub(crate) fn new(
        connection: Arc<Connection>,
        scope: Option<Arc<dyn Scope>>,
        head_limits: HeadLimits,
    ) -> Self {
        Self {
            connection,
            scope,
            head_limits,
            head: Mutex::new(None),
            prepared: Mutex::new(None),
        }
    }

    /// Both ends of the connection.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// False if `host` (without port, lower case) may not be asked for on this connection, whose TLS
    /// handshake was for another one: the answer is 421. Always true without TLS.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let Some(scope) = &self.scope else {
            return true;
        };
        let tls = self.connection.tls.as_deref();
        scope.covers(tls.and_then(|tls| tls.server_name.as_deref()), host)
    }

    /// What the listener accepts as a head; HTTP/2 heads are held to it by [`gate::check`](crate::gate::check).
    #[must_use]
    pub fn head_limits(&self) -> &HeadLimits {
        &self.head_limits
    }

    /// The HTTP/1 head as it arrived. The application must take it once per request: a head that
    /// is still here afterwards means that the engine refused the request, and is recorded so.
    /// Always `None` on HTTP/2, whose streams carry their heads themselves: see [`take_head`].
    #[must_use]
    pub fn take_head(&self) -> Option<Head> {
        self.head
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    pub(crate) fn take_prepared(&self) -> Option<Box<dyn Any + Send>> {
        let mut slot = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
    }

    pub(crate) fn set_prepared(&self, prepared: Box<dyn Any + Send>) {
        let mut slot = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(prepared);
    }

    pub(crate) fn set_head(&self, head: Head) {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
    }
}

impl fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

/// The facts about the connection that `digest` belongs to, if it is one of ours.
#[must_use]
pub fn connection(digest: &Digest) -> Option<&ConnectionInfo> {
    let user_data = digest.proxy_digest.as_ref()?.user_data.as_ref()?;
    user_data
        .downcast_ref::<Arc<ConnectionInfo>>()
        .map(AsRef::as_ref)
}

/// The head of the request that `session` carries, as it arrived; `None` if it was taken before.
#[must_use]
pub fn take_head(session: &mut ServerSession) -> Option<Head> {
    if session.is_custom() {
        let carried = session
            .req_header_mut()
            .extensions_mut()
            .remove::<Carried>();
        return carried.map(|Carried(head)| head);
    }
    session.digest().and_then(connection)?.take_head()
}

/// What a [`Direct`](crate::Direct) prepared for the engine; the application must take it, for it is
/// told of no head then.
#[must_use]
pub fn take_prepared(session: &mut ServerSession) -> Option<Box<dyn Any + Send>> {
    if session.is_custom() {
        let extensions = session.req_header_mut().extensions_mut();
        return extensions.remove::<Prepared>()?.take();
    }
    session.digest().and_then(connection)?.take_prepared()
}

/// Why reading a request body failed, if it was the client's fault and ours to see.
#[must_use]
pub fn body_fault(error: &pingora::Error) -> Option<BodyFault> {
    let mut cause = error.root_cause().downcast_ref::<io::Error>();
    while let Some(error) = cause {
        let inner = error.get_ref()?;
        if let Some(fault) = inner.downcast_ref::<BodyFault>() {
            return Some(*fault);
        }
        cause = inner
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>());
    }
    None
}

/// The digest that carries `info` through pingora; its response is never looked at.
pub(crate) fn digest(info: Arc<ConnectionInfo>) -> io::Result<ProxyDigest> {
    let response = ResponseHeader::build(200, Some(0)).map_err(io::Error::other)?;
    Ok(ProxyDigest::new(Box::new(response), Some(Box::new(info))))
}
