//! A certificate with its key: read, checked against one another, and what it is good for.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::pem::{self, Contents, MAX_CERTIFICATE_FILE};
use crate::settings::is_host_name;

/// A certificate that can be shown.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// The hosts it is for, lower case; wildcards as `*.example.com`.
    pub(crate) names: Box<[Box<str>]>,
    pub(crate) kind: Kind,
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

/// Kinds of keys, in the order in which they are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ecdsa,
    Ed25519,
    Rsa,
}

impl Kind {
    pub(crate) const COUNT: usize = 3;

    /// The kind of a key; `None` if it is of no use to TLS.
    pub(crate) fn of(certified: &CertifiedKey) -> Option<Self> {
        match certified.key.algorithm() {
            SignatureAlgorithm::ECDSA => Some(Self::Ecdsa),
            SignatureAlgorithm::ED25519 => Some(Self::Ed25519),
            SignatureAlgorithm::RSA => Some(Self::Rsa),
            _ => None,
        }
    }
}

/// A certificate and what is doubtful about it.
pub(crate) struct Read {
    pub(crate) certificate: Certificate,
    pub(crate) doubts: Vec<String>,
}

/// Reads a certificate and its key, which stands in the same file unless `key` names another.
/// The error comes with the file it is about.
pub(crate) fn read<'a>(
    file: &'a Path,
    key_file: Option<&'a Path>,
) -> Result<Read, (&'a Path, String)> {
    let contents = pem::read(file, MAX_CERTIFICATE_FILE).map_err(|why| (file, why))?;
    let separate = match key_file {
        Some(path) => Some((
            path,
            pem::read(path, MAX_CERTIFICATE_FILE).map_err(|why| (path, why))?,
        )),
        None => None,
    };
    let (key_path, keys, public) = match separate {
        Some((path, Contents { keys, public, .. })) => (path, keys, public),
        None => (file, contents.keys, contents.public),
    };
    let mut keys = keys.into_iter();
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) => key,
        (None, _) => return Err((key_path, "holds no private key".into())),
        (Some(_), Some(_)) => return Err((key_path, "holds more than one private key".into())),
    };
    let key = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_| {
            (
                key_path,
                "holds a private key of a kind that cannot be used".into(),
            )
        })?;
    let certificate =
        certificate(CertifiedKey::new(contents.certificates, key)).map_err(|why| (file, why))?;
    let mut doubts = chain_doubts(&certificate.certified);
    if public {
        let file = key_path.display();
        doubts.push(format!(
            "everybody on this machine can read the key in {file}"
        ));
    }
    Ok(Read {
        certificate,
        doubts,
    })
}

/// What `certified` is good for.
fn certificate(certified: CertifiedKey) -> Result<Certificate, String> {
    let Some(leaf) = certified.cert.first() else {
        return Err("holds no certificate".into());
    };
    if certified.cert.len() > MAX_CHAIN {
        return Err(format!("holds more than {MAX_CHAIN} certificates"));
    }
    let (_, parsed) = X509Certificate::from_der(leaf)
        .map_err(|_| "the first certificate cannot be understood".to_owned())?;
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => {
            return Err("the private key does not belong to the first certificate".into());
        }
        Err(error) => return Err(format!("the first certificate cannot be used: {error}")),
    }
    let kind = Kind::of(&certified).ok_or("the key is of a kind that TLS has no use for")?;
    let names = names(&parsed)?;
    let validity = parsed.validity();
    let (not_before, not_after) = (
        time(validity.not_before.timestamp()),
        time(validity.not_after.timestamp()),
    );
    Ok(Certificate {
        names,
        kind,
        not_before,
        not_after,
        certified: Arc::new(certified),
    })
}

impl Certificate {
    /// Whether it is for `host`, which is in lower case.
    pub(crate) fn covers(&self, host: &str) -> bool {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(suffix) => parent == Some(suffix),
            None => **name == *host,
        })
    }

    /// How long it is still good at `now`; `None` if it has ended.
    pub(crate) fn remaining(&self, now: SystemTime) -> Option<Duration> {
        self.not_after.duration_since(now).ok()
    }
}

/// The hosts in the subject's alternative names. The common name is not looked at: no client does
/// (RFC 9525 section 6.3).
fn names(parsed: &X509Certificate<'_>) -> Result<Box<[Box<str>]>, String> {
    let extension = parsed
        .subject_alternative_name()
        .map_err(|_| "its alternative names cannot be understood".to_owned())?;
    let Some(extension) = extension else {
        return Ok(Box::default());
    };
    let mut names: Vec<Box<str>> = Vec::new();
    for name in &extension.value.general_names {
        let GeneralName::DNSName(name) = name else {
            continue;
        };
        let name = name.to_ascii_lowercase();
        let host = name.strip_prefix("*.").unwrap_or(&name);
        if is_host_name(host) && !names.iter().any(|other| **other == *name) {
            names.push(name.into());
        }
        if names.len() > MAX_NAMES {
            return Err(format!("it is for more than {MAX_NAMES} names"));
        }
    }
    Ok(names.into())
}

/// What clients may dislike about a chain.
fn chain_doubts(certified: &CertifiedKey) -> Vec<String> {
    let parsed: Vec<_> = certified
        .cert
        .iter()
        .filter_map(|der| X509Certificate::from_der(der).ok())
        .map(|(_, certificate)| certificate)
        .collect();
    let broken = parsed
        .iter()
        .zip(parsed.iter().skip(1))
        .any(|(one, next)| one.issuer().as_raw() != next.subject().as_raw());
    if broken {
        vec!["its chain is out of order: each certificate should be signed by the next".into()]
    } else {
        Vec::new()
    }
}

fn time(seconds: i64) -> SystemTime {
    u64::try_from(seconds)
        .ok()
        .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .unwrap_or(UNIX_EPOCH)
}

/// Most certificates in one chain.
const MAX_CHAIN: usize = 16;
/// Most names one certificate is for.
const MAX_NAMES: usize = 2_000;
