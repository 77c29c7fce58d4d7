//! Takes a request body from the client, within the profile's bounds.
//!
//! Reads at most the inspected part; the upstream hears nothing until that part has been judged.
//! Every way a client can make us wait or store more ends in a refusal with the matching status.

use bytes::{Bytes, BytesMut};
use edge_config::BodyLimits;
use edge_conn::BodyFault;
use edge_core::Refusal;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};
use tokio::time::{Instant, timeout_at};

/// Where a body comes from.
pub(crate) enum Source<'a> {
    /// A client connection.
    Client(&'a mut Session),
    /// Bytes at hand, freed from their framing, for `explain`; or what is wrong with the framing.
    Given(Result<Bytes, BodyFault>),
}

/// What was taken: the body or its inspected beginning, as the client sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The bytes; may reach one read beyond the inspected part.
    pub(crate) bytes: Bytes,
    /// False if more is to come.
    pub(crate) whole: bool,
}

impl Source<'_> {
    /// True if the request has no body.
    pub(crate) fn is_empty(&mut self) -> bool {
        match self {
            Self::Client(session) => session.as_mut().is_body_empty(),
            Self::Given(content) => content.as_ref().is_ok_and(Bytes::is_empty),
        }
    }

    /// Refuses a body whose declared length is beyond the limit, before a byte of it is read.
    pub(crate) fn check_length(&self, declared: Option<&[u8]>, limit: u64) -> Option<Refusal> {
        let declared: u64 = std::str::from_utf8(declared?).ok()?.parse().ok()?;
        (limit > 0 && declared > limit).then(|| Refusal::new(413, "body longer than accepted"))
    }

    /// Takes the inspected part.
    pub(crate) async fn take(&mut self, limits: &BodyLimits) -> Result<Taken, Refusal> {
        match self {
            Self::Given(content) => given(content, limits),
            Self::Client(session) => read(session, limits).await,
        }
    }
}

fn given(content: &Result<Bytes, BodyFault>, limits: &BodyLimits) -> Result<Taken, Refusal> {
    let content = content.as_ref().map_err(|fault| refusal_of(*fault))?;
    if limits.limit > 0 && content.len() as u64 > limits.limit {
        return Err(Refusal::new(413, "body longer than accepted"));
    }
    let taken = content.len().min(limits.inspect.saturating_add(1));
    Ok(Taken {
        bytes: content.slice(..taken),
        whole: taken == content.len(),
    })
}

async fn read(session: &mut Session, limits: &BodyLimits) -> Result<Taken, Refusal> {
    let deadline = Instant::now() + limits.deadline;
    go_ahead(session).await?;
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut total = 0;
    let whole = loop {
        let chunk = timeout_at(deadline, session.as_mut().read_request_body())
            .await
            .map_err(|_| Refusal::new(408, "request body too slow"))?
            .map_err(|error| refusal_for(&error))?;
        let Some(chunk) = chunk else { break true };
        total += chunk.len();
        // Most bodies arrive in one piece: keep it as it is, without a copy.
        match &first {
            None => first = Some(chunk),
            Some(head) => {
                if rest.is_empty() {
                    rest.extend_from_slice(head);
                }
                rest.extend_from_slice(&chunk);
            }
        }
        if limits.limit > 0 && total as u64 > limits.limit {
            return Err(Refusal::new(413, "body longer than accepted"));
        }
        if total > limits.inspect {
            break session.as_mut().is_body_done();
        }
    };
    let bytes = if rest.is_empty() {
        first.unwrap_or_default()
    } else {
        rest.freeze()
    };
    Ok(Taken { bytes, whole })
}

/// Answers `Expect: 100-continue` ourselves: the upstream is not contacted yet.
async fn go_ahead(session: &mut Session) -> Result<(), Refusal> {
    if session.req_header_mut().remove_header("expect").is_none() {
        return Ok(());
    }
    let session = session.as_mut();
    // Writing an interim response would otherwise mark the connection for closing.
    session.set_close_on_response_before_downstream_finish(false);
    let sent = session.write_continue_response().await;
    session.set_close_on_response_before_downstream_finish(true);
    sent.map_err(|error| refusal_for(&error))
}

/// What a failed read of the body means for the client.
pub(crate) fn refusal_for(error: &Error) -> Refusal {
    if let Some(fault) = edge_conn::body_fault(error) {
        return refusal_of(fault);
    }
    match error.etype() {
        ErrorType::ReadTimedout => Refusal::new(408, "request body too slow"),
        // An HTTP/2 stream that was reset, or a connection that is gone.
        ErrorType::ConnectionClosed | ErrorType::H2Error => {
            Refusal::new(CLIENT_GONE, "client gave the request up")
        }
        _ => Refusal::new(400, "malformed request body"),
    }
}

fn refusal_of(fault: BodyFault) -> Refusal {
    Refusal::new(fault.status(), fault.name())
}

/// Recorded, never sent: the client left before its request was complete (nginx's number).
pub(crate) const CLIENT_GONE: u16 = 499;
