//! Names of servers to addresses, by the system's rules or by name servers of the configuration.
//!
//! A look-up is bounded in time and in addresses taken; how long its answer holds is bounded both
//! ways. `/etc/hosts` and `/etc/resolv.conf` are read again when they change.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use edge_config::{AddressFamilies, Resolver as Settings};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::time::timeout;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Sorted: name servers rotate their answers, and the same set in another order is no change.
    pub(crate) addresses: Vec<IpAddr>,
    /// When it has to be asked again.
    pub(crate) until: Instant,
}

/// Looks names up.
#[derive(Default)]
pub(crate) struct Names {
    made: Mutex<Option<Made>>,
}

/// A resolver, and what it was made from.
struct Made {
    settings: Settings,
    files: [Option<SystemTime>; 2],
    resolver: TokioResolver,
}

impl Names {
    /// The addresses of `host`.
    ///
    /// # Errors
    /// There are none, or nobody says so in time; in words.
    pub(crate) async fn look_up(&self, host: &str, settings: &Settings) -> Result<Found, String> {
        let resolver = self.resolver(settings)?;
        let found = timeout(settings.timeout, resolver.lookup_ip(host)).await;
        let found = found.map_err(|_| "no answer in time".to_owned())?;
        let found = found.map_err(|error| error.to_string())?;
        let now = Instant::now();
        let left = found.valid_until().saturating_duration_since(now);
        let mut addresses: Vec<IpAddr> = found.iter().take(MOST).collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err("no addresses".to_owned());
        }
        Ok(Found {
            addresses,
            until: now + left.clamp(settings.min_ttl, settings.max_ttl),
        })
    }

    fn resolver(&self, settings: &Settings) -> Result<TokioResolver, String> {
        let files = [HOSTS, RESOLV_CONF].map(changed);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*made
            && made.settings == *settings
            && made.files == files
        {
            return Ok(made.resolver.clone());
        }
        let resolver = make(settings)?;
        *made = Some(Made {
            settings: settings.clone(),
            files,
            resolver: resolver.clone(),
        });
        Ok(resolver)
    }
}

fn make(settings: &Settings) -> Result<TokioResolver, String> {
    let mut builder = if settings.servers.is_empty() {
        // Without name servers, /etc/hosts still answers.
        TokioResolver::builder_tokio().unwrap_or_else(|error| {
            tracing::warn!(%error, "no name servers in {RESOLV_CONF}");
            let config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        })
    } else {
        let servers = settings.servers.iter().map(|server| {
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            for connection in &mut config.connections {
                connection.port = server.port();
            }
            config
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    // We keep answers as long as they hold; who asks again wants to know.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Always;
    options.timeout = (settings.timeout / 2).max(Duration::from_millis(100));
    options.attempts = 1;
    options.ip_strategy = match settings.addresses {
        AddressFamilies::Ipv4First => LookupIpStrategy::Ipv4thenIpv6,
        AddressFamilies::Ipv6First => LookupIpStrategy::Ipv6thenIpv4,
        AddressFamilies::Both => LookupIpStrategy::Ipv4AndIpv6,
        AddressFamilies::Ipv4 => LookupIpStrategy::Ipv4Only,
        AddressFamilies::Ipv6 => LookupIpStrategy::Ipv6Only,
    };
    builder.build().map_err(|error| error.to_string())
}

fn changed(path: &str) -> Option<SystemTime> {
    fs::metadata(Path::new(path)).ok()?.modified().ok()
}

/// Addresses taken of one name.
const MOST: usize = 64;
const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
