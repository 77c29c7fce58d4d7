//! The admin listener over real sockets.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Mutex;

use edge_core::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::tag;
use crate::{Action, Answer, Edit, Expected, Order, Readiness, Status};

struct Gateway(Mutex<Readiness>);

impl Live for Gateway {
    fn upstreams(&self, _group: Option<&str>) -> Value {
        json!({"app": [{"address": "10.0.0.1:80", "state": "up"}]})
    }

    fn readiness(&self) -> Readiness {
        self.0.lock().unwrap().clone()
    }

    fn status(&self) -> Status {
        Status {
            version: "1.2.3".into(),
            uptime_seconds: 5,
            config_generation: 2,
            config_checksum: "abc".into(),
            routes: 3,
            last_reload_error: Some("bad file".into()),
        }
    }

    fn acme(&self) -> Value {
        serde_json::json!([])
    }

    fn metrics(&self) -> String {
        "palisade_build_info 1\n".to_owned()
    }

    fn hosts(&self, page: &crate::Page) -> Value {
        json!({"limit": page.limit})
    }
}

const TOKEN: &str = "0123456789abcdef";

/// Says what it was asked to do.
struct Files;

impl Edit for Files {
    fn edit(&self, order: Order) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let answer = match order.action {
            Action::Read => Answer::Text(order.name),
            Action::Write(text) if text == "wrong" => Answer::Refused(vec![json!({"line": 1})]),
            Action::Write(_) => Answer::Done {
                created: order.expected == Expected::Nothing,
                checksum: "new".into(),
            },
            Action::Delete => Answer::NotFound,
        };
        Box::pin(std::future::ready(answer))
    }
}

struct Running {
    address: SocketAddr,
    gateway: Arc<Gateway>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gateway = Arc::new(Gateway(Mutex::new(Readiness::Ready)));
    let (stop, stopped) = oneshot::channel::<()>();
    let live: Arc<dyn Live> = Arc::clone(&gateway) as _;
    let hosts = Hosts::new(["gateway.example".to_owned()]);
    let write = Some(Write::new(&Secret::new(TOKEN.to_owned()), Arc::new(Files)));
    let task = tokio::spawn(serve(listener, live, hosts, write, async {
        let _ = stopped.await;
    }));
    Running {
        address,
        gateway,
        stop,
        task,
    }
}

impl Running {
    async fn send(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may refuse before it has read all.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            answer.extend_from_slice(&piece[..count]);
        }
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        let answer = self.send(request.as_bytes()).await;
        (status(&answer), body(&answer).to_owned())
    }
}

fn status(answer: &str) -> u16 {
    answer.get(9..12).map_or(0, |code| code.parse().unwrap())
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn readiness_follows_the_gateway_while_liveness_stays() {
    let running = start().await;
    assert_eq!(
        running.get("/readyz").await,
        (200, r#"{"status":"ready"}"#.into())
    );
    *running.gateway.0.lock().unwrap() = Readiness::NotReady("draining".into());
    let (code, reason) = running.get("/readyz").await;
    let reason: Value = serde_json::from_str(&reason).unwrap();
    assert_eq!(code, 503);
    assert_eq!(reason, json!({"status": "not ready", "reason": "draining"}));
    assert_eq!(running.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn status_and_metrics_are_shown() {
    let running = start().await;
    let (code, status) = running.get("/api/v1/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(code, 200);
    assert_eq!(
        status,
        json!({"version": "1.2.3", "uptime_seconds": 5, "config_generation": 2, "config_checksum": "abc", "routes": 3,
            "last_reload_error": "bad file"})
    );
    let metrics = (200, "palisade_build_info 1\n".to_owned());
    assert_eq!(running.get("/metrics").await, metrics);
}

#[tokio::test]
async fn anything_else_is_a_json_error() {
    let running = start().await;
    let (code, error) = running.get("/api/v2/x").await;
    assert_eq!((code, error.as_str()), (404, r#"{"error":"no such path"}"#));
    let post = b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let answer = running.send(post).await;
    assert_eq!(status(&answer), 405);
    assert!(answer.contains("application/json"), "{answer}");
}

#[tokio::test]
async fn a_rebound_name_learns_nothing() {
    let running = start().await;
    for head in [
        "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /metrics HTTP/1.1\r\n\r\n",
        "GET /nothing HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ] {
        let answer = running.send(head.as_bytes()).await;
        assert_eq!(status(&answer), 421, "{head}");
        assert!(!answer.contains("palisade"), "{answer}");
    }
    let head = b"GET /metrics HTTP/1.1\r\nHost: gateway.example:9901\r\n\r\n";
    assert_eq!(status(&running.send(head).await), 200);
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let running = start().await;
    let long = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(2 * MAX_HEAD)
    );
    assert_ne!(status(&running.send(long.as_bytes()).await), 200);
    let many = "X: y\r\n".repeat(MAX_FIELDS + 1);
    let many = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    assert_ne!(status(&running.send(many.as_bytes()).await), 200);
    let fits = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(MAX_HEAD / 2)
    );
    assert_eq!(status(&running.send(fits.as_bytes()).await), 200);
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_cut_off() {
    let running = start().await;
    let begin = std::time::Instant::now();
    let answer = running.send(b"GET /healthz HTTP/1.1\r\nHost: loc").await;
    assert!(!answer.contains("200 OK"));
    assert!(begin.elapsed() < HEAD_TIME + Duration::from_secs(3));
}

#[tokio::test]
async fn shutdown_ends_the_task() {
    let running = start().await;
    running.stop.send(()).unwrap();
    timeout(DRAIN + Duration::from_secs(1), running.task)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn files_are_changed_by_those_who_know_the_token_only() {
    let running = start().await;
    let ask = async |line: &str, fields: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
        );
        let answer = running.send(request.as_bytes()).await;
        (status(&answer), answer)
    };
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let path = "/api/v1/fragments/shop.example";
    for fields in [
        "",
        "Authorization: Bearer 0123456789abcdeX\r\n",
        "Authorization: Basic 0123456789abcdef\r\n",
        "Authorization: Bearer\r\n",
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let (code, _) = ask(&format!("{method} {path}"), fields, "x").await;
            assert_eq!(code, 401, "{method} {fields}");
        }
    }
    let (code, answer) = ask(&format!("GET {path}"), &token, "").await;
    assert!(
        code == 200 && answer.contains(&tag("shop.example")),
        "{answer}"
    );
    let once = format!("{token}If-None-Match: *\r\n");
    assert_eq!(ask(&format!("PUT {path}"), &once, "x").await.0, 201);
    let (code, answer) = ask(&format!("PUT {path}"), &token, "wrong").await;
    assert!(code == 422 && answer.contains("\"line\":1"), "{answer}");
    assert_eq!(ask(&format!("DELETE {path}"), &token, "").await.0, 404);
    for name in ["..%2Fpalisade", "%2e%2e", ".hidden", "A"] {
        let line = format!("PUT /api/v1/fragments/{name}");
        assert_eq!(ask(&line, &token, "x").await.0, 400, "{name}");
    }
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(ask(&format!("PUT {path}"), &token, &large).await.0, 413);
}

#[tokio::test]
async fn hosts_are_asked_for_by_page() {
    let running = start().await;
    assert_eq!(
        running.get("/api/v1/hosts").await,
        (200, "{\"limit\":100}".into())
    );
    let page = running.get("/api/v1/hosts?limit=5&sort=errors&q=a").await;
    assert_eq!(page, (200, "{\"limit\":5}".into()));
    assert_eq!(running.get("/api/v1/hosts?sort=nonsense").await.0, 400);
}
