//! Which server a request goes to: what is hashed, and the cookie that keeps a client on its server.

use std::time::Duration;

use edge_core::Secret;

use crate::policy::Complaints;
use crate::spec::{Balance, SameSite, StickySpec};
use crate::tree::Path;

/// What decides between servers by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashBy {
    /// The client's address.
    ClientAddress,
    /// Host and path.
    HostPath,
    /// A header field, in lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query.
    Query(String),
}

/// A cookie that names a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sticky {
    /// Its name.
    pub cookie: String,
    /// Signs it; `None`: a secret of this process.
    pub secret: Option<Secret<String>>,
    /// How long browsers keep it; `None`: until they are closed.
    pub max_age: Option<Duration>,
    /// Where it is sent.
    pub path: String,
    /// Over TLS only.
    pub secure: bool,
    /// Not for scripts.
    pub http_only: bool,
    /// With requests of other sites.
    pub same_site: SameSite,
}

pub(super) fn hash_by(
    balance: Balance,
    text: Option<&str>,
    path: &Path,
    complaints: &mut Complaints,
) -> Option<HashBy> {
    let at = path.key("hash_by");
    let text = match (balance, text) {
        (Balance::Hash, Some(text)) => text,
        (Balance::Hash, None) => {
            complaints
                .error(path.key("balance"), "`hash` needs `hash_by`")
                .help("for example `hash_by: client_address` or `hash_by: header:x-tenant`");
            return None;
        }
        (_, Some(_)) => {
            complaints
                .error(at, "is used with `balance: hash` only")
                .help("write `balance: hash`, or leave this out");
            return None;
        }
        (_, None) => return None,
    };
    let found = match text.split_once(':') {
        None if text == "client_address" => Some(HashBy::ClientAddress),
        None if text == "host_path" => Some(HashBy::HostPath),
        Some(("header", name)) if is_token(name) => Some(HashBy::Header(name.to_ascii_lowercase())),
        Some(("cookie", name)) if is_token(name) => Some(HashBy::Cookie(name.to_owned())),
        Some(("query", name)) if !name.is_empty() => Some(HashBy::Query(name.to_owned())),
        _ => None,
    };
    if found.is_none() {
        complaints.error(
            at,
            "expected `client_address`, `host_path`, `header:NAME`, `cookie:NAME` or `query:NAME`",
        );
    }
    found
}

pub(super) fn sticky(spec: StickySpec, path: &Path, complaints: &mut Complaints) -> Option<Sticky> {
    let before = complaints.0.len();
    if !is_token(&spec.cookie) {
        complaints.error(path.key("cookie"), "expected the name of a cookie");
    }
    match &spec.secret {
        Some(secret) if secret.len() < MIN_SECRET => {
            complaints
                .error(path.key("secret"), "is shorter than 16 characters")
                .help("for example the output of `openssl rand -base64 32`");
        }
        Some(_) => {}
        None => {
            complaints
                .warn(path.clone(), "no `secret`: each process signs with its own")
                .help("clients lose their server at a restart and between instances of a fleet");
        }
    }
    let fine = |b: u8| b.is_ascii_graphic() && b != b';';
    if !spec.path.starts_with('/') || !spec.path.bytes().all(fine) {
        complaints.error(path.key("path"), "expected a path that starts with `/`");
    }
    if spec.same_site == SameSite::None && !spec.secure {
        complaints.error(path.key("same_site"), "`none` needs `secure: true`");
    }
    let wrong = complaints.0.iter().skip(before).any(|c| !c.warning);
    (!wrong).then(|| Sticky {
        cookie: spec.cookie,
        secret: spec.secret.map(Secret::new),
        max_age: Some(spec.max_age.0).filter(|age| !age.is_zero()),
        path: spec.path,
        secure: spec.secure,
        http_only: spec.http_only,
        same_site: spec.same_site,
    })
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(fine)
}

/// Characters of a secret, at least.
const MIN_SECRET: usize = 16;
