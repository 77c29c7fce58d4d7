//! One exchange with a server: the head out, the answer back to the client.
//!
//! Bytes go from the server's socket to the client's through one buffer; nothing is sent before its
//! framing has been checked. What the rules want to see first is held, as on the engine's way.

use std::io;
use std::task::Poll;
use std::time::Duration;

use edge_config::Timeouts;
use edge_conn::Client;
use httparse::Header;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::buffer::Buffer;
use super::content::{Content, LAST_CHUNK, chunk};
use super::response_head::{self, Answer, Asked, Found};
use super::server::{Server, Trouble};
use crate::proxy::hold::Judge;
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
    pub(super) headers: Vec<(Box<[u8]>, Box<[u8]>)>,
}

/// An exchange with one server.
pub(super) struct Relay<'a> {
    pub(super) ctx: &'a mut Context,
    pub(super) client: &'a mut dyn Client,
    pub(super) server: &'a mut Server,
    pub(super) progress: &'a mut Progress,
    /// The request's head; later what is about to be written to the client.
    pub(super) text: &'a mut Vec<u8>,
    /// The client's connection is closed afterwards.
    pub(super) last: bool,
}

/// An answer that the rules see before the client does: its content in the client's framing behind
/// the head in [`Relay::text`], and freed from it.
struct Held {
    judge: Judge,
    data: Vec<u8>,
}

impl Relay<'_> {
    /// Sends the head and relays the answer; true if the server's connection can be used again.
    pub(super) async fn run(mut self, dial: Timeouts) -> Result<bool, Trouble> {
        self.server.send(self.text, dial.write).await?;
        let sent = self.ctx.sent.map_or_else(Instant::now, Instant::from_std);
        self.server.wait(self.client, sent + dial.read).await?;
        let mut buffer = Buffer::take();
        let mut held = None;
        let (answer, filled) = self.head(&mut buffer.0, &mut held, dial.read).await?;
        if held.is_none() {
            self.begin(answer.status).await?;
        }
        let relayed = self
            .content(&mut buffer.0, filled, answer, &mut held, dial.read)
            .await;
        if let Some(Held { judge, .. }) = held {
            self.ctx.inspection = Some(judge.abandon());
        }
        relayed
    }

    /// Writes the answer's head, and what is held behind it.
    async fn begin(&mut self, status: u16) -> Result<(), Trouble> {
        self.progress.status = Some(status);
        // For the record of a request that is cut.
        if let Some(exchange) = &mut self.ctx.exchange {
            exchange.response_status = Some(status);
        }
        self.client.write_all(self.text).await.map_err(slow)
    }

    /// Reads until the answer's head is whole; the client's is in `text` then. Returns how much of
    /// the buffer is filled.
    async fn head(
        &mut self,
        buffer: &mut Vec<u8>,
        held: &mut Option<Held>,
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
                self.text.clear();
                let bytes = buffer.get(..filled).unwrap_or_default();
                let (ctx, progress) = (&mut *self.ctx, &mut *self.progress);
                let judge =
                    |status, headers: &[Header<'_>]| judge(ctx, progress, held, status, headers);
                match response_head::read(bytes, asked, self.text, judge)? {
                    Found::More => break,
                    Found::Answer(answer) => return Ok((answer, filled)),
                    Found::Interim(length) => {
                        interim += 1;
                        if interim > INTERIM_MAX {
                            return Err(Trouble::Broken);
                        }
                        buffer.copy_within(length..filled, 0);
                        filled -= length;
                        self.client.write_all(self.text).await.map_err(slow)?;
                        self.client.flush().await.map_err(slow)?;
                    }
                }
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
        held: &mut Option<Held>,
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
            if done
                || held
                    .as_ref()
                    .is_some_and(|h| h.judge.has_enough(h.data.len()))
            {
                self.release(held, status, done).await?;
            }
            if done {
                self.client.flush().await.map_err(slow)?;
                // Bytes behind the end were never asked for: nobody may take them for an answer.
                return Ok(keeps && start + used == end);
            }
            (start, end) = (0, 0);
            while end == 0 {
                match self.server.read(buffer).await {
                    Poll::Ready(Ok(0)) if !content.is_framed() => {
                        self.text.extend_from_slice(LAST_CHUNK);
                        if held.is_some() {
                            self.release(held, status, true).await?;
                        } else {
                            self.client.write_all(LAST_CHUNK).await.map_err(slow)?;
                        }
                        self.client.flush().await.map_err(slow)?;
                        return Ok(false);
                    }
                    Poll::Ready(Ok(read @ 1..)) => end = read,
                    Poll::Ready(_) => return Err(Trouble::Broken),
                    Poll::Pending => {
                        self.client.flush().await.map_err(slow)?;
                        self.server
                            .wait(self.client, Instant::now() + patience)
                            .await?;
                    }
                }
            }
        }
    }

    /// Writes the content at the start of `bytes`, or holds it; returns how much of them it is.
    async fn pass(
        &mut self,
        content: &mut Content,
        bytes: &[u8],
        held: &mut Option<Held>,
    ) -> Result<usize, Trouble> {
        let mut data = 0;
        let used = content.advance(bytes, |piece| {
            data += piece.len() as u64;
            if let Some(held) = held {
                held.data.extend_from_slice(piece);
            }
        })?;
        self.progress.bytes_out += data;
        let bytes = bytes.get(..used).unwrap_or_default();
        match held {
            _ if bytes.is_empty() => {}
            Some(_) if content.is_framed() => self.text.extend_from_slice(bytes),
            Some(_) => chunk(self.text, bytes),
            None if content.is_framed() => self.client.write_all(bytes).await.map_err(slow)?,
            None => {
                self.text.clear();
                chunk(self.text, bytes);
                self.client.write_all(self.text).await.map_err(slow)?;
            }
        }
        Ok(used)
    }

    /// Has what is held judged, and writes it.
    async fn release(
        &mut self,
        held: &mut Option<Held>,
        status: u16,
        ended: bool,
    ) -> Result<(), Trouble> {
        let Some(Held { judge, data }) = held.take() else {
            return Ok(());
        };
        let judged = judge.judge(data.into(), ended).await;
        if let Some(refusal) = response::judged(self.ctx, judged) {
            self.ctx.refusal = Some(refusal);
            return Err(Trouble::Refused);
        }
        self.begin(status).await
    }
}

/// Phase 3; then the rules of phase 4 get a judge, or are asked without content where nobody wants to
/// see it.
fn judge(
    ctx: &mut Context,
    progress: &mut Progress,
    held: &mut Option<Held>,
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
        let owned = |(name, value): (&[u8], &[u8])| (name.into(), value.into());
        progress.headers = fields().map(owned).collect();
    }
    let values = |wanted: &'static str| {
        let named = headers
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(wanted));
        named.map(|field| field.value)
    };
    *held = response::judge(ctx, status, values).map(|judge| Held {
        judge,
        data: Vec::new(),
    });
    if held.is_none() {
        response::ask_nothing(ctx).map_err(|_| Trouble::Refused)?;
    }
    Ok(())
}

fn slow(_: io::Error) -> Trouble {
    Trouble::ClientSlow
}

/// A response head at most.
const HEAD_MAX: usize = 256 * 1024;
const INTERIM_MAX: u32 = 16;
