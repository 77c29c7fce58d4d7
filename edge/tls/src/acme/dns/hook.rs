//! A command publishes the record: `COMMAND present|cleanup DOMAIN RECORD VALUE`.
//!
//! It sees `PATH` and what the configuration gives it, nothing else of our environment: secrets of the
//! gateway are none of its business. Its time and what is kept of its complaints are bounded.

use std::io;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::{Action, Record};
use crate::acme::failure::shorten;
use crate::acme::settings::Hook;

pub(super) async fn run(hook: &Hook, action: Action, record: &Record) -> Result<(), String> {
    let mut command = Command::new(&hook.program);
    command
        .args(&hook.arguments)
        .args([action.name(), &record.domain, &record.name, &record.value])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(
            hook.environment
                .iter()
                .map(|(name, value)| (name, value.expose())),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|error| format!("{} cannot be run: {error}", hook.program))?;
    let complaints = child.stderr.take();
    let work = async {
        let said = match complaints {
            Some(complaints) => listen(complaints).await?,
            None => String::new(),
        };
        Ok::<_, io::Error>((said, child.wait().await?))
    };
    let ended = tokio::time::timeout(hook.timeout, work).await;
    let Ok(ended) = ended else {
        return Err(format!(
            "{} was still running after {:?} and was ended",
            hook.program, hook.timeout
        ));
    };
    let (said, status) = ended.map_err(|error| format!("{}: {error}", hook.program))?;
    if status.success() {
        return Ok(());
    }
    let said = shorten(said.trim().to_owned());
    Err(format!("{} ended with {status}: {said}", hook.program))
}

/// Reads to the end and keeps the beginning, so that the command never waits for a reader.
async fn listen(mut from: impl AsyncRead + Unpin) -> io::Result<String> {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        }
        let room = MAX_COMPLAINTS.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
}

const MAX_COMPLAINTS: usize = 4 << 10;
