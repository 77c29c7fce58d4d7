//! An application server that remembers every byte it was sent.
//!
//! What it answers is a function from the request seen to an [`Answer`]. It speaks HTTP/1.1 over raw
//! sockets, one thread a connection, so nothing between the gateway and the test can repair or hide
//! anything.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

use crate::Message;

/// One request that reached the upstream.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Head and body.
    pub message: Message,
    /// Counts connections from 1.
    pub connection: usize,
    /// False while the body is still coming, or if it never came whole.
    pub complete: bool,
}

/// What the upstream does with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A response with `Content-Length`.
    Whole {
        /// Status code.
        status: u16,
        /// Fields besides the framing.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// A chunked response; before each chunk it waits.
    Paced {
        /// Fields besides the framing.
        headers: Vec<(String, String)>,
        /// Pause and bytes of each chunk.
        chunks: Vec<(Duration, Vec<u8>)>,
    },
    /// `101`, then every byte comes back.
    Upgrade(String),
    /// The answer, later.
    Later(Duration, Box<Answer>),
    /// These bytes, then the connection ends.
    Raw(Vec<u8>),
    /// The connection ends without an answer.
    Hangup,
}

impl Answer {
    /// `200` with a plain text body.
    #[must_use]
    pub fn text(body: &str) -> Self {
        Self::with("text/plain", body.as_bytes())
    }

    /// `200` with a body of that type.
    #[must_use]
    pub fn with(content_type: &str, body: &[u8]) -> Self {
        Self::Whole {
            status: 200,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.to_vec(),
        }
    }

    /// An empty response.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Whole {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

/// A running upstream; it stops when dropped.
pub struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
}

type App = dyn Fn(&Seen) -> Answer + Send + Sync;

struct State {
    app: Box<App>,
    seen: Mutex<Vec<Seen>>,
    sockets: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    stopping: AtomicBool,
}

impl Upstream {
    /// An upstream that answers what `app` says.
    #[must_use]
    pub fn answering(app: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            app: Box::new(app),
            seen: Mutex::default(),
            sockets: Mutex::default(),
            connections: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, state }
    }

    /// An upstream that says in JSON what it saw: method, target, body length, header names.
    #[must_use]
    pub fn echo() -> Self {
        Self::answering(|seen| {
            let body = serde_json::json!({
                "method": seen.message.method(),
                "target": seen.message.target(),
                "length": seen.message.length,
                "headers": seen.message.headers,
            });
            Answer::with("application/json", body.to_string().as_bytes())
        })
    }

    /// `http://` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Every request whose head arrived, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.state.seen).clone()
    }

    /// How many requests arrived; cheaper than [`Upstream::requests`].
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.state.seen).len()
    }

    /// The only request that arrived.
    #[must_use]
    pub fn only_request(&self) -> Message {
        let mut seen = self.requests();
        assert_eq!(
            seen.len(),
            1,
            "one request should have reached the upstream"
        );
        seen.remove(0).message
    }

    /// How many connections were opened to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Forgets what it saw.
    pub fn forget(&self) {
        lock(&self.state.seen).clear();
    }

    /// Waits until that many requests have arrived.
    pub fn wait_for(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.count() < count {
            assert!(Instant::now() < deadline, "{count} requests did not arrive");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees the flag.
        let _ = TcpStream::connect(self.address);
        for socket in lock(&self.state.sockets).drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for socket in listener.incoming() {
        if state.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let number = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
        if let Ok(copy) = socket.try_clone() {
            lock(&state.sockets).push(copy);
        }
        let state = Arc::clone(state);
        thread::spawn(move || {
            let _ = serve(&socket, number, &state);
            let _ = socket.shutdown(Shutdown::Both);
        });
    }
}

fn serve(socket: &TcpStream, connection: usize, state: &State) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 << 10, socket.try_clone()?);
    let mut writer = socket.try_clone()?;
    while let Some(message) = Message::read_head(&mut reader)? {
        let index = remember(state, message.clone(), connection);
        let mut seen = Seen {
            message,
            connection,
            complete: false,
        };
        if seen.message.header("expect").is_some() {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        seen.message.read_body(&mut reader, false)?;
        seen.complete = true;
        if let Some(slot) = lock(&state.seen).get_mut(index) {
            *slot = seen.clone();
        }
        let keep = !closes(&seen.message);
        let to_head = seen.message.method() == "HEAD";
        let answer = accepting((state.app)(&seen), &seen.message);
        if !give(answer, to_head, keep, &mut reader, &mut writer)? || !keep {
            return Ok(());
        }
    }
    Ok(())
}

/// Fills in what only the handshake can tell: RFC 6455 section 4.2.2.
fn accepting(answer: Answer, request: &Message) -> Answer {
    match answer {
        Answer::Upgrade(protocol) => {
            let key = request.header("sec-websocket-key").unwrap_or_default();
            let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
            let accept = base64::engine::general_purpose::STANDARD.encode(digest);
            Answer::Upgrade(format!("{protocol}\r\nSec-WebSocket-Accept: {accept}"))
        }
        Answer::Later(pause, answer) => Answer::Later(pause, Box::new(accepting(*answer, request))),
        answer => answer,
    }
}

fn remember(state: &State, message: Message, connection: usize) -> usize {
    let mut seen = lock(&state.seen);
    seen.push(Seen {
        message,
        connection,
        complete: false,
    });
    seen.len() - 1
}

fn closes(message: &Message) -> bool {
    message
        .headers_named("connection")
        .any(|value| value.eq_ignore_ascii_case("close"))
        || message.start.ends_with("HTTP/1.0")
}

/// Sends an answer; false if the connection is over with it.
fn give(
    answer: Answer,
    to_head: bool,
    keep: bool,
    reader: &mut impl Read,
    writer: &mut impl Write,
) -> io::Result<bool> {
    match answer {
        Answer::Whole {
            status,
            headers,
            body,
        } => {
            let mut head = head_of(status, &headers, keep);
            if !matches!(status, 100..=199 | 204 | 304) {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            head.push_str("\r\n");
            writer.write_all(head.as_bytes())?;
            if !to_head {
                writer.write_all(&body)?;
            }
            Ok(true)
        }
        Answer::Paced { headers, chunks } => {
            let head = head_of(200, &headers, keep);
            writer.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())?;
            for (pause, bytes) in chunks {
                thread::sleep(pause);
                writer.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
                writer.write_all(&bytes)?;
                writer.write_all(b"\r\n")?;
            }
            writer.write_all(b"0\r\n\r\n")?;
            Ok(true)
        }
        Answer::Upgrade(protocol) => {
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
            );
            writer.write_all(head.as_bytes())?;
            echo_bytes(reader, writer)?;
            Ok(false)
        }
        Answer::Later(pause, answer) => {
            thread::sleep(pause);
            give(*answer, to_head, keep, reader, writer)
        }
        Answer::Raw(bytes) => {
            writer.write_all(&bytes)?;
            Ok(false)
        }
        Answer::Hangup => Ok(false),
    }
}

fn head_of(status: u16, headers: &[(String, String)], keep: bool) -> String {
    let mut head = format!("HTTP/1.1 {status} Answer\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !keep {
        head.push_str("Connection: close\r\n");
    }
    head
}

fn echo_bytes(reader: &mut impl Read, writer: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        writer.write_all(&buffer[..count])?;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
