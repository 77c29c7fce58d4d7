//! From what was written to what runs, with every problem told at once.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{
    CertificateSpec, Cipher, ClientCertificatesSpec, ClientMode, HostPolicySpec, HostSpec,
    KeyExchange, MinVersion, Protocol, TlsSpec,
};
use crate::acme::Acme;
use crate::acme::spec::AcmeSpec;
use crate::settings::{ClientAuth, HostPattern, HostPolicy, Settings, Source};

/// One thing that is wrong with the section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// Keys from `tls` down, for example `hosts[1].names[0]`.
    pub path: String,
    /// What is wrong, and what was expected.
    pub message: String,
    /// Whether it is only doubtful.
    pub warning: bool,
}

/// Everything that is wrong with the section, or doubtful.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    fn fail(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.push(path, message, false);
    }

    fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.push(path, message, true);
    }

    fn push(&mut self, path: impl Into<String>, message: impl Into<String>, warning: bool) {
        self.0.push(Problem {
            path: path.into(),
            message: message.into(),
            warning,
        });
    }
}

impl TlsSpec {
    /// What runs, if nothing is wrong; doubts and mistakes are added to `problems`.
    pub fn checked(self, problems: &mut Problems) -> Option<Settings> {
        let before = mistakes(problems);
        let sources = self
            .certificates
            .into_iter()
            .enumerate()
            .filter_map(|(index, spec)| source(spec, &format!("certificates[{index}]"), problems))
            .collect();
        let defaults = Arc::new(policy(self.defaults, "defaults", None, problems));
        let hosts = hosts(self.hosts, &defaults, problems);
        let rotate = self.session_tickets.rotate.0;
        if !rotate.is_zero() && !(MIN_ROTATE..=MAX_ROTATE).contains(&rotate) {
            let message = "expected 1s to 6h, or 0 for none: whoever gets a key can read what was \
                           sent under it";
            problems.fail("session_tickets.rotate", message);
        }
        let acme = self.acme.and_then(|spec| acme(*spec, problems));
        (mistakes(problems) == before).then_some(Settings {
            sources,
            acme,
            defaults,
            hosts,
            rotate: Some(rotate).filter(|time| !time.is_zero()),
        })
    }
}

fn mistakes(problems: &Problems) -> usize {
    problems.0.iter().filter(|problem| !problem.warning).count()
}

fn acme(spec: AcmeSpec, problems: &mut Problems) -> Option<Arc<Acme>> {
    match Acme::try_from(spec) {
        Ok(acme) => Some(Arc::new(acme)),
        Err(wrong) => {
            for problem in wrong {
                problems.fail(format!("acme.{}", problem.path), problem.message);
            }
            None
        }
    }
}

fn source(spec: CertificateSpec, path: &str, problems: &mut Problems) -> Option<Source> {
    let empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
    for (key, text) in [
        ("certificate", &spec.certificate),
        ("key", &spec.key),
        ("directory", &spec.directory),
    ] {
        if empty(text) {
            problems.fail(format!("{path}.{key}"), "expected a path, found nothing");
        }
    }
    match (spec.certificate, spec.directory) {
        (Some(certificate), None) => Some(Source::Files {
            key: spec.key.map(PathBuf::from),
            certificate: certificate.into(),
            default: spec.default,
        }),
        (None, Some(directory)) => {
            if spec.key.is_some() || spec.default {
                let message = "`key` and `default` belong to a certificate, not to a folder";
                problems.fail(path, message);
            }
            Some(Source::Directory(directory.into()))
        }
        _ => {
            problems.fail(path, "expected either `certificate` or `directory`");
            None
        }
    }
}

fn hosts(
    specs: Vec<HostSpec>,
    defaults: &Arc<HostPolicy>,
    problems: &mut Problems,
) -> Vec<(HostPattern, Arc<HostPolicy>)> {
    let mut seen: BTreeMap<HostPattern, String> = BTreeMap::new();
    // Hosts with the same policy share it, and with it all that is made from it.
    let mut distinct = HashMap::from([(HostPolicy::clone(defaults), Arc::clone(defaults))]);
    let mut hosts = Vec::new();
    for (index, spec) in specs.into_iter().enumerate() {
        let path = format!("hosts[{index}]");
        if spec.names.is_empty() {
            problems.fail(format!("{path}.names"), "expected at least one host name");
        }
        let own = HostPolicySpec {
            min_version: spec.min_version,
            ciphers: spec.ciphers,
            key_exchange: spec.key_exchange,
            alpn: spec.alpn,
            client_certificates: spec.client_certificates,
        };
        let own = policy(own, &path, Some(defaults), problems);
        let shared = distinct
            .entry(own)
            .or_insert_with_key(|own| Arc::new(own.clone()));
        for (number, name) in spec.names.iter().enumerate() {
            let path = format!("{path}.names[{number}]");
            let Some(pattern) = HostPattern::read(name) else {
                problems.fail(
                    path,
                    "expected a host name such as `example.com` or `*.example.com`",
                );
                continue;
            };
            if let Some(first) = seen.get(&pattern) {
                problems.fail(path, format!("this host has settings already, in {first}"));
                continue;
            }
            seen.insert(pattern.clone(), path);
            hosts.push((pattern, Arc::clone(shared)));
        }
    }
    hosts
}

fn policy(
    spec: HostPolicySpec,
    path: &str,
    defaults: Option<&Arc<HostPolicy>>,
    problems: &mut Problems,
) -> HostPolicy {
    let min_version = spec
        .min_version
        .or(defaults.map(|defaults| defaults.min_version))
        .unwrap_or_default();
    let written = defaults.is_none() || spec.min_version.is_some() || spec.ciphers.is_some();
    let ciphers = list(spec.ciphers, &format!("{path}.ciphers"), problems)
        .or_else(|| defaults.map(|defaults| defaults.ciphers.clone()))
        .unwrap_or_else(|| Cipher::ALL.to_vec());
    let key_exchange = list(spec.key_exchange, &format!("{path}.key_exchange"), problems)
        .or_else(|| defaults.map(|defaults| defaults.key_exchange.clone()))
        .unwrap_or_else(|| KeyExchange::DEFAULT.to_vec());
    let protocols = list(spec.alpn, &format!("{path}.alpn"), problems)
        .or_else(|| defaults.map(|defaults| defaults.protocols.clone()))
        .unwrap_or_else(|| vec![Protocol::Http2, Protocol::Http1]);
    if written {
        versions_and_ciphers(min_version, &ciphers, path, problems);
    }
    let client = match spec.client_certificates {
        Some(spec) => client(spec, &format!("{path}.client_certificates"), problems),
        None => defaults.and_then(|defaults| defaults.client.clone()),
    };
    HostPolicy {
        min_version,
        ciphers,
        key_exchange,
        protocols,
        client,
    }
}

/// A list that was written must not be empty, nor name anything twice.
fn list<T: PartialEq + Copy>(
    list: Option<Vec<T>>,
    path: &str,
    problems: &mut Problems,
) -> Option<Vec<T>> {
    let list = list?;
    if list.is_empty() {
        problems.fail(
            path,
            "expected at least one here; leave the key out for the default",
        );
    }
    for (index, item) in list.iter().enumerate() {
        if list.iter().take(index).any(|other| other == item) {
            problems.fail(
                format!("{path}[{index}]"),
                "this stands in the list already",
            );
        }
    }
    Some(list)
}

fn versions_and_ciphers(
    min_version: MinVersion,
    ciphers: &[Cipher],
    path: &str,
    problems: &mut Problems,
) {
    let path = format!("{path}.ciphers");
    let tls13 = ciphers.iter().any(|cipher| cipher.is_tls13());
    let tls12 = ciphers.iter().any(|cipher| !cipher.is_tls13());
    match min_version {
        MinVersion::Tls13 if !tls13 => {
            problems.fail(
                path,
                "none of these belongs to TLS 1.3, and nothing older is spoken",
            );
        }
        MinVersion::Tls12 if !tls13 => {
            problems.warn(
                path,
                "none of these belongs to TLS 1.3, so it is not spoken",
            );
        }
        MinVersion::Tls12 if !tls12 => {
            problems.warn(
                path,
                "none of these belongs to TLS 1.2, so it is not spoken",
            );
        }
        MinVersion::Tls12 | MinVersion::Tls13 => {}
    }
}

fn client(spec: ClientCertificatesSpec, path: &str, problems: &mut Problems) -> Option<ClientAuth> {
    let required = match spec.mode {
        ClientMode::Off => return None,
        ClientMode::Optional => false,
        ClientMode::Required => true,
    };
    if spec.ca.is_empty() {
        let message =
            "expected at least one file with authorities: without them nobody can be verified";
        problems.fail(format!("{path}.ca"), message);
    }
    for (key, files) in [("ca", &spec.ca), ("crls", &spec.crls)] {
        for (index, file) in files.iter().enumerate() {
            if file.is_empty() {
                problems.fail(
                    format!("{path}.{key}[{index}]"),
                    "expected a path, found nothing",
                );
            }
        }
    }
    Some(ClientAuth {
        required,
        ca: spec.ca.into_iter().map(PathBuf::from).collect(),
        crls: spec.crls.into_iter().map(PathBuf::from).collect(),
        forward: spec.forward,
    })
}

const MIN_ROTATE: Duration = Duration::from_secs(1);
/// How long a key of the library lives.
const MAX_ROTATE: Duration = Duration::from_secs(6 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> (Option<Settings>, Vec<String>) {
        let spec: TlsSpec = serde_json::from_str(json).unwrap();
        let mut problems = Problems::default();
        let settings = spec.checked(&mut problems);
        let said = problems.0.iter().map(ToString::to_string).collect();
        (settings, said)
    }

    #[test]
    fn nothing_written_is_a_modern_policy_without_certificates() {
        let (settings, said) = read("{}");
        let settings = settings.unwrap();
        assert!(said.is_empty() && settings.sources.is_empty());
        assert_eq!(settings.defaults.min_version, MinVersion::Tls12);
        assert_eq!(settings.defaults.ciphers.len(), 9);
        assert_eq!(
            settings.defaults.key_exchange[0],
            KeyExchange::X25519MlKem768
        );
        assert!(settings.defaults.client.is_none());
        assert_eq!(settings.rotate, Some(Duration::from_secs(21_600)));
    }

    #[test]
    fn every_problem_is_told_with_its_path() {
        let (settings, said) = read(
            r#"{"certificates": [{}, {"directory": "d", "default": true}, {"certificate": ""}],
                "defaults": {"alpn": [], "ciphers": ["TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"]},
                "hosts": [{"names": ["a.example", "A.example", "1.2.3.4", "*"]},
                          {"names": [], "client_certificates": {}},
                          {"names": ["b"], "min_version": "TLSv1.3",
                           "ciphers": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]}],
                "session_tickets": {"rotate": "30d"}}"#,
        );
        assert!(settings.is_none());
        let paths: Vec<&str> = said
            .iter()
            .map(|text| text.split(": ").next().unwrap())
            .collect();
        assert_eq!(
            paths,
            [
                "certificates[0]",
                "certificates[1]",
                "certificates[2].certificate",
                "defaults.ciphers[1]",
                "defaults.alpn",
                "defaults.ciphers",
                "hosts[0].names[1]",
                "hosts[0].names[2]",
                "hosts[0].names[3]",
                "hosts[1].names",
                "hosts[1].client_certificates.ca",
                "hosts[2].ciphers",
                "session_tickets.rotate",
            ]
        );
    }

    #[test]
    fn hosts_inherit_and_share_policies() {
        let (settings, _) = read(
            r#"{"defaults": {"min_version": "TLSv1.3",
                             "client_certificates": {"ca": ["ca.pem"], "forward": true}},
                "hosts": [{"names": ["a.example"]},
                          {"names": ["b.example"], "client_certificates": {"mode": "off"}},
                          {"names": ["*.example"], "client_certificates": {"mode": "off"}}]}"#,
        );
        let settings = settings.unwrap();
        let [(_, a), (_, b), (_, c)] = settings.hosts.as_slice() else {
            panic!("three hosts");
        };
        assert!(Arc::ptr_eq(a, &settings.defaults) && a.client.as_ref().unwrap().forward);
        assert!(b.client.is_none() && b == c && b.min_version == MinVersion::Tls13);
    }
}
