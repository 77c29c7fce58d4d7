//! The life of an HTTP/2 connection: streams become requests, refusals are recorded, floods end it.
//!
//! pingora's own loop answers malformed requests without telling anybody and closes a flooded
//! connection without a word. This one knows of every stream: what is refused here, or by the `h2`
//! crate below, makes a record; who sends what nothing can explain hears GOAWAY with
//! ENHANCE_YOUR_CALM (RFC 9113 section 10.5). Every wait is bounded.

mod request;
mod retry;
mod session;
mod websocket;

pub(crate) mod notes;

use std::any::Any;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use edge_core::Head;
use h2::RecvStream;
use h2::server::{Builder, Connection, SendResponse};
use http::{Request, Response, StatusCode};
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::{Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Ssl};
use pingora::server::ShutdownWatch;
use tokio::time::{Instant, Sleep, timeout};

use self::notes::{Notes, Stop, Told};
use self::request::Arrived;
use self::session::H2Session;
use crate::accept::{ListenerShared, stopped};
use crate::direct::{Client, Plain, Served, is_odd};
use crate::info::ConnectionInfo;
use crate::stream::{EdgeConn, StreamLimits, Transport};
use crate::{GateRefusal, Reason, spec};

/// Serves a connection that speaks HTTP/2 to its end; the preface is still to be read.
pub(crate) async fn serve<A, S>(
    mut conn: Box<EdgeConn<S>>,
    limits: StreamLimits,
    app: Arc<A>,
    shared: Arc<ListenerShared>,
    info: Arc<ConnectionInfo>,
    shutdown: ShutdownWatch,
) where
    A: HttpServerApp + Send + Sync + 'static,
    S: Transport,
{
    let slot = conn.slot();
    let notes = conn.begin_http2();
    let digest = Arc::new(Digest {
        ssl_digest: conn.get_ssl_digest(),
        timing_digest: conn.get_timing_digest(),
        proxy_digest: conn.get_proxy_digest(),
        socket_digest: conn.get_socket_digest(),
    });
    let handshake = options(shared.listener().h2()).handshake(conn);
    if let Ok(Ok(connection)) = timeout(limits.head_deadline, handshake).await {
        let streams = Arc::new(Streams::new());
        let idle = shared.listener().h2().idle;
        Serving {
            connection,
            app,
            shared,
            info,
            shutdown,
            digest,
            limits,
            notes,
            streams,
            timer: Box::pin(tokio::time::sleep(idle)),
            errors: 0,
            leaving: false,
        }
        .run()
        .await;
    }
    if let Some(wire) = slot.take() {
        wire.close().await;
    }
}

/// The listener's limits in the words of the `h2` crate.
fn options(h2: spec::H2) -> Builder {
    let mut options = Builder::new();
    options
        .max_concurrent_streams(h2.streams)
        .max_header_list_size(h2.header_list)
        .max_pending_accept_reset_streams(h2.pending_resets as usize)
        .max_local_error_reset_streams(Some(RESETS_MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol();
    options
}

/// One connection being served.
struct Serving<A, S> {
    connection: Connection<Box<EdgeConn<S>>, Bytes>,
    app: Arc<A>,
    shared: Arc<ListenerShared>,
    info: Arc<ConnectionInfo>,
    shutdown: ShutdownWatch,
    digest: Arc<Digest>,
    limits: StreamLimits,
    notes: Arc<Notes>,
    streams: Arc<Streams>,
    timer: std::pin::Pin<Box<Sleep>>,
    /// Malformed requests and other errors of the client.
    errors: usize,
    /// GOAWAY was sent; the streams that are open finish.
    leaving: bool,
}

/// What a look at the connection found.
#[expect(
    clippy::large_enum_variant,
    reason = "lives for one turn of the loop; a box would cost every request an allocation"
)]
enum Event {
    Request(Request<RecvStream>, SendResponse<Bytes>),
    News(Told),
    /// The listener stops.
    Stopping,
    /// It is time to see whether anything is still going on.
    Look,
    /// Nothing more will come.
    Over,
}

impl<A, S> Serving<A, S>
where
    A: HttpServerApp + Send + Sync + 'static,
    S: Transport,
{
    async fn run(mut self) {
        loop {
            match self.next().await {
                Event::Request(request, respond) => self.accept(request, respond),
                Event::News(told) => self.count(told),
                Event::Stopping => {
                    self.leaving = true;
                    self.connection.graceful_shutdown();
                    self.timer.as_mut().reset(Instant::now() + LEAVE);
                }
                Event::Look => match self.streams.idle_since(self.patience()) {
                    Ok(()) => return self.goodbye(h2::Reason::NO_ERROR).await,
                    Err(again) => self.timer.as_mut().reset(again),
                },
                Event::Over => {
                    let told = self.notes.take();
                    return self.count(told);
                }
            }
            if self.errors > ERRORS_MAX {
                return self.goodbye(h2::Reason::ENHANCE_YOUR_CALM).await;
            }
        }
    }

    async fn next(&mut self) -> Event {
        let (connection, notes) = (&mut self.connection, &self.notes);
        let look = poll_fn(|cx| match connection.poll_accept(cx) {
            Poll::Ready(Some(Ok((request, respond)))) => {
                Poll::Ready(Event::Request(request, respond))
            }
            Poll::Ready(Some(Err(_)) | None) => Poll::Ready(Event::Over),
            // Whatever the stream below has to tell it told just now.
            Poll::Pending if notes.news() => Poll::Ready(Event::News(notes.take())),
            Poll::Pending => Poll::Pending,
        });
        tokio::select! {
            biased;
            () = stopped(&mut self.shutdown), if !self.leaving => Event::Stopping,
            event = look => event,
            () = &mut self.timer => Event::Look,
        }
    }

    /// How long a connection without streams stays.
    fn patience(&self) -> Duration {
        if self.leaving {
            LEAVE
        } else {
            self.shared.listener().h2().idle
        }
    }

    fn accept(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (parts, body) = request.into_parts();
        let arrived = match request::admit(parts, self.shared.listener().head()) {
            Ok(arrived) => arrived,
            Err((reason, head)) => return self.refuse(reason, head, respond),
        };
        let Arrived {
            mut request,
            head,
            handshake,
        } = arrived;
        let direct = handshake.is_none()
            && body.is_end_stream()
            && !head.target().iter().any(is_odd)
            && self
                .shared
                .direct()
                .is_some_and(|direct| direct.takes(&head));
        let plain = if direct {
            Some(head)
        } else {
            request.extensions_mut().insert(Carried(head));
            None
        };
        let mut session = H2Session::new(
            request,
            body,
            respond,
            handshake,
            Arc::clone(&self.digest),
            self.limits,
            Guard::new(&self.streams),
        );
        let (app, shutdown) = (Arc::clone(&self.app), self.shutdown.clone());
        let (shared, info) = (Arc::clone(&self.shared), Arc::clone(&self.info));
        tokio::spawn(async move {
            if let (Some(direct), Some(head)) = (shared.direct(), plain) {
                let plain = Plain {
                    info: &info,
                    head,
                    last: false,
                };
                let served = direct.serve(Client::Http2(&mut session), plain).await;
                match served {
                    Served::Keep | Served::Close => return,
                    Served::Engine(prepared) => session.carry(prepared),
                }
            }
            let session = ServerSession::new_custom(Box::new(session));
            app.process_new_http(session, &shutdown).await;
        });
    }

    /// Answers a request that is not let through, and records it.
    fn refuse(&mut self, reason: Reason, head: Option<Head>, mut respond: SendResponse<Bytes>) {
        self.errors += 1;
        self.record(reason, head);
        let mut answer = Response::new(());
        *answer.status_mut() = StatusCode::from_u16(reason.status()).unwrap_or_default();
        // A client that has taken the request back needs no answer.
        let _ = respond.send_response(answer, true);
    }

    /// Counts and records what the `h2` crate refused by itself, and what the stream below noticed.
    fn count(&mut self, told: Told) {
        for error in told.errors {
            self.errors += 1;
            self.record(Reason::of_http2(error), None);
        }
        if let Some(stop) = told.stop {
            self.errors = ERRORS_MAX + 1;
            self.record(
                match stop {
                    Stop::Flood => Reason::Http2Flood,
                    Stop::SlowHead => Reason::HeadTimeout,
                },
                None,
            );
        }
    }

    fn record(&self, reason: Reason, head: Option<Head>) {
        self.shared.observer().refused(GateRefusal {
            connection: Arc::clone(self.info.connection()),
            head,
            raw: Bytes::new(),
            status: reason.status(),
            reason,
        });
    }

    /// Says why, as far as the client listens, and ends the connection with all its streams.
    async fn goodbye(mut self, reason: h2::Reason) {
        self.connection.abrupt_shutdown(reason);
        let closed = poll_fn(|cx| self.connection.poll_closed(cx));
        let _ = timeout(GOODBYE, closed).await;
    }
}

/// The head of a request on its way through the HTTP engine to the application.
#[derive(Clone)]
pub(crate) struct Carried(pub(crate) Head);

/// What was prepared for the HTTP engine, on the same way.
#[derive(Clone)]
pub(crate) struct Prepared(Arc<Mutex<Option<Box<dyn Any + Send>>>>);

impl Prepared {
    pub(crate) fn new(prepared: Box<dyn Any + Send>) -> Self {
        Self(Arc::new(Mutex::new(Some(prepared))))
    }

    pub(crate) fn take(&self) -> Option<Box<dyn Any + Send>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The streams of one connection that are being served.
#[derive(Debug)]
struct Streams {
    open: AtomicUsize,
    began: Instant,
    /// Milliseconds from `began` to the end of the last stream.
    ended: AtomicU64,
}

impl Streams {
    fn new() -> Self {
        Self {
            open: AtomicUsize::new(0),
            began: Instant::now(),
            ended: AtomicU64::new(0),
        }
    }

    /// True, in the form of `Ok`, if no stream has been open for `patience`; otherwise when to look
    /// again.
    fn idle_since(&self, patience: Duration) -> Result<(), Instant> {
        let now = Instant::now();
        if self.open.load(Ordering::Relaxed) > 0 {
            return Err(now + patience);
        }
        let ended = Duration::from_millis(self.ended.load(Ordering::Relaxed));
        let due = self.began + ended + patience;
        if due <= now { Ok(()) } else { Err(due) }
    }
}

/// Counts a stream for as long as it is served.
pub(crate) struct Guard(Arc<Streams>);

impl Guard {
    fn new(streams: &Arc<Streams>) -> Self {
        streams.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(streams))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let past = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended.store(past, Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Errors a client may make on one connection. An honest one makes none; a broken one should be told.
const ERRORS_MAX: usize = 32;
/// Streams we may have to reset, those included that came before the client knew our limit of them.
const RESETS_MAX: usize = 1024;
/// Content a client may send ahead on one stream, and on all of them.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Response bytes that wait for the socket, for each stream.
const SEND_BUFFER: usize = 64 << 10;
/// How long a connection without streams may take to leave once it was asked to.
const LEAVE: Duration = Duration::from_secs(2);
/// How long a client may take to read the last GOAWAY.
const GOODBYE: Duration = Duration::from_secs(2);
