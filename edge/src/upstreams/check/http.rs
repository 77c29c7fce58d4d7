//! An HTTP check: a request, its status, and what its body must contain.

use edge_config::Health;
use http::header;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;

use super::reason;

/// Asks over `session`.
pub(super) async fn ask(
    mut session: HttpSession,
    host: &str,
    health: &Health,
) -> Result<(), String> {
    let mut request = request(&health.method, &health.path, host)?;
    if matches!(session, HttpSession::H1(_)) {
        // HTTP/2 has no such field (RFC 9113 section 8.2.2).
        let set = request.insert_header(header::CONNECTION, "close");
        set.map_err(|error| reason(&error))?;
    }
    let wrote = session.write_request_header(Box::new(request)).await;
    wrote.map_err(|error| reason(&error))?;
    let wrote = session.finish_request_body().await;
    wrote.map_err(|error| reason(&error))?;
    let read = session.read_response_header().await;
    read.map_err(|error| reason(&error))?;
    let status = session.response_header().map(|head| head.status.as_u16());
    let status = status.ok_or("no answer")?;
    if !health.statuses.iter().any(|range| range.contains(&status)) {
        return Err(format!("status {status}"));
    }
    match &health.body {
        Some(wanted) => contains(&mut session, wanted.as_bytes()).await,
        None => Ok(()),
    }
}

fn request(method: &str, path: &str, host: &str) -> Result<RequestHeader, String> {
    let mut request =
        RequestHeader::build(method, path.as_bytes(), Some(4)).map_err(|error| reason(&error))?;
    let fields = [
        (header::HOST, host),
        (header::USER_AGENT, USER_AGENT),
        (header::ACCEPT, "*/*"),
    ];
    for (name, value) in fields {
        let set = request.insert_header(name, value);
        set.map_err(|error| reason(&error))?;
    }
    Ok(request)
}

/// Looks for `wanted` in the beginning of the body.
async fn contains(session: &mut HttpSession, wanted: &[u8]) -> Result<(), String> {
    let mut body: Vec<u8> = Vec::new();
    while body.len() < MOST {
        let part = session.read_response_body().await;
        let Some(part) = part.map_err(|error| reason(&error))? else {
            break;
        };
        body.extend(part.iter().take(MOST - body.len()));
        if memchr::memmem::find(&body, wanted).is_some() {
            return Ok(());
        }
    }
    Err("the body does not contain what it should".to_owned())
}

/// Bytes of a body that are looked at.
const MOST: usize = 64 << 10;
pub(super) const USER_AGENT: &str = concat!("palisade-health/", env!("CARGO_PKG_VERSION"));
