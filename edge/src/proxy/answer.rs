//! Answers of our own: refusals and errors, as small responses without details.
//!
//! The reason stays in the decision record; the client gets the status and the request's name, so
//! that a support call can find the record.

use bytes::Bytes;
use edge_core::{Refusal, RequestId};
use http::{HeaderValue, StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

/// A refusal as it is sent, whatever the protocol.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Page {
    /// Says `refusal`, and the name of the request.
    pub(crate) fn new(refusal: &Refusal, id: Option<RequestId>) -> Self {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
        let body = page(status, id);
        let mut fields = vec![
            ("content-type", "text/plain; charset=utf-8".to_owned()),
            ("content-length", body.len().to_string()),
            ("cache-control", "no-store".to_owned()),
        ];
        fields.extend(id.map(|id| (REQUEST_ID, id.to_string())));
        let after = refusal.retry_after;
        fields.extend(after.map(|seconds| ("retry-after", seconds.to_string())));
        // A rule wrote it: what cannot stand in a header is not sent.
        let location = refusal.location.as_ref();
        let location = location.filter(|location| HeaderValue::from_str(location).is_ok());
        fields.extend(location.map(|location| ("location", location.clone())));
        Self {
            status,
            fields,
            body,
        }
    }
}

/// Sends a refusal.
pub(super) async fn refuse(
    session: &mut ServerSession,
    refusal: &Refusal,
    id: Option<RequestId>,
) -> Result<()> {
    let Page {
        status,
        fields,
        body,
    } = Page::new(refusal, id);
    let mut head = ResponseHeader::build(status, Some(fields.len()))?;
    for (name, value) in fields {
        head.insert_header(name, value)?;
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
