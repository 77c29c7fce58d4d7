//! Fills what phase 2 can see: the request body, parsed by the processor the rules settled on.
//!
//! A parser that stops has handed out what it read, and says why in `REQBODY_ERROR`; nothing that
//! was read is taken back. A body the host cut at its inspection limit may end early, but what is
//! wrong before its end is an error all the same.

use std::ops::ControlFlow;

use super::request::{combined_size, content_type, fill_arguments, fill_names};
use super::whole::file_contents;
use super::{Variable, graphql};
use crate::body::{BodyError, Sink, json, multipart, xml};
use crate::engine::{Processor, Settings, State};

/// Parses `body` and fills its variables; `partial` if it was cut.
pub(crate) fn fill_body(state: &mut State, settings: &Settings, body: &[u8], partial: bool) {
    state.set_number(Variable::RequestBodyLength, body.len());
    if partial {
        state.set(Variable::InboundDataError, b"1");
    }
    if body.is_empty() {
        if state.processor == Some(Processor::GraphQl) {
            graphql::fill_query(state, settings);
            combined_size(state);
        }
        return;
    }
    if state.processor.is_none() && state.force_request_body {
        state.processor = Some(Processor::UrlEncoded);
    }
    let as_text = matches!(
        state.processor,
        Some(Processor::UrlEncoded | Processor::Raw)
    );
    if state.processor == Some(Processor::GraphQl) && is_multipart(state) {
        graphql::fill_query(state, settings);
        state.processor = Some(Processor::Multipart);
    }
    if state.force_request_body || as_text {
        state.set(Variable::RequestBody, body);
    }
    let over_limit = |size: usize| {
        settings
            .request_body_no_files_limit
            .is_some_and(|limit| size > limit)
    };
    if state.processor.is_some()
        && state.processor != Some(Processor::Multipart)
        && over_limit(body.len())
    {
        return fail(
            state,
            "Request body excluding files is bigger than the maximum expected.",
        );
    }
    match state.processor {
        None => {}
        Some(Processor::UrlEncoded) => urlencoded(state, settings, body),
        Some(Processor::Json) => json(state, settings, body, json::parse, partial),
        Some(Processor::NdJson) => json(state, settings, body, json::parse_lines, partial),
        Some(Processor::GraphQl) => graphql::fill(state, settings, body, partial),
        Some(Processor::Raw) => {}
        Some(Processor::Xml) => {
            let outcome = fill_xml(state, settings, body, Variable::Xml);
            fail_unless_cut(state, "XML", outcome.err(), partial);
        }
        Some(Processor::Multipart) => {
            let without_files = multipart(state, settings, body, partial);
            if over_limit(without_files) {
                fail(
                    state,
                    "Request body excluding files is bigger than the maximum expected.",
                );
            }
        }
    }
    combined_size(state);
}

/// GraphQL clients send files as a form beside the query.
fn is_multipart(state: &State) -> bool {
    const TYPE: &[u8] = b"multipart/form-data";
    content_type(state)
        .get(..TYPE.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(TYPE))
}

pub(super) fn fail(state: &mut State, message: &str) {
    state.set(Variable::ReqbodyError, b"1");
    state.set(Variable::ReqbodyErrorMsg, message.as_bytes());
    state.set(Variable::ReqbodyProcessorError, b"1");
    state.set(Variable::ReqbodyProcessorErrorMsg, message.as_bytes());
}

pub(super) fn fail_unless_cut(
    state: &mut State,
    kind: &str,
    error: Option<BodyError>,
    partial: bool,
) {
    if let Some(error) = error
        && !(partial && error.at_end)
    {
        fail(state, &format!("{kind} parsing error: {error}"));
    }
}

pub(super) fn urlencoded(state: &mut State, settings: &Settings, body: &[u8]) {
    let outcome = fill_arguments(
        state,
        settings,
        body,
        Variable::ArgsPost,
        Variable::ArgsPostNames,
    );
    if outcome.invalid_escape {
        state.set(Variable::UrlencodedError, b"1");
    }
    if outcome.stopped {
        fail(state, "More arguments than SecArgumentsLimit allows.");
    }
}

/// [`json::parse`] or [`json::parse_lines`].
pub(super) type JsonParser =
    fn(&[u8], json::Limits, json::Naming, &mut Sink<'_>) -> Result<(), BodyError>;

fn json(state: &mut State, settings: &Settings, body: &[u8], parse: JsonParser, partial: bool) {
    let (leaves, names) = json_variables(settings);
    let limits = json_limits(state, settings);
    let outcome = parse(body, limits, settings.json_naming, &mut |name, value| {
        state.add(leaves, name, value);
        ControlFlow::Continue(())
    });
    fill_names(state, leaves, names);
    fail_unless_cut(state, "JSON", outcome.err(), partial);
}

/// Where leaves go: ModSecurity keeps them out of `ARGS_POST`, Coraza in it; both have them in `ARGS`.
pub(super) const fn json_variables(settings: &Settings) -> (Variable, Variable) {
    match settings.json_naming {
        json::Naming::ModSecurity => (Variable::ArgsJson, Variable::ArgsJsonNames),
        json::Naming::Coraza => (Variable::ArgsPost, Variable::ArgsPostNames),
    }
}

pub(super) fn json_limits(state: &State, settings: &Settings) -> json::Limits {
    json::Limits {
        depth: settings.json_depth,
        arguments: settings
            .arguments
            .saturating_sub(state.values.of(Variable::Args).count()),
        ..json::Limits::default()
    }
}

/// Fills the text, the attributes and the named nodes of a document.
pub(super) fn fill_xml(
    state: &mut State,
    settings: &Settings,
    body: &[u8],
    variable: Variable,
) -> Result<(), BodyError> {
    let xml = xml::parse(body, xml::Limits::default(), &settings.xml_paths);
    state.add(variable, b"/*", &xml.text);
    for attribute in &xml.attributes {
        state.add(variable, b"//@*", attribute);
    }
    for (path, value) in &xml.found {
        if let Some(path) = settings.xml_paths.get(*path) {
            state.add(variable, path.text.as_bytes(), value);
        }
    }
    xml.error.map_or(Ok(()), Err)
}

/// Fills the variables of a form with files; returns how many bytes of it are fields and headers.
fn multipart(state: &mut State, settings: &Settings, body: &[u8], partial: bool) -> usize {
    let content_type = content_type(state);
    let limits = multipart::Limits {
        parts: settings.arguments,
        files: settings.upload_files,
        part_headers: 64,
        partial,
    };
    let form = multipart::parse(&content_type, body, limits);
    for field in &form.fields {
        state.add(Variable::ArgsPost, &field.name, field.value);
    }
    fill_names(state, Variable::ArgsPost, Variable::ArgsPostNames);
    for header in &form.part_headers {
        state.add(Variable::MultipartPartHeaders, &header.part, &header.line);
    }
    files(state, &form);
    if settings.file_contents {
        file_contents(state, &form, body);
    }
    flags(state, form.flags);
    fail_unless_cut(state, "Multipart", form.error, partial);
    let headers: usize = form
        .part_headers
        .iter()
        .map(|header| header.line.len() + 2)
        .sum();
    headers
        + form
            .fields
            .iter()
            .map(|field| field.value.len())
            .sum::<usize>()
}

/// One loop a variable: members of one lie side by side.
fn files(state: &mut State, form: &multipart::Multipart<'_>) {
    let names = || {
        let parts = form.files.iter();
        parts.flat_map(|part| part.file_names.iter().map(|name| (&part.name, name)))
    };
    for variable in [Variable::Files, Variable::MultipartFilename] {
        for (part, name) in names() {
            state.add(variable, part, &name.value);
        }
    }
    for (part, name) in names() {
        if let Some(charset) = &name.charset {
            state.add(Variable::MultipartFilenameCharset, part, charset);
        }
    }
    for (part, name) in names() {
        if let Some(language) = &name.language {
            state.add(Variable::MultipartFilenameLanguage, part, language);
        }
    }
    for file in &form.files {
        state.add(Variable::FilesNames, &file.name, &file.name);
    }
    for field in &form.fields {
        state.add(Variable::MultipartName, &field.name, &field.name);
    }
    for file in &form.files {
        state.add(Variable::MultipartName, &file.name, &file.name);
    }
    for file in &form.files {
        let size = file.content.len().to_string();
        state.add(Variable::FilesSizes, &file.name, size.as_bytes());
    }
    let total = form.files.iter().map(|file| file.content.len()).sum();
    state.set_number(Variable::FilesCombinedSize, total);
}

fn flags(state: &mut State, flags: multipart::Flags) {
    let strict = [
        (Variable::MultipartDataBefore, flags.data_before),
        (Variable::MultipartDataAfter, flags.data_after),
        (Variable::MultipartBoundaryQuoted, flags.boundary_quoted),
        (
            Variable::MultipartBoundaryWhitespace,
            flags.boundary_whitespace,
        ),
        (Variable::MultipartHeaderFolding, flags.header_folding),
        (Variable::MultipartLfLine, flags.lf_line),
        (Variable::MultipartMissingSemicolon, flags.missing_semicolon),
        (Variable::MultipartSemicolonMissing, flags.missing_semicolon),
        (Variable::MultipartInvalidQuoting, flags.invalid_quoting),
        (Variable::MultipartInvalidPart, flags.invalid_part),
        (
            Variable::MultipartInvalidHeaderFolding,
            flags.invalid_header_folding,
        ),
        (
            Variable::MultipartFileLimitExceeded,
            flags.file_limit_exceeded,
        ),
        (
            Variable::MultipartDuplicatePartHeader,
            flags.duplicate_part_header,
        ),
    ];
    for (variable, set) in strict {
        state.set_number(variable, usize::from(set));
    }
    state.set_number(
        Variable::MultipartStrictError,
        usize::from(flags.strict_error()),
    );
    state.set_number(
        Variable::MultipartCrlfLfLines,
        usize::from(flags.crlf_lf_lines),
    );
    state.set_number(
        Variable::MultipartUnmatchedBoundary,
        usize::from(flags.unmatched_boundary),
    );
}
