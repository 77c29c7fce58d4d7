//! Watches the responses on an HTTP/1 connection for `101 Switching Protocols`.
//!
//! Only the server's 101 ends HTTP (RFC 9110 section 7.8); what the client asked for is a wish. Other
//! 1xx responses may come first and are stepped over. Once a final response has begun nothing can
//! switch any more, so its content cannot pretend to be a 101.

/// Follows the bytes of the response to one request that carried `Upgrade`.
#[derive(Debug, Default)]
pub struct UpgradeWatch {
    /// The first bytes of the current response head.
    start: [u8; START],
    seen: usize,
    /// How much of CR LF CR LF was just seen.
    end: usize,
    verdict: Option<bool>,
}

impl UpgradeWatch {
    /// Reads response bytes; true once a 101 has been seen.
    pub fn advance(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if self.verdict.is_some() {
                break;
            }
            if let Some(slot) = self.start.get_mut(self.seen) {
                *slot = *byte;
                self.seen += 1;
                if self.seen == START {
                    self.verdict = match self.start.strip_prefix(b"HTTP/1.1 ") {
                        Some(b"101") => Some(true),
                        Some([b'1', _, _]) => None,
                        _ => Some(false),
                    };
                }
            } else {
                self.end = match (byte, self.end) {
                    (b'\r', 2) => 3,
                    (b'\r', _) => 1,
                    (b'\n', 1 | 3) => self.end + 1,
                    _ => 0,
                };
                if self.end == 4 {
                    *self = Self::default();
                }
            }
        }
        self.verdict == Some(true)
    }
}

/// Length of `HTTP/1.1 NNN`.
const START: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(response: &[u8]) -> bool {
        let whole = UpgradeWatch::default().advance(response);
        let mut watch = UpgradeWatch::default();
        let slow = response
            .chunks(1)
            .fold(false, |_, byte| watch.advance(byte));
        assert_eq!(whole, slow);
        whole
    }

    #[test]
    fn a_101_switches_also_behind_other_interim_responses() {
        assert!(watch(b"HTTP/1.1 101 Switching Protocols\r\n"));
        assert!(watch(
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 101 S\r\n\r\n"
        ));
    }

    #[test]
    fn nothing_else_does() {
        assert!(!watch(
            b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n"
        ));
        assert!(!watch(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad\r\n\r\nHTTP/1.1 101 S"
        ));
        assert!(!watch(b"HTTP/1.1 100 Continue\r\nX: HTTP/1.1 101\r\n"));
        assert!(!watch(b"HTTP/1.0 101 Switching Protocols\r\n\r\n"));
        assert!(!watch(b"HTTP/1.1 10"));
    }
}
