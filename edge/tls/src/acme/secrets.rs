//! Secrets at the moment they are used.

use std::fs::File;
use std::io::Read as _;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use edge_core::Secret;

use super::settings::Source;

impl Source {
    /// The secret, without white space around it.
    ///
    /// # Errors
    /// The file cannot be read, and why.
    pub(crate) fn read(&self) -> Result<Secret<String>, String> {
        let path = match self {
            Self::Value(secret) => return Ok(Secret::new(secret.expose().trim().to_owned())),
            Self::File(path) => path,
        };
        let mut text = String::new();
        #[expect(clippy::disallowed_methods, reason = "bounded by take")]
        File::open(path)
            .and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("{}: the file holds no secret", path.display()));
        }
        Ok(Secret::new(text.to_owned()))
    }

    /// The secret as bytes, written in base64 of either alphabet.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub(crate) fn bytes(&self) -> Result<Secret<Vec<u8>>, String> {
        let text = self.read()?;
        let bytes = base64(text.expose()).ok_or_else(|| match self {
            Self::File(path) => format!("{}: expected base64", path.display()),
            Self::Value(_) => "expected base64".to_owned(),
        })?;
        Ok(Secret::new(bytes))
    }
}

/// Reads base64 of either alphabet, padded or not.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().trim_end_matches('=');
    if text.is_empty() {
        return None;
    }
    BASE64_STANDARD_NO_PAD
        .decode(text)
        .or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(text))
        .ok()
}

const MAX_SECRET: u64 = 64 << 10;
