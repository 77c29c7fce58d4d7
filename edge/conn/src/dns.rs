//! DNS messages (RFC 1035): a question for the IPv4 addresses of one name, and its answer.
//!
//! A stub: it asks a resolver that does the work, and reads nothing but addresses. Whoever can send
//! us a datagram decides its bytes: sizes and counts are bounded, names are skipped, never followed.

use std::net::Ipv4Addr;

/// Longest datagram that is read (RFC 1035, 4.2.1).
pub const MESSAGE: usize = 512;
/// Most addresses that are kept of an answer.
const ADDRESSES: usize = 16;
/// Most records that are read of an answer.
const RECORDS: usize = 64;

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;

/// What a resolver says about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its addresses; none where the name does not exist.
    pub addresses: Vec<Ipv4Addr>,
    /// Seconds for which this holds; of the shortest-lived address.
    pub lifetime: Option<u32>,
}

/// A datagram that is no answer to the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an answer: {0}")]
pub struct NoAnswer(&'static str);

/// The question for the addresses of `name`; `None` if it is no name of the DNS.
#[must_use]
pub fn question(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEADER + name.len() + 6);
    message.extend(id.to_be_bytes());
    // A query that wants recursion, with one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if !(1..=63).contains(&length) || !label.is_ascii() {
            return None;
        }
        message.push(length);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(TYPE_A.to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    (message.len() <= HEADER + 255 + 4).then_some(message)
}

/// Reads `message` as the answer to `question`.
///
/// # Errors
/// It is the answer to another question, or none; the resolver failed.
pub fn answer(question: &[u8], message: &[u8]) -> Result<Answer, NoAnswer> {
    let mut reader = Reader { message, at: 0 };
    if Some(reader.pair()?) != leading_pair(question) {
        return Err(NoAnswer("another identifier"));
    }
    let flags = reader.pair()?;
    if flags & 0x8000 == 0 || flags & 0x7800 != 0 {
        return Err(NoAnswer("no response to a query"));
    }
    let questions = reader.pair()?;
    let records = usize::from(reader.pair()?);
    reader.skip(4)?;
    let asked = question.get(HEADER..).unwrap_or_default();
    let echoed = reader.take(asked.len())?;
    if questions != 1 || !echoed.eq_ignore_ascii_case(asked) {
        return Err(NoAnswer("another question"));
    }
    match flags & 0x000f {
        0 => {}
        // The name does not exist.
        3 => {
            return Ok(Answer {
                addresses: Vec::new(),
                lifetime: None,
            });
        }
        _ => return Err(NoAnswer("the resolver failed")),
    }
    let mut found = Answer {
        addresses: Vec::new(),
        lifetime: None,
    };
    for _ in 0..records.min(RECORDS) {
        reader.skip_name()?;
        let (kind, class) = (reader.pair()?, reader.pair()?);
        let lifetime = u32::from(reader.pair()?) << 16 | u32::from(reader.pair()?);
        let length = usize::from(reader.pair()?);
        let data = reader.take(length)?;
        if kind != TYPE_A || class != CLASS_IN {
            continue;
        }
        let octets: [u8; 4] = data.try_into().map_err(|_| NoAnswer("no IPv4 address"))?;
        found.lifetime = Some(found.lifetime.map_or(lifetime, |known| known.min(lifetime)));
        if found.addresses.len() < ADDRESSES {
            found.addresses.push(Ipv4Addr::from(octets));
        }
    }
    Ok(found)
}

fn leading_pair(bytes: &[u8]) -> Option<u16> {
    let first = bytes.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*first))
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn take(&mut self, length: usize) -> Result<&'m [u8], NoAnswer> {
        let end = self.at.saturating_add(length);
        let part = self.message.get(self.at..end);
        self.at = end;
        part.ok_or(NoAnswer("it ends too early"))
    }

    fn skip(&mut self, length: usize) -> Result<(), NoAnswer> {
        self.take(length).map(|_| ())
    }

    fn pair(&mut self) -> Result<u16, NoAnswer> {
        leading_pair(self.take(2)?).ok_or(NoAnswer("it ends too early"))
    }

    /// Steps over a name: labels up to the root or to a pointer, which is not followed.
    fn skip_name(&mut self) -> Result<(), NoAnswer> {
        loop {
            let byte = self.take(1)?.first().copied().unwrap_or(0);
            match byte {
                0 => return Ok(()),
                1..=63 => self.skip(usize::from(byte))?,
                192..=255 => return self.skip(1),
                _ => return Err(NoAnswer("a label of an unknown kind")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with these records: type, lifetime, data.
    fn reply(question: &[u8], code: u8, records: &[(u16, u32, &[u8])]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2] = 0x81;
        message[3] = 0x80 | code;
        message[7] = u8::try_from(records.len()).unwrap();
        for (kind, lifetime, data) in records {
            message.extend([0xc0, 12]);
            message.extend(kind.to_be_bytes());
            message.extend(CLASS_IN.to_be_bytes());
            message.extend(lifetime.to_be_bytes());
            message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            message.extend(*data);
        }
        message
    }

    fn asked() -> Vec<u8> {
        question(7, "2.0.0.127.bad.example").unwrap()
    }

    #[test]
    fn addresses_are_read_past_other_records() {
        let records: [(u16, u32, &[u8]); 3] = [
            (5, 1, b"\x01a\x00"),
            (1, 300, &[127, 0, 0, 2]),
            (1, 60, &[127, 0, 0, 3]),
        ];
        let found = answer(&asked(), &reply(&asked(), 0, &records)).unwrap();
        let expected = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
        assert_eq!(found.addresses, expected);
        assert_eq!(found.lifetime, Some(60));
    }

    #[test]
    fn a_name_that_does_not_exist_has_no_addresses_and_a_failure_is_no_answer() {
        let none = answer(&asked(), &reply(&asked(), 3, &[])).unwrap();
        assert!(none.addresses.is_empty());
        assert!(answer(&asked(), &reply(&asked(), 2, &[])).is_err());
    }

    #[test]
    fn a_forged_answer_is_refused() {
        let good = reply(&asked(), 0, &[(1, 60, &[127, 0, 0, 2])]);
        let other = question(8, "2.0.0.127.bad.example").unwrap();
        assert!(answer(&other, &good).is_err(), "another identifier");
        let other = question(7, "3.0.0.127.bad.example").unwrap();
        assert!(answer(&other, &good).is_err(), "another name");
        assert!(answer(&asked(), &asked()).is_err(), "a query");
        for end in 0..good.len() {
            assert!(answer(&asked(), &good[..end]).is_err(), "{end}");
        }
        // The same name in other letters is the same name.
        let loud = question(7, "2.0.0.127.BAD.example").unwrap();
        assert!(answer(&loud, &good).is_ok());
    }

    #[test]
    fn only_names_are_asked_for() {
        for name in ["", "a..b", &"a".repeat(64), &"a.".repeat(200)] {
            assert_eq!(question(1, name), None, "{name}");
        }
    }
}
