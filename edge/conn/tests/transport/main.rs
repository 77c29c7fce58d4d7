//! The listener end to end, with real sockets.
#![cfg(test)]

mod connections;
mod harness;
mod proxy;
mod tls;
mod tls_harness;
