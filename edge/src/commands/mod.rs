//! One file for each verb of the command line, and what they share.

pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod status;

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::anyhow;
use edge_config::Loaded;
use edge_core::Diagnostic;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Logs to standard error; `PALISADE_LOG` sets the level (`info`, `debug`, `edge=trace`, ...). A value
/// that cannot be read is told and replaced by the default: no reason not to start.
pub(crate) fn start_log() {
    let wanted = std::env::var_os("PALISADE_LOG").filter(|wanted| !wanted.is_empty());
    let wanted = wanted.map(|wanted| log_filter(&wanted.to_string_lossy()));
    let (filter, mistake) = match wanted {
        Some(Ok(filter)) => (filter, None),
        Some(Err(mistake)) => (EnvFilter::new(DEFAULT_LOG), Some(mistake)),
        None => (EnvFilter::new(DEFAULT_LOG), None),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    if let Some(mistake) = mistake {
        report(&anyhow!("PALISADE_LOG is ignored: {mistake}"));
    }
}

/// Reads a value of `PALISADE_LOG`. A lone word must be a level: the library would take `inof` for
/// the name of a part, and log nothing.
fn log_filter(wanted: &str) -> Result<EnvFilter, String> {
    let lone = wanted.split(',').map(str::trim);
    let mut lone = lone.filter(|word| !word.is_empty() && !word.contains(['=', '[']));
    if let Some(word) = lone.find(|word| word.parse::<LevelFilter>().is_err()) {
        return Err(format!(
            "`{}` is no level; use off, error, warn, info, debug or trace, or PART=LEVEL",
            word.escape_default()
        ));
    }
    EnvFilter::try_new(wanted).map_err(|error| error.to_string())
}

const DEFAULT_LOG: &str = "info,pingora=error,pingora_core=error,pingora_proxy=error";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_parts_with_levels_say_what_is_logged() {
        for wanted in ["debug", "WARN", "off", "info,edge_conn=debug", "edge=trace"] {
            assert!(log_filter(wanted).is_ok(), "{wanted}");
        }
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_part() {
        for wanted in ["inof", "info,edge_conn", "edge=loud"] {
            assert!(log_filter(wanted).is_err(), "{wanted}");
        }
    }
}
