//! Bodies that are not held in memory: an upload that is counted, events that come in time.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::Frame;
use serde::Deserialize;
use tokio::time::{Interval, interval};

/// Why an upload was not counted to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CountError {
    /// More than allowed.
    TooLarge,
    /// The client stopped in the middle.
    Broken,
}

/// Reads `body` to its end and says how long it was.
pub(super) async fn count(body: Body, limit: u64) -> Result<u64, CountError> {
    let mut body = pin!(body);
    let mut total = 0;
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|_| CountError::Broken)?;
        total += frame.data_ref().map_or(0, |data| data.len() as u64);
        if total > limit {
            return Err(CountError::TooLarge);
        }
    }
    Ok(total)
}

/// What the client of an event stream asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    /// How many events, at most [`MAX_EVENTS`].
    #[serde(default = "ten")]
    count: u32,
    /// Milliseconds between two.
    #[serde(default = "half_a_second")]
    every: u64,
}

const fn ten() -> u32 {
    10
}

const fn half_a_second() -> u64 {
    500
}

/// Server-sent events, one at a time.
#[derive(Debug)]
pub(super) struct Ticks {
    clock: Interval,
    sent: u32,
    count: u32,
}

impl Ticks {
    pub(super) fn new(wish: &Wish) -> Self {
        Self {
            clock: interval(Duration::from_millis(wish.every.clamp(1, MAX_PAUSE))),
            sent: 0,
            count: wish.count.min(MAX_EVENTS),
        }
    }
}

impl HttpBody for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.sent >= self.count {
            return Poll::Ready(None);
        }
        ready!(self.clock.poll_tick(context));
        self.sent += 1;
        let event = format!("id: {0}\ndata: tick {0}\n\n", self.sent);
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}

/// Events of one stream.
const MAX_EVENTS: u32 = 10_000;
/// Milliseconds between two events.
const MAX_PAUSE: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_upload_is_counted_and_one_too_large_is_refused() {
        assert_eq!(count(Body::from("12345"), 5).await, Ok(5));
        assert_eq!(count(Body::empty(), 0).await, Ok(0));
        assert_eq!(
            count(Body::from("123456"), 5).await,
            Err(CountError::TooLarge)
        );
    }
}
