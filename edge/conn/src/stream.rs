//! The connection as pingora sees it.
//!
//! [`EdgeConn`] knows where the current request ends. It never hands out a byte beyond that end (what
//! follows waits here for the next head), checks every byte of chunked coding on the way, keeps the
//! time limits, and lets bytes through unframed only after a 101 response or on HTTP/2. Small writes
//! are joined until pingora flushes. When pingora drops a connection, the socket comes back through
//! a [`Slot`], so that it can be closed without cutting off the last answer.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::l4::socket::SocketAddr as EngineAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::server::TlsStream;

use crate::body::{Body, BodyFault};
use crate::frames::{FrameBrake, Witness};
use crate::gate::Framing;
use crate::h2::notes::{Notes, Stop};
use crate::info::{self, ConnectionInfo};
use crate::pace::{Alarm, Late, Pace};
use crate::prefixed::Prefixed;
use crate::spec::Pacing;
use crate::upgrade::UpgradeWatch;

/// What an [`EdgeConn`] can stand on: a TCP socket, or TLS over one.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static {
    /// The end has to be told to the peer: without `close_notify` it may take it for an attack.
    const GOODBYE: bool;

    /// Bytes that went to the socket, where those of a write may wait on the way; else always 0.
    fn sent(&self) -> u64;
}

impl Transport for TcpStream {
    const GOODBYE: bool = false;

    fn sent(&self) -> u64 {
        0
    }
}

impl Transport for TlsStream<Prefixed> {
    const GOODBYE: bool = true;

    fn sent(&self) -> u64 {
        self.get_ref().0.sent()
    }
}

/// Limits that hold on the stream itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamLimits {
    pub(crate) pacing: Pacing,
    pub(crate) tunnel_idle: Duration,
    /// For a head in HTTP/2 frames; the loop keeps the time of others.
    pub(crate) head_deadline: Duration,
    /// Bytes of following requests that are kept while one is served.
    pub(crate) pending: usize,
}

/// A client connection, handed to pingora request by request.
pub(crate) struct EdgeConn<S> {
    /// `None` only while being dropped.
    wire: Option<Wire<S>>,
    slot: Arc<Slot<S>>,
    limits: StreamLimits,
    phase: Phase,
    reading: Pace,
    writing: Pace,
    watch: Option<UpgradeWatch>,
    /// What [`Transport::sent`] said last.
    sent: u64,
    fd: RawFd,
    opened: SystemTime,
    socket: Arc<SocketDigest>,
    proxy: Arc<ProxyDigest>,
}

/// The transport, bytes read from it that nobody asked for yet, and bytes not written yet.
pub(crate) struct Wire<S> {
    io: S,
    pub(crate) pending: BytesMut,
    out: BytesMut,
    /// Something was written, so a client may be reading.
    answered: bool,
    eof: bool,
    /// Closed between two requests with nothing left to read.
    clean: bool,
}

/// Where a dropped connection leaves its socket.
pub(crate) struct Slot<S>(Mutex<Option<Wire<S>>>);

/// What the bytes on the connection are right now.
#[derive(Debug)]
enum Phase {
    /// HTTP/1: the content of one request, then nothing until the next head is read.
    Request(Body),
    /// After a 101: bytes of another protocol, until both sides are silent for too long.
    Tunnel { active: Instant, alarm: Alarm },
    /// HTTP/2 from the first byte.
    Http2(Box<Frames>),
}

/// Watches over both directions of an HTTP/2 connection.
#[derive(Debug)]
struct Frames {
    brake: FrameBrake,
    witness: Witness,
    notes: Arc<Notes>,
    alarm: Alarm,
    /// Nothing more is read: the loop above is about to say goodbye.
    stopped: bool,
}

impl<S: Transport> EdgeConn<S> {
    pub(crate) fn new(
        io: S,
        fd: RawFd,
        pending: BytesMut,
        info: Arc<ConnectionInfo>,
        limits: StreamLimits,
    ) -> io::Result<Self> {
        let socket = SocketDigest::from_raw_fd(fd);
        // Set first, so that pingora never asks the kernel, which does not know the PROXY client.
        let connection = info.connection();
        let _ = socket
            .peer_addr
            .set(Some(EngineAddr::Inet(connection.client)));
        let _ = socket
            .local_addr
            .set(Some(EngineAddr::Inet(connection.local)));
        let wire = Wire {
            io,
            pending,
            out: BytesMut::new(),
            answered: false,
            eof: false,
            clean: false,
        };
        Ok(Self {
            wire: Some(wire),
            slot: Arc::new(Slot(Mutex::new(None))),
            limits,
            phase: Phase::Request(Body::new(Framing::None)),
            reading: Pace::reading(limits.pacing),
            writing: Pace::writing(limits.pacing),
            watch: None,
            sent: 0,
            fd,
            opened: SystemTime::now(),
            socket: Arc::new(socket),
            proxy: Arc::new(info::digest(info)?),
        })
    }

    /// Where the socket will be once this connection is dropped.
    pub(crate) fn slot(&self) -> Arc<Slot<S>> {
        Arc::clone(&self.slot)
    }

    pub(crate) fn wire(&mut self) -> io::Result<&mut Wire<S>> {
        self.wire
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// A head has been read: its content follows.
    pub(crate) fn begin_request(&mut self, framing: Framing, upgrade: bool) {
        self.phase = Phase::Request(Body::new(framing));
        self.reading = Pace::reading(self.limits.pacing);
        self.writing = Pace::writing(self.limits.pacing);
        self.watch = upgrade.then(UpgradeWatch::default);
    }

    /// The connection speaks HTTP/2; its preface is still to be read.
    pub(crate) fn begin_http2(&mut self) -> Arc<Notes> {
        let notes = Arc::<Notes>::default();
        self.phase = Phase::Http2(Box::new(Frames {
            brake: FrameBrake::new(std::time::Instant::now()),
            witness: Witness::default(),
            notes: Arc::clone(&notes),
            alarm: Alarm::default(),
            stopped: false,
        }));
        notes
    }

    /// True between two requests.
    pub(crate) fn is_between_requests(&self) -> bool {
        matches!(&self.phase, Phase::Request(body) if body.is_done())
    }

    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (Some(wire), Phase::Request(body)) = (self.wire.as_mut(), &mut self.phase) else {
            return Poll::Ready(Ok(()));
        };
        if body.is_done() {
            return wire.poll_client_gone(cx, self.limits.pending);
        }
        if !wire.pending.is_empty() {
            let here = wire.pending.len().min(buf.remaining());
            let offered = wire.pending.get(..here).unwrap_or_default();
            let used = body.advance(offered).map_err(fault)?;
            buf.put_slice(offered.get(..used).unwrap_or_default());
            wire.pending.advance(used);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut wire.io).poll_read(cx, buf) {
            result?;
        } else {
            let late = ready!(self.reading.poll_late(cx));
            return Poll::Ready(Err(fault(match late {
                Late::Deadline => BodyFault::Deadline,
                Late::TooSlow => BodyFault::TooSlow,
            })));
        }
        let read = buf.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            wire.eof = true;
            return Poll::Ready(Err(fault(BodyFault::Incomplete)));
        }
        self.reading.moved(read.len());
        let used = body.advance(read).map_err(fault)?;
        wire.pending
            .extend_from_slice(read.get(used..).unwrap_or_default());
        buf.set_filled(before + used);
        Poll::Ready(Ok(()))
    }

    /// Unframed bytes: a tunnel, or HTTP/2 under its brake.
    fn poll_through(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(wire) = self.wire.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        if let Phase::Http2(frames) = &self.phase
            && frames.stopped
        {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if !wire.pending.is_empty() {
            let here = wire.pending.len().min(buf.remaining());
            buf.put_slice(&wire.pending.split_to(here));
        } else if let Poll::Ready(result) = Pin::new(&mut wire.io).poll_read(cx, buf) {
            result?;
        } else if let Phase::Tunnel { active, alarm } = &mut self.phase {
            ready!(alarm.poll_at(*active + self.limits.tunnel_idle, cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        } else {
            if let Phase::Http2(frames) = &mut self.phase {
                frames.poll_head(self.limits.head_deadline, cx);
            }
            return Poll::Pending;
        }
        let read = buf.filled().get(before..).unwrap_or_default();
        match &mut self.phase {
            Phase::Http2(frames) => {
                let now = std::time::Instant::now();
                if frames.brake.read(read, now).is_err() {
                    frames.stop(Stop::Flood);
                    buf.set_filled(before);
                    return Poll::Pending;
                }
            }
            Phase::Tunnel { active, .. } => *active = Instant::now(),
            Phase::Request(_) => {}
        }
        Poll::Ready(Ok(()))
    }

    /// A write could not go on; ready once the client has been reading too slowly.
    fn poll_slow_reader(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.writing
            .poll_late(cx)
            .map(|_| io::ErrorKind::TimedOut.into())
    }

    /// What TLS still holds has to go on, too: a client that stops reading must not hold it forever.
    fn unless_slow(
        &mut self,
        done: Poll<io::Result<()>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let sent = self.wire.as_ref().map_or(0, |wire| wire.io.sent());
        if sent != self.sent {
            self.writing.moved(sent.abs_diff(self.sent) as usize);
            self.sent = sent;
        }
        if done.is_pending() {
            return self.poll_slow_reader(cx).map(Err);
        }
        done
    }

    /// Response bytes that were accepted: they may switch protocols, and they are activity.
    fn wrote(&mut self, bytes: &[u8]) {
        match &mut self.phase {
            Phase::Http2(frames) => {
                let notes = &frames.notes;
                let contents = frames.witness.wrote(bytes, |error| notes.sent(error));
                frames.brake.wrote(bytes.len(), contents);
            }
            Phase::Tunnel { active, .. } => *active = Instant::now(),
            Phase::Request(_) => {
                if self
                    .watch
                    .as_mut()
                    .is_some_and(|watch| watch.advance(bytes))
                {
                    self.watch = None;
                    self.phase = Phase::Tunnel {
                        active: Instant::now(),
                        alarm: Alarm::default(),
                    };
                }
            }
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(wire) = self.wire.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        while !wire.out.is_empty() {
            match Pin::new(&mut wire.io).poll_write(cx, &wire.out) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    wire.out.advance(n);
                    self.writing.moved(n);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.poll_slow_reader(cx).map(Err),
            }
        }
        wire.out.clear();
        Poll::Ready(Ok(()))
    }
}

impl Frames {
    /// Tells the loop, which looks after every read that goes no further.
    fn stop(&mut self, why: Stop) {
        self.stopped = true;
        self.notes.stop(why);
    }

    /// Stops a client that began a request head and does not end it.
    fn poll_head(&mut self, deadline: Duration, cx: &mut Context<'_>) {
        if let Some(since) = self.brake.head_since()
            && self.alarm.poll_at((since + deadline).into(), cx).is_ready()
        {
            self.stop(Stop::SlowHead);
        }
    }
}

impl<S: Transport> Wire<S> {
    /// Reads more bytes of a head; 0 at the end of the connection. Nothing is allocated to wait: most
    /// connections are idle most of the time.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut room = [const { MaybeUninit::uninit() }; READ];
            let mut buf = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            self.pending.extend_from_slice(buf.filled());
            self.eof |= buf.filled().is_empty();
            Poll::Ready(Ok(buf.filled().len()))
        })
        .await
    }

    /// Gives up the memory of buffers that hold nothing, but for a little that the next answer will use.
    pub(crate) fn rest(&mut self) {
        if self.pending.is_empty() {
            self.pending = BytesMut::new();
        }
        if self.out.is_empty() && self.out.capacity() > OUT_KEPT {
            self.out = BytesMut::new();
        }
    }

    /// Waits for the client to go away while its request is served, as pingora wants to know. What
    /// it sends meanwhile is the next request; beyond `room` it waits in the kernel.
    fn poll_client_gone(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<()>> {
        while self.pending.len() < room && !self.eof {
            let mut bytes = [0; 512];
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            self.eof = buf.filled().is_empty();
            self.pending.extend_from_slice(buf.filled());
        }
        // A client that has sent all its requests and closed its side still wants the answers.
        if self.eof && self.pending.is_empty() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Writes `answer` and says goodbye.
    pub(crate) async fn finish_with(&mut self, answer: &[u8]) -> io::Result<()> {
        self.answered = true;
        self.out.extend_from_slice(answer);
        self.io.write_all_buf(&mut self.out).await?;
        self.io.flush().await
    }

    /// Closes so that the client can still read what was written: closing a socket with unread bytes
    /// resets it, and the reset overtakes the answer (RFC 9112 section 9.6). Bounded in time and bytes.
    pub(crate) async fn close(mut self) {
        if !S::GOODBYE && (!self.answered || self.eof) {
            return;
        }
        // Where nothing more is due, only what is already there is looked at.
        let patience = if self.clean || self.eof {
            Duration::ZERO
        } else {
            LINGER
        };
        let finish = async {
            if self.io.write_all_buf(&mut self.out).await.is_err()
                || self.io.shutdown().await.is_err()
            {
                return;
            }
            let (mut bytes, mut left) = ([0; 4096], LINGER_BYTES);
            let read = async {
                while let Ok(read @ 1..) = self.io.read(&mut bytes).await {
                    left = left.saturating_sub(read);
                    if left == 0 {
                        return;
                    }
                }
            };
            let _ = timeout(patience, read).await;
        };
        let _ = timeout(LINGER * 2, finish).await;
    }
}

impl<S> Slot<S> {
    /// The socket, if the connection was dropped.
    pub(crate) fn take(&self) -> Option<Wire<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<S> Drop for EdgeConn<S> {
    fn drop(&mut self) {
        let between = matches!(&self.phase, Phase::Request(body) if body.is_done());
        let mut wire = self.wire.take();
        if let Some(wire) = &mut wire {
            wire.clean = between && wire.pending.is_empty();
        }
        *self.slot.0.lock().unwrap_or_else(PoisonError::into_inner) = wire;
    }
}

impl<S: Transport> AsyncRead for EdgeConn<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.phase {
            Phase::Request(_) => this.poll_request(cx, buf),
            Phase::Tunnel { .. } | Phase::Http2(_) => this.poll_through(cx, buf),
        }
    }
}

impl<S: Transport> AsyncWrite for EdgeConn<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let accepted = loop {
            let Some(wire) = this.wire.as_mut() else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            wire.answered = true;
            if wire.out.len() + bytes.len() <= OUT {
                wire.out.extend_from_slice(bytes);
                break bytes.len();
            }
            let joined = [io::IoSlice::new(&wire.out), io::IoSlice::new(bytes)];
            let slices = if wire.out.is_empty() {
                joined.get(1..)
            } else {
                joined.get(..)
            };
            let io = Pin::new(&mut wire.io);
            let Poll::Ready(result) = io.poll_write_vectored(cx, slices.unwrap_or_default()) else {
                return this.poll_slow_reader(cx).map(Err);
            };
            let written = result?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let buffered = written.min(wire.out.len());
            wire.out.advance(buffered);
            this.writing.moved(written);
            if written > buffered {
                break written - buffered;
            }
        };
        this.wrote(bytes.get(..accepted).unwrap_or_default());
        Poll::Ready(Ok(accepted))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        let Some(wire) = this.wire.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        let flushed = Pin::new(&mut wire.io).poll_flush(cx);
        this.unless_slow(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        let Some(wire) = this.wire.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        let closed = Pin::new(&mut wire.io).poll_shutdown(cx);
        this.unless_slow(closed, cx)
    }
}

#[async_trait]
impl<S: Transport> Shutdown for EdgeConn<S> {
    async fn shutdown(&mut self) {
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl<S> UniqueID for EdgeConn<S> {
    fn id(&self) -> i32 {
        self.fd
    }
}

impl<S> Ssl for EdgeConn<S> {
    /// Says HTTP/2 where the preface was seen, so that pingora does not look for it again.
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        matches!(self.phase, Phase::Http2(_)).then_some(ALPN::H2)
    }
}

impl<S> GetTimingDigest for EdgeConn<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest {
            established_ts: self.opened,
            ..TimingDigest::default()
        })]
    }
}

impl<S> GetProxyDigest for EdgeConn<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.proxy))
    }
}

impl<S> GetSocketDigest for EdgeConn<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}

impl<S> Peek for EdgeConn<S> {}

impl<S> fmt::Debug for EdgeConn<S> {
    /// Never the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeConn")
            .field("fd", &self.fd)
            .field("phase", &self.phase)
            .finish()
    }
}

fn fault(fault: BodyFault) -> io::Error {
    io::Error::other(fault)
}

/// Room for a head that arrives in one piece.
const READ: usize = 4096;
/// Writes up to this are joined: a response head and a small content are one packet.
const OUT: usize = 4096;
/// Room for writes that a connection keeps while it is idle.
const OUT_KEPT: usize = 1024;
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;
