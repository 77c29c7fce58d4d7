//! A certificate with its key, as it lies on disk: one PEM text, the key first.
//!
//! Key and chain are written and read together, so that no crash can separate them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edge_core::Secret;
use instant_acme::CertificateIdentifier;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, RsaKeySize};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::spec::KeyType;

/// A certificate that can be served.
#[derive(Clone)]
pub(crate) struct Material {
    /// Key and chain in PEM.
    pub(crate) pem: Secret<String>,
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// Chosen by the certificate's bytes, evenly from 0 to 1: a jitter that is the same after a restart.
    pub(crate) fraction: f64,
}

impl Material {
    /// Reads key and chain.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn from_pem(pem: String) -> Result<Self, String> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| format!("certificate: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("key: {error}"))?;
        let leaf = chain.first().ok_or("there is no certificate")?;
        let (not_before, not_after) = validity(leaf)?;
        let hash = Sha256::digest(leaf);
        let fraction = hash
            .iter()
            .take(4)
            .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        let certified = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|error| format!("key and certificate: {error}"))?;
        Ok(Self {
            pem: Secret::new(pem),
            certified: Arc::new(certified),
            not_before,
            not_after,
            fraction: f64::from(fraction) / (f64::from(u32::MAX) + 1.0),
        })
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.not_after
            .duration_since(self.not_before)
            .unwrap_or_default()
    }

    /// How the authority calls it (RFC 9773 section 4.1).
    pub(crate) fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        let leaf = self.certified.cert.first()?;
        CertificateIdentifier::try_from(leaf)
            .ok()
            .map(CertificateIdentifier::into_owned)
    }

    /// True if it certifies every one of `names`.
    pub(crate) fn covers(&self, names: &[String]) -> bool {
        let Some(leaf) = self.certified.cert.first() else {
            return false;
        };
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else {
            return false;
        };
        let Ok(Some(san)) = parsed.subject_alternative_name() else {
            return false;
        };
        names.iter().all(|name| {
            san.value.general_names.iter().any(|general| {
                matches!(general, x509_parser::extensions::GeneralName::DNSName(dns)
                    if dns.eq_ignore_ascii_case(name))
            })
        })
    }
}

/// A new key of that kind.
pub(crate) fn new_key(kind: KeyType) -> Result<KeyPair, rcgen::Error> {
    match kind {
        KeyType::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        KeyType::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyType::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
    }
}

/// A signing request for `names`.
pub(crate) fn request(names: &[String], key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// The certificate that proves control of `name` by TLS-ALPN-01 (RFC 8737 section 3).
pub(crate) fn proof(name: &str, authorization: &str) -> Result<CertifiedKey, String> {
    let text = |error: rcgen::Error| error.to_string();
    let digest = Sha256::digest(authorization.as_bytes());
    let mut params = CertificateParams::new([name.to_owned()]).map_err(text)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let key = KeyPair::generate().map_err(text)?;
    let certificate = params.self_signed(&key).map_err(text)?;
    let signer = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let signer = provider()
        .key_provider
        .load_private_key(signer)
        .map_err(|error| error.to_string())?;
    // Not `from_der`: it refuses the critical extension that makes the proof.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
}

fn validity(leaf: &CertificateDer<'_>) -> Result<(SystemTime, SystemTime), String> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| "not a certificate")?;
    let time = |time: x509_parser::time::ASN1Time| {
        let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(MAX_SECONDS))
    };
    let validity = parsed.validity();
    Ok((time(validity.not_before), time(validity.not_after)))
}

fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// The end of the year 9999, as X.509 has it.
const MAX_SECONDS: u64 = 253_402_300_799;
