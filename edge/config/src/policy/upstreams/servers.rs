//! The servers of a group, from their URLs.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use super::{Place, Server};
use crate::policy::Complaints;
use crate::spec::{Protocol, ServerSpec, UpstreamSpec};
use crate::tree::Path;

pub(super) fn servers(
    spec: &UpstreamSpec,
    path: &Path,
    complaints: &mut Complaints,
) -> Vec<Server> {
    let path = path.key("servers");
    let mut servers: Vec<Server> = Vec::with_capacity(spec.servers.len());
    for (index, server) in spec.servers.iter().enumerate() {
        let at = path.index(index);
        let (url, weight, at) = match server {
            ServerSpec::Url(url) => (url, 1, at),
            ServerSpec::Weighted(server) => (&server.url, server.weight, at.key("url")),
        };
        match parse_url(url, weight) {
            Ok(server) if server.tls && spec.protocol == Protocol::H2c => {
                let message = "`h2c` is HTTP/2 without TLS, and this server has TLS";
                complaints
                    .error(at, message)
                    .help("write `protocol: h2`, or the server without TLS");
            }
            Ok(server) if !server.tls && spec.protocol == Protocol::H2 => {
                let message = "`h2` is HTTP/2 over TLS, and this server has none";
                complaints
                    .error(at, message)
                    .help("write `protocol: h2c`, or the server as `https://`");
            }
            Ok(Server {
                place: Place::Socket(_),
                tls: true,
                ..
            }) if spec.tls.server_name.is_none() => {
                complaints.error(at, "a socket with TLS needs `tls.server_name`");
            }
            Ok(server) => {
                if servers.iter().any(|other| other.place == server.place) {
                    complaints.warn(at, "this server stands here twice");
                }
                servers.push(server);
            }
            Err(message) => {
                complaints
                    .error(at, message)
                    .help("for example `http://10.0.0.7:8080`, `https://app.internal` or `unix:/run/app.sock`");
            }
        }
    }
    if !servers.is_empty() && servers.iter().all(|server| server.weight == 0) {
        complaints.error(path, "every server has the weight 0");
    }
    servers
}

/// `scheme://host[:port][/]`; the message never repeats the text, which may hold credentials.
fn parse_url(url: &str, weight: u16) -> Result<Server, &'static str> {
    for (scheme, tls) in [("unix:", false), ("unix+tls:", true)] {
        if let Some(path) = url.strip_prefix(scheme) {
            return socket(path, tls, weight);
        }
    }
    let (tls, rest) = if let Some(rest) = url.strip_prefix("http://") {
        (false, rest)
    } else if let Some(rest) = url.strip_prefix("https://") {
        (true, rest)
    } else {
        return Err("expected a URL that starts with `http://`, `https://` or `unix:`");
    };
    if rest.contains('@') {
        return Err("a server's URL takes no user name or password");
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("a server's URL takes no path or query: the client's is sent on");
    }
    let (host, port) = split_port(authority)?;
    let place = Place::Net {
        host: host.to_ascii_lowercase(),
        port: port.unwrap_or(if tls { 443 } else { 80 }),
    };
    Ok(Server { place, tls, weight })
}

/// The path of a socket; the kernel takes 107 bytes.
fn socket(path: &str, tls: bool, weight: u16) -> Result<Server, &'static str> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err("expected the absolute path of a socket after `unix:`");
    }
    if path.len() > 107 {
        return Err("the path of a socket has at most 107 bytes");
    }
    Ok(Server {
        place: Place::Socket(PathBuf::from(path)),
        tls,
        weight,
    })
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    const BAD_HOST: &str = "expected a host name or an address in the URL";
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(BAD_HOST)?;
        host.parse::<Ipv6Addr>().map_err(|_| BAD_HOST)?;
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or(BAD_HOST)?),
        };
        (host, port)
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if host.is_empty() || host.len() > 253 || !host.bytes().all(fine) {
            return Err(BAD_HOST);
        }
        (host, port)
    };
    let number = |port: &str| match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err("expected a port from 1 to 65535"),
    };
    Ok((host, port.map(number).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_urls_are_scheme_host_and_port() {
        for (url, host, port, tls) in [
            ("http://127.0.0.1:8080", "127.0.0.1", 8080, false),
            ("http://App.internal/", "app.internal", 80, false),
            ("https://app", "app", 443, true),
            ("http://[::1]:81", "::1", 81, false),
        ] {
            let server = parse_url(url, 1).unwrap();
            let place = Place::Net {
                host: host.to_owned(),
                port,
            };
            assert_eq!((server.place, server.tls), (place, tls));
        }
    }

    #[test]
    fn a_socket_is_an_absolute_path() {
        let server = parse_url("unix+tls:/run/app.sock", 2).unwrap();
        assert_eq!(server.place, Place::Socket("/run/app.sock".into()));
        assert!(server.tls);
        assert!(parse_url("unix:run/app.sock", 1).is_err());
        assert!(parse_url(&format!("unix:/{}", "x".repeat(107)), 1).is_err());
    }

    #[test]
    fn what_a_server_url_cannot_be() {
        for url in [
            "127.0.0.1:80",
            "ftp://x",
            "http://",
            "http://user:pw@x",
            "http://x/path",
            "http://x?y",
            "http://x:0",
            "http://x:65536",
            "http://x:+1",
            "http://::1",
            "http://[::1",
            "http://a b",
        ] {
            let message = parse_url(url, 1).unwrap_err();
            assert!(!message.contains("pw"), "{url}: {message}");
        }
    }
}
