//! Runs the admin listener with a bound on everything a client can use up: head, time, connections.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::{Hosts, Live, Write, api};

/// Answers on `listener` until `shutdown` is ready, then gives open answers two seconds to end.
///
/// One connection carries one request: probes and scrapers come seldom, and none can sit on a slot.
/// A failed `accept` is reported and tried again.
pub async fn serve(
    listener: TcpListener,
    live: Arc<dyn Live>,
    hosts: Hosts,
    write: Option<Write>,
    shutdown: impl Future<Output = ()>,
) {
    let router = api::router(live, hosts, write);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        // Forget those that have ended.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, slot)) => {
                let answer = answer(stream, router.clone());
                connections.spawn(async move {
                    answer.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin listener cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    // What is still open after that is cut when the set is dropped.
    let _ = timeout(DRAIN, ended).await;
}

/// The next connection, once there is a slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(TOTAL_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin connection failed"),
        Err(_) => tracing::debug!("admin connection took too long"),
    }
}

/// Connections at one time; more wait in the backlog.
const MAX_CONNECTIONS: usize = 64;
/// Bytes of a request head.
const MAX_HEAD: usize = 16 * 1024;
/// Fields of a request head.
const MAX_FIELDS: usize = 64;
/// Time for a request head.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Time for a whole exchange.
const TOTAL_TIME: Duration = Duration::from_secs(30);
/// Time for open answers after shutdown.
const DRAIN: Duration = Duration::from_secs(2);
/// Time before the next `accept` after one failed, for example for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
