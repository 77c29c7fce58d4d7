//! The request side: from pingora's session to the pipeline and back.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use edge_conn::ConnectionInfo;
use edge_conn::gate::{self, HeadLimits};
use edge_core::{Connection, Exchange, Head, Layer, Refusal, RequestId, Version};
use edge_tls::Terminator;
use http::header;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::body::{CLIENT_GONE, Source};
use super::intercept::{Handle, Replay};
use super::stream::{self, Upgrade};
use super::{Context, answer};
use crate::assemble::Gateway;
use crate::pipeline::{self, Admitted, Refused};

/// Runs the pipeline; true if the request has been answered.
pub(super) async fn admit(session: &mut Session, ctx: &mut Context) -> Result<bool> {
    // A request that passed the pipeline on the short way, and cannot end there.
    let prepared = edge_conn::take_prepared(&mut session.downstream_session);
    if let Some(Ok(prepared)) = prepared.map(<Box<dyn Any + Send>>::downcast::<Context>) {
        *ctx = *prepared;
        return Ok(false);
    }
    let gateway = ctx.shared.gateway();
    let (connection, head) = arrived(session);
    let id = begin(ctx, gateway, connection, head);
    let proof = ctx.exchange.as_ref();
    let proof = proof.and_then(|exchange| pipeline::proof(ctx.shared.challenges(), exchange));
    if let Some(proof) = proof {
        answer::proof(&mut session.downstream_session, proof).await?;
        return Ok(true);
    }
    let judged = match enter(ctx, session.digest().and_then(edge_conn::connection)) {
        Ok(upgrade) => {
            if upgrade == Upgrade::Bogus {
                session.req_header_mut().remove_header(&header::UPGRADE);
            }
            judge(ctx, &mut Source::Client(session)).await
        }
        Err(refused) => Err(refused),
    };
    let refused = match judged {
        Ok(replay) => {
            if let Some(replay) = replay.as_ref().filter(|replay| replay.recoded) {
                without_coding(session.req_header_mut(), replay.bytes.len())?;
            }
            if replay.is_some() {
                ctx.intercept = Some(Handle::install(&mut session.downstream_session, replay));
            }
            return Ok(false);
        }
        Err(refused) => refused,
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

/// Begins the exchange. It is in the context from the start: a request that is cut while it uploads
/// is recorded, too.
pub(crate) fn begin(
    ctx: &mut Context,
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    head: Option<Head>,
) -> RequestId {
    let id = ctx.shared.next_id();
    let mut exchange = Box::new(Exchange::new(id, connection, head));
    if let Some(head) = &exchange.head {
        exchange.client = gateway.client(exchange.connection.client, head);
    }
    ctx.exchange = Some(exchange);
    ctx.gateway = Some(gateway);
    id
}

/// Asks the gate once more, [`prepare`], and the connection whether the request's host may be asked for on
/// it; a refusal is carried out.
pub(crate) fn enter(ctx: &mut Context, info: Option<&ConnectionInfo>) -> Result<Upgrade, Refused> {
    let (Some(exchange), Some(gateway)) = (&mut ctx.exchange, &ctx.gateway) else {
        return Err(Refused::Drop);
    };
    let limits = info.map_or_else(|| gateway.head_limits(), |info| *info.head_limits());
    let prepared = prepare(&limits, exchange).and_then(|upgrade| match info {
        Some(info) if misdirected(info, exchange, ctx.shared.tls()) => {
            Err(Refusal::new(421, "host not served on this connection"))
        }
        _ => Ok(upgrade),
    });
    prepared.map_err(|refusal| {
        let refused = pipeline::refuse(exchange, Layer::Gate, refusal);
        ctx.inspection = pipeline::witness(gateway, exchange, false);
        refused
    })
}

/// Runs the pipeline; the permit is in the context afterwards.
pub(crate) async fn judge(
    ctx: &mut Context,
    body: &mut Source<'_>,
) -> Result<Option<Replay>, Refused> {
    let (Some(exchange), Some(gateway)) = (&mut ctx.exchange, &ctx.gateway) else {
        return Err(Refused::Drop);
    };
    let (inspection, route) = (&mut ctx.inspection, &mut ctx.route);
    let Admitted { permit, replay } =
        pipeline::admit(gateway, exchange, body, inspection, route, false).await?;
    ctx.permit = Some(permit);
    Ok(replay)
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

/// Whether a request is for a host its connection is not for (RFC 9110 section 15.5.20): nobody may
/// reach a host under the TLS policy or the certificate of another, nor without TLS a host that is for
/// clients with a certificate. A request that names no host reaches only routes for every host.
fn misdirected(info: &ConnectionInfo, exchange: &Exchange, tls: &Terminator) -> bool {
    let Some(head) = &exchange.head else {
        return false;
    };
    if exchange.connection.tls.is_none() {
        return tls.asks_clients() && tls.requires_certificate(&Gateway::host(head));
    }
    let host = Gateway::host(head);
    !host.is_empty() && !info.covers(&host)
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
