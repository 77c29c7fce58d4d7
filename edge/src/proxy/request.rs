//! The request side: from pingora's session to the pipeline and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge_conn::gate::{self, HeadLimits};
use edge_core::{Connection, Exchange, Head, Layer, Refusal, Version};
use http::header;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::body::{CLIENT_GONE, Source};
use super::intercept::Handle;
use super::stream::{self, Upgrade};
use super::{Context, answer, headers};
use crate::pipeline::{self, Admitted, Refused};

/// Runs the pipeline; true if the request has been answered.
pub(super) async fn admit(session: &mut Session, ctx: &mut Context) -> Result<bool> {
    let gateway = ctx.shared.gateway();
    if session.is_http2() {
        headers::join_cookies(session.req_header_mut())?;
    }
    let (connection, head) = arrived(session);
    // In the context from the start: a request that is cut while it uploads is recorded, too.
    ctx.gateway = Some(gateway.clone());
    let exchange = ctx.exchange.insert(Box::new(Exchange::new(
        ctx.shared.next_id(),
        connection,
        head,
    )));
    if let Some(head) = &exchange.head {
        exchange.client = gateway.client(exchange.connection.client, head);
    }
    let info = session.digest().and_then(edge_conn::connection);
    let limits = info.map_or_else(|| gateway.head_limits(), |info| *info.head_limits());
    let id = exchange.id;
    if let Some(answer) = pipeline::proof(ctx.shared.challenges(), exchange) {
        answer::proof(&mut session.downstream_session, answer).await?;
        return Ok(true);
    }
    let refused = match prepare(&limits, exchange) {
        Ok(upgrade) => {
            fit(session, exchange, &upgrade);
            let mut body = Source::Client(session);
            let (inspection, route) = (&mut ctx.inspection, &mut ctx.route);
            let admitted = pipeline::admit(&gateway, exchange, &mut body, inspection, route, false);
            match admitted.await {
                Ok(Admitted { permit, replay }) => {
                    if let Some(replay) = replay.as_ref().filter(|replay| replay.recoded) {
                        without_coding(session.req_header_mut(), replay.bytes.len())?;
                    }
                    if replay.is_some() {
                        ctx.intercept =
                            Some(Handle::install(&mut session.downstream_session, replay));
                    }
                    ctx.permit = Some(permit);
                    None
                }
                Err(refused) => Some(refused),
            }
        }
        Err(refusal) => {
            let refused = pipeline::refuse(exchange, Layer::Gate, refusal);
            ctx.inspection = pipeline::witness(&gateway, exchange, false);
            Some(refused)
        }
    };
    let Some(refused) = refused else {
        return Ok(false);
    };
    match refused {
        Refused::Respond(refusal) if refusal.status != CLIENT_GONE => {
            answer::refuse(&mut session.downstream_session, &refusal, Some(id)).await?;
        }
        Refused::Respond(_) | Refused::Drop => {
            session.downstream_session.set_keepalive(None);
            session.downstream_session.shutdown().await;
        }
    }
    Ok(true)
}

/// Describes a body whose content coding was undone.
fn without_coding(request: &mut RequestHeader, length: usize) -> Result<()> {
    request.remove_header(&header::CONTENT_ENCODING);
    if request.headers.contains_key(header::CONTENT_LENGTH) {
        request.insert_header(header::CONTENT_LENGTH, length)?;
    }
    Ok(())
}

/// Counts body bytes on their way to the upstream against the profile's limit.
pub(super) fn count_body(body: Option<&Bytes>, ctx: &mut Context) -> Result<()> {
    let (Some(body), Some(route)) = (body, &ctx.route) else {
        return Ok(());
    };
    ctx.forwarded += body.len() as u64;
    let limit = route.profile.body.limit;
    if limit > 0 && ctx.forwarded > limit {
        ctx.refusal = Some(Refusal::new(413, "body longer than accepted"));
        return Err(Error::explain(
            ErrorType::HTTPStatus(413),
            "body longer than accepted",
        ));
    }
    Ok(())
}

/// What must hold before the pipeline, for `run` and `explain` alike: an HTTP/2 head reads as one
/// HTTP/1 head, and a WebSocket handshake has no body.
///
/// # Errors
/// The refusal of the gate.
pub(crate) fn prepare(limits: &HeadLimits, exchange: &Exchange) -> Result<Upgrade, Refusal> {
    let Some(head) = &exchange.head else {
        return Err(Refusal::new(400, "malformed request head"));
    };
    if head.version() == Version::Http2 {
        gate::check(head, limits).map_err(|reason| Refusal::new(reason.status(), reason.name()))?;
    }
    stream::upgrade(head)
}

/// Makes pingora see the request as it was judged, and gives it the clock it lacks.
fn fit(session: &mut Session, exchange: &Exchange, upgrade: &Upgrade) {
    if *upgrade == Upgrade::Bogus {
        session.req_header_mut().remove_header(&header::UPGRADE);
    }
    let version = exchange.head.as_ref().map(Head::version);
    if version == Some(Version::Http2) {
        // pingora has no clock for clients that stop reading an HTTP/2 stream.
        session
            .downstream_session
            .set_write_timeout(Some(HTTP2_WRITE_PATIENCE));
    }
}

/// What our accept loop knows of the connection, and the head as it arrived; HTTP/2 heads are put
/// into the same form.
fn arrived(session: &Session) -> (Arc<Connection>, Option<Head>) {
    let info = session.digest().and_then(edge_conn::connection);
    let connection = info.map_or_else(
        || {
            let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
            Arc::new(Connection {
                peer: unknown,
                client: unknown,
                local: unknown,
                tls: None,
            })
        },
        |info| info.connection().clone(),
    );
    if !session.is_http2() {
        return (
            connection,
            info.and_then(edge_conn::ConnectionInfo::take_head),
        );
    }
    let request = session.req_header();
    let target = request
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let authority = request
        .uri
        .authority()
        .filter(|_| !request.headers.contains_key(header::HOST))
        .map(|authority| (&b"host"[..], authority.as_str().as_bytes()));
    let fields = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_bytes()));
    let head = Head::from_parts(
        request.method.as_str().as_bytes(),
        target.as_bytes(),
        Version::Http2,
        authority.into_iter().chain(fields),
    );
    (connection, Some(head))
}

const HTTP2_WRITE_PATIENCE: Duration = Duration::from_secs(60);
