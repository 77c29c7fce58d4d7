//! Removes content codings from a body so that rules see what the application will see.
//!
//! RFC 9110 section 8.4: gzip, deflate (zlib or raw), br and zstd, at most two of them stacked. An
//! application that ignores Content-Encoding reads the coded bytes instead: what could carry text
//! beside the coded content (bytes behind its end, comments, skippable frames) is therefore an
//! error. Output is bounded by an absolute size and by a ratio to the input; what cannot be decoded
//! is an error, never passed on as "plain".

use std::io::{self, BufRead, Read};

use bytes::Bytes;
use edge_config::BodyLimits;

/// How far a body may unfold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecodeLimits {
    /// Decoded bytes at most.
    pub(crate) bytes: usize,
    /// Decoded bytes at most per encoded byte (bodies may unfold to 1 MiB regardless).
    pub(crate) ratio: usize,
    /// Decoded bytes that are kept; the rest is only checked.
    pub(crate) keep: usize,
    /// Whether too much is an error. Requests are refused for it; of a response, what came out so
    /// far is inspected.
    pub(crate) strict: bool,
}

impl DecodeLimits {
    fn cap(self, encoded: usize) -> usize {
        self.bytes
            .min(encoded.saturating_mul(self.ratio).max(SMALL))
    }
}

/// The bounds a profile sets on a body of which `keep` bytes are looked at.
pub(crate) fn decode_limits(body: &BodyLimits, keep: usize) -> DecodeLimits {
    DecodeLimits {
        bytes: usize::try_from(body.decode_limit).unwrap_or(usize::MAX),
        ratio: body.decode_ratio as usize,
        keep,
        strict: true,
    }
}

/// Why a body could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A coding that is not known, or more than two.
    #[error("unsupported content coding")]
    Unsupported,
    /// The bytes are not what the header says, or more than that.
    #[error("body does not match its content coding")]
    Malformed,
    /// A decompression bomb, or simply too much.
    #[error("decoded body is too large")]
    TooLarge,
}

/// A body without its content codings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// The bytes that were kept.
    pub(crate) bytes: Bytes,
    /// False if there was more, decoded or still coded.
    pub(crate) whole: bool,
    /// True if the coded form may hold text that decoding does not show (Brotli's metadata), so
    /// that only the decoded form, which is then kept whole, may be passed on.
    pub(crate) opaque: bool,
}

/// Decodes `body` by the value(s) of a Content-Encoding header. With `whole` false the body may end
/// in the middle of a coded stream: what could be decoded is returned.
pub(crate) fn decode(
    encoding: &[u8],
    body: &Bytes,
    whole: bool,
    limits: DecodeLimits,
) -> Result<Decoded, DecodeError> {
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
    let brotli = codings
        .iter()
        .any(|coding| matches!(coding, Coding::Brotli));
    let mut decoded = Decoded {
        bytes: body.clone(),
        whole,
        opaque: false,
    };
    // The header lists codings in the order they were applied: undo the last one first.
    for (left, coding) in codings.iter().enumerate().rev() {
        let keep = if left == 0 && !brotli {
            limits.keep.min(cap)
        } else {
            cap
        };
        let strict = limits.strict;
        decoded = coding.undo(&decoded, Room { cap, keep, strict })?;
    }
    decoded.opaque = brotli && (codings.len() > 1 || hides_text(body, &decoded.bytes));
    if brotli && !decoded.opaque && decoded.bytes.len() > limits.keep {
        // A copy: the slice would keep all of it in memory.
        let kept = decoded.bytes.get(..limits.keep).unwrap_or_default();
        decoded.bytes = Bytes::copy_from_slice(kept);
        decoded.whole = false;
    }
    Ok(decoded)
}

/// True if a server that ignores the coding could read text in the coded bytes that is not in the
/// content. Errs towards text: then the decoded form is passed on, which says the same.
fn hides_text(coded: &[u8], content: &[u8]) -> bool {
    let text = |byte: &u8| matches!(byte, 0x20..=0x7e | b'\t'..=b'\r');
    let mut runs = coded
        .split(|byte| !text(byte))
        .filter(|run| run.len() >= TEXT_RUN);
    let found = runs
        .by_ref()
        .take(MAX_RUNS)
        .all(|run| stands_in(run, content));
    !found || runs.next().is_some()
}

/// True if `run` is part of `content`, but for a few bytes of the format at its ends that happen to
/// be printable.
fn stands_in(run: &[u8], content: &[u8]) -> bool {
    (0..=FRAME).any(|start| {
        (0..=FRAME).any(|end| {
            let part = run.get(start..run.len() - end).unwrap_or_default();
            memchr::memmem::find(content, part).is_some()
        })
    })
}

#[derive(Debug, Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Decoded bytes allowed, and kept.
#[derive(Debug, Clone, Copy)]
struct Room {
    cap: usize,
    keep: usize,
    strict: bool,
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

    fn undo(self, coded: &Decoded, room: Room) -> Result<Decoded, DecodeError> {
        let (body, whole) = (&coded.bytes, coded.whole);
        let mut output = Output {
            bytes: Vec::new(),
            seen: 0,
            room,
        };
        let ended = match self {
            Self::Gzip => gzip(body, &mut output),
            // "deflate" is zlib by the book, raw deflate from some clients: servers take both.
            Self::Deflate => match zlib(body, &mut output) {
                Err(DecodeError::Malformed) if output.seen == 0 => deflate(body, &mut output),
                ended => ended,
            },
            Self::Brotli => output.fill(brotli_decompressor::Decompressor::new(&body[..], BUFFER)),
            Self::Zstd => zstd(body, &mut output),
        };
        match ended {
            Ok(()) => {}
            // Cut by us: what came out so far is the beginning of the content.
            Err(DecodeError::Malformed) if !whole && output.seen > 0 => {}
            Err(DecodeError::TooLarge) if !room.strict => {}
            Err(error) => return Err(error),
        }
        let all = output.seen == output.bytes.len();
        Ok(Decoded {
            whole: whole && all,
            bytes: output.bytes.into(),
            opaque: false,
        })
    }
}

/// RFC 1952, every member of it. A file name is what command line tools add; anything else beside
/// the content is refused.
fn gzip(mut body: &[u8], output: &mut Output) -> Result<(), DecodeError> {
    for _ in 0..MAX_MEMBERS {
        let mut member = flate2::bufread::GzDecoder::new(body);
        let filled = output.fill(&mut member);
        let header = member.header().ok_or(DecodeError::Malformed)?;
        let harmless =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let named = header
            .filename()
            .is_some_and(|name| !name.iter().all(harmless));
        if named || header.comment().is_some() || header.extra().is_some() {
            return Err(DecodeError::Malformed);
        }
        filled?;
        body = member.into_inner();
        if body.is_empty() {
            return Ok(());
        }
    }
    Err(DecodeError::Malformed)
}

/// RFC 1950.
fn zlib(body: &[u8], output: &mut Output) -> Result<(), DecodeError> {
    let mut decoder = flate2::bufread::ZlibDecoder::new(body);
    output.fill(&mut decoder)?;
    ended(decoder.into_inner())
}

/// RFC 1951.
fn deflate(body: &[u8], output: &mut Output) -> Result<(), DecodeError> {
    let mut decoder = flate2::bufread::DeflateDecoder::new(body);
    output.fill(&mut decoder)?;
    ended(decoder.into_inner())
}

/// RFC 8878, one frame: further ones may be skippable and hold anything.
fn zstd(body: &[u8], output: &mut Output) -> Result<(), DecodeError> {
    if !body.starts_with(&ZSTD_MAGIC) {
        return Err(DecodeError::Malformed);
    }
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(body).map_err(|_| DecodeError::Malformed)?;
    decoder
        .window_log_max(ZSTD_WINDOW_LOG)
        .map_err(|_| DecodeError::Malformed)?;
    let mut decoder = decoder.single_frame();
    output.fill(&mut decoder)?;
    ended(decoder.finish())
}

/// Nothing may follow the coded content.
fn ended(mut rest: impl BufRead) -> Result<(), DecodeError> {
    match rest.fill_buf() {
        Ok([]) => Ok(()),
        _ => Err(DecodeError::Malformed),
    }
}

/// Collects decoded bytes within bounds.
struct Output {
    bytes: Vec<u8>,
    seen: usize,
    room: Room,
}

impl Output {
    fn fill(&mut self, mut reader: impl Read) -> Result<(), DecodeError> {
        let mut buffer = [0; BUFFER];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    self.seen += read;
                    if self.seen > self.room.cap {
                        return Err(DecodeError::TooLarge);
                    }
                    let left = self.room.keep.saturating_sub(self.bytes.len()).min(read);
                    self.bytes
                        .extend_from_slice(buffer.get(..left).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(DecodeError::Malformed),
            }
        }
    }
}

const BUFFER: usize = 16 * 1024;
const MAX_STACKED: usize = 2;
/// Shorter runs of text, and `FRAME` bytes at both ends of one, are too short for an attack.
const TEXT_RUN: usize = 8;
const FRAME: usize = 2;
/// Runs that are looked for in the content; more count as hidden.
const MAX_RUNS: usize = 16;
const MAX_MEMBERS: usize = 64;
const SMALL: usize = 1 << 20;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// 8 MiB: what RFC 8878 asks decoders to support at least.
const ZSTD_WINDOW_LOG: u32 = 23;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits {
        bytes: 4 << 20,
        ratio: 100,
        keep: 1 << 20,
        strict: true,
    };

    fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn bytes(encoding: &str, body: &[u8], whole: bool) -> Result<Bytes, DecodeError> {
        let body = Bytes::copy_from_slice(body);
        decode(encoding.as_bytes(), &body, whole, LIMITS).map(|decoded| decoded.bytes)
    }

    #[test]
    fn each_coding_is_undone() {
        let text = b"union select password from users".repeat(4);
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        raw.write_all(&text).unwrap();
        let named = flate2::GzBuilder::new().filename("body.json");
        let mut named = named.write(Vec::new(), flate2::Compression::fast());
        named.write_all(&text).unwrap();
        for (name, body) in [
            ("gzip", gzip(&text).to_vec()),
            ("X-GZIP", gzip(&text).to_vec()),
            ("gzip", named.finish().unwrap()),
            ("deflate", zlib(&text)),
            ("deflate", raw.finish().unwrap()),
            ("zstd", zstd::encode_all(&text[..], 3).unwrap()),
            ("identity", text.clone()),
            ("gzip, gzip", gzip(&gzip(&text)).to_vec()),
        ] {
            assert_eq!(bytes(name, &body, true).unwrap(), text, "{name}");
        }
        let halves = [gzip(b"union "), gzip(b"select")].concat();
        assert_eq!(bytes("gzip", &halves, true).unwrap(), "union select");
    }

    #[test]
    fn a_bomb_is_refused_and_what_is_not_kept_is_not_stored() {
        let bomb = gzip(&vec![0; 8 << 20]);
        assert_eq!(bytes("gzip", &bomb, true), Err(DecodeError::TooLarge));
        let body = gzip(&vec![b'a'; 200_000]);
        let limits = DecodeLimits {
            keep: 1000,
            ..LIMITS
        };
        let decoded = decode(b"gzip", &body, true, limits).unwrap();
        assert_eq!((decoded.bytes.len(), decoded.whole), (1000, false));
    }

    #[test]
    fn a_false_or_unknown_coding_is_an_error() {
        assert_eq!(bytes("gzip", b"a=1", true), Err(DecodeError::Malformed));
        assert_eq!(bytes("rot13", b"a=1", true), Err(DecodeError::Unsupported));
        assert_eq!(
            bytes("gzip,gzip,gzip", b"a=1", true),
            Err(DecodeError::Unsupported)
        );
    }

    #[test]
    fn text_beside_the_coded_content_is_an_error() {
        const TEXT: &[u8] = b"&q=1' union select 1";
        let mut comment = flate2::GzBuilder::new()
            .comment(TEXT)
            .write(Vec::new(), flate2::Compression::fast());
        comment.write_all(b"a=1").unwrap();
        let mut name = flate2::GzBuilder::new()
            .filename(TEXT)
            .write(Vec::new(), flate2::Compression::fast());
        name.write_all(b"a=1").unwrap();
        let zstd = zstd::encode_all(&b"a=1"[..], 3).unwrap();
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 20, 0, 0, 0], TEXT].concat();
        for (encoding, body) in [
            ("gzip", [&gzip(b"a=1"), TEXT].concat()),
            ("gzip", comment.finish().unwrap()),
            ("gzip", name.finish().unwrap()),
            ("deflate", [&zlib(b"a=1"), TEXT].concat()),
            ("zstd", [&zstd, TEXT].concat()),
            ("zstd", [&zstd, &skippable[..]].concat()),
            ("zstd", [&skippable[..], &zstd].concat()),
        ] {
            assert_eq!(
                bytes(encoding, &body, true),
                Err(DecodeError::Malformed),
                "{encoding}"
            );
        }
    }

    #[test]
    fn brotli_may_hide_text_and_says_so() {
        let hidden = Bytes::from_static(b"\x06&q=1' union select 1");
        let decoded = decode(b"br", &hidden, true, LIMITS).unwrap();
        assert!(decoded.opaque && decoded.bytes.is_empty());
    }

    #[test]
    fn the_beginning_of_a_cut_stream_is_still_seen() {
        let text: Vec<u8> = (0..40_000u32).flat_map(u32::to_le_bytes).collect();
        let coded = gzip(&text);
        let cut = &coded[..coded.len() / 2];
        assert_eq!(bytes("gzip", cut, true), Err(DecodeError::Malformed));
        let seen = bytes("gzip", cut, false).unwrap();
        assert!(!seen.is_empty() && text.starts_with(&seen));
    }
}
