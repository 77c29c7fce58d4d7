//! The short way: requests without content, to servers that speak HTTP/1.
//!
//! pingora's proxy loop joins two halves that stream at once; a request without content needs one
//! direction only, and most requests are such. They pass the same gate and the same pipeline, reach a
//! server with the same permit, and end in the same record; what this way cannot do goes to pingora
//! before a byte is answered (decision 13). It must never write to a client what it has not framed.

mod buffer;
mod content;
mod pool;
mod relay;
mod reply;
mod request_head;
mod response_head;
mod server;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use edge_conn::{Client, Plain, Served};
use edge_core::{Head, Refusal, Version};

use self::relay::{Progress, Relay};
use self::reply::Reply;
use self::server::{Server, Trouble};
use crate::pipeline::{self, Refused};
use crate::proxy::body::{CLIENT_GONE, Source};
use crate::proxy::record::{self, Sent};
use crate::proxy::{Context, answer, failure, request, retry, upstream};
use crate::shared::Shared;
use crate::upstreams::Address;

/// Serves what needs no engine; shared by all workers, whose connections to servers it keeps apart.
pub(crate) struct Direct {
    pub(crate) shared: Arc<Shared>,
}

impl edge_conn::Direct for Direct {
    /// Methods whose requests have no content, and targets that name a path. What a certificate
    /// authority asks for is answered on the engine's way.
    fn takes(&self, head: &Head) -> bool {
        matches!(head.version(), Version::Http11 | Version::Http2)
            && matches!(head.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"DELETE")
            && head.target().first() == Some(&b'/')
            && !pipeline::asks_for_proof(head)
    }

    fn serve<'a>(
        &'a self,
        client: Client<'a>,
        request: Plain<'a>,
    ) -> Pin<Box<dyn Future<Output = Served> + Send + 'a>> {
        Box::pin(serve(self.shared.clone(), client, request))
    }
}

/// One request, from its head to its record.
async fn serve(shared: Arc<Shared>, mut client: Client<'_>, request: Plain<'_>) -> Served {
    let client = &mut client;
    let Plain { info, head, last } = request;
    let last = last || asks_to_close(&head);
    let gateway = shared.gateway();
    let mut ctx = Box::new(Context::new(shared));
    request::begin(&mut ctx, gateway, info.connection().clone(), Some(head));
    let judged = match request::enter(&mut ctx, Some(info)) {
        Ok(_) => request::judge(&mut ctx, &mut Source::Given(Ok(Bytes::new()))).await,
        Err(refused) => Err(refused),
    };
    let mut progress = Progress::default();
    match judged {
        Ok(_) if !fits(&ctx) => return Served::Engine(ctx),
        Ok(_) => match forward(&mut ctx, client, &mut progress, last).await {
            Ok(()) => {}
            Err(Trouble::Elsewhere) => return Served::Engine(ctx),
            Err(trouble) => {
                progress.broken = true;
                fail(&mut ctx, client, &mut progress, trouble).await;
            }
        },
        Err(Refused::Respond(refusal)) if refusal.status != CLIENT_GONE => {
            refuse(&ctx, client, &mut progress, &refusal).await;
        }
        Err(Refused::Respond(_) | Refused::Drop) => progress.broken = true,
    }
    let Progress {
        status,
        bytes_out,
        broken,
        ..
    } = progress;
    let sent = Sent {
        status,
        bytes_in: 0,
        bytes_out,
    };
    let headers = progress.headers.iter();
    let headers: Vec<_> = headers.map(|(name, value)| (&**name, &**value)).collect();
    record::close(&mut ctx, sent, None, &headers);
    if last || broken {
        Served::Close
    } else {
        Served::Keep
    }
}

/// Whether the servers of the route can be spoken to here.
fn fits(ctx: &Context) -> bool {
    let route = ctx.route.as_ref();
    route.is_some_and(|route| route.upstream.direct)
}

/// Tries servers until one has answered.
async fn forward(
    ctx: &mut Context,
    client: &mut Client<'_>,
    progress: &mut Progress,
    last: bool,
) -> Result<(), Trouble> {
    let mut reply = Reply::to(client);
    let Some(state) = ctx.route.as_ref().map(|route| route.upstream.clone()) else {
        return Err(Trouble::NoServer(500));
    };
    let mut stale = false;
    loop {
        upstream::begin(ctx);
        upstream::rest(ctx).await;
        upstream::pick(ctx).map_err(Trouble::NoServer)?;
        let (Some(lease), Some(now)) = (&ctx.lease, ctx.sent) else {
            return Err(Trouble::NoServer(500));
        };
        let address = match lease.address() {
            Address::Inet(address) if !lease.tls() => *address,
            Address::Inet(_) | Address::Unix(_) => return Err(Trouble::Elsewhere),
        };
        let dial = state.group.upstream().timeouts();
        // Where one idle connection was dead, the others are as old.
        let idle = if stale {
            None
        } else {
            pool::take(address, now)
        };
        let (mut server, reused) = match idle {
            Some(server) => (server, true),
            None => match Server::connect(address, dial.connect).await {
                Ok(server) => (server, false),
                Err(_) if retry::unreachable(ctx, true) => continue,
                Err(trouble) => return Err(trouble),
            },
        };
        reply.text.clear();
        request_head::write(&mut reply.text, ctx);
        let relay = Relay {
            ctx: &mut *ctx,
            client: &mut *client,
            server: &mut server,
            progress: &mut *progress,
            reply: &mut reply,
            last,
        };
        match relay.run(dial).await {
            Ok(reusable) => {
                if reusable {
                    pool::put(server, dial.idle, state.group.upstream().keepalive());
                }
                return Ok(());
            }
            Err(trouble) => {
                stale = reused && trouble == Trouble::Silent && may_resend(ctx);
                if !stale {
                    if trouble.is_of_the_server() {
                        retry::broke(ctx, trouble == Trouble::Late);
                    }
                    return Err(trouble);
                }
            }
        }
    }
}

fn may_resend(ctx: &mut Context) -> bool {
    let head = ctx
        .exchange
        .as_ref()
        .and_then(|exchange| exchange.head.as_ref());
    let method = head.map(|head| head.method().to_vec());
    method.is_some_and(|method| retry::may_resend(ctx, &method))
}

/// Answers a request that failed after the pipeline, if nothing was answered yet.
async fn fail(
    ctx: &mut Context,
    client: &mut Client<'_>,
    progress: &mut Progress,
    trouble: Trouble,
) {
    let refusal = ctx.refusal.take().unwrap_or_else(|| trouble.refusal());
    failure::note(ctx, &refusal, false);
    if progress.status.is_none() && refusal.status != CLIENT_GONE {
        refuse(ctx, client, progress, &refusal).await;
    }
}

/// Sends a refusal; the connection ends with it.
async fn refuse(
    ctx: &Context,
    client: &mut Client<'_>,
    progress: &mut Progress,
    refusal: &Refusal,
) {
    progress.broken = true;
    let (id, head) = match &ctx.exchange {
        Some(exchange) => (Some(exchange.id), exchange.head.as_ref()),
        None => (None, None),
    };
    let page = answer::Page::new(refusal, id);
    let mut reply = Reply::to(client);
    if response_head::page(&mut reply, &page).is_err() {
        return;
    }
    let body = match head {
        Some(head) if head.method() == b"HEAD" => Bytes::new(),
        _ => page.body,
    };
    progress.status = Some(page.status.as_u16());
    progress.bytes_out = body.len() as u64;
    // The client may be gone by now; the record says what was meant for it.
    if reply.send(client, body.is_empty()).await.is_ok()
        && reply::send(client, body, true).await.is_ok()
    {
        let _ = reply::flush(client).await;
    }
}

/// RFC 9112 section 9.6.
fn asks_to_close(head: &Head) -> bool {
    head.values("connection")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}
