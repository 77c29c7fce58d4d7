//! A new binary takes over from a running one, without a moment in which nobody listens.
//!
//! The running gateway offers its listening sockets at a Unix socket. The new one asks there when it
//! starts, gets the very sockets (connections that wait in their queues come along), serves on them, and
//! says that it is ready; then the old one drains and ends. If the new one fails before that, it just
//! goes away and the old one goes on. Only processes of the same user, and root, are answered.

use std::fs::{self, Permissions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::sync::mpsc;

/// What a running gateway hands over.
pub(crate) type Sockets = Arc<Mutex<Vec<TcpListener>>>;

/// A gateway that waits for us to be ready.
pub(crate) struct Predecessor {
    stream: UnixStream,
}

/// Asks the gateway at `path` for its sockets; `None` if nobody answers there.
///
/// # Errors
/// Somebody answers, but not as a gateway does.
pub(crate) fn take_over(path: &Path) -> io::Result<Option<(Predecessor, Vec<TcpListener>)>> {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut stream = stream;
    stream.write_all(HELLO)?;
    let mut sockets = Vec::new();
    loop {
        let (more, fds) = receive(&stream)?;
        sockets.extend(fds.into_iter().map(TcpListener::from));
        if sockets.len() > MAX_SOCKETS {
            return Err(io::Error::other("more sockets than a gateway has"));
        }
        if !more {
            return Ok(Some((Predecessor { stream }, sockets)));
        }
    }
}

impl Predecessor {
    /// Says that this process serves: the old one may go.
    ///
    /// # Errors
    /// It is gone already.
    pub(crate) fn ready(mut self) -> io::Result<()> {
        self.stream.write_all(READY)
    }
}

/// Offers `sockets` at `path` for the life of the process. A message comes when a successor is ready.
///
/// # Errors
/// The socket cannot be made there.
pub(crate) fn offer(path: &Path, sockets: Sockets) -> io::Result<mpsc::Receiver<()>> {
    // Aside and renamed: at no moment is there a path that nobody answers.
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = Path::new(&aside);
    let _ = fs::remove_file(aside);
    let listener = UnixListener::bind(aside)?;
    fs::set_permissions(aside, Permissions::from_mode(0o600))?;
    fs::rename(aside, path)?;
    let (tell, ready) = mpsc::channel(1);
    std::thread::Builder::new()
        .name("upgrade".to_owned())
        .spawn(move || {
            for stream in listener.incoming() {
                match stream.and_then(|stream| hand_over(stream, &sockets)) {
                    Ok(()) => {
                        // The gateway may be ending for another reason.
                        let _ = tell.blocking_send(());
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "upgrade: the new gateway did not become ready; this one goes on");
                        std::thread::sleep(PAUSE);
                    }
                }
            }
        })?;
    Ok(ready)
}

/// Gives the sockets to one successor and waits until it serves them.
fn hand_over(mut stream: UnixStream, sockets: &Sockets) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(&stream)?;
    if peer.uid != rustix::process::geteuid() && !peer.uid.is_root() {
        return Err(io::Error::other("another user asked for the sockets"));
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut hello = [0; HELLO.len()];
    stream.read_exact(&mut hello)?;
    if hello != *HELLO {
        return Err(io::Error::other("it does not speak this protocol"));
    }
    let handed: Vec<TcpListener> = {
        let sockets = sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets
            .iter()
            .map(TcpListener::try_clone)
            .collect::<io::Result<_>>()?
    };
    tracing::info!(
        sockets = handed.len(),
        pid = peer.pid.as_raw_nonzero().get(),
        "upgrade: sockets handed over"
    );
    let fds: Vec<BorrowedFd<'_>> = handed.iter().map(AsFd::as_fd).collect();
    let mut parts = fds.chunks(BATCH).peekable();
    if parts.peek().is_none() {
        send(&stream, false, &[])?;
    }
    while let Some(part) = parts.next() {
        send(&stream, parts.peek().is_some(), part)?;
    }
    drop(handed);
    stream.set_read_timeout(Some(START))?;
    let mut ready = [0; READY.len()];
    stream.read_exact(&mut ready)?;
    if ready == *READY {
        Ok(())
    } else {
        Err(io::Error::other("it said something else than `ready`"))
    }
}

fn send(stream: &UnixStream, more: bool, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many sockets for one message"));
    }
    let byte = [u8::from(more)];
    sendmsg(
        stream,
        &[IoSlice::new(&byte)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

fn receive(stream: &UnixStream) -> io::Result<(bool, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((byte == [1], fds))
}

const HELLO: &[u8; 19] = b"palisade sockets 1\n";
const READY: &[u8; 6] = b"ready\n";
/// Sockets in one message; the kernel allows 253.
const BATCH: usize = 64;
const MAX_SOCKETS: usize = 65_536;
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a new gateway may take to load and serve.
const START: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_change_hands_and_the_old_one_hears_when_the_new_one_is_ready() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upgrade.sock");
        assert!(take_over(&path).unwrap().is_none(), "nobody is there");
        let sockets: Vec<TcpListener> = (0..BATCH + 3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let address = sockets[BATCH + 1].local_addr().unwrap();
        let mut ready = offer(&path, Arc::new(Mutex::new(sockets))).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // One that fails after it got them changes nothing.
        let (failed, _) = take_over(&path).unwrap().unwrap();
        drop(failed);
        let (old, taken) = take_over(&path).unwrap().unwrap();
        assert_eq!(taken.len(), BATCH + 3);
        assert_eq!(taken[BATCH + 1].local_addr().unwrap(), address);
        assert!(ready.try_recv().is_err());
        old.ready().unwrap();
        assert!(ready.blocking_recv().is_some());
    }

    #[test]
    fn what_speaks_otherwise_gets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upgrade.sock");
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let _ready = offer(&path, Arc::new(Mutex::new(vec![socket]))).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let mut piece = [0; 16];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            answer.extend_from_slice(&piece[..count]);
        }
        assert!(answer.is_empty());
    }
}
