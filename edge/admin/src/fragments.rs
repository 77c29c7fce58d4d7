//! Files of `conf.d` through the admin listener: read, written, taken away, by those who show the token.
//!
//! A file is checked as part of the whole configuration before it is written, so what is refused changes
//! nothing. A reader gets the content's hash as `ETag`; with `If-Match` a change is refused if somebody
//! else was faster.

use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use edge_core::Secret;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::api::{Context, error};

/// Changes the configuration; see [`Order`].
pub trait Edit: Send + Sync + 'static {
    /// Carries `order` out.
    fn edit(&self, order: Order) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
}

/// Who may change the configuration, and who carries it out.
#[derive(Clone)]
pub struct Write {
    token: [u8; 32],
    edit: Arc<dyn Edit>,
}

impl Write {
    /// Changes go to `edit`, from those who know `token`.
    #[must_use]
    pub fn new(token: &Secret<String>, edit: Arc<dyn Edit>) -> Self {
        Self {
            token: digest(token.expose().as_bytes()),
            edit,
        }
    }

    /// Hashes are compared: how long that takes says nothing about the token.
    fn allows(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else {
            return false;
        };
        let shown = shown.as_bytes();
        let Some((scheme, token)) = shown.split_at_checked(b"Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && digest(token) == self.token
    }
}

/// What is asked for.
#[derive(Debug)]
pub struct Order {
    /// The name of the file, without its ending; safe as part of a path.
    pub name: String,
    /// What is to be done.
    pub action: Action,
    /// What the file must hold now.
    pub expected: Expected,
}

/// What is to be done with a file.
#[derive(Debug)]
pub enum Action {
    /// It is read.
    Read,
    /// It gets this text.
    Write(String),
    /// It goes.
    Delete,
}

/// What a file must hold for an order to be carried out.
#[derive(Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything, or nothing.
    Anything,
    /// There must be no file.
    Nothing,
    /// A text with one of these hashes.
    OneOf(Vec<String>),
}

impl Expected {
    /// Whether `now` is what is expected.
    #[must_use]
    pub fn fits(&self, now: Option<&str>) -> bool {
        match (self, now) {
            (Self::Anything, _) | (Self::Nothing, None) => true,
            (Self::OneOf(tags), Some(text)) => {
                let tag = tag(text);
                tags.iter().any(|wanted| *wanted == tag || wanted == "*")
            }
            (Self::OneOf(_), None) | (Self::Nothing, Some(_)) => false,
        }
    }
}

/// What became of an order.
#[derive(Debug)]
pub enum Answer {
    /// The text of the file.
    Text(String),
    /// It was carried out.
    Done {
        /// There was no such file before.
        created: bool,
        /// The checksum of the configuration that runs now.
        checksum: String,
    },
    /// There is no such file, or none of that name would be included.
    NotFound,
    /// The file is not what was expected.
    Differs,
    /// The configuration would be wrong: each mistake with its place.
    Refused(Vec<serde_json::Value>),
    /// It could not be carried out, for this reason.
    Failed(String),
}

/// The hash of a file's text, as `ETag` names it.
#[must_use]
pub fn tag(text: &str) -> String {
    let mut tag = String::from("\"");
    for byte in digest(text.as_bytes()) {
        for digit in [byte >> 4, byte & 15] {
            tag.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    tag + "\""
}

pub(crate) async fn fragment(
    State(context): State<Context>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let Some(write) = &context.write else {
        let off = "the configuration cannot be changed here; `admin.write` allows it";
        return error(StatusCode::FORBIDDEN, off);
    };
    if !write.allows(request.headers()) {
        let mut answer = error(StatusCode::UNAUTHORIZED, "expected the token as Bearer");
        let scheme = HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        return answer;
    }
    if !is_name(&name) {
        let rule = "a name has up to 128 small letters, digits, `-`, `_` and `.`, and begins with a letter or digit";
        return error(StatusCode::BAD_REQUEST, rule);
    }
    let Some(expected) = expected(request.headers()) else {
        let one = "expected either If-Match or If-None-Match: *";
        return error(StatusCode::BAD_REQUEST, one);
    };
    let action = match *request.method() {
        Method::PUT => match text(request.into_body()).await {
            Ok(text) => Action::Write(text),
            Err(refused) => return refused,
        },
        Method::DELETE => Action::Delete,
        _ => Action::Read,
    };
    let order = Order {
        name,
        action,
        expected,
    };
    answer(write.edit.edit(order).await)
}

fn answer(answer: Answer) -> Response {
    match answer {
        Answer::Text(text) => {
            let tag = HeaderValue::from_str(&tag(&text)).ok();
            let kind = HeaderValue::from_static("application/yaml; charset=utf-8");
            let mut answer = ([(CONTENT_TYPE, kind)], text).into_response();
            answer.headers_mut().extend(tag.map(|tag| (ETAG, tag)));
            answer
        }
        Answer::Done { created, checksum } => {
            let status = if created {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            (status, Json(json!({"config_checksum": checksum}))).into_response()
        }
        Answer::NotFound => error(StatusCode::NOT_FOUND, "no such file is included"),
        Answer::Differs => error(StatusCode::PRECONDITION_FAILED, "the file is another now"),
        Answer::Refused(mistakes) => {
            let body = json!({"error": "the configuration would be wrong", "mistakes": mistakes});
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
        Answer::Failed(why) => error(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}

async fn text(body: Body) -> Result<String, Response> {
    let bytes = to_bytes(body, MAX_TEXT).await;
    let bytes =
        bytes.map_err(|_| error(StatusCode::PAYLOAD_TOO_LARGE, "a file has at most 1 MiB"))?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| error(StatusCode::BAD_REQUEST, "a file is UTF-8 text"))
}

/// The condition of a request; `None` if it makes no sense.
fn expected(headers: &HeaderMap) -> Option<Expected> {
    let list = |name: HeaderName| -> Vec<String> {
        let values = headers.get_all(name).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        let tags = values.flat_map(|value| value.split(','));
        tags.map(|tag| tag.trim().to_owned()).collect()
    };
    let (matching, not) = (list(IF_MATCH), list(IF_NONE_MATCH));
    match (matching.is_empty(), not.as_slice()) {
        (true, []) => Some(Expected::Anything),
        (true, [any]) if any == "*" => Some(Expected::Nothing),
        (false, []) => Some(Expected::OneOf(matching)),
        _ => None,
    }
}

/// Safe as a file's name on every system; never hidden, never a way out of its folder.
fn is_name(name: &str) -> bool {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inner = |b: u8| fine(b) || matches!(b, b'-' | b'_' | b'.');
    (1..=128).contains(&name.len())
        && name.bytes().next().is_some_and(fine)
        && name.bytes().all(inner)
        && !name.contains("..")
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Of one file that is written here.
const MAX_TEXT: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_its_folder() {
        for name in ["shop.example", "a", "0-1_b"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "", ".hidden", "..", "a..b", "a/b", "../a", "A", "a b", "-a", "a\0",
        ] {
            assert!(!is_name(name), "{name}");
        }
        assert!(!is_name(&"a".repeat(129)));
    }

    #[test]
    fn a_condition_names_what_must_be_there() {
        let tags = Expected::OneOf(vec![tag("a")]);
        assert!(tags.fits(Some("a")) && !tags.fits(Some("b")) && !tags.fits(None));
        assert!(Expected::Nothing.fits(None) && !Expected::Nothing.fits(Some("a")));
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, HeaderValue::from_static("\"1\", \"2\""));
        let two = Expected::OneOf(vec!["\"1\"".into(), "\"2\"".into()]);
        assert_eq!(expected(&headers), Some(two));
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert_eq!(expected(&headers), None);
    }
}
