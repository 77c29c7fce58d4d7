//! `palisade check`: everything `run` would complain about, without listening.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use edge_audit::{AuditError, Metrics, Recorder};
use edge_tls::Terminator;
use edge_tls::acme::probe;

use super::VERSION;
use crate::assemble;

/// Check a configuration: every mistake with file, line, column and a caret.
///
/// Loads the rule sets too, and asks whether the logs can be written. Addresses are not tried: one
/// that is taken shows when `palisade run` starts. Exit code 0 if nothing is wrong, 1 otherwise.
#[derive(Args)]
pub(crate) struct CheckArgs {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", env = "PALISADE_CONFIG")]
    config: PathBuf,
    /// Print only the checksum of what the files and rules say; a gateway that runs them shows the same.
    #[arg(long)]
    checksum: bool,
}

/// Runs the command.
pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let Some(loaded) = super::load(&args.config) else {
        return Ok(ExitCode::FAILURE);
    };
    let policy = Arc::new(loaded.policy);
    match assemble::assemble(
        policy.clone(),
        &*Metrics::new(VERSION)?,
        None,
        &Terminator::new(Arc::default())?,
        &mut Vec::new(),
    ) {
        Ok(assembled) => {
            super::show(&assembled.warnings);
            let gateway = assembled.gateway;
            if let Err(errors) = Recorder::probe(&gateway.logs()) {
                return Ok(unwritable(errors));
            }
            let missing = policy.tls().acme().map(|acme| probe(acme));
            let missing = missing.filter(|missing| !missing.is_empty());
            if let Some(missing) = missing {
                for what in missing {
                    super::report(&anyhow::anyhow!(what));
                }
                return Ok(ExitCode::FAILURE);
            }
            if args.checksum {
                writeln!(io::stdout(), "{}", gateway.checksum())?;
                return Ok(ExitCode::SUCCESS);
            }
            writeln!(
                io::stdout(),
                "{}: ok ({} routes, {} rules)",
                args.config.display(),
                gateway.route_count(),
                gateway.rule_count()
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(mistakes) => {
            super::show(&mistakes);
            let outputs = Recorder::probe(policy.logs());
            Ok(outputs.map_or_else(unwritable, |()| ExitCode::FAILURE))
        }
    }
}

fn unwritable(errors: Vec<AuditError>) -> ExitCode {
    for error in errors {
        super::report(&error.into());
    }
    ExitCode::FAILURE
}
