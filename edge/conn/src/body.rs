//! How far the content of the current request reaches, and what may go wrong on the way.
//!
//! Pure counting: given bytes from the wire it says how many belong to the request. Bytes beyond are
//! the next request's and must never be handed to whoever reads this one.

use bytes::Bytes;

use crate::chunked::{ChunkError, Chunked};
use crate::gate::Framing;

/// Follows the content of one request.
#[derive(Debug)]
pub enum Body {
    /// This many bytes are still to come.
    Length(u64),
    /// Chunked transfer coding.
    Chunked(Box<Chunked>),
}

/// Why the content of a request could not be read; found with [`crate::body_fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyFault {
    /// The chunked coding is not strict.
    #[error("{0}")]
    Chunked(#[from] ChunkError),
    /// The client closed before the end.
    #[error("connection closed in the middle of the request body")]
    Incomplete,
    /// HTTP/2: more or less content than `Content-Length` says.
    #[error("request body is not as long as declared")]
    Length,
    /// The whole content did not arrive in time.
    #[error("request body did not arrive in time")]
    Deadline,
    /// It arrives too slowly.
    #[error("request body arrives too slowly")]
    TooSlow,
}

impl BodyFault {
    /// The status the client should be answered with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Chunked(_) | Self::Incomplete | Self::Length => 400,
            Self::Deadline | Self::TooSlow => 408,
        }
    }

    /// A stable label for metrics and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chunked(_) => "chunked",
            Self::Incomplete => "incomplete_body",
            Self::Length => "body_length",
            Self::Deadline => "body_timeout",
            Self::TooSlow => "slow_body",
        }
    }
}

/// The content at the start of `bytes`, freed from its framing, and how many bytes it took there.
///
/// # Errors
/// If the bytes are not what the framing promised, or end before the content does.
pub fn content(framing: Framing, bytes: &Bytes) -> Result<(Bytes, usize), BodyFault> {
    let mut body = Body::new(framing);
    let mut data = Vec::new();
    let taken = match &mut body {
        Body::Chunked(chunked) => chunked.read(bytes, |piece| data.extend_from_slice(piece))?,
        Body::Length(_) => body.advance(bytes)?,
    };
    match body {
        _ if !body.is_done() => Err(BodyFault::Incomplete),
        Body::Length(_) => Ok((bytes.slice(..taken), taken)),
        Body::Chunked(_) => Ok((data.into(), taken)),
    }
}

impl Body {
    /// At the first byte after the head.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Box::default()),
        }
    }

    /// True after the last byte of the content.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
        }
    }

    /// Takes bytes from the wire; returns how many of them belong to the content.
    ///
    /// # Errors
    /// If they are not what the framing promised.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, BodyFault> {
        match self {
            Self::Length(left) => {
                let here = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= here as u64;
                Ok(here)
            }
            Self::Chunked(chunked) => Ok(chunked.advance(bytes)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_the_next_request_are_not_ours() {
        let mut body = Body::new(Framing::Length(3));
        assert_eq!(body.advance(b"ab"), Ok(2));
        assert!(!body.is_done());
        assert_eq!(body.advance(b"cGET /"), Ok(1));
        assert!(body.is_done());
        assert_eq!(body.advance(b"GET /"), Ok(0));
        assert!(Body::new(Framing::None).is_done());
    }

    #[test]
    fn a_content_is_freed_from_its_framing_and_cut_to_it() {
        let take = |framing, bytes| content(framing, &Bytes::from_static(bytes));
        let abc = Bytes::from_static(b"abc");
        let chunked = b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nA: b\r\n\r\nGET /";
        assert_eq!(
            take(Framing::Chunked, chunked),
            Ok((abc.clone(), chunked.len() - 5))
        );
        assert_eq!(take(Framing::Length(3), b"abcGET /"), Ok((abc, 3)));
        assert_eq!(take(Framing::None, b"abc"), Ok((Bytes::new(), 0)));
    }

    #[test]
    fn a_content_that_ends_early_or_breaks_its_framing_is_refused() {
        let take = |framing, bytes| content(framing, &Bytes::from_static(bytes));
        assert_eq!(take(Framing::Length(4), b"abc"), Err(BodyFault::Incomplete));
        assert_eq!(
            take(Framing::Chunked, b"3\r\nabc\r\n"),
            Err(BodyFault::Incomplete)
        );
        assert_eq!(
            take(Framing::Chunked, b"3\nabc\n0\n\n"),
            Err(BodyFault::Chunked(ChunkError::LineEnd))
        );
    }
}
