//! The life of one connection: PROXY header, caps, TLS, then requests until somebody has had enough.
//!
//! Every wait has a deadline. Bytes reach pingora only after the gate admitted the head they belong
//! to.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use edge_core::{Connection, Head};
use edge_tls::Scope;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::accept::{ListenerShared, stopped};
use crate::cap::Place;
use crate::direct::{Client, Plain, Served, is_odd};
use crate::frames::PREFACE;
use crate::gate::{self, Admitted, Framing, HeadReader};
use crate::h2;
use crate::handshake::{Secured, handshake};
use crate::info::ConnectionInfo;
use crate::proxy_protocol::{self, ProxyHeader};
use crate::stream::{EdgeConn, StreamLimits, Transport};
use crate::{GateRefusal, Reason, TurnedAway};

/// Serves an accepted socket to its end. `place` was taken for the peer's own address.
pub(crate) async fn run<A>(
    tcp: TcpStream,
    peer: SocketAddr,
    place: Option<Place>,
    app: Arc<A>,
    shared: Arc<ListenerShared>,
    shutdown: ShutdownWatch,
) where
    A: HttpServerApp + Send + Sync + 'static,
{
    let Ok((tcp, pending, client)) = establish(tcp, peer, &shared).await else {
        return shared.observer().turned_away(peer, TurnedAway::ProxyHeader);
    };
    let place = match place {
        Some(place) => Some(place),
        None => shared.enter(client),
    };
    let Some(_place) = place else {
        return shared
            .observer()
            .turned_away(client, TurnedAway::AddressCap);
    };
    let Ok(local) = tcp.local_addr() else {
        return;
    };
    let fd = tcp.as_raw_fd();
    let mut open = Opening {
        app,
        shared,
        shutdown,
        connection: Connection {
            peer,
            client,
            local,
            tls: None,
        },
        scope: None,
        fd,
    };
    let Some(patience) = open.shared.listener().handshake() else {
        let spoken = if open.shared.listener().h2c() {
            Spoken::Either
        } else {
            Spoken::Http1
        };
        return open.serve(tcp, pending, spoken).await;
    };
    // Boxed, so that its memory is free again once it is over.
    let handshake = Box::pin(handshake(tcp, pending, open.shared.tls(), patience)).await;
    match handshake {
        Ok(Some(secured)) => {
            let Secured {
                stream,
                tls,
                scope,
                http2,
            } = *secured;
            (open.connection.tls, open.scope) = (Some(tls), Some(scope));
            let spoken = if http2 { Spoken::Http2 } else { Spoken::Http1 };
            open.serve(stream, BytesMut::new(), spoken).await;
        }
        Ok(None) => {}
        Err(why) => open.shared.observer().handshake_failed(client, why),
    }
}

/// A connection that is about to be served.
struct Opening<A> {
    app: Arc<A>,
    shared: Arc<ListenerShared>,
    shutdown: ShutdownWatch,
    connection: Connection,
    scope: Option<Arc<dyn Scope>>,
    fd: RawFd,
}

impl<A> Opening<A>
where
    A: HttpServerApp + Send + Sync + 'static,
{
    /// Not `async` itself: its future would keep room for `io`, which is big, beside the box it goes to.
    fn serve<S: Transport>(
        self,
        io: S,
        pending: BytesMut,
        spoken: Spoken,
    ) -> impl Future<Output = ()> + Send {
        let listener = self.shared.listener();
        let connection = Arc::new(self.connection);
        let info = Arc::new(ConnectionInfo::new(
            Arc::clone(&connection),
            self.scope,
            *listener.head(),
        ));
        let limits = StreamLimits {
            pacing: listener.pacing(),
            tunnel_idle: listener.tunnel_idle(),
            head_deadline: listener.head_deadline(),
            pending: listener.head().bytes,
        };
        let conn = EdgeConn::new(io, self.fd, pending, Arc::clone(&info), limits).map(Box::new);
        let session = Session {
            app: self.app,
            shared: Arc::clone(&self.shared),
            info,
            shutdown: self.shutdown,
            limits,
            spoken,
        };
        let shared = self.shared;
        async move {
            let Ok(conn) = conn else {
                return;
            };
            let _open = Open::new(&shared, &connection);
            session.run(conn).await;
        }
    }
}

/// Which protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
    /// The first bytes say it: HTTP/2 with prior knowledge begins with a preface.
    Either,
}

/// Reads the PROXY header where the listener wants one; what was read beyond it is returned.
async fn establish(
    mut tcp: TcpStream,
    peer: SocketAddr,
    shared: &ListenerShared,
) -> io::Result<(TcpStream, BytesMut, SocketAddr)> {
    let mut pending = BytesMut::new();
    let Some(proxies) = shared.listener().proxies() else {
        return Ok((tcp, pending, peer));
    };
    let header = async {
        loop {
            match proxy_protocol::parse(&pending).map_err(io::Error::other)? {
                ProxyHeader::Complete { length, client } => {
                    pending.advance(length);
                    return io::Result::Ok(client);
                }
                ProxyHeader::Incomplete if tcp.read_buf(&mut pending).await? == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                ProxyHeader::Incomplete => {}
            }
        }
    };
    let client = timeout(proxies.deadline(), header).await??;
    Ok((tcp, pending, client.unwrap_or(peer)))
}

/// What stays the same for all requests of a connection.
struct Session<A> {
    app: Arc<A>,
    shared: Arc<ListenerShared>,
    info: Arc<ConnectionInfo>,
    shutdown: ShutdownWatch,
    limits: StreamLimits,
    spoken: Spoken,
}

/// What the start of a request turned out to be.
enum Next {
    Head(BytesMut),
    Http2,
    Refused(Reason),
    /// Nobody is there any more, or nobody said anything.
    Gone,
}

impl<A> Session<A>
where
    A: HttpServerApp + Send + Sync + 'static,
{
    async fn run<S: Transport>(mut self, mut conn: Box<EdgeConn<S>>) {
        let slot = conn.slot();
        let mut served = 0;
        let mut persist = None;
        loop {
            match self.next(&mut conn, served == 0).await {
                Ok(Next::Head(raw)) => {
                    served += 1;
                    let Some((back, kept)) = self.request(conn, raw, served, persist).await else {
                        break;
                    };
                    (conn, persist) = (back, kept);
                }
                Ok(Next::Http2) => {
                    // What only some connections need is boxed, or all of them would hold its memory.
                    let http2 = h2::serve(
                        conn,
                        self.limits,
                        self.app,
                        self.shared,
                        self.info,
                        self.shutdown,
                    );
                    return Box::pin(http2).await;
                }
                Ok(Next::Refused(reason)) => {
                    Box::pin(self.refuse(&mut conn, reason, None, Bytes::new())).await;
                    drop(conn);
                    break;
                }
                Ok(Next::Gone) | Err(_) if S::GOODBYE => {
                    drop(conn);
                    break;
                }
                Ok(Next::Gone) | Err(_) => return,
            }
        }
        if let Some(wire) = slot.take() {
            Box::pin(wire.close()).await;
        }
    }

    /// Waits for the next head: first for any byte at all, then for the rest of it.
    async fn next<S: Transport>(
        &mut self,
        conn: &mut EdgeConn<S>,
        first: bool,
    ) -> io::Result<Next> {
        let listener = self.shared.listener();
        let wire = conn.wire()?;
        if wire.pending.is_empty() {
            wire.rest();
            let patience = if first {
                listener.head_deadline()
            } else {
                listener.idle()
            };
            let read = tokio::select! {
                biased;
                read = timeout(patience, wire.fill()) => read,
                () = stopped(&mut self.shutdown) => return Ok(Next::Gone),
            };
            let Ok(Ok(1..)) = read else {
                return Ok(Next::Gone);
            };
        }
        let deadline = Instant::now() + listener.head_deadline();
        let mut reader = HeadReader::default();
        let mut preface = first && self.spoken != Spoken::Http1;
        loop {
            let start = wire.pending.len().min(PREFACE.len());
            preface &= wire.pending.get(..start) == PREFACE.get(..start);
            if !preface && self.spoken == Spoken::Http2 {
                return Ok(Next::Gone);
            }
            if !preface {
                match reader.take(&mut wire.pending, listener.head()) {
                    Ok(Some(head)) => return Ok(Next::Head(head)),
                    Ok(None) => {}
                    Err(reason) => return Ok(Next::Refused(reason)),
                }
            } else if start == PREFACE.len() {
                return Ok(Next::Http2);
            }
            match timeout_at(deadline, wire.fill()).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Ok(Next::Gone),
                Err(_) => return Ok(Next::Refused(Reason::HeadTimeout)),
            }
        }
    }

    /// Lets one request through the gate and pingora serve it. The connection comes back if it can
    /// carry another one.
    async fn request<S: Transport>(
        &mut self,
        mut conn: Box<EdgeConn<S>>,
        raw: BytesMut,
        served: u32,
        persist: Option<HttpPersistentSettings>,
    ) -> Option<(Box<EdgeConn<S>>, Option<HttpPersistentSettings>)> {
        let raw = raw.freeze();
        let Admitted {
            head,
            framing,
            upgrade,
        } = match gate::admit(raw.clone(), self.shared.listener().head()) {
            Ok(admitted) => admitted,
            Err((reason, head)) => {
                self.refuse(&mut conn, reason, head, raw).await;
                return None;
            }
        };
        // What the engine would get in another spelling is its own to forward.
        let plain = framing == Framing::None && !upgrade && !head.target().iter().any(is_odd);
        conn.begin_request(framing, upgrade);
        let limit = self.shared.listener().requests_per_connection();
        let left = limit.map(|limit| limit.saturating_sub(served));
        let engine = match self.shared.direct() {
            Some(direct) if plain && direct.takes(&head) => {
                let last = left == Some(0) || *self.shutdown.borrow();
                let info = &*self.info;
                let request = Plain { info, head, last };
                match direct.serve(Client::Http1(&mut *conn), request).await {
                    Served::Keep => return Some((conn, persist)),
                    Served::Close => return None,
                    Served::Engine(prepared) => self.info.set_prepared(prepared),
                }
                BytesMut::from(raw.as_ref())
            }
            _ => {
                let engine = for_engine(&raw, &head);
                self.info.set_head(head);
                engine
            }
        };

        let mut session = ServerSession::new_http1(conn as Stream);
        if let Some(persist) = persist {
            persist.apply_to_session(&mut session);
        }
        session.set_keepalive_reuses_remaining(left);
        // `EdgeConn` keeps the time itself.
        session.set_read_timeout(None);
        session.set_total_drain_timeout(Some(DRAIN));
        session.set_pipelined_prefix(engine);

        let reused = self.app.process_new_http(session, &self.shutdown).await;
        // Dropping what was prepared for an engine that refused makes its record.
        drop(self.info.take_prepared());
        if let Some(head) = self.info.take_head() {
            self.record(Reason::Engine, Some(head), &raw);
        }
        let (stream, persist) = reused.map(ReusedHttpStream::consume)?;
        let conn = stream.into_any().downcast::<EdgeConn<S>>().ok()?;
        conn.is_between_requests().then_some((conn, persist))
    }

    /// Answers a request that is not let through, and records it.
    async fn refuse<S: Transport>(
        &self,
        conn: &mut EdgeConn<S>,
        reason: Reason,
        head: Option<Head>,
        raw: Bytes,
    ) {
        let Ok(wire) = conn.wire() else {
            return;
        };
        let raw = if raw.is_empty() {
            wire.pending.split().freeze()
        } else {
            raw
        };
        self.record(reason, head, &raw);
        let _ = timeout(ANSWER, wire.finish_with(answer(reason.status()).as_bytes())).await;
    }

    fn record(&self, reason: Reason, head: Option<Head>, raw: &Bytes) {
        let kept = raw.len().min(GateRefusal::RAW_MAX);
        self.shared.observer().refused(GateRefusal {
            connection: Arc::clone(self.info.connection()),
            head,
            raw: raw.slice(..kept),
            status: reason.status(),
            reason,
        });
    }
}

/// The head as pingora gets it. Four bytes that RFC 3986 does not allow in a target and attackers
/// like are percent-encoded, because pingora's URI type refuses them: the rules must see such a
/// request, and see it raw. Every decoder reads both spellings alike. So are bytes beyond ASCII where
/// the listener admits them: no server behind us may choose how to read them.
fn for_engine(raw: &[u8], head: &Head) -> BytesMut {
    if !head.target().iter().any(is_odd) {
        return BytesMut::from(raw);
    }
    let start = head.method().len() + 1;
    let end = start + head.target().len();
    let mut engine = BytesMut::with_capacity(raw.len() + 64);
    engine.extend_from_slice(raw.get(..start).unwrap_or_default());
    for byte in head.target() {
        if is_odd(byte) {
            engine.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            engine.put_u8(*byte);
        }
    }
    engine.extend_from_slice(raw.get(end..).unwrap_or_default());
    engine
}

/// A minimal answer; it says nothing about what was wrong.
fn answer(status: u16) -> String {
    let phrase = match status {
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        _ => "Bad Request",
    };
    format!("HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// Tells the observer about the end of a connection whatever way it ends.
struct Open<'a> {
    shared: &'a ListenerShared,
    connection: &'a Connection,
}

impl<'a> Open<'a> {
    fn new(shared: &'a ListenerShared, connection: &'a Connection) -> Self {
        shared.observer().opened(connection);
        Self { shared, connection }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.shared.observer().closed(self.connection);
    }
}

/// How long the rest of a request body may take that nobody wanted, to keep its connection.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the client may take to accept a refusal.
const ANSWER: Duration = Duration::from_secs(5);
