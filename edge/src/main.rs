//! Palisade, a WAF-first security gateway: the command line.
//!
//! Starts things and turns errors into exit codes; every verb lives in `commands/`.
#![forbid(unsafe_code)]

mod admin;
mod assemble;
mod commands;
mod direct;
mod editor;
mod hosts;
mod listen;
mod live;
mod pipeline;
mod proxy;
mod reload;
mod rules;
mod shared;
mod stages;
mod supervisor;
mod upgrade;
mod upstreams;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Twice as fast as the system's allocator for short-lived request memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A WAF-first security gateway.
#[derive(Parser)]
#[command(name = "palisade", version, about, long_about = None, max_term_width = 100, after_help = MORE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(commands::run::RunArgs),
    Check(commands::check::CheckArgs),
    Explain(commands::explain::ExplainArgs),
    Schema(commands::schema::SchemaArgs),
    Status(commands::status::StatusArgs),
    Demo(commands::demo::DemoArgs),
}

fn main() -> ExitCode {
    // Two providers are compiled in (pingora brings ring); without a choice rustls panics later.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    commands::start_log();
    let done = match Cli::parse().command {
        Command::Run(args) => commands::run::run(args),
        Command::Check(args) => commands::check::check(&args),
        Command::Explain(args) => Ok(commands::explain::explain(&args)),
        Command::Schema(args) => commands::schema::print(&args),
        Command::Status(args) => commands::status::status(&args),
        Command::Demo(args) => commands::demo::run(&args),
    };
    done.unwrap_or_else(|error| {
        commands::report(&error);
        ExitCode::FAILURE
    })
}

const MORE: &str = "\
Examples:
  palisade run --upstream http://127.0.0.1:3000     protect an application, no file needed
  palisade run --config palisade.yaml               run a configuration
  palisade check --config palisade.yaml             all mistakes at once, with their places
  printf 'GET /?q=<script> HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' | palisade explain --config palisade.yaml -

Environment:
  PALISADE_CONFIG   the configuration file, if --config is not given
  PALISADE_LOG      what is logged to standard error: error, warn, info (the default), debug or trace,
                    also for one part only, as in info,edge_conn=debug";
