//! HTTP/2 as raw frames, well formed or not: a client that sends what no library would.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Frame types, RFC 9113 section 6.
pub const DATA: u8 = 0;
/// See [`DATA`].
pub const HEADERS: u8 = 1;
/// See [`DATA`].
pub const PRIORITY: u8 = 2;
/// See [`DATA`].
pub const RST_STREAM: u8 = 3;
/// See [`DATA`].
pub const SETTINGS: u8 = 4;
/// See [`DATA`].
pub const PING: u8 = 6;
/// See [`DATA`].
pub const GOAWAY: u8 = 7;
/// See [`DATA`].
pub const WINDOW_UPDATE: u8 = 8;
/// See [`DATA`].
pub const CONTINUATION: u8 = 9;

/// Flags.
pub const END_STREAM: u8 = 1;
/// See [`END_STREAM`].
pub const END_HEADERS: u8 = 4;

/// Error codes, RFC 9113 section 7.
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame that came back.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    #[must_use]
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let bytes = self.payload.get(at..at + 4).expect("a whole code");
        u32::from_be_bytes(bytes.try_into().unwrap())
    }

    /// True for the last frame of a stream.
    #[must_use]
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The `:status` of HEADERS, as the gateway's encoder writes it: indexed or a literal.
    #[must_use]
    pub fn status(&self) -> u16 {
        // A change of the table's size may come first.
        let block = match self.payload.as_slice() {
            [0x20..=0x3f, rest @ ..] => rest,
            block => block,
        };
        match block {
            [first, ..] if (0x88..=0x8e).contains(first) => {
                [200, 204, 206, 304, 400, 404, 500][usize::from(first - 0x88)]
            }
            // Literal with the name of the static table, the value plain or in Huffman code.
            [0x08 | 0x48 | 0x18, length, rest @ ..] if length & 0x80 == 0 => {
                String::from_utf8_lossy(&rest[..usize::from(*length)])
                    .parse()
                    .unwrap_or(0)
            }
            [0x08 | 0x48 | 0x18, length, rest @ ..] => {
                huffman_digits(&rest[..usize::from(length & 0x7f)])
            }
            _ => 0,
        }
    }
}

/// Three digits in the Huffman code of RFC 7541: 0 to 2 have five bits, 3 to 9 six.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let take = |at: usize, count: usize| {
        bits.get(at..at + count)
            .map(|bits| bits.iter().fold(0, |code, bit| code << 1 | u16::from(*bit)))
    };
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let (digit, used) = match take(at, 5) {
            Some(code @ 0..=2) => (code, 5),
            _ => (
                take(at, 6).map_or(0, |code| code.saturating_sub(0x19) + 3),
                6,
            ),
        };
        number = number * 10 + digit;
        at += used;
    }
    number
}

/// The bytes of a frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals without indexing and without Huffman code: any byte can stand anywhere.
#[must_use]
pub fn fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name.as_ref());
        string(&mut block, value.as_ref());
    }
    block
}

fn string(block: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes.len();
    if rest < 127 {
        block.push(u8::try_from(rest).unwrap());
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(bytes);
}

/// The four fields every request has, for `https://app.example.com` and a path.
#[must_use]
pub fn get(path: &str) -> Vec<u8> {
    request("GET", path)
}

/// As [`get`], with another method.
#[must_use]
pub fn request(method: &str, path: &str) -> Vec<u8> {
    fields(&[
        (":method", method),
        (":scheme", "http"),
        (":authority", "app.example.com"),
        (":path", path),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0",
        ),
        ("accept", "*/*"),
    ])
}

/// A connection that has sent its preface and settings.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
    /// The connection has ended.
    pub closed: bool,
}

impl Raw {
    /// Connects, and says the preface.
    #[must_use]
    pub fn connect(address: &str) -> Self {
        // Without a table every status is said in full.
        Self::with_settings(address, &[(1, 0)])
    }

    /// Connects, with these settings.
    #[must_use]
    pub fn with_settings(address: &str, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).expect("the gateway accepts");
        stream.set_nodelay(true).unwrap();
        stream
            .set_write_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut raw = Self {
            stream,
            unread: Vec::new(),
            closed: false,
        };
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.send(&frame(SETTINGS, 0, 0, &payload));
        raw
    }

    /// Sends bytes; false once the peer takes no more.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a whole request head without a body.
    pub fn ask(&mut self, stream: u32, block: &[u8]) -> bool {
        self.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, block))
    }

    /// The next frame, within a time.
    pub fn next(&mut self, patience: Duration) -> Option<Frame> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(frame) = self.parse() {
                return Some(frame);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.closed || left.is_zero() {
                return None;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut bytes = [0; 16 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) => self.closed = true,
                Ok(read) => self.unread.extend_from_slice(&bytes[..read]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => self.closed = true,
            }
        }
    }

    /// Every frame until one answers the question, the connection ends, or time is over.
    pub fn until(&mut self, patience: Duration, stop: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let deadline = Instant::now() + patience;
        let mut frames = Vec::new();
        while let Some(frame) = self.next(deadline.saturating_duration_since(Instant::now())) {
            let last = stop(&frame);
            frames.push(frame);
            if last {
                break;
            }
        }
        frames
    }

    /// The status a stream is answered with; 0 if it is reset, the connection ends, or nothing comes.
    pub fn status(&mut self, stream: u32, patience: Duration) -> u16 {
        let ends = |frame: &Frame| {
            frame.kind == GOAWAY
                || frame.stream == stream && matches!(frame.kind, HEADERS | RST_STREAM)
        };
        let frames = self.until(patience, ends);
        let last = frames.last().filter(|frame| frame.kind == HEADERS);
        last.map_or(0, Frame::status)
    }

    /// The code of the GOAWAY that ends the connection.
    pub fn goaway(&mut self, patience: Duration) -> Option<u32> {
        let frames = self.until(patience, |frame| frame.kind == GOAWAY);
        let last = frames.last().filter(|frame| frame.kind == GOAWAY);
        last.map(Frame::code)
    }

    fn parse(&mut self) -> Option<Frame> {
        let [a, b, c, kind, flags, s, t, u, v, ..] = *self.unread.first_chunk::<9>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.unread.get(9..9 + length)?.to_vec();
        self.unread.drain(..9 + length);
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([s & 0x7f, t, u, v]),
            payload,
        })
    }
}
