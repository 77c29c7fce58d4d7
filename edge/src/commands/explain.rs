//! `palisade explain`: one raw request through the pipeline, and why it ended as it did.
//!
//! Takes exactly the way `run` takes (gate, route, body, rules); only the upstream is missing.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use edge_audit::Metrics;
use edge_core::{Connection, Decision, Exchange, Layer, Refusal, RequestId, Verdict};
use waf_rules::Match;

use super::VERSION;
use crate::assemble::{self, Gateway};
use crate::pipeline::{self, Refused};
use crate::proxy::body::Source;

mod print;

/// Explain what the gateway would do with one request.
///
/// REQUEST is a file with a raw HTTP/1 request (head, empty line, body), or - for standard input.
/// Lines may end in LF; a missing Content-Length is taken from what follows the head.
#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", env = "PALISADE_CONFIG")]
    config: PathBuf,
    /// The client address the request is taken to come from.
    #[arg(long, value_name = "IP", default_value = "192.0.2.1")]
    client: IpAddr,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    /// File with the raw request, or - for standard input.
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
}

/// Runs the command; exit code 0 if the request would be admitted, 1 if not.
pub(crate) fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let Some(loaded) = super::load(&args.config) else {
        return Ok(ExitCode::FAILURE);
    };
    let assembled = match assemble::assemble(
        Arc::new(loaded.policy),
        &*Metrics::new(VERSION)?,
        &mut Vec::new(),
    ) {
        Ok(assembled) => assembled,
        Err(mistakes) => {
            super::show(&mistakes);
            return Ok(ExitCode::FAILURE);
        }
    };
    let raw = read_request(&args.request)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let story = runtime.block_on(tell(&assembled.gateway, args.client, &raw));
    let mut out = io::stdout().lock();
    if args.json {
        print::json(&mut out, &story)?;
    } else {
        print::text(&mut out, &story, io::stdout().is_terminal())?;
    }
    out.flush()?;
    Ok(if story.admitted {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What happened to the request.
struct Story {
    exchange: Exchange,
    admitted: bool,
    matches: Vec<Match>,
    /// Layers with what they said, in order.
    layers: Vec<(Layer, String)>,
}

async fn tell(gateway: &Gateway, client: IpAddr, raw: &[u8]) -> Story {
    let address = SocketAddr::new(client, 40_000);
    let connection = Arc::new(Connection {
        peer: address,
        client: address,
        local: SocketAddr::from(([127, 0, 0, 1], 80)),
    });
    let (head, body) = split(raw);
    let mut exchange = Exchange::new(RequestId::new(0), connection, None);
    let head = match edge_conn::gate::admit(head, &gateway.head_limits()) {
        Ok(admitted) => admitted.head,
        Err((reason, _)) => {
            let (status, reason) = (reason.status(), reason.name());
            let refusal = Refusal::new(status, reason);
            exchange.decision = Some(Decision {
                layer: Layer::Gate,
                verdict: Verdict::Respond(refusal),
                enforced: true,
            });
            let layers = vec![(Layer::Gate, format!("refused with {status}: {reason}"))];
            return Story {
                exchange,
                admitted: false,
                matches: Vec::new(),
                layers,
            };
        }
    };
    exchange.client = gateway.client(address, &head);
    exchange.head = Some(head);
    let mut inspection = None;
    let mut source = Source::Given(body);
    let admitted = pipeline::admit(
        gateway,
        &mut exchange,
        &mut source,
        &mut inspection,
        &mut None,
        true,
    )
    .await;
    let matches = inspection
        .map(|i| i.finish(&mut exchange))
        .unwrap_or_default();
    let layers = layers(&exchange, admitted.as_ref().err());
    Story {
        admitted: admitted.is_ok(),
        exchange,
        matches,
        layers,
    }
}

/// Each layer's verdict in words: all before the refusing one let the request pass.
fn layers(exchange: &Exchange, refused: Option<&Refused>) -> Vec<(Layer, String)> {
    let mut told = vec![(Layer::Gate, "passed".to_owned())];
    let decided = exchange.decision.as_ref();
    for layer in [Layer::Route, Layer::Body, Layer::Waf] {
        let verdict = match decided {
            Some(decision) if decision.layer == layer => words(decision),
            _ => match (layer, &exchange.route) {
                (Layer::Route, Some(route)) => format!("route {route}"),
                (Layer::Waf, _) if exchange.timings.iter().all(|(ran, _)| ran != Layer::Waf) => {
                    "off".to_owned()
                }
                _ => "passed".to_owned(),
            },
        };
        let last = refused.is_some() && decided.is_some_and(|decision| decision.layer == layer);
        told.push((layer, verdict));
        if last {
            break;
        }
    }
    told
}

fn words(decision: &Decision) -> String {
    let would = if decision.enforced { "" } else { "would be " };
    match &decision.verdict {
        Verdict::Continue => "passed".to_owned(),
        Verdict::Drop => format!("{would}dropped"),
        Verdict::Respond(refusal) => {
            format!("{would}refused with {}: {}", refusal.status, refusal.reason)
        }
    }
}

fn read_request(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let mut raw = Vec::new();
    let read = if path.as_os_str() == "-" {
        io::stdin()
            .lock()
            .take(MAX_REQUEST)
            .read_to_end_bounded(&mut raw)
    } else {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        file.take(MAX_REQUEST).read_to_end_bounded(&mut raw)
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(raw)
}

/// `read_to_end` behind a `take`, the one place where it is bounded by construction.
trait ReadBounded: Read {
    fn read_to_end_bounded(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize>;
}

impl<R: Read> ReadBounded for io::Take<R> {
    #[expect(clippy::disallowed_methods, reason = "the reader is a Take")]
    fn read_to_end_bounded(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.read_to_end(buffer)
    }
}

/// Splits head and body; a head with bare LF line ends is written as a client would send it.
fn split(raw: &[u8]) -> (Bytes, Bytes) {
    if let Some(end) = find(raw, b"\r\n\r\n") {
        let (head, body) = raw.split_at(end + 4);
        return (Bytes::copy_from_slice(head), Bytes::copy_from_slice(body));
    }
    let (head, body) = match find(raw, b"\n\n") {
        Some(end) => raw.split_at(end + 2),
        None => (raw, &[][..]),
    };
    let mut lines = Vec::with_capacity(head.len() + 32);
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        lines.extend_from_slice(line);
        lines.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() && find(&lines.to_ascii_lowercase(), b"content-length:").is_none() {
        lines.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    lines.extend_from_slice(b"\r\n");
    (lines.into(), Bytes::copy_from_slice(body))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// 16 MiB: more than any profile inspects.
const MAX_REQUEST: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_typed_with_plain_line_feeds_is_written_as_clients_send_it() {
        let (head, body) = split(b"POST / HTTP/1.1\nHost: a\n\nx=1");
        assert_eq!(
            head,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
        );
        assert_eq!(body, "x=1");
    }

    #[test]
    fn a_head_as_clients_send_it_is_left_alone() {
        let raw = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(split(raw), (Bytes::from_static(raw), Bytes::new()));
    }
}
