//! Changes of the configuration that come through the admin listener, one after another.
//!
//! The admin listener asks, the main loop carries out: so a change never meets a reload.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::pin::Pin;

use edge_admin::{Answer, Edit, Order};
use edge_core::{Diagnostic, Level};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

/// Takes orders to the main loop.
pub(crate) struct Editor(mpsc::Sender<Asked>);

/// An order, and who waits for its answer.
pub(crate) struct Asked {
    pub(crate) order: Order,
    pub(crate) answer: oneshot::Sender<Answer>,
}

impl Editor {
    /// With the main loop's end.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (asked, orders) = mpsc::channel(WAITING);
        (Self(asked), orders)
    }
}

impl Edit for Editor {
    fn edit(&self, order: Order) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let orders = self.0.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let ending = || Answer::Failed("the gateway is ending".to_owned());
            if orders.send(Asked { order, answer }).await.is_err() {
                return ending();
            }
            answered.await.unwrap_or_else(|_| ending())
        })
    }
}

/// Writes `text` to `path`: whoever looks sees the old file or the new one, also after a crash.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, so that it is never read as a part of the configuration.
    let aside = path.with_file_name(format!(".{name}.new"));
    let mut file = File::create(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

/// Mistakes as the admin listener tells them.
pub(crate) fn told(mistakes: &[Diagnostic]) -> Vec<serde_json::Value> {
    let told = mistakes.iter().map(|mistake| {
        json!({
            "level": match mistake.level {
                Level::Error => "error",
                Level::Warning => "warning",
            },
            "file": &*mistake.file,
            "line": mistake.position.line,
            "column": mistake.position.column,
            "message": mistake.message,
            "help": mistake.help,
        })
    });
    told.collect()
}

/// Orders that wait for the one before.
const WAITING: usize = 16;
