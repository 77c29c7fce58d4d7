//! `@rbl`: the name to ask a list for, and what its answer means.
//!
//! `http:BL` of Project Honey Pot (`dnsbl.httpbl.org`) wants a key in front of the address and
//! answers with an age, a score and a kind; any other list says with an address in 127.0.0.0/8 that
//! the client is on it.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// Longest name of the DNS.
const NAME: usize = 253;

/// A list that can be asked.
#[derive(Debug)]
pub(crate) struct Blocklist {
    zone: String,
    http_bl: bool,
}

impl Blocklist {
    pub(super) fn compile(argument: &str) -> Result<Self, String> {
        let zone = argument.trim().trim_matches('.').to_ascii_lowercase();
        if !is_name(&zone) {
            return Err("expected the name of a list, such as zen.example.org".to_owned());
        }
        let http_bl = zone == "httpbl.org" || zone.ends_with(".httpbl.org");
        Ok(Self { zone, http_bl })
    }

    /// True if the list is asked with a key.
    pub(crate) fn wants_key(&self) -> bool {
        self.http_bl
    }

    /// The name that asks for `value`, an address or a host name; `None` if nothing can be asked.
    pub(crate) fn query(&self, key: &str, value: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(value)
            .ok()?
            .trim()
            .trim_end_matches('.');
        let subject = match text.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}")
            }
            // http:BL knows no IPv6.
            Ok(IpAddr::V6(_)) if self.http_bl => return None,
            Ok(IpAddr::V6(address)) => {
                let mut out = String::with_capacity(64);
                for byte in address.octets().iter().rev() {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "{:x}.{:x}.", byte & 15, byte >> 4);
                }
                out.truncate(63);
                out
            }
            Err(_) if self.http_bl || !is_name(text) || !text.contains('.') => return None,
            Err(_) => text.to_ascii_lowercase(),
        };
        let name = match (self.http_bl, key) {
            (true, "") => return None,
            (true, key) => format!("{key}.{subject}.{}", self.zone),
            (false, _) => format!("{subject}.{}", self.zone),
        };
        (name.len() <= NAME).then_some(name)
    }

    /// The name without the key, which is a secret.
    pub(crate) fn public_name<'n>(&self, key: &str, name: &'n str) -> &'n str {
        let keyless = name
            .strip_prefix(key)
            .and_then(|name| name.strip_prefix('.'));
        keyless.filter(|_| self.http_bl).unwrap_or(name)
    }

    /// What `answers` say; `None` if the subject is not on the list.
    pub(crate) fn finding(&self, answers: &[Ipv4Addr]) -> Option<String> {
        let listed = |address: &&Ipv4Addr| address.is_loopback();
        let answer = answers.iter().find(listed)?;
        let [_, days, score, kind] = answer.octets();
        if !self.http_bl {
            return Some(format!("Answer: {answer}"));
        }
        let kind = KINDS.get(usize::from(kind)).unwrap_or(&"Unknown kind");
        Some(format!(
            "{kind}: {days} days since last activity, threat score {score}"
        ))
    }
}

/// Labels of letters, digits, `-` and `_`, each of 1 to 63 characters.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    text.len() <= NAME && text.split('.').all(is_label)
}

/// What the last octet of http:BL's answer means.
const KINDS: [&str; 8] = [
    "Search Engine",
    "Suspicious IP",
    "Harvester IP",
    "Suspicious harvester IP",
    "Comment spammer IP",
    "Suspicious comment spammer IP",
    "Harvester and comment spammer IP",
    "Suspicious harvester comment spammer IP",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn list(zone: &str) -> Blocklist {
        Blocklist::compile(zone).unwrap()
    }

    #[test]
    fn addresses_are_asked_backwards_and_names_as_they_are() {
        let plain = list(" Zen.Example.org. ");
        let query = |value: &str| plain.query("", value.as_bytes());
        assert_eq!(
            query("192.0.2.7").as_deref(),
            Some("7.2.0.192.zen.example.org")
        );
        assert_eq!(
            query("Bad.example").as_deref(),
            Some("bad.example.zen.example.org")
        );
        let six = query("2001:db8::1").unwrap();
        assert!(six.starts_with("1.0.0.0."), "{six}");
        assert!(six.ends_with(".8.b.d.0.1.0.0.2.zen.example.org"), "{six}");
    }

    #[test]
    fn what_is_no_name_is_never_asked() {
        let plain = list("zen.example.org");
        for value in [
            "",
            "a b.c",
            "x\r\n.org",
            "evil.com/..",
            "nodot",
            &"a.".repeat(200),
        ] {
            assert_eq!(plain.query("", value.as_bytes()), None, "{value:?}");
        }
        assert!(Blocklist::compile("").is_err());
        assert!(Blocklist::compile("a b").is_err());
    }

    #[test]
    fn the_honey_pot_wants_a_key_and_says_more() {
        let honey_pot = list("dnsbl.httpbl.org");
        assert_eq!(honey_pot.query("", b"192.0.2.7"), None);
        let name = honey_pot.query("secret", b"192.0.2.7").unwrap();
        assert_eq!(name, "secret.7.2.0.192.dnsbl.httpbl.org");
        let public = honey_pot.public_name("secret", &name);
        assert_eq!(public, "7.2.0.192.dnsbl.httpbl.org");
        let finding = honey_pot.finding(&["127.3.5.4".parse().unwrap()]);
        let expected = "Comment spammer IP: 3 days since last activity, threat score 5";
        assert_eq!(finding.as_deref(), Some(expected));
    }

    #[test]
    fn only_an_answer_in_127_lists_the_client() {
        let plain = list("zen.example.org");
        assert!(plain.finding(&["127.0.0.2".parse().unwrap()]).is_some());
        // A resolver that answers everything with a page of its own lists nobody.
        assert!(plain.finding(&["198.51.100.1".parse().unwrap()]).is_none());
        assert!(plain.finding(&[]).is_none());
    }
}
