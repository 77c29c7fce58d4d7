//! Where things are: the workspace, the binary under test, corpora that may be missing.

use std::env;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The folder of the workspace's `Cargo.toml`.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests package stands in the workspace")
}

/// The `palisade` binary: `PALISADE_BIN`, else the one cargo builds now beside this test.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os("PALISADE_BIN") {
        Some(path) => workspace().join(path),
        None => build(),
    })
}

/// Builds the binary with the profile of the running test; quick when nothing changed.
fn build() -> PathBuf {
    let test = env::current_exe().expect("a running test has a path");
    let profile_folder = test
        .ancestors()
        .nth(2)
        .expect("tests stand in target/PROFILE/deps");
    let profile = match profile_folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "-p",
            "edge",
            "--bin",
            "palisade",
            "--profile",
            profile,
        ])
        .current_dir(workspace())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the gateway does not build");
    profile_folder.join("palisade")
}

/// A corpus or rule set from outside the repository: `$VARIABLE`, else a checkout beside the project.
/// Without it the suite is skipped aloud and `None` returned.
#[must_use]
pub fn corpus(variable: &str, name: &str) -> Option<PathBuf> {
    let path = match env::var_os(variable) {
        Some(path) => workspace().join(path),
        None => workspace().join("../shared/corpora").join(name),
    };
    path.canonicalize().ok()
}

/// Says that a suite did not run. The line is what `scripts/test.sh` counts; a test prints it at
/// most once and then returns.
pub fn skipped(suite: &str, reason: &str) {
    println!("\nskipped: {suite} ({reason})");
}

/// A loopback address on which nobody listens now. Below the ports that outgoing connections take,
/// which could otherwise take it before the gateway does; each process starts somewhere else.
#[must_use]
pub fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    (0..PORTS)
        .find_map(|_| {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let port = FIRST_PORT + start.wrapping_add(step) % PORTS;
            let address = format!("127.0.0.1:{port}");
            TcpListener::bind(&address).is_ok().then_some(address)
        })
        .expect("loopback has a free port")
}

const FIRST_PORT: u32 = 20_000;
const PORTS: u32 = 12_000;
