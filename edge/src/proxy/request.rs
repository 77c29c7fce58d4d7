//! The request side: from pingora's session to the pipeline and back.

use std::net::SocketAddr;
use std::sync::Arc;

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
use super::{Context, answer};
use crate::pipeline::{self, Admitted, Refused};

/// Runs the pipeline; true if the request has been answered.
pub(super) async fn admit(session: &mut Session, ctx: &mut Context) -> Result<bool> {
    let gateway = ctx.shared.gateway();
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
    let refused = match prepare(&limits, exchange) {
        Ok(upgrade) => {
            if upgrade == Upgrade::Bogus {
                session.req_header_mut().remove_header(&header::UPGRADE);
            }
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

/// What our accept loop knows of the connection, and the head as it arrived.
fn arrived(session: &mut Session) -> (Arc<Connection>, Option<Head>) {
    let head = edge_conn::take_head(&mut session.downstream_session);
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
    (connection, head)
}
