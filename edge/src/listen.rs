//! Worker threads, each with a runtime and sockets of its own, and the listeners they serve.
//!
//! One thread a core: a connection lives and dies on its thread, so nothing is shared between
//! cores on the request path but the configuration and counters. A listener whose settings change
//! keeps its sockets: connections that wait to be accepted are not lost.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use edge_conn::{Listener, ListenerShared, Observer};
use edge_tls::Terminate;
use pingora::server::configuration::ServerConf;
use tokio::sync::{mpsc, watch};

use crate::direct::Direct;
use crate::proxy::Proxy;
use crate::shared::Shared;

/// The worker threads and what they listen on.
pub(crate) struct Workers {
    shared: Arc<Shared>,
    threads: Vec<Worker>,
    open: BTreeMap<SocketAddr, Open>,
    /// Taken over from another process and not used yet.
    inherited: Vec<TcpListener>,
    /// Of listeners whose settings changed: their connections go on under the old ones.
    retired: Vec<watch::Sender<bool>>,
    abort: watch::Sender<bool>,
    /// Ends when every worker has: each holds a sender that is never used.
    ended: mpsc::Receiver<Infallible>,
}

struct Worker {
    orders: mpsc::UnboundedSender<Order>,
}

/// Workers that accept no more connections.
pub(crate) struct Draining {
    abort: watch::Sender<bool>,
    ended: mpsc::Receiver<Infallible>,
}

/// A listener that is served right now.
struct Open {
    listener: Listener,
    /// One socket a worker.
    sockets: Vec<TcpListener>,
    /// Ends accepting and, when they carry no request, connections.
    stop: watch::Sender<bool>,
    /// Ends accepting only.
    retire: watch::Sender<bool>,
}

/// Serve this socket until told to stop.
struct Order {
    socket: TcpListener,
    listener: Arc<ListenerShared>,
    stop: watch::Receiver<bool>,
    retire: watch::Receiver<bool>,
}

impl Workers {
    /// Starts `count` threads that serve nothing yet.
    ///
    /// # Errors
    /// A thread or its runtime cannot be made.
    pub(crate) fn start(count: usize, shared: &Arc<Shared>) -> io::Result<Self> {
        let (abort, aborted) = watch::channel(false);
        let (alive, ended) = mpsc::channel(1);
        let threads = (0..count)
            .map(|number| Worker::start(number, shared.clone(), aborted.clone(), alive.clone()))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            shared: shared.clone(),
            threads,
            open: BTreeMap::new(),
            inherited: Vec::new(),
            retired: Vec::new(),
            abort,
            ended,
        })
    }

    /// Sockets of another process, to be used instead of new ones where the address is the same.
    pub(crate) fn inherit(&mut self, sockets: Vec<TcpListener>) {
        self.inherited = sockets;
    }

    /// Binds what is new in `listeners`; nothing that is served changes yet.
    ///
    /// # Errors
    /// The address that cannot be bound, and why.
    pub(crate) fn bind(
        &mut self,
        listeners: &[Listener],
    ) -> Result<Bound, (SocketAddr, io::Error)> {
        let mut sockets = BTreeMap::new();
        for listener in listeners {
            let address = listener.address();
            if !self.open.contains_key(&address) {
                let ours = |socket: &mut TcpListener| {
                    socket.local_addr().is_ok_and(|local| local == address)
                };
                let taken: Vec<TcpListener> = self.inherited.extract_if(.., ours).collect();
                let bound = match taken.is_empty() {
                    true => bind(address, self.threads.len()),
                    false => complete(taken, address, self.threads.len()),
                };
                let bound = bound.map_err(|error| (address, error))?;
                sockets.insert(address, bound);
            }
        }
        Ok(Bound { sockets })
    }

    /// Serves exactly `listeners` from now on; those that are gone finish their requests.
    ///
    /// # Errors
    /// A socket cannot be handed to its worker.
    pub(crate) fn serve(&mut self, listeners: &[Listener], mut bound: Bound) -> io::Result<()> {
        let wanted: Vec<SocketAddr> = listeners.iter().map(Listener::address).collect();
        self.open.retain(|address, open| {
            let stays = wanted.contains(address);
            if !stays {
                open.stop.send_replace(true);
            }
            stays
        });
        for listener in listeners {
            let address = listener.address();
            let before = self.open.remove(&address);
            if let Some(open) = before.as_ref().filter(|open| open.listener == *listener) {
                let open = Open {
                    listener: open.listener.clone(),
                    sockets: clone_all(&open.sockets)?,
                    stop: open.stop.clone(),
                    retire: open.retire.clone(),
                };
                self.open.insert(address, open);
                continue;
            }
            let sockets = match before {
                Some(open) => {
                    open.retire.send_replace(true);
                    // Forgets those whose connections have all ended.
                    self.retired.retain(|stop| !stop.is_closed());
                    self.retired.push(open.stop);
                    open.sockets
                }
                None => bound.sockets.remove(&address).unwrap_or_default(),
            };
            let open = self.open_listener(listener.clone(), sockets)?;
            self.open.insert(address, open);
        }
        Ok(())
    }

    /// The addresses that are served, ports resolved.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.open.values().filter_map(|open| open.sockets.first());
        sockets
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }

    /// Every socket that is served, for another process.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn sockets(&self) -> io::Result<Vec<TcpListener>> {
        let sockets = self.open.values().flat_map(|open| &open.sockets);
        sockets.map(TcpListener::try_clone).collect()
    }

    /// Stops accepting; requests in flight go on.
    pub(crate) fn drain(self) -> Draining {
        let open = self.open.values().map(|open| &open.stop);
        for stop in open.chain(&self.retired) {
            stop.send_replace(true);
        }
        // Without a sender of orders a worker ends once nothing is left to serve.
        Draining {
            abort: self.abort,
            ended: self.ended,
        }
    }

    fn open_listener(&self, listener: Listener, sockets: Vec<TcpListener>) -> io::Result<Open> {
        let (stop, stopped) = watch::channel(false);
        let (retire, retired) = watch::channel(false);
        let observer: Arc<dyn Observer> = self.shared.clone();
        let tls: Option<Arc<dyn Terminate>> = match listener.handshake() {
            Some(_) => Some(self.shared.tls().clone()),
            None => None,
        };
        let direct = Arc::new(Direct {
            shared: self.shared.clone(),
        });
        let listening = ListenerShared::new(listener.clone(), tls, observer).with_direct(direct);
        let listening = Arc::new(listening);
        // All of them: connections wait at each, and there may be more than workers.
        for (worker, socket) in self.threads.iter().cycle().zip(&sockets) {
            let order = Order {
                socket: socket.try_clone()?,
                listener: listening.clone(),
                stop: stopped.clone(),
                retire: retired.clone(),
            };
            worker
                .orders
                .send(order)
                .map_err(|_| io::Error::other("a worker thread has ended"))?;
        }
        Ok(Open {
            listener,
            sockets,
            stop,
            retire,
        })
    }
}

impl Draining {
    /// Waits until every worker has ended: all requests were answered, or cut.
    pub(crate) async fn ended(&mut self) {
        // A worker that panicked drops its sender, too: it has nothing left to finish.
        let _ = self.ended.recv().await;
    }

    /// Tells the workers to drop what they still carry.
    pub(crate) fn abort(&self) {
        self.abort.send_replace(true);
    }
}

/// Sockets that are bound but not yet served.
pub(crate) struct Bound {
    sockets: BTreeMap<SocketAddr, Vec<TcpListener>>,
}

impl Worker {
    fn start(
        number: usize,
        shared: Arc<Shared>,
        mut aborted: watch::Receiver<bool>,
        alive: mpsc::Sender<Infallible>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_keep_alive(Duration::from_secs(60))
            .build()?;
        let (orders, mut received) = mpsc::unbounded_channel::<Order>();
        let work = async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Some(order) = received.recv().await {
                serving.spawn(serve(order, shared.clone()));
                while serving.try_join_next().is_some() {}
            }
            while serving.join_next().await.is_some() {}
        };
        std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! {
                        () = work => {}
                        // A sender that is gone means that nobody will ever abort, or wait.
                        Ok(_) = aborted.wait_for(|abort| *abort) => {}
                    }
                });
                // Drops every connection that is left here and now; each records its exchange.
                runtime.shutdown_background();
                drop(alive);
            })?;
        Ok(Self { orders })
    }
}

async fn serve(
    Order {
        socket,
        listener,
        stop,
        retire,
    }: Order,
    shared: Arc<Shared>,
) {
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, "socket cannot be served");
            return;
        }
    };
    // Tries are counted by `proxy::upstream`, which also knows the budget.
    let conf = ServerConf {
        max_retries: MAX_TRIES,
        upstream_keepalive_pool_size: MAX_IDLE,
        ..ServerConf::default()
    };
    let mut proxy = pingora::proxy::HttpProxy::new(Proxy { shared }, Arc::new(conf));
    proxy.handle_init_modules();
    edge_conn::serve(socket, Arc::new(proxy), listener, retire, stop).await;
}

/// One socket for each worker; the kernel spreads connections over them.
fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    // Sockets that share a port do not collide with one another, so another process on this port
    // would go unnoticed: ask once without sharing. This also settles a port given as 0.
    let asked = TcpListener::bind(address)?;
    let address = asked.local_addr()?;
    drop(asked);
    (0..workers.max(1))
        .map(|_| edge_conn::bind(address))
        .collect()
}

/// Makes sockets that were taken over enough for all workers.
fn complete(
    mut sockets: Vec<TcpListener>,
    address: SocketAddr,
    workers: usize,
) -> io::Result<Vec<TcpListener>> {
    for socket in &sockets {
        socket.set_nonblocking(true)?;
    }
    while sockets.len() < workers.max(1) {
        // A socket that does not share its port (of a service manager) is shared itself.
        let more = edge_conn::bind(address);
        let more = more.or_else(|error| sockets.first().map_or(Err(error), TcpListener::try_clone));
        sockets.push(more?);
    }
    Ok(sockets)
}

fn clone_all(sockets: &[TcpListener]) -> io::Result<Vec<TcpListener>> {
    sockets.iter().map(TcpListener::try_clone).collect()
}

/// Threads for big bodies, for each worker.
const BLOCKING_THREADS: usize = 4;
const MAX_TRIES: usize = 16;
/// Idle connections to servers, for each worker and listener; how many each server has is decided by
/// `proxy::upstream`, so that a reload can change it.
const MAX_IDLE: usize = 4096;
