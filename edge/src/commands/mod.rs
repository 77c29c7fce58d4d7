//! One file for each verb of the command line, and what they share.

pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod run;
pub(crate) mod schema;

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use edge_config::Loaded;
use edge_core::Diagnostic;
use tracing_subscriber::EnvFilter;

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Logs to standard error; `PALISADE_LOG` sets the level (`info`, `debug`, `edge=trace`, ...).
pub(crate) fn start_log() {
    let filter = EnvFilter::try_from_env("PALISADE_LOG").unwrap_or_else(|_| {
        EnvFilter::new("info,pingora=error,pingora_core=error,pingora_proxy=error")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// Prints an error the command ends with.
pub(crate) fn report(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "palisade: {error:#}");
}

/// Reads a configuration; on mistakes prints all of them and returns `None`.
pub(crate) fn load(path: &Path) -> Option<Loaded> {
    match edge_config::load(path, &edge_config::ProcessEnv) {
        Ok(loaded) => {
            show(&loaded.warnings);
            Some(loaded)
        }
        Err(mistakes) => {
            show(&mistakes);
            None
        }
    }
}

/// Prints diagnostics to standard error, a blank line between them.
pub(crate) fn show(diagnostics: &[Diagnostic]) {
    let mut stderr = io::stderr().lock();
    for diagnostic in diagnostics {
        let _ = writeln!(stderr, "{diagnostic}\n");
    }
}
