//! The cookie that keeps a client on its server.
//!
//! Its value is an HMAC-SHA256 over the group and the server's address, so it is an opaque name and a
//! signature in one: whoever lacks the key can neither make one nor learn an address from one. A
//! cookie that names no server of the group is as good as none.

use std::fmt::Write as _;
use std::sync::OnceLock;

use edge_config::{SameSite, Sticky};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Address;

/// The name of a server in a cookie.
pub(crate) type Token = [u8; 16];

/// The name of the server at `address` in the cookies of `group`.
pub(crate) fn token(sticky: &Sticky, group: &str, address: &Address) -> Option<Token> {
    let key = match &sticky.secret {
        Some(secret) => secret.expose().as_bytes(),
        None => process_key()?,
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(b"palisade sticky cookie\0");
    mac.update(group.as_bytes());
    mac.update(b"\0");
    mac.update(address.to_string().as_bytes());
    let whole = mac.finalize().into_bytes();
    whole.first_chunk().copied()
}

/// The server that a request's `Cookie` fields name, if any.
pub(crate) fn read<'a>(sticky: &Sticky, fields: impl Iterator<Item = &'a [u8]>) -> Option<Token> {
    let value = cookie(&sticky.cookie, fields)?;
    let mut token = Token::default();
    let (pairs, rest) = value.as_chunks::<2>();
    if pairs.len() != token.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in token.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(token)
}

/// The value of a cookie: the first of that name.
pub(crate) fn cookie<'a>(name: &str, fields: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let pairs = fields.flat_map(|field| field.split(|b| *b == b';'));
    pairs
        .map(<[u8]>::trim_ascii)
        .find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The `Set-Cookie` value that names `token`.
pub(crate) fn set_cookie(sticky: &Sticky, token: &Token) -> String {
    let mut out = format!("{}=", sticky.cookie);
    for byte in token {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    let _ = write!(out, "; Path={}", sticky.path);
    if let Some(age) = sticky.max_age {
        let _ = write!(out, "; Max-Age={}", age.as_secs().max(1));
    }
    if sticky.secure {
        out.push_str("; Secure");
    }
    if sticky.http_only {
        out.push_str("; HttpOnly");
    }
    out.push_str(match sticky.same_site {
        SameSite::Strict => "; SameSite=Strict",
        SameSite::Lax => "; SameSite=Lax",
        SameSite::None => "; SameSite=None",
    });
    out
}

/// A key nobody else has; the same through every reload of this process.
fn process_key() -> Option<&'static [u8]> {
    static KEY: OnceLock<Option<[u8; 32]>> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = [0; 32];
        getrandom::fill(&mut key).ok().map(|()| key)
    });
    key.as_ref().map(<[u8; 32]>::as_slice)
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::group::tests::upstream;
    use super::*;

    fn sticky(keys: &str) -> Sticky {
        let yaml = format!("servers: [http://127.0.0.1]\nsticky: {{ {keys} }}\n");
        upstream(&yaml).sticky().unwrap().clone()
    }

    fn address(text: &str) -> Address {
        Address::Inet(text.parse().unwrap())
    }

    #[test]
    fn a_cookie_names_its_server_and_nothing_else_does() {
        let own = sticky("secret: 0123456789abcdef, cookie: s");
        let token = token(&own, "app", &address("10.0.0.1:80")).unwrap();
        let set = set_cookie(&own, &token);
        let value = set.split(';').next().unwrap();
        assert!(
            set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"),
            "{set}"
        );
        assert!(!set.contains("10.0.0.1"));
        let field = format!("a=1;  {value} ; b=2");
        assert_eq!(read(&own, [field.as_bytes()].into_iter()), Some(token));
        for wrong in [
            "s=",
            "s=zz",
            "t=00",
            "",
            "s=0123456789abcdef0123456789ABCDEF",
        ] {
            assert_eq!(read(&own, [wrong.as_bytes()].into_iter()), None, "{wrong}");
        }
    }

    #[test]
    fn another_key_group_or_server_is_another_name() {
        let first = sticky("secret: 0123456789abcdef");
        let second = sticky("secret: 0123456789abcdeX");
        let own = sticky("same_site: strict");
        let at = address("10.0.0.1:80");
        let names = [
            token(&first, "app", &at),
            token(&first, "api", &at),
            token(&first, "app", &address("10.0.0.2:80")),
            token(&second, "app", &at),
            token(&own, "app", &at),
        ];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert_eq!(
            token(&own, "app", &at),
            names[4],
            "the same in this process"
        );
    }
}
