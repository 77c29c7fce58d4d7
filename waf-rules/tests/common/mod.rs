//! What the tests of whole exchanges start from. Never rules of their own: those stand beside the cases.
#![allow(
    dead_code,
    clippy::panic,
    reason = "each test is a crate of its own and needs a part; it fails by panicking"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use waf_rules::{Loader, Origin, RuleSet, Transaction};

/// The rules `text` says, and nothing else.
pub(crate) fn rules(text: &str) -> Arc<RuleSet> {
    match Loader::new().text("test.conf", text).load() {
        Ok(loaded) => Arc::new(loaded.rules),
        Err(problems) => panic!("{problems:#?}"),
    }
}

/// A transaction of one client at one time.
pub(crate) fn begin(rules: &Arc<RuleSet>) -> Transaction {
    let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4000));
    let origin = Origin {
        client: address,
        server: address,
    };
    rules.begin(origin, "unique", SystemTime::UNIX_EPOCH)
}
