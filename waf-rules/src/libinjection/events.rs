//! Event handlers that browsers know and libinjection's list lacks.
//!
//! The C code of ModSecurity's time took every attribute that starts with `on` for a handler and so
//! reported `?online=1`; its successor, and the crate, have a list of names instead, which misses some
//! that attackers use. This looks for those in attributes that have a value, in the contexts and with
//! the tokens of libinjection, so that it may only add what stands in such a place.

use libinjectionrs::xss::{Html5Flags, Html5State, TokenType};

/// True if an attribute of `value` is one of [`HANDLERS`] and has a value.
pub(super) fn handles(value: &[u8]) -> bool {
    is_likely(value) && CONTEXTS.iter().any(|context| handles_in(value, *context))
}

fn handles_in(value: &[u8], context: Html5Flags) -> bool {
    let mut tokens = Html5State::new(value, context);
    let mut handler = false;
    while tokens.next() {
        match tokens.token_type {
            TokenType::AttrValue if handler => return true,
            TokenType::AttrName => {
                let name = tokens.token_start.get(..tokens.token_len);
                handler = name.is_some_and(is_handler);
            }
            _ => handler = false,
        }
    }
    false
}

/// False only if no name of [`HANDLERS`] stands in `value`. Browsers of old skipped NUL in names, so
/// such a value is always looked at.
fn is_likely(value: &[u8]) -> bool {
    memchr::memchr(0, value).is_some()
        || memchr::memchr2_iter(b'n', b'N', value).any(|at| {
            let before = at.checked_sub(1).and_then(|at| value.get(at));
            before.is_some_and(|byte| byte.eq_ignore_ascii_case(&b'o'))
                && value.get(at + 1..).is_some_and(starts_with_handler)
        })
}

fn starts_with_handler(rest: &[u8]) -> bool {
    HANDLERS.iter().any(|handler| {
        rest.get(..handler.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(handler.as_bytes()))
    })
}

fn is_handler(name: &[u8]) -> bool {
    let mut letters = name.iter().filter(|byte| **byte != 0);
    let mut next = || letters.next().map(u8::to_ascii_lowercase);
    if (next(), next()) != (Some(b'o'), Some(b'n')) {
        return false;
    }
    let mut rest = [0; LONGEST];
    let mut length = 0;
    while let Some(byte) = next() {
        let Some(place) = rest.get_mut(length) else {
            return false;
        };
        *place = byte;
        length += 1;
    }
    let rest = rest.get(..length).unwrap_or_default();
    HANDLERS
        .binary_search_by(|handler| handler.as_bytes().cmp(rest))
        .is_ok()
}

/// Where a value may stand in a page, as libinjection tries it.
const CONTEXTS: [Html5Flags; 5] = [
    Html5Flags::DataState,
    Html5Flags::ValueNoQuote,
    Html5Flags::ValueSingleQuote,
    Html5Flags::ValueDoubleQuote,
    Html5Flags::ValueBackQuote,
];

/// Names without their `on`, in lower case, sorted.
const HANDLERS: &[&str] = &[
    "afterscriptexecute",
    "auxclick",
    "beforecommand",
    "beforedeactivate",
    "beforeeditfocus",
    "beforematch",
    "beforescriptexecute",
    "beforetoggle",
    "beforexrselect",
    "bounce",
    "cellchange",
    "command",
    "contentvisibilityautostatechange",
    "contextlost",
    "contextrestored",
    "controlselect",
    "datasetchanged",
    "datasetcomplete",
    "deactivate",
    "domattrmodified",
    "errorupdate",
    "filterchange",
    "formdata",
    "fullscreenchange",
    "fullscreenerror",
    "help",
    "layoutcomplete",
    "losecapture",
    "mediacomplete",
    "mediaerror",
    "moveend",
    "movestart",
    "mozfullscreenchange",
    "pagereveal",
    "pageswap",
    "pointerrawupdate",
    "repeat",
    "resizeend",
    "resizestart",
    "rowenter",
    "rowexit",
    "rowsdelete",
    "rowsinserted",
    "scrollend",
    "scrollsnapchange",
    "scrollsnapchanging",
    "webkitfullscreenchange",
    "webkitmouseforceup",
];

/// The longest of them.
const LONGEST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_in_lower_case_and_no_longer_than_the_buffer() {
        assert!(HANDLERS.is_sorted_by(|a, b| a < b));
        for name in HANDLERS {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
            assert!(name.len() <= LONGEST, "{name}");
        }
    }

    #[test]
    fn handlers_with_a_value_are_found_and_words_like_them_are_not() {
        for attack in [
            "<x onauxclick=alert(1)>",
            "<b id=x tabindex=1 OnBeforeDeactivate = alert(1)>",
            "\" onscrollend=alert(1) ",
            "' ondeactivate='alert(1)",
            "x onbeforescriptexecute=alert(1)",
            "<x on\0auxclick=alert(1)>",
        ] {
            assert!(handles(attack.as_bytes()), "{attack}");
        }
        for innocent in [
            "auxclick=1",
            "the onauxclick event",
            "onhelp",
            "/a?online=1&onhelpful=2",
            "on command = yes",
            "on\0",
            "",
        ] {
            assert!(!handles(innocent.as_bytes()), "{innocent}");
        }
    }
}
