//! `palisade explain`: one raw request through the pipeline, and why it ended as it did.
//!
//! Takes exactly the way `run` takes (gate, framing, route, body, rules); only the upstream is missing.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use edge_audit::Metrics;
use edge_core::{Connection, Decision, Exchange, Layer, Refusal, RequestId, Verdict};
use edge_tls::Terminator;
use waf_rules::Match;

use super::VERSION;
use crate::assemble::{self, Gateway, RouteState};
use crate::pipeline;
use crate::proxy::body::Source;
use crate::proxy::request::prepare;
use crate::proxy::stream::Upgrade;
use crate::stages::waf::Inspection;
use request::Received;

mod print;
mod request;

/// Explain what the gateway would do with one request.
///
/// REQUEST is a file with a raw HTTP/1 request (head, empty line, body), or - for standard input. It
/// is read as a listener reads it, with one courtesy: if the first line ends in LF alone, the head may
/// have such line ends throughout, and a missing Content-Length is taken from what follows it.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
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

/// Runs the command; the exit code tells what would happen, see [`EXIT_CODES`].
pub(crate) fn explain(args: &ExplainArgs) -> ExitCode {
    match attempt(args) {
        Ok(Some(true)) => ExitCode::SUCCESS,
        Ok(Some(false)) => ExitCode::FAILURE,
        Ok(None) => ExitCode::from(ERROR),
        Err(error) => {
            super::report(&error);
            ExitCode::from(ERROR)
        }
    }
}

/// Whether the request would be admitted; `None` if the configuration has mistakes, which were shown.
fn attempt(args: &ExplainArgs) -> anyhow::Result<Option<bool>> {
    let Some(loaded) = super::load(&args.config) else {
        return Ok(None);
    };
    let assembled = match assemble::assemble(
        Arc::new(loaded.policy),
        &*Metrics::new(VERSION)?,
        None,
        &Terminator::new(Arc::default())?,
        &mut Vec::new(),
    ) {
        Ok(assembled) => assembled,
        Err(mistakes) => {
            super::show(&mistakes);
            return Ok(None);
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
    Ok(Some(story.admitted))
}

/// What happened to the request.
struct Story {
    exchange: Exchange,
    admitted: bool,
    matches: Vec<Match>,
    /// Layers with what they said, in order.
    layers: Vec<(Layer, String)>,
    /// What was read in another way than its author may think.
    notes: Vec<String>,
}

async fn tell(gateway: &Gateway, client: IpAddr, raw: &[u8]) -> Story {
    let address = SocketAddr::new(client, 40_000);
    let connection = Arc::new(Connection {
        peer: address,
        client: address,
        local: SocketAddr::from(([127, 0, 0, 1], 80)),
        tls: None,
    });
    let mut exchange = Exchange::new(RequestId::new(0), connection, None);
    let mut inspection = None;
    let mut notes = Vec::new();
    let admitted = match request::receive(raw, &gateway.head_limits()) {
        Err((reason, head)) => {
            exchange.head = head;
            let refusal = Refusal::new(reason.status(), reason.name());
            let _ = pipeline::refuse(&mut exchange, Layer::Gate, refusal);
            inspection = pipeline::witness(gateway, &mut exchange, true);
            false
        }
        Ok(received) => {
            exchange.client = gateway.client(address, &received.head);
            exchange.head = Some(received.head.clone());
            admit(
                gateway,
                &mut exchange,
                received,
                &mut inspection,
                &mut notes,
            )
            .await
        }
    };
    let matches = inspection
        .map(|mut inspection| inspection.finish(&mut exchange))
        .unwrap_or_default();
    Story {
        admitted,
        layers: layers(&exchange, admitted),
        exchange,
        matches,
        notes,
    }
}

/// The way from the gate to the permit.
async fn admit(
    gateway: &Gateway,
    exchange: &mut Exchange,
    received: Received,
    inspection: &mut Option<Inspection>,
    notes: &mut Vec<String>,
) -> bool {
    if received.beyond > 0 {
        notes.push(format!(
            "{} bytes after the request belong to the next one",
            received.beyond
        ));
    }
    match prepare(&gateway.head_limits(), exchange) {
        Ok(Upgrade::None) => {}
        Ok(Upgrade::Bogus) => notes.push("Upgrade is ignored: no WebSocket handshake".to_owned()),
        Ok(Upgrade::WebSocket) => {
            notes.push("a WebSocket: frames are not inspected after the handshake".to_owned());
        }
        Err(refusal) => {
            let _ = pipeline::refuse(exchange, Layer::Gate, refusal);
            *inspection = pipeline::witness(gateway, exchange, true);
            return false;
        }
    }
    let mut source = Source::Given(received.content);
    let mut route = None;
    let admitted = pipeline::admit(gateway, exchange, &mut source, inspection, &mut route, true);
    let admitted = admitted.await.is_ok();
    notes.extend(route.as_deref().and_then(overlay));
    let Some(route) = route.filter(|_| admitted) else {
        return false;
    };
    // A body that no layer wanted is read on its way to the upstream, and its bounds hold there.
    match source.take(&route.profile.body).await {
        Ok(_) => true,
        Err(refusal) => {
            let _ = pipeline::refuse(exchange, Layer::Body, refusal);
            false
        }
    }
}

/// What is laid over the shared rules on this route.
fn overlay(route: &RouteState) -> Option<String> {
    let rules = &route.profile.waf.as_ref()?.rules;
    if rules.is_plain() {
        return None;
    }
    let shown = |bytes| String::from_utf8_lossy(bytes);
    let mut parts: Vec<String> = rules
        .pins()
        .map(|(name, value)| format!("tx.{}={}", shown(name), shown(value)))
        .collect();
    for (count, what) in [
        (rules.removed_count(), "rules disabled"),
        (rules.exclusion_count(), "exclusions"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    Some(format!("over the shared rules: {}", parts.join(", ")))
}

/// Each layer's verdict in words, up to the one that refused.
fn layers(exchange: &Exchange, admitted: bool) -> Vec<(Layer, String)> {
    let mut told = Vec::new();
    let decided = exchange.decision.as_ref();
    let ran = |layer| exchange.timings.iter().any(|(ran, _)| ran == layer);
    for layer in [Layer::Gate, Layer::Route, Layer::Body, Layer::Waf] {
        let decision = decided.filter(|decision| decision.layer == layer);
        let verdict = match (decision, layer, &exchange.route) {
            (Some(decision), ..) => words(decision),
            (None, Layer::Route, Some(route)) => format!("route {route}"),
            (None, Layer::Waf, _) if !ran(layer) => "off".to_owned(),
            (None, Layer::Body, _) if !ran(layer) => "not read".to_owned(),
            _ => "passed".to_owned(),
        };
        told.push((layer, verdict));
        if decision.is_some() && !admitted {
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

/// 16 MiB: more than any profile inspects.
const MAX_REQUEST: u64 = 16 << 20;

/// Not 1: that is a refused request.
const ERROR: u8 = 2;

const EXIT_CODES: &str = "\
Exit codes:
  0  the request would reach the upstream
  1  it would be refused
  2  nothing can be said: a mistake in the configuration or in the command";
