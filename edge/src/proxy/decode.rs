//! Removes content codings from a body so that rules see what the application will see.
//!
//! RFC 9110 section 8.4: gzip, deflate (zlib or raw), br and zstd, at most two of them stacked.
//! Output is bounded by an absolute size and by a ratio to the input before a byte beyond them is
//! produced; what cannot be decoded is an error, never passed on as "plain".

use std::io::Read;

use bytes::Bytes;
use edge_config::BodyLimits;

/// How far a body may unfold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecodeLimits {
    /// Decoded bytes at most.
    pub(crate) bytes: usize,
    /// Decoded bytes at most per encoded byte (small bodies may unfold to 64 KiB regardless).
    pub(crate) ratio: usize,
}

impl DecodeLimits {
    fn cap(self, encoded: usize) -> usize {
        self.bytes
            .min(encoded.saturating_mul(self.ratio).max(SMALL))
    }
}

/// The bounds a profile sets.
pub(crate) fn decode_limits(body: &BodyLimits) -> DecodeLimits {
    DecodeLimits {
        bytes: usize::try_from(body.decode_limit).unwrap_or(usize::MAX),
        ratio: body.decode_ratio as usize,
    }
}

/// Why a body could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A coding that is not known, or more than two.
    #[error("unsupported content coding")]
    Unsupported,
    /// The bytes are not what the header says.
    #[error("body does not match its content coding")]
    Malformed,
    /// A decompression bomb, or simply too much.
    #[error("decoded body is too large")]
    TooLarge,
}

/// Decodes `body` by the value(s) of a Content-Encoding header. With `whole` false the body may end
/// in the middle of a coded stream: what could be decoded is returned.
pub(crate) fn decode(
    encoding: &[u8],
    body: &Bytes,
    whole: bool,
    limits: DecodeLimits,
) -> Result<Bytes, DecodeError> {
    let codings: Vec<Coding> = encoding
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"))
        .map(Coding::from_name)
        .collect::<Result<_, _>>()?;
    if codings.len() > MAX_STACKED {
        return Err(DecodeError::Unsupported);
    }
    let cap = limits.cap(body.len());
    let mut decoded = body.clone();
    // The header lists codings in the order they were applied: undo the last one first.
    for coding in codings.into_iter().rev() {
        decoded = coding.undo(&decoded, whole, cap)?;
    }
    Ok(decoded)
}

#[derive(Debug, Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    fn from_name(name: &[u8]) -> Result<Self, DecodeError> {
        Ok(match name.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => Self::Gzip,
            b"deflate" => Self::Deflate,
            b"br" => Self::Brotli,
            b"zstd" => Self::Zstd,
            _ => return Err(DecodeError::Unsupported),
        })
    }

    fn undo(self, body: &[u8], whole: bool, cap: usize) -> Result<Bytes, DecodeError> {
        match self {
            Self::Gzip => read(flate2::read::MultiGzDecoder::new(body), whole, cap),
            // "deflate" is zlib by the book, raw deflate from some clients: servers take both.
            Self::Deflate => match read(flate2::read::ZlibDecoder::new(body), whole, cap) {
                Err(DecodeError::Malformed) => {
                    read(flate2::read::DeflateDecoder::new(body), whole, cap)
                }
                decoded => decoded,
            },
            Self::Brotli => read(
                brotli_decompressor::Decompressor::new(body, BUFFER),
                whole,
                cap,
            ),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(body)
                    .map_err(|_| DecodeError::Malformed)?;
                decoder
                    .window_log_max(ZSTD_WINDOW_LOG)
                    .map_err(|_| DecodeError::Malformed)?;
                read(decoder, whole, cap)
            }
        }
    }
}

/// Reads at most `cap` bytes.
fn read(mut reader: impl Read, whole: bool, cap: usize) -> Result<Bytes, DecodeError> {
    let mut decoded = Vec::new();
    let mut buffer = [0; BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(decoded.into()),
            Ok(read) => {
                if decoded.len() + read > cap {
                    return Err(DecodeError::TooLarge);
                }
                decoded.extend_from_slice(buffer.get(..read).unwrap_or_default());
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) if !whole && !decoded.is_empty() => return Ok(decoded.into()),
            Err(_) => return Err(DecodeError::Malformed),
        }
    }
}

const BUFFER: usize = 16 * 1024;
const MAX_STACKED: usize = 2;
const SMALL: usize = 64 * 1024;
/// 8 MiB: what RFC 8878 asks decoders to support at least.
const ZSTD_WINDOW_LOG: u32 = 23;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits {
        bytes: 1 << 20,
        ratio: 100,
    };

    fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn each_coding_is_undone() {
        let text = b"union select password from users".repeat(4);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&text).unwrap();
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        raw.write_all(&text).unwrap();
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        for (name, body) in [
            ("gzip", gzip(&text)),
            ("X-GZIP", gzip(&text)),
            ("deflate", zlib.finish().unwrap().into()),
            ("deflate", raw.finish().unwrap().into()),
            ("zstd", zstd.into()),
            ("identity", Bytes::copy_from_slice(&text)),
            ("gzip, gzip", gzip(&gzip(&text))),
        ] {
            assert_eq!(
                decode(name.as_bytes(), &body, true, LIMITS).unwrap(),
                text,
                "{name}"
            );
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_unfolds() {
        let bomb = gzip(&vec![0; 8 << 20]);
        assert_eq!(
            decode(b"gzip", &bomb, true, LIMITS),
            Err(DecodeError::TooLarge)
        );
    }

    #[test]
    fn a_false_or_unknown_coding_is_an_error() {
        let body = Bytes::from_static(b"a=1");
        assert_eq!(
            decode(b"gzip", &body, true, LIMITS),
            Err(DecodeError::Malformed)
        );
        assert_eq!(
            decode(b"rot13", &body, true, LIMITS),
            Err(DecodeError::Unsupported)
        );
        assert_eq!(
            decode(b"gzip,gzip,gzip", &body, true, LIMITS),
            Err(DecodeError::Unsupported)
        );
    }

    #[test]
    fn the_beginning_of_a_cut_stream_is_still_seen() {
        let text: Vec<u8> = (0..40_000u32).flat_map(u32::to_le_bytes).collect();
        let coded = gzip(&text);
        let cut = coded.slice(..coded.len() / 2);
        assert_eq!(
            decode(b"gzip", &cut, true, LIMITS),
            Err(DecodeError::Malformed)
        );
        let seen = decode(b"gzip", &cut, false, LIMITS).unwrap();
        assert!(!seen.is_empty() && text.starts_with(&seen));
    }
}
