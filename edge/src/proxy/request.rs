//! The request side: from pingora's session to the pipeline and back.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use edge_core::{Connection, Decision, Exchange, Head, Layer, Refusal, Verdict, Version};
use http::header;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::body::{CLIENT_GONE, Source};
use super::intercept::Handle;
use super::stream::{self, Upgrade};
use super::{Context, answer};
use crate::pipeline::{self, Admitted, Refused};
use crate::serve::Shared;

/// Runs the pipeline; true if the request has been answered.
pub(super) async fn admit(
    shared: &Shared,
    session: &mut Session,
    ctx: &mut Context,
) -> Result<bool> {
    let gateway = shared.gateway();
    let head = head_of(session, gateway.max_fields());
    let mut exchange = Box::new(Exchange::new(shared.next_id(), connection_of(session), head));
    if let Some(head) = &exchange.head {
        exchange.client = gateway.client(exchange.connection.client, head);
    }
    let refused = match prepare(session, &exchange) {
        Ok(()) => {
            let mut body = Source::Client(session);
            let admitted =
                pipeline::admit(&gateway, &mut exchange, &mut body, &mut ctx.inspection, false);
            match admitted.await {
                Ok(Admitted { permit, route, replay }) => {
                    if replay.is_some() {
                        ctx.intercept =
                            Some(Handle::install(&mut session.downstream_session, replay));
                    }
                    ctx.permit = Some(permit);
                    ctx.route = Some(route);
                    None
                }
                Err(refused) => Some(refused),
            }
        }
        Err(refusal) => {
            exchange.decision = Some(Decision {
                layer: Layer::Gate,
                verdict: Verdict::Respond(refusal.clone()),
                enforced: true,
            });
            Some(Refused::Respond(refusal))
        }
    };
    let id = exchange.id;
    ctx.exchange = Some(exchange);
    ctx.gateway = Some(gateway);
    let Some(refused) = refused else { return Ok(false) };
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

/// Counts body bytes on their way to the upstream against the profile's limit.
pub(super) fn count_body(body: Option<&Bytes>, ctx: &mut Context) -> Result<()> {
    let (Some(body), Some(route)) = (body, &ctx.route) else { return Ok(()) };
    ctx.forwarded += body.len() as u64;
    let accept = route.profile.body.accept;
    if accept > 0 && ctx.forwarded > accept {
        ctx.refusal = Some(Refusal::new(413, "body longer than accepted"));
        return Err(Error::explain(ErrorType::HTTPStatus(413), "body longer than accepted"));
    }
    Ok(())
}

/// Takes a bogus `Upgrade` off before anything acts on it.
fn prepare(session: &mut Session, exchange: &Exchange) -> Result<(), Refusal> {
    let Some(head) = &exchange.head else {
        return Err(Refusal::new(400, "malformed request head"));
    };
    if stream::upgrade(head)? == Upgrade::Bogus {
        session.req_header_mut().remove_header(&header::UPGRADE);
    }
    Ok(())
}

/// The head as it arrived; HTTP/2 heads are put into the same form.
fn head_of(session: &Session, max_fields: usize) -> Option<Head> {
    if let Some(http1) = session.as_http1() {
        return Head::parse(http1.get_headers_raw_bytes(), max_fields).ok();
    }
    let request = session.req_header();
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    let authority = request
        .uri
        .authority()
        .filter(|_| !request.headers.contains_key(header::HOST))
        .map(|authority| (&b"host"[..], authority.as_str().as_bytes()));
    let fields = request.headers.iter().map(|(name, value)| (name.as_ref(), value.as_bytes()));
    Some(Head::from_parts(
        request.method.as_str().as_bytes(),
        target.as_bytes(),
        Version::Http2,
        authority.into_iter().chain(fields),
    ))
}

/// What our accept loop knows of the connection.
fn connection_of(session: &Session) -> Arc<Connection> {
    if let Some(connection) = session.digest().and_then(edge_conn::connection) {
        return connection;
    }
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    Arc::new(Connection { peer: unknown, client: unknown, local: unknown })
}
