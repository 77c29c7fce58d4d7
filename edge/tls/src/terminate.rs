//! What the transport, the certificates and ACME know of one another.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::sign::CertifiedKey;

/// Decides for each ClientHello how the handshake goes on. Called on the accept path: it must not block.
pub trait Terminate: Send + Sync {
    /// The choice for the name a client asks for (lower case; `None` if it names none) and the protocols
    /// it offers by ALPN; `None` refuses with the alert `unrecognized_name`.
    fn choose(&self, server_name: Option<&str>, protocols: &[&[u8]]) -> Option<Choice>;
}

/// How a handshake goes on.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Certificates, versions, ciphers, ALPN, client certificates.
    pub config: Arc<ServerConfig>,
    /// The hosts that may be asked for on the connection.
    pub scope: Arc<dyn Scope>,
    /// The connection only proves control of a name (`acme-tls/1`, RFC 8737): it is closed after the
    /// handshake.
    pub acme: bool,
}

/// The hosts a TLS connection is good for; any other is answered 421 (RFC 9110 section 15.5.20).
pub trait Scope: fmt::Debug + Send + Sync {
    /// True if `host` (without port, lower case) may be served on a connection whose client asked for
    /// `server_name`: the same policy applies to both and the certificate shown covers the host.
    fn covers(&self, server_name: Option<&str>, host: &str) -> bool;
}

/// Takes certificates that were issued while the gateway runs.
pub trait Install: Send + Sync {
    /// Serves `issued` from now on, in place of the certificate with the same names and kind of key.
    fn install(&self, issued: Issued);
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The names it is for, lower case; wildcards as `*.example.com`.
    pub names: Vec<String>,
    /// Chain and key.
    pub certified: Arc<CertifiedKey>,
    /// When it ends.
    pub not_after: SystemTime,
}
