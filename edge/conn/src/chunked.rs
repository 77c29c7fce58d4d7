//! The chunked transfer coding, RFC 9112 section 7.1, checked byte by byte.
//!
//! It says where the content ends, which bytes of it are data, and stops at the first byte that two
//! readers could take differently (bare LF, blanks around the size, control bytes or escapes in an
//! extension, a trailer that frames or routes). It never looks past the end of the content, keeps
//! no bytes, and every count in it is bounded.

use edge_core::head::is_token_byte;

use crate::fields;

/// Follows one chunked content.
#[derive(Debug, Clone)]
pub struct Chunked {
    state: State,
    /// Data bytes of the current chunk that are still to come.
    left: u64,
    digits: u8,
    /// Data bytes announced so far.
    total: u64,
    /// Bytes of the current extension, and of all of them.
    extension: usize,
    extensions: usize,
    trailer: Trailer,
}

/// Why bytes are not a chunked content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// Not 1 to 16 hexadecimal digits.
    #[error("invalid chunk size")]
    Size,
    /// More than can be counted.
    #[error("chunk size is too large")]
    Overflow,
    /// A byte that may not stand in a chunk extension.
    #[error("invalid chunk extension")]
    Extension,
    /// Extensions of unreasonable length.
    #[error("chunk extensions are too long")]
    ExtensionTooLong,
    /// CR LF expected: a bare LF, a bare CR, or something else.
    #[error("chunk line does not end with CR LF")]
    LineEnd,
    /// A trailer field that is not `name: value`.
    #[error("invalid trailer field")]
    Trailer,
    /// A trailer field that frames, routes or authenticates.
    #[error("forbidden trailer field")]
    TrailerForbidden,
    /// Too many trailer fields, or too long ones.
    #[error("trailers are too large")]
    TrailersTooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// After `;`: a name is expected.
    NameStart,
    Name,
    /// After `=`.
    ValueStart,
    Value,
    Quoted,
    QuotedEnd,
    /// The LF of the line with the size.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the last line.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    /// The LF of the last line.
    EndLf,
    Done,
}

/// The current trailer field; only as much of its name is kept as a forbidden name can have.
#[derive(Debug, Clone)]
struct Trailer {
    name: [u8; TRAILER_NAME_MAX],
    length: usize,
    fields: usize,
    bytes: usize,
}

impl Chunked {
    /// At the first byte of the content.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Size,
            left: 0,
            digits: 0,
            total: 0,
            extension: 0,
            extensions: 0,
            trailer: Trailer {
                name: [0; TRAILER_NAME_MAX],
                length: 0,
                fields: 0,
                bytes: 0,
            },
        }
    }

    /// True after the last byte of the content.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads on; returns how many of `bytes` belong to the content (all of them unless it ends).
    ///
    /// # Errors
    /// At the first byte that is not strict; the validator must not be used afterwards.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, ChunkError> {
        self.read(bytes, |_| ())
    }

    /// Like [`advance`](Self::advance), and hands over the data without its framing.
    ///
    /// # Errors
    /// As for [`advance`](Self::advance).
    pub fn read(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, ChunkError> {
        let mut at = 0;
        while self.state != State::Done {
            let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            if self.state == State::Data {
                let here = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(rest.len());
                data(rest.get(..here).unwrap_or_default());
                self.left -= here as u64;
                at += here;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            } else if let Some(byte) = rest.first() {
                self.state = self.step(*byte)?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        match self.state {
            State::Size => self.size(byte),
            State::NameStart
            | State::Name
            | State::ValueStart
            | State::Value
            | State::Quoted
            | State::QuotedEnd => self.extension(byte),
            State::SizeLf => expect(byte, b'\n', self.after_size_line()),
            State::DataCr => expect(byte, b'\r', State::DataLf),
            State::DataLf => {
                (self.digits, self.extension) = (0, 0);
                expect(byte, b'\n', State::Size)
            }
            State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLf
            | State::EndLf => self.trailer(byte),
            // `advance` handles these two itself.
            State::Data | State::Done => Ok(self.state),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, ChunkError> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            self.digits += 1;
            if self.digits > SIZE_DIGITS_MAX {
                return Err(ChunkError::Size);
            }
            self.left = self.left << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        if self.digits == 0 {
            return Err(ChunkError::Size);
        }
        let total = self
            .total
            .checked_add(self.left)
            .filter(|total| i64::try_from(*total).is_ok());
        match byte {
            b'\r' | b';' => self.total = total.ok_or(ChunkError::Overflow)?,
            b'\n' => return Err(ChunkError::LineEnd),
            _ => return Err(ChunkError::Size),
        }
        Ok(if byte == b'\r' {
            State::SizeLf
        } else {
            State::NameStart
        })
    }

    fn after_size_line(&self) -> State {
        if self.left == 0 {
            State::TrailerStart
        } else {
            State::Data
        }
    }

    /// `;name`, `;name=token` or `;name="quoted"`. Blanks and escapes are legal and never needed, so
    /// they are refused: each has been read in two ways by some pair of servers.
    fn extension(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.extension += 1;
        self.extensions += 1;
        if self.extension > EXTENSION_MAX || self.extensions > EXTENSIONS_MAX {
            return Err(ChunkError::ExtensionTooLong);
        }
        match (self.state, byte) {
            (_, b'\n') => Err(ChunkError::LineEnd),
            (State::NameStart | State::Name, b) if is_token_byte(b) => Ok(State::Name),
            (State::ValueStart | State::Value, b) if is_token_byte(b) => Ok(State::Value),
            (State::Name, b'=') => Ok(State::ValueStart),
            (State::ValueStart, b'"') => Ok(State::Quoted),
            (State::Quoted, b'"') => Ok(State::QuotedEnd),
            (State::Quoted, b) if b != b'\\' && (b == b' ' || b.is_ascii_graphic()) => {
                Ok(State::Quoted)
            }
            (State::Name | State::Value | State::QuotedEnd, b';') => Ok(State::NameStart),
            (State::Name | State::Value | State::QuotedEnd, b'\r') => Ok(State::SizeLf),
            _ => Err(ChunkError::Extension),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.trailer.bytes += 1;
        if self.trailer.bytes > TRAILERS_MAX {
            return Err(ChunkError::TrailersTooLarge);
        }
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::EndLf, b'\n') => Ok(State::Done),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::EndLf | State::TrailerLf, _) | (_, b'\n') => Err(ChunkError::LineEnd),
            (State::TrailerStart, b) if is_token_byte(b) => {
                self.trailer.fields += 1;
                self.trailer.length = 0;
                if self.trailer.fields > TRAILER_FIELDS_MAX {
                    return Err(ChunkError::TrailersTooLarge);
                }
                self.trailer.push(b)
            }
            (State::TrailerName, b) if is_token_byte(b) => self.trailer.push(b),
            (State::TrailerName, b':') if fields::is_protected(self.trailer.name()) => {
                Err(ChunkError::TrailerForbidden)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, b) if b == b'\t' || (b >= b' ' && b != 0x7f) => {
                Ok(State::TrailerValue)
            }
            _ => Err(ChunkError::Trailer),
        }
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

impl Trailer {
    fn push(&mut self, byte: u8) -> Result<State, ChunkError> {
        let slot = self
            .name
            .get_mut(self.length)
            .ok_or(ChunkError::TrailersTooLarge)?;
        *slot = byte;
        self.length += 1;
        Ok(State::TrailerName)
    }

    fn name(&self) -> &[u8] {
        self.name.get(..self.length).unwrap_or_default()
    }
}

fn expect(byte: u8, wanted: u8, next: State) -> Result<State, ChunkError> {
    if byte == wanted {
        Ok(next)
    } else {
        Err(ChunkError::LineEnd)
    }
}

const SIZE_DIGITS_MAX: u8 = 16;
const EXTENSION_MAX: usize = 1024;
const EXTENSIONS_MAX: usize = 16 * 1024;
const TRAILER_NAME_MAX: usize = 64;
const TRAILER_FIELDS_MAX: usize = 32;
const TRAILERS_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests;
