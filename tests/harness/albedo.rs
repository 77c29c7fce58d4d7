//! The backend the CRS regression suite is written for: it answers what it is told to.
//!
//! `POST /reflect` carries the wanted response as JSON: `status`, `headers` and `body` or
//! `encodedBody` (base64). Everything else is answered with an empty `200`. Semantics as in
//! coreruleset/albedo: no status means 200, one outside 100 to 599 is the client's mistake, `body`
//! wins over `encodedBody`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::{Answer, Seen, Upstream};

/// Starts the backend.
#[must_use]
pub fn start() -> Upstream {
    Upstream::answering(|seen| {
        let path = seen.message.target().split(['?', '#']).next();
        match path {
            Some("/reflect") if seen.message.method() == "POST" => reflect(seen),
            _ => Answer::status(200),
        }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    encoded_body: String,
}

fn reflect(seen: &Seen) -> Answer {
    let Ok(wanted) = serde_json::from_slice::<Wanted>(&seen.message.body) else {
        return mistake("Invalid JSON in request body");
    };
    let status = match wanted.status {
        0 => 200,
        100..=599 => wanted.status,
        _ => return mistake("Invalid status code"),
    };
    let body = if wanted.body.is_empty() {
        match STANDARD.decode(&wanted.encoded_body) {
            Ok(body) => body,
            Err(_) => return mistake("invalid base64 encoding of response body"),
        }
    } else {
        wanted.body.into_bytes()
    };
    let mut headers: Vec<(String, String)> = wanted.headers.into_iter().filter(sendable).collect();
    let typed = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !body.is_empty() && !typed {
        headers.push(field("Content-Type", "text/plain; charset=utf-8"));
    }
    Answer::Whole {
        status,
        headers,
        body,
    }
}

/// Framing is the server's own business, and a field must not end its line.
fn sendable((name, value): &(String, String)) -> bool {
    !["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str())
        && !name.is_empty()
        && !name.contains([' ', ':', '\r', '\n', '\0'])
        && !value.contains(['\r', '\n', '\0'])
}

fn mistake(reason: &str) -> Answer {
    Answer::Whole {
        status: 400,
        headers: vec![field("Content-Type", "text/plain; charset=utf-8")],
        body: reason.as_bytes().to_vec(),
    }
}

fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
