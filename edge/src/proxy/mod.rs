//! Between pingora and the pipeline: one request from its head to its record.
//!
//! pingora calls the phases of [`ProxyHttp`]; each hands the work to one function of this folder.
//! Everything that is decided about a request is decided in `pipeline.rs` before an upstream is
//! chosen; nothing here may let a request pass.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod decode;
pub(crate) mod failure;
pub(crate) mod headers;
pub(crate) mod hold;
pub(crate) mod intercept;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod retry;
pub(crate) mod stream;
pub(crate) mod upstream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use edge_core::{Exchange, Permit, Refusal};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};

use crate::assemble::{Gateway, RouteState};
use crate::shared::Shared;
use crate::stages::waf::Inspection;
use crate::upstreams::Lease;

/// The gateway as pingora sees it; one for each worker thread.
pub(crate) struct Proxy {
    /// What all workers share.
    pub(crate) shared: Arc<Shared>,
}

/// State of one request between pingora's phases. Dropping it before the last phase, as happens to
/// requests that are cut, still makes the record.
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    /// Created with the head; taken by the record.
    pub(crate) exchange: Option<Box<Exchange>>,
    /// The configuration this request began with; a reload does not change it.
    pub(crate) gateway: Option<Arc<Gateway>>,
    pub(crate) inspection: Option<Inspection>,
    /// Has the inspection while a response is held on the short way.
    pub(crate) judge: Option<hold::Judge>,
    intercept: Option<intercept::Handle>,
    pub(crate) route: Option<Arc<RouteState>>,
    /// Without it no upstream is chosen.
    permit: Option<Permit>,
    /// When the server being tried was chosen.
    pub(crate) sent: Option<Instant>,
    /// The server being tried.
    pub(crate) lease: Option<Lease>,
    /// What all tries of this request have in common.
    trying: upstream::Trying,
    /// A refusal found on the response, to be sent in its place.
    pub(crate) refusal: Option<Refusal>,
    /// Body bytes given to the upstream being tried.
    forwarded: u64,
    /// Interim responses of the upstream so far.
    interim: u32,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(self.shared.clone())
    }

    /// No modules: what pingora would add (compression) is not ours to do yet.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        request::admit(session, ctx).await
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        request::count_body(body.as_ref(), ctx)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<Box<HttpPeer>> {
        upstream::choose(session, ctx).await
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let (Some(exchange), Some(gateway)) = (&ctx.exchange, &ctx.gateway) else {
            return Ok(());
        };
        headers::forward(
            request,
            exchange,
            gateway.trusts(exchange.connection.client),
            ctx.shared.tls(),
        )?;
        headers::trailers(request, exchange)?;
        headers::host(request, ctx.route.as_deref(), ctx.lease.as_ref())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        retry::answered(session, response, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        response::inspect(session, response, ctx)?;
        upstream::stick(response, ctx)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _end: bool,
        _ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Context,
        error: Box<Error>,
    ) -> Box<Error> {
        retry::connect_failed(session, ctx, error)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        retry::exchange_failed(session, ctx, error, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Context,
    ) -> FailToProxy {
        failure::answer(session, error, ctx).await
    }

    /// Our own record says more, and without the request line's values.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Context, _error: &Error) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        record::write(session, error, ctx);
    }
}

impl Context {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            exchange: None,
            gateway: None,
            inspection: None,
            judge: None,
            intercept: None,
            route: None,
            permit: None,
            sent: None,
            lease: None,
            trying: upstream::Trying::NONE,
            refusal: None,
            forwarded: 0,
            interim: 0,
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        record::write_cut(self);
    }
}
