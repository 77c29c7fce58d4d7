//! What the `SecAudit…` directives and `SecComponentSignature` set.

use std::path::Path;
use std::sync::Arc;

use super::status::Statuses;

/// When an entry is written: `SecAuditEngine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum AuditEngine {
    On,
    #[default]
    Off,
    RelevantOnly,
}

/// `SecAuditLogParts`: one bit a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts(u16);

/// `ctl:auditLogParts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartsChange {
    Set(Parts),
    Add(Parts),
    Remove(Parts),
}

/// The audit log of a rule set.
#[derive(Debug, Clone)]
pub(crate) struct AuditSettings {
    pub(crate) engine: AuditEngine,
    /// A rule may switch the engine.
    pub(crate) switched: bool,
    pub(crate) relevant: Option<Statuses>,
    pub(crate) parts: Parts,
    pub(crate) concurrent: bool,
    pub(crate) json: bool,
    pub(crate) log: Option<Arc<Path>>,
    pub(crate) second: Option<Arc<Path>>,
    pub(crate) storage: Option<Arc<Path>>,
    pub(crate) dir_mode: u32,
    pub(crate) file_mode: u32,
    /// `SecComponentSignature`, in load order.
    pub(crate) components: Vec<String>,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            engine: AuditEngine::Off,
            switched: false,
            relevant: None,
            parts: Parts::of("ABCFHZ"),
            concurrent: false,
            json: false,
            log: None,
            second: None,
            storage: None,
            dir_mode: 0o750,
            file_mode: 0o640,
            components: Vec::new(),
        }
    }
}

/// What a host has to open before a rule set runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditOutputs {
    /// Files that are appended to: `SecAuditLog`, and `SecAuditLog2` where the type is Concurrent.
    pub logs: Vec<Arc<Path>>,
    /// Folder with one file an entry, where the type is Concurrent: `SecAuditLogStorageDir`.
    pub storage: Option<Arc<Path>>,
    /// Mode of files that are made.
    pub file_mode: u32,
}

impl AuditSettings {
    /// True if a transaction may come to write an entry.
    pub(crate) fn awaited(&self) -> bool {
        (self.engine != AuditEngine::Off || self.switched) && self.log.is_some()
    }

    /// What is to be opened; nothing if no entry can come.
    pub(crate) fn outputs(&self) -> Option<AuditOutputs> {
        if !self.awaited() {
            return None;
        }
        let second = self.second.as_ref().filter(|_| self.concurrent);
        Some(AuditOutputs {
            logs: self.log.iter().chain(second).cloned().collect(),
            storage: self.storage.clone().filter(|_| self.concurrent),
            file_mode: self.file_mode,
        })
    }
}

impl AuditEngine {
    /// On, Off or RelevantOnly.
    pub(crate) fn from_name(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            "relevantonly" => Ok(Self::RelevantOnly),
            _ => Err("expected On, Off or RelevantOnly".to_owned()),
        }
    }
}

impl Parts {
    /// The parts whose letters are in `letters`.
    const fn of(letters: &str) -> Self {
        let bytes = letters.as_bytes();
        let (mut bits, mut rest) = (0, bytes);
        while let [letter, tail @ ..] = rest {
            bits |= Self::bit(*letter);
            rest = tail;
        }
        Self(bits)
    }

    const fn bit(letter: u8) -> u16 {
        match letter {
            b'A'..=b'K' => 1 << (letter - b'A'),
            b'Z' => 1 << 15,
            _ => 0,
        }
    }

    /// Reads `ABIJDEFHZ`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let letters = text.to_ascii_uppercase();
        match letters
            .chars()
            .find(|letter| !matches!(letter, 'A'..='K' | 'Z'))
        {
            Some(letter) => Err(format!("`{letter}` is not a part: expected A to K and Z")),
            None if letters.is_empty() => Err("expected letters, such as ABIJDEFHZ".to_owned()),
            None => Ok(Self::of(&letters)),
        }
    }

    /// True if the part is written.
    pub(crate) fn has(self, letter: u8) -> bool {
        self.0 & Self::bit(letter) != 0
    }
}

impl PartsChange {
    /// Reads `+E`, `-E` or `ABC`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(parts), _) => Parts::parse(parts).map(Self::Add),
            (_, Some(parts)) => Parts::parse(parts).map(Self::Remove),
            _ => Parts::parse(text).map(Self::Set),
        }
    }

    /// The parts after the change.
    pub(crate) fn apply(self, to: Parts) -> Parts {
        match self {
            Self::Set(parts) => parts,
            Self::Add(parts) => Parts(to.0 | parts.0),
            Self::Remove(parts) => Parts(to.0 & !parts.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_letters_that_can_be_added_and_taken() {
        let parts = Parts::parse("abijdefhz").unwrap();
        assert!(parts.has(b'I') && parts.has(b'Z') && !parts.has(b'C') && !parts.has(b'K'));
        let more = PartsChange::parse("+CK").unwrap().apply(parts);
        assert!(more.has(b'C') && more.has(b'K') && more.has(b'E'));
        let less = PartsChange::parse("-E").unwrap().apply(more);
        assert!(!less.has(b'E') && less.has(b'C'));
        assert!(Parts::parse("ABX").is_err() && Parts::parse("").is_err());
    }

    #[test]
    fn nothing_is_awaited_without_an_engine_or_a_file() {
        let mut settings = AuditSettings::default();
        assert!(!settings.awaited());
        settings.engine = AuditEngine::On;
        assert!(!settings.awaited());
        settings.log = Some(Path::new("audit.log").into());
        assert!(settings.awaited());
        settings.engine = AuditEngine::Off;
        settings.switched = true;
        assert!(settings.awaited());
    }
}
