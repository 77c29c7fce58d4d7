//! The TLS handshake: from the first byte of a connection to a stream of plain text.
//!
//! One deadline stands over all of it. The ClientHello is read whole before rustls sees it, because
//! rustls keeps neither the order nor the list of extensions that the fingerprint needs. Whoever is
//! refused is told why by an alert.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use edge_core::Tls;
use edge_tls::{Choice, Scope, Terminate, client_certificate};
use rustls::server::Acceptor;
use rustls::{CipherSuite, ProtocolVersion, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::HandshakeFault;
use crate::client_hello::{ClientHello, HelloFault, HelloReader};
use crate::ja4::ja4;
use crate::prefixed::Prefixed;

/// A handshake that succeeded.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<Prefixed>,
    pub(crate) tls: Box<Tls>,
    pub(crate) scope: Arc<dyn Scope>,
    /// The client chose HTTP/2 by ALPN.
    pub(crate) http2: bool,
}

/// Carries out a handshake on `tcp`, from which `pending` was read already. `None` when it was all the
/// client wanted (`acme-tls/1`): the connection is closed then, as it is after a fault.
pub(crate) async fn handshake(
    mut tcp: TcpStream,
    mut pending: BytesMut,
    terminate: Option<&dyn Terminate>,
    patience: Duration,
) -> Result<Option<Box<Secured>>, HandshakeFault> {
    let deadline = Instant::now() + patience;
    let hello = match timeout_at(deadline, hello(&mut tcp, &mut pending)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(fault)) => {
            farewell(tcp, &last_words(fault)).await;
            return Err(fault);
        }
        Err(_) => return Err(HandshakeFault::Timeout),
    };
    let choice = terminate.and_then(|terminate| {
        let protocols: Vec<&[u8]> = hello.protocols.iter().map(AsRef::as_ref).collect();
        terminate.choose(hello.server_name.as_deref(), &protocols)
    });
    let Some(choice) = choice else {
        farewell(tcp, &last_words(HandshakeFault::UnknownName)).await;
        return Err(HandshakeFault::UnknownName);
    };
    let stream = Prefixed::new(pending, tcp);
    match timeout_at(deadline, secure(stream, &choice)).await {
        Ok(Ok(stream)) if choice.acme => {
            goodbye(stream).await;
            Ok(None)
        }
        Ok(Ok(stream)) => secured(stream, hello, choice).map(Some),
        Ok(Err((error, tcp))) => {
            if let Some(tcp) = tcp {
                farewell(tcp, &[]).await;
            }
            Err(fault(&error))
        }
        Err(_) => Err(HandshakeFault::Timeout),
    }
}

/// What is kept of a ClientHello.
struct Hello {
    server_name: Option<String>,
    protocols: Vec<Box<[u8]>>,
    ja4: String,
}

/// Reads until the ClientHello is whole; all bytes stay in `pending`, for rustls.
async fn hello(tcp: &mut TcpStream, pending: &mut BytesMut) -> Result<Hello, HandshakeFault> {
    let mut reader = HelloReader::default();
    loop {
        let message = reader.read(pending).map_err(HandshakeFault::Hello)?;
        if let Some(message) = message {
            let hello = ClientHello::parse(message).map_err(HandshakeFault::Hello)?;
            return Ok(Hello {
                ja4: ja4(&hello),
                protocols: hello
                    .protocols
                    .iter()
                    .map(|name| Box::from(*name))
                    .collect(),
                server_name: hello.server_name,
            });
        }
        pending.reserve(READ);
        match tcp.read_buf(pending).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(HandshakeFault::Closed),
        }
    }
}

/// Leaves the handshake to rustls; a failed one gives the socket back where it is of use.
async fn secure(
    stream: Prefixed,
    choice: &Choice,
) -> Result<TlsStream<Prefixed>, (io::Error, Option<TcpStream>)> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let start = match (&mut acceptor).await {
        Ok(start) => start,
        Err(error) => return Err((error, acceptor.take_io().map(Prefixed::into_socket))),
    };
    let config = Arc::clone(&choice.config);
    let accept = start.into_stream(config).into_fallible().await;
    accept.map_err(|(error, stream)| (error, Some(stream.into_socket())))
}

/// Notes what was agreed on.
fn secured(
    stream: TlsStream<Prefixed>,
    hello: Hello,
    choice: Choice,
) -> Result<Box<Secured>, HandshakeFault> {
    let session: &ServerConnection = stream.get_ref().1;
    // What was routed by and what rustls read must be one name.
    if session.server_name() != hello.server_name.as_deref() {
        return Err(HandshakeFault::Hello(HelloFault::ServerName));
    }
    let client = match session.peer_certificates().and_then(<[_]>::first) {
        Some(certificate) => {
            Some(client_certificate(certificate).ok_or(HandshakeFault::ClientCertificate)?)
        }
        None => None,
    };
    let tls = Tls {
        server_name: hello.server_name.map(Into::into),
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        cipher: session
            .negotiated_cipher_suite()
            .map_or("", |suite| cipher_name(suite.suite())),
        ja4: hello.ja4.into(),
        client,
    };
    Ok(Box::new(Secured {
        http2: session.alpn_protocol() == Some(b"h2"),
        tls: Box::new(tls),
        scope: choice.scope,
        stream,
    }))
}

/// IANA's name; rustls writes those of TLS 1.3 in its own way.
fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or(""),
    }
}

/// Why rustls gave up, in our words.
fn fault(error: &io::Error) -> HandshakeFault {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        None => HandshakeFault::Closed,
        Some(rustls::Error::AlertReceived(_)) => HandshakeFault::Alert,
        Some(rustls::Error::NoApplicationProtocol) => HandshakeFault::NoProtocol,
        Some(rustls::Error::PeerIncompatible(_)) => HandshakeFault::Incompatible,
        Some(
            rustls::Error::NoCertificatesPresented
            | rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_),
        ) => HandshakeFault::ClientCertificate,
        // The resolver of certificates found none.
        Some(rustls::Error::General(_)) => HandshakeFault::NoCertificate,
        Some(_) => HandshakeFault::Protocol,
    }
}

/// What a client is told that did not get as far as rustls: an alert, or a page where a browser asks
/// without TLS.
fn last_words(fault: HandshakeFault) -> Vec<u8> {
    let alert = match fault {
        HandshakeFault::Hello(HelloFault::PlainHttp) => {
            let length = PLAIN_HTTP.len();
            return format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n{PLAIN_HTTP}"
            )
            .into_bytes();
        }
        HandshakeFault::UnknownName | HandshakeFault::Hello(HelloFault::ServerName) => {
            UNRECOGNIZED_NAME
        }
        HandshakeFault::Hello(HelloFault::Version) => PROTOCOL_VERSION,
        HandshakeFault::Hello(HelloFault::RecordLength) => RECORD_OVERFLOW,
        HandshakeFault::Hello(HelloFault::DuplicateExtension) => ILLEGAL_PARAMETER,
        HandshakeFault::Hello(HelloFault::Unexpected) => UNEXPECTED_MESSAGE,
        HandshakeFault::Hello(HelloFault::Malformed | HelloFault::TooLarge) => DECODE_ERROR,
        _ => return Vec::new(), // nobody there, or nobody who would understand
    };
    vec![ALERT, 3, 3, 0, 2, FATAL, alert]
}

/// Sends `words` and closes so that they are read: a socket closed with unread bytes is reset, and the
/// reset overtakes the words. Bounded in time and bytes.
async fn farewell(mut tcp: TcpStream, words: &[u8]) {
    let finish = async {
        if tcp.write_all(words).await.is_err() || tcp.shutdown().await.is_err() {
            return;
        }
        let (mut bytes, mut left) = ([0; 1024], LINGER_BYTES);
        while let Ok(read @ 1..) = tcp.read(&mut bytes).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    };
    let _ = timeout(LINGER, finish).await;
}

/// Ends a connection that was only a proof.
async fn goodbye(mut stream: TlsStream<Prefixed>) {
    let _ = timeout(LINGER, stream.shutdown()).await;
    farewell(stream.into_inner().0.into_socket(), &[]).await;
}

/// Room for a ClientHello that arrives in one piece, with post-quantum key shares.
const READ: usize = 2048;
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 << 10;
const PLAIN_HTTP: &str = "This port speaks HTTPS only: ask for https:// instead of http://\n";
const ALERT: u8 = 21;
const FATAL: u8 = 2;
const UNEXPECTED_MESSAGE: u8 = 10;
const RECORD_OVERFLOW: u8 = 22;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;
const PROTOCOL_VERSION: u8 = 70;
const UNRECOGNIZED_NAME: u8 = 112;
