//! Reads a ClientHello out of the first bytes of a connection (RFC 8446 sections 4.1.2 and 5.1).
//!
//! The bytes are looked at twice: here for what routing and fingerprints need in its original order,
//! and by rustls for the handshake. This parser is the stricter of the two. It is pure, allocates little
//! and takes time linear in what was sent; how much may be sent is bounded by [`HelloReader::MOST`].

use std::net::IpAddr;

/// Collects handshake records until a ClientHello is whole.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// Where the next record starts.
    next: usize,
    message: Vec<u8>,
}

/// Why the first bytes of a connection are no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloFault {
    /// Something else than TLS.
    #[error("not a TLS handshake")]
    NotTls,
    /// An HTTP request, and a client that should have used `https`.
    #[error("plain HTTP on a TLS port")]
    PlainHttp,
    /// SSL 3.0 and older, or a version that does not exist.
    #[error("record of an unsupported version")]
    Version,
    /// A record that is empty or longer than any may be.
    #[error("record of a wrong length")]
    RecordLength,
    /// More bytes than a ClientHello is worth.
    #[error("ClientHello is too large")]
    TooLarge,
    /// Another message where a ClientHello must be.
    #[error("not a ClientHello")]
    Unexpected,
    /// Lengths that contradict one another, or missing parts.
    #[error("malformed ClientHello")]
    Malformed,
    /// An extension occurs twice.
    #[error("extension occurs more than once")]
    DuplicateExtension,
    /// A server name that no host can have.
    #[error("invalid server name")]
    ServerName,
}

impl HelloReader {
    /// Most bytes read for a ClientHello, record headers included. Real ones have 200 to 4,000.
    pub const MOST: usize = 64 << 10;

    /// Looks at all bytes received so far; the whole message (with its header) once it is there, `None`
    /// while more is needed.
    ///
    /// # Errors
    /// As soon as the bytes cannot become a ClientHello any more.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<&[u8]>, HelloFault> {
        loop {
            let rest = bytes.get(self.next..).unwrap_or_default();
            let Some(length) = record(rest, self.next == 0)? else {
                break;
            };
            let Some(content) = rest.get(RECORD_HEADER..RECORD_HEADER + length) else {
                break;
            };
            self.message.extend_from_slice(content);
            self.next += RECORD_HEADER + length;
            if self.expected()?.is_some_and(|n| self.message.len() >= n) {
                break;
            }
        }
        match self.expected()? {
            Some(length) if self.message.len() >= length => Ok(self.message.get(..length)),
            _ if bytes.len() >= Self::MOST => Err(HelloFault::TooLarge),
            _ => Ok(None),
        }
    }

    /// How long the message will be, header included, once its header is there.
    fn expected(&self) -> Result<Option<usize>, HelloFault> {
        match self.message.as_slice() {
            [] => Ok(None),
            [CLIENT_HELLO, high, middle, low, ..] => {
                let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
                if length > Self::MOST {
                    return Err(HelloFault::TooLarge);
                }
                Ok(Some(length + 4))
            }
            [CLIENT_HELLO, ..] => Ok(None),
            _ => Err(HelloFault::Unexpected),
        }
    }
}

/// The content length of the record that starts here, once its header is there.
fn record(bytes: &[u8], first: bool) -> Result<Option<usize>, HelloFault> {
    match bytes {
        [] => return Ok(None),
        [HANDSHAKE, ..] => {}
        // Every method begins with a letter, no TLS record does.
        [b'A'..=b'Z', ..] if first => return Err(HelloFault::PlainHttp),
        _ if first => return Err(HelloFault::NotTls),
        _ => return Err(HelloFault::Unexpected),
    }
    match bytes {
        // RFC 8446 section 5.1: 3.1 in the first ClientHello of an old client, else 3.3.
        [_, 3, 1..=4, ..] | [_, 3] | [_] => {}
        _ => return Err(HelloFault::Version),
    }
    let [_, _, _, high, low, ..] = bytes else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length == 0 || length > RECORD_MOST {
        return Err(HelloFault::RecordLength);
    }
    Ok(Some(length))
}

/// What a client offers. Lists are in the order they were sent in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// The version field of the message; `0x0303` wherever `versions` is used.
    pub legacy_version: u16,
    /// Cipher suites.
    pub ciphers: Vec<u16>,
    /// Kinds of extensions.
    pub extensions: Vec<u16>,
    /// The host the client wants, in lower case. An address is no name and counts as none, as in rustls.
    pub server_name: Option<String>,
    /// Protocols by ALPN.
    pub protocols: Vec<&'a [u8]>,
    /// Signature algorithms.
    pub signatures: Vec<u16>,
    /// The extension `supported_versions`.
    pub versions: Vec<u16>,
}

impl<'a> ClientHello<'a> {
    /// Reads a whole message, as [`HelloReader::read`] returns it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(message: &'a [u8]) -> Result<Self, HelloFault> {
        let mut input = Input(message);
        if input.u8()? != CLIENT_HELLO {
            return Err(HelloFault::Unexpected);
        }
        let length = usize::from(input.u8()?) << 16 | usize::from(input.u16()?);
        if length != input.0.len() {
            return Err(HelloFault::Malformed);
        }
        let legacy_version = input.u16()?;
        input.take(RANDOM)?;
        let session = input.list8()?;
        let ciphers = input.list16()?.numbers()?;
        let compressions = input.list8()?;
        if session.0.len() > SESSION_MOST || ciphers.is_empty() || compressions.0.is_empty() {
            return Err(HelloFault::Malformed);
        }
        let mut hello = Self {
            legacy_version,
            ciphers,
            extensions: Vec::new(),
            server_name: None,
            protocols: Vec::new(),
            signatures: Vec::new(),
            versions: Vec::new(),
        };
        // TLS 1.2 without extensions ends here.
        if !input.0.is_empty() {
            let mut extensions = input.list16()?;
            while !extensions.0.is_empty() {
                hello.extension(extensions.u16()?, extensions.list16()?)?;
            }
        }
        if !input.0.is_empty() {
            return Err(HelloFault::Malformed);
        }
        hello.all_differ()?;
        Ok(hello)
    }

    fn extension(&mut self, kind: u16, mut content: Input<'a>) -> Result<(), HelloFault> {
        if self.extensions.len() == EXTENSIONS_MOST {
            return Err(HelloFault::Malformed);
        }
        self.extensions.push(kind);
        match kind {
            SERVER_NAME => self.server_name = server_name(&mut content)?,
            ALPN => {
                let mut list = content.list16()?;
                while !list.0.is_empty() {
                    let protocol = list.list8()?.0;
                    if protocol.is_empty() || self.protocols.len() == PROTOCOLS_MOST {
                        return Err(HelloFault::Malformed);
                    }
                    self.protocols.push(protocol);
                }
                if self.protocols.is_empty() {
                    return Err(HelloFault::Malformed);
                }
            }
            SIGNATURES => self.signatures = content.list16()?.numbers()?,
            VERSIONS => self.versions = content.list8()?.numbers()?,
            _ => return Ok(()),
        }
        if content.0.is_empty() {
            Ok(())
        } else {
            Err(HelloFault::Malformed)
        }
    }

    fn all_differ(&self) -> Result<(), HelloFault> {
        let mut kinds = self.extensions.clone();
        kinds.sort_unstable();
        if kinds.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(HelloFault::DuplicateExtension);
        }
        Ok(())
    }
}

/// RFC 6066 section 3: a list with exactly one host name.
fn server_name(content: &mut Input<'_>) -> Result<Option<String>, HelloFault> {
    let mut list = content.list16()?;
    if list.u8()? != HOST_NAME {
        return Err(HelloFault::ServerName);
    }
    let name = list.list16()?.0;
    if !list.0.is_empty() {
        return Err(HelloFault::ServerName);
    }
    let name = std::str::from_utf8(name).map_err(|_| HelloFault::ServerName)?;
    if name.parse::<IpAddr>().is_ok() {
        return Ok(None);
    }
    if !is_host_name(name) {
        return Err(HelloFault::ServerName);
    }
    Ok(Some(name.to_ascii_lowercase()))
}

/// Letters, digits, hyphens and underscores in labels of 1 to 63, 253 in all, without a final dot.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let digits = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    name.len() <= NAME_MOST
        && name.split('.').all(label)
        // What ends in a number is an address to some readers (WHATWG URL section 3.5).
        && !name.rsplit('.').next().is_some_and(digits)
}

/// True for a value that clients send to keep servers tolerant (RFC 8701).
#[must_use]
pub const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// Bytes that are left to read.
#[derive(Debug, Clone, Copy)]
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], HelloFault> {
        let (head, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(HelloFault::Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, HelloFault> {
        let (first, rest) = self.0.split_first().ok_or(HelloFault::Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn u16(&mut self) -> Result<u16, HelloFault> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn list8(&mut self) -> Result<Self, HelloFault> {
        let length = self.u8()?;
        self.take(length.into()).map(Self)
    }

    fn list16(&mut self) -> Result<Self, HelloFault> {
        let length = self.u16()?;
        self.take(length.into()).map(Self)
    }

    fn numbers(self) -> Result<Vec<u16>, HelloFault> {
        let (pairs, []) = self.0.as_chunks::<2>() else {
            return Err(HelloFault::Malformed);
        };
        Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
    }
}

const RECORD_HEADER: usize = 5;
/// RFC 8446 section 5.1: 2^14 bytes of plain text.
const RECORD_MOST: usize = 1 << 14;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RANDOM: usize = 32;
const SESSION_MOST: usize = 32;
/// Longest DNS name, RFC 1035.
const NAME_MOST: usize = 253;
/// Clients send up to 20.
const EXTENSIONS_MOST: usize = 128;
/// Clients offer up to 10.
const PROTOCOLS_MOST: usize = 64;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const SIGNATURES: u16 = 13;
const ALPN: u16 = 16;
const VERSIONS: u16 = 43;

#[cfg(test)]
pub(crate) mod tests;
