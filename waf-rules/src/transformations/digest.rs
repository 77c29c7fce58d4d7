//! `md5`, `sha1`: the raw digest bytes; rules add `t:hexEncode` to read them.
//!
//! Rules use these to name things, never to keep secrets: neither digest is fit for that.

use md5::Md5;
use sha1::{Digest, Sha1};

pub(super) fn md5(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Md5::digest(input));
}

pub(super) fn sha1(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Sha1::digest(input));
}
