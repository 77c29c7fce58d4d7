//! One HTTP/2 stream as the HTTP engine sees it.
//!
//! pingora has a session of its own for HTTP/2. Ours stands in its place (the trait pingora offers to
//! other protocols) because that one knows no clock for bodies, drops interim responses, and opens
//! no WebSockets. Every wait for the client is bounded by its [`Pace`]; nothing is buffered beyond
//! what the client's flow control window takes.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::date::get_cached_date;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::time::Instant;

use super::retry::RetryBuffer;
use super::websocket::Handshake;
use super::{Guard, Prepared};
use crate::body::BodyFault;
use crate::direct::Http2;
use crate::fields;
use crate::pace::{Alarm, Late, Pace};
use crate::stream::StreamLimits;

/// A request and the way back to its client.
pub(crate) struct H2Session {
    pub(super) request: RequestHeader,
    pub(super) body: RecvStream,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) digest: Arc<Digest>,
    pub(super) tunnel: Tunnel,
    pub(super) limits: StreamLimits,
    out: Option<SendStream<Bytes>>,
    written: Option<Box<ResponseHeader>>,
    /// END_STREAM or a reset was sent.
    ended: bool,
    /// The client has sent all it had.
    over: bool,
    received: usize,
    sent: usize,
    retry: Option<RetryBuffer>,
    reading: Pace,
    writing: Pace,
    _guard: Guard,
}

/// What a stream is besides a request and its answer.
pub(super) enum Tunnel {
    /// Nothing.
    None,
    /// A WebSocket that waits for the upstream's answer.
    Offered(Handshake),
    /// A WebSocket: bytes in both directions until both are silent for too long.
    Open { active: Instant, alarm: Alarm },
}

impl H2Session {
    pub(super) fn new(
        request: RequestHeader,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        handshake: Option<Handshake>,
        digest: Arc<Digest>,
        limits: StreamLimits,
        guard: Guard,
    ) -> Self {
        Self {
            request,
            body,
            respond,
            digest,
            tunnel: handshake.map_or(Tunnel::None, Tunnel::Offered),
            limits,
            out: None,
            written: None,
            ended: false,
            over: false,
            received: 0,
            sent: 0,
            retry: None,
            reading: Pace::reading(limits.pacing),
            writing: Pace::writing(limits.pacing),
            _guard: guard,
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        let Poll::Ready(read) = self.body.poll_data(cx) else {
            return self.poll_silence(cx);
        };
        let data = match read {
            None => {
                self.over = true;
                return Poll::Ready(Ok(None));
            }
            Some(Err(error)) => return Poll::Ready(Err(read_error(error))),
            Some(Ok(data)) => data,
        };
        self.received += data.len();
        self.reading.moved(data.len());
        self.is_active();
        if let Some(retry) = &mut self.retry {
            retry.push(&data);
        }
        // Only fails on a stream that is gone, which the next read finds out.
        let _ = self.body.flow_control().release_capacity(data.len());
        Poll::Ready(Ok(Some(data)))
    }

    /// The client sends nothing; ready once it may not do so any longer.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if let Tunnel::Open { active, alarm } = &mut self.tunnel {
            ready!(alarm.poll_at(*active + self.limits.tunnel_idle, cx));
            let error = Error::explain(ErrorType::ReadTimedout, "tunnel is silent");
            return Poll::Ready(Err(error));
        }
        let fault = match ready!(self.reading.poll_late(cx)) {
            Late::Deadline => BodyFault::Deadline,
            Late::TooSlow => BodyFault::TooSlow,
        };
        Poll::Ready(Err(body_error(fault)))
    }

    fn is_active(&mut self) {
        if let Tunnel::Open { active, .. } = &mut self.tunnel {
            *active = Instant::now();
        }
    }

    fn write_header(&mut self, mut response: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.ended || self.out.is_some() {
            return Ok(());
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(response);
        }
        for name in &NOT_IN_HTTP2 {
            response.remove_header(name);
        }
        if response.status.is_informational() {
            let interim = Response::from_parts(response.as_owned_parts(), ());
            return self.respond.send_informational(interim).or_err(
                ErrorType::WriteError,
                "while writing an interim response to the client",
            );
        }
        if matches!(self.tunnel, Tunnel::Offered(_)) && response.status.is_success() {
            // To the client of an extended CONNECT any 2xx is consent.
            return Error::e_explain(
                ErrorType::InvalidHTTPHeader,
                "WebSocket answered without 101",
            )
            .map_err(|error: Box<Error>| error.into_up());
        }
        self.send_head(response, end)
    }

    /// The upstream consents to the WebSocket.
    fn switch(&mut self, mut response: Box<ResponseHeader>) -> Result<()> {
        match &self.tunnel {
            Tunnel::Offered(handshake) if handshake.is_accepted(&response.headers) => {}
            _ => {
                return Error::e_explain(
                    ErrorType::InvalidHTTPHeader,
                    "101 that was not asked for",
                )
                .map_err(|error: Box<Error>| error.into_up());
            }
        }
        for name in NOT_IN_HTTP2
            .iter()
            .chain(&[header::SEC_WEBSOCKET_ACCEPT, header::CONTENT_LENGTH])
        {
            response.remove_header(name);
        }
        let mut consent = response.clone();
        consent.set_status(StatusCode::OK)?;
        self.send_head(consent, false)?;
        // The record says what the upstream said.
        self.written = Some(response);
        self.tunnel = Tunnel::Open {
            active: Instant::now(),
            alarm: Alarm::default(),
        };
        Ok(())
    }

    fn send_head(&mut self, mut response: Box<ResponseHeader>, end: bool) -> Result<()> {
        response.insert_header(header::DATE, get_cached_date())?;
        let head = Response::from_parts(response.as_owned_parts(), ());
        let sent = self.respond.send_response(head, end);
        self.out = Some(sent.or_err(ErrorType::WriteError, "while writing a response head")?);
        self.written = Some(response);
        self.ended = end;
        Ok(())
    }

    /// Sends `data` as far and as fast as the client's window lets us.
    async fn send(&mut self, mut data: Bytes, end: bool) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        while !data.is_empty() {
            let room = poll_fn(|cx| self.poll_room(data.len(), cx)).await?;
            let part = data.split_to(room.min(data.len()));
            let (length, last) = (part.len(), end && data.is_empty());
            self.send_data(part, last)?;
            self.sent += length;
            self.writing.moved(length);
            self.is_active();
        }
        if end && !self.ended {
            self.send_data(Bytes::new(), true)?;
        }
        Ok(())
    }

    fn send_data(&mut self, data: Bytes, end: bool) -> Result<()> {
        let Some(out) = &mut self.out else {
            return Error::e_explain(ErrorType::InternalError, "body before the response head");
        };
        out.send_data(data, end)
            .or_err(ErrorType::WriteError, "while writing a response body")?;
        self.ended = end;
        Ok(())
    }

    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let Some(out) = &mut self.out else {
            let error = Error::explain(ErrorType::InternalError, "body before the response head");
            return Poll::Ready(Err(error));
        };
        out.reserve_capacity(wanted);
        match out.poll_capacity(cx) {
            Poll::Ready(Some(Ok(room))) => Poll::Ready(Ok(room)),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(Error::because(
                ErrorType::WriteError,
                "while writing a response body",
                error,
            ))),
            Poll::Ready(None) => Poll::Ready(Error::e_explain(
                ErrorType::WriteError,
                "the client took the request back",
            )),
            Poll::Pending => {
                ready!(self.writing.poll_late(cx));
                self.reset(Reason::CANCEL);
                let error = Error::explain(ErrorType::WriteTimedout, "client stopped reading");
                Poll::Ready(Err(error))
            }
        }
    }

    fn reset(&mut self, reason: Reason) {
        if !self.ended {
            self.respond.send_reset(reason);
            self.ended = true;
        }
    }

    /// Waits for the client to give the stream up.
    async fn idle(&mut self) -> Result<Option<Bytes>> {
        let reset = poll_fn(|cx| match &mut self.out {
            Some(out) => out.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        });
        let reason = reset.await.or_err(ErrorType::H2Error, "client is gone")?;
        Error::e_explain(ErrorType::H2Error, format!("client gave up: {reason}"))
    }

    fn end(&mut self) -> Result<()> {
        if self.ended || self.out.is_none() {
            return Ok(());
        }
        self.send_data(Bytes::new(), true)
    }

    /// Ends the response with those of `trailers` that may stand there, RFC 9110 section 6.5.1.
    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let trailers = fields::trailers(trailers);
        if trailers.is_empty() {
            return self.end();
        }
        let Some(out) = &mut self.out else {
            return Error::e_explain(
                ErrorType::InternalError,
                "trailers before the response head",
            );
        };
        out.send_trailers(trailers)
            .or_err(ErrorType::WriteError, "while writing trailers")?;
        self.ended = true;
        Ok(())
    }

    fn declares_nothing(&self) -> bool {
        let length = self.request.headers.get(header::CONTENT_LENGTH);
        self.body.is_end_stream() || length.is_some_and(|length| length == "0")
    }
}

impl H2Session {
    /// Takes along what was prepared for the HTTP engine.
    pub(super) fn carry(&mut self, prepared: Box<dyn Any + Send>) {
        let prepared = Prepared::new(prepared);
        self.request.extensions_mut().insert(prepared);
    }
}

/// Without the engine; its session is not used then.
impl Http2 for H2Session {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.out {
            Some(out) => out.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        reset.map(|_| ())
    }

    fn head(&mut self, head: Response<()>, end: bool) -> io::Result<()> {
        if head.status().is_informational() {
            return self
                .respond
                .send_informational(head)
                .map_err(io::Error::other);
        }
        let out = self.respond.send_response(head, end);
        self.out = Some(out.map_err(io::Error::other)?);
        self.ended = end;
        Ok(())
    }

    fn poll_data(
        &mut self,
        data: &mut Bytes,
        end: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !data.is_empty() {
            let room = ready!(self.poll_room(data.len(), cx)).map_err(io::Error::other)?;
            let part = data.split_to(room.min(data.len()));
            self.writing.moved(part.len());
            self.send_data(part, end && data.is_empty())
                .map_err(io::Error::other)?;
        }
        if end && !self.ended {
            self.send_data(Bytes::new(), true)
                .map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Session for H2Session {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_body(cx)).await
    }

    /// Nothing to do: what is left of a body hinders no other stream.
    async fn drain_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.write_header(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.write_header(Box::new(head.clone()), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.send(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.send_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut over = false;
        for task in tasks {
            over |= task.is_end();
            let written = match task {
                HttpTask::Header(head, end) => self.write_header(head, end),
                HttpTask::Body(Some(data), end) | HttpTask::UpgradedBody(Some(data), end) => {
                    self.send(data, end).await
                }
                HttpTask::Trailer(Some(trailers)) => self.send_trailers(*trailers),
                HttpTask::Body(None, _)
                | HttpTask::UpgradedBody(None, _)
                | HttpTask::Trailer(None)
                | HttpTask::Done => Ok(()),
                HttpTask::Failed(error) => return Err(error),
            };
            written.map_err(in_response)?;
        }
        if over {
            self.end().map_err(in_response)?;
        }
        Ok(over)
    }

    // The listener's pace is kept whatever the engine would like.
    fn set_read_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_write_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_total_drain_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }

    /// Only for log lines of the engine, which are switched off: never the request line.
    fn request_summary(&self) -> String {
        format!("{} over HTTP/2", self.request.method)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _why: &str) {
        self.reset(Reason::INTERNAL_ERROR);
    }

    fn is_body_done(&mut self) -> bool {
        match &self.tunnel {
            Tunnel::None => self.over || self.body.is_end_stream() || self.is_body_empty(),
            // Bytes sent ahead of the upstream's consent wait: they are not HTTP.
            Tunnel::Offered(_) => true,
            Tunnel::Open { .. } => self.over,
        }
    }

    async fn finish(&mut self) -> Result<()> {
        self.end()
    }

    fn is_body_empty(&mut self) -> bool {
        match &self.tunnel {
            Tunnel::None => self.received == 0 && self.declares_nothing(),
            Tunnel::Offered(_) => true,
            Tunnel::Open { .. } => false,
        }
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if no_body_expected || self.is_body_done() {
            self.idle().await
        } else {
            self.read_body_bytes().await
        }
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.received
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Arc::get_mut(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.peer_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.local_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        let mut raw = Vec::with_capacity(512);
        raw.extend_from_slice(self.request.method.as_str().as_bytes());
        raw.push(b' ');
        raw.extend_from_slice(self.request.raw_path());
        raw.extend_from_slice(b" HTTP/1.1\r\n");
        self.request.header_to_h1_wire(&mut raw);
        raw.extend_from_slice(b"\r\n");
        raw.into()
    }

    fn enable_retry_buffering(&mut self) {
        self.retry.get_or_insert_with(RetryBuffer::default);
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.retry.as_ref().is_some_and(RetryBuffer::is_truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.retry.as_ref().and_then(RetryBuffer::bytes)
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
        !matches!(self.tunnel, Tunnel::None)
    }

    fn was_upgraded(&self) -> bool {
        matches!(self.tunnel, Tunnel::Open { .. })
    }
}

/// Errors of writing are the client's, unless an upstream's answer was at fault.
fn in_response(error: Box<Error>) -> Box<Error> {
    match error.esource() {
        pingora::ErrorSource::Upstream => error,
        _ => error.into_down(),
    }
}

fn read_error(error: h2::Error) -> Box<Error> {
    // The only thing `h2` itself finds wrong with content is its length.
    if error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR) {
        return body_error(BodyFault::Length);
    }
    Error::because(ErrorType::H2Error, "while reading a request body", error)
}

fn body_error(fault: BodyFault) -> Box<Error> {
    Error::because(
        ErrorType::ReadError,
        "while reading a request body",
        io::Error::other(fault),
    )
}

/// Fields of HTTP/1 connections, RFC 9113 section 8.2.2.
const NOT_IN_HTTP2: [header::HeaderName; 5] = [
    header::CONNECTION,
    header::HeaderName::from_static("keep-alive"),
    header::HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
