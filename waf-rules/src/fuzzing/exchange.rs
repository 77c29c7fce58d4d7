//! Targets over what a request carries, and over rule files.
//!
//! Each may only panic where a parser broke a promise its module makes: that nothing is lost, nothing
//! grows, and everything stays inside its limits.

use std::ops::{ControlFlow, Range};
use std::sync::LazyLock;

use memchr::memmem;

use crate::Loader;
use crate::body::nested as inner;
use crate::body::xml::XPath;
use crate::body::{cookies as cookie, graphql as gql, json as js, multipart as mp, uri as target};
use crate::body::{urlencoded as form, xml as markup};

/// What [`json`] made of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is JSON.
    Accepted,
    /// It is not.
    Refused,
    /// It may be, but a limit was met first.
    Limited,
}

/// Decoding never grows, and splitting loses no pair.
pub fn urlencoded(data: &[u8]) {
    let (mut pairs, mut bytes) = (0, 0);
    let outcome = form::parse(data, b'&', &mut |name, value| {
        pairs += 1;
        bytes += name.len() + value.len();
        ControlFlow::Continue(())
    });
    let separators = data.iter().filter(|byte| **byte == b'&').count();
    let trailing = usize::from(data.ends_with(b"&"));
    assert!(!outcome.stopped);
    assert!(bytes <= data.len());
    assert_eq!(
        pairs,
        if data.is_empty() {
            0
        } else {
            separators + 1 - trailing
        }
    );
}

/// The first line is the Content-Type. Contents never overlap, and a cut body is no error.
pub fn multipart(data: &[u8]) {
    let (content_type, body) = split_line(data);
    let limits = mp::Limits {
        parts: 64,
        ..mp::Limits::default()
    };
    let whole = mp::parse(content_type, body, limits);
    let values: usize = whole.fields.iter().map(|field| field.value.len()).sum();
    let contents: usize = whole.files.iter().map(|file| file.content.len()).sum();
    // A part can be a field and a file at once.
    assert!(values <= body.len() && contents <= body.len());
    assert!(whole.files.iter().all(|file| !file.file_names.is_empty()));
    assert!(
        whole
            .files
            .iter()
            .all(|file| file.content.end <= body.len())
    );
    assert!(whole.fields.len().max(whole.files.len()) <= limits.parts + 1);
    assert!(whole.part_headers.len() <= limits.parts * limits.part_headers);
    let partial = mp::parse(
        content_type,
        body,
        mp::Limits {
            partial: true,
            ..limits
        },
    );
    assert!(partial.error.is_none_or(|error| !error.at_end));
    if whole.error.is_none() && !whole.flags.strict_error() {
        assert_eq!(whole.fields, partial.fields);
        assert_eq!(whole.files, partial.files);
    }
}

/// Stays inside its limits under both namings, which agree on what is JSON.
pub fn json(data: &[u8]) -> Verdict {
    let limits = js::Limits {
        depth: 100,
        arguments: 500,
        name_bytes: 1 << 16,
    };
    let read = |naming| {
        let (mut pairs, mut names, mut values) = (0, 0, 0);
        let outcome = js::parse(data, limits, naming, &mut |name, value| {
            pairs += 1;
            names += name.len();
            values += value.len();
            ControlFlow::Continue(())
        });
        assert!(pairs <= limits.arguments && names <= limits.name_bytes);
        (outcome, values)
    };
    let (outcome, values) = read(js::Naming::ModSecurity);
    assert!(values <= data.len());
    let limited = |error: &crate::body::BodyError| {
        matches!(
            error.reason,
            "JSON is too deep" | "too many JSON arguments" | "JSON names are too long"
        )
    };
    match outcome {
        Ok(()) => Verdict::Accepted,
        Err(error) if limited(&error) => Verdict::Limited,
        Err(error) => {
            assert!(error.offset <= data.len());
            let (coraza, _) = read(js::Naming::Coraza);
            assert!(coraza.is_err_and(|other| other == error || limited(&other)));
            Verdict::Refused
        }
    }
}

/// Stays inside its limits, and hands out no byte twice.
pub fn graphql(data: &[u8]) {
    let limits = gql::Limits {
        depth: 50,
        nodes: 200,
        arguments: 100,
        name_bytes: 1 << 14,
    };
    let (mut pairs, mut names, mut values) = (0, 0, 0);
    let document = gql::parse(
        data,
        limits,
        js::Naming::ModSecurity,
        b"graphql",
        &mut |name, value| {
            pairs += 1;
            names += name.len();
            values += value.len();
            ControlFlow::Continue(())
        },
    );
    assert!(pairs <= limits.arguments && names <= limits.name_bytes);
    assert!(values <= data.len() && document.nodes <= limits.nodes);
    assert!(
        document
            .error
            .is_none_or(|error| error.offset <= data.len())
    );
    let written = |name: &Range<usize>| data.get(name.clone()).is_some_and(|name| !name.is_empty());
    assert!(document.field_names.iter().all(written));
}

/// No entity makes a document grow, and a broken one is still inspected.
pub fn xml(data: &[u8]) {
    let limits = markup::Limits::default();
    let xml = markup::parse(data, limits, &PATHS);
    let attributes: usize = xml.attributes.iter().map(Vec::len).sum();
    // ISO-8859-1 doubles its upper half; the raw rest repeats what a broken construct gave already.
    assert!(xml.text.len() + attributes <= 4 * data.len());
    assert!(xml.attributes.len() <= limits.attributes);
    assert!(xml.error.is_some() || !data.is_empty());
    assert!(xml.found.len() <= limits.path_values);
    // Keeping a tree changes nothing else.
    let without = markup::parse(data, limits, &[]);
    assert_eq!(without.attributes, xml.attributes);
    assert!(without.text == xml.text || xml.error.is_some());
}

/// A path on the first line, the document behind it: what is found is text of the document, within limits.
pub fn xpath(data: &[u8]) {
    let (path, document) = split_line(data);
    let spaces = [("p".to_owned(), "urn:p".to_owned())];
    let Ok(path) = XPath::compile(&String::from_utf8_lossy(path), &spaces) else {
        return;
    };
    let limits = markup::Limits {
        path_values: 100,
        path_bytes: 1 << 14,
        ..markup::Limits::default()
    };
    let xml = markup::parse(document, limits, &[path]);
    let bytes: usize = xml.found.iter().map(|(_, text)| text.len()).sum();
    assert!(xml.found.len() <= limits.path_values && bytes <= limits.path_bytes);
    for (_, text) in &xml.found {
        let in_text = text.is_empty() || memmem::find(&xml.text, text).is_some();
        assert!(in_text || xml.attributes.contains(text));
    }
}

/// Nothing inside a value grows beyond the limits, and what was handed out is accounted for.
pub fn nested(data: &[u8]) {
    let limits = inner::Limits {
        depth: 3,
        arguments: 50,
        bytes: 1 << 14,
        json: js::Limits::default(),
    };
    let kinds = inner::Kinds {
        json: true,
        base64: true,
        url: true,
    };
    let (mut left, mut count, mut bytes) = (limits, 0, 0);
    let naming = js::Naming::Coraza;
    let outcome = inner::decode(b"q", data, kinds, &mut left, naming, &mut |name, value| {
        assert!(name.starts_with(b"q."));
        count += 1;
        bytes += name.len() + value.len();
        ControlFlow::Continue(())
    });
    assert_eq!(count + left.arguments, limits.arguments);
    assert_eq!(bytes + left.bytes, limits.bytes);
    assert!(outcome.is_ok() || count > 0 || data.len() > 1 << 10);
}

/// Paths of every form.
#[expect(clippy::expect_used, reason = "the paths stand here")]
static PATHS: LazyLock<Vec<XPath>> = LazyLock::new(|| {
    let spaces = [("p".to_owned(), "urn:p".to_owned())];
    let paths = [
        "/*/a[2]/text()",
        "//a[@b='c'][last()]",
        "//p:*//@p:b",
        "//*[a='x']/@*",
        "//*[local-name()='a']//text()",
    ];
    let compiled = paths.map(|path| XPath::compile(path, &spaces));
    let compiled: Result<_, _> = compiled.into_iter().collect();
    compiled.expect("the paths compile")
});

/// Every byte but the separators and the blanks before names reaches the sink.
pub fn cookies(data: &[u8]) {
    let is_kept = |byte: &&u8| !matches!(byte, b';' | b'=' | b' ' | b'\t'..=b'\r');
    let mut kept = 0;
    let whole = cookie::parse(data, &mut |name, value| {
        kept += name.iter().chain(value).filter(is_kept).count();
        ControlFlow::Continue(())
    });
    assert!(whole);
    assert_eq!(kept, data.iter().filter(is_kept).count());
}

/// Splitting keeps every byte; decoding never grows and finds a bad escape only where a `%` is.
pub fn uri(data: &[u8]) {
    let uri = target::parse(data);
    assert_eq!(uri.raw, data);
    let query = uri.query.map_or(0, |query| query.len() + 1);
    let fragment = uri.fragment.map_or(0, |fragment| fragment.len() + 1);
    assert_eq!(uri.relative.len(), uri.path.len() + query);
    assert!(uri.relative.len() + fragment <= data.len());
    assert!(uri.authority.is_some() || uri.relative.len() + fragment == data.len());
    let mut path = Vec::new();
    let bad = target::percent_decode(uri.path, &mut path);
    assert!(path.len() <= uri.path.len());
    assert!(!bad || uri.path.contains(&b'%'));
    assert!(target::basename(&path).is_none_or(|name| !name.contains(&b'/')));
}

/// A rule file either loads or has problems to show. Rules that read files are left out: what they
/// find depends on the host.
pub fn seclang(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if reads_files(&text) {
        return;
    }
    if let Err(problems) = Loader::new().text("fuzz.conf", &text).load() {
        assert!(!problems.is_empty());
    }
}

/// True of rules that may read files.
pub(super) fn reads_files(text: &str) -> bool {
    let folded = text.to_ascii_lowercase();
    let words = ["include", "file", "@pmf", "matchf", "secgeolookupdb"];
    words.iter().any(|word| folded.contains(word))
}

/// Everything up to the first line feed, and everything behind it.
pub(super) fn split_line(data: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    let line = halves.next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (line, halves.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_runs_on_nothing_and_on_noise() {
        let noise: Vec<u8> = (0..=255).collect();
        for data in [b"".as_slice(), &noise] {
            urlencoded(data);
            multipart(data);
            json(data);
            graphql(data);
            nested(data);
            xml(data);
            xpath(data);
            cookies(data);
            uri(data);
            seclang(data);
        }
    }
}
