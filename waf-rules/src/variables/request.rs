//! Fills what phase 1 can see: request line, headers, cookies, query arguments, addresses.
//!
//! Splitting comes before decoding, values keep wire order, and a value without a name is a value.

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Variable;
use crate::body::{cookies, uri, urlencoded};
use crate::engine::{Origin, Processor, RequestLine, Settings, State};

/// Most cookies of a request: browsers keep fewer than 200 a site, and each costs every rule time.
const COOKIES: usize = 1000;

/// Gives every variable without keys a value, so that a rule on it always has something to test.
pub(crate) fn fill_defaults(state: &mut State) {
    for row in super::TABLE {
        if row.origin == super::Origin::Fixed && !row.keyed {
            state.set(row.variable, default_value(row.variable));
        }
    }
}

fn default_value(variable: Variable) -> &'static [u8] {
    let name = variable.name();
    let flag = name.ends_with("_ERROR")
        || name.ends_with("_LENGTH")
        || name.ends_with("_COMBINED_SIZE")
        || name.starts_with("MULTIPART_");
    if flag { b"0" } else { b"" }
}

/// Fills the variables of the connection.
pub(crate) fn fill_origin(state: &mut State, origin: Origin, unique_id: &str) {
    let client = origin.client.ip().to_string();
    state.set(Variable::RemoteAddr, client.as_bytes());
    state.set(Variable::RemoteHost, client.as_bytes());
    state.set_number(Variable::RemotePort, usize::from(origin.client.port()));
    state.set(
        Variable::ServerAddr,
        origin.server.ip().to_string().as_bytes(),
    );
    state.set_number(Variable::ServerPort, usize::from(origin.server.port()));
    state.set(Variable::UniqueId, unique_id.as_bytes());
}

/// Fills the variables of the request head and picks the body's processor by its type.
pub(crate) fn fill_request<'h>(
    state: &mut State,
    settings: &Settings,
    line: RequestLine<'_>,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
) {
    let mut raw_line = Vec::with_capacity(line.target.len() + 32);
    for (index, part) in [line.method, line.target, line.protocol]
        .into_iter()
        .enumerate()
    {
        if index > 0 && !part.is_empty() {
            raw_line.push(b' ');
        }
        raw_line.extend_from_slice(part);
    }
    state.set(Variable::RequestLine, &raw_line);
    state.set(Variable::RequestMethod, line.method);
    state.set(Variable::RequestProtocol, line.protocol);
    fill_headers(state, headers);
    fill_target(state, settings, line.target);
    fill_cookies(state);
    fill_from_headers(state);
}

fn fill_target(state: &mut State, settings: &Settings, target: &[u8]) {
    let uri = uri::parse(target);
    state.set(Variable::RequestUriRaw, uri.raw);
    let mut decoded = Vec::with_capacity(target.len());
    let mut invalid = uri::percent_decode(uri.relative, &mut decoded);
    state.set(Variable::RequestUri, &decoded);
    decoded.clear();
    invalid |= uri::percent_decode(uri.path, &mut decoded);
    state.set(Variable::RequestFilename, &decoded);
    state.set(Variable::PathInfo, &decoded);
    state.set(
        Variable::RequestBasename,
        uri::basename(&decoded).unwrap_or(b""),
    );
    let query = uri.query.unwrap_or(b"");
    state.set(Variable::QueryString, query);
    let outcome = fill_arguments(
        state,
        settings,
        query,
        Variable::ArgsGet,
        Variable::ArgsGetNames,
    );
    if invalid || outcome.invalid_escape {
        state.set(Variable::UrlencodedError, b"1");
    }
    if outcome.stopped {
        state.overflow("The query has more arguments than SecArgumentsLimit allows.");
    }
    combined_size(state);
}

/// Adds the arguments of a query or a form.
pub(crate) fn fill_arguments(
    state: &mut State,
    settings: &Settings,
    input: &[u8],
    variable: Variable,
    names: Variable,
) -> urlencoded::Urlencoded {
    // The limit is on all arguments, of the query and of the body.
    let known = state.values.of(Variable::Args).count();
    let mut room = settings.arguments.saturating_sub(known);
    let outcome = urlencoded::parse(input, settings.argument_separator, &mut |name, value| {
        if room == 0 {
            return ControlFlow::Break(());
        }
        room -= 1;
        state.add(variable, name, value);
        ControlFlow::Continue(())
    });
    fill_names(state, variable, names);
    outcome
}

/// Lists the names of `variable` as the values of `names`.
pub(crate) fn fill_names(state: &mut State, variable: Variable, names: Variable) {
    state.values.clear(names);
    let found: Vec<_> = state
        .values
        .of(variable)
        .map(|(_, value)| value.name)
        .collect();
    for name in found {
        state.values.add(names, name, name);
    }
}

/// `ARGS_COMBINED_SIZE`: the bytes of all names and values.
pub(crate) fn combined_size(state: &mut State) {
    let size = state
        .values
        .of(Variable::Args)
        .map(|(_, value)| value.name.len() + value.value.len())
        .sum();
    state.set_number(Variable::ArgsCombinedSize, size);
}

fn fill_headers<'h>(state: &mut State, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) {
    for (name, value) in headers {
        state.add(Variable::RequestHeaders, name, value);
    }
    fill_names(
        state,
        Variable::RequestHeaders,
        Variable::RequestHeadersNames,
    );
}

fn fill_cookies(state: &mut State) {
    let mut room = COOKIES;
    for value in header(state, b"cookie", usize::MAX) {
        let whole = cookies::parse(value.trim_ascii_end(), &mut |name, value| {
            if room == 0 {
                return ControlFlow::Break(());
            }
            room -= 1;
            state.add(Variable::RequestCookies, name, value);
            ControlFlow::Continue(())
        });
        if !whole {
            state.overflow("The request has more cookies than are inspected.");
        }
    }
    fill_names(
        state,
        Variable::RequestCookies,
        Variable::RequestCookiesNames,
    );
}

/// The values of the first `most` headers called `wanted`.
fn header(state: &State, wanted: &[u8], most: usize) -> Vec<Vec<u8>> {
    state
        .values
        .of(Variable::RequestHeaders)
        .filter(|(_, value)| state.arena.get(value.name).eq_ignore_ascii_case(wanted))
        .map(|(_, value)| state.arena.get(value.value).to_vec())
        .take(most)
        .collect()
}

/// The type the request gives its body: the first, if there are several.
pub(super) fn content_type(state: &State) -> Vec<u8> {
    header(state, b"content-type", 1)
        .into_iter()
        .next()
        .unwrap_or_default()
}

fn fill_from_headers(state: &mut State) {
    if let Some(host) = header(state, b"host", 1).first() {
        state.set(Variable::ServerName, host_name(host));
    }
    if let Some(authorization) = header(state, b"authorization", 1).first() {
        let end = authorization
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(authorization.len());
        let (scheme, credentials) = authorization.split_at(end);
        state.set(Variable::AuthType, scheme);
        if scheme.eq_ignore_ascii_case(b"basic")
            && let Ok(pair) = STANDARD.decode(credentials.trim_ascii())
        {
            let user = pair.split(|byte| *byte == b':').next().unwrap_or(b"");
            state.set(Variable::RemoteUser, user);
        }
    }
    if let Some(content_type) = header(state, b"content-type", 1).first() {
        state.processor = processor(content_type);
    }
}

fn processor(content_type: &[u8]) -> Option<Processor> {
    let has_prefix = |prefix: &[u8]| {
        content_type
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if has_prefix(b"application/x-www-form-urlencoded") {
        Some(Processor::UrlEncoded)
    } else if has_prefix(b"multipart/form-data") {
        Some(Processor::Multipart)
    } else {
        None
    }
}

/// The host without its port.
fn host_name(host: &[u8]) -> &[u8] {
    let end = if host.starts_with(b"[") {
        host.iter().position(|byte| *byte == b']').map(|at| at + 1)
    } else {
        host.iter().position(|byte| *byte == b':')
    };
    host.get(..end.unwrap_or(host.len())).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_loses_its_port_and_keeps_its_brackets() {
        assert_eq!(host_name(b"a.example:80"), b"a.example");
        assert_eq!(host_name(b"[::1]:80"), b"[::1]");
        assert_eq!(host_name(b"a.example"), b"a.example");
    }

    #[test]
    fn the_processor_follows_the_prefix_of_the_type() {
        assert_eq!(
            processor(b"Application/X-WWW-Form-Urlencoded; charset=utf-8"),
            Some(Processor::UrlEncoded)
        );
        assert_eq!(processor(b"text/plain"), None);
    }
}
