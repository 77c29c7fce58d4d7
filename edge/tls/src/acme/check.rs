//! Finds everything that is wrong with `tls.acme`, each with its path.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use edge_core::Secret;
use edge_core::units::HumanDuration;
use http::Uri;
use sha2::{Digest as _, Sha256};

use super::secrets;
use super::settings::{Account, Certificate, Dns, OnDemand, Proof, Share, Source};
use super::spec::{
    AccountSpec, CertificateSpec, Challenge, KeyType, OnDemandSpec, Problem, SecretText, ShareSpec,
};

type Named<T> = BTreeMap<String, Arc<T>>;

/// Collects problems; values that may be secret are never repeated.
#[derive(Default)]
pub(crate) struct Checks(Vec<Problem>);

impl Checks {
    pub(crate) fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem {
            path: path.into(),
            message: message.into(),
        });
    }

    pub(crate) fn finish<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.0)
        }
    }

    pub(crate) fn time(&mut self, path: &str, value: HumanDuration, least: Duration) -> Duration {
        if value.0 < least || value.0 > MAX_TIME {
            let least = HumanDuration(least);
            self.error(path, format!("expected a time from {least} to 7d"));
        }
        value.0
    }

    pub(crate) fn account(&mut self, name: String, spec: AccountSpec) -> Account {
        let at = |key: &str| format!("accounts.{name}.{key}");
        if name.is_empty()
            || !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        {
            self.error(
                format!("accounts.{name}"),
                "expected a name of letters, digits, `-` and `_`: files are named after it",
            );
        }
        self.url(&at("directory"), &spec.directory);
        if let Some(staging) = &spec.staging {
            self.url(&at("staging"), staging);
            if *staging == spec.directory {
                self.error(at("staging"), "this is the production directory as well");
            }
        }
        if !spec.agree_to_terms {
            self.error(
                at("agree_to_terms"),
                "without `true` the authority makes no account: read its terms first",
            );
        }
        for (index, contact) in spec.contact.iter().enumerate() {
            if !contact.contains(':') {
                let path = format!("{}[{index}]", at("contact"));
                self.error(path, "expected a URL such as `mailto:ops@example.com`");
            }
        }
        if !(1..=100_000).contains(&spec.orders_per_hour) {
            self.error(at("orders_per_hour"), "expected 1 to 100000");
        }
        let external = spec.external_account.map(|external| {
            let path = at("external_account");
            let source = self.secret(&path, "secret", external.secret, external.secret_file);
            if let Source::Value(secret) = &source
                && secrets::base64(secret.expose()).is_none()
            {
                self.error(format!("{path}.secret"), "expected base64url");
            }
            (external.key_id, source)
        });
        Account {
            directory: spec.directory,
            staging: spec.staging,
            // Empty is what an unset variable of an example leaves.
            ca: spec.ca.filter(|ca| !ca.is_empty()).map(Into::into),
            contact: spec.contact,
            external,
            orders_per_hour: spec.orders_per_hour,
            profile: spec.profile,
            name,
        }
    }

    pub(crate) fn certificate(
        &mut self,
        index: usize,
        spec: CertificateSpec,
        accounts: &Named<Account>,
        dns: &Named<Dns>,
    ) -> Option<Certificate> {
        let path = format!("certificates[{index}]");
        if spec.names.is_empty() || spec.names.len() > MAX_NAMES {
            self.error(format!("{path}.names"), "expected 1 to 100 names");
        }
        let mut names = Vec::new();
        for (index, name) in spec.names.iter().enumerate() {
            let path = format!("{path}.names[{index}]");
            let wildcard = name.starts_with("*.");
            if !is_host(name.strip_prefix("*.").unwrap_or(name)) {
                self.error(path, "expected a host name in ASCII, or `*.` before one");
            } else if wildcard && spec.challenge != Challenge::Dns01 {
                self.error(
                    path,
                    "a wildcard can only be proven by DNS: set `challenge: dns-01`",
                );
            }
            names.push(name.to_ascii_lowercase());
        }
        names.sort();
        names.dedup();
        let account = self.pick(
            &path,
            "account",
            "accounts",
            spec.account.as_deref(),
            accounts,
        );
        let proof = self.proof(&path, spec.challenge, spec.dns.as_deref(), dns);
        let mut certificate = Certificate::new(names, account?, proof?, spec.key);
        certificate.profile = spec.profile;
        Some(certificate)
    }

    /// No two certificates may be the same.
    pub(crate) fn distinct(&mut self, certificates: &[Arc<Certificate>]) {
        let mut seen = std::collections::BTreeSet::new();
        for (index, certificate) in certificates.iter().enumerate() {
            if !seen.insert(&certificate.id) {
                self.error(
                    format!("certificates[{index}]"),
                    "an earlier entry has the same names, key and account",
                );
            }
        }
    }

    pub(crate) fn on_demand(
        &mut self,
        spec: &OnDemandSpec,
        accounts: &Named<Account>,
        dns: &Named<Dns>,
    ) -> Option<OnDemand> {
        if spec.names.is_empty() {
            self.error(
                "on_demand.names",
                "expected at least one name: whoever asks could order certificates otherwise",
            );
        }
        for (index, name) in spec.names.iter().enumerate() {
            if !is_host(name.strip_prefix("*.").unwrap_or(name)) {
                let path = format!("on_demand.names[{index}]");
                self.error(path, "expected a host name in ASCII, or `*.` before one");
            }
        }
        if spec.per_minute == 0 || spec.limit == 0 {
            self.error("on_demand", "limits are at least 1");
        }
        let account = self.pick(
            "on_demand",
            "account",
            "accounts",
            spec.account.as_deref(),
            accounts,
        );
        let proof = self.proof("on_demand", spec.challenge, spec.dns.as_deref(), dns);
        Some(OnDemand {
            names: spec
                .names
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            account: account?,
            proof: proof?,
            key: spec.key,
            per_minute: spec.per_minute,
            limit: spec.limit as usize,
        })
    }

    pub(crate) fn share(&mut self, spec: ShareSpec) -> Share {
        let SecretText(redis) = spec.redis;
        if redis::IntoConnectionInfo::into_connection_info(redis.expose().as_str()).is_err() {
            self.error(
                "share.redis",
                "expected a URL such as `redis://127.0.0.1:6379/0`",
            );
        }
        let key = self.secret("share", "key", spec.key, spec.key_file);
        if let Source::Value(key) = &key
            && secrets::base64(key.expose()).is_none_or(|key| key.len() != 32)
        {
            self.error("share.key", "expected 32 bytes in base64");
        }
        Share {
            redis,
            key,
            prefix: spec.prefix,
        }
    }

    fn proof(
        &mut self,
        path: &str,
        challenge: Challenge,
        name: Option<&str>,
        dns: &Named<Dns>,
    ) -> Option<Proof> {
        match challenge {
            Challenge::Http01 => Some(Proof::Http01),
            Challenge::TlsAlpn01 => Some(Proof::TlsAlpn01),
            Challenge::Dns01 => self.pick(path, "dns", "dns", name, dns).map(Proof::Dns01),
        }
    }

    /// The entry with that name, or the only one.
    fn pick<T>(
        &mut self,
        path: &str,
        key: &str,
        section: &str,
        name: Option<&str>,
        all: &Named<T>,
    ) -> Option<Arc<T>> {
        let found = match name {
            Some(name) => all.get(name),
            None if all.len() == 1 => all.values().next(),
            None => None,
        };
        if found.is_none() {
            let message = match name {
                Some(_) => format!("no such entry in `tls.acme.{section}`"),
                None if all.is_empty() => format!("there is no entry in `tls.acme.{section}`"),
                None => {
                    format!("there are several entries in `tls.acme.{section}`: say `{key}`")
                }
            };
            self.error(format!("{path}.{key}"), message);
        }
        found.cloned()
    }

    pub(super) fn secret(
        &mut self,
        path: &str,
        key: &str,
        value: Option<SecretText>,
        file: Option<String>,
    ) -> Source {
        match (value, file) {
            (Some(SecretText(value)), None) => {
                if value.expose().is_empty() {
                    self.error(format!("{path}.{key}"), "expected text, found nothing");
                }
                Source::Value(value)
            }
            (None, Some(file)) => Source::File(file.into()),
            _ => {
                let message = format!("expected exactly one of `{key}` and `{key}_file`");
                self.error(path, message);
                Source::Value(Secret::default())
            }
        }
    }

    pub(super) fn url(&mut self, path: &str, text: &str) {
        let good = text.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !good {
            self.error(path, "expected an `https` URL");
        }
    }
}

impl Certificate {
    /// `names` are lower case, sorted, each once.
    pub(crate) fn new(
        names: Vec<String>,
        account: Arc<Account>,
        proof: Proof,
        key: KeyType,
    ) -> Self {
        let mut hash = Sha256::new();
        for part in names.iter().chain([&account.name, &account.directory]) {
            hash.update(part);
            hash.update([0]);
        }
        let hash = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(hash.finalize());
        let hash: String = hash
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(12)
            .collect();
        let first = names.first().map_or("", String::as_str);
        let first = first.replace('*', "_wildcard");
        let first: String = first.chars().take(100).collect();
        Self {
            id: format!("{first}-{}-{hash}", key.name()),
            names,
            account,
            proof,
            key,
            profile: None,
            on_demand: false,
        }
    }

    /// Ordered because a client asked for it.
    pub(crate) fn on_demand(mut self) -> Self {
        self.on_demand = true;
        self
    }

    /// The profile to ask for.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.profile.as_deref().or(self.account.profile.as_deref())
    }
}

impl KeyType {
    /// As the configuration calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa4096 => "rsa-4096",
        }
    }
}

/// A host name in ASCII; not an address.
pub(crate) fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253
        && name.split('.').all(label)
        && name
            .rsplit('.')
            .next()
            .is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
}

const MAX_NAMES: usize = 100;
const MAX_TIME: Duration = Duration::from_secs(7 * 24 * 3600);
