//! A service publishes the record: POST of a JSON object, answered with any 2xx.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;

use super::{Action, Record};
use crate::acme::failure::{chain, shorten};
use crate::acme::https::Https;
use crate::acme::settings::Webhook;

pub(super) async fn post(webhook: &Webhook, action: Action, record: &Record) -> Result<(), String> {
    let body = serde_json::json!({
        "action": action.name(),
        "domain": record.domain,
        "record": record.name,
        "value": record.value,
    });
    let mut request = Request::post(&webhook.url)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, "palisade")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|error| error.to_string())?;
    if let Some(bearer) = &webhook.bearer {
        let bearer = bearer.read()?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", bearer.expose()))
            .map_err(|_| "the bearer secret holds bytes a header cannot carry".to_owned())?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let client = Https::new(webhook.ca.as_deref(), webhook.timeout)
        .map_err(|error| format!("its `ca`: {error}"))?;
    let answer = client
        .send(request)
        .await
        .map_err(|error| format!("{}: {}", webhook.url, chain(&*error)))?;
    if answer.status().is_success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(answer.body().get(..MAX_SAID).unwrap_or(answer.body()));
    Err(format!(
        "{} answered {}: {}",
        webhook.url,
        answer.status(),
        shorten(said.into_owned())
    ))
}

const MAX_SAID: usize = 500;
