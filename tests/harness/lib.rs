//! What scenarios are told with: a real gateway process, a real upstream, real clients.
//!
//! ```text
//! let upstream = Upstream::echo();
//! let gateway = Gateway::example("waf").before(&upstream).start();
//! let answer = Client::get(&gateway.address, "/?q=<script>");
//! assert_eq!(answer.status, 403);
//! assert!(upstream.requests().is_empty());
//! ```
//!
//! Everything is blocking and panics with a message that explains itself; a test fails by
//! panicking. All traffic stays on loopback, and every process ends with the value that owns it.
//! Nothing here may import a package of the product: the harness knows what a user knows.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and skips aloud"
)]

pub mod albedo;
pub mod client;
pub mod frames;
pub mod gateway;
pub mod h2c;
pub mod http1;
pub mod lint;
pub mod pebble;
pub mod places;
pub mod record;
pub mod relay;
pub mod tls;
pub mod upstream;
pub mod wire;

pub use client::{Client, Outcome};
pub use gateway::Gateway;
pub use http1::Message;
pub use places::{corpus, skipped, workspace};
pub use record::Record;
pub use upstream::{Answer, Seen, Upstream};
