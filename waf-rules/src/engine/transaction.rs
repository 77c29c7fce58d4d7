//! One exchange on its way through the five phases.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::report::{Intervention, Outcome};
use super::ruleset::RuleSet;

/// The two ends of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The client, as the host trusts it (behind proxies: the real one).
    pub client: SocketAddr,
    /// The address the request came in on.
    pub server: SocketAddr,
}

/// The parts of the request line, as received.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// Method.
    pub method: &'a [u8],
    /// Request target, raw.
    pub target: &'a [u8],
    /// Protocol, such as `HTTP/1.1`.
    pub protocol: &'a [u8],
}

/// Runs the rules over one exchange. Call the phases in order; [`Transaction::finish`] always.
#[derive(Debug)]
pub struct Transaction {
    rules: Arc<RuleSet>,
}

impl Transaction {
    pub(crate) fn new(
        rules: Arc<RuleSet>,
        _origin: Origin,
        _unique_id: &str,
        _now: SystemTime,
    ) -> Self {
        Self { rules }
    }

    /// Rules report what they would do instead of doing it.
    pub fn detection_only(&mut self) {}

    /// Keeps the transformation steps of matching values.
    pub fn trace(&mut self) {}

    /// Phase 1.
    pub fn request_headers<'h>(
        &mut self,
        _line: RequestLine<'_>,
        _headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Option<Intervention> {
        None
    }

    /// True if the rules want to see the request body.
    #[must_use]
    pub fn inspects_request_body(&self) -> bool {
        false
    }

    /// Parses the body and runs phase 2; also called with an empty body. `whole` is false where the
    /// host cut the body at its inspection limit.
    pub fn request_body(&mut self, _body: &[u8], _whole: bool) -> Option<Intervention> {
        None
    }

    /// Phase 3.
    pub fn response_headers<'h>(
        &mut self,
        _status: u16,
        _protocol: &str,
        _headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Option<Intervention> {
        None
    }

    /// True if the rules want to see the response body, given the headers seen in phase 3.
    #[must_use]
    pub fn inspects_response_body(&self) -> bool {
        false
    }

    /// How many bytes of the response body the rules look at.
    #[must_use]
    pub fn response_body_limit(&self) -> usize {
        0
    }

    /// Phase 4.
    pub fn response_body(&mut self, _body: &[u8], _whole: bool) -> Option<Intervention> {
        None
    }

    /// Phase 5, and the result.
    pub fn finish(&mut self) -> Outcome {
        Outcome::default()
    }
}
