//! Selectors: which members of a collection a target means.
//!
//! Every key and regular expression written anywhere in the rules is numbered per collection. When
//! values arrive, each is compared once with all selectors of its collection, and the answers are
//! kept as bits: a rule that names `REQUEST_COOKIES:/^_ga/` costs one bit test afterwards.

use crate::regex::Pattern;
use crate::syntax::SelectorText;
use crate::variables::Variable;

/// What a selector asks of a member's name. All forms but a path ignore the case of ASCII letters.
#[derive(Debug)]
pub(crate) enum Selector {
    /// The whole name.
    Key(Box<[u8]>),
    /// The whole name, letter by letter: the XPath whose values bear it.
    Path(Box<[u8]>),
    /// A search in the name; also what it starts with, if the pattern is `^` and a word.
    Regex(Pattern, Option<Box<[u8]>>),
    /// This name, and the names of everything below it in a document: `json.user` for
    /// `json.user.*`, which means `json.user`, `json.user.name` and `json.user[0].name`.
    Subtree(Box<[u8]>),
}

impl Selector {
    /// Compiles a selector as written.
    pub(crate) fn read(text: &SelectorText) -> Result<Self, String> {
        Ok(match text {
            SelectorText::Regex(pattern) => Self::search(pattern)?,
            SelectorText::Key(key) => {
                match key.strip_suffix(".*").filter(|root| !root.is_empty()) {
                    Some(root) => Self::Subtree(root.as_bytes().into()),
                    None => Self::Key(key.as_bytes().into()),
                }
            }
        })
    }

    /// Compiles a search.
    pub(crate) fn search(pattern: &str) -> Result<Self, String> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let start = pattern
            .strip_prefix('^')
            .filter(|start| start.bytes().all(word))
            .map(|start| start.as_bytes().into());
        Ok(Self::Regex(Pattern::caseless(pattern)?, start))
    }

    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Key(key) => key.eq_ignore_ascii_case(name),
            Self::Path(path) => **path == *name,
            // A later line has a start too.
            Self::Regex(_, Some(start)) if !name.contains(&b'\n') => name
                .get(..start.len())
                .is_some_and(|name| name.eq_ignore_ascii_case(start)),
            Self::Regex(pattern, _) => pattern.is_match(name),
            Self::Subtree(root) => {
                name.split_at_checked(root.len())
                    .is_some_and(|(start, rest)| {
                        start.eq_ignore_ascii_case(root)
                            && matches!(rest.first(), None | Some(b'.' | b'['))
                    })
            }
        }
    }
}

/// All selectors of a rule set, by the family of the variable they stand behind.
#[derive(Debug)]
pub(crate) struct Selectors {
    families: Vec<Vec<Selector>>,
}

impl Default for Selectors {
    fn default() -> Self {
        Self {
            families: (0..Variable::COUNT).map(|_| Vec::new()).collect(),
        }
    }
}

impl Selectors {
    /// Adds a selector and returns its number within the family of `variable`.
    pub(crate) fn add(&mut self, variable: Variable, selector: Selector) -> u32 {
        let Some(family) = self.families.get_mut(variable.family().index()) else {
            return 0;
        };
        family.push(selector);
        u32::try_from(family.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn of(&self, variable: Variable) -> &[Selector] {
        self.families
            .get(variable.family().index())
            .map_or(&[], Vec::as_slice)
    }

    /// The key that selector `number` of `variable` is; none where it is another kind.
    pub(crate) fn key(&self, variable: Variable, number: u32) -> &[u8] {
        match self.of(variable).get(number as usize) {
            Some(Selector::Key(key) | Selector::Path(key)) => key,
            Some(Selector::Regex(..) | Selector::Subtree(_)) | None => &[],
        }
    }

    /// True if `name` is what selector `number` of `variable` means.
    pub(crate) fn matches(&self, variable: Variable, number: u32, name: &[u8]) -> bool {
        self.of(variable)
            .get(number as usize)
            .is_some_and(|selector| selector.matches(name))
    }
}
