//! `palisade schema`: the JSON schema of the configuration, for editors.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

/// Print the JSON schema of the configuration file.
///
/// Point your editor's YAML support at it to get completion and inline documentation.
#[derive(Args)]
pub(crate) struct SchemaArgs {}

/// Runs the command.
pub(crate) fn print(_args: &SchemaArgs) -> anyhow::Result<ExitCode> {
    writeln!(
        io::stdout(),
        "{}",
        serde_json::to_string_pretty(&edge_config::schema())?
    )?;
    Ok(ExitCode::SUCCESS)
}
