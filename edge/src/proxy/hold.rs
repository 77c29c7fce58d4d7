//! A response that waits for the rules of phase 4.
//!
//! Collected until it ends or grows past the rule set's limit, then judged once; what lies beyond
//! the limit streams on uninspected. Only installed where the rule set asked for response bodies
//! and the type fits, so event streams and downloads are never held.

use std::time::{Duration, Instant};

use bytes::Bytes;
use edge_core::{Mode, Refusal, Verdict};
use pingora::protocols::http::HttpTask;

use super::decode::{self, DecodeLimits};
use super::intercept::body_of;
use crate::stages::waf::Inspection;

/// A response of the engine being collected.
pub(crate) struct Hold {
    judge: Judge,
    tasks: Vec<HttpTask>,
    bytes: usize,
    ended: bool,
}

/// The rules of phase 4, and how much they want to see.
pub(crate) struct Judge {
    inspection: Inspection,
    mode: Mode,
    limit: usize,
    until: Instant,
    decode: DecodeLimits,
    encoding: Option<Vec<u8>>,
}

/// How long and how much of a response is held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HoldLimits {
    /// Body bytes.
    pub(crate) bytes: usize,
    /// Time since the head, looked at whenever more of the response arrives.
    pub(crate) deadline: Duration,
}

/// What became of a held response.
pub(crate) struct Judged {
    /// The inspection, back for phase 5.
    pub(crate) inspection: Inspection,
    /// The refusal that was sent instead of the response.
    pub(crate) refusal: Option<Refusal>,
    /// A fault of the rule engine, to be recorded.
    pub(crate) fault: Option<edge_core::Fault>,
}

impl Hold {
    /// Collects for `judge`.
    pub(crate) const fn new(judge: Judge) -> Self {
        Self {
            judge,
            tasks: Vec::new(),
            bytes: 0,
            ended: false,
        }
    }

    /// Adds tasks; true once the response is ready to be judged.
    pub(super) fn push(&mut self, tasks: Vec<HttpTask>) -> bool {
        for task in tasks {
            if let HttpTask::Body(Some(bytes), _) = &task {
                self.bytes += bytes.len();
            }
            self.ended |= task.is_end();
            self.tasks.push(task);
        }
        self.ended || self.judge.has_enough(self.bytes)
    }

    /// Runs phase 4 and gives the collected tasks back.
    pub(super) async fn judge(self) -> (Vec<HttpTask>, Judged) {
        let judged = self.judge.judge(body_of(&self.tasks), self.ended).await;
        (self.tasks, judged)
    }

    /// Gives the inspection back without a verdict: the response never came to its end.
    pub(super) fn abandon(self) -> Judged {
        Judged {
            inspection: self.judge.abandon(),
            refusal: None,
            fault: None,
        }
    }
}

impl Judge {
    /// Looks at body bytes up to `limits` for `inspection`; `encoding` is the response's
    /// Content-Encoding, undone before the rules look.
    pub(crate) fn new(
        inspection: Inspection,
        mode: Mode,
        limits: HoldLimits,
        decode: DecodeLimits,
        encoding: Option<Vec<u8>>,
    ) -> Self {
        Self {
            inspection,
            mode,
            limit: limits.bytes,
            until: Instant::now() + limits.deadline,
            decode,
            encoding,
        }
    }

    /// True if no more than `bytes` is wanted, or no longer.
    pub(crate) fn has_enough(&self, bytes: usize) -> bool {
        bytes >= self.limit || Instant::now() >= self.until
    }

    /// Runs phase 4 on a body, of which there is more unless it `ended`.
    pub(crate) async fn judge(self, raw: Bytes, ended: bool) -> Judged {
        let whole = ended && raw.len() <= self.limit;
        let body = self.plain(&raw);
        let body = body.slice(..body.len().min(self.limit));
        let on_fault = self.inspection.on_fault();
        let (inspection, verdict) = self.inspection.response_body(body, whole).await;
        let (refusal, fault) = match verdict {
            Ok(Verdict::Continue) => (None, None),
            Ok(Verdict::Respond(refusal)) => (Some(refusal), None),
            Ok(Verdict::Drop) => (Some(Refusal::new(403, "response dropped by rule")), None),
            Err(fault) => (on_fault.refusal(), Some(fault)),
        };
        Judged {
            inspection,
            refusal: refusal.filter(|_| self.mode == Mode::Block),
            fault,
        }
    }

    /// Gives the inspection back.
    pub(crate) fn abandon(self) -> Inspection {
        self.inspection
    }

    /// The body without its content coding; undecodable bodies are inspected as they are.
    fn plain(&self, raw: &Bytes) -> Bytes {
        let Some(encoding) = &self.encoding else {
            return raw.clone();
        };
        // A response is inspected as far as it can be read, never refused for its coding.
        decode::decode(encoding, raw, false, self.decode)
            .map_or_else(|_| raw.clone(), |decoded| decoded.bytes)
    }
}
