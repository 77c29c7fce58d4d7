//! What a site or a route changes about rules it shares with others.
//!
//! [`TuningSpec`] is what a user writes; [`TuningSpec::lay`] puts it over a [`Profile`], which holds
//! the rules by reference. So a thousand routes with settings of their own cost a few hundred bytes
//! each, and nothing is compiled again. What a pinned variable, a removed rule and an exclusion mean
//! to the letter stands at [`Profile`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CrsSpec, Setting, SpecError};
use crate::{Choice, Chosen, Profile, ProfileError};

/// Changes to loaded rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TuningSpec {
    /// `TX` variables with a fixed value, for example `arg_length: 400`: set before the first rule,
    /// and no rule changes them.
    pub tx: BTreeMap<String, Setting>,
    /// Rules that do not run: numbers (`942100`) and ranges (`942000-942999`).
    pub disabled_rules: Vec<RuleIds>,
    /// Rules that do not run: those with one of these tags.
    pub disabled_tags: Vec<String>,
    /// Rules that do not run: those of these files, for example `REQUEST-933-*.conf`; `*` stands for
    /// any part of a name.
    pub disabled_files: Vec<String>,
    /// Values that some rules do not look at.
    pub exclusions: Vec<ExclusionSpec>,
}

/// Values that some rules do not look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExclusionSpec {
    /// The rules meant, by number or range.
    pub rules: Vec<RuleIds>,
    /// The rules meant, by tag.
    pub tags: Vec<String>,
    /// The rules meant, by file.
    pub files: Vec<String>,
    /// What they do not look at: `ARGS:password`, `REQUEST_COOKIES:/^sess/`, `ARGS:json.user.*` (a key
    /// and everything below it), or all of a variable, as in `REQUEST_BODY`.
    #[schemars(length(min = 1))]
    pub targets: Vec<String>,
}

/// Rules by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RuleIds {
    /// One rule.
    One(u64),
    /// A range: `942000-942999`.
    Range(String),
}

impl RuleIds {
    fn bounds(&self) -> Option<(u64, u64)> {
        let text = match self {
            Self::One(id) => return Some((*id, *id)),
            Self::Range(text) => text,
        };
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let bounds = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        (bounds.0 <= bounds.1).then_some(bounds)
    }
}

/// Settings of the Core Rule Set that a route changes; those that are not written stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CrsChangeSpec {
    /// Paranoia level whose rules count towards blocking.
    #[schemars(range(min = 1, max = 4))]
    pub paranoia: Option<u8>,
    /// Paranoia level whose rules run and are recorded; at least `paranoia`.
    #[schemars(range(min = 1, max = 4))]
    pub detection_paranoia: Option<u8>,
    /// Anomaly score from which a request is refused.
    #[schemars(range(min = 1, max = 100_000))]
    pub inbound_threshold: Option<u32>,
    /// Anomaly score from which a response is refused.
    #[schemars(range(min = 1, max = 100_000))]
    pub outbound_threshold: Option<u32>,
    /// Refuse already after phase 1 or 3 when the score is reached there.
    pub early_blocking: Option<bool>,
}

impl CrsChangeSpec {
    /// True if nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `crs` with these changes. A detection level that is inherited rises with `paranoia`.
    #[must_use]
    pub fn apply(&self, crs: &CrsSpec) -> CrsSpec {
        let paranoia = self.paranoia.unwrap_or(crs.paranoia);
        let inherited = crs.detection_paranoia.filter(|level| *level >= paranoia);
        CrsSpec {
            paranoia,
            detection_paranoia: self.detection_paranoia.or(inherited),
            inbound_threshold: self.inbound_threshold.unwrap_or(crs.inbound_threshold),
            outbound_threshold: self.outbound_threshold.unwrap_or(crs.outbound_threshold),
            early_blocking: self.early_blocking.unwrap_or(crs.early_blocking),
            settings: crs.settings.clone(),
        }
    }
}

impl TuningSpec {
    /// Lays everything over `profile`, in this order: variables, removed rules, exclusions.
    ///
    /// # Errors
    /// Every entry that the rules have no place for; the others are laid.
    pub fn lay(&self, profile: &mut Profile) -> Result<(), Vec<SpecError>> {
        let mut mistakes = Mistakes::default();
        for (name, value) in &self.tx {
            let laid = profile.pin(name, &value.to_string());
            mistakes.note(laid, &["tx", name]);
        }
        let disabled = ["disabled_rules", "disabled_tags", "disabled_files"];
        let lists = Lists {
            rules: &self.disabled_rules,
            tags: &self.disabled_tags,
            files: &self.disabled_files,
        };
        let removed = lists.choose(profile, &mut mistakes, &[], disabled);
        profile.remove(&removed);
        for (number, exclusion) in self.exclusions.iter().enumerate() {
            exclusion.lay(profile, &number.to_string(), &mut mistakes);
        }
        mistakes.end()
    }
}

impl ExclusionSpec {
    fn lay(&self, profile: &mut Profile, number: &str, mistakes: &mut Mistakes) {
        let at = ["exclusions", number];
        let lists = Lists {
            rules: &self.rules,
            tags: &self.tags,
            files: &self.files,
        };
        if lists.is_empty() {
            let missing = error("expected `rules`, `tags` or `files`: the rules that are meant");
            mistakes.note(Err::<(), _>(missing), &at);
        }
        let chosen = lists.choose(profile, mistakes, &at, ["rules", "tags", "files"]);
        for (place, target) in self.targets.iter().enumerate() {
            let laid = profile.exclude(&chosen, target);
            let place = place.to_string();
            mistakes.note(laid, &[&at[..], &["targets", &place]].concat());
        }
    }
}

/// Rules by number, tag and file.
struct Lists<'a> {
    rules: &'a [RuleIds],
    tags: &'a [String],
    files: &'a [String],
}

impl Lists<'_> {
    fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.tags.is_empty() && self.files.is_empty()
    }

    /// The rules that are meant; what means none is a mistake below `at`, under its list's key.
    fn choose(
        &self,
        profile: &Profile,
        mistakes: &mut Mistakes,
        at: &[&str],
        keys: [&str; 3],
    ) -> Chosen {
        let ids = self.rules.iter().map(|ids| match ids.bounds() {
            Some((from, to)) => Ok(Choice::Ids(from, to)),
            None => Err(error(
                "expected a rule's number, or a range as in `942000-942999`",
            )),
        });
        let tags = self.tags.iter().map(|tag| Ok(Choice::Tag(tag)));
        let files = self.files.iter().map(|file| Ok(Choice::File(file)));
        let [first, second, third] = keys;
        let all = (ids.enumerate().map(|(n, choice)| (first, n, choice)))
            .chain(tags.enumerate().map(|(n, choice)| (second, n, choice)))
            .chain(files.enumerate().map(|(n, choice)| (third, n, choice)));
        let mut chosen = Chosen::default();
        for (key, number, choice) in all {
            let number = number.to_string();
            let path = [at, &[key, &number]].concat();
            let more = choice.and_then(|choice| profile.choose(choice));
            if let Some(more) = mistakes.note(more, &path) {
                chosen.extend(&more);
            }
        }
        chosen
    }
}

/// What went wrong so far.
#[derive(Default)]
struct Mistakes(Vec<SpecError>);

impl Mistakes {
    fn note<T>(&mut self, result: Result<T, ProfileError>, path: &[&str]) -> Option<T> {
        result
            .map_err(|error| {
                self.0.push(SpecError {
                    path: path.iter().map(|key| (*key).to_owned()).collect(),
                    message: error.message.into(),
                    help: error.help,
                });
            })
            .ok()
    }

    fn end(self) -> Result<(), Vec<SpecError>> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.0)
        }
    }
}

fn error(message: &str) -> ProfileError {
    ProfileError {
        message: message.to_owned(),
        help: None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Loader;

    fn profile() -> Profile {
        let rules = "SecRule ARGS \"@rx a\" \"id:10,phase:2,deny,tag:'t',setvar:tx.known=1\"";
        let loaded = Loader::new().text("some.conf", rules).load();
        Profile::new(Arc::new(loaded.unwrap().rules))
    }

    fn read(text: &str) -> TuningSpec {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn everything_is_laid_over_the_rules() {
        let tuning = read(
            r#"{"tx": {"known": 7}, "disabled_rules": [10, "5-15"], "disabled_tags": ["t"],
                "disabled_files": ["some*"],
                "exclusions": [{"rules": ["10"], "targets": ["ARGS:x", "REQUEST_BODY"]}]}"#,
        );
        let mut profile = profile();
        assert_eq!(tuning.lay(&mut profile), Ok(()));
        assert_eq!(profile.removed_count(), 1);
        assert_eq!(profile.exclusion_count(), 2);
        assert_eq!(
            profile.pins().collect::<Vec<_>>(),
            [(&b"known"[..], &b"7"[..])]
        );
    }

    #[test]
    fn every_mistake_is_named_with_its_keys() {
        let tuning = read(
            r#"{"tx": {"unknwn": 7}, "disabled_rules": [10, 11, "x"], "disabled_tags": ["u"],
                "disabled_files": ["other*"],
                "exclusions": [{"targets": ["ARGS"]}, {"tags": ["t"], "targets": ["NOPE"]}]}"#,
        );
        let mistakes = tuning.lay(&mut profile()).unwrap_err();
        let paths: Vec<String> = mistakes.iter().map(|e| e.path.join(".")).collect();
        assert_eq!(
            paths,
            [
                "tx.unknwn",
                "disabled_rules.1",
                "disabled_rules.2",
                "disabled_tags.0",
                "disabled_files.0",
                "exclusions.0",
                "exclusions.1.targets.0",
            ]
        );
    }

    #[test]
    fn a_route_changes_what_it_names_and_keeps_the_rest() {
        let crs = CrsSpec {
            detection_paranoia: Some(2),
            inbound_threshold: 9,
            ..CrsSpec::default()
        };
        let change: CrsChangeSpec = serde_json::from_str(r#"{"paranoia": 3}"#).unwrap();
        let changed = change.apply(&crs);
        assert_eq!((changed.paranoia, changed.detection_paranoia), (3, None));
        assert_eq!(changed.inbound_threshold, 9);
        assert_eq!(CrsChangeSpec::default().apply(&crs), crs);
    }
}
