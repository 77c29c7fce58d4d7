//! The listener end to end, with real sockets.
#![cfg(test)]

mod connections;
mod harness;
mod proxy;
mod tls;
mod tls_attacks;
mod tls_battery;
mod tls_harness;
