//! The content of an answer: where it ends, and how the client gets it.

use std::io::Write;

use edge_conn::chunked::Chunked;

use super::server::Trouble;

/// How the content is framed; what is still to come.
pub(super) enum Content {
    Length(u64),
    Chunked(Box<Chunked>),
    UntilClose,
}

impl Content {
    /// How many of `bytes` belong to the content; `data` gets them without their framing.
    ///
    /// # Errors
    /// [`Trouble::Broken`] where the chunked coding is not strict.
    pub(super) fn advance(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(&[u8]),
    ) -> Result<usize, Trouble> {
        match self {
            Self::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let used = most.min(bytes.len());
                *left -= used as u64;
                data(bytes.get(..used).unwrap_or_default());
                Ok(used)
            }
            Self::Chunked(chunked) => chunked.read(bytes, data).map_err(|_| Trouble::Broken),
            Self::UntilClose => {
                data(bytes);
                Ok(bytes.len())
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Whether the client gets the server's framing; otherwise each piece becomes a chunk.
    pub(super) fn is_framed(&self) -> bool {
        !matches!(self, Self::UntilClose)
    }
}

/// Appends a chunk.
pub(super) fn chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    let _ = write!(out, "{:x}\r\n", bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The end of chunked content.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
