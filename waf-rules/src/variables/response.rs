//! Fills what phases 3 and 4 can see: the response's head and body.

use std::ops::ControlFlow;

use super::Variable;
use super::body::{JsonParser, fill_xml};
use super::request::fill_names;
use crate::body::{BodyError, json};
use crate::engine::{Processor, Settings, State};

/// Fills the variables of the response head.
pub(crate) fn fill_response<'h>(
    state: &mut State,
    settings: &Settings,
    status: u16,
    protocol: &str,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
) {
    state.set_number(Variable::ResponseStatus, usize::from(status));
    state.set_number(Variable::Status, usize::from(status));
    state.set(Variable::ResponseProtocol, protocol.as_bytes());
    state.set(
        Variable::StatusLine,
        format!("{protocol} {status}").as_bytes(),
    );
    let (mut length, mut kind) = (None, None);
    for (name, value) in headers {
        state.add(Variable::ResponseHeaders, name, value);
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(value);
        }
        if name.eq_ignore_ascii_case(b"content-type") {
            let own = value.split(|byte| *byte == b';').next().unwrap_or(value);
            // Of two types a client may believe either.
            state.response_type_fits |= settings
                .response_body_types
                .iter()
                .any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(own.trim_ascii()));
            kind = kind.or(Some(own.trim_ascii()));
        }
    }
    if let Some(length) = length {
        state.set(Variable::ResponseContentLength, length);
    }
    if let Some(kind) = kind {
        state.set(Variable::ResponseContentType, kind);
    }
    fill_names(
        state,
        Variable::ResponseHeaders,
        Variable::ResponseHeadersNames,
    );
}

/// Fills the variables of the response body.
pub(crate) fn fill_response_body(
    state: &mut State,
    settings: &Settings,
    body: &[u8],
    partial: bool,
) {
    if partial {
        state.set(Variable::OutboundDataError, b"1");
    }
    state.set(Variable::ResponseBody, body);
    if !partial {
        state.set_number(Variable::ResponseContentLength, body.len());
    }
    let outcome = match state.response_processor {
        Some(Processor::Json) => json(state, settings, body, json::parse),
        Some(Processor::NdJson) => json(state, settings, body, json::parse_lines),
        Some(Processor::Xml) => fill_xml(state, settings, body, Variable::ResponseXml),
        _ => Ok(()),
    };
    if let Err(error) = outcome
        && !(partial && error.at_end)
    {
        state.response_error = Some(format!("Response body parsing error: {error}"));
    }
}

/// The leaves of a response, with the limits that a request has.
fn json(
    state: &mut State,
    settings: &Settings,
    body: &[u8],
    parse: JsonParser,
) -> Result<(), BodyError> {
    let limits = json::Limits {
        depth: settings.response_json_depth,
        arguments: settings.arguments,
        ..json::Limits::default()
    };
    parse(body, limits, settings.json_naming, &mut |name, value| {
        state.add(Variable::ResponseArgs, name, value);
        ControlFlow::Continue(())
    })
}
