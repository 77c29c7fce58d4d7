//! Answers of our own: refusals and errors, as small responses without details.
//!
//! The reason stays in the decision record; the client gets the status and the request's name, so
//! that a support call can find the record.

use bytes::Bytes;
use edge_core::{Refusal, RequestId};
use http::{StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

/// Sends a refusal.
pub(crate) async fn refuse(
    session: &mut ServerSession,
    refusal: &Refusal,
    id: Option<RequestId>,
) -> Result<()> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
    let body = page(status, id);
    let mut head = ResponseHeader::build(status, Some(6))?;
    head.insert_header(header::CONTENT_TYPE, "text/plain; charset=utf-8")?;
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    if let Some(id) = id {
        head.insert_header(REQUEST_ID, id.to_string())?;
    }
    if let Some(location) = &refusal.location {
        head.insert_header(header::LOCATION, location.as_str())?;
    }
    session.write_error_response(head, body).await
}

/// Answers a certificate authority with the key authorization it asked for (RFC 8555 section 8.3).
pub(crate) async fn proof(session: &mut ServerSession, authorization: String) -> Result<()> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(3))?;
    head.insert_header(header::CONTENT_TYPE, "application/octet-stream")?;
    head.insert_header(header::CONTENT_LENGTH, authorization.len())?;
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    session
        .write_error_response(head, authorization.into())
        .await
}

fn page(status: StatusCode, id: Option<RequestId>) -> Bytes {
    let reason = status.canonical_reason().unwrap_or("Refused");
    let text = match id {
        Some(id) => format!("{} {reason}\nRequest: {id}\n", status.as_u16()),
        None => format!("{} {reason}\n", status.as_u16()),
    };
    text.into()
}

/// The header that carries the request's name to the upstream and back.
pub(crate) const REQUEST_ID: &str = "x-request-id";
