//! Entry points of the fuzz targets: each checks one promise of this crate and panics where it is
//! broken. They are ordinary functions so that tests run them too; nothing else calls them.

mod audit_log;
mod exchange;
mod transaction;

pub use audit_log::audit_log;
pub use exchange::{
    Verdict, cookies, graphql, json, multipart, nested, seclang, uri, urlencoded, xml, xpath,
};
pub use transaction::transaction;
#[cfg(test)]
pub(crate) use transaction::{Sent, attacks, fast_and_plain_agree};

use crate::byteset::ByteSet;
use crate::engine::{Literals, RuleSet};
use crate::libinjection;
use crate::operators::Operator;
use crate::regex::Pattern;
use crate::transformations::Transformation;

/// An operator of a rule with a fixed argument.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    rule: u64,
    operator: &'a Operator,
    argument: &'a str,
}

impl<'a> Question<'a> {
    /// The rule's number.
    #[must_use]
    pub fn rule(&self) -> u64 {
        self.rule
    }

    /// The operator's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.operator.name()
    }

    /// The argument as the rule has it.
    #[must_use]
    pub fn argument(&self) -> &'a str {
        self.argument
    }

    /// Asks it of `value`, without any prefilter.
    #[must_use]
    pub fn ask(&self, value: &[u8]) -> bool {
        self.operator.matches(value, self.argument.as_bytes(), None)
    }
}

/// Every question a rule set asks of values, but those with macros.
pub fn questions(rules: &RuleSet) -> impl Iterator<Item = Question<'_>> {
    rules.rules.iter().flat_map(|rule| {
        let checks = rule.links.iter().filter_map(|link| link.check.as_ref());
        checks
            .filter(|check| check.template.is_none())
            .map(|check| Question {
                rule: rule.id,
                operator: &check.operator,
                argument: &check.argument,
            })
    })
}

/// A prefilter may only err towards "maybe": where `pattern` matches `value`, it admits `value`.
pub fn prefilter_agrees(pattern: &str, value: &[u8]) {
    let mut no_files = |_: &str| Err(String::new());
    let Ok(operator) = Operator::compile("rx", pattern, &mut no_files) else {
        return;
    };
    if let Some(filter) = operator.prefilter() {
        let matched = operator.matches(value, pattern.as_bytes(), None);
        assert!(
            !matched || filter.admits(value),
            "{pattern:?} {}",
            value.escape_ascii()
        );
    }
}

/// Asking for a match and asking where it is are the same question.
pub fn captures_agree(pattern: &str, value: &[u8]) {
    if let Ok(pattern) = Pattern::new(pattern) {
        let found = pattern.captures_at(value, 0, |_, _| {});
        assert_eq!(found.is_some(), pattern.is_match(value));
    }
}

/// Every transformation tells the truth about whether it changed the value, and leaves alone what its
/// triggers say it leaves alone.
pub fn transformations_keep_their_word(value: &[u8]) {
    let present = ByteSet::of(value);
    let mut out = Vec::new();
    for transformation in Transformation::all() {
        let changed = transformation.apply(value, &mut out);
        assert_eq!(changed, out != value, "{transformation:?}");
        assert!(
            !changed || !transformation.leaves_alone(present),
            "{transformation:?}"
        );
    }
}

/// The search for many literals finds what an automaton finds, within its budget and beyond it.
pub fn literals_agree(literals: &[&[u8]], value: &[u8]) {
    let owned = literals.iter().zip(0..);
    let Some(search) = Literals::new(owned.map(|(one, owner)| (*one, vec![owner])).collect())
    else {
        return;
    };
    let mut found = vec![0; literals.len().div_ceil(64)];
    let mut searched = found.clone();
    search.scan(value, &mut found);
    search.search(value, 0, &mut searched);
    assert_eq!(found, searched, "{}", value.escape_ascii());
    for (literal, number) in literals.iter().zip(0_usize..) {
        let mut windows = value.windows(literal.len().max(1));
        let occurs = windows.any(|window| window.eq_ignore_ascii_case(literal));
        let bit = found.get(number / 64).map(|word| word >> (number % 64) & 1);
        assert_eq!(Some(u64::from(occurs)), bit, "{}", literal.escape_ascii());
    }
}

/// The quick looks before libinjection hide nothing it would find.
pub fn libinjection_quick_look_agrees(value: &[u8]) {
    assert!(
        libinjection::quick_look_agrees(value),
        "{}",
        value.escape_ascii()
    );
}
