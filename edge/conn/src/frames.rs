//! HTTP/2 frames as they pass, RFC 9113 section 4.1: a brake on what makes us work and carries
//! nothing, and a witness of what our own side refused.
//!
//! PING, SETTINGS, PRIORITY, WINDOW_UPDATE and empty DATA are cheap to send and must be answered or
//! tracked (CVE-2019-9511 to 9518); a request that is taken back at once has cost us its work
//! (CVE-2023-44487). Each takes tokens from a bucket that content in either direction and time
//! refill; who empties it loses the connection. Only frame headers are read here; validity stays the
//! `h2` crate's, which resets what is malformed without a word to us: [`Witness`] sees that.

use std::time::{Duration, Instant};

/// Follows the bytes a client sends on one HTTP/2 connection, preface included.
#[derive(Debug)]
pub struct FrameBrake {
    frames: Frames,
    tokens: u32,
    /// Content bytes of either side that do not make a whole token yet.
    moved: usize,
    refilled: Instant,
    head: Option<OpenHead>,
}

/// A request head whose first frame began to arrive.
#[derive(Debug)]
struct OpenHead {
    since: Instant,
    /// Its last frame has begun, too.
    last: bool,
}

/// Too many control frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many HTTP/2 control frames")]
#[non_exhaustive]
pub struct FrameFlood;

/// Follows the bytes we send: which streams, or the whole connection, were ended by an error.
#[derive(Debug, Default)]
pub struct Witness {
    frames: Frames,
}

/// An error we told the client about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorSent {
    /// The stream that was reset; `None` if it was the connection.
    pub stream: Option<u32>,
    /// RFC 9113 section 7.
    pub code: u32,
}

/// Cuts a byte stream into frames.
#[derive(Debug, Default)]
struct Frames {
    /// Bytes to pass over: the preface at first, then payloads.
    skip: usize,
    /// The frame header, and the start of a payload that is wanted.
    kept: [u8; HEADER + PAYLOAD],
    have: usize,
}

impl FrameBrake {
    /// At the first byte of the preface.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            frames: Frames {
                skip: PREFACE.len(),
                ..Frames::default()
            },
            tokens: TOKENS_MAX,
            moved: 0,
            refilled: now,
            head: None,
        }
    }

    /// Reads bytes that the client sent.
    ///
    /// # Errors
    /// When the client sent more control frames than anything it asked for can explain.
    pub fn read(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), FrameFlood> {
        while let Some(frame) = self.frames.next(&mut bytes, |_| 0) {
            self.frame(&frame, now)?;
        }
        if self.head.as_ref().is_some_and(|head| head.last) && self.frames.skip == 0 {
            self.head = None;
        }
        Ok(())
    }

    /// When a request head that is still incomplete began to arrive.
    #[must_use]
    pub fn head_since(&self) -> Option<Instant> {
        self.head.as_ref().map(|head| head.since)
    }

    /// Notes bytes sent to the client, and how many frames with content ended among them. Clients answer
    /// such a frame, however small, by WINDOW_UPDATE frames and, measuring the bandwidth, a PING.
    pub fn wrote(&mut self, bytes: usize, frames: u32) {
        self.moved(bytes);
        self.add(frames.saturating_mul(PER_FRAME));
    }

    fn moved(&mut self, bytes: usize) {
        self.moved += bytes;
        let tokens = u32::try_from(self.moved / BYTES_PER_TOKEN).unwrap_or(TOKENS_MAX);
        self.moved %= BYTES_PER_TOKEN;
        self.add(tokens);
    }

    fn frame(&mut self, frame: &Frame, now: Instant) -> Result<(), FrameFlood> {
        let cost = match frame.kind {
            // Counted by bytes: frames of one byte would pay for a flood of others.
            DATA if frame.length > 0 => {
                self.moved(frame.length);
                return Ok(());
            }
            HEADERS | CONTINUATION => {
                let begun = self.head.as_ref().filter(|_| frame.kind == CONTINUATION);
                let since = begun.map_or(now, |head| head.since);
                let last = frame.flags & END_HEADERS != 0;
                self.head = Some(OpenHead { since, last });
                0
            }
            RST_STREAM => RESET_COST,
            _ => 1,
        };
        if cost == 0 {
            self.add(u32::from(frame.kind == HEADERS));
            return Ok(());
        }
        if self.tokens < cost {
            let past = now.saturating_duration_since(self.refilled);
            if past >= Duration::from_secs(1) {
                self.refilled = now;
                let seconds = u32::try_from(past.as_secs()).unwrap_or(TOKENS_MAX);
                self.add(seconds.saturating_mul(PER_SECOND));
            }
        }
        self.tokens = self.tokens.checked_sub(cost).ok_or(FrameFlood)?;
        Ok(())
    }

    fn add(&mut self, tokens: u32) {
        self.tokens = self.tokens.saturating_add(tokens).min(TOKENS_MAX);
    }
}

impl Witness {
    /// Reads bytes that were sent to the client; returns how many frames with content begin in them.
    pub fn wrote(&mut self, mut bytes: &[u8], mut told: impl FnMut(ErrorSent)) -> u32 {
        let mut contents = 0;
        let wanted = |kind| match kind {
            RST_STREAM => 4,
            GOAWAY => 8,
            _ => 0,
        };
        while let Some(frame) = self.frames.next(&mut bytes, wanted) {
            let [a, b, c, d, e, f, g, h] = frame.payload;
            let (stream, code) = match frame.kind {
                RST_STREAM => (Some(frame.stream), [a, b, c, d]),
                GOAWAY => (None, [e, f, g, h]),
                kind => {
                    contents += u32::from(kind == DATA && frame.length > 0);
                    continue;
                }
            };
            let code = u32::from_be_bytes(code);
            if !HARMLESS.contains(&code) {
                told(ErrorSent { stream, code });
            }
        }
        contents
    }
}

/// What is known of a frame once its header (and what was wanted of its payload) has passed.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    length: usize,
    payload: [u8; PAYLOAD],
}

impl Frames {
    /// Takes bytes up to the end of the next frame header and the part of the payload that `wanted`
    /// names for its kind; `None` once all bytes are taken.
    fn next(&mut self, bytes: &mut &[u8], wanted: impl Fn(u8) -> usize) -> Option<Frame> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        *bytes = bytes.get(skipped..).unwrap_or_default();
        loop {
            let [a, b, c, kind, flags, s, t, u, v, payload @ ..] = self.kept;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let mut needed = HEADER;
            if self.have >= HEADER {
                needed += wanted(kind).min(length).min(PAYLOAD);
                if self.have == needed {
                    self.have = 0;
                    self.skip = length - (needed - HEADER);
                    let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
                    return Some(Frame {
                        kind,
                        flags,
                        stream,
                        length,
                        payload,
                    });
                }
            }
            if bytes.is_empty() {
                return None;
            }
            let (part, rest) = bytes.split_at((needed - self.have).min(bytes.len()));
            if let Some(room) = self.kept.get_mut(self.have..self.have + part.len()) {
                room.copy_from_slice(part);
            }
            self.have += part.len();
            *bytes = rest;
        }
    }
}

/// What an HTTP/2 client sends first, RFC 9113 section 3.4.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER: usize = 9;
/// No more of any payload is looked at.
const PAYLOAD: usize = 8;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL: not the client's fault.
const HARMLESS: [u32; 4] = [0, 2, 7, 8];
/// A burst no honest client reaches: grpc's bandwidth probing pings only while content flows.
const TOKENS_MAX: u32 = 1024;
const PER_SECOND: u32 = 16;
const BYTES_PER_TOKEN: usize = 1024;
/// What clients may send for a frame with content.
const PER_FRAME: u32 = 4;
/// A browser that leaves a page takes back all its streams at once: 256 of them are in order.
const RESET_COST: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        [
            &[0, 0, length, kind, 0, 0, 0, 0, 0][..],
            &vec![kind; usize::from(length)],
        ]
        .concat()
    }

    fn brake() -> (FrameBrake, Instant) {
        let now = Instant::now();
        let mut brake = FrameBrake::new(now);
        brake.read(PREFACE, now).unwrap();
        (brake, now)
    }

    #[test]
    fn floods_of_frames_that_carry_nothing_are_stopped() {
        for flood in [
            frame(6, 8),
            frame(4, 0),
            frame(4, 6),
            frame(2, 5),
            frame(8, 4),
            frame(0, 0),
        ] {
            let (mut brake, now) = brake();
            let sent = (0..5000)
                .take_while(|_| brake.read(&flood, now).is_ok())
                .count();
            assert_eq!(sent, TOKENS_MAX as usize, "{flood:?}");
        }
    }

    #[test]
    fn requests_that_are_taken_back_cost_more_than_they_carry() {
        let (mut brake, now) = brake();
        let pair = [frame(1, 10), frame(3, 4)].concat();
        let sent = (0..5000)
            .take_while(|_| brake.read(&pair, now).is_ok())
            .count();
        assert!((256..400).contains(&sent), "{sent}");
    }

    #[test]
    fn content_in_drops_pays_for_no_flood() {
        let (mut brake, now) = brake();
        let drops = [frame(1, 10), frame(3, 4), frame(0, 1).repeat(3)].concat();
        let sent = (0..5000)
            .take_while(|_| brake.read(&drops, now).is_ok())
            .count();
        assert!((256..400).contains(&sent), "{sent}");
    }

    #[test]
    fn small_messages_explain_window_updates_and_pings() {
        let (mut brake, now) = brake();
        for _ in 0..20_000 {
            brake.wrote(60, 1);
            brake
                .read(&[frame(8, 4), frame(6, 8)].concat(), now)
                .unwrap();
        }
    }

    #[test]
    fn an_incomplete_head_is_known_until_its_last_byte() {
        let (mut brake, now) = brake();
        assert_eq!(brake.head_since(), None);
        brake.read(&frame(1, 3), now).unwrap();
        assert_eq!(brake.head_since(), Some(now), "END_HEADERS is missing");
        let mut last = frame(9, 3);
        last[4] = END_HEADERS;
        brake
            .read(&last[..11], now + Duration::from_secs(1))
            .unwrap();
        assert_eq!(brake.head_since(), Some(now), "a byte is missing");
        brake.read(&last[11..], now).unwrap();
        assert_eq!(brake.head_since(), None);
    }

    #[test]
    fn errors_that_are_sent_are_witnessed_however_they_are_cut() {
        let reset =
            |code: u8| [&[0, 0, 4, RST_STREAM, 0, 0, 0, 0, 5][..], &[0, 0, 0, code]].concat();
        let goaway = [
            &[0, 0, 9, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 7][..],
            &[0, 0, 0, 11, b'x'],
        ]
        .concat();
        let sent = [
            frame(0, 5),
            reset(1),
            reset(8),
            frame(4, 0),
            goaway,
            reset(3),
        ]
        .concat();
        for size in [1, 2, 5, 100] {
            let (mut witness, mut told) = (Witness::default(), Vec::new());
            for part in sent.chunks(size) {
                witness.wrote(part, |error| told.push((error.stream, error.code)));
            }
            assert_eq!(told, [(Some(5), 1), (None, 11), (Some(5), 3)], "{size}");
        }
    }

    #[test]
    fn honest_connections_never_run_out() {
        let (mut brake, mut now) = brake();
        for _ in 0..20_000 {
            let exchange = [frame(1, 40), frame(0, 100), frame(6, 8), frame(8, 4)].concat();
            for part in exchange.chunks(7) {
                brake.read(part, now).unwrap();
            }
            brake.wrote(60, 1);
        }
        for _ in 0..20_000 {
            brake.wrote(16_384, 0);
            brake
                .read(&[frame(8, 4), frame(8, 4)].concat(), now)
                .unwrap();
        }
        for _ in 0..20_000 {
            now += Duration::from_secs(10);
            brake.read(&frame(6, 8), now).unwrap();
        }
    }
}
