//! A brake on HTTP/2 control frames that make us work and carry nothing.
//!
//! PING, SETTINGS, PRIORITY, WINDOW_UPDATE and empty DATA are cheap to send and must be answered or
//! tracked (CVE-2019-9511 to 9518). Each takes a token from a bucket that content in either
//! direction and time refill; who empties it loses the connection. Only frame headers are read here,
//! RFC 9113 section 4.1; validity and the rest (rapid reset, CONTINUATION) stay the `h2` crate's.

use std::time::Instant;

/// Follows the bytes a client sends on one HTTP/2 connection, preface included.
#[derive(Debug)]
pub struct FrameBrake {
    /// Bytes to pass over: the preface at first, then payloads.
    skip: usize,
    header: [u8; HEADER],
    have: usize,
    tokens: u32,
    /// Written bytes that do not make a whole token yet.
    written: usize,
    refilled: Instant,
}

/// Too many control frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many HTTP/2 control frames")]
#[non_exhaustive]
pub struct FrameFlood;

impl FrameBrake {
    /// At the first byte of the preface.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            skip: PREFACE.len(),
            header: [0; HEADER],
            have: 0,
            tokens: TOKENS_MAX,
            written: 0,
            refilled: now,
        }
    }

    /// Reads bytes that the client sent.
    ///
    /// # Errors
    /// When the client sent more control frames than anything it asked for can explain.
    pub fn read(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), FrameFlood> {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = if self.skip == 0 {
                (HEADER - self.have).min(bytes.len())
            } else {
                0
            };
            let (part, rest) = bytes.split_at(wanted);
            if let Some(room) = self.header.get_mut(self.have..self.have + wanted) {
                room.copy_from_slice(part);
            }
            self.have += wanted;
            bytes = rest;
            if self.have == HEADER {
                self.have = 0;
                self.frame(now)?;
            }
        }
        Ok(())
    }

    /// Notes bytes sent to the client: large answers explain many WINDOW_UPDATE frames.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        let tokens = u32::try_from(self.written / WRITTEN_PER_TOKEN).unwrap_or(TOKENS_MAX);
        self.written %= WRITTEN_PER_TOKEN;
        self.add(tokens);
    }

    fn frame(&mut self, now: Instant) -> Result<(), FrameFlood> {
        let [a, b, c, kind, ..] = self.header;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        let carries = match kind {
            DATA => self.skip > 0,
            HEADERS | CONTINUATION => true,
            _ => false,
        };
        if carries {
            self.add(1);
            return Ok(());
        }
        if self.tokens == 0 {
            let seconds = now.saturating_duration_since(self.refilled).as_secs();
            if seconds > 0 {
                self.refilled = now;
                self.add(
                    u32::try_from(seconds)
                        .unwrap_or(TOKENS_MAX)
                        .saturating_mul(PER_SECOND),
                );
            }
        }
        self.tokens = self.tokens.checked_sub(1).ok_or(FrameFlood)?;
        Ok(())
    }

    fn add(&mut self, tokens: u32) {
        self.tokens = self.tokens.saturating_add(tokens).min(TOKENS_MAX);
    }
}

/// What an HTTP/2 client sends first, RFC 9113 section 3.4.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
/// A burst no honest client reaches: grpc's bandwidth probing pings only while content flows.
const TOKENS_MAX: u32 = 1024;
const PER_SECOND: u32 = 16;
const WRITTEN_PER_TOKEN: usize = 1024;

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
    fn honest_connections_never_run_out() {
        let (mut brake, mut now) = brake();
        for _ in 0..20_000 {
            let exchange = [frame(1, 40), frame(0, 100), frame(6, 8), frame(8, 4)].concat();
            for part in exchange.chunks(7) {
                brake.read(part, now).unwrap();
            }
        }
        for _ in 0..20_000 {
            brake.wrote(16_384);
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
