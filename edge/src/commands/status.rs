//! `palisade status`: what a running gateway says about itself.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

/// Ask a running gateway for its state and the checksum of its configuration.
///
/// Exits 0 if it is ready. Instances that run the same files and rules show the same checksum, which
/// `palisade check --checksum` prints without running them.
#[derive(Args)]
pub(crate) struct StatusArgs {
    /// The admin listener to ask.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:9901",
        env = "PALISADE_ADMIN"
    )]
    admin: SocketAddr,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let (code, body) = get(args.admin, "/api/v1/status")?;
    if code != 200 {
        bail!("{} answers {code}: is it an admin listener?", args.admin);
    }
    let status: Value = serde_json::from_str(&body).context("the answer is no JSON")?;
    let (ready, _) = get(args.admin, "/readyz")?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{body}")?;
    } else {
        writeln!(out, "ready: {}", if ready == 200 { "yes" } else { "no" })?;
        for (key, value) in status.as_object().into_iter().flatten() {
            match value {
                Value::Null => {}
                Value::String(text) => writeln!(out, "{key}: {text}")?,
                other => writeln!(out, "{key}: {other}")?,
            }
        }
    }
    Ok(if ready == 200 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Status and body of an answer; it ends with its connection.
fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE);
    let mut stream = stream.with_context(|| format!("nobody answers at {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by `take`")]
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the answer is no HTTP")?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((code.context("the answer is no HTTP")?, body.to_owned()))
}

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 1 << 20;
