//! Why the two engines differ, by class; `docs/differences.md` tells it at length.
//!
//! A class says for which rules and requests it holds, as narrowly as that can be told from outside.
//! None of them is a match that libmodsecurity has and ought to be here.

use crate::requests::{Kind, Request};

/// Who alone matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Ours,
    Theirs,
}

use Side::{Ours, Theirs};

/// A reason that explains some differences.
pub(crate) struct Class {
    pub(crate) why: &'static str,
    sides: &'static [Side],
    /// Rules it is about; empty for all.
    rules: &'static [u64],
    applies: fn(&Request) -> bool,
    /// What the request does not tell is bounded: most differences, half above what all corpora show.
    pub(crate) most: usize,
}

/// The class of a difference: its place in [`CLASSES`].
pub(crate) fn explain(side: Side, id: u64, request: &Request) -> Option<usize> {
    CLASSES.iter().position(|class| {
        class.sides.contains(&side)
            && (class.rules.is_empty() || class.rules.contains(&id))
            && (class.applies)(request)
    })
}

const fn always(_: &Request) -> bool {
    true
}

/// The request tells all there is to tell.
const ANY: usize = usize::MAX;

/// The first that fits explains a difference.
pub(crate) const CLASSES: &[Class] = &[
    Class {
        why: "949110 adds up scores: it follows from the other differences (and never stands alone)",
        sides: &[Ours, Theirs],
        rules: &[949110],
        applies: always,
        most: ANY,
    },
    Class {
        why: "REQUEST_BODY holds multipart, JSON and XML bodies as well there; the CRS expects it not to",
        sides: &[Theirs],
        rules: &[920260, 920272, 920273],
        applies: |request| matches!(request.kind(), Kind::Multipart | Kind::Json | Kind::Xml),
        most: ANY,
    },
    Class {
        why: "a chain whose end does not match is logged there if a link in it matched",
        sides: &[Theirs],
        rules: &[942131],
        applies: |request| request.holds("<") || request.holds(">"),
        most: 20,
    },
    Class {
        why: "MATCHED_VARS still holds hits of rules before the chain there",
        sides: &[Theirs],
        rules: &[932200, 932240, 942200],
        applies: |request| !request.body.is_empty(),
        most: 11,
    },
    Class {
        why: "its libinjection takes every attribute that starts with `on` for an event handler",
        sides: &[Theirs],
        rules: &[941100, 941101],
        applies: Request::has_on_attribute,
        most: 45,
    },
    Class {
        why: "REQUEST_FILENAME keeps scheme and host of an absolute target there",
        sides: &[Theirs],
        rules: &[931131],
        applies: |request| request.target.starts_with("http"),
        most: ANY,
    },
    Class {
        why: "REQUEST_FILENAME ends at an encoded question mark there",
        sides: &[Ours],
        rules: &[],
        applies: |request| request.target.to_ascii_lowercase().contains("%3f"),
        most: ANY,
    },
    Class {
        why: "bodies of other types are read as forms, as 901340 asks; there they are not read at all",
        sides: &[Ours],
        rules: &[],
        applies: |request| request.kind() == Kind::Other && !request.body.is_empty(),
        most: ANY,
    },
    Class {
        why: "a bare line feed vanishes from multipart values there, which joins what stood on two lines",
        sides: &[Ours, Theirs],
        rules: &[],
        applies: |request| request.kind() == Kind::Multipart && request.has_bare_line_feed(),
        most: ANY,
    },
    Class {
        why: "arguments beyond SecArgumentsLimit (1,000) are refused, not read on",
        sides: &[Theirs],
        rules: &[],
        applies: |request| request.count("name=\"") > 1000,
        most: ANY,
    },
    Class {
        why: "a multipart body inside a part is read as parts, not as text",
        sides: &[Ours, Theirs],
        rules: &[],
        applies: |request| request.kind() == Kind::Multipart && request.holds("multipart/mixed"),
        most: ANY,
    },
    Class {
        why: "entities of an XML document are never expanded: rules see its text, declarations and all",
        sides: &[Ours, Theirs],
        rules: &[],
        applies: |request| request.kind() == Kind::Xml && request.holds("<!"),
        most: ANY,
    },
    Class {
        why: "XML that is not well-formed (here UTF-7) is shown to rules as text; nothing of it is there",
        sides: &[Ours],
        rules: &[],
        applies: |request| request.kind() == Kind::Xml && request.holds("encoding=\"UTF-7\""),
        most: ANY,
    },
    Class {
        why: "what was read of a malformed body stays visible to rules; there nothing does",
        sides: &[Ours],
        rules: &[],
        applies: |request| match request.kind() {
            Kind::Json => request.is_malformed_json(),
            Kind::Multipart => request.is_evasion(),
            _ => false,
        },
        most: 660,
    },
    Class {
        why: "t:cssDecode ends a value at a NUL there",
        sides: &[Ours],
        rules: &[
            941100, 941110, 941120, 941150, 941160, 941170, 941180, 941210,
        ],
        applies: |request| request.holds("\\0") || request.holds("\\x00"),
        most: ANY,
    },
    Class {
        why: "the named entities of HTML that t:htmlEntityDecode knows there are five",
        sides: &[Ours],
        rules: &[941120, 941170, 941390],
        applies: |request| {
            ["&colon;", "&comma;", "&lpar;", "&equals;"]
                .iter()
                .any(|name| request.holds(name))
        },
        most: ANY,
    },
    Class {
        why: "t:urlDecodeUni has the best fits of code page 20127 built in; there they need a map",
        sides: &[Ours],
        rules: &[941100, 941110, 941160, 942100],
        applies: Request::is_beyond_ascii,
        most: ANY,
    },
    Class {
        why: "t:normalizePath takes a segment that only ends in `..` for one there, and what stands before it away",
        sides: &[Ours],
        rules: &[930120, 932160, 932190, 932238],
        applies: |request| request.holds("../") || request.holds("..."),
        most: ANY,
    },
    Class {
        why: "@pmFromFile misses a phrase behind the beginning of another one there (`windows/php.ini`)",
        sides: &[Ours],
        rules: &[930120, 932160],
        applies: |request| {
            let starts = ["/usr/", "etc", "/var/", "windows"];
            starts.iter().any(|start| request.holds(start))
        },
        most: 6,
    },
];
