//! One health check of one server: the same connection as requests get, but always a new one.

mod grpc;
mod http;

use std::sync::OnceLock;
use std::time::Duration;

use edge_config::{CheckKind, Health, Place};
use pingora::connectors::{TransportConnector, http::Connector};
use pingora::upstreams::peer::HttpPeer;
use tokio::time::timeout;

use super::members::Member;
use super::{Address, Group, dial};

/// Makes the connections of checks. Made with the first check: it reads the system's authorities.
#[derive(Default)]
pub(crate) struct Checker {
    http: OnceLock<Connector>,
    tcp: OnceLock<TransportConnector>,
}

impl Checker {
    /// Asks the server once.
    ///
    /// # Errors
    /// Why it does not count as up, in words.
    pub(crate) async fn check(&self, group: &Group, member: &Member) -> Result<(), String> {
        let Some(health) = group.upstream().health() else {
            return Ok(());
        };
        let asked = timeout(health.timeout, self.ask(group, member, health)).await;
        asked.unwrap_or_else(|_| Err(format!("no answer within {:?}", health.timeout)))
    }

    async fn ask(&self, group: &Group, member: &Member, health: &Health) -> Result<(), String> {
        let peer = peer(group, member, health)?;
        if health.kind == CheckKind::Tcp {
            let connector = self.tcp.get_or_init(|| TransportConnector::new(None));
            let stream = connector.new_stream(&peer).await;
            return stream.map(drop).map_err(|error| reason(&error));
        }
        let connector = self.http.get_or_init(|| Connector::new(None));
        let session = connector.get_http_session(&peer).await;
        let (session, _) = session.map_err(|error| reason(&error))?;
        let host = host(group, member, health);
        match health.kind {
            CheckKind::Grpc => grpc::ask(session, &host, &health.service).await,
            CheckKind::Http | CheckKind::Tcp => http::ask(session, &host, health).await,
        }
    }
}

fn peer(group: &Group, member: &Member, health: &Health) -> Result<HttpPeer, String> {
    let upstream = group.upstream();
    let server = upstream.servers().get(member.server);
    let server = server.ok_or("the server is gone")?;
    let own = match &server.place {
        Place::Net { host, .. } => host.as_str(),
        Place::Socket(_) => "",
    };
    let name = upstream.tls().server_name.as_deref().unwrap_or(own);
    let address = dial::at_port(&member.endpoint.address, health.port);
    let peer = dial::peer(&address, server.tls, name, upstream, group.material());
    let mut peer = peer.map_err(|error| reason(&error))?;
    let within = |time: Option<Duration>| time.map(|time| time.min(health.timeout));
    let options = &mut peer.options;
    options.connection_timeout = within(options.connection_timeout);
    options.total_connection_timeout = within(options.total_connection_timeout);
    options.read_timeout = within(options.read_timeout);
    options.write_timeout = within(options.write_timeout);
    if health.kind == CheckKind::Grpc {
        options.set_http_version(2, 2);
    }
    Ok(peer)
}

/// What the check says in `Host`.
fn host(group: &Group, member: &Member, health: &Health) -> String {
    if let Some(host) = &health.host {
        return host.clone();
    }
    let upstream = group.upstream();
    let server = upstream.servers().get(member.server);
    match (server.map(|server| &server.place), &member.endpoint.address) {
        (Some(Place::Net { host, port }), _) if host.contains(':') => format!("[{host}]:{port}"),
        (Some(Place::Net { host, port }), _) => format!("{host}:{port}"),
        (_, Address::Inet(address)) => address.to_string(),
        (_, Address::Unix(_)) => {
            let name = upstream.tls().server_name.as_deref();
            name.unwrap_or("localhost").to_owned()
        }
    }
}

/// An error of pingora in a few words, without its backtrace of contexts.
pub(crate) fn reason(error: &pingora::Error) -> String {
    let root = error.root_cause().to_string();
    let context = error.context.as_ref().map(pingora::ImmutStr::as_str);
    match context {
        Some(context) if !root.contains(context) && root.len() < 200 => {
            format!("{context}: {root}")
        }
        Some(context) => context.to_owned(),
        None => root,
    }
}
