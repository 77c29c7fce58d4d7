//! A client that sends the bytes it is given and reads what comes back.

use std::fmt::Write as _;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Message;

/// How long an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// One HTTP/1 connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
}

/// What became of bytes that may not deserve an answer.
#[derive(Debug)]
pub enum Outcome {
    /// A response.
    Answer(Message),
    /// The connection ended without one.
    Closed,
    /// Neither within the time given.
    Silence,
}

impl Outcome {
    /// The status, or 0 without an answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Answer(answer) => answer.status,
            Self::Closed | Self::Silence => 0,
        }
    }
}

impl Client {
    /// Opens a connection.
    #[must_use]
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            reader: BufReader::with_capacity(64 << 10, stream),
        }
    }

    /// `GET` on a fresh connection.
    #[must_use]
    pub fn get(address: &str, target: &str) -> Message {
        Self::request(address, "GET", target, &[], b"")
    }

    /// `POST` on a fresh connection.
    #[must_use]
    pub fn post(address: &str, target: &str, content_type: &str, body: &[u8]) -> Message {
        Self::request(
            address,
            "POST",
            target,
            &[("Content-Type", content_type)],
            body,
        )
    }

    /// Any request on a fresh connection; `Host`, a browser's usual headers and `Content-Length`
    /// are added.
    #[must_use]
    pub fn request(
        address: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Message {
        let mut client = Self::connect(address);
        client.send(&request(method, target, headers, body));
        client.answer_to(method)
    }

    /// Sends bytes as they are. A peer that has answered and gone is no error: the answer counts.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.try_send(bytes);
    }

    /// Sends bytes as they are and says whether the peer took them.
    ///
    /// # Errors
    /// The connection failed.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// No more bytes will come from this side.
    pub fn finish_sending(&mut self) {
        let _ = self.reader.get_ref().shutdown(std::net::Shutdown::Write);
    }

    /// The response to a request that was not `HEAD`; interim responses are skipped.
    #[must_use]
    pub fn answer(&mut self) -> Message {
        self.answer_to("GET")
    }

    /// The response to a request with that method; interim responses are skipped.
    #[must_use]
    pub fn answer_to(&mut self, method: &str) -> Message {
        match self.try_answer(method) {
            Ok(Some(message)) => message,
            Ok(None) => panic!("the connection was closed without an answer"),
            Err(error) => panic!("no whole answer: {error}"),
        }
    }

    /// The next response, interim ones skipped; `None` if the peer closed first.
    ///
    /// # Errors
    /// The connection failed or the response is broken.
    pub fn try_answer(&mut self, method: &str) -> io::Result<Option<Message>> {
        loop {
            let Some(mut message) = self.head()? else {
                return Ok(None);
            };
            if matches!(message.status, 100 | 102..=199) {
                continue;
            }
            message.read_body(&mut self.reader, method == "HEAD")?;
            return Ok(Some(message));
        }
    }

    /// The next response head, interim or not.
    ///
    /// # Errors
    /// The connection failed.
    pub fn head(&mut self) -> io::Result<Option<Message>> {
        Message::read_head(&mut self.reader)
    }

    /// What becomes of bytes sent before, within a time.
    #[must_use]
    pub fn outcome(&mut self, patience: Duration) -> Outcome {
        self.outcome_to("GET", patience)
    }

    /// As [`Client::outcome`], for a request with that method.
    #[must_use]
    pub fn outcome_to(&mut self, method: &str, patience: Duration) -> Outcome {
        self.reader
            .get_ref()
            .set_read_timeout(Some(patience))
            .unwrap();
        let outcome = match self.try_answer(method) {
            Ok(Some(message)) => Outcome::Answer(message),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Outcome::Silence
            }
            Ok(None) | Err(_) => Outcome::Closed,
        };
        self.reader
            .get_ref()
            .set_read_timeout(Some(PATIENCE))
            .unwrap();
        outcome
    }

    /// Reads exactly that many bytes, for what follows a `101`.
    #[must_use]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).expect("the peer sends");
        bytes
    }

    /// Whatever arrives next, at most 64 KiB; empty at the end.
    ///
    /// # Errors
    /// The connection failed or stayed silent.
    pub fn some_bytes(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 64 << 10];
        let count = self.reader.read(&mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }
}

/// The bytes of a request as a browser would send it, for a connection that is used once.
#[must_use]
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let has = |name: &str| {
        headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in [
        ("Host", "app.example.com"),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        ("Accept", "*/*"),
    ] {
        if !has(name) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !has("Connection") {
        head.push_str("Connection: close\r\n");
    }
    let framed = has("Content-Length") || has("Transfer-Encoding");
    if !framed && (!body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH")) {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// A body in chunks of that size.
#[must_use]
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut wire = Vec::with_capacity(body.len() + body.len() / size * 12 + 8);
    for chunk in body.chunks(size) {
        wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    wire
}
