//! Accepting connections: one listening socket and one loop per worker, caps shared by all.
//!
//! Nothing here reads from a connection. Running out of descriptors slows the loop down and is told to
//! the observer; it never ends the loop and never spins.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edge_tls::Terminate;
use pingora::apps::HttpServerApp;
use pingora::server::ShutdownWatch;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::cap::{AddressCap, Place};
use crate::{Direct, Listener, Observer, TurnedAway, connection};

/// What the workers of one listener share.
pub struct ListenerShared {
    listener: Listener,
    tls: Option<Arc<dyn Terminate>>,
    cap: AddressCap,
    open: AtomicUsize,
    observer: Arc<dyn Observer>,
    direct: Option<Arc<dyn Direct>>,
}

impl ListenerShared {
    /// A listener without connections. Where it speaks TLS, `tls` chooses how each handshake goes on;
    /// without it every handshake is refused.
    #[must_use]
    pub fn new(
        listener: Listener,
        tls: Option<Arc<dyn Terminate>>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let cap = AddressCap::new(listener.connections_per_address());
        Self {
            listener,
            tls,
            cap,
            open: AtomicUsize::new(0),
            observer,
            direct: None,
        }
    }

    /// Lets `direct` serve what needs no engine.
    #[must_use]
    pub fn with_direct(mut self, direct: Arc<dyn Direct>) -> Self {
        self.direct = Some(direct);
        self
    }

    /// The policy.
    #[must_use]
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Connections that are open right now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn tls(&self) -> Option<&dyn Terminate> {
        self.tls.as_deref()
    }

    pub(crate) fn direct(&self) -> Option<&dyn Direct> {
        self.direct.as_deref()
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    pub(crate) fn enter(&self, client: SocketAddr) -> Option<Place> {
        self.cap.enter(client.ip())
    }

    /// Decides about a peer before it has said anything. Listed proxies are counted by their
    /// clients, later; everyone else gets a place now.
    fn admit(&self, peer: IpAddr) -> Result<Option<Place>, TurnedAway> {
        match self.listener.proxies() {
            Some(proxies) if proxies.contains(peer) => Ok(None),
            Some(_) => Err(TurnedAway::ProxyPeer),
            None => self.cap.enter(peer).map(Some).ok_or(TurnedAway::AddressCap),
        }
    }
}

/// A listening socket for one worker; the kernel spreads connections over all that are bound to
/// the same address.
///
/// # Errors
/// If the address cannot be bound.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves connections from `listener` on the current runtime until `shutdown` turns true, then
/// waits for those that still carry a request. If `retired` turns true, it only accepts no more: the
/// connections that are open go on as they are, until `shutdown`.
pub async fn serve<A>(
    listener: TcpListener,
    app: Arc<A>,
    shared: Arc<ListenerShared>,
    mut retired: ShutdownWatch,
    mut shutdown: ShutdownWatch,
) where
    A: HttpServerApp + Send + Sync + 'static,
{
    // Every connection holds a sender; when all are gone, so are the connections.
    let (busy, mut idle) = mpsc::channel::<Infallible>(1);
    let mut backoff = BACKOFF_MIN;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            () = stopped(&mut retired) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                backoff = BACKOFF_MIN;
                let Some((place, count)) = enter(&shared, peer) else {
                    continue;
                };
                let _ = tcp.set_nodelay(true);
                let (app, shared) = (Arc::clone(&app), Arc::clone(&shared));
                let (shutdown, busy) = (shutdown.clone(), busy.clone());
                tokio::spawn(async move {
                    let _held = (busy, count);
                    connection::run(tcp, peer, place, app, shared, shutdown).await;
                });
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                shared.observer.accept_failed(&error);
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    }
    drop((listener, busy));
    let _ = idle.recv().await;
}

/// Resolves once the gateway is stopping; never if nobody can say so any more.
pub(crate) async fn stopped(shutdown: &mut ShutdownWatch) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Takes the places a new connection needs, or turns it away.
fn enter(shared: &Arc<ListenerShared>, peer: SocketAddr) -> Option<(Option<Place>, OpenCount)> {
    let count = OpenCount::new(shared);
    let admitted = if shared.open() > shared.listener.connections() {
        Err(TurnedAway::ConnectionCap)
    } else {
        shared.admit(peer.ip())
    };
    match admitted {
        Ok(place) => Some((place, count)),
        Err(why) => {
            shared.observer.turned_away(peer, why);
            None
        }
    }
}

/// Counts a connection for as long as it lives.
struct OpenCount(Arc<ListenerShared>);

impl OpenCount {
    fn new(shared: &Arc<ListenerShared>) -> Self {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The peer gave up before we got to it; nothing is wrong with us.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

const BACKLOG: i32 = 4096;
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
