//! Why the gate turned a request away, and who is told.
//!
//! A refusal is decided before any layer of the pipeline sees the request, so the [`Observer`] is
//! the only witness: the gateway implements it to write decision records and count metrics. Texts
//! here never contain bytes of the request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use edge_core::{Connection, Head, HeadError};

use crate::client_hello::HelloFault;
#[cfg(feature = "pingora")]
use crate::frames::ErrorSent;

/// Why a request was refused before the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says it")]
pub enum Reason {
    #[error("{0}")]
    Syntax(#[from] HeadError),
    #[error("request head is too large")]
    HeadTooLarge,
    #[error("request target is too long")]
    TargetTooLong,
    #[error("request head did not arrive in time")]
    HeadTimeout,
    #[error("method is too long")]
    MethodTooLong,
    #[error("CONNECT and TRACE are not served")]
    MethodForbidden,
    #[error("request target has none of the forms this method allows")]
    TargetForm,
    #[error("fragment in the request target")]
    Fragment,
    #[error("HTTP/1.1 request without Host")]
    HostMissing,
    #[error("invalid Host or authority")]
    HostInvalid,
    #[error("Host differs from the authority of the target")]
    HostMismatch,
    #[error("field {0} occurs more than once")]
    Duplicate(&'static str),
    #[error("Content-Length is not one plain decimal number")]
    ContentLength,
    #[error("Transfer-Encoding is not exactly `chunked`")]
    TransferEncoding,
    #[error("Transfer-Encoding in HTTP/1.0")]
    TransferEncodingVersion,
    #[error("both Content-Length and Transfer-Encoding")]
    TwoFramings,
    #[error("field name that can be taken for a protected one")]
    LookAlike,
    #[error("Connection nominates a field that must reach the server")]
    Nomination,
    #[error("expectation other than 100-continue")]
    Expectation,
    #[error("the HTTP engine could not read the request")]
    Engine,
    #[error("CONNECT for a protocol other than WebSocket, version 13")]
    Protocol,
    #[error("malformed request in HTTP/2 frames")]
    Http2Stream,
    #[error("malformed HTTP/2 frames")]
    Http2Connection,
    #[error("flood of HTTP/2 frames that carry nothing")]
    Http2Flood,
}

impl Reason {
    /// What an error means that was sent to an HTTP/2 client.
    #[cfg(feature = "pingora")]
    #[must_use]
    pub(crate) const fn of_http2(error: ErrorSent) -> Self {
        match (error.stream, error.code) {
            (_, ENHANCE_YOUR_CALM) => Self::Http2Flood,
            (Some(_), _) => Self::Http2Stream,
            (None, _) => Self::Http2Connection,
        }
    }

    /// The status the client is answered with. An HTTP/2 stream or connection that is reset gets
    /// none; the status says whose fault it was.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::HeadTimeout => 408,
            Self::MethodForbidden => 405,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::Syntax(HeadError::TooLarge | HeadError::TooManyFields) => {
                431
            }
            Self::MethodTooLong | Self::Protocol => 501,
            _ => 400,
        }
    }

    /// A stable label for metrics and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syntax(error) => syntax_name(error),
            Self::HeadTooLarge => "head_too_large",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTimeout => "head_timeout",
            Self::MethodTooLong => "method_too_long",
            Self::MethodForbidden => "method_forbidden",
            Self::TargetForm => "target_form",
            Self::Fragment => "fragment",
            Self::HostMissing => "host_missing",
            Self::HostInvalid => "host_invalid",
            Self::HostMismatch => "host_mismatch",
            Self::Duplicate(_) => "duplicate_field",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::TransferEncodingVersion => "transfer_encoding_version",
            Self::TwoFramings => "two_framings",
            Self::LookAlike => "look_alike_field",
            Self::Nomination => "connection_nomination",
            Self::Expectation => "expectation",
            Self::Engine => "engine",
            Self::Protocol => "protocol",
            Self::Http2Stream => "http2_stream",
            Self::Http2Connection => "http2_connection",
            Self::Http2Flood => "http2_flood",
        }
    }
}

const fn syntax_name(error: HeadError) -> &'static str {
    match error {
        HeadError::Incomplete => "incomplete",
        HeadError::TooLarge => "head_too_large",
        HeadError::TooManyFields => "too_many_fields",
        HeadError::BareLf => "bare_lf",
        HeadError::BareCr => "bare_cr",
        HeadError::RequestLine => "request_line",
        HeadError::Method => "method",
        HeadError::Target => "target",
        HeadError::Version => "version",
        HeadError::Folded => "folded",
        HeadError::FieldName => "field_name",
        HeadError::FieldValue => "field_value",
        _ => "syntax",
    }
}

/// A request the gate refused.
#[derive(Debug, Clone)]
pub struct GateRefusal {
    /// Where it came from.
    pub connection: Arc<Connection>,
    /// The head, where the bytes were one.
    pub head: Option<Head>,
    /// The bytes as they arrived, at most [`GateRefusal::RAW_MAX`] of them.
    pub raw: Bytes,
    /// The status sent.
    pub status: u16,
    /// Why.
    pub reason: Reason,
}

/// RFC 9113 section 7.
#[cfg(feature = "pingora")]
const ENHANCE_YOUR_CALM: u32 = 11;

impl GateRefusal {
    /// How many bytes of a refused head are kept.
    pub const RAW_MAX: usize = 8 * 1024;
}

/// Why a connection was closed before it carried a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnedAway {
    /// Too many connections from this address.
    AddressCap,
    /// Too many connections in all.
    ConnectionCap,
    /// On a PROXY protocol listener, from a peer that is not listed.
    ProxyPeer,
    /// A listed peer sent no valid PROXY header, or not in time.
    ProxyHeader,
}

impl TurnedAway {
    /// A stable label for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AddressCap => "address_cap",
            Self::ConnectionCap => "connection_cap",
            Self::ProxyPeer => "proxy_peer",
            Self::ProxyHeader => "proxy_header",
        }
    }
}

/// Why a TLS handshake came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeFault {
    /// It took longer than the listener allows.
    Timeout,
    /// The client left.
    Closed,
    /// The first bytes are no ClientHello.
    Hello(HelloFault),
    /// No certificate is served for the name the client asked for, or for clients that name none.
    UnknownName,
    /// None of the host's certificates fits what the client can verify.
    NoCertificate,
    /// The client offers none of the host's versions, cipher suites or key exchanges.
    Incompatible,
    /// The client offers protocols by ALPN, none of which is served.
    NoProtocol,
    /// The client's certificate is missing, or not valid here.
    ClientCertificate,
    /// The client refused with an alert; often it does not trust our certificate.
    Alert,
    /// The client broke the protocol.
    Protocol,
}

impl HandshakeFault {
    /// A stable label for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Hello(HelloFault::NotTls) => "not_tls",
            Self::Hello(HelloFault::PlainHttp) => "plain_http",
            Self::Hello(HelloFault::TooLarge) => "hello_too_large",
            Self::Hello(HelloFault::ServerName) => "invalid_name",
            Self::Hello(_) => "invalid_hello",
            Self::UnknownName => "unknown_name",
            Self::NoCertificate => "no_certificate",
            Self::Incompatible => "incompatible",
            Self::NoProtocol => "no_protocol",
            Self::ClientCertificate => "client_certificate",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
        }
    }
}

/// Told about connections and refusals; called on the request path, so it must not block.
pub trait Observer: Send + Sync {
    /// A connection is ready for its first request.
    fn opened(&self, _connection: &Connection) {}

    /// A connection that was [`opened`](Self::opened) is gone.
    fn closed(&self, _connection: &Connection) {}

    /// A connection was closed before it was opened.
    fn turned_away(&self, _peer: SocketAddr, _why: TurnedAway) {}

    /// A connection was closed because its TLS handshake failed.
    fn handshake_failed(&self, _client: SocketAddr, _why: HandshakeFault) {}

    /// `accept` failed, for example because file descriptors ran out.
    fn accept_failed(&self, _error: &io::Error) {}

    /// A request was refused.
    fn refused(&self, refusal: GateRefusal);
}
