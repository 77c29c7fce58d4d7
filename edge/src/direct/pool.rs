//! Idle connections to servers, for each worker thread its own: no lock, no waiting.
//!
//! The last one used is the first one taken. One that its server has closed, or on which it said
//! something unasked, is never handed out; a task of the thread closes what is too old.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::server::Server;

thread_local! {
    static IDLE: RefCell<HashMap<SocketAddr, Vec<Idle>>> = RefCell::default();
    static SWEEPING: Cell<bool> = const { Cell::new(false) };
}

struct Idle {
    server: Server,
    until: Instant,
}

/// An idle connection to `address`.
pub(super) fn take(address: SocketAddr, now: Instant) -> Option<Server> {
    IDLE.with_borrow_mut(|idle| {
        let servers = idle.get_mut(&address)?;
        while let Some(Idle { server, until }) = servers.pop() {
            if until > now && server.is_quiet() {
                return Some(server);
            }
        }
        None
    })
}

/// Keeps a connection for `idle`, unless `most` are kept for its address.
pub(super) fn put(server: Server, idle: Duration, most: usize) {
    let until = Instant::now() + idle;
    IDLE.with_borrow_mut(|idle| {
        let servers = idle.entry(server.address()).or_default();
        if servers.len() < most {
            servers.push(Idle { server, until });
        }
    });
    if !SWEEPING.replace(true) {
        tokio::spawn(sweep());
    }
}

/// Closes what is too old or was closed, until nothing is left.
async fn sweep() {
    loop {
        tokio::time::sleep(SWEEP).await;
        let now = Instant::now();
        let empty = IDLE.with_borrow_mut(|idle| {
            idle.retain(|_, servers| {
                servers.retain(|idle| idle.until > now && idle.server.is_quiet());
                !servers.is_empty()
            });
            idle.is_empty()
        });
        if empty {
            SWEEPING.set(false);
            return;
        }
    }
}

const SWEEP: Duration = Duration::from_secs(1);
