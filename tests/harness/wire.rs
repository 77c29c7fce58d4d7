//! An upstream that keeps every byte it was sent, connection by connection, for the lint to judge.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::Message;

/// Answers everything with `200` and two bytes; stops when dropped.
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    connections: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    stopping: AtomicBool,
}

impl Wire {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if accepting.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let seen = Arc::<Mutex<Vec<u8>>>::default();
                lock(&accepting.connections).push(Arc::clone(&seen));
                thread::spawn(move || serve(&socket, seen));
            }
        });
        Self { address, state }
    }

    /// `http://` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What every connection brought so far.
    #[must_use]
    pub fn connections(&self) -> Vec<Vec<u8>> {
        let connections = lock(&self.state.connections);
        connections.iter().map(|seen| lock(seen).clone()).collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(socket: &TcpStream, seen: Arc<Mutex<Vec<u8>>>) -> io::Result<()> {
    let mut reader = BufReader::new(Tee {
        socket: socket.try_clone()?,
        seen,
    });
    let mut writer = socket.try_clone()?;
    while let Some(mut message) = Message::read_head(&mut reader)? {
        message.read_body(&mut reader, false)?;
        let body = if message.method() == "HEAD" { "" } else { "ok" };
        writer
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}").as_bytes())?;
    }
    Ok(())
}

/// Keeps what passes.
struct Tee {
    socket: TcpStream,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.read(buffer)?;
        lock(&self.seen).extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
