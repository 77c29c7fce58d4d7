//! Files of certificates, keys, authorities and revocation lists, read under bounds.
//!
//! Errors say what is wrong with the file and never repeat its contents.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer,
    PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

/// What a file in PEM form holds.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) keys: Vec<PrivateKeyDer<'static>>,
    pub(crate) crls: Vec<CertificateRevocationListDer<'static>>,
    /// Whether the file may be read by everybody on this machine.
    pub(crate) public: bool,
}

/// Tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The state of the file right now, links followed; `None` if there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let data = path.metadata().ok()?;
        Some(Self {
            place: (data.dev(), data.ino()),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}

impl Stamp {
    /// Whether a change after `now` is sure to give another stamp: clocks of file systems are coarse.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(now).is_ok_and(|now| self.changed.0.saturating_add(1) < now)
    }
}

/// Reads a file of at most `limit` bytes.
#[expect(clippy::disallowed_methods, reason = "bounded by `take`")]
pub(crate) fn read(path: &Path, limit: u64) -> Result<Contents, String> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let data = file
        .metadata()
        .map_err(|error| format!("cannot be read: {error}"))?;
    if !data.is_file() {
        return Err("expected a file".into());
    }
    file.take(limit + 1)
        .read_to_end(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > limit {
        return Err(format!(
            "larger than {limit} bytes, which is too much for such a file"
        ));
    }
    let mut contents = parse(&text)?;
    contents.public = data.mode() & 0o007 != 0;
    Ok(contents)
}

fn parse(text: &[u8]) -> Result<Contents, String> {
    let mut contents = Contents::default();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|_| "not in PEM form, or broken".to_owned())?;
        match kind {
            SectionKind::Certificate => contents.certificates.push(der.into()),
            SectionKind::RsaPrivateKey => contents
                .keys
                .push(PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der))),
            SectionKind::PrivateKey => contents
                .keys
                .push(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der))),
            SectionKind::EcPrivateKey => contents
                .keys
                .push(PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der))),
            SectionKind::Crl => contents.crls.push(der.into()),
            _ => {}
        }
    }
    let encrypted = b"ENCRYPTED";
    if contents.keys.is_empty() && text.windows(encrypted.len()).any(|part| part == encrypted) {
        return Err(
            "the key is encrypted; store it decrypted, readable for the gateway alone".into(),
        );
    }
    Ok(contents)
}

/// Largest file with a certificate and its chain, or a key.
pub(crate) const MAX_CERTIFICATE_FILE: u64 = 256 << 10;
/// Largest file with authorities or revoked certificates.
pub(crate) const MAX_BUNDLE_FILE: u64 = 32 << 20;
