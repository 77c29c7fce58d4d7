//! HTTP/2 over cleartext, with prior knowledge: a client and an application server.
//!
//! Each call runs a small runtime of its own, so that a scenario stays a plain function.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, client, server};
use http::{HeaderMap, Request, Response, StatusCode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

/// A response, or the reset that came in its place.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Option<HeaderMap>,
}

/// Sends requests one after the other over one connection, each with its body and trailers.
///
/// # Errors
/// The stream was reset or the connection ended.
pub fn exchange(address: &str, requests: Vec<Call>) -> Result<Vec<Reply>, h2::Error> {
    block_on(async move {
        let stream = TcpStream::connect(address)
            .await
            .expect("the gateway accepts");
        exchange_over(stream, requests).await
    })
}

/// As [`exchange`], over TLS.
pub(crate) fn exchange_over_tls(
    address: &str,
    config: ClientConfig,
    name: ServerName<'static>,
    requests: Vec<Call>,
) -> Result<Vec<Reply>, h2::Error> {
    block_on(async move {
        let stream = TcpStream::connect(address)
            .await
            .expect("the gateway accepts");
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(name, stream)
            .await
            .expect("the handshake succeeds");
        exchange_over(stream, requests).await
    })
}

async fn exchange_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    requests: Vec<Call>,
) -> Result<Vec<Reply>, h2::Error> {
    let (mut sender, connection) = client::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let mut replies = Vec::new();
    for call in requests {
        sender = sender.ready().await?;
        replies.push(call.send(&mut sender).await?);
    }
    driver.abort();
    Ok(replies)
}

/// One request over HTTP/2.
#[derive(Debug)]
pub struct Call {
    request: Request<()>,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Call {
    /// A request for `http://app.example.com` and the path.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://app.example.com{path}"))
            .header(
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0",
            )
            .header("accept", "*/*")
            .body(())
            .expect("a test's request is well formed");
        Self {
            request,
            body: Bytes::new(),
            trailers: None,
        }
    }

    /// Asks this host, by `https`.
    #[must_use]
    pub fn of(mut self, host: &str) -> Self {
        let path = self.request.uri().path_and_query();
        let path = path.map_or("/", |path| path.as_str());
        let uri = format!("https://{host}{path}").parse();
        *self.request.uri_mut() = uri.expect("a test's host is well formed");
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = value.parse().expect("a test's header is well formed");
        self.request.headers_mut().append(name, value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Ends the request with this trailer field.
    #[must_use]
    pub fn trailer(mut self, name: &'static str, value: &str) -> Self {
        let value = value.parse().expect("a test's trailer is well formed");
        self.trailers.get_or_insert_default().append(name, value);
        self
    }

    async fn send(self, sender: &mut client::SendRequest<Bytes>) -> Result<Reply, h2::Error> {
        let bare = self.body.is_empty() && self.trailers.is_none();
        let (response, mut stream) = sender.send_request(self.request, bare)?;
        if !bare {
            let body = send_body(&mut stream, self.body, self.trailers);
            // The gateway may refuse before it has taken the body: then only the answer counts.
            let (_, reply) = tokio::join!(body, read_reply(response));
            return reply;
        }
        read_reply(response).await
    }
}

async fn read_reply(response: client::ResponseFuture) -> Result<Reply, h2::Error> {
    let (head, body) = response.await?.into_parts();
    let (body, trailers) = read_body(body).await?;
    Ok(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        trailers,
    })
}

/// Sends within the peer's window.
async fn send_body(
    stream: &mut h2::SendStream<Bytes>,
    mut body: Bytes,
    trailers: Option<HeaderMap>,
) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len().min(64 << 10));
        let granted = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let Some(granted) = granted.transpose()? else {
            return Ok(());
        };
        let part = body.split_to(granted.min(body.len()));
        stream.send_data(part, body.is_empty() && trailers.is_none())?;
    }
    match trailers {
        Some(trailers) => stream.send_trailers(trailers),
        None => Ok(()),
    }
}

async fn read_body(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        bytes.extend_from_slice(&part);
        body.flow_control().release_capacity(part.len())?;
    }
    Ok((bytes, body.trailers().await?))
}

/// A gRPC-like server: answers every request with its own body, `grpc-status: 0` in the trailers and
/// the request's trailers repeated as `seen-NAME`.
pub struct H2cUpstream {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Option<oneshot::Sender<()>>,
}

impl H2cUpstream {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        Self::answering(None)
    }

    /// Starts one that answers every request with this body.
    #[must_use]
    pub fn saying(body: &[u8]) -> Self {
        Self::answering(Some(Bytes::copy_from_slice(body)))
    }

    fn answering(body: Option<Bytes>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, address) = std::sync::mpsc::channel();
        let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, log, body) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: address.recv().unwrap(),
            seen,
            stop: Some(stop),
        }
    }

    /// Bodies of the requests that arrived.
    #[must_use]
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

impl Drop for H2cUpstream {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

async fn serve(listener: TcpListener, log: Arc<Mutex<Vec<Vec<u8>>>>, fixed: Option<Bytes>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (log, fixed) = (Arc::clone(&log), fixed.clone());
        tokio::spawn(async move {
            let Ok(mut connection) = server::handshake(stream).await else {
                return;
            };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(answer(request, respond, Arc::clone(&log), fixed.clone()));
            }
        });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    log: Arc<Mutex<Vec<Vec<u8>>>>,
    fixed: Option<Bytes>,
) -> Result<(), h2::Error> {
    let (body, trailers) = read_body(request.into_body()).await?;
    log.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(body.clone());
    let response = Response::builder()
        .status(StatusCode::OK)
        .header("content-type", "application/grpc")
        .body(())
        .expect("a constant response is well formed");
    let mut stream = respond.send_response(response, false)?;
    let mut out = HeaderMap::new();
    out.insert("grpc-status", "0".parse().expect("a constant"));
    for (name, value) in trailers.iter().flatten() {
        if let Ok(name) = format!("seen-{name}").parse::<http::HeaderName>() {
            out.insert(name, value.clone());
        }
    }
    let body = fixed.unwrap_or_else(|| Bytes::from(body));
    send_body(&mut stream, body, Some(out)).await
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(30), future)
            .await
            .expect("an HTTP/2 exchange ends within 30 s")
    })
}
