//! The sample application over real sockets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    address
}

/// Sends a request on a connection of its own; gives status, head and body.
async fn send(address: SocketAddr, head: &str, body: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head =
        format!("{head}\r\nHost: shop\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The application may answer before it has read all.
    let _ = stream.write_all(body).await;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        answer.extend_from_slice(&piece[..count]);
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head[9..12].parse().unwrap(),
        head.to_lowercase(),
        body.to_owned(),
    )
}

async fn form(address: SocketAddr, path: &str, fields: &str) -> (u16, String, String) {
    let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded");
    send(address, &head, fields.as_bytes()).await
}

async fn json(address: SocketAddr, document: &str) -> (u16, String, String) {
    let head = "POST /api/items HTTP/1.1\r\nContent-Type: application/json";
    send(address, head, document.as_bytes()).await
}

async fn get_path(address: SocketAddr, path: &str) -> (u16, String, String) {
    send(address, &format!("GET {path} HTTP/1.1"), b"").await
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let address = start().await;
    let (status, head, page) = get_path(address, "/").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("content-security-policy: default-src 'none'"),
        "{head}"
    );
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "{page}"
    );
    for (path, kind) in [("/style.css", "text/css"), ("/app.js", "text/javascript")] {
        let (status, head, _) = get_path(address, path).await;
        assert_eq!(status, 200);
        assert!(head.contains(kind), "{head}");
    }
    assert_eq!(get_path(address, "/healthz").await.2, "ok\n");
    assert_eq!(get_path(address, "/nothing").await.0, 404);
}

#[tokio::test]
async fn a_search_shows_what_was_searched_for_without_running_it() {
    let address = start().await;
    let (_, _, page) = get_path(address, "/search?q=rope").await;
    assert!(page.contains("Climbing rope"), "{page}");
    let (status, _, page) = get_path(address, "/search?q=%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert_eq!(status, 200);
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(!page.contains("<script>alert"));
}

#[tokio::test]
async fn a_login_gives_a_session_and_a_wrong_password_none() {
    let address = start().await;
    let (status, head, _) = form(address, "/login", "user=demo&password=demo").await;
    assert_eq!(status, 303);
    let cookie = head.split("set-cookie: ").nth(1).unwrap();
    assert!(cookie.contains("httponly"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let signed_in = format!("GET / HTTP/1.1\r\nCookie: a=b; {cookie}");
    let (_, _, page) = send(address, &signed_in, b"").await;
    assert!(page.contains("Signed in as <b>demo</b>"));
    let logout = format!("POST /logout HTTP/1.1\r\nCookie: {cookie}");
    assert_eq!(send(address, &logout, b"").await.0, 303);
    assert!(!send(address, &signed_in, b"").await.2.contains("Signed in"));
    for wrong in [
        "user=demo&password=x",
        "user=demo'--&password=",
        "user=demo",
    ] {
        let (status, head, _) = form(address, "/login", wrong).await;
        assert!(status == 401 || status == 400, "{status}");
        assert!(!head.contains("set-cookie"));
    }
}

#[tokio::test]
async fn a_comment_appears_on_the_page_escaped() {
    let address = start().await;
    let (status, head, _) = form(address, "/comments", "name=Eve&text=%3Cb%3Ehi").await;
    assert_eq!(status, 303);
    assert!(head.contains("location: /#comments"));
    let (_, _, page) = get_path(address, "/").await;
    assert!(page.contains("<b>Eve</b><p>&lt;b&gt;hi</p>"), "{page}");
    assert_eq!(form(address, "/comments", "name=Eve&text=").await.0, 400);
    let long = format!("name=Eve&text={}", "x".repeat(2 * MAX_BODY));
    assert_eq!(form(address, "/comments", &long).await.0, 400);
}

#[tokio::test]
async fn items_come_and_go_as_json() {
    let address = start().await;
    let (status, _, item) = json(address, r#"{"name": "Anchor", "price": 80}"#).await;
    assert_eq!(
        (status, item.as_str()),
        (201, r#"{"id":7,"name":"Anchor","price":80.0}"#)
    );
    assert!(get_path(address, "/api/items").await.2.contains("Anchor"));
    assert_eq!(get_path(address, "/api/items/7").await.2, item);
    assert_eq!(get_path(address, "/api/items/99").await.0, 404);
    assert_eq!(json(address, r#"{"name": "", "price": 80}"#).await.0, 422);
    assert_eq!(json(address, r#"{"name": "x", "price": -1}"#).await.0, 422);
    assert_eq!(json(address, r#"{"name": "x"}"#).await.0, 400);
    assert_eq!(json(address, "{").await.0, 400);
}

#[tokio::test]
async fn an_upload_is_counted_whatever_its_size() {
    let address = start().await;
    let head = "POST /upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x";
    let body = vec![b'a'; 5 * 1024 * 1024];
    let (status, _, answer) = send(address, head, &body).await;
    assert_eq!(
        (status, answer.as_str()),
        (200, r#"{"multipart":true,"received":5242880}"#)
    );
}

#[tokio::test]
async fn events_come_one_at_a_time() {
    let address = start().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "GET /events?count=3&every=50 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut answer, mut reads, mut piece) = (Vec::new(), 0, [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        answer.extend_from_slice(&piece[..count]);
        reads += 1;
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("text/event-stream"), "{answer}");
    assert_eq!(answer.matches("data: tick").count(), 3);
    assert!(reads >= 3, "{reads}");
}
