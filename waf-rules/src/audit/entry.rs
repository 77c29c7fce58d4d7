//! A transaction and what its host knows of the end -> the bytes to write.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use md5::Md5;
use sha1::{Digest, Sha1};

use super::escape::quoted;
use super::line::Message;
use super::redact::{Hide, Redaction};
use super::settings::AuditEngine;
use super::stamp::Stamp;
use super::trail::Trail;
use super::{json, native};
use crate::engine::{RuleSet, State};
use crate::variables::Variable;

/// What the host knows once the exchange is over.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// Status sent to the client; `None` if nothing was sent.
    pub status: Option<u16>,
    /// Header fields sent to the client; where there are none, those the rules saw are shown.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// Body bytes sent to the client.
    pub sent: u64,
    /// Name of this machine; entries hold a digest of it.
    pub server: &'a str,
    /// What must not be written.
    pub redaction: &'a Redaction,
}

/// An audit entry, to be written by the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The files `text` is appended to, each of [`AuditOutputs`](super::AuditOutputs).
    pub logs: Vec<Arc<Path>>,
    /// One line or several, without the last line end; must not be torn apart.
    pub text: Vec<u8>,
    /// Where the type is Concurrent: the entry itself, of which `text` is the index line.
    pub file: Option<EntryFile>,
}

/// A file that holds one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFile {
    /// Below `SecAuditLogStorageDir`, from the time and the unique identifier alone.
    pub path: PathBuf,
    /// The whole entry.
    pub content: Vec<u8>,
    /// `SecAuditLogDirMode`, for the folders on the way.
    pub dir_mode: u32,
    /// `SecAuditLogFileMode`.
    pub file_mode: u32,
}

/// Everything an entry is written from.
pub(super) struct Page<'a> {
    pub(super) rules: &'a RuleSet,
    pub(super) state: &'a State,
    pub(super) trail: &'a Trail,
    pub(super) hide: Hide<'a>,
    pub(super) stamp: Stamp,
    ending: Ending<'a>,
}

/// The entry of a transaction; none if it is not to be written.
pub(crate) fn render(rules: &RuleSet, state: &State, ending: &Ending<'_>) -> Option<Entry> {
    let settings = &rules.settings.audit;
    let trail = state.trail.as_deref()?;
    let log = settings.log.as_ref()?;
    if !relevant(rules, trail, ending) {
        return None;
    }
    let page = Page::new(rules, state, trail, *ending);
    let mut content = Vec::with_capacity(2048);
    if settings.json {
        json::write(&page, &mut content);
    } else {
        native::write(
            &page,
            &boundary(page.value(Variable::UniqueId)),
            &mut content,
        );
    }
    let mut logs = vec![log.clone()];
    if !settings.concurrent {
        if content.last() == Some(&b'\n') {
            content.pop();
        }
        return Some(Entry {
            logs,
            text: content,
            file: None,
        });
    }
    logs.extend(settings.second.clone());
    let storage = settings.storage.as_deref().unwrap_or(Path::new(""));
    let path = storage.join(page.file_name());
    let text = page.index_line(&path, &content);
    Some(Entry {
        logs,
        text,
        file: Some(EntryFile {
            path,
            content,
            dir_mode: settings.dir_mode,
            file_mode: settings.file_mode,
        }),
    })
}

/// The lines for an error log, without their ends.
pub(crate) fn lines(rules: &RuleSet, state: &State, redaction: &Redaction) -> Vec<Vec<u8>> {
    let Some(trail) = state.trail.as_deref() else {
        return Vec::new();
    };
    let ending = Ending {
        status: None,
        headers: &[],
        sent: 0,
        server: "",
        redaction,
    };
    let page = Page::new(rules, state, trail, ending);
    let lines = trail.lines.iter().filter(|line| line.logged);
    lines
        .filter_map(|line| Message::new(&page, line))
        .map(|message| {
            let mut out = Vec::new();
            message.write(&page, &mut out);
            out
        })
        .collect()
}

/// True if the entry is to be written: everything, or what a rule reported or whose status says so.
/// In detection mode the status is that of the refusal that was held back.
fn relevant(rules: &RuleSet, trail: &Trail, ending: &Ending<'_>) -> bool {
    match trail.engine {
        AuditEngine::Off => false,
        AuditEngine::On => true,
        AuditEngine::RelevantOnly => {
            let reported = trail.omitted > 0 || trail.lines.iter().any(|line| line.audited);
            let statuses = rules.settings.audit.relevant.as_ref();
            let status = trail.would_be.or(ending.status);
            reported
                || statuses
                    .is_some_and(|statuses| status.is_some_and(|status| statuses.contain(status)))
        }
    }
}

impl<'a> Page<'a> {
    fn new(rules: &'a RuleSet, state: &'a State, trail: &'a Trail, ending: Ending<'a>) -> Self {
        Self {
            rules,
            state,
            trail,
            hide: Hide::new(state, trail, ending.redaction),
            stamp: Stamp::new(state.now),
            ending,
        }
    }

    /// The first value of `variable`.
    pub(super) fn value(&self, variable: Variable) -> &'a [u8] {
        let value = self.state.values.of(variable).next();
        value.map_or(b"", |(_, value)| self.state.arena.get(value.value))
    }

    /// The status that was sent, or that was to be sent.
    pub(super) fn status(&self) -> u16 {
        let intended = self.state.intervention.as_ref().map(|made| made.status);
        self.ending.status.or(intended).unwrap_or(0)
    }

    pub(super) fn server_id(&self) -> String {
        hex(&Sha1::digest(self.ending.server))
    }

    pub(super) fn request_headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.headers(Variable::RequestHeaders)
    }

    /// Calls `each` with the header fields of the answer.
    pub(super) fn response_headers(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
        if self.ending.headers.is_empty() {
            let seen = self.headers(Variable::ResponseHeaders);
            seen.for_each(|(name, value)| each(name, value));
        } else {
            let sent = self.ending.headers.iter();
            sent.for_each(|(name, value)| each(name, value));
        }
    }

    /// Messages of the rules that are to be audited.
    pub(super) fn messages(&self) -> impl Iterator<Item = Message<'a>> {
        let lines = self.trail.lines.iter().filter(|line| line.audited);
        lines.filter_map(|line| Message::new(self, line))
    }

    fn headers(&self, variable: Variable) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let arena = &self.state.arena;
        let values = self.state.values.of(variable);
        values.map(|(_, value)| (arena.get(value.name), arena.get(value.value)))
    }

    /// Folders and file by time and unique identifier; nothing a client sent is part of it.
    fn file_name(&self) -> String {
        let id = self.value(Variable::UniqueId).iter().take(ID);
        let id: String = id
            .map(|byte| char::from(*byte))
            .filter(|byte| byte.is_ascii_alphanumeric() || *byte == '-')
            .collect();
        format!("{}-{id}", self.stamp.path())
    }

    /// The line of the index, in the form of the Combined Log Format with ModSecurity's additions.
    fn index_line(&self, path: &Path, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let header = |wanted: &[u8]| {
            let mut found = self.request_headers();
            let found = found.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            let (name, value) = found.filter(|(_, value)| !value.is_empty())?;
            Some(self.hide.request_header(name, value).into_owned())
        };
        let word = |out: &mut Vec<u8>, bytes: &[u8]| {
            let mut text = Vec::new();
            quoted(&mut text, if bytes.is_empty() { b"-" } else { bytes });
            // A blank would shift every field behind it.
            out.extend(
                text.into_iter()
                    .map(|byte| if byte == b' ' { b'+' } else { byte }),
            );
            out.push(b' ');
        };
        let string = |out: &mut Vec<u8>, bytes: &[u8]| {
            out.push(b'"');
            quoted(out, bytes);
            out.extend_from_slice(b"\" ");
        };
        word(&mut out, &header(b"host").unwrap_or_default());
        word(&mut out, self.value(Variable::RemoteAddr));
        word(&mut out, self.value(Variable::RemoteUser));
        out.extend_from_slice(format!("[{}] ", self.stamp.common()).as_bytes());
        let target = self.hide.target(self.value(Variable::RequestUriRaw));
        let [method, protocol] =
            [Variable::RequestMethod, Variable::RequestProtocol].map(|name| self.value(name));
        string(&mut out, &[method, b" ", &target, b" ", protocol].concat());
        let (status, sent) = (self.status(), self.ending.sent);
        out.extend_from_slice(format!("{status} {sent} ").as_bytes());
        for name in [&b"referer"[..], b"user-agent"] {
            match header(name) {
                None => out.extend_from_slice(b"- "),
                Some(value) => string(&mut out, &value),
            }
        }
        word(&mut out, self.value(Variable::UniqueId));
        word(&mut out, b"-");
        word(&mut out, path.as_os_str().as_encoded_bytes());
        let (size, digest) = (content.len(), hex(&Md5::digest(content)));
        out.extend_from_slice(format!("0 {size} md5:{digest}").as_bytes());
        out
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Eight characters between the sections of one entry. Nobody outside can tell them beforehand, so
/// no body can hold the boundary of its own entry; they come from the process's random hash keys.
pub(super) fn boundary(unique_id: &[u8]) -> String {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    let mut bits = KEYS.get_or_init(RandomState::new).hash_one(unique_id);
    let mut out = String::with_capacity(8);
    for _ in 0..8 {
        let digit = u32::try_from(bits % 36).unwrap_or(0);
        out.push(char::from_digit(digit, 36).unwrap_or('0'));
        bits /= 36;
    }
    out
}

/// What entries name as the engine that wrote them.
pub(super) const PRODUCER: &str = concat!("Palisade waf-rules ", env!("CARGO_PKG_VERSION"));
/// Most bytes of the identifier in a file's name.
const ID: usize = 64;
