//! Which `Host` a request may name: the defence against DNS rebinding.
//!
//! A browser that was lured to `http://evil.example` sends `Host: evil.example` even after that name
//! was pointed at 127.0.0.1. An address literal cannot be rebound, so literals and `localhost` pass;
//! any other name must be listed. It must never accept what it cannot parse.

use std::net::{IpAddr, Ipv6Addr};

/// Names the admin listener answers to besides address literals and `localhost`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Allows these names; compared without case and without a final dot.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| plain(&name)).collect())
    }

    /// Whether a `Host` value (a name or literal, with or without a port) may be answered.
    #[must_use]
    pub fn allow(&self, host: &str) -> bool {
        if let Some(literal) = host.strip_prefix('[') {
            let Some((address, port)) = literal.split_once(']') else {
                return false;
            };
            let port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            return port && address.parse::<Ipv6Addr>().is_ok();
        }
        let name = match host.split_once(':') {
            Some((name, port)) if is_port(port) => name,
            Some(_) => return false,
            None => host,
        };
        let name = plain(name);
        name == "localhost" || name.parse::<IpAddr>().is_ok() || self.0.contains(&name)
    }
}

fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_localhost_and_listed_names_are_answered() {
        let hosts = Hosts::new(["Gateway.example".to_owned()]);
        for host in [
            "127.0.0.1:9901",
            "10.1.2.3",
            "[::1]:9901",
            "[::1]",
            "localhost:9901",
            "LOCALHOST.",
            "gateway.EXAMPLE:9901",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
    }

    #[test]
    fn a_rebound_name_is_refused_however_it_is_dressed() {
        let hosts = Hosts::new(["gateway.example".to_owned()]);
        for host in [
            "evil.example",
            "evil.example:9901",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil.example:80@localhost",
            "localhost:evil",
            "localhost:+80",
            "localhost:99999",
            "[::1",
            "[::1]evil.example",
            "[evil.example]",
            "::1",
            "",
            ":80",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
    }
}
