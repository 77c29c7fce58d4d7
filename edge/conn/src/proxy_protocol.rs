//! The PROXY protocol header, versions 1 and 2 (haproxy.org `proxy-protocol.txt`).
//!
//! A sans-I/O parser for what a load balancer sends before anything else. It believes every byte, so
//! it must only ever be fed from listed peers. Vendor extensions (TLVs) are skipped; a checksum TLV
//! is not verified. Everything is bounded: a line of 107 bytes, a block of 4 KiB.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// What stands at the start of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// More bytes are needed.
    Incomplete,
    /// A header of `length` bytes.
    Complete {
        /// Bytes to take off the connection.
        length: usize,
        /// Where the client is; `None` if the balancer speaks for itself or does not say.
        client: Option<SocketAddr>,
    },
}

/// Why bytes are not a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid PROXY protocol header")]
#[non_exhaustive]
pub struct ProxyError;

/// Reads the header at the start of `bytes`.
///
/// # Errors
/// As soon as no continuation could make it a header.
pub fn parse(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    if starts(bytes, SIGNATURE_2) {
        return version_2(bytes);
    }
    if starts(bytes, SIGNATURE_1) {
        return version_1(bytes);
    }
    Err(ProxyError)
}

/// True if `bytes` starts with `signature`, or is the start of it.
fn starts(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(a, b)| a == b)
}

fn version_1(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let bounded = bytes.get(..LINE_MAX).unwrap_or(bytes);
    let Some(lf) = bounded.iter().position(|b| *b == b'\n') else {
        return if bytes.len() < LINE_MAX {
            Ok(ProxyHeader::Incomplete)
        } else {
            Err(ProxyError)
        };
    };
    let line = bounded
        .get(..lf)
        .and_then(|line| line.strip_suffix(b"\r"))
        .ok_or(ProxyError)?;
    let line = std::str::from_utf8(line).map_err(|_| ProxyError)?;
    let mut words = line.split(' ').skip(1);
    let client = match words.next() {
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(line_1::<Ipv4Addr>(words)?),
        Some("TCP6") => Some(line_1::<Ipv6Addr>(words)?),
        _ => return Err(ProxyError),
    };
    Ok(ProxyHeader::Complete {
        length: lf + 1,
        client,
    })
}

/// `source destination source-port destination-port`, nothing more.
fn line_1<'a, A>(mut words: impl Iterator<Item = &'a str>) -> Result<SocketAddr, ProxyError>
where
    A: FromStr + Into<IpAddr>,
{
    let mut word = || words.next().ok_or(ProxyError);
    let address = |text: &str| text.parse::<A>().map(Into::into).map_err(|_| ProxyError);
    let source = address(word()?)?;
    address(word()?)?;
    let port = port(word()?)?;
    self::port(word()?)?;
    if words.next().is_some() {
        return Err(ProxyError);
    }
    Ok(SocketAddr::new(source, port))
}

fn port(text: &str) -> Result<u16, ProxyError> {
    let plain =
        text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(ProxyError)
}

fn version_2(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let Some(&[command, family, high, low]) = bytes.get(12..16) else {
        return Ok(ProxyHeader::Incomplete);
    };
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || rest > BLOCK_MAX {
        return Err(ProxyError);
    }
    let length = 16 + rest;
    let Some(block) = bytes.get(16..length) else {
        return Ok(ProxyHeader::Incomplete);
    };
    let client = match (command & 15, family) {
        // LOCAL: the balancer itself, for example a health check.
        (0, _) | (1, UNSPECIFIED | UNIX_STREAM) => None,
        (1, TCP_4) => Some(block_2::<4, Ipv4Addr>(block)?),
        (1, TCP_6) => Some(block_2::<16, Ipv6Addr>(block)?),
        _ => return Err(ProxyError),
    };
    Ok(ProxyHeader::Complete { length, client })
}

/// Source address, destination address, source port, destination port.
fn block_2<const N: usize, A>(block: &[u8]) -> Result<SocketAddr, ProxyError>
where
    A: From<[u8; N]> + Into<IpAddr>,
{
    let (source, rest) = block.split_first_chunk::<N>().ok_or(ProxyError)?;
    let (_, rest) = rest.split_first_chunk::<N>().ok_or(ProxyError)?;
    let (port, rest) = rest.split_first_chunk::<2>().ok_or(ProxyError)?;
    rest.first_chunk::<2>().ok_or(ProxyError)?;
    Ok(SocketAddr::new(
        A::from(*source).into(),
        u16::from_be_bytes(*port),
    ))
}

const SIGNATURE_1: &[u8] = b"PROXY ";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest version 1 line, CR LF included.
const LINE_MAX: usize = 107;
/// Longest version 2 block: addresses and TLVs; 64 KiB would be legal and is never needed.
const BLOCK_MAX: usize = 4096;
const UNSPECIFIED: u8 = 0x00;
const TCP_4: u8 = 0x11;
const TCP_6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

#[cfg(test)]
mod tests {
    use super::*;

    fn version_2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE_2, &[command, family], &length, block].concat()
    }

    fn client(bytes: &[u8]) -> Option<SocketAddr> {
        for cut in 0..bytes.len() {
            assert_eq!(
                parse(&bytes[..cut]),
                Ok(ProxyHeader::Incomplete),
                "cut at {cut}"
            );
        }
        let followed = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        let Ok(ProxyHeader::Complete { length, client }) = parse(&followed) else {
            panic!("{followed:?}");
        };
        assert_eq!(length, bytes.len());
        client
    }

    #[test]
    fn lines_of_version_1_name_the_client() {
        let four = client(b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n");
        assert_eq!(four, Some("192.0.2.7:56324".parse().unwrap()));
        let six = client(b"PROXY TCP6 2001:db8::7 ::1 56324 443\r\n");
        assert_eq!(six, Some("[2001:db8::7]:56324".parse().unwrap()));
        assert_eq!(client(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(
            client(b"PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n"),
            None
        );
    }

    #[test]
    fn blocks_of_version_2_name_the_client_and_tlvs_are_skipped() {
        let four = [
            &[192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 1, 187][..],
            b"\x04\x00\x03xyz",
        ]
        .concat();
        let expected = Some("192.0.2.7:4660".parse().unwrap());
        assert_eq!(client(&version_2(0x21, TCP_4, &four)), expected);
        let six = [&Ipv6Addr::LOCALHOST.octets()[..], &[0; 16], &[0, 9, 0, 9]].concat();
        assert_eq!(
            client(&version_2(0x21, TCP_6, &six)),
            Some("[::1]:9".parse().unwrap())
        );
        assert_eq!(client(&version_2(0x20, TCP_4, &four)), None);
        assert_eq!(client(&version_2(0x20, 0, &[])), None);
        assert_eq!(client(&version_2(0x21, UNIX_STREAM, &[0; 216])), None);
    }

    #[test]
    fn what_is_not_a_header_is_refused_at_once() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\n",
            "PROXY TCP4 192.0.2.7  10.0.0.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443 x\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",
            "PROXY TCP4 ::1 ::1 1 1\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 +5 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 05 443\r\n",
            "PROXY UDP4 192.0.2.7 10.0.0.1 5 443\r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(ProxyError), "{line:?}");
        }
        assert_eq!(
            parse(&[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat()),
            Err(ProxyError)
        );
        for bytes in [
            version_2(0x11, TCP_4, &[0; 12]),
            version_2(0x22, TCP_4, &[0; 12]),
            version_2(0x21, TCP_4, &[0; 11]),
            version_2(0x21, 0x12, &[0; 12]),
            version_2(0x21, TCP_6, &[0; 12]),
            version_2(0x21, TCP_4, &[0; 5000]),
        ] {
            assert_eq!(parse(&bytes), Err(ProxyError), "{bytes:?}");
        }
    }
}
