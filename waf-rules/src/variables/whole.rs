//! What is filled only where a rule asks for it, for it doubles what a transaction holds: the request as
//! a whole, the content of uploads.

use super::Variable;
use crate::body::multipart::Multipart;
use crate::engine::State;

/// `FULL_REQUEST`: headers, each with a line feed, two more line feeds, body, as in libmodsecurity.
pub(crate) fn fill_full_request(state: &mut State, body: &[u8]) {
    let mut whole = Vec::with_capacity(1024 + body.len());
    for (_, header) in state.values.of(Variable::RequestHeaders) {
        whole.extend_from_slice(state.arena.get(header.name));
        whole.extend_from_slice(b": ");
        whole.extend_from_slice(state.arena.get(header.value));
        whole.push(b'\n');
    }
    whole.extend_from_slice(b"\n\n");
    whole.extend_from_slice(body);
    state.set(Variable::FullRequest, &whole);
    state.set_number(Variable::FullRequestLength, whole.len());
}

/// `FILES_TMP_CONTENT`, from memory; `FILES_TMPNAMES` names no file, for there is none, but tells the
/// uploads apart.
pub(crate) fn file_contents(state: &mut State, form: &Multipart<'_>, body: &[u8]) {
    for file in &form.files {
        let content = body.get(file.content.clone()).unwrap_or_default();
        state.add(Variable::FilesTmpContent, &file.name, content);
    }
    for (number, file) in form.files.iter().enumerate() {
        let name = format!("memory:{number}");
        state.add(Variable::FilesTmpNames, &file.name, name.as_bytes());
    }
}
