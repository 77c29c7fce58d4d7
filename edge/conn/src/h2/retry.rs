//! The beginning of a request body, kept so that a second upstream can be tried.
//!
//! Bounded; a body that grows beyond it is streamed and cannot be sent again. Bodies that rules
//! inspect do not come this way: they are replayed whole.

use bytes::{Bytes, BytesMut};

/// Body bytes as they were handed to the upstream.
#[derive(Debug, Default)]
pub(super) struct RetryBuffer {
    pieces: Vec<Bytes>,
    length: usize,
}

impl RetryBuffer {
    pub(super) fn push(&mut self, piece: &Bytes) {
        self.length = self.length.saturating_add(piece.len());
        if self.is_truncated() {
            self.pieces = Vec::new();
        } else if !piece.is_empty() {
            self.pieces.push(piece.clone());
        }
    }

    /// True if the body was longer than what is kept.
    pub(super) fn is_truncated(&self) -> bool {
        self.length > LIMIT
    }

    /// All of it; `None` if there is nothing or not everything.
    pub(super) fn bytes(&self) -> Option<Bytes> {
        match self.pieces.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            pieces => {
                let mut bytes = BytesMut::with_capacity(self.length);
                pieces
                    .iter()
                    .for_each(|piece| bytes.extend_from_slice(piece));
                Some(bytes.freeze())
            }
        }
    }
}

/// As much as pingora keeps on HTTP/1.
const LIMIT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_body_is_kept_and_a_long_one_given_up() {
        let mut buffer = RetryBuffer::default();
        assert_eq!(buffer.bytes(), None);
        buffer.push(&Bytes::from_static(b"ab"));
        buffer.push(&Bytes::from_static(b"c"));
        assert_eq!(buffer.bytes(), Some(Bytes::from_static(b"abc")));
        buffer.push(&Bytes::from(vec![b'x'; LIMIT]));
        assert!(buffer.is_truncated() && buffer.bytes().is_none());
    }
}
