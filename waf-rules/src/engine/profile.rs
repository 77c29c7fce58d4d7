//! What a site or a route changes about rules it shares with others: an overlay, never a copy.
//!
//! A [`Profile`] holds the shared rules by reference and a few bits and names beside them. It is
//! made before traffic and never changes. Four things are laid over the rules:
//!
//! - **Pinned variables.** A pinned `TX` variable has its value before phase 1, and no `setvar` of
//!   any rule changes or removes it: neither the `SecAction`s of a setup file nor the defaults that
//!   the Core Rule Set's initialisation sets where a variable is missing (`&TX:x "@eq 0"`) nor a rule
//!   that matches. Captures and anomaly scores cannot be pinned.
//! - **Removed rules** do not run, as after `ctl:ruleRemoveById` before phase 1.
//! - **Exclusions**: some rules do not look at some values, as after `ctl:ruleRemoveTargetById`.
//!   `ARGS` stands for `ARGS_GET` and `ARGS_POST` too, so that naming a parameter is enough.
//! - Everything else is the rules' own, byte for byte.

use std::sync::Arc;
use std::time::SystemTime;

use super::arena::Arena;
use super::bits::Bits;
use super::ruleset::RuleSet;
use super::selector::Selector;
use super::target::Item;
use super::transaction::{Origin, Transaction};
use super::tx::{Slot, Tx};
use crate::compile::{Names, fits};
use crate::syntax::{did_you_mean, parse_target};
use crate::variables::{self, Variable};

/// Shared rules with settings of their own laid over them.
#[derive(Debug)]
pub struct Profile {
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) pinned: Vec<Pinned>,
    pub(crate) removed: Bits,
    exclusions: Vec<Withheld>,
    /// The rules with an exclusion.
    withheld_from: Bits,
}

/// A `TX` variable the rules cannot change.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) slot: Slot,
    pub(crate) name: Box<[u8]>,
    pub(crate) value: Box<[u8]>,
}

/// Values some rules do not look at.
#[derive(Debug)]
struct Withheld {
    rules: Bits,
    variable: Variable,
    /// `None`: every member.
    selector: Option<Selector>,
}

/// How rules are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'a> {
    /// Those whose identifier lies from the first to the second, both included.
    Ids(u64, u64),
    /// Those with exactly this tag, as written in the rule.
    Tag(&'a str),
    /// Those of every file whose name fits; `*` and `?` as in [`Loader::files`](crate::Loader::files).
    /// A pattern without a slash is compared with the name alone, any other with the whole path.
    File(&'a str),
}

/// Rules of one rule set.
#[derive(Debug, Clone, Default)]
pub struct Chosen(Bits);

impl Chosen {
    /// Adds other rules of the same set.
    pub fn extend(&mut self, more: &Self) {
        self.0.union(&more.0);
    }
}

/// Why something cannot be laid over a rule set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProfileError {
    /// What is wrong.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl Profile {
    /// The rules as they are.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            rules,
            pinned: Vec::new(),
            removed: Bits::default(),
            exclusions: Vec::new(),
            withheld_from: Bits::default(),
        }
    }

    /// Starts a transaction.
    #[must_use]
    pub fn begin(
        self: &Arc<Self>,
        origin: Origin,
        unique_id: &str,
        now: SystemTime,
    ) -> Transaction {
        let rules = Arc::clone(&self.rules);
        Transaction::new(rules, Some(Arc::clone(self)), origin, unique_id, now)
    }

    /// The rules this is laid over.
    #[must_use]
    pub const fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Pins `TX:name` to `value`; a later call for the same name wins.
    ///
    /// # Errors
    /// No rule knows the name, or it is a capture or an anomaly score.
    pub fn pin(&mut self, name: &str, value: &str) -> Result<(), ProfileError> {
        let Some(slot) = self.rules.tx_names.find(name.as_bytes()) else {
            let help = did_you_mean(name, self.rules.tx_names.iter());
            return Err(error("no rule knows a TX variable of this name", help));
        };
        if slot <= LAST_CAPTURE {
            return Err(error(
                "TX:0 to TX:9 are the captures of the last match",
                None,
            ));
        }
        if self.rules.scores.hold(slot) {
            let help = "the threshold it is compared with can be set".to_owned();
            return Err(error("an anomaly score is counted, not set", Some(help)));
        }
        self.pinned.retain(|pinned| pinned.slot != slot);
        self.pinned.push(Pinned {
            slot,
            name: name.as_bytes().into(),
            value: value.as_bytes().into(),
        });
        Ok(())
    }

    /// The rules that `choice` names.
    ///
    /// # Errors
    /// There is none.
    pub fn choose(&self, choice: Choice<'_>) -> Result<Chosen, ProfileError> {
        let mut chosen = Bits::with_room(self.rules.rules.len());
        let mut found = false;
        for (number, rule) in self.rules.rules.iter().enumerate() {
            let meant = match choice {
                Choice::Ids(from, to) => (from..=to).contains(&rule.id),
                Choice::Tag(tag) => rule.meta.tags.iter().any(|own| own == tag),
                Choice::File(pattern) => file_fits(pattern, &rule.meta.file),
            };
            if meant {
                found = true;
                chosen.insert(number);
            }
        }
        if found {
            return Ok(Chosen(chosen));
        }
        Err(match choice {
            Choice::Ids(from, to) if from == to => error("no rule has this number", None),
            Choice::Ids(..) => error("no rule has a number in this range", None),
            Choice::Tag(tag) => {
                let tags = self
                    .rules
                    .rules
                    .iter()
                    .flat_map(|rule| rule.meta.tags.iter());
                let help = did_you_mean(tag, tags.map(String::as_str));
                error("no rule has this tag", help)
            }
            Choice::File(pattern) => {
                let files = self
                    .rules
                    .rules
                    .iter()
                    .map(|rule| base_name(&rule.meta.file));
                let help = did_you_mean(pattern, files);
                error("no rule stands in a file of this name", help)
            }
        })
    }

    /// Takes `rules` out.
    pub fn remove(&mut self, rules: &Chosen) {
        self.removed.union(&rules.0);
    }

    /// Keeps `rules` from looking at `target`: a variable, or members of one as a rule would name
    /// them, or a tree of keys (`ARGS:json.user.*`).
    ///
    /// # Errors
    /// What is wrong with the target.
    pub fn exclude(&mut self, rules: &Chosen, target: &str) -> Result<(), ProfileError> {
        let (name, selector) = parse_target(target).map_err(|message| error(message, None))?;
        let variable =
            Names::variable(&name).map_err(|(message, help)| ProfileError { message, help })?;
        if selector.is_some() && !variable.keyed() {
            return Err(error(format!("{} has no members", variable.name()), None));
        }
        let selector = selector.as_ref().map(Selector::read).transpose();
        let selector = selector.map_err(|message| error(message, None))?;
        self.withheld_from.union(&rules.0);
        self.exclusions.push(Withheld {
            rules: rules.0.clone(),
            variable,
            selector,
        });
        Ok(())
    }

    /// True if nothing is laid over the rules.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.pinned.is_empty() && self.exclusions.is_empty() && self.removed.is_empty()
    }

    /// The pinned variables with their values.
    pub fn pins(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pinned
            .iter()
            .map(|pinned| (&*pinned.name, &*pinned.value))
    }

    /// How many rules do not run.
    #[must_use]
    pub fn removed_count(&self) -> usize {
        self.removed.len()
    }

    /// How many exclusions there are.
    #[must_use]
    pub fn exclusion_count(&self) -> usize {
        self.exclusions.len()
    }

    /// Sets the pinned variables in a new transaction.
    pub(crate) fn pin_all(&self, tx: &mut Tx, arena: &mut Arena) {
        for pinned in &self.pinned {
            tx.pin(pinned.slot, &pinned.name, &pinned.value, arena);
        }
    }

    /// True if there is a value that rule number `rule` does not look at.
    pub(crate) fn withholds_any(&self, rule: u32) -> bool {
        self.withheld_from.contains(rule as usize)
    }

    /// True if rule number `rule` does not look at `item`, whose name is `name`.
    pub(crate) fn withholds(&self, rule: u32, item: &Item, name: &[u8]) -> bool {
        self.withheld_from.contains(rule as usize)
            && self.exclusions.iter().any(|withheld| {
                withheld.rules.contains(rule as usize)
                    && covers(withheld.variable, item.variable)
                    && withheld
                        .selector
                        .as_ref()
                        .is_none_or(|selector| selector.matches(name))
            })
    }
}

/// True if whoever names `wide` means `variable` too.
fn covers(wide: Variable, variable: Variable) -> bool {
    wide == variable
        || matches!(wide.origin(), variables::Origin::Union(parts) if parts.contains(&variable))
}

fn file_fits(pattern: &str, file: &str) -> bool {
    let file = if pattern.contains('/') {
        file
    } else {
        base_name(file)
    };
    fits(pattern.as_bytes(), file.as_bytes())
}

fn base_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn error(message: impl Into<String>, help: Option<String>) -> ProfileError {
    ProfileError {
        message: message.into(),
        help,
    }
}

/// Slots 0 to 9 are the captures.
const LAST_CAPTURE: Slot = 9;

#[cfg(test)]
mod tests;
