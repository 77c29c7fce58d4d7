//! The part of a host's configuration file that says which rules to load.
//!
//! [`RulesSpec`] is what a user writes; [`RulesSpec::sources`] is the order in which its parts are
//! loaded. Later directives win over earlier ones, so that order is the meaning: engine defaults,
//! `directives`, rule sets (each with its settings before its rules), `files`, `directives_after`.
//! Nothing is read here, and relative paths are left to the host.
//!
//! Two specs that [differ](RulesSpec::shared) only in what a profile can lay over rules (paranoia level,
//! thresholds) are one rule set with two profiles. For that, the setup rule of the Core Rule Set takes
//! those settings from variables of its own (`tx.profile_…`), which [`RulesSpec::profile`] pins.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Profile, RuleSet};
pub use tuning::{CrsChangeSpec, ExclusionSpec, RuleIds, TuningSpec};

mod tuning;

/// Which rules run, and their settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RulesSpec {
    /// Rule sets, in load order: `baseline` (built in) and `crs` (from `crs_dir`). Empty: only
    /// `directives` and `files`.
    pub rules: Vec<RuleSetName>,
    /// Directory of an unmodified OWASP Core Rule Set 4: holds `crs-setup.conf` (or its example) and
    /// `rules/`.
    #[schemars(length(min = 1))]
    pub crs_dir: Option<String>,
    /// Settings of the Core Rule Set that it expects in its setup file.
    pub crs: CrsSpec,
    /// How rules see the members of JSON arrays: `coraza` (`json.a.0`) or `modsecurity`
    /// (`json.a.array_0`, and leaves are not in `ARGS_POST`).
    pub json_naming: JsonNaming,
    /// `SecLang` directives loaded before the rule sets: settings and exclusions that act early.
    pub directives: Option<String>,
    /// Files of `SecLang` directives loaded after the rule sets; `*` stands for any part of a name.
    pub files: Vec<String>,
    /// `SecLang` directives loaded last, where rules are updated or removed.
    pub directives_after: Option<String>,
}

impl Default for RulesSpec {
    fn default() -> Self {
        Self {
            rules: vec![RuleSetName::Baseline],
            crs_dir: None,
            crs: CrsSpec::default(),
            json_naming: JsonNaming::default(),
            directives: None,
            files: Vec::new(),
            directives_after: None,
        }
    }
}

/// Whose names the leaves of JSON have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JsonNaming {
    /// As Coraza names them; the built-in rules and the Core Rule Set's tests expect it.
    #[default]
    Coraza,
    /// As `ModSecurity` v3 names them.
    ModSecurity,
}

/// A rule set that can be named.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RuleSetName {
    /// The rules built into this program.
    Baseline,
    /// The OWASP Core Rule Set 4 in `crs_dir`.
    Crs,
}

/// Settings of the Core Rule Set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CrsSpec {
    /// Paranoia level whose rules count towards blocking: 1 (few false positives) to 4.
    #[schemars(range(min = 1, max = 4))]
    pub paranoia: u8,
    /// Paranoia level whose rules run and are recorded; at least `paranoia`, which is the default.
    #[schemars(range(min = 1, max = 4))]
    pub detection_paranoia: Option<u8>,
    /// Anomaly score from which a request is refused.
    #[schemars(range(min = 1, max = 100_000))]
    pub inbound_threshold: u32,
    /// Anomaly score from which a response is refused.
    #[schemars(range(min = 1, max = 100_000))]
    pub outbound_threshold: u32,
    /// Refuse already after phase 1 or 3 when the score is reached there.
    pub early_blocking: bool,
    /// Further variables of its setup file by name, for example `total_arg_length: 64000` or
    /// `allowed_methods: "GET HEAD POST"`.
    pub settings: BTreeMap<String, Setting>,
}

impl Default for CrsSpec {
    fn default() -> Self {
        Self {
            paranoia: 1,
            detection_paranoia: None,
            inbound_threshold: 5,
            outbound_threshold: 4,
            early_blocking: false,
            settings: BTreeMap::new(),
        }
    }
}

/// The value of a setup variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Setting {
    /// A number.
    Number(u64),
    /// Text; blanks separate the entries of a list.
    Text(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A value of a [`RulesSpec`] that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SpecError {
    /// The keys to the value, from the [`RulesSpec`] on.
    pub path: Vec<String>,
    /// What is wrong, without the value.
    pub message: Cow<'static, str>,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

/// One thing to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source<'a> {
    /// Directives as text; `name` stands in messages.
    Directives {
        /// Which key the text stands under, or what it is.
        name: &'static str,
        /// The directives.
        text: Cow<'a, str>,
    },
    /// The rule set built into this program.
    Baseline,
    /// The first of these files that exists.
    FirstOf {
        /// Their paths.
        files: Vec<String>,
        /// What to tell a user who has none of them.
        help: &'static str,
    },
    /// Every file whose name fits, in the order of their names; see `Loader::files`.
    Files {
        /// The pattern.
        pattern: String,
        /// Whether it is an error that no file fits.
        required: bool,
        /// What to tell a user then.
        help: &'static str,
    },
}

impl RulesSpec {
    /// What is compiled: equal for specs whose profiles can share one rule set.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self {
            crs: CrsSpec {
                settings: self.crs.settings.clone(),
                ..CrsSpec::default()
            },
            ..self.clone()
        }
    }

    /// A profile of `rules`, which were loaded from the sources of this spec or of one that shares
    /// them, with the settings of this one.
    ///
    /// # Errors
    /// The rules were loaded from something else.
    pub fn profile(&self, rules: Arc<RuleSet>) -> Result<Profile, SpecError> {
        let mut profile = Profile::new(rules);
        if self.rules.contains(&RuleSetName::Crs) {
            for (name, value) in self.crs.pinned() {
                profile
                    .pin(&format!("{PINNED}{name}"), &value.to_string())
                    .map_err(|error| SpecError {
                        path: vec!["crs".to_owned()],
                        message: error.message.into(),
                        help: error.help,
                    })?;
            }
        }
        Ok(profile)
    }

    /// What to load, in this order. The rules want to be run under [`RulesSpec::profile`].
    #[must_use]
    pub fn sources(&self) -> Vec<Source<'_>> {
        let mut sources = vec![text("engine defaults", DEFAULTS)];
        if self.json_naming == JsonNaming::ModSecurity {
            let naming = "SecRequestBodyJsonNaming ModSecurity";
            sources.push(text("json_naming", naming));
        }
        sources.extend(self.directives.as_deref().map(|t| text("directives", t)));
        for name in &self.rules {
            match name {
                RuleSetName::Baseline => sources.push(Source::Baseline),
                RuleSetName::Crs => sources.extend(self.crs_sources()),
            }
        }
        sources.extend(self.files.iter().map(|pattern| Source::Files {
            pattern: pattern.clone(),
            required: true,
            help: FILES_HELP,
        }));
        let after = self.directives_after.as_deref();
        sources.extend(after.map(|t| text("directives_after", t)));
        sources
    }

    /// The order the Core Rule Set's manual asks for, plugins included.
    fn crs_sources(&self) -> Vec<Source<'_>> {
        let dir = self.crs_dir.as_deref().unwrap_or_default();
        let files = |name: &str, required| Source::Files {
            pattern: format!("{dir}/{name}"),
            required,
            help: CRS_HELP,
        };
        vec![
            Source::FirstOf {
                files: vec![
                    format!("{dir}/crs-setup.conf"),
                    format!("{dir}/crs-setup.conf.example"),
                ],
                help: CRS_HELP,
            },
            Source::Directives {
                name: "crs",
                text: Cow::Owned(self.crs.directives()),
            },
            files("plugins/*-config.conf", false),
            files("plugins/*-before.conf", false),
            files("rules/*.conf", true),
            files("plugins/*-after.conf", false),
        ]
    }

    /// Every value that cannot be used.
    #[must_use]
    pub fn mistakes(&self) -> Vec<SpecError> {
        let mut mistakes = Vec::new();
        let mut wrong = |path: &[&str], message| {
            let path = path.iter().map(|key| (*key).to_owned()).collect();
            mistakes.push(SpecError {
                path,
                message: Cow::Borrowed(message),
                help: None,
            });
        };
        let wants_crs = self.rules.contains(&RuleSetName::Crs);
        if wants_crs && self.crs_dir.as_deref().is_none_or(str::is_empty) {
            wrong(&["rules"], "`crs` needs `crs_dir`");
        }
        let twice = self.rules.iter().enumerate();
        if twice
            .clone()
            .any(|(at, name)| self.rules.iter().skip(at + 1).any(|n| n == name))
        {
            wrong(&["rules"], "a rule set stands here twice");
        }
        let crs = &self.crs;
        if crs.detection_paranoia.is_some_and(|n| n < crs.paranoia) {
            wrong(
                &["crs", "detection_paranoia"],
                "must not be below `paranoia`",
            );
        }
        for (name, value) in &crs.settings {
            if !is_variable_name(name) {
                wrong(
                    &["crs", "settings", name],
                    "a setting's name has letters, digits and `_` only",
                );
            } else if !is_plain_value(&value.to_string()) {
                wrong(
                    &["crs", "settings", name],
                    "the value holds a quote, comma, backslash, `%{` or control character",
                );
            }
        }
        mistakes
    }
}

const fn text<'a>(name: &'static str, text: &'a str) -> Source<'a> {
    Source::Directives {
        name,
        text: Cow::Borrowed(text),
    }
}

impl CrsSpec {
    /// These settings as the rule the setup file would hold; loaded after that file, so it wins.
    fn directives(&self) -> String {
        let mut out = String::from("SecAction \"id:900001,phase:1,pass,t:none,nolog");
        let mut set = |name: &str, value: &dyn fmt::Display| {
            // Writing to a String cannot fail.
            let _ = write!(out, ",setvar:'tx.{name}={value}'");
        };
        for (name, _) in self.pinned() {
            set(name, &format_args!("%{{tx.{PINNED}{name}}}"));
        }
        for (name, value) in &self.settings {
            set(name, value);
        }
        out.push_str("\"\n");
        out
    }

    /// The settings that a profile holds, by the variable of the rule set.
    fn pinned(&self) -> [(&'static str, u32); 5] {
        let detection = self.detection_paranoia.unwrap_or(self.paranoia);
        [
            ("blocking_paranoia_level", self.paranoia.into()),
            ("detection_paranoia_level", detection.into()),
            ("inbound_anomaly_score_threshold", self.inbound_threshold),
            ("outbound_anomaly_score_threshold", self.outbound_threshold),
            ("early_blocking", self.early_blocking.into()),
        ]
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// True if the text can stand in `setvar:'...'` without ending it or expanding to anything.
fn is_plain_value(text: &str) -> bool {
    !text.contains("%{")
        && !text.contains(['\'', '"', ',', '\\'])
        && !text.contains(char::is_control)
}

/// Begins the name of a variable that holds what a profile says.
const PINNED: &str = "profile_";

const CRS_HELP: &str = "`crs_dir` is a checkout of the OWASP CRS 4: expected crs-setup.conf or \
    crs-setup.conf.example and rules/ in it";
const FILES_HELP: &str = "`files` names files of SecLang directives; a relative path belongs to the \
    directory of the file it is written in, and `*` stands for any part of a name";

/// What every rule set relies on: bodies are read, JSON and XML are parsed as what they are, and what
/// cannot be parsed or is too much to inspect is refused, because a lenient application might still
/// read it. The identifiers are those that `ModSecurity`'s users know these rules by.
const DEFAULTS: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecArgumentsLimit 1000
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application|text)/(?:[a-z0-9.-]+\+)?xml\b" \
    "id:200000,phase:1,pass,t:none,t:lowercase,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/(?:[a-z0-9.-]+\+)?json\b" \
    "id:200001,phase:1,pass,t:none,t:lowercase,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQBODY_ERROR "!@eq 0" \
    "id:200002,phase:2,deny,status:400,t:none,log,severity:CRITICAL,\
    msg:'The request body could not be parsed',logdata:'%{REQBODY_ERROR_MSG}'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
    "id:200003,phase:2,deny,status:400,t:none,log,severity:CRITICAL,\
    msg:'The multipart body is not strictly well-formed'"
SecRule &ARGS "@ge 1000" \
    "id:200007,phase:2,deny,status:400,t:none,log,severity:CRITICAL,\
    msg:'More arguments than can be inspected'"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(edit: impl FnOnce(&mut RulesSpec)) -> RulesSpec {
        let mut spec = RulesSpec::default();
        edit(&mut spec);
        spec
    }

    #[test]
    fn the_default_is_the_baseline_and_nothing_else() {
        let spec = RulesSpec::default();
        assert_eq!(spec.mistakes(), []);
        let sources = spec.sources();
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[1], Source::Baseline);
    }

    #[test]
    fn settings_come_between_the_setup_file_and_the_rules() {
        let spec = spec(|s| {
            s.rules = vec![RuleSetName::Crs];
            s.crs_dir = Some("/crs".into());
            s.crs.paranoia = 2;
            s.crs
                .settings
                .insert("arg_length".into(), Setting::Number(400));
            s.directives_after = Some("SecRuleRemoveById 1".into());
        });
        let names: Vec<String> = spec
            .sources()
            .iter()
            .map(|source| match source {
                Source::Directives { name, .. } => (*name).to_owned(),
                Source::Baseline => "baseline".to_owned(),
                Source::FirstOf { files, .. } => files[0].clone(),
                Source::Files { pattern, .. } => pattern.clone(),
            })
            .collect();
        assert_eq!(names[1..3], ["/crs/crs-setup.conf", "crs"]);
        assert_eq!(
            names[5..],
            [
                "/crs/rules/*.conf",
                "/crs/plugins/*-after.conf",
                "directives_after"
            ]
        );
        let text = spec.crs.directives();
        let level = "setvar:'tx.detection_paranoia_level=%{tx.profile_detection_paranoia_level}'";
        assert!(text.contains(level), "{text}");
        assert!(text.contains("setvar:'tx.arg_length=400'"), "{text}");
    }

    #[test]
    fn paranoia_and_thresholds_are_the_profiles_and_the_rules_are_shared() {
        let strict = spec(|s| {
            s.rules = vec![RuleSetName::Crs];
            s.crs.paranoia = 3;
            s.crs.inbound_threshold = 20;
        });
        let plain = spec(|s| s.rules = vec![RuleSetName::Crs]);
        assert_eq!(strict.shared(), plain.shared());
        assert_eq!(strict.sources(), plain.sources());
        let loaded = crate::Loader::new().text("crs", &plain.crs.directives());
        let profile = strict.profile(Arc::new(loaded.load().unwrap().rules));
        let profile = profile.unwrap();
        let level = &b"profile_detection_paranoia_level"[..];
        assert!(profile.pins().any(|pin| pin == (level, &b"3"[..])));
        let other = spec(|s| {
            s.rules = vec![RuleSetName::Crs];
            s.crs
                .settings
                .insert("arg_length".into(), Setting::Number(400));
        });
        assert_ne!(other.shared(), plain.shared());
    }

    #[test]
    fn a_setting_cannot_smuggle_an_action_into_the_rule() {
        for value in [
            "x',ctl:ruleEngine=Off,msg:'",
            "a\"b",
            "%{tx.x}",
            "a\nb",
            "a\\",
        ] {
            let spec = spec(|s| {
                let value = Setting::Text(value.to_owned());
                s.crs.settings.insert("allowed_methods".into(), value);
            });
            assert_eq!(spec.mistakes().len(), 1, "{value:?}");
        }
        let innocent = spec(|s| {
            let value = Setting::Text("|application/json| |text/xml|".to_owned());
            s.crs
                .settings
                .insert("allowed_request_content_type".into(), value);
        });
        assert_eq!(innocent.mistakes(), []);
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let spec = spec(|s| {
            s.rules = vec![RuleSetName::Crs, RuleSetName::Crs];
            s.crs.paranoia = 3;
            s.crs.detection_paranoia = Some(2);
            s.crs.settings.insert("a b".into(), Setting::Number(1));
        });
        let paths: Vec<String> = spec.mistakes().iter().map(|e| e.path.join(".")).collect();
        assert_eq!(
            paths,
            [
                "rules",
                "rules",
                "crs.detection_paranoia",
                "crs.settings.a b"
            ]
        );
    }
}
