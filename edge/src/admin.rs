//! The admin listener over the life of the process: opened, moved by a reload, closed at the end.
//!
//! A reload opens the new address before anything else changes, so one that cannot be bound refuses
//! the reload and leaves the old listener as it was.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;
use edge_admin::{Hosts, Live, Write};
use edge_config::Policy;
use edge_core::Secret;
use tokio::sync::watch;

use crate::editor::Editor;

/// The admin listener as it runs; closed when dropped.
pub(crate) struct Admin {
    wanted: Wanted,
    /// Kept to be served again with other names; `None` if the listener is off.
    socket: Option<TcpListener>,
    /// Taken over from another process.
    inherited: Vec<TcpListener>,
    stop: watch::Sender<bool>,
}

/// What the configuration says about it.
#[derive(Clone, PartialEq, Eq)]
struct Wanted {
    address: Option<SocketAddr>,
    hosts: Vec<String>,
    token: Option<Secret<String>>,
}

/// An admin listener that is bound but not served yet.
pub(crate) struct Prepared {
    wanted: Wanted,
    socket: Option<TcpListener>,
}

impl Admin {
    /// No admin listener yet.
    pub(crate) fn closed() -> Self {
        Self {
            wanted: Wanted {
                address: None,
                hosts: Vec::new(),
                token: None,
            },
            socket: None,
            inherited: Vec::new(),
            stop: watch::Sender::new(false),
        }
    }

    /// Sockets of another process, to be used instead of a new one where the address is the same.
    pub(crate) fn inherit(&mut self, sockets: Vec<TcpListener>) {
        self.inherited = sockets;
    }

    /// Its socket, for another process.
    pub(crate) fn socket(&self) -> Option<TcpListener> {
        self.socket.as_ref()?.try_clone().ok()
    }

    /// Binds what `policy` wants, unless it is open already.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(crate) fn prepare(&self, policy: &Policy) -> anyhow::Result<Prepared> {
        let wanted = Wanted {
            address: policy.admin(),
            hosts: policy.admin_hosts().to_vec(),
            token: policy.admin_token().cloned(),
        };
        let socket = match (wanted.address, &self.socket) {
            (None, _) => None,
            (Some(address), Some(socket)) if self.wanted.address == Some(address) => {
                Some(socket.try_clone()?)
            }
            (Some(address), _) if self.inherits(address).is_some() => self.inherits(address),
            (Some(address), _) => {
                Some(bind(address).with_context(|| format!("cannot listen on {address} (admin)"))?)
            }
        };
        Ok(Prepared { wanted, socket })
    }

    fn inherits(&self, address: SocketAddr) -> Option<TcpListener> {
        let mut sockets = self.inherited.iter();
        let found = sockets.find(|socket| socket.local_addr().is_ok_and(|local| local == address));
        found?.try_clone().ok()
    }

    /// Serves what was prepared and ends what was served before.
    ///
    /// # Errors
    /// The socket cannot be handed to the runtime.
    pub(crate) fn adopt(
        &mut self,
        prepared: Prepared,
        live: &Arc<impl Live>,
        edit: &Arc<Editor>,
    ) -> io::Result<()> {
        let Prepared { wanted, socket } = prepared;
        if wanted == self.wanted {
            return Ok(());
        }
        let (stop, mut stopped) = watch::channel(false);
        if let Some(socket) = &socket {
            let listener = tokio::net::TcpListener::from_std(socket.try_clone()?)?;
            if wanted.address != self.wanted.address {
                tracing::info!(address = %listener.local_addr()?, "admin listening");
            }
            let stopped = async move {
                // A sender that is gone means the same.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            let hosts = Hosts::new(wanted.hosts.iter().cloned());
            let token = wanted.token.as_ref();
            let write = token.map(|token| Write::new(token, edit.clone()));
            let live = live.clone();
            tokio::spawn(edge_admin::serve(listener, live, hosts, write, stopped));
        }
        *self = Self {
            wanted,
            socket,
            inherited: Vec::new(),
            stop,
        };
        Ok(())
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
