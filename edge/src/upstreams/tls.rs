//! What TLS to the servers of a group needs from files: authorities, and the certificate we show.
//!
//! Read when the configuration is, and again when a file changes; a file with a mistake refuses the
//! configuration. A private key is never logged.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_config::Upstream;
use edge_core::{Diagnostic, Level, Position};
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Authorities and certificate of a group, ready for the connector.
#[derive(Debug, Clone, Default)]
pub(crate) struct Material {
    /// Trusted in place of the system's.
    pub(crate) ca: Option<Arc<CaType>>,
    /// Shown to servers that ask.
    pub(crate) client: Option<Arc<CertKey>>,
    /// Differs where anything differs that a connection depends on.
    pub(crate) fingerprint: u64,
}

impl Material {
    /// Reads the files that `upstream` names; `watch` gets their paths, also if they hold mistakes.
    ///
    /// # Errors
    /// Every file that cannot be used, and why.
    pub(crate) fn load(
        upstream: &Upstream,
        watch: &mut Vec<PathBuf>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let tls = upstream.tls();
        let mut mistakes = Vec::new();
        let mut hasher = DefaultHasher::new();
        (tls.verify, &tls.server_name, upstream.protocol() as u8).hash(&mut hasher);
        let mut complain = |path: &Path, message: String| {
            mistakes.push(mistake(upstream.name(), path, &message));
        };
        let ca = tls.ca.as_deref().and_then(|path| {
            watch.push(path.to_owned());
            let list = certificates(path, &mut hasher, trusted);
            list.map_err(|message| complain(path, message)).ok()
        });
        let client = tls.client.as_ref().and_then(|(certificate, key)| {
            watch.extend([certificate.clone(), key.clone()]);
            let chain = certificates(certificate, &mut hasher, |_| Ok(()));
            let chain = chain.map_err(|message| complain(certificate, message));
            let own = private_key(key, &mut hasher).map_err(|message| complain(key, message));
            let (chain, own) = (chain.ok()?, own.ok()?);
            if let Err(message) = belong_together(&chain, &own) {
                complain(key, message);
                return None;
            }
            let chain = chain
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect();
            Some(CertKey::new(chain, own.secret_der().to_vec()))
        });
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let wrapped = |list: Vec<CertificateDer<'static>>| {
            let wrap = |der: &CertificateDer<'_>| WrappedX509::new(der.to_vec(), parse_x509);
            list.iter().map(wrap).collect::<Arc<CaType>>()
        };
        Ok(Self {
            ca: ca.map(wrapped),
            client: client.map(Arc::new),
            fingerprint: hasher.finish(),
        })
    }
}

/// The certificates of a PEM file; each must be one, for pingora does not take "no" for an answer.
fn certificates(
    path: &Path,
    hasher: &mut impl Hasher,
    check: impl Fn(&[CertificateDer<'static>]) -> Result<(), String>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    text.hash(hasher);
    let list = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let list = list.map_err(|error| format!("is not a PEM file of certificates: {error}"))?;
    if list.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    for (number, certificate) in (1..).zip(&list) {
        if x509_parser::parse_x509_certificate(certificate).is_err() {
            return Err(format!("certificate {number} cannot be read"));
        }
    }
    check(&list)?;
    Ok(list)
}

fn trusted(list: &[CertificateDer<'static>]) -> Result<(), String> {
    let mut store = rustls::RootCertStore::empty();
    for (number, certificate) in (1..).zip(list) {
        store
            .add(certificate.clone())
            .map_err(|error| format!("certificate {number} cannot be trusted: {error}"))?;
    }
    Ok(())
}

fn private_key(path: &Path, hasher: &mut impl Hasher) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    text.hash(hasher);
    // The error may quote the file.
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| "holds no private key in PEM form".to_owned())
}

fn belong_together(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<(), String> {
    rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_client_auth_cert(chain.to_vec(), key.clone_key())
        .map(|_| ())
        .map_err(|error| format!("does not go with the certificate: {error}"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let size = fs::metadata(path).and_then(|meta| match meta.len() {
        0..=MOST => Ok(()),
        _ => Err(io::Error::other("longer than 4 MiB")),
    });
    size.and_then(|()| fs::read(path))
        .map_err(|error| format!("cannot be read: {error}"))
}

fn mistake(upstream: &str, path: &Path, message: &str) -> Diagnostic {
    Diagnostic {
        level: Level::Error,
        file: path.display().to_string().into(),
        position: Position::default(),
        line: String::new(),
        message: format!("TLS of upstream `{upstream}`: the file {message}"),
        help: None,
    }
}

/// Bytes of a file, at most; the system's authorities have a tenth of that.
const MOST: u64 = 4 << 20;
