//! One exchange with a server: the head out, the answer back to the client.
//!
//! Bytes go from the server's socket to the client's through one buffer; nothing is sent before its
//! framing has been checked. What the rules want to see first is held, as on the engine's way.

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use edge_config::Timeouts;
use edge_conn::Client;
use httparse::Header;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::buffer::Buffer;
use super::content::{Content, LAST_CHUNK, chunk};
use super::reply::{self, Reply, slow};
use super::response_head::{self, Answer, Asked, Found};
use super::server::{Server, Trouble};
use crate::proxy::{Context, record, response, retry};

/// What the client got so far.
#[derive(Default)]
pub(super) struct Progress {
    /// Of the answer whose head was written.
    pub(super) status: Option<u16>,
    /// Content that was written.
    pub(super) bytes_out: u64,
    /// The connection can carry no further request.
    pub(super) broken: bool,
    /// Fields of the answer, if an audit entry may show them.
    pub(super) headers: Vec<(Bytes, Bytes)>,
}

/// An exchange with one server.
pub(super) struct Relay<'a, 'c> {
    pub(super) ctx: &'a mut Context,
    pub(super) client: &'a mut Client<'c>,
    pub(super) server: &'a mut Server,
    pub(super) progress: &'a mut Progress,
    /// Holds the request's head, later the answer's.
    pub(super) reply: &'a mut Reply,
    /// The client's connection is closed afterwards.
    pub(super) last: bool,
}

impl Relay<'_, '_> {
    /// Sends the head and relays the answer; true if the server's connection can be used again.
    pub(super) async fn run(mut self, dial: Timeouts) -> Result<bool, Trouble> {
        self.server.send(&self.reply.text, dial.write).await?;
        // From here: connecting had a time of its own.
        let until = Instant::now() + dial.read;
        self.server.wait(self.client, until).await?;
        let mut buffer = Buffer::take();
        let mut held = None;
        let (answer, filled) = self.head(&mut buffer.0, &mut held, dial.read).await?;
        if held.is_none() {
            self.begin(answer.status, answer.content.is_done()).await?;
        }
        self.content(&mut buffer.0, filled, answer, &mut held, dial.read)
            .await
    }

    /// Writes the answer's head, and what is held behind it; `end`: nothing follows.
    async fn begin(&mut self, status: u16, end: bool) -> Result<(), Trouble> {
        self.progress.status = Some(status);
        // For the record of a request that is cut.
        if let Some(exchange) = &mut self.ctx.exchange {
            exchange.response_status = Some(status);
        }
        self.reply.send(self.client, end).await
    }

    /// An answer that the rules see before the client does is `held`: its content freed from its framing;
    /// its judge is in the context. In the client's framing it stands behind the head in `reply`.
    ///
    /// Reads until the answer's head is whole; the client's is in `reply` then. Returns how much of
    /// the buffer is filled.
    async fn head(
        &mut self,
        buffer: &mut Vec<u8>,
        held: &mut Option<Vec<u8>>,
        patience: Duration,
    ) -> Result<(Answer, usize), Trouble> {
        let head = self.ctx.exchange.as_ref().and_then(|e| e.head.as_ref());
        let asked = Asked {
            head: head.is_some_and(|head| head.method() == b"HEAD"),
            last: self.last,
        };
        let (mut filled, mut interim) = (0, 0);
        loop {
            if filled == buffer.len() {
                if filled >= HEAD_MAX {
                    return Err(Trouble::Broken);
                }
                buffer.resize(filled * 2, 0);
            }
            let room = buffer.get_mut(filled..).unwrap_or_default();
            match self.server.read(room).await {
                Poll::Ready(Ok(read @ 1..)) => filled += read,
                Poll::Ready(_) if filled == 0 && interim == 0 => return Err(Trouble::Silent),
                Poll::Ready(_) => return Err(Trouble::Broken),
                Poll::Pending => {
                    self.server
                        .wait(self.client, Instant::now() + patience)
                        .await?;
                    continue;
                }
            }
            loop {
                let bytes = buffer.get(..filled).unwrap_or_default();
                let (ctx, progress) = (&mut *self.ctx, &mut *self.progress);
                let judge =
                    |status, headers: &[Header<'_>]| judge(ctx, progress, held, status, headers);
                let length = match response_head::read(bytes, asked, self.reply, judge)? {
                    Found::More => break,
                    Found::Answer(answer) => return Ok((answer, filled)),
                    Found::Continue(length) => length,
                    Found::Interim(length) => {
                        self.reply.send(self.client, false).await?;
                        reply::flush(self.client).await?;
                        length
                    }
                };
                interim += 1;
                if interim > INTERIM_MAX {
                    return Err(Trouble::Broken);
                }
                buffer.copy_within(length..filled, 0);
                filled -= length;
            }
        }
    }

    /// Relays the content, whose beginning stands behind the head in the first `filled` bytes of
    /// `buffer`; true if the server's connection can be used again.
    async fn content(
        &mut self,
        buffer: &mut [u8],
        filled: usize,
        answer: Answer,
        held: &mut Option<Vec<u8>>,
        patience: Duration,
    ) -> Result<bool, Trouble> {
        let Answer {
            status,
            length,
            mut content,
            keeps,
        } = answer;
        let (mut start, mut end) = (length, filled);
        loop {
            let offered = buffer.get(start..end).unwrap_or_default();
            let used = self.pass(&mut content, offered, held).await?;
            let done = content.is_done();
            if done || self.has_enough(held.as_ref()) {
                self.release(held, status, done).await?;
            }
            if done {
                reply::flush(self.client).await?;
                // Bytes behind the end were never asked for: nobody may take them for an answer.
                return Ok(keeps && start + used == end);
            }
            (start, end) = (0, 0);
            while end == 0 {
                match self.server.read(buffer).await {
                    Poll::Ready(Ok(0)) if !content.is_framed() => {
                        self.finish(held, status).await?;
                        reply::flush(self.client).await?;
                        return Ok(false);
                    }
                    Poll::Ready(Ok(read @ 1..)) => end = read,
                    Poll::Ready(_) => return Err(Trouble::Broken),
                    Poll::Pending => {
                        reply::flush(self.client).await?;
                        self.server
                            .wait(self.client, Instant::now() + patience)
                            .await?;
                    }
                }
            }
        }
    }

    /// The server has closed, which ends content without an end of its own.
    async fn finish(&mut self, held: &mut Option<Vec<u8>>, status: u16) -> Result<(), Trouble> {
        if held.is_some() {
            if !self.reply.is_http2() {
                self.reply.text.extend_from_slice(LAST_CHUNK);
            }
            return self.release(held, status, true).await;
        }
        let last: &'static [u8] = match self.client {
            Client::Http1(_) => LAST_CHUNK,
            Client::Http2(_) => &[],
        };
        reply::send(self.client, Bytes::from_static(last), true).await
    }

    /// Writes the content at the start of `bytes`, or holds it; returns how much of them it is.
    async fn pass(
        &mut self,
        content: &mut Content,
        bytes: &[u8],
        held: &mut Option<Vec<u8>>,
    ) -> Result<usize, Trouble> {
        let http2 = self.reply.is_http2();
        let (mut data, mut length) = (Vec::new(), 0);
        let used = content.advance(bytes, |piece| {
            length += piece.len() as u64;
            match held {
                Some(held) => held.extend_from_slice(piece),
                None if http2 => data.extend_from_slice(piece),
                None => {}
            }
        })?;
        self.progress.bytes_out += length;
        let bytes = bytes.get(..used).unwrap_or_default();
        match (held, &mut *self.client) {
            (Some(_), Client::Http2(_)) => {}
            (None, Client::Http2(_)) => {
                reply::send(self.client, data.into(), content.is_done()).await?;
            }
            (_, Client::Http1(_)) if bytes.is_empty() => {}
            (Some(_), Client::Http1(_)) if content.is_framed() => {
                self.reply.text.extend_from_slice(bytes);
            }
            (Some(_), Client::Http1(_)) => chunk(&mut self.reply.text, bytes),
            (None, Client::Http1(connection)) if content.is_framed() => {
                connection.write_all(bytes).await.map_err(slow)?;
            }
            (None, Client::Http1(connection)) => {
                self.reply.text.clear();
                chunk(&mut self.reply.text, bytes);
                connection.write_all(&self.reply.text).await.map_err(slow)?;
            }
        }
        Ok(used)
    }

    fn has_enough(&self, held: Option<&Vec<u8>>) -> bool {
        let judge = self.ctx.judge.as_ref();
        let enough = |held: &Vec<u8>| judge.is_none_or(|judge| judge.has_enough(held.len()));
        held.is_some_and(enough)
    }

    /// Has what is held judged, and writes it.
    async fn release(
        &mut self,
        held: &mut Option<Vec<u8>>,
        status: u16,
        ended: bool,
    ) -> Result<(), Trouble> {
        let (Some(data), Some(judge)) = (held.take(), self.ctx.judge.take()) else {
            return Ok(());
        };
        let data = Bytes::from(data);
        let judged = judge.judge(data.clone(), ended).await;
        if let Some(refusal) = response::judged(self.ctx, judged) {
            self.ctx.refusal = Some(refusal);
            return Err(Trouble::Refused);
        }
        // On HTTP/1 the content stands framed behind the head.
        self.begin(status, ended && data.is_empty()).await?;
        if self.reply.is_http2() {
            reply::send(self.client, data, ended).await?;
        }
        Ok(())
    }
}

/// Phase 3; then the rules of phase 4 get a judge, or are asked without content where nobody wants to
/// see it.
fn judge(
    ctx: &mut Context,
    progress: &mut Progress,
    held: &mut Option<Vec<u8>>,
    status: u16,
    headers: &[Header<'_>],
) -> Result<(), Trouble> {
    let fields = || {
        headers
            .iter()
            .map(|field| (field.name.as_bytes(), field.value))
    };
    retry::came(ctx, status);
    response::waited(ctx);
    if ctx.inspection.is_none() {
        return Ok(());
    }
    response::ask_head(ctx, status, fields()).map_err(|_| Trouble::Refused)?;
    if record::audits(ctx) {
        let owned = |(name, value): (&[u8], &[u8])| {
            (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value))
        };
        progress.headers = fields().map(owned).collect();
    }
    let values = |wanted: &'static str| {
        let named = headers
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(wanted));
        named.map(|field| field.value)
    };
    ctx.judge = response::judge(ctx, status, values);
    *held = ctx.judge.is_some().then(Vec::new);
    if held.is_none() {
        response::ask_nothing(ctx).map_err(|_| Trouble::Refused)?;
    }
    Ok(())
}

/// A response head at most.
const HEAD_MAX: usize = 256 * 1024;
const INTERIM_MAX: u32 = 16;
