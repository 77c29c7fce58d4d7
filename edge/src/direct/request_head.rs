//! The head as a server gets it: the client's fields as they came, without those that end here and
//! those that are ours to say.

use edge_core::Head;

use crate::proxy::{Context, headers};

/// Appends the request head.
pub(super) fn write(text: &mut Vec<u8>, ctx: &Context) {
    let (Some(exchange), Some(gateway)) = (&ctx.exchange, &ctx.gateway) else {
        return;
    };
    let Some(head) = &exchange.head else {
        return;
    };
    let trusted = gateway.trusts(exchange.connection.client);
    let host = headers::own_host(ctx.route.as_deref(), ctx.lease.as_ref());
    text.extend_from_slice(head.method());
    text.push(b' ');
    text.extend_from_slice(head.target());
    text.extend_from_slice(b" HTTP/1.1\r\n");
    let mut asked = None;
    for (name, value) in head.fields() {
        if name.eq_ignore_ascii_case(b"host") {
            asked = Some(value);
            push(text, name, host.as_ref().map_or(value, String::as_bytes));
        } else if !ends_here(name) && !headers::is_ours(name, trusted) {
            push(text, name, value);
        }
    }
    let set = |name: &'static str, value: &[u8]| push(text, name.as_bytes(), value);
    headers::tell_origin(exchange, trusted, || Head::fields(head), asked, set);
    if let Some(certificate) = headers::client_certificate(exchange, ctx.shared.tls()) {
        push(
            text,
            headers::CLIENT_CERT.as_bytes(),
            certificate.as_bytes(),
        );
    }
    text.extend_from_slice(b"\r\n");
}

/// RFC 9110 section 7.6.1: fields of one connection. What a `Connection` field may name besides is
/// settled by the gate.
fn ends_here(name: &[u8]) -> bool {
    // By length first: most fields share theirs with none of these.
    matches!(name.len(), 2 | 6 | 7 | 10 | 14 | 16..=19)
        && HOP_BY_HOP
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

fn push(text: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    text.extend_from_slice(name);
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}

/// `Expect` is among them: there is no content to wait for.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_one_connection_ends_here() {
        for name in HOP_BY_HOP {
            assert!(ends_here(name.to_ascii_uppercase().as_bytes()), "{name}");
        }
        for name in ["host", "accept", "cookie", "range", "x-upgrade"] {
            assert!(!ends_here(name.as_bytes()), "{name}");
        }
    }
}
