//! Stands between pingora and the client's session while a body is replayed or a response held.
//!
//! pingora replays at most 64 KiB of a request body and cannot hold response headers back. This
//! session wraps the real one: it hands out the inspected body as often as the upstream needs it
//! (also on a retry), and collects a response until the rules have seen it. It must be taken off
//! again before pingora finishes the request, or connections are not reused.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as CustomSession;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::{Digest, l4::socket::SocketAddr};
use pingora::{Error, ErrorType, Result};

use super::hold::{Hold, Judged};

/// The request body (or its inspected beginning) that is given to every upstream tried.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    /// Bytes already taken from the client.
    pub(crate) bytes: Bytes,
    /// True if that was the whole body; otherwise the rest is still to be read.
    pub(crate) whole: bool,
    /// True if `bytes` are not the client's but the same content without its coding.
    pub(crate) recoded: bool,
}

/// The other end of an installed [`Intercept`].
#[derive(Clone, Default)]
pub(crate) struct Handle(Arc<Mutex<Shared>>);

/// When waiting for the server ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Until {
    /// Of this try, for the head of the answer.
    pub(crate) one: Option<Instant>,
    /// Of all tries together, and the answer.
    pub(crate) all: Option<Instant>,
}

impl Until {
    /// Never.
    pub(crate) const NONE: Self = Self {
        one: None,
        all: None,
    };

    /// The end that comes first, and how it is called.
    fn next(self) -> Option<(Instant, ErrorType)> {
        match (self.one, self.all) {
            (Some(one), Some(all)) if all <= one => Some((all, TOTAL)),
            (Some(one), _) => Some((one, PER_TRY)),
            (None, all) => all.map(|all| (all, TOTAL)),
        }
    }
}

#[derive(Default)]
struct Shared {
    until: Until,
    session: Option<Box<ServerSession>>,
    hold: Option<Hold>,
    judged: Option<Judged>,
}

impl Handle {
    /// Puts an [`Intercept`] before `session`.
    pub(crate) fn install(session: &mut Box<ServerSession>, replay: Option<Replay>) -> Self {
        let handle = Self::default();
        let inner = std::mem::replace(session, absent());
        let intercept = Intercept {
            inner,
            handle: handle.clone(),
            replay,
            hold: None,
        };
        **session = ServerSession::new_custom(Box::new(intercept));
        handle
    }

    /// Takes it off again: `session` is the client's own from here on.
    pub(crate) fn remove(&self, session: &mut Box<ServerSession>) {
        *session = absent(); // drops the intercept, which hands the real session over
        if let Some(inner) = self.with(|shared| shared.session.take()) {
            *session = inner;
        }
    }

    /// Ends the exchange with [`PER_TRY`] or [`TOTAL`] when its time is over.
    pub(crate) fn set_until(&self, until: Until) {
        self.with(|shared| shared.until = until);
    }

    /// Holds the response that is about to be written until `hold` has judged it.
    pub(crate) fn hold_response(&self, hold: Hold) {
        self.with(|shared| shared.hold = Some(hold));
    }

    /// What the judge of a held response said, and the transaction it used.
    pub(crate) fn judged(&self) -> Option<Judged> {
        self.with(|shared| shared.judged.take())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Shared) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A session that is never asked anything; fills the place while the real one is moved.
fn absent() -> Box<ServerSession> {
    Box::new(ServerSession::new_custom(Box::new(())))
}

struct Intercept {
    inner: Box<ServerSession>,
    handle: Handle,
    replay: Option<Replay>,
    hold: Option<Hold>,
}

impl Drop for Intercept {
    fn drop(&mut self) {
        let inner = std::mem::replace(&mut self.inner, absent());
        let unjudged = self.hold.take().map(Hold::abandon);
        self.handle.with(|shared| {
            shared.session = Some(inner);
            if shared.judged.is_none() {
                shared.judged = unjudged.or_else(|| shared.hold.take().map(Hold::abandon));
            }
        });
    }
}

impl Intercept {
    fn replays_whole(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.whole)
    }

    /// Collects response tasks; returns them once they may be written.
    async fn collect(&mut self, tasks: Vec<HttpTask>) -> Result<Released> {
        if self.hold.is_none() {
            self.hold = self.handle.with(|shared| shared.hold.take());
        }
        let Some(mut hold) = self.hold.take() else {
            return Ok(Released::Write(tasks));
        };
        if !hold.push(tasks) {
            self.hold = Some(hold);
            return Ok(Released::Later);
        }
        let (tasks, judged) = hold.judge().await;
        let refusal = judged.refusal.clone();
        self.handle.with(|shared| shared.judged = Some(judged));
        Ok(refusal.map_or(Released::Write(tasks), Released::Refuse))
    }
}

/// What becomes of collected response tasks.
enum Released {
    Write(Vec<HttpTask>),
    Later,
    Refuse(edge_core::Refusal),
}

#[async_trait]
impl CustomSession for Intercept {
    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        if self.replays_whole() {
            Ok(None)
        } else {
            self.inner.read_request_body().await
        }
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.inner.drain_request_body().await
    }

    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, _end: bool) -> Result<()> {
        self.inner.write_response_header(resp).await
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, _end: bool) -> Result<()> {
        self.inner.write_response_header_ref(resp).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.inner.write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.inner.write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        match self.collect(tasks).await? {
            Released::Write(tasks) => self.inner.response_duplex_vec(tasks).await,
            Released::Later => Ok(false),
            Released::Refuse(refusal) => {
                super::answer::refuse(&mut self.inner, &refusal, None).await?;
                Ok(true)
            }
        }
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.inner.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.inner.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {
        self.inner.shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        self.replays_whole() || self.inner.is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner.finish_body().await
    }

    fn is_body_empty(&mut self) -> bool {
        match &self.replay {
            Some(replay) if replay.whole => replay.bytes.is_empty(),
            Some(_) => false,
            None => self.inner.is_body_empty(),
        }
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let idle = no_body_expected || self.replays_whole();
        // pingora polls this for as long as it waits for the server, so a deadline belongs here.
        let until = self.handle.with(|shared| shared.until).next();
        let reading = self.inner.read_body_or_idle(idle);
        let Some((at, over)) = until else {
            return reading.await;
        };
        let read = tokio::time::timeout_at(at.into(), reading).await;
        read.unwrap_or_else(|_| Err(Error::explain(over, "time is over")))
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner.to_h1_raw()
    }

    fn enable_retry_buffering(&mut self) {
        if self.replay.is_none() {
            self.inner.enable_retry_buffering();
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        match &self.replay {
            Some(replay) => !replay.whole,
            None => self.inner.retry_buffer_truncated(),
        }
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        match &self.replay {
            Some(replay) => Some(replay.bytes.clone()).filter(|bytes| !bytes.is_empty()),
            None => self.inner.get_retry_buffer(),
        }
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(
        &mut self,
        _writer: Box<dyn CustomMessageWrite>,
    ) -> Result<()> {
        Ok(())
    }

    fn is_upgrade_req(&self) -> bool {
        self.inner.is_upgrade_req()
    }

    fn was_upgraded(&self) -> bool {
        self.inner.was_upgraded()
    }
}

/// A try took too long.
pub(crate) const PER_TRY: ErrorType = ErrorType::Custom("per-try timeout");
/// All tries together took too long.
pub(crate) const TOTAL: ErrorType = ErrorType::Custom("total timeout");

/// Joins the body bytes of response tasks.
pub(super) fn body_of(tasks: &[HttpTask]) -> Bytes {
    let mut body = BytesMut::new();
    for task in tasks {
        if let HttpTask::Body(Some(bytes), _) = task {
            body.extend_from_slice(bytes);
        }
    }
    body.freeze()
}
