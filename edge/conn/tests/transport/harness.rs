//! A listener on loopback in front of a small application, and clients that speak raw bytes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use edge_conn::spec::ListenerTlsSpec;
use edge_conn::{
    BodyFault, GateRefusal, HandshakeFault, Listener, ListenerShared, ListenerSpec, Observer,
    TurnedAway, body_fault, serve, take_head,
};
use edge_core::{Connection, Tls};
use edge_tls::Terminate;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Everything the observer was told, in order.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<String>>);

impl Log {
    pub(crate) fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Log {
    fn opened(&self, connection: &Connection) {
        self.note(format!("opened {}", connection.client.ip()));
        if let Some(tls) = connection.tls.as_deref() {
            let name = tls.server_name.as_deref().unwrap_or("-");
            let client = tls.client.as_ref().map_or("-", |client| &client.subject);
            let Tls {
                version,
                cipher,
                ja4,
                ..
            } = tls;
            self.note(format!("tls {name} {version} {cipher} {ja4} {client}"));
        }
    }

    fn closed(&self, connection: &Connection) {
        self.note(format!("closed {}", connection.client.ip()));
    }

    fn turned_away(&self, peer: SocketAddr, why: TurnedAway) {
        self.note(format!("turned away {} {}", peer.ip(), why.name()));
    }

    fn handshake_failed(&self, client: SocketAddr, why: HandshakeFault) {
        self.note(format!("handshake {} {}", client.ip(), why.name()));
    }

    fn refused(&self, refusal: GateRefusal) {
        assert!(refusal.raw.len() <= GateRefusal::RAW_MAX);
        self.note(format!(
            "refused {} {}",
            refusal.status,
            refusal.reason.name()
        ));
    }
}

/// Answers with what it was asked: client, request line as it arrived, and body.
pub(crate) struct Echo {
    pub(crate) log: Arc<Log>,
}

#[async_trait]
impl HttpServerApp for Echo {
    async fn process_new_http(
        self: &Arc<Self>,
        mut http: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !http.read_request().await.ok()? {
            return None;
        }
        let path = http.req_header().uri.path().to_owned();
        if path == "/panic-less-refusal" {
            return None; // as when the engine refuses: the head is not taken
        }
        let head = take_head(&mut http);
        let target = head.map_or("-".into(), |h| {
            String::from_utf8_lossy(h.target()).into_owned()
        });
        self.log.note(format!("request {target}"));
        if path == "/101" {
            return self.tunnel(http).await;
        }
        if path == "/wait" {
            let _ = tokio::time::timeout(Duration::from_millis(500), http.read_body_or_idle(true))
                .await;
        }
        let (body, status) = match path.as_str() {
            "/unread" => (BytesMut::new(), 200),
            _ => self.body(&mut http).await,
        };
        let client = http.client_addr()?.as_inet()?.ip();
        let text = format!("[{client} {target} {}]", String::from_utf8_lossy(&body));
        let mut response = ResponseHeader::build(status, None).ok()?;
        response
            .insert_header("Content-Length", text.len().to_string())
            .ok()?;
        if *shutdown.borrow() || status != 200 {
            http.set_keepalive(None);
        }
        http.write_response_header(Box::new(response)).await.ok()?;
        http.write_response_body(Bytes::from(text), true)
            .await
            .ok()?;
        if status != 200 {
            return None; // dropped without a word, as pingora does after an error
        }
        let settings = HttpPersistentSettings::for_session(&http);
        let reusable = http.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
    }
}

impl Echo {
    /// Reads the whole body; the status says what it was worth.
    async fn body(&self, http: &mut ServerSession) -> (BytesMut, u16) {
        let mut body = BytesMut::new();
        loop {
            match http.read_request_body().await {
                Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                Ok(None) => return (body, 200),
                Err(error) => {
                    let fault = body_fault(&error);
                    self.log
                        .note(format!("fault {}", fault.map_or("-", BodyFault::name)));
                    return (body, fault.map_or(500, BodyFault::status));
                }
            }
        }
    }

    /// Switches protocols and sends everything back.
    async fn tunnel(&self, mut http: ServerSession) -> Option<ReusedHttpStream> {
        let response = ResponseHeader::build(101, None).ok()?;
        http.write_response_header(Box::new(response)).await.ok()?;
        while let Ok(Some(bytes)) = http.read_request_body().await {
            http.write_response_body(bytes, false).await.ok()?;
        }
        None
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Log>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) shared: Arc<ListenerShared>,
    pub(crate) done: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(edit: impl FnOnce(&mut ListenerSpec)) -> Self {
        Self::start_app(edit, |log| Echo { log })
    }

    pub(crate) fn start_app<A>(
        edit: impl FnOnce(&mut ListenerSpec),
        app: impl FnOnce(Arc<Log>) -> A,
    ) -> Self
    where
        A: HttpServerApp + Send + Sync + 'static,
    {
        Self::start_with(edit, None, app)
    }

    /// A listener that speaks TLS.
    pub(crate) fn start_tls(
        edit: impl FnOnce(&mut ListenerSpec),
        terminate: Arc<dyn Terminate>,
    ) -> Self {
        let edit = |spec: &mut ListenerSpec| {
            spec.tls = Some(ListenerTlsSpec::default());
            edit(spec);
        };
        Self::start_with(edit, Some(terminate), |log| Echo { log })
    }

    fn start_with<A>(
        edit: impl FnOnce(&mut ListenerSpec),
        terminate: Option<Arc<dyn Terminate>>,
        app: impl FnOnce(Arc<Log>) -> A,
    ) -> Self
    where
        A: HttpServerApp + Send + Sync + 'static,
    {
        let mut spec = ListenerSpec::new("127.0.0.1:0");
        edit(&mut spec);
        let log = Arc::new(Log::default());
        let listener = Listener::try_from(spec).unwrap();
        let shared = Arc::new(ListenerShared::new(
            listener,
            terminate,
            Arc::clone(&log) as Arc<dyn Observer>,
        ));
        let socket = tokio::net::TcpListener::from_std(
            edge_conn::bind(shared.listener().address()).unwrap(),
        )
        .unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, watch) = watch::channel(false);
        let app = Arc::new(app(Arc::clone(&log)));
        let done = tokio::spawn(serve(
            socket,
            app,
            Arc::clone(&shared),
            watch.clone(),
            watch,
        ));
        Self {
            address,
            log,
            stop,
            shared,
            done,
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends `bytes` on a connection of their own and returns all that comes back.
    pub(crate) async fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.rest().await
    }
}

pub(crate) struct Client<S = TcpStream>(pub(crate) S);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Reads until `end` was seen, or panics after five seconds.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let mut bytes = [0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(5), self.0.read(&mut bytes));
            match read.await {
                Ok(Ok(read @ 1..)) => text.push_str(&String::from_utf8_lossy(&bytes[..read])),
                other => panic!("{other:?} after {text:?}"),
            }
        }
        text
    }

    /// Reads until the server closes, or is silent for a while (`...` is appended then).
    pub(crate) async fn rest(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut bytes = [0; 4096];
            let read = tokio::time::timeout(Duration::from_millis(700), self.0.read(&mut bytes));
            match read.await {
                Ok(Ok(0)) => return text,
                Ok(Ok(read)) => text.push_str(&String::from_utf8_lossy(&bytes[..read])),
                Ok(Err(error)) => return format!("{text}<{:?}>", error.kind()),
                Err(_) => return format!("{text}..."),
            }
        }
    }
}

/// The status of each answer in `text`.
pub(crate) fn statuses(text: &str) -> Vec<&str> {
    text.match_indices("HTTP/1.1 ")
        .map(|(at, _)| &text[at + 9..at + 12])
        .collect()
}
